//! `fabric dead-letters`: lists tasks that were given up.

use super::Ctx;
use crate::{complete, failure::Failure, job_ref::JobRef, table::Table, times};
use fabric_client::PageOptions;
use fabric_types::{
    id::JobId,
    rest::{Page, job::DeadLetter},
};

/// Flags of `fabric dead-letters`.
#[derive(Debug, clap::Args)]
pub struct DeadLettersArgs {
    /// Only those of this job (its id or the beginning of it), with their backtraces
    #[arg(value_name = "JOB", add = complete::jobs())]
    pub job: Option<JobRef>,
    /// Maximum number to list
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: usize,
}

/// Runs `fabric dead-letters`.
pub async fn run(args: &DeadLettersArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let job = match &args.job {
        Some(job) => Some(JobId::new(job.id(&client).await?).map_err(|e| Failure::usage(e.to_string()))?),
        None => None,
    };
    let job = job.as_ref();
    let page: Page<DeadLetter> =
        PageOptions::collect(args.limit, async |paging| client.dead_letters(job, &paging).await).await?;
    ctx.out.show(&page, |out, page| {
        if job.is_some() {
            return page.items.iter().try_for_each(|letter| out.line(details(letter)));
        }
        let mut table = Table::new(&["JOB", "FUNCTION", "TASK", ">TRIES", "NODES", "WHEN", "INPUT", "ERROR"]);
        for l in &page.items {
            table.row([
                l.job.to_string(),
                format!("{}@{}", l.function, l.version),
                format!("{}/{}", l.stage, l.index),
                l.attempts.to_string(),
                nodes(l),
                times::format_age(l.at_ms, times::now_ms()),
                l.input.clone(),
                l.error.to_string(),
            ]);
        }
        out.table(&table)
    })?;
    ctx.note_more(page.next.as_ref());
    Ok(())
}

fn nodes(letter: &DeadLetter) -> String {
    letter.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn details(l: &DeadLetter) -> String {
    let mut lines = vec![
        format!("task      {}/{} of {}@{}", l.stage, l.index, l.function, l.version),
        format!("input     {}", l.input),
        format!("given up  {}, after {} on {}", times::format_timestamp(l.at_ms), tries(l.attempts), nodes(l)),
        format!("error     {}", l.error),
    ];
    lines.extend(l.error.hint.iter().map(|hint| format!("hint      {hint}")));
    lines.extend(l.error.stderr.iter().map(|line| format!("stderr    {line}")));
    for frame in &l.error.backtrace {
        let at = frame.location.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        lines.push(format!("          {}{at}", frame.function));
    }
    lines.join("\n") + "\n"
}

fn tries(n: u32) -> String {
    if n == 1 { "1 attempt".to_owned() } else { format!("{n} attempts") }
}

//! `fabric jobs`: lists jobs and acts on them.

use super::{Ctx, logs, run as running};
use crate::{
    complete, confirm::Confirm, failure::Failure, job_ref::JobRef, number, progress, table::Table, text::one_line,
    times,
};
use fabric_client::{Client, JobFilter, LogFilter, Paging, ResultLines, TaskFilter};
use fabric_types::{
    function::FunctionRef,
    job::JobState,
    label,
    rest::{
        Page,
        job::{Job, Task},
    },
};
use std::{path::PathBuf, time::Duration};

/// Flags of `fabric jobs`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List jobs, newest first (what the bare command does)
    List(List),
    /// Show one job
    Show(One),
    /// Follow a job to its end
    Watch(One),
    /// Stop a job
    Cancel(One),
    /// Put jobs that have ended into the bin: one by its id, or all that the flags name
    Delete(Delete),
    /// Take a job out of the bin
    Restore(One),
    /// Run a job that has ended once more, as a new job; tasks that succeeded come from the cache where they can
    Retry {
        #[command(flatten)]
        one: One,
        /// Run this version instead, such as one with a correction: NAME, NAME@VERSION or NAME:ALIAS [default: the version that
        /// the job ran]
        #[arg(long, value_name = "FUNCTION", add = complete::functions())]
        function: Option<FunctionRef>,
        /// Fuel that the new job may spend, such as 500M or 10G [default: as the job]
        #[arg(long, value_name = "FUEL", value_parser = fabric_types::count::parse)]
        budget: Option<u64>,
        /// Write the new job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// Run a sample of a job's tasks again and compare the results
    Audit {
        #[command(flatten)]
        one: One,
        /// How many percent of its map tasks, one at least
        #[arg(long, default_value = "5%", value_name = "N%", value_parser = percent)]
        sample: f64,
    },
    /// List a job's tasks
    Tasks {
        #[command(flatten)]
        one: One,
        /// Only in this state
        #[arg(long)]
        state: Option<String>,
        /// Only of this stage
        #[arg(long)]
        stage: Option<u16>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Write a job's result
    Result {
        #[command(flatten)]
        one: One,
        /// Only this one of its results, from 0
        #[arg(long, value_name = "N", conflicts_with_all = ["list", "line", "q"])]
        part: Option<u64>,
        /// List the results instead
        #[arg(long, conflicts_with_all = ["line", "q"])]
        list: bool,
        /// From this line on, from 0
        #[arg(long, value_name = "FROM")]
        line: Option<u64>,
        /// So many lines
        #[arg(long, value_name = "N", requires = "line")]
        lines: Option<u64>,
        /// Only lines that contain this
        #[arg(long, value_name = "TEXT")]
        q: Option<String>,
        /// Where to write it [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show what a job's tasks wrote
    Logs {
        #[command(flatten)]
        one: One,
        /// Go on with what is written from now on
        #[arg(long, short)]
        follow: bool,
        /// How many lines at most
        #[arg(long, default_value_t = 1000, value_name = "N")]
        limit: usize,
    },
}

#[derive(Debug, clap::Args)]
struct One {
    /// The job: its id, or how it begins
    #[arg(value_name = "ID", add = complete::jobs())]
    job: JobRef,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
struct Delete {
    /// The job: its id, or how it begins
    #[arg(value_name = "ID", add = complete::jobs(), group = "which",
          conflicts_with_all = ["state", "function", "tag", "older_than", "deleted"])]
    job: Option<JobRef>,
    /// Those in these states: succeeded, failed, cancelled [default: all three]
    #[arg(long, value_name = "STATE,…", value_delimiter = ',', group = "which")]
    state: Vec<String>,
    /// Those of this function
    #[arg(long, value_name = "NAME", group = "which")]
    function: Option<String>,
    /// Those with this tag
    #[arg(long, group = "which")]
    tag: Option<String>,
    /// Those accepted longer ago than this, such as 7d
    #[arg(long, value_name = "TIME", value_parser = times::duration, group = "which")]
    older_than: Option<Duration>,
    /// Those in the bin; with --now this empties it
    #[arg(long, group = "which")]
    deleted: bool,
    /// Remove them for good instead, with their journals; what they take on disk is free at once
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    confirm: Confirm,
}

impl Delete {
    /// The filter that names several jobs.
    fn filter(&self) -> JobFilter {
        let now = times::now_ms();
        let before = |age: Duration| now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let states = match self.state.as_slice() {
            [] => ["succeeded", "failed", "cancelled"].map(ToOwned::to_owned).to_vec(),
            named => named.to_vec(),
        };
        JobFilter {
            states,
            function: self.function.clone(),
            tag: self.tag.clone(),
            // Jobs that are accepted while the user is asked were not meant.
            until_ms: Some(self.older_than.map_or(now, before)),
            deleted: self.deleted,
            ..JobFilter::default()
        }
    }
}

/// Deletes one job, or all that the flags name.
async fn delete(client: &Client, args: &Delete, ctx: &Ctx<'_>) -> Result<(), Failure> {
    if let Some(job) = &args.job {
        let id = job.id(client).await?;
        if args.now {
            client.purge_job(&id).await?;
            ctx.note(format!("{id} is removed"));
        } else {
            client.delete_job(&id).await?;
            ctx.note(format!("{id} is in the bin; take it out with: fabric jobs restore {id}"));
        }
        return Ok(());
    }
    let mut filter = args.filter();
    let found = Paging::collect(COUNTED, async |paging| client.jobs(&JobFilter { paging, ..filter.clone() }).await);
    let found = found.await?;
    let count = number::counted(found.items.len() as u64, "job");
    if found.items.is_empty() {
        ctx.note("no job that has ended is meant");
        return Ok(());
    }
    let count = if found.next.is_some() { format!("{count} and more") } else { count };
    let how = if args.now { format!("remove {count} for good") } else { format!("put {count} into the bin") };
    args.confirm.ask(&how)?;
    let mut deleted = 0;
    filter.paging = Paging::first(100);
    loop {
        let page = client.delete_jobs(&filter, args.now).await?;
        deleted += page.deleted;
        match page.next {
            Some(next) => filter.paging.cursor = Some(next),
            None => break,
        }
    }
    let where_to = if args.now { "removed" } else { "put into the bin" };
    ctx.note(format!("{} {where_to}", number::counted(deleted, "job")));
    Ok(())
}

/// Jobs that are counted before it is asked whether to delete them.
const COUNTED: usize = 10_000;

/// Reads `5%`, `5` or `0.5%`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|n| *n > 0.0 && *n <= 100.0)
        .ok_or_else(|| format!("`{text}` is no share: write a number above 0%, up to 100%"))
}

#[derive(Debug, Clone, Default, clap::Args)]
struct List {
    /// Only in these states: queued, running, succeeded, failed, cancelled
    #[arg(long, value_name = "STATE,…", value_delimiter = ',')]
    state: Vec<String>,
    /// Only of this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Only with this in the name
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only accepted since: 2h (ago), 2026-11-22, or a full time
    #[arg(long, value_name = "WHEN", value_parser = times::moment)]
    since: Option<times::Moment>,
    /// Only accepted until
    #[arg(long, value_name = "WHEN", value_parser = times::moment)]
    until: Option<times::Moment>,
    /// Only with these words anywhere
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only ids that begin so
    #[arg(long, value_name = "PREFIX")]
    id: Option<String>,
    /// Those in the bin
    #[arg(long)]
    deleted: bool,
    /// How many at most
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

/// Does what was asked.
pub async fn run(args: Args, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    match args.command.unwrap_or(Sub::List(args.list)) {
        Sub::List(list) => show_list(&client, &list, ctx).await,
        Sub::Show(one) => {
            let job = client.job(&one.job.id(&client).await?, None).await?;
            ctx.out.show(&job, |out, job| out.line(details(job)))
        }
        Sub::Watch(one) => watch(&client, &one.job.id(&client).await?, ctx).await,
        Sub::Cancel(one) => {
            let job = client.cancel_job(&one.job.id(&client).await?).await?;
            ctx.out.show(&job, |out, job| out.line(format!("{} {}", job.id, job.state)))
        }
        Sub::Delete(args) => delete(&client, &args, ctx).await,
        Sub::Restore(one) => {
            let job = client.restore_job(&one.job.id(&client).await?).await?;
            ctx.out.show(&job, |out, job| out.line(format!("{} {}", job.id, job.state)))
        }
        Sub::Retry { one, function, budget, detach } => {
            let job = client.retry_job(&one.job.id(&client).await?, function.as_ref(), budget).await?;
            if detach {
                return ctx.out.show(&job, |out, job| out.line(job.id.as_str()));
            }
            ctx.note(format!("job {}: {}@{}", job.id, job.function, job.version));
            watch(&client, job.id.as_str(), ctx).await
        }
        Sub::Audit { one, sample } => audit(&client, &one.job.id(&client).await?, sample, ctx).await,
        Sub::Tasks { one, state, stage, limit } => {
            let id = one.job.id(&client).await?;
            let page = Paging::collect(limit, async |paging| {
                client.tasks(&id, &TaskFilter { state: state.clone(), stage, paging }).await
            })
            .await?;
            ctx.out.show(&page, |out, page| out.table(&task_table(&page.items)))?;
            ctx.note_more(page.next.as_ref());
            Ok(())
        }
        Sub::Result { one, part, list, line, lines, q, output } => {
            let id = one.job.id(&client).await?;
            let id = id.as_str();
            if list {
                return show_results(&client, id, ctx).await;
            }
            let body = match part {
                Some(index) => client.result_part(id, index).await?,
                None if line.is_some() || q.is_some() => {
                    client.result_lines(id, &ResultLines { from: line, count: lines, containing: q }).await?
                }
                None => client.result(id).await?,
            };
            match output.filter(|o| o.as_os_str() != "-") {
                Some(file) => super::get::save(body, &file).await.map(drop),
                None => ctx.out.body(body).await.map(drop),
            }
        }
        Sub::Logs { one, follow, limit } => {
            let filter = LogFilter { job: Some(one.job.id(&client).await?), ..LogFilter::default() };
            logs::show(&client, filter, follow, limit, ctx).await
        }
    }
}

/// Follows a job to its end, and says how it ended.
async fn watch(client: &Client, id: &str, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let job = running::follow(client, id, ctx).await?;
    if ctx.out.json {
        ctx.out.json(&job)?;
    } else {
        ctx.note(progress::summary(&job.tasks, &job.cost, job.run_ms));
        ctx.out.line(job.state.as_str())?;
    }
    running::ended(&job)
}

async fn show_list(client: &Client, list: &List, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let now = times::now_ms();
    let page: Page<Job> = Paging::collect(list.limit, async |paging| {
        let filter = JobFilter {
            states: list.state.clone(),
            function: list.function.clone(),
            name: list.name.clone(),
            tag: list.tag.clone(),
            id: list.id.clone(),
            since_ms: list.since.map(|m| m.ms(now)),
            until_ms: list.until.map(|m| m.ms(now)),
            q: list.q.clone(),
            deleted: list.deleted,
            paging,
        };
        client.jobs(&filter).await
    })
    .await?;
    ctx.out.show(&page, |out, page| {
        let mut table = Table::new(&["ID", "NAME", "STATE", ">TASKS", ">FUEL", ">TIME", "ACCEPTED"]);
        for j in &page.items {
            table.row([
                j.id.to_string(),
                j.name.clone(),
                j.state.to_string(),
                format!("{}/{}", j.tasks.succeeded, j.tasks.total),
                number::short(j.cost.fuel),
                times::length(j.run_ms),
                times::ago(j.created_ms, now),
            ]);
        }
        out.table(&table)
    })?;
    ctx.note_more(page.next.as_ref());
    Ok(())
}

async fn audit(client: &Client, id: &str, sample: f64, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let report = client.audit_job(id, sample).await?;
    ctx.out.show(&report, |out, report| {
        out.line(format!(
            "{} run again, {} with the same bytes",
            number::counted(report.checked, "task"),
            report.same
        ))?;
        for d in &report.differing {
            out.line(format!("differs: task {}/{}", d.stage, d.index))?;
        }
        Ok(())
    })?;
    if report.differing.is_empty() {
        return Ok(());
    }
    Err(Failure::local(
        "audit-differs",
        format!("{} of {} tasks gave other bytes", report.differing.len(), report.checked),
    )
    .hint("the function is not pure: it depends on more than its input and parameters"))
}

async fn show_results(client: &Client, id: &str, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let page = Paging::collect(100_000, async |paging| client.results(id, &paging).await).await?;
    ctx.out.show(&page, |out, page| {
        let mut table = Table::new(&[">INDEX", ">BYTES", "TYPE", "DIGEST"]);
        for r in &page.items {
            let kind = r.content_type.clone().unwrap_or_default();
            table.row([r.index.to_string(), r.bytes.to_string(), kind, r.digest.clone()]);
        }
        out.table(&table)
    })
}

fn details(job: &Job) -> String {
    let mut lines = vec![
        format!("id        {}", job.id),
        format!("name      {}", one_line(&job.name)),
        format!("function  {}@{}", job.function, job.version),
        format!("state     {}: {}", job.state, job.remark),
        format!("submitter {}", job.submitter),
        format!("accepted  {}", times::stamp(job.created_ms)),
        format!("waited    {}", times::length(job.queue_ms)),
        progress::summary(&job.tasks, &job.cost, job.run_ms),
    ];
    if job.state == JobState::Succeeded {
        lines.push(format!("results   {} (fabric jobs result {})", job.results, job.id));
    }
    if let Some(waiting) = &job.waiting {
        lines.push(format!("waiting   {waiting}"));
    }
    if !job.spec.node_selector.is_empty() {
        lines.push(format!("labels    {}", label::show(&job.spec.node_selector)));
    }
    if !job.tags.is_empty() {
        lines.push(format!("tags      {}", one_line(&job.tags.join(", "))));
    }
    if let Some(fault) = &job.error {
        lines.push(format!("error     {fault}"));
        lines.extend(fault.hint.iter().map(|h| format!("hint      {h}")));
    }
    if job.deleted {
        lines.push("in the bin".to_owned());
    }
    lines.join("\n")
}

fn task_table(tasks: &[Task]) -> Table {
    let word = |v: serde_json::Result<serde_json::Value>| {
        v.ok().and_then(|v| v.as_str().map(ToOwned::to_owned)).unwrap_or_default()
    };
    let mut table = Table::new(&["TASK", "KIND", "STATE", ">TRIES", ">FUEL", ">TIME", ">RESULT", "INPUT", "ERROR"]);
    for t in tasks {
        table.row([
            format!("{}/{}", t.stage, t.index),
            word(serde_json::to_value(t.kind)),
            if t.cached { "cached".to_owned() } else { word(serde_json::to_value(t.state)) },
            t.attempts.to_string(),
            number::short(t.fuel),
            times::length(t.wall_us / 1000),
            t.result_bytes.map(|b| b.to_string()).unwrap_or_default(),
            t.input.clone(),
            t.error.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_read() {
        assert_eq!((percent("5"), percent("0.5%"), percent("100%")), (Ok(5.0), Ok(0.5), Ok(100.0)));
        for bad in ["", "0", "0%", "101%", "x", "nan", "-1"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}

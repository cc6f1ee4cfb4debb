//! `fabric jobs`: lists jobs and acts on them.

use super::{Ctx, logs, run as running};
use crate::{
    complete, confirm::Confirm, failure::Failure, job_ref::JobRef, number, progress, table::Table, text::one_line,
    times,
};
use fabric_client::{Client, DeletionMode, JobQuery, LogQuery, PageOptions, ResultParams, TaskQuery};
use fabric_types::{
    Code,
    function::FunctionRef,
    id::JobId,
    job::{JobState, TaskState},
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
pub struct JobsArgs {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List jobs, newest first (the default)
    List(List),
    /// Show one job
    Show(JobArg),
    /// Follow a job to its end
    Watch(JobArg),
    /// Stop a job
    Cancel(JobArg),
    /// Move jobs that have ended into the bin: one by its id, or all that match the flags
    Delete(Delete),
    /// Restore a job from the bin
    Restore(JobArg),
    /// Run an ended job again, as a new job; results of tasks that succeeded come from the cache if possible
    Retry {
        #[command(flatten)]
        target: JobArg,
        /// Version to run instead, such as a fixed one: NAME, NAME@VERSION or NAME:ALIAS [default: the job's version]
        #[arg(long, value_name = "FUNCTION", add = complete::functions())]
        function: Option<FunctionRef>,
        /// Fuel budget of the new job, such as 500M or 10G [default: the job's budget]
        #[arg(long, value_name = "FUEL", value_parser = fabric_types::count::parse)]
        budget: Option<u64>,
        /// Write the new job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// Run a sample of a job's tasks again and compare the results
    Audit {
        #[command(flatten)]
        target: JobArg,
        /// Share of its map tasks to run, at least one task
        #[arg(long, default_value = "5%", value_name = "N%", value_parser = percent)]
        sample: f64,
    },
    /// List a job's tasks
    Tasks {
        #[command(flatten)]
        target: JobArg,
        /// Only in this state
        #[arg(long)]
        state: Option<String>,
        /// Only of this stage
        #[arg(long)]
        stage: Option<u16>,
        /// Maximum number to list
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Write a job's result
    Result {
        #[command(flatten)]
        target: JobArg,
        /// Only the result with this index, from 0
        #[arg(long, value_name = "N", conflicts_with_all = ["list", "line", "q"])]
        part: Option<u64>,
        /// List the results instead
        #[arg(long, conflicts_with_all = ["line", "q"])]
        list: bool,
        /// First line to write, from 0
        #[arg(long, value_name = "FROM")]
        line: Option<u64>,
        /// Number of lines to write
        #[arg(long, value_name = "N", requires = "line")]
        lines: Option<u64>,
        /// Only lines that contain this
        #[arg(long, value_name = "TEXT")]
        q: Option<String>,
        /// File to write to [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show the logs of a job's tasks
    Logs {
        #[command(flatten)]
        target: JobArg,
        /// Show new lines as they are written
        #[arg(long, short)]
        follow: bool,
        /// Maximum number of lines to show
        #[arg(long, default_value_t = 1000, value_name = "N")]
        limit: usize,
    },
}

#[derive(Debug, clap::Args)]
struct JobArg {
    /// The job: its id or the beginning of its id
    #[arg(value_name = "ID", add = complete::jobs())]
    job: JobRef,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
struct Delete {
    /// The job: its id or the beginning of its id
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
    #[arg(long, value_name = "TIME", value_parser = fabric_types::duration::parse, group = "which")]
    older_than: Option<Duration>,
    /// Those in the bin; with --now, empties the bin
    #[arg(long, group = "which")]
    deleted: bool,
    /// Remove them permanently instead, with their journals; their disk space is free at once
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    confirm: Confirm,
}

impl Delete {
    /// Returns the query for the jobs that the flags select.
    fn filter(&self) -> JobQuery {
        let now = times::now_ms();
        let before = |age: Duration| now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let states = match self.state.as_slice() {
            [] => ["succeeded", "failed", "cancelled"].map(ToOwned::to_owned).to_vec(),
            named => named.to_vec(),
        };
        JobQuery {
            state: Some(states.join(",")),
            function: self.function.clone(),
            tag: self.tag.clone(),
            // Excludes jobs that are accepted while the user confirms.
            until_ms: Some(self.older_than.map_or(now, before)),
            deleted: self.deleted.then_some(true),
            ..JobQuery::default()
        }
    }
}

/// Deletes one job, or all that match the flags.
async fn delete(client: &Client, args: &Delete, ctx: &Ctx<'_>) -> Result<(), Failure> {
    if let Some(job) = &args.job {
        let id = job.id(client).await?;
        if args.now {
            client.purge_job(&id).await?;
            ctx.note(format!("{id} is removed"));
        } else {
            client.delete_job(&id).await?;
            ctx.note(format!("{id} is in the bin; restore it: fabric jobs restore {id}"));
        }
        return Ok(());
    }
    let mut filter = args.filter();
    let found = PageOptions::collect(COUNTED, async |paging| client.jobs(&filter.clone().page(paging)).await);
    let found = found.await?;
    let count = number::counted(found.items.len() as u64, "job");
    if found.items.is_empty() {
        ctx.note("no job that has ended matches");
        return Ok(());
    }
    let count = if found.next.is_some() { format!("{count} and more") } else { count };
    let how = if args.now { format!("permanently remove {count}") } else { format!("put {count} into the bin") };
    args.confirm.ask(&how)?;
    let mut deleted = 0;
    filter = filter.page(PageOptions::first(100));
    let mode = if args.now { DeletionMode::Permanent } else { DeletionMode::Bin };
    loop {
        let page = client.delete_jobs(&filter, mode).await?;
        deleted += page.deleted;
        match page.next {
            Some(next) => filter.cursor = Some(next),
            None => break,
        }
    }
    let where_to = if args.now { "removed" } else { "put into the bin" };
    ctx.note(format!("{} {where_to}", number::counted(deleted, "job")));
    Ok(())
}

/// Maximum number of jobs that are counted for the confirmation.
const COUNTED: usize = 10_000;

/// Parses `5%`, `5` or `0.5%`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|n| *n > 0.0 && *n <= 100.0)
        .ok_or_else(|| format!("`{text}` is not a share: write a number above 0%, up to 100%"))
}

#[derive(Debug, Clone, Default, clap::Args)]
struct List {
    /// Only in these states: queued, running, succeeded, failed, cancelled
    #[arg(long, value_name = "STATE,…", value_delimiter = ',')]
    state: Vec<String>,
    /// Only of this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Only with this text in the name
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
    /// Only ids that begin with this
    #[arg(long, value_name = "PREFIX")]
    id: Option<String>,
    /// Those in the bin
    #[arg(long)]
    deleted: bool,
    /// Maximum number to list
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

/// Runs `fabric jobs`.
pub async fn run(args: JobsArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    match args.command.unwrap_or(Sub::List(args.list)) {
        Sub::List(list) => show_list(&client, &list, ctx).await,
        Sub::Show(target) => {
            let job = client.job(&target.job.id(&client).await?, None).await?;
            ctx.out.show(&job, |out, job| out.line(details(job)))
        }
        Sub::Watch(target) => watch(&client, &target.job.id(&client).await?, ctx).await,
        Sub::Cancel(target) => {
            let job = client.cancel_job(&target.job.id(&client).await?).await?;
            ctx.out.show(&job, |out, job| out.line(format!("{} {}", job.id, job.state)))
        }
        Sub::Delete(args) => delete(&client, &args, ctx).await,
        Sub::Restore(target) => {
            let job = client.restore_job(&target.job.id(&client).await?).await?;
            ctx.out.show(&job, |out, job| out.line(format!("{} {}", job.id, job.state)))
        }
        Sub::Retry { target, function, budget, detach } => {
            let job = client.retry_job(&target.job.id(&client).await?, function.as_ref(), budget).await?;
            if detach {
                return ctx.out.show(&job, |out, job| out.line(job.id.as_str()));
            }
            ctx.note(format!("job {}: {}@{}", job.id, job.function, job.version));
            watch(&client, job.id.as_str(), ctx).await
        }
        Sub::Audit { target, sample } => audit(&client, &target.job.id(&client).await?, sample, ctx).await,
        Sub::Tasks { target, state, stage, limit } => {
            let id = target.job.id(&client).await?;
            let state = state.as_deref().map(task_state).transpose()?;
            let filter = TaskQuery { state, stage, ..TaskQuery::default() };
            let page =
                PageOptions::collect(limit, async |paging| client.tasks(&id, &filter.clone().page(paging)).await)
                    .await?;
            ctx.out.show(&page, |out, page| out.table(&task_table(&page.items)))?;
            ctx.note_more(page.next.as_ref());
            Ok(())
        }
        Sub::Result { target, part, list, line, lines, q, output } => {
            let id = target.job.id(&client).await?;
            let id = id.as_str();
            if list {
                return show_results(&client, id, ctx).await;
            }
            let body = match part {
                Some(index) => client.result_part(id, index).await?,
                None if line.is_some() || q.is_some() => {
                    client.result_lines(id, &ResultParams { line, lines, q, join: None }).await?
                }
                None => client.result(id).await?,
            };
            match output.filter(|o| o.as_os_str() != "-") {
                Some(file) => super::get::save(body, &file).await.map(drop),
                None => ctx.out.body(body).await.map(drop),
            }
        }
        Sub::Logs { target, follow, limit } => {
            let filter = LogQuery { job: Some(job_id(&target.job.id(&client).await?)?), ..LogQuery::default() };
            logs::show(&client, filter, follow, limit, ctx).await
        }
    }
}

/// Parses the state of a task.
fn task_state(text: &str) -> Result<TaskState, Failure> {
    serde_json::from_value(text.into()).map_err(|e| Failure::coded(Code::BadRequest, format!("state: {e}")))
}

/// Parses the id of a job.
fn job_id(text: &str) -> Result<JobId, Failure> {
    JobId::new(text).map_err(|e| Failure::usage(e.to_string()))
}

/// Follows a job to its end and reports its final state.
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
    let page: Page<Job> = PageOptions::collect(list.limit, async |paging| {
        let filter = JobQuery {
            state: (!list.state.is_empty()).then(|| list.state.join(",")),
            function: list.function.clone(),
            name: list.name.clone(),
            tag: list.tag.clone(),
            id: list.id.clone(),
            since_ms: list.since.map(|m| m.ms(now)),
            until_ms: list.until.map(|m| m.ms(now)),
            q: list.q.clone(),
            deleted: list.deleted.then_some(true),
            cursor: paging.cursor,
            limit: paging.limit,
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
                times::format_duration(j.run_ms),
                times::format_age(j.created_ms, now),
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
        format!("{} of {} tasks returned different bytes", report.differing.len(), report.checked),
    )
    .hint("the function is not pure: it depends on more than its input and parameters"))
}

async fn show_results(client: &Client, id: &str, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let page = PageOptions::collect(100_000, async |paging| client.results(id, &paging).await).await?;
    ctx.out.show(&page, |out, page| {
        let mut table = Table::new(&[">INDEX", ">BYTES", "TYPE", "DIGEST"]);
        for r in &page.items {
            let kind = r.content_type.clone().unwrap_or_default();
            table.row([r.index.to_string(), r.bytes.to_string(), kind, r.digest.to_string()]);
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
        format!("accepted  {}", times::format_timestamp(job.created_ms)),
        format!("waited    {}", times::format_duration(job.queue_ms)),
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
            times::format_duration(t.wall_us / 1000),
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

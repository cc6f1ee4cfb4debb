//! `fabric logs`: shows the logs of functions.

use super::Ctx;
use crate::{failure::Failure, job_ref, text::one_line, times};
use fabric_client::{Client, LogOrder, LogQuery, PageOptions};
use fabric_types::{
    Code,
    id::{FunctionName, JobId},
    rest::invocation::LogLine,
};
use std::collections::BTreeSet;

/// Flags of `fabric logs`.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// A function, or the id of an invocation or a job or the beginning of an id [default: all functions]
    #[arg(value_name = "FUNCTION|ID")]
    pub of: Option<String>,
    /// Show new lines as they are written; with --since, the earlier ones first
    #[arg(long, short)]
    pub follow: bool,
    /// Only since: 2h (ago), 2026-11-22, or a full time
    #[arg(long, value_name = "WHEN", value_parser = times::moment)]
    pub since: Option<times::Moment>,
    /// Only of this task, as STAGE/INDEX
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// Only with these words
    #[arg(long, value_name = "TEXT")]
    pub q: Option<String>,
    /// Only of this level and above
    #[arg(long, value_name = "LEVEL", value_parser = ["trace", "debug", "info", "warn", "error"])]
    pub level: Option<String>,
    /// Maximum number of lines to show: the newest, in chronological order
    #[arg(long, short = 'n', default_value_t = 1000, value_name = "N")]
    pub limit: usize,
}

/// Returns `true` if a text can be the beginning of an id. Names of functions have no upper case and begin with a
/// letter, so digits alone are also the beginning of an id.
fn is_id_prefix(text: &str) -> bool {
    (job_ref::SHORTEST..job_ref::WHOLE).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Runs `fabric logs`.
pub async fn run(args: &LogsArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let mut filter = LogQuery {
        since_ms: args.since.map(|m| m.ms(times::now_ms())),
        task: args.task.clone(),
        q: args.q.clone(),
        level: args.level.clone(),
        ..LogQuery::default()
    };
    if let Some(of) = &args.of {
        // Ids are upper case and names are lower case, so the text is unambiguous.
        if let Ok(id) = JobId::new(of) {
            match client.job(of, None).await {
                Ok(_) => filter.job = Some(id),
                Err(error) if error.is_not_found() => {
                    client.invocation(of, None).await.map_err(|error| {
                        if error.is_not_found() {
                            Failure::coded(Code::NotFound, format!("`{of}` is neither a job nor an invocation"))
                        } else {
                            error.into()
                        }
                    })?;
                    filter.invocation = Some(id.as_invocation());
                }
                Err(error) => return Err(error.into()),
            }
        } else if is_id_prefix(of) {
            filter.id_prefix = Some(of.clone());
        } else {
            filter.function = Some(FunctionName::new(of).map_err(|e| Failure::usage(e.to_string()))?);
        }
    }
    show(&client, filter, args.follow, args.limit, ctx).await
}

/// Shows the stored lines that match `filter`, or with `follow` new lines as they are written.
pub async fn show(client: &Client, filter: LogQuery, follow: bool, limit: usize, ctx: &Ctx<'_>) -> Result<(), Failure> {
    if follow {
        let mut lines = client.follow_logs(filter);
        let watch = async {
            while let Some(line) = lines.next().await? {
                print(&line, ctx)?;
            }
            Ok(())
        };
        return tokio::select! {
            outcome = watch => outcome,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
    }
    // Newest first, so that the limit cuts off the beginning of a long log.
    let newest_first = LogQuery { order: Some(LogOrder::Newest), ..filter.clone() };
    let newest = async |paging: PageOptions| client.logs(&newest_first.clone().page(paging)).await;
    let mut page = PageOptions::collect(limit, newest).await?;
    page.items.reverse();
    if let Some(prefix) = &filter.id_prefix {
        let ids: BTreeSet<_> = page.items.iter().map(|line| line.invocation_id.as_str()).collect();
        if ids.len() > 1 {
            let some: Vec<_> = ids.into_iter().rev().take(5).collect();
            return Err(Failure::usage(format!("`{prefix}` begins several ids: {}", some.join(", "))));
        }
        if ids.is_empty() {
            return Err(Failure::coded(
                Code::NotFound,
                format!("no invocation or job with logs has an id that begins with `{prefix}`"),
            ));
        }
    }
    if page.items.is_empty() {
        // An unknown function has no lines either: report it. The lines of a deleted function are still listed.
        if let Some(function) = &filter.function {
            client.function(function.as_str()).await?;
        }
        ctx.note("no lines");
    }
    if ctx.out.json {
        ctx.out.json(&page)?;
    } else {
        if page.next.is_some() {
            ctx.note(format!("the last {} lines; see more with --limit", page.items.len()));
        }
        for line in &page.items {
            print(line, ctx)?;
        }
    }
    Ok(())
}

fn print(line: &LogLine, ctx: &Ctx<'_>) -> Result<(), Failure> {
    ctx.out.show(line, |out, line| out.line(text(line)))
}

/// Formats a line for people: time, level, function, text.
pub fn text(line: &LogLine) -> String {
    let task = line.task.as_ref().map(|t| format!("[{t}]")).unwrap_or_default();
    format!(
        "{} {:<5} {}{task} {}",
        times::format_timestamp(line.at_ms),
        line.level,
        line.function,
        one_line(&line.message)
    )
}

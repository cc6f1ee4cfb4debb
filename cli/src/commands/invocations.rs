//! `fabric invocations`: lists calls of functions and acts on them.

use super::Ctx;
use crate::{failure::Failure, number, table::Table, times};
use fabric_client::{Client, InvocationQuery, PageOptions};
use fabric_types::{
    Code, Fault,
    id::{FunctionName, InvocationId},
    rest::invocation::{Invocation, InvocationState},
};
use std::time::Duration;

/// Duration of one request that waits for the end of an invocation. The server waits up to 60 seconds.
const POLL: Duration = Duration::from_secs(55);

/// Flags of `fabric invocations`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct InvocationsArgs {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List invocations, newest first (the default)
    List(List),
    /// Show one invocation
    Show(InvocationArg),
    /// Wait for an asynchronous invocation to end and write its result
    Result(InvocationArg),
    /// Stop an asynchronous invocation
    Cancel(InvocationArg),
}

#[derive(Debug, clap::Args)]
struct InvocationArg {
    /// The invocation's id, as `fabric invoke --async` writes it
    #[arg(value_name = "ID", value_parser = id)]
    id: InvocationId,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct List {
    /// Only in this state: queued, running, succeeded, failed, cancelled
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<InvocationState>,
    /// Only of this function
    #[arg(long, value_name = "NAME", add = crate::complete::functions())]
    function: Option<FunctionName>,
    /// Only accepted since: 2h (ago), 2026-11-22, or a full time
    #[arg(long, value_name = "WHEN", value_parser = times::moment)]
    since: Option<times::Moment>,
    /// Maximum number to list
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

fn id(text: &str) -> Result<InvocationId, String> {
    InvocationId::new(text.to_ascii_uppercase())
        .map_err(|_| format!("`{text}` is not the id of an invocation: it has 26 letters and digits"))
}

fn state(text: &str) -> Result<InvocationState, String> {
    serde_json::from_value(text.into())
        .map_err(|_| format!("`{text}` is not a state: write queued, running, succeeded, failed or cancelled"))
}

/// Runs `fabric invocations`.
pub async fn run(args: InvocationsArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    match args.command.unwrap_or(Sub::List(args.list)) {
        Sub::List(list) => show_list(&client, &list, ctx).await,
        Sub::Show(target) => {
            let invocation = client.invocation(target.id.as_str(), None).await?;
            ctx.out.show(&invocation, |out, invocation| out.line(details(invocation)))
        }
        Sub::Result(target) => {
            let invocation = client.invocation(target.id.as_str(), None).await?;
            result(invocation, &client, ctx).await
        }
        Sub::Cancel(target) => {
            let invocation = client.cancel_invocation(target.id.as_str()).await?;
            ctx.out.show(&invocation, |out, i| out.line(format!("{} {}", i.id, i.state)))
        }
    }
}

/// Waits for an invocation to end. Writes its result, or returns its fault.
pub async fn result(mut invocation: Invocation, client: &Client, ctx: &Ctx<'_>) -> Result<(), Failure> {
    while matches!(invocation.state, InvocationState::Queued | InvocationState::Running) {
        invocation = client.invocation(invocation.id.as_str(), Some(POLL)).await?;
    }
    match invocation.state {
        InvocationState::Succeeded if ctx.out.json => ctx.out.json(&invocation),
        InvocationState::Succeeded => {
            let body = client.invocation_result(invocation.id.as_str()).await?;
            ctx.out.body(body).await.map(drop)
        }
        InvocationState::Cancelled => {
            Err(Failure::coded(Code::Cancelled, format!("invocation {} was cancelled", invocation.id)))
        }
        _ => {
            let failed = || Fault::new(Code::FunctionFailed, "the invocation failed");
            let mut failure = Failure::from(invocation.error.unwrap_or_else(failed));
            failure.invocation = Some(invocation.id.to_string());
            Err(failure)
        }
    }
}

async fn show_list(client: &Client, list: &List, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let now = times::now_ms();
    let filter = InvocationQuery {
        function: list.function.clone(),
        state: list.state,
        since_ms: list.since.map(|moment| moment.ms(now)),
        ..InvocationQuery::default()
    };
    let page = PageOptions::collect(list.limit, async |paging| client.invocations(&filter.clone().page(paging)).await);
    let page = page.await?;
    ctx.out.show(&page, |out, page| {
        let mut table = Table::new(&["ID", "FUNCTION", "STATE", "ACCEPTED", ">TIME", ">FUEL", "ERROR"]);
        for invocation in &page.items {
            table.row([
                invocation.id.to_string(),
                format!("{}@{}", invocation.function, invocation.version),
                invocation.state.to_string(),
                times::format_age(invocation.created_ms, now),
                time(invocation),
                number::short(invocation.fuel),
                invocation.error.as_ref().map(|fault| fault.code.to_string()).unwrap_or_default(),
            ]);
        }
        out.table(&table)
    })?;
    ctx.note_more(page.next.as_ref());
    Ok(())
}

/// Formats the time from acceptance to the end.
fn time(invocation: &Invocation) -> String {
    let ended = invocation.ended_ms.map(|ended| times::format_duration(ended.saturating_sub(invocation.created_ms)));
    ended.unwrap_or_else(|| "-".to_owned())
}

fn details(invocation: &Invocation) -> String {
    let mut lines = vec![
        format!("invocation {}: {}@{}", invocation.id, invocation.function, invocation.version),
        format!("state      {}", invocation.state),
        format!("accepted   {}", times::format_timestamp(invocation.created_ms)),
        format!("time       {}", time(invocation)),
        format!("fuel       {}", number::grouped(invocation.fuel)),
    ];
    if invocation.cached {
        lines.push("cached     yes".to_owned());
    }
    if let Some(bytes) = invocation.result_bytes {
        lines.push(format!("result     {} bytes", number::grouped(bytes)));
    }
    if let Some(fault) = &invocation.error {
        lines.push(format!("error      {}: {}", fault.code, crate::text::one_line(&fault.message)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_states_are_read() {
        assert!(id("01jd0000000000000000000000").is_ok());
        assert!(id("01JD").unwrap_err().contains("26 letters"));
        for name in ["queued", "running", "succeeded", "failed", "cancelled"] {
            assert_eq!(state(name).map(InvocationState::as_str), Ok(name));
        }
        assert!(state("done").unwrap_err().contains("queued, running"));
    }
}

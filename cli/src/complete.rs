//! Shell completions that come from the server: names of functions and ids of jobs.

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use fabric_client::{
    Client, FunctionQuery, JobQuery, PageOptions,
    settings::{ContextFile, Flags, Settings, process_env},
};
use std::{ffi::OsStr, time::Duration};

/// Environment variable in which a shell's script requests completions and names the shell.
pub const VARIABLE: &str = "FABRIC_COMPLETE";
/// Maximum number of functions that are read.
const MOST: usize = 1000;
/// Time limit of a completion.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Completes names of functions.
pub fn functions() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        ask(typed, async |client| {
            let list = async |paging| client.functions(&FunctionQuery::default().page(paging)).await;
            let page = PageOptions::collect(MOST, list).await;
            page.map(|page| page.items.into_iter().map(|f| f.name.to_string()).collect()).unwrap_or_default()
        })
    })
}

/// Completes ids of the newest jobs.
pub fn jobs() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        ask(typed, async |client| {
            let page = client.jobs(&JobQuery { limit: Some(50), ..JobQuery::default() }).await;
            page.map(|page| page.items.into_iter().map(|job| job.id.to_string()).collect()).unwrap_or_default()
        })
    })
}

/// Queries the server that the environment names. Returns no candidates on any error.
fn ask(typed: &OsStr, list: impl AsyncFnOnce(Client) -> Vec<String>) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let found = || {
        let file = ContextFile::path().and_then(|path| ContextFile::load(&path).ok()).unwrap_or_default();
        let client = Settings::resolve(&Flags::default(), &process_env, &file).ok()?.client().ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async { tokio::time::timeout(TIMEOUT, list(client)).await.ok() })
    };
    let names = found().unwrap_or_default().into_iter();
    names.filter(|name| name.starts_with(typed)).map(CompletionCandidate::new).collect()
}

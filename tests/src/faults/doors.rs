//! Requests to any process of a fleet, with retries while a fault is active.

use super::member::Door;
use anyhow::{Context as _, Result};
use fabric_api::Problem;
use fabric_client::Client;
use fabric_types::Code;
use std::time::Duration;

/// Timeout for a response from any process. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause after every process failed to respond.
const PAUSE: Duration = Duration::from_millis(50);

/// Returns `true` if a fault can explain the error. Caller faults and missing items are not explained by a fault.
/// Compiling has a wall-clock limit, which a busy machine may exceed.
pub(crate) fn passes(error: &fabric_client::Error) -> bool {
    let of_the_server = |problem: &Problem| problem.status >= 500 || problem.code == Code::CompileLimit;
    error.is_retryable() || error.problem().is_some_and(of_the_server)
}

/// Clients for all processes that accept requests.
#[derive(Debug, Clone)]
pub(crate) struct Doors(pub(crate) Vec<Door>);

impl Doors {
    /// Returns clients for the processes that are running now.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.0.iter().filter_map(|door| door.borrow().clone()).collect()
    }

    /// Returns the first result that is not an error explained by a fault.
    pub(crate) async fn ask<T>(
        &self,
        what: &str,
        call: impl AsyncFn(&Client) -> fabric_client::Result<T>,
    ) -> Result<T> {
        let mut last = None;
        let answered = async {
            loop {
                for client in self.clients() {
                    match call(&client).await {
                        Ok(answer) => return Ok(answer),
                        Err(error) if passes(&error) => last = Some(error),
                        Err(error) => return Err(error),
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(answer) => answer.with_context(|| what.to_owned()),
            Err(_) => Err(anyhow::anyhow!("{what}: no process responded within two minutes; last error: {last:?}")),
        }
    }
}

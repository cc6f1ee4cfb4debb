//! Asking a fleet: any of its processes will do, and one that can't answer now is asked again.

use super::member::Door;
use anyhow::{Context as _, Result};
use fabric_api::Problem;
use fabric_client::Client;
use fabric_types::Code;
use std::time::Duration;

/// How long until some process must have answered. Only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// The pause after all were asked in vain.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether an error passes when the fault does: the caller's own mistakes, and what is not there, don't. Compiling has a limit
/// by the clock, which a busy machine may break.
pub(crate) fn passes(error: &fabric_client::Error) -> bool {
    let of_the_server = |problem: &Problem| problem.status >= 500 || problem.code == Code::CompileLimit;
    error.is_retryable() || error.problem().is_some_and(of_the_server)
}

/// The doors of all processes that take requests.
#[derive(Debug, Clone)]
pub(crate) struct Doors(pub(crate) Vec<Door>);

impl Doors {
    /// Clients of all that are open now.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.0.iter().filter_map(|door| door.borrow().clone()).collect()
    }

    /// The first answer that is no passing error.
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
            Err(_) => Err(anyhow::anyhow!("{what}: nobody answered within two minutes; the last error: {last:?}")),
        }
    }
}

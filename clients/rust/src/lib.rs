//! A typed client of Fabric's REST API, used by the CLI, the tests and the benches.
//!
//! The methods cover the routes of `/v1`, except for the results of single tasks and for logs by path ([`Client::logs`]
//! filters instead). Requests and responses are the types of [`fabric_api`], and of [`fabric_types`] for facts such as
//! jobs and log lines. Objects and results are streamed, job events continue across reconnects, and requests that are safe to repeat are retried.
//! The client has no cache and no background task.
//!
//! Every request can fail with [`Error::Unreachable`], [`Error::Timeout`], [`Error::Protocol`], [`Error::Interrupted`],
//! or an [`Error::Problem`] such as `unauthenticated`, `denied` or `unavailable`. The methods list only further errors.
//!
//! ```no_run
//! # async fn example() -> fabric_client::Result<()> {
//! use fabric_client::{Client, Options};
//! let client = Client::new(Options::new("http://127.0.0.1:8080").token("…"))?;
//! for function in client.functions(&Default::default()).await?.items {
//!     println!("{}", function.name);
//! }
//! # Ok(())
//! # }
//! ```

mod body;
mod cluster;
mod error;
mod follow;
mod functions;
mod invocations;
mod jobs;
mod logs;
mod objects;
mod options;
mod request;
mod retry;
pub mod settings;
pub mod sse;

pub use body::{Download, Upload};
pub use cluster::NodeModeRequest;
pub use error::{Error, Result};
pub use fabric_api::{
    PageOptions,
    function::FunctionQuery,
    invocation::InvocationQuery,
    job::{AuditReport, DeadLetterQuery, JobQuery, TaskQuery},
    log::{LogOrder, LogQuery},
    object::ObjectQuery,
    result::{ResultInfo, ResultParams},
};
pub use follow::{JobEvents, LogFollow};
pub use functions::DeployRequest;
pub use invocations::{InvokeRequest, InvokeResponse};
pub use jobs::DeletionMode;
pub use objects::{GetOptions, UploadOptions};
pub use options::Options;
pub use request::Client;
pub use reqwest::Method;

/// Installs ring as the TLS provider of the process. Call it first in every `main`. [`Client::new`] calls it too, and
/// further calls have no effect.
pub fn init_tls() {
    // The error only means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Generates an idempotency key of 128 random bits.
///
/// # Errors
/// [`Error::Random`] if the operating system has no random bytes.
pub fn idempotency_key() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::Random(e.to_string()))?;
    Ok(hex::encode(bytes))
}

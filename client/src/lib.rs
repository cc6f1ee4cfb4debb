//! A typed client of Fabric's REST API, used by the CLI, the tests and the benches.
//!
//! There is a method for every route of `/v1`; what goes over the wire is [`fabric_types::rest`]. Objects and results
//! are streamed, job events are followed across reconnects, and requests that may safely be sent twice are. It holds
//! no state of its own: no cache, no background task.
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
mod paging;
mod request;
mod retry;
pub mod settings;
pub mod sse;

pub use body::{Download, Upload};
pub use error::{Error, Result};
pub use follow::{JobEvents, LogFollow};
pub use functions::{Deploy, FunctionFilter};
pub use invocations::{InvocationFilter, Invoke, Invoked};
pub use jobs::{AuditReport, Difference, JobFilter, ResultInfo, ResultLines, TaskFilter};
pub use logs::LogFilter;
pub use objects::{GetOptions, Listing, PutOptions};
pub use options::Options;
pub use paging::Paging;
pub use request::Client;
pub use reqwest::Method;

/// Chooses ring as the process's TLS provider. Call it first in every `main`; [`Client::new`] calls it too, and
/// calling it again does nothing.
pub fn init_tls() {
    // An error only says that a provider is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A new idempotency key: 128 random bits.
///
/// # Errors
/// [`Error::Random`] where the operating system gives no randomness.
pub fn idempotency_key() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::Random(e.to_string()))?;
    Ok(hex::encode(bytes))
}

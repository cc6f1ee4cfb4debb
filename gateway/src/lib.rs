//! The gateway: the REST API over HTTP/1.1 and HTTP/2, tokens, the function registry, and the routing to http
//! functions.
//!
//! The gateway owns functions and tokens (both live in the backend's registry) and delegates everything else to the
//! driver, the node, the store and the index. In a fleet one process has the driver; the others forward requests about
//! jobs ([`peers`]). The gateway neither plans jobs nor runs guests.
//!
//! A request passes, in order: the connection's limits ([`server`]), the layers of the server (metrics, request id,
//! problem details, limits of bodies, target, `/f/`, the owner of the jobs), the route's access rule ([`access`]), the
//! idempotency record ([`idempotency`]), the handler ([`routes`]).
//! Every error leaves through [`error`].

pub mod access;
mod access_log;
pub mod body;
mod caller;
mod charged;
pub mod clock;
pub mod error;
pub mod extract;
pub mod functions;
mod headers;
pub mod health;
mod hosts;
pub mod idempotency;
pub mod jupyterhub;
pub mod metrics;
pub mod offload;
mod paths;
pub mod peers;
mod python_runner;
pub mod range;
mod readiness;
pub mod routes;
pub mod server;
mod shares;
pub mod state;
pub mod tokens;
mod trailers;

pub use error::Error;
pub use hosts::FunctionsDomain;
pub use jupyterhub::JupyterHub;
pub use peers::{JobsOwnerAddress, Peers};
pub use python_runner::PythonRunner;
pub use server::{Gateway, Handle, Options, check_listen};
pub use state::Services;

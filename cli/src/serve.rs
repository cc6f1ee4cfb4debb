//! Wires the server's parts together. Nothing else in this binary knows them.

use crate::{args::CompileWorkerArgs, failure::Failure, serve_config::ServeArgs};
use std::process::ExitCode;

/// Runs a server until it is told to stop.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let config = args.resolve(&fabric_client::settings::process_env)?;
    Err(Failure::local("internal", format!("this build has no server to listen on {}", config.listen.value)))
}

/// Compiles one module; the server starts it as a process of its own.
pub fn compile_worker(_args: CompileWorkerArgs) -> ExitCode {
    ExitCode::FAILURE
}

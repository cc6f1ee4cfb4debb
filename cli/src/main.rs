//! `fabric`: the binary of the server and its client. This file parses the command line, runs one command and turns its
//! outcome into an exit status. The commands are in `commands`; the server is the crate `fabric-server`.

mod args;
mod commands;
mod complete;
mod confirm;
#[cfg(test)]
mod docs;
mod failure;
mod guest_toolchain;
mod job_output;
mod job_ref;
mod local_input;
mod number;
mod oci;
mod output;
mod params;
mod progress;
mod project;
mod sdk;
mod table;
mod text;
mod times;

use args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use failure::Failure;
use output::Out;
use std::process::ExitCode;

/// A server makes many small allocations from many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Runs before anything opens a file or starts a thread, because the worker closes descriptors that it did not
    // receive.
    if std::env::args_os().nth(1).is_some_and(|arg| arg == fabric_server::GPU_WORKER) {
        return fabric_server::gpu_worker().into();
    }
    fabric_client::init_tls();
    // Ends the process if a shell's script requests completions.
    clap_complete::CompleteEnv::with_factory(Cli::command).var(complete::VARIABLE).complete();
    // clap ends the process itself for --help (0) and for a wrong command line (2).
    let cli = Cli::parse();
    let out = Out::new(cli.global.json);
    let outcome = match cli.command {
        // The server creates its own runtime.
        Command::Serve(args) => fabric_server::run(&args).map_err(Failure::from),
        Command::CompileWorker(_) => return fabric_server::compile_worker().into(),
        Command::GpuWorker => return fabric_server::gpu_worker().into(),
        command => client(command, &cli.global, &out),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has closed the pipe, which is not an error.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Runs a command of the client. One thread is enough.
fn client(command: Command, global: &args::Global, out: &Out) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("starting the runtime", e))?;
    let outcome = runtime.block_on(commands::run(command, global, out));
    // A read of standard input may still block a thread.
    runtime.shutdown_background();
    outcome
}

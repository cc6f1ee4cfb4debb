//! Benchmarks of the fabric against its peers: whole processes, compared in one run on one machine.
//!
//! `cargo run --release -p fabric-benches -- NAME [--key value]…` prints a Markdown table. Peers run in turns, and
//! every figure is the median of its rounds. A bench never fails because a machine is slow.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod bare;
mod figures;
mod fleet;
mod fleet_balance;
mod fleet_requests;
mod fleet_tasks;
mod gpu;
mod http;
mod load;
mod machine;
mod peer;
mod plot;
mod server;
mod services;
mod start;
mod task_cost;
mod text;
mod wordcount;

use anyhow::bail;
use arguments::Arguments;
use std::process::ExitCode;

/// The same allocator as in the server, so that bare wasmtime uses it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "cargo run --release -p fabric-benches -- NAME [--key value]…

task-cost   a task through the fabric against bare wasmtime      --tasks 100000 --rounds 3
wordcount   512 MiB of words against one native thread           --mib 512 --rounds 3
http        http-hello against axum and `wasmtime serve`         --seconds 5 --connections 32 --rounds 3 --wasmtime PATH
start       start to ready, idle memory, first calls             --rounds 5
gpu         a guest's GPU against bare wgpu on the same adapter  --adapter NAME --rounds 3 --vector N --matrix N

fleet-tasks     a task over NATS, 1, 2, 4 node processes, against embedded    --tasks 50000 --rounds 3
fleet-requests  `ab`-like requests, one process against a fleet of three      --requests 20000 --clients 100 --rounds 1
fleet-balance   CPU and memory of three nodes as more guests run at once      --slots 4 --seconds 5 --samples 20000000
                                                                              --svg benches/results/balance.svg

Fleets need nats-server (--nats-server PATH, FABRIC_TEST_NATS, or on the PATH). Their store is a folder (--store file),
or SeaweedFS (--store s3; --weed PATH, FABRIC_TEST_WEED, or `weed` on the PATH).
The server is target/release/fabric (--fabric PATH), the guests are those of `cargo xtask guests` (--guests FOLDER).";

fn main() -> anyhow::Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    // Run as a worker of the sandbox, as the server does, before any file is opened or thread is started.
    match name.as_str() {
        gpu::WORKER => return Ok(fabric_host::gpu_worker_main().into()),
        gpu::COMPILER => return Ok(fabric_host::compile_worker_main().into()),
        _ => {}
    }
    let arguments = Arguments::parse(words)?;
    tokio::runtime::Runtime::new()?.block_on(bench(&name, &arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn bench(name: &str, arguments: &Arguments) -> anyhow::Result<()> {
    fabric_client::init_tls();
    // Dropping the bench ends its processes, also after a signal.
    tokio::select! {
        done = run(name, arguments) => done,
        stopped = stopped() => stopped,
    }
}

async fn run(name: &str, arguments: &Arguments) -> anyhow::Result<()> {
    match name {
        "task-cost" => task_cost::run(arguments).await,
        "wordcount" => wordcount::run(arguments).await,
        "http" => http::run(arguments).await,
        "start" => start::run(arguments).await,
        "gpu" => gpu::run(arguments).await,
        "fleet-tasks" => fleet_tasks::run(arguments).await,
        "fleet-requests" => fleet_requests::run(arguments).await,
        "fleet-balance" => fleet_balance::run(arguments).await,
        // The peer of `http`, in a separate process.
        "axum-hello" => http::axum_hello().await,
        _ => bail!("{USAGE}"),
    }
}

async fn stopped() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        pressed = tokio::signal::ctrl_c() => pressed?,
    }
    bail!("stopped")
}

//! What the fabric costs beside its peers, whole processes compared in one run on one machine.
//!
//! `cargo run --release -p fabric-benches -- NAME [--key value]…` prints a Markdown table. Peers take turns, and every
//! figure is the median of its rounds. This is no test: nothing here fails because a machine is slow.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod bare;
mod figures;
mod http;
mod machine;
mod peer;
mod server;
mod start;
mod task_cost;
mod text;
mod wordcount;

use anyhow::bail;
use arguments::Arguments;

/// The server's allocator, so that bare wasmtime has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "cargo run --release -p fabric-benches -- NAME [--key value]…

task-cost   a task through the fabric against bare wasmtime      --tasks 100000 --rounds 3
wordcount   512 MiB of words against one native thread           --mib 512 --rounds 3
http        http-hello against axum and `wasmtime serve`         --seconds 5 --connections 32 --rounds 3 --wasmtime PATH
start       start to ready, idle memory, first calls             --rounds 5

The server is target/release/fabric (--fabric PATH), the guests are those of `cargo xtask guests` (--guests FOLDER).";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    fabric_client::init_tls();
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let arguments = Arguments::parse(words)?;
    match name.as_str() {
        "task-cost" => task_cost::run(&arguments).await,
        "wordcount" => wordcount::run(&arguments).await,
        "http" => http::run(&arguments).await,
        "start" => start::run(&arguments).await,
        // The peer of `http`, in a process of its own.
        "axum-hello" => http::axum_hello().await,
        _ => bail!("{USAGE}"),
    }
}

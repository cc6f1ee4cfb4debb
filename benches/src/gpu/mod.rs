//! Cost of the GPU for guests: the same measurements in a sandboxed guest, through a session of the node's GPU without
//! the sandbox, and in plain wgpu, on one adapter, in turns.

mod bare;
mod report;
mod sandbox;
mod session;

// The guest measures with the same code.
#[allow(clippy::indexing_slicing)]
#[path = "../../../examples/gpu-bench/src/measure.rs"]
mod measure;

use crate::{arguments::Arguments, machine};
use anyhow::Context as _;
use bare::Bare;
use fabric_gpu::{AdapterInfo, AdapterKind};
use measure::Sizes;
use report::Ways;
use sandbox::Sandbox;
use session::Session;

/// Argument that runs this program as a GPU worker.
pub const WORKER: &str = "gpu-worker";

/// Argument that runs this program as a compile worker.
pub const COMPILER: &str = "compile-worker";

/// Memory for the largest sizes, in bytes: three matrices of 8192 rows.
const MEMORY_BYTES: u64 = 1 << 30;

fn sizes(arguments: &Arguments, info: &AdapterInfo) -> anyhow::Result<Sizes> {
    // Vector, matrix, repeats, latencies, rates.
    let (vector, matrix, repeats, latencies, rates) = match info.kind {
        AdapterKind::Software => (1 << 20, 128, 4, 200, 9),
        AdapterKind::Hardware => (1 << 26, 8192, 4, 1000, 15),
    };
    Ok(Sizes {
        vector: arguments.get("vector", vector)?,
        matrix: arguments.get("matrix", matrix)?,
        repeats,
        latencies,
        rates,
        f16: info.f16,
        subgroups: info.subgroup_size.is_some(),
    })
}

/// Runs the bench.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (adapter, rounds) = (arguments.get("adapter", String::new())?, arguments.get("rounds", 3_usize)?);
    println!("## gpu\n\n{}\n", machine::line());
    let gpu = session::open(Some(adapter).filter(|name| !name.is_empty())).await?;
    let info = gpu.info();
    let sizes = sizes(arguments, &info)?;
    println!("{}\n", report::adapter(&info));
    let sandbox = Sandbox::open(arguments, &info.name).await?;
    let mut bare = Bare::open(&info.name).context("opening the adapter without the fabric")?;
    let mut ways = Ways::default();
    for round in 0..rounds.max(1) {
        eprintln!("round {round}");
        ways.sandbox.push(sandbox.measure(&sizes).await.context("in the sandbox")?);
        let mut session = Session::new(&gpu).await?;
        ways.session.push(measure::all(&mut session, &sizes).await.context("through a session")?);
        session.close().await;
        ways.bare.push(measure::all(&mut bare, &sizes).await.context("with bare wgpu")?);
    }
    println!("{}", ways.table());
    println!("{}", ways.targets(info.kind));
    sandbox.close().await;
    gpu.shutdown().await;
    Ok(())
}

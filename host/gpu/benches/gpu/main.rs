//! What a session costs beside bare wgpu on the same adapter, in one run: `cargo bench -p fabric-gpu`.
//!
//! Small sizes on a software adapter, full ones on hardware. Prints a table; a ratio above 1 is what the way through
//! the worker costs. `-- --adapter NAME` picks an adapter by a part of its name.
#![allow(clippy::print_stdout, clippy::indexing_slicing)]

mod bare;
mod fabric;
mod measure;

use anyhow::Context as _;
use fabric_gpu::Kind;

/// How much work the measurements do.
pub struct Sizes {
    /// Numbers in a vector.
    pub vector: u32,
    /// Rows and columns of a square matrix.
    pub matrix: u32,
    /// Times that a kernel runs in one submit, so that the submit itself counts little.
    pub repeats: usize,
    /// Submits that a latency's median is taken from.
    pub latencies: usize,
    /// Submits that a rate's median is taken from.
    pub rates: usize,
}

const SOFTWARE: Sizes = Sizes { vector: 1 << 20, matrix: 128, repeats: 4, latencies: 200, rates: 9 };
const HARDWARE: Sizes = Sizes { vector: 1 << 26, matrix: 8192, repeats: 8, latencies: 1000, rates: 15 };

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let wanted = std::env::args().skip_while(|arg| arg != "--adapter").nth(1);
    let gpu = fabric::open(wanted).await?;
    let info = gpu.info();
    println!("adapter: {} ({:?}), driver {}", info.name, info.kind, info.driver);
    println!("f16: {}, subgroups: {:?}, loops: {:?}\n", info.f16, info.subgroup_size, info.loop_probe);
    let sizes = if info.kind == Kind::Software { SOFTWARE } else { HARDWARE };
    let bare = bare::Bare::open(&info.name).context("bare wgpu finds no such adapter")?;
    let mut fabric = fabric::Fabric::new(&gpu)?;
    let mut bare = bare;
    let ours = measure::all(&mut fabric, &sizes, info.f16).await?;
    let theirs = measure::all(&mut bare, &sizes, info.f16).await?;
    println!("| what | fabric | bare wgpu | cost |\n|---|---|---|---|");
    for (a, b) in ours.iter().zip(&theirs) {
        println!("| {} | {} | {} | {:.2} × |", a.what, a.shown(), b.shown(), a.seconds / b.seconds);
    }
    for (rows, who) in [(&ours, "fabric"), (&theirs, "bare")] {
        let rate = |name: &str| rows.iter().find(|row| row.what.starts_with(name)).map_or(0.0, |row| row.rate());
        let (copy, saxpy, sum) = (rate("copy"), rate("saxpy"), rate("reduction"));
        println!(
            "\n{who}: saxpy {:.0} %, reduction {:.0} % of the copy bandwidth",
            100.0 * saxpy / copy,
            100.0 * sum / copy
        );
    }
    gpu.shutdown().await;
    Ok(())
}

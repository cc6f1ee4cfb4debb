//! The measurements, the same for both ways.

use crate::Sizes;
use std::time::Instant;

/// A way to run passes. Buffers and pipelines are numbers in the order of their making.
#[allow(async_fn_in_trait, reason = "one caller, in this binary")]
pub trait Way {
    async fn buffer(&mut self, bytes: u64) -> anyhow::Result<usize>;
    async fn write(&mut self, buffer: usize, bytes: &[u8]) -> anyhow::Result<()>;
    async fn read(&mut self, buffer: usize, bytes: u64) -> anyhow::Result<Vec<u8>>;
    async fn pipeline(&mut self, wgsl: &str, entry: &str) -> anyhow::Result<usize>;
    /// Runs the steps in one submit, reads the start of a buffer in the same submit, and waits.
    async fn submit(&mut self, steps: &[Step], read: Option<(usize, u64)>) -> anyhow::Result<Vec<u8>>;
    /// Frees all buffers.
    async fn free(&mut self) -> anyhow::Result<()>;
}

/// One step of a submit.
#[derive(Clone)]
pub enum Step {
    Run { pipeline: usize, buffers: Vec<usize>, workgroups: [u32; 3] },
    Copy { from: usize, to: usize, bytes: u64 },
}

/// What was measured.
pub struct Row {
    pub what: String,
    /// Median, for one.
    pub seconds: f64,
    /// How much of what one is: bytes, operations, or nothing for a latency.
    pub amount: Option<(f64, &'static str)>,
}

impl Row {
    pub fn rate(&self) -> f64 {
        self.amount.map_or(0.0, |(amount, _)| amount / self.seconds)
    }

    pub fn shown(&self) -> String {
        match self.amount {
            Some((_, unit)) => format!("{:.2} G{unit}/s", self.rate() / 1e9),
            None => format!("{:.1} µs", self.seconds * 1e6),
        }
    }
}

macro_rules! pass {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-sdk/src/gpu/passes/", $name, ".wgsl"))
    };
}

const NOTHING: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(1) fn main() { data[0] += 1u; }";

pub async fn all(way: &mut impl Way, sizes: &Sizes, f16: bool) -> anyhow::Result<Vec<Row>> {
    let mut rows = latencies(way, sizes).await?;
    rows.extend(vectors(way, sizes).await?);
    rows.push(matrix(way, sizes, "alias T = f32;", "f32", 4).await?);
    if f16 {
        rows.push(matrix(way, sizes, "enable f16; alias T = f16;", "f16", 2).await?);
    }
    Ok(rows)
}

async fn latencies(way: &mut impl Way, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let buffer = way.buffer(1024).await?;
    let pipeline = way.pipeline(NOTHING, "main").await?;
    let one = vec![Step::Run { pipeline, buffers: vec![buffer], workgroups: [1, 1, 1] }];
    let many = vec![one[0].clone(); 256];
    let latency = |what: &str, seconds| Row { what: what.to_owned(), seconds, amount: None };
    let submit = timed(way, sizes.latencies, &one, None).await?;
    let read = timed(way, sizes.latencies, &one, Some((buffer, 1024))).await?;
    let dispatch = timed(way, sizes.rates, &many, None).await? / 256.0;
    way.free().await?;
    Ok(vec![
        latency("submit of one dispatch", submit),
        latency("submit and read of 1 KiB", read),
        latency("dispatch, one of 256", dispatch),
    ])
}

async fn vectors(way: &mut impl Way, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let n = sizes.vector;
    let bytes = u64::from(n) * 4;
    let data: Vec<u8> = (0..n).flat_map(|i| (i as f32 / n as f32).to_le_bytes()).collect();
    let (a, x, y) = (way.buffer(4).await?, way.buffer(bytes).await?, way.buffer(bytes).await?);
    way.write(a, &1.5_f32.to_le_bytes()).await?;
    let mut ups = Vec::new();
    let mut downs = Vec::new();
    for _ in 0..sizes.rates {
        let start = Instant::now();
        way.write(x, &data).await?;
        way.submit(&[], None).await?;
        ups.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let read = way.read(x, bytes).await?;
        downs.push(start.elapsed().as_secs_f64());
        anyhow::ensure!(read == data, "what was read is not what was written");
    }
    let rate = |what: &str, seconds: f64, per: f64| Row {
        what: format!("{what}, {} MiB", bytes >> 20),
        seconds,
        amount: Some((per * bytes as f64, "B")),
    };
    let mut rows = vec![rate("upload", median(ups), 1.0), rate("readback", median(downs), 1.0)];
    let repeat = |step: Step| vec![step; sizes.repeats];
    let each = sizes.repeats as f64;
    let copy = timed(way, sizes.rates, &repeat(Step::Copy { from: x, to: y, bytes }), None).await? / each;
    rows.push(rate("copy on the device", copy, 2.0));
    let grid = n.div_ceil(256).min(65_535);
    let saxpy = way.pipeline(pass!("saxpy"), "saxpy").await?;
    let step = Step::Run { pipeline: saxpy, buffers: vec![a, x, y], workgroups: [grid, 1, 1] };
    rows.push(rate("saxpy", timed(way, sizes.rates, &repeat(step), None).await? / each, 3.0));
    let groups = n.div_ceil(256).min(4096);
    let (partials, sum) = (way.buffer(u64::from(groups) * 4).await?, way.buffer(4).await?);
    let reduce = way.pipeline(&format!("alias T = f32;\n{}", pass!("reduce")), "reduce").await?;
    let run = |from, to, groups| Step::Run { pipeline: reduce, buffers: vec![from, to], workgroups: [groups, 1, 1] };
    let both = [run(x, partials, groups), run(partials, sum, 1)];
    let steps: Vec<_> = std::iter::repeat_n(both, sizes.repeats).flatten().collect();
    rows.push(rate("reduction", timed(way, sizes.rates, &steps, None).await? / each, 1.0));
    way.free().await?;
    Ok(rows)
}

async fn matrix(way: &mut impl Way, sizes: &Sizes, head: &str, name: &str, width: u64) -> anyhow::Result<Row> {
    let n = sizes.matrix;
    let bytes = u64::from(n) * u64::from(n) * width;
    let size = way.buffer(12).await?;
    way.write(size, &[n, n, n].map(u32::to_le_bytes).concat()).await?;
    let (a, b, c) = (way.buffer(bytes).await?, way.buffer(bytes).await?, way.buffer(bytes).await?);
    let matmul = way.pipeline(&format!("{head}\n{}", pass!("matmul")), "matmul").await?;
    let tiles = n.div_ceil(128);
    let step = Step::Run { pipeline: matmul, buffers: vec![size, a, b, c], workgroups: [tiles, tiles, 1] };
    let seconds = timed(way, sizes.rates, &[step], None).await?;
    way.free().await?;
    let operations = 2.0 * f64::from(n).powi(3);
    Ok(Row { what: format!("matmul {name}, {n}"), seconds, amount: Some((operations, "FLOP")) })
}

/// Median time of a submit, after two that warm up.
async fn timed(way: &mut impl Way, times: usize, steps: &[Step], read: Option<(usize, u64)>) -> anyhow::Result<f64> {
    let mut all = Vec::with_capacity(times);
    for at in 0..times + 2 {
        let start = Instant::now();
        way.submit(steps, read).await?;
        if at >= 2 {
            all.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(median(all))
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

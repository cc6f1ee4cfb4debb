//! The measurements, shared by all access paths to the GPU. The bench `gpu` includes this file for the paths outside of
//! the sandbox, so it depends neither on the SDK nor on the host.

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use std::{
    task::{Context, Poll, Waker},
    time::Instant,
};

/// An access path to the GPU. Buffers and pipelines are numbered in the order of creation.
#[allow(async_fn_in_trait, reason = "who implements it calls it")]
pub trait Way {
    /// Words in host or guest memory, for writes and reads.
    type Data: PartialEq;
    fn data(words: impl Iterator<Item = u32>) -> Self::Data;
    async fn buffer(&mut self, bytes: u64) -> anyhow::Result<usize>;
    /// Writes from the start of the buffer.
    async fn write(&mut self, buffer: usize, data: &Self::Data) -> anyhow::Result<()>;
    /// Reads a whole buffer.
    async fn read(&mut self, buffer: usize) -> anyhow::Result<Self::Data>;
    async fn pipeline(&mut self, wgsl: &str, entry: &str) -> anyhow::Result<usize>;
    /// Runs the steps in one submit, reads this number of bytes from the start of a buffer in the same submit, and
    /// waits.
    async fn submit(&mut self, steps: &[Step], read: Option<(usize, u64)>) -> anyhow::Result<Self::Data>;
    /// Frees all buffers. The numbering starts at 0 again.
    async fn free(&mut self) -> anyhow::Result<()>;
}

/// One step of a submit.
#[derive(Clone)]
pub enum Step {
    Run {
        pipeline: usize,
        buffers: Vec<usize>,
        workgroups: [u32; 3],
    },
    /// Copies a whole buffer to another one of the same size.
    Copy {
        from: usize,
        to: usize,
    },
}

/// Sizes of the measurements and features of the adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sizes {
    /// Numbers in a vector.
    pub vector: u32,
    /// Rows and columns of a square matrix.
    pub matrix: u32,
    /// Runs of a kernel in one submit, so that the overhead of the submit is small. A submit copies at most 1 GiB.
    pub repeats: u32,
    /// Number of submits for the median of a latency.
    pub latencies: u32,
    /// Number of submits for the median of a rate.
    pub rates: u32,
    pub f16: bool,
    pub subgroups: bool,
}

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    /// Median time of one operation.
    pub seconds: f64,
    /// Amount and unit of one operation: bytes or FLOP. `None` for a latency.
    pub amount: Option<(f64, String)>,
}

/// Runs all measurements.
pub async fn all<W: Way>(way: &mut W, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let mut rows = latencies(way, sizes).await?;
    rows.extend(vectors(way, sizes).await?);
    let f32_bits = |n: i32| (n as f32).to_bits();
    let words = |n: u64| W::data((0..n).map(|i| f32_bits(number(i))));
    rows.push(
        matrix(way, sizes, "f32", "alias T = f32;", 4, words, |cells| W::data([f32_bits(cells[0])].into_iter()))
            .await?,
    );
    if sizes.f16 {
        let pair = |low: i32, high: i32| f16_bits(low) | (f16_bits(high) << 16);
        let words = |n: u64| W::data((0..n / 2).map(|i| pair(number(2 * i), number(2 * i + 1))));
        let head = "enable f16; alias T = f16;";
        rows.push(matrix(way, sizes, "f16", head, 2, words, |[a, b]| W::data([pair(a, b)].into_iter())).await?);
    }
    Ok(rows)
}

const COUNT: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(1) fn main() { data[0] += 1u; }";

/// The reduction of `reduce.wgsl`, only for sums, with subgroup operations instead of most barriers.
const SUBGROUP_SUM: &str = "
@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
var<workgroup> sums: array<f32, 256>;
@compute @workgroup_size(256) fn reduce(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) at: u32, @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
) {
    var value = 0.0;
    for (var i = group.x * 256u + at; i < arrayLength(&input); i += groups.x * 256u) { value += input[i]; }
    value = subgroupAdd(value);
    if lane == 0u { sums[subgroup] = value; }
    workgroupBarrier();
    if at == 0u {
        var sum = 0.0;
        for (var i = 0u; i < subgroups; i++) { sum += sums[i]; }
        partials[group.x] = sum;
    }
}";

macro_rules! pass {
    ($name:literal) => {
        include_str!(concat!("../../../guest-sdk/src/gpu/passes/", $name, ".wgsl"))
    };
}

async fn latencies<W: Way>(way: &mut W, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let buffer = way.buffer(1024).await?;
    let pipeline = way.pipeline(COUNT, "main").await?;
    let one = [Step::Run { pipeline, buffers: vec![buffer], workgroups: [1, 1, 1] }];
    let many = vec![one[0].clone(); 256];
    let latency = |what: &str, seconds| Row { what: what.to_owned(), seconds, amount: None };
    let (submit, _) = timed(way, sizes.latencies, &one, None).await?;
    let (read, last) = timed(way, sizes.latencies, &one, Some((buffer, 1024))).await?;
    let counted = 2 * (sizes.latencies + WARM_UP);
    ensure!(last == W::data((0..256).map(|at| if at == 0 { counted } else { 0 })), "dispatches were counted wrongly");
    let (dispatches, _) = timed(way, sizes.rates, &many, None).await?;
    way.free().await?;
    Ok(vec![
        latency("submit of one dispatch", submit),
        latency("submit and read of 1 KiB", read),
        latency("dispatch, one of 256", dispatches / 256.0),
    ])
}

async fn vectors<W: Way>(way: &mut W, sizes: &Sizes) -> anyhow::Result<Vec<Row>> {
    let n = sizes.vector;
    let bytes = u64::from(n) * 4;
    let float = |value: f32| W::data([value.to_bits()].into_iter());
    let data = W::data((0..n).map(|i| (number(i.into()) as f32).to_bits()));
    let (a, x, y) = (way.buffer(4).await?, way.buffer(bytes).await?, way.buffer(bytes).await?);
    way.write(a, &float(1.5)).await?;
    let mut ups = Vec::new();
    let mut downs = Vec::new();
    for _ in 0..sizes.rates {
        let start = Instant::now();
        way.write(x, &data).await?;
        way.submit(&[], None).await?;
        ups.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let read = way.read(x).await?;
        downs.push(start.elapsed().as_secs_f64());
        ensure!(read == data, "the data read differs from the data written");
    }
    let rate = |what: &str, seconds: f64, per: f64| {
        let what = format!("{what}, {} MiB", bytes >> 20);
        Row { what, seconds, amount: Some((per * bytes as f64, "B".to_owned())) }
    };
    let mut rows = vec![rate("upload", median(ups), 1.0), rate("readback", median(downs), 1.0)];
    let repeat = |steps: &[Step]| -> Vec<Step> { vec![steps; sizes.repeats as usize].concat() };
    let each = f64::from(sizes.repeats);

    let (copy, _) = timed(way, sizes.rates, &repeat(&[Step::Copy { from: x, to: y }]), None).await?;
    rows.push(rate("copy on the device", copy / each, 2.0));

    let pipeline = way.pipeline(pass!("saxpy"), "saxpy").await?;
    let step = Step::Run { pipeline, buffers: vec![a, x, y], workgroups: [n.div_ceil(256).min(65_535), 1, 1] };
    let (saxpy, last) = timed(way, sizes.rates, &repeat(&[step]), Some((y, 4))).await?;
    rows.push(rate("saxpy", saxpy / each, 3.0));
    let added = 1.5 * (sizes.repeats * (sizes.rates + WARM_UP)) as f32;
    ensure!(last == float(number(0) as f32 * (1.0 + added)), "saxpy is wrong");

    let groups = n.div_ceil(256).min(4096);
    let (partials, sum) = (way.buffer(u64::from(groups) * 4).await?, way.buffer(4).await?);
    let expected = float((0..n).map(|i| i64::from(number(i.into()))).sum::<i64>() as f32);
    let plain = concat!("alias T = f32;\n", pass!("reduce"));
    let kinds = [("reduction", plain), ("reduction with subgroups", SUBGROUP_SUM)];
    for (name, wgsl) in kinds.into_iter().take(1 + usize::from(sizes.subgroups)) {
        let pipeline = way.pipeline(wgsl, "reduce").await?;
        let run = |from, to, groups| Step::Run { pipeline, buffers: vec![from, to], workgroups: [groups, 1, 1] };
        let steps = repeat(&[run(x, partials, groups), run(partials, sum, 1)]);
        let (seconds, last) = timed(way, sizes.rates, &steps, Some((sum, 4))).await?;
        rows.push(rate(name, seconds / each, 1.0));
        ensure!(last == expected, "the {name} is wrong");
    }
    way.free().await?;
    Ok(rows)
}

/// Measures a product of two square matrices. `words` returns the given number of elements, `expected` the first word
/// from the first two cells.
async fn matrix<W: Way>(
    way: &mut W,
    sizes: &Sizes,
    name: &str,
    head: &str,
    width: u64,
    words: impl Fn(u64) -> W::Data,
    expected: impl Fn([i32; 2]) -> W::Data,
) -> anyhow::Result<Row> {
    let n = u64::from(sizes.matrix);
    let size = way.buffer(12).await?;
    way.write(size, &W::data([sizes.matrix; 3].into_iter())).await?;
    let (a, b, c) =
        (way.buffer(n * n * width).await?, way.buffer(n * n * width).await?, way.buffer(n * n * width).await?);
    let data = words(n * n);
    way.write(a, &data).await?;
    way.write(b, &data).await?;
    drop(data);
    let pipeline = way.pipeline(&format!("{head}\n{}", pass!("matmul")), "matmul").await?;
    let tiles = sizes.matrix.div_ceil(128);
    let step = Step::Run { pipeline, buffers: vec![size, a, b, c], workgroups: [tiles, tiles, 1] };
    let (seconds, last) = timed(way, sizes.rates, &[step], Some((c, 4))).await?;
    let cell = |column| (0..n).map(|k| number(k) * number(k * n + column)).sum();
    ensure!(last == expected([cell(0), cell(1)]), "the product of matrices of {name} is wrong");
    way.free().await?;
    let operations = 2.0 * f64::from(sizes.matrix).powi(3);
    Ok(Row { what: format!("matmul {name}, {n}"), seconds, amount: Some((operations, "FLOP".to_owned())) })
}

/// Submits that are not measured: a driver may compile on the first run.
const WARM_UP: u32 = 2;

/// Returns the median time of a submit, and the data read by the last one.
async fn timed<W: Way>(
    way: &mut W,
    times: u32,
    steps: &[Step],
    read: Option<(usize, u64)>,
) -> anyhow::Result<(f64, W::Data)> {
    let mut all = Vec::with_capacity(times as usize);
    for _ in 0..WARM_UP {
        way.submit(steps, read).await?;
    }
    let mut last = W::data(std::iter::empty());
    for _ in 0..times {
        let start = Instant::now();
        last = way.submit(steps, read).await?;
        all.push(start.elapsed().as_secs_f64());
    }
    Ok((median(all), last))
}

/// Returns the element at an index: a pseudo-random integer from -3 to 3, so that sums and products stay small and are
/// exact in every float type.
fn number(at: u64) -> i32 {
    let mixed = (at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as i32 % 7 - 3
}

/// Converts an integer below 2,048 to half precision.
fn f16_bits(n: i32) -> u32 {
    let sign = u32::from(n < 0) << 15;
    match n.unsigned_abs() {
        0 => sign,
        n => sign | ((n.ilog2() + 15) << 10) | ((n << (10 - n.ilog2())) & 0x3FF),
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Returns the value of a future that completes on the first poll, otherwise `None`.
pub fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

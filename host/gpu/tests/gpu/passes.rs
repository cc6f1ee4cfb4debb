//! The SDK's built-in passes, compared with the CPU.

use crate::start::*;
use fabric_gpu::{Binding, BufferId, GpuCommand, Session, Source};
use std::collections::BTreeMap;

macro_rules! pass {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-sdk/src/gpu/passes/", $name, ".wgsl"))
    };
}

async fn pass(session: &Session, wgsl: String, entry: &str, constants: &[(&str, f64)]) -> fabric_gpu::PipelineId {
    let constants = constants.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    session.compile(Source { wgsl, entry: entry.into(), constants }).await.unwrap().0
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|f| f.to_bits()).collect()
}

fn floats(bits: &[u32]) -> Vec<f32> {
    bits.iter().map(|b| f32::from_bits(*b)).collect()
}

/// Returns deterministic pseudo-random numbers.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

async fn session() -> Session {
    gpu(options()).await.session(patient()).unwrap()
}

#[tokio::test]
async fn map_calls_the_function_that_is_given() {
    let session = session().await;
    let x = noise(10_001, 1);
    let input = filled(&session, &bits(&x)).await;
    let output = session.create(10_001 * 4).await.unwrap();
    let wgsl = format!("alias T = f32;\n{}\nfn f(x: T) -> T {{ return x * x + 1.0; }}", pass!("map"));
    let map = pass(&session, wgsl, "map", &[]).await;
    // Fewer invocations than elements, so invocations stride by the grid size.
    session.submit(vec![dispatch(map, &[input, output], 7)], vec![]).await.unwrap();
    for (x, y) in x.iter().zip(floats(&read(&session, output).await)) {
        assert!((x * x + 1.0 - y).abs() <= f32::EPSILON * 2.0, "{x} {y}");
    }
}

#[tokio::test]
async fn saxpy_agrees_with_the_processor() {
    let session = session().await;
    let (x, y) = (noise(70_000, 2), noise(70_000, 3));
    let a = filled(&session, &bits(&[1.5])).await;
    let (bx, by) = (filled(&session, &bits(&x)).await, filled(&session, &bits(&y)).await);
    let saxpy = pass(&session, pass!("saxpy").into(), "saxpy", &[]).await;
    session.submit(vec![dispatch(saxpy, &[a, bx, by], 100)], vec![]).await.unwrap();
    for ((x, y), got) in x.iter().zip(&y).zip(floats(&read(&session, by).await)) {
        assert!((1.5_f32.mul_add(*x, *y) - got).abs() <= f32::EPSILON, "{x} {y} {got}");
    }
}

#[tokio::test]
async fn reduce_sums_and_finds_least_and_greatest() {
    let session = session().await;
    for n in [1_usize, 255, 256, 257, 100_000] {
        let values: Vec<u32> = (0..n as u32).map(|i| i.wrapping_mul(2_654_435_761) % 1_000_003).collect();
        let groups = n.div_ceil(256).min(64) as u32;
        let input = filled(&session, &values).await;
        let partials = session.create(u64::from(groups) * 4).await.unwrap();
        let result = session.create(4).await.unwrap();
        let expected = [
            values.iter().fold(0, |a: u32, b| a.wrapping_add(*b)),
            *values.iter().min().unwrap(),
            *values.iter().max().unwrap(),
        ];
        for (op, expected) in expected.into_iter().enumerate() {
            let wgsl = format!("alias T = u32;\n{}", pass!("reduce"));
            let reduce = pass(&session, wgsl, "reduce", &[("op", op as f64)]).await;
            let steps = vec![dispatch(reduce, &[input, partials], groups), dispatch(reduce, &[partials, result], 1)];
            session.submit(steps, vec![]).await.unwrap();
            assert_eq!(read(&session, result).await, [expected], "op {op} over {n}");
            session.drop_pipeline(reduce).await.unwrap();
        }
    }
}

#[tokio::test]
async fn reduce_of_floats_is_near_the_exact_sum() {
    let session = session().await;
    let values = noise(200_000, 4);
    let input = filled(&session, &bits(&values)).await;
    let partials = session.create(256 * 4).await.unwrap();
    let result = session.create(4).await.unwrap();
    let reduce = pass(&session, format!("alias T = f32;\n{}", pass!("reduce")), "reduce", &[]).await;
    let steps = vec![dispatch(reduce, &[input, partials], 256), dispatch(reduce, &[partials, result], 1)];
    session.submit(steps, vec![]).await.unwrap();
    let exact: f64 = values.iter().map(|v| f64::from(*v)).sum();
    let magnitude: f64 = values.iter().map(|v| f64::from(v.abs())).sum();
    let got = f64::from(floats(&read(&session, result).await)[0]);
    // A tree of depth d has an error of at most d roundings of the sum of magnitudes; here d < 32.
    assert!((got - exact).abs() <= 32.0 * f64::from(f32::EPSILON) * magnitude, "{got} {exact}");
}

/// Scans a buffer in place, with as many levels as needed.
async fn scan(session: &Session, wgsl: &str, data: BufferId) {
    let scan = pass(session, wgsl.into(), "scan_blocks", &[]).await;
    let add = pass(session, wgsl.into(), "add_totals", &[]).await;
    let mut levels = vec![data];
    let mut steps = Vec::new();
    loop {
        let last = *levels.last().unwrap();
        let blocks = (session.size(last).unwrap() / 4).div_ceil(512);
        let totals = session.create(blocks * 4).await.unwrap();
        steps.push(dispatch(scan, &[last, totals], blocks as u32));
        levels.push(totals);
        if blocks == 1 {
            break;
        }
    }
    // The last totals cover all elements; the level before them is already scanned.
    for pair in levels[..levels.len() - 1].windows(2).rev() {
        let blocks = (session.size(pair[0]).unwrap() / 4).div_ceil(512);
        steps.push(dispatch(add, pair, blocks as u32));
    }
    session.submit(steps, vec![]).await.unwrap();
}

#[tokio::test]
async fn scan_gives_prefix_sums_of_one_and_of_many_blocks() {
    let session = session().await;
    let wgsl = format!("alias T = u32;\n{}", pass!("scan"));
    for n in [1_usize, 2, 511, 512, 513, 5000, 300_000] {
        let values: Vec<u32> = (0..n as u32).map(|i| i.wrapping_mul(40_503) % 100).collect();
        let data = filled(&session, &values).await;
        scan(&session, &wgsl, data).await;
        let mut sum = 0;
        let expected: Vec<u32> = values
            .iter()
            .map(|v| {
                sum += v;
                sum
            })
            .collect();
        assert!(read(&session, data).await == expected, "{n}");
    }
}

#[tokio::test]
async fn histogram_counts_what_is_in_its_bins() {
    let session = session().await;
    let mut values = noise(50_000, 5);
    values.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30]);
    // Bins of 1/64 over [-0.5, 0.5): powers of two, so that CPU and GPU agree exactly.
    let params = filled(&session, &bits(&[-0.5, 64.0])).await;
    let input = filled(&session, &bits(&values)).await;
    let bins = session.create(64 * 4).await.unwrap();
    let histogram = pass(&session, pass!("histogram").into(), "histogram", &[("BINS", 64.0)]).await;
    session.submit(vec![dispatch(histogram, &[params, input, bins], 50)], vec![]).await.unwrap();
    let mut expected = BTreeMap::new();
    for value in values.iter().filter(|v| v.is_finite() && v.abs() <= 0.5) {
        *expected.entry(((value + 0.5) * 64.0).floor() as usize).or_insert(0) += 1;
    }
    let expected: Vec<u32> = (0..64).map(|b| expected.get(&b).copied().unwrap_or(0)).collect();
    assert_eq!(read(&session, bins).await, expected);
}

#[tokio::test]
async fn matmul_agrees_with_the_processor_in_any_shape() {
    let session = session().await;
    let matmul = pass(&session, format!("alias T = f32;\n{}", pass!("matmul")), "matmul", &[]).await;
    for (m, n, k) in [(1_usize, 1_usize, 1_usize), (128, 128, 128), (130, 65, 33), (7, 200, 9)] {
        let (a, b) = (noise(m * k, 6), noise(k * n, 7));
        let size = filled(&session, &[m as u32, n as u32, k as u32]).await;
        let (ba, bb) = (filled(&session, &bits(&a)).await, filled(&session, &bits(&b)).await);
        let bc = session.create((m * n * 4) as u64).await.unwrap();
        let whole = |(at, buffer)| Binding { binding: at as u32, buffer, offset: 0, bytes: None };
        let bindings = [size, ba, bb, bc].into_iter().enumerate().map(whole).collect();
        let workgroups = [n.div_ceil(128) as u32, m.div_ceil(128) as u32, 1];
        let command = GpuCommand::Dispatch { pipeline: matmul, bindings, workgroups };
        session.submit(vec![command], vec![]).await.unwrap();
        let c = floats(&read(&session, bc).await);
        for row in 0..m {
            for column in 0..n {
                let exact: f64 = (0..k).map(|i| f64::from(a[row * k + i]) * f64::from(b[i * n + column])).sum();
                // k products of at most 1/4, each rounded once.
                let tolerance = f64::from(f32::EPSILON) * k as f64 * 0.25;
                let got = f64::from(c[row * n + column]);
                assert!((got - exact).abs() <= tolerance, "{m}×{n}×{k} at {row},{column}: {got} {exact}");
            }
        }
    }
}

//! A GPU for a test, and short words for what tests do with it.

use bytes::Bytes;
use fabric_gpu::{Binding, BufferId, Command, Gpu, Grant, Options, PipelineId, Range, Session, Source, WorkerCommand};
use std::time::Duration;

/// The defaults, on lavapipe whatever else the machine has.
pub fn options() -> Options {
    let mut options =
        Options::new(WorkerCommand { program: env!("CARGO_BIN_EXE_fabric-gpu-worker").into(), args: Vec::new() });
    options.adapter = Some("llvmpipe".into());
    options
}

/// Starts a worker, or says how to get what is missing.
pub async fn gpu(options: Options) -> Gpu {
    Gpu::detect(options).await.unwrap_or_else(|e| {
        panic!("these tests need a software Vulkan driver: {e}\nhint: apt-get install mesa-vulkan-drivers")
    })
}

pub fn source(wgsl: &str) -> Source {
    Source { wgsl: wgsl.to_owned(), entry: "main".to_owned(), constants: Vec::new() }
}

pub async fn compile(session: &Session, wgsl: &str) -> PipelineId {
    session.compile(source(wgsl)).await.unwrap().0
}

/// Binds buffers to 0, 1, 2, …, whole.
pub fn dispatch(pipeline: PipelineId, buffers: &[BufferId], workgroups: u32) -> Command {
    let whole =
        |(at, buffer): (usize, &BufferId)| Binding { binding: at as u32, buffer: *buffer, offset: 0, bytes: None };
    Command::Dispatch {
        pipeline,
        bindings: buffers.iter().enumerate().map(whole).collect(),
        workgroups: [workgroups, 1, 1],
    }
}

/// A buffer with these numbers in it.
pub async fn filled(session: &Session, numbers: &[u32]) -> BufferId {
    let buffer = session.create(numbers.len() as u64 * 4).await.unwrap();
    session.write(buffer, 0, raw(numbers)).await.unwrap();
    buffer
}

pub fn raw(numbers: &[u32]) -> Bytes {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

pub fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

pub fn whole(session: &Session, buffer: BufferId) -> Range {
    Range { buffer, offset: 0, bytes: session.size(buffer).unwrap() }
}

pub async fn read(session: &Session, buffer: BufferId) -> Vec<u32> {
    numbers(&session.read(whole(session, buffer)).await.unwrap())
}

/// Adds one to every number of a buffer.
pub const INCREMENT: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&data) { data[id.x] += 1u; }
}";

/// A long loop; see [`endless`]. Binding 0: a number of rounds.
pub const LONG: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(1) fn main() {
    let n = data[0];
    for (var i = 0u; i < n; i++) { data[1] = data[1] * 1664525u + 1013904223u + i; }
}";

/// Does not end within a lifetime, also where a driver cuts loops short: the loop runs in 2 to the 48th workgroups.
pub async fn endless(session: &Session) -> Command {
    let pipeline = compile(session, LONG).await;
    let data = filled(session, &[u32::MAX, 1]).await;
    let bindings = vec![Binding { binding: 0, buffer: data, offset: 0, bytes: None }];
    Command::Dispatch { pipeline, bindings, workgroups: [65_535; 3] }
}

/// Whether a session does its work right now.
pub async fn works(session: &Session) -> bool {
    let buffer = filled(session, &[41, 1]).await;
    let pipeline = compile(session, INCREMENT).await;
    let all = vec![whole(session, buffer)];
    let outcome = session.submit(vec![dispatch(pipeline, &[buffer], 1)], all).await.unwrap();
    session.destroy(buffer).await.unwrap();
    session.drop_pipeline(pipeline).await.unwrap();
    numbers(&outcome.reads[0]) == [42, 2]
}

pub fn grant() -> Grant {
    // The software driver compiles a pipeline when it first runs, and the machine may be busy.
    Grant { submit_deadline: Duration::from_secs(20), ..Grant::default() }
}

/// Enough for whatever a test does.
pub fn patient() -> Grant {
    Grant { submit_deadline: Duration::from_secs(3600), device_time: Duration::from_secs(7200), ..Grant::default() }
}

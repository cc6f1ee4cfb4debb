//! Test fixtures: a GPU and helpers for common operations.

use bytes::Bytes;
use fabric_gpu::{
    Binding, BufferId, ByteRange, Gpu, GpuCommand, GpuWorkerCommand, Grant, Options, PipelineId, Session, Source,
};
use std::time::Duration;

/// Returns the default options on lavapipe, regardless of other adapters of the machine.
pub fn options() -> Options {
    let mut options =
        Options::new(GpuWorkerCommand { program: env!("CARGO_BIN_EXE_fabric-gpu-worker").into(), args: Vec::new() });
    options.adapter = Some("llvmpipe".into());
    options
}

/// Starts a worker, or panics with a hint on how to install a driver.
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

/// Returns a dispatch with whole buffers bound to 0, 1, 2, …
pub fn dispatch(pipeline: PipelineId, buffers: &[BufferId], workgroups: u32) -> GpuCommand {
    let whole =
        |(at, buffer): (usize, &BufferId)| Binding { binding: at as u32, buffer: *buffer, offset: 0, bytes: None };
    GpuCommand::Dispatch {
        pipeline,
        bindings: buffers.iter().enumerate().map(whole).collect(),
        workgroups: [workgroups, 1, 1],
    }
}

/// Creates a buffer that contains these numbers.
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

pub fn whole(session: &Session, buffer: BufferId) -> ByteRange {
    ByteRange { buffer, offset: 0, bytes: session.size(buffer).unwrap() }
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

/// A long loop; see [`endless`]. Binding 0: the number of iterations.
pub const LONG: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(1) fn main() {
    let n = data[0];
    for (var i = 0u; i < n; i++) { data[1] = data[1] * 1664525u + 1013904223u + i; }
}";

/// Returns a dispatch that does not end in practice, even if a driver truncates loops: the loop runs in 2 to the 48th
/// workgroups.
pub async fn endless(session: &Session) -> GpuCommand {
    let pipeline = compile(session, LONG).await;
    let data = filled(session, &[u32::MAX, 1]).await;
    let bindings = vec![Binding { binding: 0, buffer: data, offset: 0, bytes: None }];
    GpuCommand::Dispatch { pipeline, bindings, workgroups: [65_535; 3] }
}

/// Returns `true` if a session works.
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
    // The software driver compiles a pipeline on its first run, and the machine may be busy.
    Grant { submit_deadline: Duration::from_secs(20), ..Grant::default() }
}

/// Returns a grant that no test exhausts.
pub fn patient() -> Grant {
    Grant { submit_deadline: Duration::from_secs(3600), device_time: Duration::from_secs(7200), ..Grant::default() }
}

//! Canary tests: a tenant never reads another tenant's bytes, in any state of the other session.

use crate::start::*;
use fabric_gpu::{Gpu, Session};

const CANARY: u32 = 0x0DEA_D0CA;
const SIZES: [usize; 4] = [16, 1024, 65_536, 1 << 20];

/// Fills buffers of many sizes, and workgroup memory, with the canary.
async fn fill(session: &Session) -> Vec<fabric_gpu::BufferId> {
    let mut buffers = Vec::new();
    for size in SIZES {
        for _ in 0..3 {
            buffers.push(filled(session, &vec![CANARY; size]).await);
        }
    }
    let wgsl = format!(
        "@group(0) @binding(0) var<storage, read_write> data: array<u32>;
         var<workgroup> tile: array<u32, 4096>;
         @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) at: u32) {{
             for (var i = at; i < 4096u; i += 64u) {{ tile[i] = {CANARY}u; }}
             workgroupBarrier();
             data[at % 16u] = tile[4095u - at];
         }}"
    );
    let pipeline = compile(session, &wgsl).await;
    session.submit(vec![dispatch(pipeline, &buffers[..1], 64)], vec![]).await.unwrap();
    assert_eq!(read(session, buffers[0]).await, [CANARY; 16]);
    buffers
}

/// Checks that all memory of a new session is zero.
async fn finds_nothing(gpu: &Gpu) {
    let session = gpu.session(patient()).unwrap();
    for size in SIZES {
        for _ in 0..3 {
            let buffer = session.create(size as u64 * 4).await.unwrap();
            assert!(read(&session, buffer).await.iter().all(|n| *n == 0), "{size}");
        }
    }
    // Read by a shader, from buffers and workgroup memory that were never written.
    let wgsl = "
        @group(0) @binding(0) var<storage, read_write> fresh: array<u32>;
        @group(0) @binding(1) var<storage, read_write> seen: array<atomic<u32>, 2>;
        var<workgroup> tile: array<u32, 4096>;
        @compute @workgroup_size(64) fn main(
            @builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) at: u32,
        ) {
            for (var i = at; i < 4096u; i += 64u) { atomicOr(&seen[0], tile[i]); }
            atomicOr(&seen[1], fresh[id.x]);
        }";
    let pipeline = compile(&session, wgsl).await;
    let fresh = session.create(256 << 10).await.unwrap();
    let seen = session.create(8).await.unwrap();
    session.submit(vec![dispatch(pipeline, &[fresh, seen], 1024)], vec![]).await.unwrap();
    assert_eq!(read(&session, seen).await, [0, 0]);
}

#[tokio::test]
async fn nothing_is_left_of_a_session_that_was_closed() {
    let gpu = gpu(options()).await;
    let session = gpu.session(patient()).unwrap();
    fill(&session).await;
    session.close().await;
    finds_nothing(&gpu).await;
}

#[tokio::test]
async fn nothing_is_left_of_buffers_that_were_destroyed_or_dropped() {
    let gpu = gpu(options()).await;
    let session = gpu.session(patient()).unwrap();
    for buffer in fill(&session).await {
        session.destroy(buffer).await.unwrap();
    }
    finds_nothing(&gpu).await;
    fill(&session).await;
    drop(session);
    finds_nothing(&gpu).await;
}

#[tokio::test]
async fn nothing_is_seen_of_a_session_that_lives() {
    let gpu = gpu(options()).await;
    let session = gpu.session(patient()).unwrap();
    let buffers = fill(&session).await;
    finds_nothing(&gpu).await;
    assert_eq!(read(&session, buffers[1]).await, [CANARY; 16]);
}

#[tokio::test]
async fn nothing_is_left_in_the_worker_that_follows_a_killed_one() {
    let gpu = gpu(options()).await;
    let session = gpu.session(patient()).unwrap();
    fill(&session).await;
    crate::loss::kill(gpu.worker_id().unwrap());
    assert!(session.create(4).await.unwrap_err().is_retryable());
    finds_nothing(&gpu).await;
}

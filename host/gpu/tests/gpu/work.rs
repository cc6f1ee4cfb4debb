//! Correct results for well-behaved guests.

use crate::start::*;
use fabric_gpu::{AdapterKind, BindingAccess, BindingShape, ByteRange, GpuCommand, LoopProbe, Source};

#[tokio::test]
async fn the_adapter_is_known() {
    let gpu = gpu(options()).await;
    let info = gpu.info();
    assert!(info.name.contains("llvmpipe"), "{info:?}");
    assert_eq!(info.kind, AdapterKind::Software);
    assert!(info.driver.contains("Mesa"), "{info:?}");
    assert!(info.fingerprint().contains("naga 30"));
    assert_eq!(info.memory_bytes, 512 << 20);
    assert!(info.limits.buffer_bytes >= 128 << 20, "{info:?}");
    match info.loop_probe {
        LoopProbe::Complete => {}
        LoopProbe::Truncated { rounds } => assert!(rounds < LoopProbe::ASKED),
    }
    assert!(gpu.worker_id().is_some());
    gpu.shutdown().await;
    assert!(works_no_more(&gpu).await);
}

async fn works_no_more(gpu: &fabric_gpu::Gpu) -> bool {
    gpu.session(grant()).unwrap().create(4).await.unwrap_err().is_retryable()
}

#[tokio::test]
async fn saxpy_is_right_and_metered() {
    let session = gpu(options()).await.session(grant()).unwrap();
    let n = 100_000_u32;
    let floats = |f: fn(u32) -> f32| (0..n).map(|i| f(i).to_bits()).collect::<Vec<_>>();
    let x = filled(&session, &floats(|i| i as f32)).await;
    let y = filled(&session, &floats(|i| 0.5 * i as f32)).await;
    let wgsl = "
        override a: f32;
        @group(0) @binding(0) var<storage, read> x: array<f32>;
        @group(0) @binding(1) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(64) fn saxpy(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&y) { y[id.x] += a * x[id.x]; }
        }";
    let source = Source { wgsl: wgsl.into(), entry: "saxpy".into(), constants: vec![("a".into(), 2.0)] };
    let (pipeline, reflection) = session.compile(source).await.unwrap();
    let layout = |binding, access| BindingShape { binding, access, min_bytes: 4 };
    assert_eq!(reflection.bindings, [layout(0, BindingAccess::Read), layout(1, BindingAccess::ReadWrite)]);
    assert_eq!(reflection.workgroup_size, [64, 1, 1]);
    let range = whole(&session, y);
    let before = session.device_time_left();
    assert!(before < grant().device_time, "checking and compiling took time");
    let outcome = session.submit(vec![dispatch(pipeline, &[x, y], n.div_ceil(64))], vec![range]).await.unwrap();
    for (i, bits) in numbers(&outcome.reads[0]).into_iter().enumerate() {
        assert_eq!(f32::from_bits(bits), 2.5 * i as f32, "at {i}");
    }
    assert!(outcome.stats.device_ns > 0);
    let used = before - session.device_time_left();
    assert_eq!(used.as_nanos(), u128::from(outcome.stats.device_ns));
}

#[tokio::test]
async fn steps_see_what_the_steps_before_wrote() {
    let session = gpu(options()).await.session(grant()).unwrap();
    let a = filled(&session, &[1, 2, 3, 4]).await;
    let b = session.create(16).await.unwrap();
    let add = compile(&session, INCREMENT).await;
    let all = |buffer| ByteRange { buffer, offset: 0, bytes: 16 };
    let commands = vec![
        dispatch(add, &[a], 1),
        dispatch(add, &[a], 1),
        GpuCommand::Copy { source: ByteRange { buffer: a, offset: 4, bytes: 8 }, target: b, target_offset: 8 },
        dispatch(add, &[a], 1),
        GpuCommand::Clear(ByteRange { buffer: a, offset: 12, bytes: 4 }),
        dispatch(add, &[b], 1),
    ];
    let outcome =
        session.submit(commands, vec![all(a), all(b), ByteRange { buffer: b, offset: 8, bytes: 4 }]).await.unwrap();
    let read: Vec<_> = outcome.reads.iter().map(|bytes| numbers(bytes)).collect();
    assert_eq!(read, [vec![4, 5, 6, 0], vec![1, 1, 5, 6], vec![5]]);
}

#[tokio::test]
async fn long_writes_and_reads_are_split_and_whole() {
    let session = gpu(options()).await.session(grant()).unwrap();
    let long: Vec<u32> = (0..3_000_001).map(|n: u32| n.wrapping_mul(2_654_435_761)).collect();
    let buffer = filled(&session, &long).await;
    assert_eq!(session.size(buffer).unwrap(), 12_000_004);
    assert!(read(&session, buffer).await == long);
    session.write(buffer, 4_194_300, raw(&[7, 8, 9])).await.unwrap();
    let range = ByteRange { buffer, offset: 4_194_296, bytes: 20 };
    let at = 4_194_296 / 4;
    assert_eq!(numbers(&session.read(range).await.unwrap()), [long[at], 7, 8, 9, long[at + 4]]);
}

#[tokio::test]
async fn workgroups_share_memory_and_atomics() {
    let session = gpu(options()).await.session(grant()).unwrap();
    let wgsl = "
        @group(0) @binding(0) var<storage, read> data: array<u32>;
        @group(0) @binding(1) var<storage, read_write> bins: array<atomic<u32>, 16>;
        var<workgroup> local: array<atomic<u32>, 16>;
        @compute @workgroup_size(64) fn main(
            @builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) at: u32,
        ) {
            if id.x < arrayLength(&data) { atomicAdd(&local[data[id.x] % 16u], 1u); }
            workgroupBarrier();
            if at < 16u { atomicAdd(&bins[at], atomicLoad(&local[at])); }
        }";
    let data: Vec<u32> = (0..10_000_u32).map(|n| n.wrapping_mul(n) / 7).collect();
    let mut expected = vec![0; 16];
    data.iter().for_each(|n| expected[*n as usize % 16] += 1);
    let input = filled(&session, &data).await;
    let bins = session.create(64).await.unwrap();
    let pipeline = compile(&session, wgsl).await;
    session.submit(vec![dispatch(pipeline, &[input, bins], 10_000_u32.div_ceil(64))], vec![]).await.unwrap();
    assert_eq!(read(&session, bins).await, expected);
}

#[tokio::test]
async fn sessions_work_side_by_side() {
    let gpu = gpu(options()).await;
    let clients = (0..8_u32).map(|client| {
        let session = gpu.session(grant()).unwrap();
        tokio::spawn(async move {
            let buffer = filled(&session, &vec![client * 1000; 256]).await;
            let add = compile(&session, INCREMENT).await;
            for _ in 0..20 {
                session.submit(vec![dispatch(add, &[buffer], 4)], vec![]).await.unwrap();
            }
            assert_eq!(read(&session, buffer).await, vec![client * 1000 + 20; 256]);
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert_eq!(gpu.queue_depth(), 0);
}

#[tokio::test]
async fn a_missing_gpu_is_said_in_plain_words() {
    let mut without_driver = options();
    without_driver.environment = vec![("VK_DRIVER_FILES".into(), "/nowhere.json".into())];
    without_driver.environment.push(("VK_ICD_FILENAMES".into(), "/nowhere.json".into()));
    let mut other = options();
    other.adapter = Some("Voodoo".into());
    let mut no_program = options();
    no_program.worker.program = "/nowhere/fabric".into();
    let mut no_worker = options();
    no_worker.worker.program = "/bin/true".into();
    for (options, expected) in [
        (without_driver, "no Vulkan driver was found"),
        (other, "no adapter has `Voodoo` in its name, there are: llvmpipe"),
        (no_program, "can't be started"),
        (no_worker, "ended while it opened the device"),
    ] {
        let Err(error) = fabric_gpu::Gpu::detect(options).await else { panic!("{expected}: a GPU was found") };
        assert!(error.to_string().contains(expected), "{error}");
    }
}

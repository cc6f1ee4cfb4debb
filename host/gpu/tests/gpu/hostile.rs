//! Requests of hostile guests. Each one fails with a specific error, the worker keeps running, and other sessions are
//! not affected.

use crate::start::*;
use fabric_gpu::{ByteRange, Error, Gpu, GpuCommand, Grant, Session};
use std::time::Duration;

fn limit_name(error: Error) -> String {
    match error {
        Error::Limit { name, .. } => name,
        other => panic!("{other:?}"),
    }
}

/// A second session with data that must be unchanged at the end, on the same worker.
struct Neighbour {
    gpu: Gpu,
    session: Session,
    buffer: fabric_gpu::BufferId,
    worker: Option<u32>,
}

impl Neighbour {
    async fn of(gpu: &Gpu) -> Self {
        let session = gpu.session(grant()).unwrap();
        let buffer = filled(&session, &[0xCAFE_BABE; 1024]).await;
        Self { gpu: gpu.clone(), session, buffer, worker: gpu.worker_id() }
    }

    async fn is_untouched(&self) {
        assert_eq!(self.gpu.worker_id(), self.worker, "the worker lives");
        assert_eq!(read(&self.session, self.buffer).await, vec![0xCAFE_BABE; 1024]);
        assert!(works(&self.session).await);
    }
}

#[tokio::test]
async fn accesses_out_of_bounds_stay_with_the_guest() {
    let gpu = gpu(options()).await;
    let neighbour = Neighbour::of(&gpu).await;
    let session = gpu.session(grant()).unwrap();
    let other = filled(&session, &[7; 64]).await;
    let data = filled(&session, &[5; 64]).await;
    let found = session.create(256).await.unwrap();
    // All indices are out of bounds: just beyond the buffer, far beyond it, and wrapped around.
    let wgsl = "
        @group(0) @binding(0) var<storage, read_write> data: array<u32>;
        @group(0) @binding(1) var<storage, read_write> found: array<atomic<u32>, 64>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let near = 64u + id.x;
            let far = id.x * 65537u + 64u;
            let below = 0xffffffffu - id.x;
            var indices = array<u32, 3>(near, far, below);
            for (var i = 0u; i < 3u; i++) {
                let value = data[indices[i]];
                if value == 0xcafebabeu { atomicAdd(&found[0], 1u); }
                if value != 5u && value != 0u { atomicAdd(&found[1], 1u); }
                data[indices[i]] = 0xdeadu;
            }
        }";
    let pipeline = compile(&session, wgsl).await;
    session.submit(vec![dispatch(pipeline, &[data, found], 4096)], vec![]).await.unwrap();
    let found = read(&session, found).await;
    assert_eq!(found[0], 0, "the neighbour's bytes were read");
    assert_eq!(read(&session, other).await, [7; 64], "a write went into another buffer");
    neighbour.is_untouched().await;
}

#[tokio::test]
async fn a_binding_of_a_part_shows_only_the_part() {
    let session = gpu(options()).await.session(grant()).unwrap();
    let numbers: Vec<u32> = (0..256).collect();
    let data = filled(&session, &numbers).await;
    let pipeline = compile(&session, INCREMENT.replace("id.x < arrayLength(&data)", "true").as_str()).await;
    let part = fabric_gpu::Binding { binding: 0, buffer: data, offset: 256, bytes: Some(256) };
    let command = GpuCommand::Dispatch { pipeline, bindings: vec![part], workgroups: [64, 1, 1] };
    session.submit(vec![command], vec![]).await.unwrap();
    let after = read(&session, data).await;
    assert_eq!(after[..64], numbers[..64]);
    assert_eq!(after[128..], numbers[128..]);
}

#[tokio::test]
async fn everything_oversized_is_a_limit_with_a_name() {
    let mut options = options();
    options.limits.passes_per_submit = 8;
    options.limits.copy_bytes = 1 << 20;
    options.limits.buffers = 4;
    options.limits.pipelines = 1;
    let gpu = gpu(options).await;
    let neighbour = Neighbour::of(&gpu).await;
    let session = gpu.session(Grant { total_bytes: 2 << 20, ..grant() }).unwrap();
    assert_eq!(limit_name(session.create(u64::MAX).await.unwrap_err()), "buffer-bytes");
    assert_eq!(limit_name(session.create((2 << 20) + 4).await.unwrap_err()), "total-bytes");
    let a = session.create(1 << 20).await.unwrap();
    let b = session.create(1 << 19).await.unwrap();
    for _ in 0..2 {
        session.create(4).await.unwrap();
    }
    assert_eq!(limit_name(session.create(4).await.unwrap_err()), "buffers");
    let clear = GpuCommand::Clear(ByteRange { buffer: a, offset: 0, bytes: 1 << 20 });
    let copy = GpuCommand::Copy { source: ByteRange { buffer: b, offset: 0, bytes: 4 }, target: a, target_offset: 0 };
    let submit = |commands, reads| session.submit(commands, reads);
    assert_eq!(limit_name(submit(vec![copy.clone(); 9], vec![]).await.unwrap_err()), "passes-per-submit");
    assert_eq!(limit_name(submit(vec![clear, copy], vec![]).await.unwrap_err()), "copy-bytes");
    assert_eq!(limit_name(submit(vec![], vec![whole(&session, a); 5]).await.unwrap_err()), "read-bytes");
    let pipeline = compile(&session, INCREMENT).await;
    assert_eq!(limit_name(session.compile(source(INCREMENT)).await.unwrap_err()), "pipelines");
    let wide = GpuCommand::Dispatch {
        pipeline,
        bindings: vec![fabric_gpu::Binding { binding: 0, buffer: a, offset: 0, bytes: None }],
        workgroups: [1, 1, 65_536],
    };
    assert_eq!(limit_name(submit(vec![wide], vec![]).await.unwrap_err()), "workgroups-per-dimension");
    neighbour.is_untouched().await;
}

#[tokio::test]
async fn hostile_shaders_end_in_the_checker() {
    let gpu = gpu(options()).await;
    let neighbour = Neighbour::of(&gpu).await;
    let session = gpu.session(grant()).unwrap();
    let doubling: String = (1..=60)
        .map(|n| format!("fn f{n}(x: u32) -> u32 {{ return f{}(x) + f{}(x + 1u); }}\n", n - 1, n - 1))
        .collect();
    let main = "@group(0) @binding(0) var<storage, read_write> data: array<u32>;\n@compute @workgroup_size(64) fn main";
    let shaders = [
        ("shader-bytes", format!("//{}", "x".repeat(70_000))),
        ("nesting", format!("{main}() {{ data[0] = {}1u{}; }}", "(".repeat(20_000), ")".repeat(20_000))),
        (
            "operations",
            format!("fn f0(x: u32) -> u32 {{ return x * 3u; }}\n{doubling}{main}() {{ data[0] = f60(1u); }}"),
        ),
        (
            "workgroup-memory-bytes",
            format!("var<workgroup> m: array<u32, 262144>;\n{main}() {{ m[0] = 1u; data[0] = m[1]; }}"),
        ),
        ("workgroup-invocations", format!("{}() {{ data[0] = 1u; }}", main.replace("(64)", "(64, 64)"))),
    ];
    for (name, wgsl) in shaders {
        assert_eq!(limit_name(session.compile(source(&wgsl)).await.unwrap_err()), name);
    }
    let Error::Shader { line, column, .. } = session.compile(source("fn main(\n  {")).await.unwrap_err() else {
        panic!("a syntax error")
    };
    assert_eq!((line, column), (2, 3));
    neighbour.is_untouched().await;
}

/// Declarations in reverse order, each depending on the next: the parser recurses once per declaration.
#[tokio::test]
async fn chains_of_declarations_do_not_reach_the_device_too_deep() {
    let gpu = gpu(options()).await;
    let neighbour = Neighbour::of(&gpu).await;
    let session = gpu.session(grant()).unwrap();
    let link = |kind: fn(usize) -> String| (0..2500).rev().map(kind).collect::<String>();
    for chain in [
        format!("{}const c0 = 1;\nconst top = c2500;\n", link(|n| format!("const c{} = c{n};\n", n + 1))),
        format!("{}alias c0 = u32;\nconst top = c2500(1);\n", link(|n| format!("alias c{} = c{n};\n", n + 1))),
        format!("fn c0() {{}}\nconst top = 1;\n{}", link(|n| format!("fn c{}() {{c{n}();}}\n", n + 1))),
        format!("struct c0 {{a:u32}}\nconst top = 1;\n{}", link(|n| format!("struct c{}{{a:c{n}}}\n", n + 1))),
    ] {
        let wgsl = format!("{chain}{}", INCREMENT.replace("1u", "u32(top)"));
        match session.compile(source(&wgsl)).await {
            Ok((pipeline, _)) => session.drop_pipeline(pipeline).await.unwrap(),
            Err(error) => assert!(matches!(error, Error::Limit { .. } | Error::Shader { .. }), "{error:?}"),
        }
    }
    neighbour.is_untouched().await;
}

/// Constants that need gigabytes to evaluate, in a hundred bytes of source.
#[tokio::test]
async fn memory_bombs_go_off_where_only_the_shader_suffers() {
    let gpu = gpu(options()).await;
    let neighbour = Neighbour::of(&gpu).await;
    let session = gpu.session(grant()).unwrap();
    let main =
        "@group(0) @binding(0) var<storage, read_write> data: array<i32>;\n@compute @workgroup_size(1) fn main()";
    for bomb in [
        "const bomb = array<i32, 1000000000>()[7];",
        "const bomb = (array<array<vec4<i32>, 65535>, 65535>())[3][3].x;",
        "const bomb = array<array<array<i32, 2000>, 2000>, 500>(array<array<array<i32, 2000>, 2000>, 500>())[1][1][1];",
    ] {
        let wgsl = format!("{bomb}\n{main} {{ data[0] = bomb; }}");
        match session.compile(source(&wgsl)).await {
            // naga may evaluate the constant without the allocation.
            Ok((pipeline, _)) => session.drop_pipeline(pipeline).await.unwrap(),
            Err(error) => assert!(matches!(error, Error::Limit { .. } | Error::Shader { .. }), "{error:?}"),
        }
    }
    neighbour.is_untouched().await;
}

#[tokio::test]
async fn the_checkers_limits_hold() {
    let mut tight = options();
    // Enough for the process and its stack, but not for a shader with thousands of functions.
    tight.check_memory_bytes = (8 << 20) + (6 << 20);
    tight.limits.shader_bytes = 512 << 10;
    let gpu = gpu(tight).await;
    let neighbour = Neighbour::of(&gpu).await;
    let session = gpu.session(grant()).unwrap();
    let functions: String =
        (0..9_000).map(|n| format!("fn f{n}(x: u32) -> u32 {{ return x * x + {n}u; }}\n")).collect();
    let wgsl = format!("{functions}{INCREMENT}");
    assert_eq!(limit_name(session.compile(source(&wgsl)).await.unwrap_err()), "check-memory-bytes");
    neighbour.is_untouched().await;
}

#[tokio::test]
async fn stale_and_forged_handles_are_refused() {
    let gpu = gpu(options()).await;
    let neighbour = Neighbour::of(&gpu).await;
    let session = gpu.session(grant()).unwrap();
    let invalid = |result: Result<(), Error>| match result.unwrap_err() {
        Error::Invalid(message) => message,
        other => panic!("{other:?}"),
    };
    let buffer = filled(&session, &[1]).await;
    let pipeline = compile(&session, INCREMENT).await;
    session.destroy(buffer).await.unwrap();
    assert!(invalid(session.destroy(buffer).await).contains("no buffer 1"));
    assert!(invalid(session.write(buffer, 0, raw(&[1])).await).contains("no buffer 1"));
    let range = ByteRange { buffer, offset: 0, bytes: 4 };
    assert!(invalid(session.read(range).await.map(|_| ())).contains("no buffer 1"));
    let run = session.submit(vec![dispatch(pipeline, &[buffer], 1)], vec![]).await;
    assert!(invalid(run.map(|_| ())).contains("no buffer 1"));
    let live = filled(&session, &[1]).await;
    session.drop_pipeline(pipeline).await.unwrap();
    let run = session.submit(vec![dispatch(pipeline, &[live], 1)], vec![]).await;
    assert!(invalid(run.map(|_| ())).contains("no pipeline 2"));
    // The neighbour's buffer id is not valid in this session.
    for forged in [neighbour.buffer, fabric_gpu::BufferId(u64::MAX)] {
        let result = session.read(ByteRange { buffer: forged, offset: 0, bytes: 4 }).await;
        assert!(invalid(result.map(|_| ())).contains("no buffer"));
    }
    neighbour.is_untouched().await;
}

#[tokio::test]
async fn many_tiny_submits_leave_others_their_turn() {
    let gpu = gpu(options()).await;
    let neighbour = Neighbour::of(&gpu).await;
    let session = gpu.session(grant()).unwrap();
    let buffer = filled(&session, &[0; 64]).await;
    let add = compile(&session, INCREMENT).await;
    let flood = async {
        for _ in 0..1000 {
            session.submit(vec![dispatch(add, &[buffer], 1)], vec![]).await.unwrap();
        }
    };
    let beside = async {
        for _ in 0..20 {
            assert!(works(&neighbour.session).await);
        }
    };
    tokio::join!(flood, beside);
    assert_eq!(read(&session, buffer).await, [1000; 64]);
    neighbour.is_untouched().await;
}

#[tokio::test]
async fn device_time_is_bounded_by_the_grant() {
    let gpu = gpu(options()).await;
    let device_time = Duration::from_millis(700);
    let session = gpu.session(Grant { device_time, ..grant() }).unwrap();
    let buffer = filled(&session, &[0; 1 << 20]).await;
    let add = compile(&session, INCREMENT).await;
    let error = loop {
        match session.submit(vec![dispatch(add, &[buffer], 16_384)], vec![]).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    // The submit that exhausted the grant ran to completion: stopping it would have cost the other sessions the device.
    let Error::Limit { name, limit, .. } = error else { panic!("{error:?}") };
    assert_eq!((name.as_str(), limit), ("device-time-ms", 700));
    assert!(session.device_time_spent() >= device_time, "{:?}", session.device_time_spent());
    assert_eq!(session.device_time_left(), Duration::ZERO);
    let last = session.submit(vec![], vec![]).await.unwrap_err();
    assert_eq!(limit_name(last), "device-time-ms");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_costs_its_deadline() {
    let gpu = gpu(options()).await;
    let session = gpu.session(grant()).unwrap();
    let buffer = filled(&session, &[1]).await;
    let add = compile(&session, INCREMENT).await;
    let before = session.device_time_left();
    let mut submit = Box::pin(session.submit(vec![dispatch(add, &[buffer], 1)], vec![]));
    assert!(futures_pending(submit.as_mut()).await);
    drop(submit);
    assert_eq!(before - session.device_time_left(), grant().submit_deadline);
    // The submit never began, because the owner task was not polled in between. The session stays usable.
    assert_eq!(read(&session, buffer).await, [1]);
}

/// Polls a future once. Returns `true` if it is pending.
async fn futures_pending<F: Future + Unpin>(mut future: F) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(cx).is_pending())).await
}

#[tokio::test]
async fn sessions_and_their_memory_are_bounded() {
    let mut few = options();
    few.sessions = 2;
    few.memory_bytes = 100 << 20;
    let gpu = gpu(few).await;
    let first = gpu.session(Grant { total_bytes: 60 << 20, ..grant() }).unwrap();
    let Err(error) = gpu.session(Grant { total_bytes: 60 << 20, ..grant() }) else { panic!("too much memory") };
    assert!(matches!(&error, Error::Busy(_)) && error.is_retryable(), "{error}");
    assert_eq!(limit_name(gpu.session(Grant { total_bytes: 101 << 20, ..grant() }).err().unwrap()), "total-bytes");
    let _second = gpu.session(Grant { total_bytes: 0, ..grant() }).unwrap();
    assert!(matches!(gpu.session(Grant { total_bytes: 0, ..grant() }), Err(Error::Busy(_))));
    first.close().await;
    assert!(works(&gpu.session(Grant { total_bytes: 60 << 20, ..grant() }).unwrap()).await);
}

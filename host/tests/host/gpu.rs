//! Tests of `fabric:gpu` through the sandbox, on a software driver. `examples/hostile/gpu-mischief` attempts each
//! forbidden operation, and the node and its other guests must continue to work.
//!
//! Requires lavapipe: `apt-get install mesa-vulkan-drivers`.

use crate::support::*;
use fabric_host::{GpuDevice, GpuSearch, Loaded, TaskCall, TaskReport, TaskStage, WorkerCommand, source::EmptySource};
use fabric_types::{
    Code,
    gpu::{GpuRequirement, GpuSupport},
    id::TenantId,
    limits::Limits,
    manifest::Manifest,
    node::GpuKind,
    units::ByteSize,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Returns a sandbox with lavapipe, which serves every GPU mode as an operator may allow for tests.
fn with_gpu(change: impl FnOnce(&mut GpuSearch)) -> Sandbox {
    let program = worker().program;
    let mut search = GpuSearch::new(WorkerCommand { program, args: vec!["gpu".to_owned()] });
    search.adapter = Some("llvmpipe".to_owned());
    search.any_software = true;
    change(&mut search);
    sandbox_with(|options| options.gpu = GpuDevice::find(search))
}

/// Configures a guest that uses the GPU. The limits are generous: the driver compiles at the first run of a pipeline,
/// and the machine may be busy.
fn uses(manifest: &mut Manifest) {
    manifest.resources.gpu = GpuRequirement::Required;
    manifest.limits = Limits { gpu_submit_ms: 10_000, deadline_ms: 600_000, fuel: 1 << 50, ..Limits::default() };
}

async fn mischief(sandbox: &Sandbox, change: impl FnOnce(&mut Manifest)) -> Arc<Loaded> {
    let change = |manifest: &mut Manifest| {
        uses(manifest);
        change(manifest);
    };
    sandbox.deploy(&guest("gpu-mischief"), change).await.unwrap()
}

async fn report(sandbox: &Sandbox, guest: &Loaded, ask: Value) -> TaskReport {
    let body = ask.to_string().into();
    let call = TaskCall {
        limits: guest.deployment().manifest.limits.clone(),
        ..TaskCall::new(TaskStage::Handler { body, content_type: None }, EmptySource)
    };
    sandbox.host.run_task(guest, call).await
}

async fn answer(sandbox: &Sandbox, guest: &Loaded, ask: Value) -> Value {
    serde_json::from_str(&text(&report(sandbox, guest, ask).await)).unwrap()
}

/// Asserts that the GPU still computes the sum of the squares of 0 to 999.
async fn works(sandbox: &Sandbox, guest: &Loaded) {
    assert_eq!(answer(sandbox, guest, json!({ "do": "sum" })).await, json!({ "ok": 332_833_500 }));
}

#[tokio::test]
async fn the_ready_passes_agree_with_the_processor_and_are_metered() {
    let sandbox = with_gpu(|_| {});
    let guest = mischief(&sandbox, |_| {}).await;
    let report = report(&sandbox, &guest, json!({ "do": "passes" })).await;
    let wrong: Value = serde_json::from_str(&text(&report)).unwrap();
    let none = json!({ "map": 0, "saxpy": 0, "reduce": 0, "histogram": 0, "scan": 0, "matmul": 0 });
    assert_eq!(wrong["ok"], none);
    assert!(
        report.cost.gpu_us > 0 && report.cost.gpu_us <= report.cost.wall_us,
        "{} of {}",
        report.cost.gpu_us,
        report.cost.wall_us
    );
    let info = answer(&sandbox, &guest, json!({ "do": "info" })).await;
    let facts = sandbox.host.gpu().facts().unwrap();
    assert_eq!(info["ok"]["name"], facts.name);
    assert_eq!((facts.kind, facts.serves), (GpuKind::Software, GpuSupport::Full));
    assert_eq!(info["ok"]["limits"]["total-bytes"], 64 << 20);
}

#[tokio::test]
async fn who_does_not_ask_or_finds_none_is_denied_and_who_requires_one_is_not_run() {
    let sandbox = with_gpu(|_| {});
    let modest = mischief(&sandbox, |manifest| manifest.resources.gpu = GpuRequirement::None).await;
    let denied = answer(&sandbox, &modest, json!({ "do": "sum" })).await;
    assert_eq!(denied["error"], "denied");
    assert!(denied["message"].as_str().unwrap().contains("[resources]"), "{denied}");
    assert_eq!(sandbox.host.gpu().adapter(modest.deployment()).await, None);

    let bare = sandbox_with(|options| options.gpu = GpuDevice::none("there is no driver"));
    let prefers = mischief(&bare, |manifest| manifest.resources.gpu = GpuRequirement::Preferred).await;
    let denied = answer(&bare, &prefers, json!({ "do": "info" })).await;
    assert_eq!(denied, json!({ "error": "denied", "message": "there is no driver" }));
    assert_eq!(bare.host.gpu().adapter(prefers.deployment()).await.as_deref(), Some("none"));
    let requires = mischief(&bare, |_| {}).await;
    let fault = report(&bare, &requires, json!({ "do": "info" })).await.result.unwrap_err();
    assert_eq!(fault.code, Code::Unavailable);
    assert!(fault.message.contains("there is no driver") && fault.is_retryable(), "{fault:?}");
}

#[test]
fn a_guest_that_does_not_use_the_gpu_does_not_ask_for_it() {
    let imports = |name: &str| guest(name).windows(10).any(|bytes| bytes == b"fabric:gpu");
    assert!(imports("gpu-mischief") && !imports("noop") && !imports("weather"));
}

#[tokio::test]
async fn a_software_driver_that_cuts_loops_short_serves_nobody_unasked() {
    let sandbox = with_gpu(|search| search.any_software = false);
    let prefers = mischief(&sandbox, |manifest| manifest.resources.gpu = GpuRequirement::Preferred).await;
    let answer = answer(&sandbox, &prefers, json!({ "do": "info" })).await;
    // Newer releases of lavapipe run long loops to completion.
    match sandbox.host.gpu().facts() {
        Ok(facts) => assert!(facts.long_loops && facts.serves == GpuSupport::Partial && answer["ok"].is_object()),
        Err(why) => {
            assert!(why.contains("ends loops after") && why.contains("--gpu any"), "{why}");
            assert_eq!(answer["error"], "denied");
        }
    }
}

#[tokio::test]
async fn each_thing_that_is_forbidden_has_its_own_error() {
    let sandbox = with_gpu(|_| {});
    let guest = mischief(&sandbox, |manifest| manifest.limits.handles = 100_000).await;
    for (action, error, name) in [
        (json!({ "do": "big-buffer", "bytes": (64 << 20) + 4 }), "limit", "total-bytes"),
        (json!({ "do": "big-buffer", "bytes": (2_u64 << 30) }), "limit", "buffer-bytes"),
        (json!({ "do": "many-buffers" }), "limit", "buffers"),
        (json!({ "do": "big-shader" }), "limit", "shader-bytes"),
        (json!({ "do": "workgroup-memory" }), "limit", "workgroup-memory-bytes"),
        (json!({ "do": "deep" }), "limit", "nesting"),
        (json!({ "do": "doubling" }), "limit", "operations"),
        (json!({ "do": "big-dispatch" }), "limit", "workgroups-per-dimension"),
    ] {
        let answer = answer(&sandbox, &guest, action.clone()).await;
        assert_eq!((&answer["error"], &answer["name"]), (&json!(error), &json!(name)), "{action}: {answer}");
        assert!(answer["value"].as_u64() > answer["limit"].as_u64(), "{answer}");
    }
    for action in ["bad-range", "wrong-binding"] {
        let answer = answer(&sandbox, &guest, json!({ "do": action })).await;
        for (attempt, ended) in answer["ok"].as_object().unwrap().iter().filter(|(name, _)| *name != "layout") {
            assert_eq!(ended["error"], "invalid", "{attempt}: {ended}");
        }
    }
    let outside = answer(&sandbox, &guest, json!({ "do": "out-of-bounds" })).await;
    assert_eq!(outside, json!({ "ok": { "foreign": 0, "beside_changed": 0 } }));
    let many = answer(&sandbox, &guest, json!({ "do": "tiny-submits", "n": 500 })).await;
    assert_eq!(many, json!({ "ok": 500 }));
    works(&sandbox, &guest).await;
}

#[tokio::test]
async fn a_table_full_of_buffers_is_the_sandboxs_limit() {
    let sandbox = with_gpu(|_| {});
    let guest = mischief(&sandbox, |manifest| manifest.limits.handles = 64).await;
    let fault = report(&sandbox, &guest, json!({ "do": "many-buffers" })).await.result.unwrap_err();
    assert_eq!(fault.code, Code::HandleLimit, "{fault:?}");
    works(&sandbox, &guest).await;
}

#[tokio::test]
async fn no_guest_sees_what_another_left() {
    let sandbox = with_gpu(|search| search.memory_bytes = 64 << 20);
    let guest = mischief(&sandbox, |_| {}).await;
    // There is room for one session at a time. The others wait for it and receive the same memory.
    let canary = || answer(&sandbox, &guest, json!({ "do": "canary" }));
    let (first, second, third) = tokio::join!(canary(), canary(), canary());
    for seen in [first, second, third] {
        assert_eq!(seen, json!({ "ok": { "bytes": 64 << 20, "not_zero": 0 } }));
    }
}

#[tokio::test]
async fn a_submit_without_end_is_stopped_and_the_next_one_works() {
    let sandbox = with_gpu(|_| {});
    let hostile = mischief(&sandbox, |manifest| manifest.limits.gpu_submit_ms = 1_000).await;
    let honest = mischief(&sandbox, |_| {}).await;
    works(&sandbox, &honest).await;
    let report = report(&sandbox, &hostile, json!({ "do": "endless" })).await;
    assert_eq!(text(&report), r#"{"error":"timed-out"}"#);
    assert!(report.cost.gpu_us >= 1_000_000, "it is paid for: {}", report.cost.gpu_us);
    works(&sandbox, &honest).await;
    let stale = answer(&sandbox, &hostile, json!({ "do": "stale" })).await;
    for (attempt, ended) in stale["ok"].as_object().unwrap() {
        match attempt.as_str() {
            "lost" => assert_eq!(*ended, json!({ "error": "timed-out" })),
            "new" => assert_eq!(*ended, json!({ "ok": 332_833_500 })),
            // Creating a new buffer with the old pipeline, or the other way round, succeeds; only its use is rejected.
            _ => assert_eq!(ended.get("ok").unwrap_or(ended)["error"], "invalid", "{attempt}: {stale}"),
        }
    }
    works(&sandbox, &honest).await;
}

#[tokio::test]
async fn who_ends_in_the_midst_of_a_submit_leaves_a_device_that_works() {
    let sandbox = with_gpu(|_| {});
    let guest = mischief(&sandbox, |manifest| manifest.limits.gpu_submit_ms = 1_500).await;
    let brief = mischief(&sandbox, |manifest| {
        manifest.limits.gpu_submit_ms = 1_500;
        manifest.limits.deadline_ms = 700;
    })
    .await;
    let report = report(&sandbox, &brief, json!({ "do": "endless" })).await;
    assert_eq!(report.result.unwrap_err().code, Code::Deadline);
    works(&sandbox, &guest).await;
}

#[tokio::test]
async fn who_takes_the_device_from_everybody_again_and_again_has_to_wait() {
    let sandbox = with_gpu(|_| {});
    let hostile = mischief(&sandbox, |manifest| manifest.limits.gpu_submit_ms = 300).await;
    let mut ending = answer(&sandbox, &hostile, json!({ "do": "endless" })).await;
    // The waits double, so even on a slow machine one is longer than the time to the next submit.
    for tried in 1..=12 {
        if ending["error"] == "busy" {
            assert!(tried > 3, "a few are free");
            break;
        }
        assert_eq!(ending, json!({ "error": "timed-out" }));
        ending = answer(&sandbox, &hostile, json!({ "do": "endless" })).await;
    }
    assert!(ending["message"].as_str().is_some_and(|why| why.contains("reset the device for all guests")), "{ending}");
    // Calls of another tenant continue to work.
    let mut other = hostile.deployment().as_ref().clone();
    (other.tenant, other.manifest.limits.gpu_submit_ms) = (TenantId::new("calm").unwrap(), 10_000);
    let other = sandbox.host.load(&Arc::new(other), || async { Ok(guest("gpu-mischief")) }).await.unwrap();
    works(&sandbox, &other).await;
}

#[tokio::test]
async fn who_leaves_before_the_deadline_is_blamed_for_it_too() {
    let sandbox = with_gpu(|_| {});
    let leaving = mischief(&sandbox, |manifest| {
        manifest.limits.gpu_submit_ms = 1_000;
        manifest.limits.deadline_ms = 900;
    })
    .await;
    // The call's own deadline ends it before the submit's deadline. The device is lost nevertheless.
    for _ in 0..30 {
        let report = report(&sandbox, &leaving, json!({ "do": "endless" })).await;
        match &report.result {
            Err(fault) => assert_eq!(fault.code, Code::Deadline),
            Ok(_) => {
                let answer: Value = serde_json::from_str(&text(&report)).unwrap();
                // A call may also observe the device loss that the previous call caused.
                if answer["error"] == "busy" {
                    assert!(
                        answer["message"].as_str().unwrap().contains("reset the device for all guests"),
                        "{answer}"
                    );
                    return;
                }
                assert!(answer["error"] == "device-lost", "{answer}");
            }
        }
    }
    panic!("it goes on and on");
}

#[tokio::test]
async fn device_time_ends_with_the_grant() {
    let sandbox = with_gpu(|_| {});
    let guest = mischief(&sandbox, |manifest| manifest.limits.gpu_ms = 1_500).await;
    let report = report(&sandbox, &guest, json!({ "do": "spin", "n": 100_000 })).await;
    let answer: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!((&answer["error"], &answer["name"]), (&json!("limit"), &json!("device-time-ms")), "{answer}");
    // The submit that exhausted the grant was allowed to finish, within its own deadline.
    assert!((1_500_000..11_500_000).contains(&report.cost.gpu_us), "{}", report.cost.gpu_us);
    works(&sandbox, &guest).await;
}

#[tokio::test]
async fn more_than_the_guest_can_hold_is_not_read_for_it() {
    let sandbox = with_gpu(|_| {});
    let guest = mischief(&sandbox, |manifest| manifest.limits.memory_bytes = ByteSize::mib(3)).await;
    // The guest reads 4 MiB at once.
    let answer = answer(&sandbox, &guest, json!({ "do": "canary" })).await;
    let expected = json!({ "error": "limit", "name": "memory-bytes", "value": 4 << 20, "limit": 3 << 20 });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn more_than_the_node_has_is_a_limit() {
    let sandbox = with_gpu(|search| search.memory_bytes = 1 << 20);
    let guest = mischief(&sandbox, |manifest| manifest.limits.gpu_memory_bytes = ByteSize::mib(2)).await;
    let answer = answer(&sandbox, &guest, json!({ "do": "sum" })).await;
    assert_eq!(answer, json!({ "error": "limit", "name": "total-bytes", "value": 2 << 20, "limit": 1 << 20 }));
}

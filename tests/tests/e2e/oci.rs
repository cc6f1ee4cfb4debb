//! `fabric deploy oci://…`: a module from an OCI registry.

use fabric_tests::{Options, Registry, Server, built};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol, Config, ImageLayer},
    secrets::RegistryAuth,
};

/// Pushes layers with these media types as one artifact.
async fn push(reference: &str, layers: &[(&str, bytes::Bytes)]) {
    let client = Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() });
    let reference: Reference = reference.parse().unwrap();
    let layers: Vec<_> =
        layers.iter().map(|(kind, bytes)| ImageLayer::new(bytes.clone(), (*kind).to_owned(), None)).collect();
    let config = Config::new(b"{}".to_vec(), "application/vnd.wasm.config.v0+json".to_owned(), None);
    client.push(&reference, &layers, config, &RegistryAuth::Anonymous, None).await.unwrap();
}

#[tokio::test]
async fn a_module_is_deployed_from_a_registry() {
    let (server, registry) = (Server::start(Options::default()).await, Registry::start());
    let module = built("montecarlo-pi");
    let name = format!("{}/acme/monte_carlo:1.0", registry.address());
    push(&name, &[("application/wasm", module.clone())]).await;
    let deployed = server.cli(&["deploy", &format!("oci://{name}")]).await.ok();
    assert_eq!(deployed.text().trim(), "monte-carlo@1");
    let said = deployed.stderr.clone();
    assert!(said.contains(&format!("pulled {}/acme/monte_carlo@sha256:", registry.address())), "{said}");
    let version = server.client().version("monte-carlo", 1).await.unwrap();
    assert_eq!(version.module_bytes, module.len() as u64);
    assert!(
        version.note.starts_with(&format!("oci://{}/acme/monte_carlo@sha256:", registry.address())),
        "{}",
        version.note
    );
    // The note pins the digest, so it can be deployed again.
    let again = server.cli(&["deploy", &version.note, "--name", "again"]).await.ok();
    assert_eq!(again.text().trim(), "again@1");
    // With an explicit manifest.
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("pi.toml");
    std::fs::write(&manifest, "[function]\nname = \"pi\"\n[limits]\nfuel = \"10G\"\n").unwrap();
    let with = ["deploy", &format!("oci://{name}"), "--manifest", &manifest.display().to_string()];
    assert_eq!(server.cli(&with).await.ok().text().trim(), "pi@1");
    assert_eq!(server.client().version("pi", 1).await.unwrap().manifest.limits.fuel, 10_000_000_000);
}

#[tokio::test]
async fn what_is_no_module_in_a_registry_is_refused_with_the_reason() {
    let (server, registry) = (Server::start(Options::default()).await, Registry::start());
    let at = |name: &str| format!("{}/{name}", registry.address());
    push(&at("tar:1"), &[("application/vnd.oci.image.layer.v1.tar+gzip", vec![1, 2, 3].into())]).await;
    push(&at("two:1"), &[("application/wasm", vec![1].into()), ("application/wasm", vec![2].into())]).await;
    push(&at("rubbish:1"), &[("application/wasm", vec![0; 100].into())]).await;
    for (name, words) in [
        (at("tar:1"), "has no module: its layers are application/vnd.oci.image.layer.v1.tar+gzip"),
        (at("two:1"), "has several modules"),
        (at("rubbish:1"), "error[not-wasm]"),
        (at("nothing:1"), "error[not-found]"),
        (at("tar:2"), "error[not-found]"),
        ("127.0.0.1:1/a:1".to_owned(), "error[unavailable]"),
        ("A B".to_owned(), "error[usage]"),
        ("weather:1.4".to_owned(), "names no registry"),
        ("acme/weather:1.4".to_owned(), "names no registry"),
    ] {
        let refused = server.cli(&["deploy", &format!("oci://{name}")]).await;
        assert_ne!(refused.status, 0, "{name}");
        assert!(refused.stderr.contains(words), "{name}: {}", refused.stderr);
    }
    // A registry whose bytes do not match the digest in its manifest.
    push(&at("changed:1"), &[("application/wasm", built("noop"))]).await;
    registry.damage_blobs(built("noop").len());
    let refused = server.cli(&["deploy", &format!("oci://{}", at("changed:1"))]).await;
    assert!(refused.stderr.to_lowercase().contains("digest"), "{}", refused.stderr);
}

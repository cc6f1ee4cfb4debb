//! Manifests in TOML and JSON. A manifest accepted from TOML survives a round trip through JSON.

use fabric_fuzz::{fuzz, text};
use fabric_types::manifest::Manifest;

#[test]
fn manifests() {
    let small = b"[function]\nname = \"a\"\n";
    let large = b"[function]\nname = \"weather\"\ntags = [\"x\"]\n[limits]\nfuel = 1_000\nmemory-bytes = \"64MiB\"\n[grants]\nnetwork = [\"example.org:443\"]\n[[grants.volumes]]\nname = \"v\"\npath = \"/data\"\n[grants.env]\nA = 'b'\n[resources]\ngpu = \"preferred\"\nnode-selector = { zone = \"a\" }\n[params.properties.a]\ntype = \"integer\"\n";
    let json = br#"{"function":{"name":"a"},"limits":{"deadline-ms":5},"params":{"type":"object"}}"#;
    let nested = b"a.b.c.d = [[{e = 1}]]\n[x.y.z]\n[[x.q]]\n";
    fuzz("manifests", &[small, large, json, nested], |input| {
        let text = text(input);
        if let Ok(manifest) = Manifest::from_toml(&text) {
            let json = serde_json::to_string(&manifest).unwrap();
            assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
        }
        if let Ok(manifest) = serde_json::from_str::<Manifest>(&text) {
            let _ = manifest.check();
        }
    });
}

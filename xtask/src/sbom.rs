//! `cargo xtask sbom`: writes the software bill of materials of the `fabric` binary, in CycloneDX 1.6 JSON.
//!
//! Components are the crates that `fabric-cli` is built from on this machine's platform: those linked into the binary
//! with scope `required`, those that only run at build time (procedural macros, build scripts) with scope `excluded`.
//! Test dependencies are left out. Hashes are the checksums of Cargo.lock. The C code in `libsqlite3-sys`,
//! `libmimalloc-sys` and `ring` is part of those crates. Features are those of a build of the whole workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::folders;
use crate::outside::{cargo, output};
use crate::stage::say;

/// Name of the binary's package.
const ROOT: &str = "fabric-cli";

/// Writes the bill to a file, or to `sbom/fabric.cdx.json` below the target folder.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let file = match arguments {
        [] => folders::target().join("sbom/fabric.cdx.json"),
        [file] => PathBuf::from(file),
        _ => bail!("usage: cargo xtask sbom [FILE]"),
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let bill = bill()?;
    std::fs::write(&file, serde_json::to_vec_pretty(&bill)?).with_context(|| format!("{}", file.display()))?;
    let count = |scope: &str| {
        let components = bill.pointer("/components").and_then(Value::as_array);
        components.into_iter().flatten().filter(|c| text(c, "scope") == scope).count()
    };
    say(&format!(
        "xtask: {}: {} crates in the binary, {} more at build time",
        file.display(),
        count("required"),
        count("excluded")
    ));
    Ok(())
}

/// Returns a field of an object as text; empty if it is absent.
fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    object.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// Package ids and the dependencies of each: `(id, needed at run time)`.
type Graph<'a> = BTreeMap<&'a str, Vec<(&'a str, bool)>>;

fn bill() -> Result<Value> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
    let metadata = output(cargo().current_dir(folders::root()).args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        host,
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages: BTreeMap<&str, &Value> = list(&metadata, "packages").map(|p| (text(p, "id"), p)).collect();
    let resolve = metadata.get("resolve").context("cargo metadata resolved nothing")?;
    let graph: Graph<'_> = list(resolve, "nodes").map(|node| (text(node, "id"), edges(node, &packages))).collect();
    let root = packages.values().find(|p| text(p, "name") == ROOT).context("no package of the binary")?;
    let linked = reached(&graph, text(root, "id"), true);
    let all = reached(&graph, text(root, "id"), false);
    let checksums = checksums(&std::fs::read_to_string(folders::root().join("Cargo.lock"))?);
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for id in &all {
        let package = packages.get(id).with_context(|| format!("{id} is no package"))?;
        let needs: BTreeSet<String> = graph
            .get(id)
            .into_iter()
            .flatten()
            .filter(|(need, _)| all.contains(need))
            .filter_map(|(need, _)| packages.get(need).map(|p| purl(p)))
            .collect();
        dependencies.push(json!({"ref": purl(package), "dependsOn": needs}));
        if id != &text(root, "id") {
            components.push(component(package, linked.contains(id), &checksums));
        }
    }
    let mut bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": purl(root),
                "name": "fabric",
                "version": text(root, "version"),
                "licenses": licences(root),
            },
            "properties": [{"name": "fabric:target", "value": host}],
            "tools": {"components": [{"type": "application", "name": "cargo xtask sbom"}]},
        },
        "components": components,
        "dependencies": dependencies,
    });
    let serial = serial(&bill);
    if let Some(bill) = bill.as_object_mut() {
        bill.insert("serialNumber".into(), serial.into());
    }
    Ok(bill)
}

/// Returns the dependencies of a package, without test dependencies. Procedural macros and dependencies of build
/// scripts are not needed at run time.
fn edges<'a>(node: &'a Value, packages: &BTreeMap<&str, &Value>) -> Vec<(&'a str, bool)> {
    let is_macro = |id: &str| {
        let targets = packages.get(id).into_iter().flat_map(|package| list(package, "targets"));
        targets.into_iter().any(|target| list(target, "kind").any(|kind| kind == "proc-macro"))
    };
    list(node, "deps")
        .filter_map(|dependency| {
            let id = text(dependency, "pkg");
            let has = |wanted: &Value| list(dependency, "dep_kinds").any(|kind| kind.get("kind") == Some(wanted));
            let (normal, build) = (has(&Value::Null), has(&json!("build")));
            (normal || build).then(|| (id, normal && !is_macro(id)))
        })
        .collect()
}

fn reached<'a>(graph: &Graph<'a>, root: &'a str, at_run_time: bool) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        for (need, linked) in graph.get(id).into_iter().flatten() {
            if (*linked || !at_run_time) && found.insert(need) {
                open.push(need);
            }
        }
    }
    found
}

/// Returns a package URL. A `+` in a version becomes `%2B`, as the specification of package URLs requires.
fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version").replace('+', "%2B"))
}

fn licences(package: &Value) -> Value {
    match (text(package, "license"), text(package, "license_file")) {
        ("", "") => json!([]),
        ("", _) => json!([{"license": {"name": format!("license file of {}", text(package, "name"))}}]),
        // Old crates separate alternatives with a slash, which is not valid in an SPDX expression.
        (expression, _) => json!([{"expression": expression.replace('/', " OR ")}]),
    }
}

fn component(package: &Value, linked: bool, checksums: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": name,
        "version": version,
        "purl": purl(package),
        "scope": if linked { "required" } else { "excluded" },
        "licenses": licences(package),
    });
    if let Some(component) = component.as_object_mut() {
        if let Some(checksum) = checksums.get(&(name.to_owned(), version.to_owned())) {
            component.insert("hashes".into(), json!([{"alg": "SHA-256", "content": checksum}]));
        }
        let repository = text(package, "repository");
        if repository.starts_with("https://") {
            component.insert("externalReferences".into(), json!([{"type": "vcs", "url": repository}]));
        }
    }
    component
}

/// Returns the checksums in Cargo.lock by name and version. Crates of the workspace have none.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let entry = |block: &str| {
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
            line.and_then(|value| value.strip_suffix('"')).map(str::to_owned)
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    };
    lock.split("[[package]]").filter_map(entry).collect()
}

/// Returns a version 8 UUID derived from the bill's hash, so that the same bill has the same number.
fn serial(bill: &Value) -> String {
    let hash = blake3::hash(bill.to_string().as_bytes()).to_hex();
    let part = |from: usize, to: usize| hash.get(from..to).unwrap_or_default().to_owned();
    format!("urn:uuid:{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}

#[cfg(test)]
mod tests {

    use super::*;

    /// Runs the CycloneDX project's validator, with the schema and its strict rules.
    const VALIDATE: &str = "\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(error) if error else 0)
";

    #[test]
    fn the_bill_is_valid_and_complete() {
        let bill = bill().unwrap();
        let components: Vec<&Value> = list(&bill, "components").collect();
        let of = |scope: &str| -> BTreeSet<&str> {
            components.iter().filter(|c| text(c, "scope") == scope).map(|c| text(c, "name")).collect()
        };
        let (linked, built) = (of("required"), of("excluded"));
        for name in ["wasmtime", "rustls", "libsqlite3-sys", "fabric-host"] {
            assert!(linked.contains(name), "{name} is in the binary");
        }
        assert!(built.contains("serde_derive") && !linked.contains("serde_derive"), "a macro runs at build time");
        for name in ["insta", "proptest", "rcgen", "xtask", "fabric-tests"] {
            assert!(!linked.contains(name) && !built.contains(name), "{name} is for tests");
        }
        let mut known: BTreeSet<&str> = components.iter().map(|c| text(c, "bom-ref")).collect();
        assert_eq!(known.len(), components.len(), "references are unique");
        known.insert(bill.pointer("/metadata/component/bom-ref").and_then(Value::as_str).unwrap());
        for component in &components {
            let name = text(component, "name");
            assert!(list(component, "licenses").count() == 1, "{name} has no licence");
            let hash = component.pointer("/hashes/0/content").and_then(Value::as_str).unwrap_or_default();
            assert!(hash.len() == 64 || name.starts_with("fabric-"), "{name} has no checksum");
        }
        for dependency in list(&bill, "dependencies") {
            let needs = list(dependency, "dependsOn").filter_map(Value::as_str);
            assert!(known.contains(text(dependency, "ref")) && needs.into_iter().all(|need| known.contains(need)));
        }
        assert_eq!(text(&bill, "serialNumber").len(), "urn:uuid:".len() + 36);

        let tools = std::env::var_os("FABRIC_TEST_DEPLOY").map(PathBuf::from).expect(
            "set FABRIC_TEST_DEPLOY to the bin folder of a Python environment with the packages of xtask/pins/deploy.txt, or \
             run `cargo xtask test`",
        );
        let file = folders::target().join(format!("sbom-test-{}.json", std::process::id()));
        std::fs::write(&file, bill.to_string()).unwrap();
        let checked = Command::new(tools.join("python")).args(["-c", VALIDATE]).arg(&file).output().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }

    #[test]
    fn checksums_are_read_from_the_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"x\"\nchecksum = \"c0ffee\"\n\n\
                    [[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        let expected = BTreeMap::from([(("a".to_owned(), "1.0.0".to_owned()), "c0ffee".to_owned())]);
        assert_eq!(checksums(lock), expected);
    }
}

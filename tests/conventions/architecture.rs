//! The promises of ARCHITECTURE.md about the source: dependencies between crates, the place of `unsafe`, the length of
//! files, and a written reason for every dependency.

use crate::{
    cargo::{Package, metadata},
    sources::{repository, rust},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Longest file, in lines.
const LONGEST: usize = 600;

/// Dependencies allowed between our own crates, without those of tests. A crate may have fewer than its line lists.
const ALLOWED_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("fabric-types", &[]),
    ("fabric-api", &["fabric-types"]),
    ("fabric-scheduler-core", &["fabric-types"]),
    ("fabric-sim", &["fabric-types", "fabric-scheduler-core"]),
    ("fabric-backend", &["fabric-types"]),
    ("fabric-embedded", &["fabric-types", "fabric-backend"]),
    ("fabric-fleet", &["fabric-types", "fabric-backend"]),
    ("fabric-store", &["fabric-types"]),
    ("fabric-index", &["fabric-types"]),
    ("fabric-confine", &[]),
    ("fabric-gpu", &["fabric-confine"]),
    ("fabric-host", &["fabric-types", "fabric-confine", "fabric-gpu"]),
    ("fabric-results", &["fabric-types", "fabric-backend", "fabric-store"]),
    (
        "fabric-node",
        &["fabric-types", "fabric-backend", "fabric-store", "fabric-index", "fabric-results", "fabric-host"],
    ),
    (
        "fabric-driver",
        &["fabric-types", "fabric-scheduler-core", "fabric-backend", "fabric-store", "fabric-index", "fabric-results"],
    ),
    (
        "fabric-gateway",
        &[
            "fabric-types",
            "fabric-api",
            "fabric-backend",
            "fabric-store",
            "fabric-index",
            "fabric-results",
            "fabric-node",
            "fabric-driver",
        ],
    ),
    ("fabric-client", &["fabric-types", "fabric-api"]),
    (
        "fabric-server",
        &[
            "fabric-types",
            "fabric-api",
            "fabric-client",
            "fabric-backend",
            "fabric-embedded",
            "fabric-fleet",
            "fabric-store",
            "fabric-index",
            "fabric-results",
            "fabric-host",
            "fabric-node",
            "fabric-driver",
            "fabric-gateway",
        ],
    ),
    ("fabric-cli", &["fabric-types", "fabric-api", "fabric-client", "fabric-server"]),
    ("fabric-sdk-macros", &[]),
    ("fabric-sdk", &["fabric-sdk-macros"]),
];

/// Crates that no other may depend on: they test, measure and build.
const OUTSIDE: &[&str] = &["fabric-tests", "fabric-conventions", "fabric-fuzz", "fabric-benches", "xtask"];

/// External crates that a crate must not use. The pure ones have no clock, no threads and no I/O.
const BANNED_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("fabric-types", &["tokio", "axum", "hyper", "reqwest", "object_store", "rusqlite", "wasmtime", "rand"]),
    ("fabric-api", &["tokio", "axum", "hyper", "reqwest", "object_store", "rusqlite", "wasmtime", "rand"]),
    (
        "fabric-scheduler-core",
        &[
            "tokio",
            "futures",
            "axum",
            "object_store",
            "rusqlite",
            "wasmtime",
            "rand",
            "getrandom",
            "tracing",
            "parking_lot",
            "jiff",
        ],
    ),
    ("fabric-sim", &["tokio", "axum", "object_store", "rusqlite", "wasmtime"]),
    ("fabric-gpu", &["axum", "object_store", "rusqlite", "wasmtime", "reqwest"]),
    ("fabric-host", &["axum", "object_store", "rusqlite", "reqwest"]),
    ("fabric-store", &["axum", "rusqlite", "wasmtime"]),
    ("fabric-backend", &["axum", "object_store", "rusqlite", "async-nats", "wasmtime"]),
    ("fabric-embedded", &["axum", "object_store", "wasmtime"]),
    ("fabric-fleet", &["axum", "rusqlite", "wasmtime"]),
    ("fabric-gateway", &["wasmtime", "wasmtime-wasi", "rusqlite", "object_store", "clap"]),
    ("fabric-client", &["axum", "rusqlite", "wasmtime", "object_store", "clap"]),
    ("fabric-server", &["axum", "hyper", "reqwest", "rusqlite", "wasmtime", "object_store", "async-nats"]),
    ("fabric-cli", &["axum", "rusqlite", "wasmtime", "object_store", "prometheus-client", "rustls"]),
];

/// The modules of the gateway, from the lowest up: values and bodies, services, the state, access, routes, the server. A
/// module uses only modules before it.
const GATEWAY_ORDER: &[&str] = &[
    "headers",
    "paths",
    "error",
    "clock",
    "range",
    "shares",
    "trailers",
    "metrics",
    "offload",
    "body",
    "charged",
    "extract",
    "caller",
    "hosts",
    "python_runner",
    "functions",
    "tokens",
    "jupyterhub",
    "peers",
    "access_log",
    "health",
    "idempotency",
    "state",
    "readiness",
    "access",
    "routes",
    "server",
];

fn uses(package: &Package) -> BTreeSet<&str> {
    package.dependencies.iter().filter(|d| d.kind.is_none()).map(|d| d.name.as_str()).collect()
}

#[test]
fn dependencies_go_one_way() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let rules: BTreeMap<_, _> = ALLOWED_DEPENDENCIES.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let known: BTreeSet<&str> = uses(package).into_iter().filter(|d| ours.contains(d)).collect();
        wrong.extend(known.iter().filter(|d| OUTSIDE.contains(d)).map(|d| format!("{name} depends on {d}")));
        if OUTSIDE.contains(&name) {
            continue;
        }
        let Some(allowed) = rules.get(name) else {
            wrong.push(format!("{name} has no line in ALLOWED_DEPENDENCIES"));
            continue;
        };
        wrong.extend(known.iter().filter(|d| !allowed.contains(d)).map(|d| format!("{name} may not depend on {d}")));
    }
    wrong.extend(
        rules.keys().filter(|name| !ours.contains(*name)).map(|name| format!("{name} is not in the workspace")),
    );
    // A crate may depend only on earlier entries, so there is no cycle.
    for (at, (name, allowed)) in ALLOWED_DEPENDENCIES.iter().enumerate() {
        for known in *allowed {
            let place = ALLOWED_DEPENDENCIES.iter().position(|(n, _)| n == known).unwrap();
            if place > at {
                wrong.push(format!("ALLOWED_DEPENDENCIES lets {name} depend on {known}, which comes later"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_crates_stay_pure() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for (name, never) in BANNED_DEPENDENCIES {
        let package = metadata.packages.iter().find(|p| p.name.as_str() == *name).unwrap();
        wrong.extend(uses(package).iter().filter(|d| never.contains(d)).map(|d| format!("{name} uses {d}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the first names of the `crate::` paths in a source, comments left out.
fn crate_uses(source: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut uses = BTreeSet::new();
    let mut add = |path: &str| {
        let name = path.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        if !name.is_empty() {
            uses.insert(name.to_owned());
        }
    };
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            add(rest);
            continue;
        };
        let (mut depth, mut path) = (0, String::new());
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => add(&std::mem::take(&mut path)),
                c if depth == 0 => path.push(c),
                _ => {}
            }
        }
        add(&path);
    }
    uses
}

#[test]
fn the_gateways_modules_go_one_way() {
    let place = |name: &str| GATEWAY_ORDER.iter().position(|known| *known == name);
    let mut wrong = BTreeSet::new();
    for (path, text) in rust() {
        let Some(path) = path.strip_prefix("gateway/src/").filter(|path| *path != "lib.rs") else { continue };
        let module = path.split('/').next().unwrap().trim_end_matches(".rs");
        let Some(from) = place(module) else {
            wrong.insert(format!("{module} has no place in GATEWAY_ORDER"));
            continue;
        };
        for name in crate_uses(&text) {
            // The crate's root re-exports `error::Error`.
            let used = if name == "Error" { "error" } else { name.as_str() };
            match place(used) {
                None => drop(wrong.insert(format!("gateway/src/{path} uses crate::{name}: name its module"))),
                Some(to) if to <= from => {}
                Some(_) => drop(wrong.insert(format!("gateway/src/{path} uses {used}, which comes after {module}"))),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_crate_is_under_the_workspaces_lints_and_version() {
    for package in metadata().packages {
        let text = std::fs::read_to_string(&package.manifest_path).unwrap();
        let lints = text.split("[lints]").nth(1).unwrap_or_default();
        assert!(
            lints.trim_start().starts_with("workspace = true"),
            "{}: [lints] workspace = true",
            package.manifest_path.display()
        );
        for field in ["version", "edition", "rust-version", "license"] {
            assert!(
                text.contains(&format!("{field}.workspace = true")),
                "{}: {field}.workspace",
                package.manifest_path.display()
            );
        }
        assert_eq!(package.publish.as_deref(), Some(&[][..]), "{} is not published", package.name);
    }
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/benches/")
}

#[test]
fn unsafe_code_is_where_artefacts_are_read_and_nowhere_else() {
    let word = |text: &str| {
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        code.filter(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe")).count()
    };
    let found: Vec<String> = rust()
        .into_iter()
        .filter(|(path, text)| path != "tests/conventions/architecture.rs" && word(text) > 0)
        .map(|(path, _)| path)
        .collect();
    assert_eq!(found, ["host/src/artefact.rs"], "what wit-bindgen makes for guests is not in the source");
    let allowed: Vec<String> =
        rust().into_iter().filter(|(_, text)| text.contains("allow(unsafe_code")).map(|(path, _)| path).collect();
    let allowed: Vec<_> = allowed.into_iter().filter(|path| path != "tests/conventions/architecture.rs").collect();
    assert!(allowed.len() <= 3, "{allowed:?}");
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for (path, text) in rust() {
        let lines = text.lines().count();
        if lines > LONGEST && !is_test(&path) {
            wrong.push(format!("{path} has {lines} lines, at most {LONGEST}"));
        }
        let named = ["utils", "helpers", "common", "manager"];
        let stem = Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned();
        if named.contains(&stem.as_str()) {
            wrong.push(format!("{path}: name the concept"));
        }
        let says = text.lines().take(6).any(|line| line.starts_with("//!"));
        if !says && !path.ends_with("/tests.rs") && !path.starts_with("cli/templates") {
            wrong.push(format!("{path} does not say on top what it is for"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dependency_has_its_reason_written_down() {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let page = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name.trim()));
    let theirs: Vec<_> = names.filter(|name| !name.starts_with('#') && !name.starts_with("fabric-")).collect();
    assert!(theirs.len() > 30, "the section was read: {theirs:?}");
    let missing: Vec<_> =
        theirs.iter().filter(|name| !page.lines().any(|line| line.contains(&format!("`{name}`")))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md has no line with `NAME` in it and why for: {missing:?}");
    // Every workspace dependency is used.
    let metadata = metadata();
    let used: BTreeSet<String> =
        metadata.packages.iter().flat_map(|p| p.dependencies.iter().map(|d| d.name.clone())).collect();
    let idle: Vec<_> = theirs.iter().filter(|name| !used.contains(**name)).collect();
    assert!(idle.is_empty(), "no crate uses these of [workspace.dependencies]: {idle:?}");
}

/// Names of tests in a text: `path/to/file.rs::test`.
fn named_tests(text: &str) -> Vec<(&str, &str)> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"))
        .filter(|(p, _)| p.contains('/'))
        .collect()
}

fn is_test_of(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let at = lines.iter().position(|line| {
        let line = line.trim_start_matches("pub ").trim_start_matches("async ");
        line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    });
    let attribute = |line: &&&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    at.is_some_and(|at| {
        lines[at.saturating_sub(6)..at].iter().rev().take_while(|l| !l.is_empty()).any(|l| attribute(&l))
    })
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let page = std::fs::read_to_string(repository().join("docs/security.md")).unwrap();
    let tests = named_tests(&page);
    assert!(tests.len() > 60, "the tests were found: {tests:?}");
    let mut wrong = Vec::new();
    for (path, name) in tests {
        let source = std::fs::read_to_string(repository().join(path)).unwrap_or_default();
        if !is_test_of(&source, name) {
            wrong.push(format!("docs/security.md names {path}::{name}, which is no test"));
        }
    }
    // Rows of the tables of promises: what follows their heads, up to the table's end.
    let tables = page.split("| promise | tests |\n|---|---|\n").skip(1);
    for row in tables.flat_map(|table| table.lines().take_while(|line| line.starts_with('|'))) {
        if named_tests(row).is_empty() {
            wrong.push(format!("no test holds this promise: {row}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The toolchain file names the channel, because a fixed version would be downloaded where only `stable` is installed. This test fixes the version instead.
#[test]
fn the_compiler_is_the_one_of_the_workspace() {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let wanted = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc).arg("--version").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    assert!(
        version.starts_with(&format!("rustc {wanted}.")),
        "the workspace is built and tested with Rust {wanted}, and this is {}; to move on, change `rust-version` in Cargo.toml",
        version.trim()
    );
}

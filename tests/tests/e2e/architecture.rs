//! What ARCHITECTURE.md promises about the source: which crate may know which, where `unsafe` may be, how long a file may
//! get, and that every dependency has its reason written down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use fabric_tests::repository;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Longest file, in lines.
const LONGEST: usize = 600;

/// Who may know whom among our own crates, tests left aside. A crate may know fewer than its line says, never more.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("fabric-types", &[]),
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
            "fabric-backend",
            "fabric-store",
            "fabric-index",
            "fabric-results",
            "fabric-node",
            "fabric-driver",
        ],
    ),
    ("fabric-client", &["fabric-types"]),
    (
        "fabric-server",
        &[
            "fabric-types",
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
    ("fabric-cli", &["fabric-types", "fabric-client", "fabric-server"]),
    ("fabric-sdk-macros", &[]),
    ("fabric-sdk", &["fabric-sdk-macros"]),
];

/// Crates that no other may know: they test, measure and build.
const OUTSIDE: &[&str] = &["fabric-tests", "fabric-fuzz", "fabric-benches", "xtask"];

/// What a crate must not use even if it would be handy: the pure ones have no clock, no threads and no I/O to hand.
const NEVER: &[(&str, &[&str])] = &[
    ("fabric-types", &["tokio", "axum", "hyper", "reqwest", "object_store", "rusqlite", "wasmtime", "rand"]),
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

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(repository().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap()
}

fn uses(package: &Package) -> BTreeSet<&str> {
    package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal).map(|d| d.name.as_str()).collect()
}

#[test]
fn dependencies_go_one_way() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let rules: BTreeMap<_, _> = MAY_KNOW.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let known: BTreeSet<&str> = uses(package).into_iter().filter(|d| ours.contains(d)).collect();
        wrong.extend(known.iter().filter(|d| OUTSIDE.contains(d)).map(|d| format!("{name} knows {d}")));
        if OUTSIDE.contains(&name) {
            continue;
        }
        let Some(allowed) = rules.get(name) else {
            wrong.push(format!("{name} has no line in MAY_KNOW"));
            continue;
        };
        wrong.extend(known.iter().filter(|d| !allowed.contains(d)).map(|d| format!("{name} may not know {d}")));
    }
    wrong.extend(rules.keys().filter(|name| !ours.contains(*name)).map(|name| format!("{name} is no crate of ours")));
    // The rules themselves: who is allowed to be known comes earlier, so there can be no circle.
    for (at, (name, allowed)) in MAY_KNOW.iter().enumerate() {
        for known in *allowed {
            let place = MAY_KNOW.iter().position(|(n, _)| n == known).unwrap();
            if place > at {
                wrong.push(format!("MAY_KNOW lets {name} know {known}, which comes later"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_crates_stay_pure() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for (name, never) in NEVER {
        let package = metadata.packages.iter().find(|p| p.name.as_str() == *name).unwrap();
        wrong.extend(uses(package).iter().filter(|d| never.contains(d)).map(|d| format!("{name} uses {d}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_is_under_the_workspaces_lints_and_version() {
    for package in metadata().packages {
        let text = std::fs::read_to_string(&package.manifest_path).unwrap();
        let lints = text.split("[lints]").nth(1).unwrap_or_default();
        assert!(
            lints.trim_start().starts_with("workspace = true"),
            "{}: [lints] workspace = true",
            package.manifest_path
        );
        for field in ["version", "edition", "rust-version", "license"] {
            assert!(
                text.contains(&format!("{field}.workspace = true")),
                "{}: {field}.workspace",
                package.manifest_path
            );
        }
        assert_eq!(package.publish.as_deref(), Some(&[][..]), "{} is not published", package.name);
    }
}

/// Our sources below a folder: not what cargo built, not what a hidden folder holds.
fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                sources(&path, out);
            }
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            out.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    sources(&repository(), &mut paths);
    assert!(paths.len() > 100, "the sources were found");
    let root = repository();
    let read = |path: PathBuf| {
        (path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(read).collect()
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
    let found: Vec<String> = all_sources()
        .into_iter()
        .filter(|(path, text)| path != "tests/tests/e2e/architecture.rs" && word(text) > 0)
        .map(|(path, _)| path)
        .collect();
    assert_eq!(found, ["host/src/artefact.rs"], "what wit-bindgen makes for guests is not in the source");
    let allowed: Vec<String> = all_sources()
        .into_iter()
        .filter(|(_, text)| text.contains("allow(unsafe_code"))
        .map(|(path, _)| path)
        .collect();
    let allowed: Vec<_> = allowed.into_iter().filter(|path| path != "tests/tests/e2e/architecture.rs").collect();
    assert!(allowed.len() <= 3, "{allowed:?}");
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for (path, text) in all_sources() {
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
    // And what is written down is there for somebody.
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

//! `cargo xtask check` and `cargo xtask ci`: the checks of a change, as stages with their durations.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::folders;
use crate::outside::cargo;
use crate::stage::say;

/// One check: its name, and the cargo command that it runs.
struct Stage {
    name: &'static str,
    folder: &'static str,
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
}

const fn stage(name: &'static str, arguments: &'static [&'static str]) -> Stage {
    Stage { name, folder: "", arguments, variables: &[] }
}

const FORMAT: Stage = stage("format", &["fmt", "--all", "--check"]);
const CLIPPY: Stage = stage("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);

/// Checks without a server and without Python, for every save: under a minute once everything is compiled.
const QUICK: &[Stage] = &[
    FORMAT,
    CLIPPY,
    stage(
        "pure crates and conventions",
        &["test", "--quiet", "-p", "fabric-types", "-p", "fabric-scheduler-core", "-p", "fabric-conventions"],
    ),
];

/// Checks of every change. The last stage is the README's test command.
const ALL: &[Stage] = &[
    FORMAT,
    Stage { folder: "examples", ..stage("format-examples", &["fmt", "--check"]) },
    CLIPPY,
    Stage {
        folder: "examples",
        ..stage("clippy-examples", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    },
    Stage {
        variables: &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links -A rustdoc::bare-urls")],
        ..stage("documentation", &["doc", "--quiet", "--workspace", "--no-deps", "--lib"])
    },
    stage("deny", &["xtask", "deny"]),
    stage("pins", &["test", "--quiet", "--package", "xtask", "pins"]),
    stage("dist", &["xtask", "dist", "--debug", "--try"]),
    // The attack tests run first, with their own stage in the output: "walls: N attacks held".
    stage("test", &["xtask", "test"]),
];

/// Runs `cargo xtask check`.
pub(crate) fn check(arguments: &[String]) -> Result<()> {
    run_all("check", QUICK, arguments)
}

/// Runs `cargo xtask ci`.
pub(crate) fn ci(arguments: &[String]) -> Result<()> {
    run_all("ci", ALL, arguments)
}

/// Runs every stage, also after a failed one, and prints the duration of each.
fn run_all(name: &str, stages: &[Stage], arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask {name}");
    }
    let mut summary = String::new();
    let mut failed = Vec::new();
    for stage in stages {
        say(&format!("=== {}: cargo {}", stage.name, stage.arguments.join(" ")));
        let start = Instant::now();
        let passed = run(stage);
        let result = if passed { "ok" } else { "FAILED" };
        summary.push_str(&format!("{result:<8} {:>5} s  {}\n", start.elapsed().as_secs(), stage.name));
        if !passed {
            failed.push(stage.name);
        }
    }
    say(&format!("\n=== stages\n{summary}"));
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

fn run(stage: &Stage) -> bool {
    let mut command: Command = cargo();
    command.current_dir(folders::root().join(stage.folder)).args(stage.arguments);
    command.envs(stage.variables.iter().copied());
    if stage.folder == "examples" {
        command.env("CARGO_TARGET_DIR", folders::guest_build());
    }
    command.status().is_ok_and(|status| status.success())
}

//! `cargo xtask test`: prepares the tests' dependencies, then runs every test.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::folders;
use crate::outside::{cargo, debian_program, find_below, output, python_environment, run, works};
use crate::rust_guests::clean;
use crate::stage::{say, stage};

/// Filter for the attack tests. They try to break a limit, cross a border between tenants or starve the server, and
/// expect the defence to hold. They run first and by name. `docs/security.md` lists the promise that each one checks.
const WALLS: &str = "(package(fabric-tests) & test(/^(walls_[a-z_]+|isolation|limits)::/)) \
    | (package(fabric-host) & test(/^(faults|isolation|limits)::/)) \
    | (package(fabric-confine) & binary(confined)) | (package(fabric-gpu) & test(/^confined::/)) \
    | (package(fabric-gateway) & binary(gateway) & test(/^(access|fuzz|connections)::/)) \
    | (package(fabric-fleet) & binary(fleet) & test(/^hostile::/)) | test(/(^|::)walls_/)";

/// Builds the guests, prepares the servers and runs the tests. Arguments after `--` go to the test runner.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let passed: Vec<&String> = arguments.iter().filter(|argument| *argument != "--").collect();
    let guests = stage("guests", || crate::guests::build(&[]))?;
    let weed = stage("object store server for the tests", object_store_server)?;
    let nats = stage("NATS server for the tests", crate::nats::server)?;
    let deploy = stage("Helm and compose for the tests of deploy/", deployment_tools)?;
    let promtool = stage("promtool for the tests of metrics", || {
        debian_program("FABRIC_TEST_PROMTOOL", "promtool", "prometheus")
    })?;
    stage("a software Vulkan driver for the tests of GPU passes", crate::vulkan::driver)?;
    let registry = stage("an OCI registry for the tests", || {
        debian_program("FABRIC_TEST_REGISTRY", "docker-registry", "docker-registry")
    })?;
    let root = folders::root();
    let with_servers = |command: &mut Command| {
        command.current_dir(&root).env("FABRIC_GUESTS_DIR", &guests);
        command.env("FABRIC_TEST_WEED", &weed).env("FABRIC_TEST_NATS", &nats);
        command.env("FABRIC_TEST_DEPLOY", &deploy).env("FABRIC_TEST_REGISTRY", &registry);
        command.env("FABRIC_TEST_PROMTOOL", &promtool);
    };
    let nextest = works(cargo().args(["nextest", "--version"]));
    let tests = |filter: Option<&str>| {
        let mut command = cargo();
        if nextest {
            command.args(["nextest", "run", "--workspace"]);
        } else {
            command.args(["test", "--workspace", "--lib", "--bins", "--tests"]);
        }
        with_servers(&mut command);
        command.args(filter.into_iter().flat_map(|filter| ["-E", filter]));
        run(command.args(&passed))
    };
    if nextest && passed.is_empty() {
        // A separate stage, so that the duration of the attack tests excludes the build.
        stage("building the tests", || {
            let mut command = cargo();
            with_servers(command.args(["nextest", "run", "--workspace", "--no-run"]));
            run(&mut command)
        })?;
        // Both run even if the first one fails, so that one run shows every failure.
        let held = stage("walls: attacks on the server and its sandbox", || {
            let start = Instant::now();
            tests(Some(WALLS))?;
            let count = count(&with_servers, WALLS)?;
            say(&format!("xtask: walls: {count} attacks held in {:.0} s", start.elapsed().as_secs_f64()));
            Ok(())
        });
        let rest = format!("not ({WALLS})");
        stage("tests", || tests(Some(&rest)))?;
        held?;
    } else {
        if !nextest {
            say("xtask: no cargo-nextest here: using cargo test");
        }
        stage("tests", || tests(None))?;
    }
    if !passed.is_empty() {
        say(
            "xtask: only some tests were requested: skipping those of the documentation, the examples and the Python client",
        );
        return Ok(());
    }
    stage("documentation tests", || {
        let mut command = cargo();
        with_servers(&mut command);
        run(command.args(["test", "--quiet", "--doc", "--workspace"]))
    })?;
    stage("the examples' tests on this machine", || {
        let mut command = clean(cargo());
        command.current_dir(root.join("examples")).env("CARGO_TARGET_DIR", folders::guest_build());
        run(command.args(["test", "--quiet", "--workspace"]))
    })?;
    stage("the Python client", || crate::python_client::test(&guests))
}

/// Returns the number of tests that a filter of nextest selects.
fn count(with_servers: &dyn Fn(&mut Command), filter: &str) -> Result<usize> {
    let mut command = cargo();
    command.args(["nextest", "list", "--workspace", "--message-format", "json", "-E", filter]);
    with_servers(&mut command);
    let list: Value = serde_json::from_str(&output(&mut command)?)?;
    let suites = list.get("rust-suites").and_then(Value::as_object).context("nextest listed no suites")?;
    let tests =
        suites.values().filter_map(|suite| suite.get("testcases")?.as_object()).flat_map(|tests| tests.values());
    let matches = |test: &&Value| test.pointer("/filter-match/status").and_then(Value::as_str) == Some("matches");
    match tests.filter(matches).count() {
        0 => bail!("no test is selected by {filter}"),
        count => Ok(count),
    }
}

/// Returns the S3 server for the object store's tests: `FABRIC_TEST_WEED`, else SeaweedFS from PyPI.
pub(crate) fn object_store_server() -> Result<PathBuf> {
    if let Some(weed) = std::env::var_os("FABRIC_TEST_WEED").filter(|weed| !weed.is_empty()) {
        return Ok(weed.into());
    }
    let hint = "the tests need an S3 server\nhint: set FABRIC_TEST_WEED to SeaweedFS's `weed` program";
    let environment = python_environment("seaweedfs").context(hint)?;
    // The launcher in `bin` is a Python script that starts this program. The tests stop the program itself.
    let weed = ["lib", "bin"].iter().find_map(|folder| find_below(&environment.join(folder), "weed")).context(hint)?;
    make_executable(&weed)?;
    Ok(weed)
}

/// Returns the folder of the programs that check `deploy/`: `FABRIC_TEST_DEPLOY`, else one with programs from PyPI,
/// among them a Python with Helm's engine and Kubernetes' schemas.
fn deployment_tools() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("FABRIC_TEST_DEPLOY").filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let environment = python_environment("deploy").context(
        "hint: set FABRIC_TEST_DEPLOY to the bin folder of a Python environment with the packages of xtask/pins/deploy.txt",
    )?;
    Ok(environment.join("bin"))
}

#[cfg(unix)]
pub(crate) fn make_executable(file: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = std::fs::metadata(file)?.permissions();
    if permissions.mode() & 0o111 == 0 {
        permissions.set_mode(0o755);
        std::fs::set_permissions(file, permissions)?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn make_executable(_file: &std::path::Path) -> Result<()> {
    Ok(())
}

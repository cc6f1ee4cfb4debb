//! The project's development commands, listed in `USAGE`. They install missing tools and report that.
//!
//! This crate is not part of the product.

mod c_guests;
mod ci;
mod demo;
mod deny;
mod dist;
mod folders;
mod guests;
mod nats;
mod outside;
mod pins;
mod python_client;
mod rust_guests;
mod sbom;
mod stage;
mod test;
mod vulkan;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND
  guests [NAME…]     build the example guests (all of them, or the workspaces that have these)
  demo [--keep]      start a server, map and reduce the real weather data, show the result and what it cost;
                     --keep leaves the server's data in ./.fabric
  check              format, lints, tests of the pure crates and of the source itself: no server, under a minute once compiled
  ci                 every check of a change, as .ci/run runs them
  test [-- ARGS…]    build the guests, get the servers the tests need, run every test; ARGS go to the test runner
  deny [--db FOLDER] check every crate's advisories, licence, versions and source against deny.toml
  advisories FOLDER  make FOLDER, a clone of the RustSec database, the snapshot that `deny` checks against
  dist [--debug] [--try]
                     pack the release build as a tarball and a wheel, with checksums and a bill of materials;
                     --debug packs the development build, --try installs and runs the wheel in an empty environment
  pins [--upgrade]   resolve the pinned Python packages again, with hashes
  sbom [FILE]        write the software bill of materials of the binary (CycloneDX JSON)
  setup              only install the tools that the other commands need";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments.as_slice()),
    };
    let done = match command {
        "guests" => guests::command(rest),
        "demo" => demo::command(rest),
        "check" => ci::check(rest),
        "ci" => ci::ci(rest),
        "test" => test::command(rest),
        "deny" => deny::command(rest),
        "advisories" => deny::refresh(rest),
        "dist" => dist::command(rest),
        "pins" => pins::command(rest),
        "sbom" => sbom::command(rest),
        "setup" => guests::command(&[])
            .and_then(|()| test::object_store_server().map(drop))
            .and_then(|()| nats::server().map(drop)),
        "help" | "--help" | "-h" => {
            stage::say(USAGE);
            return ExitCode::SUCCESS;
        }
        other => {
            stage::say(&format!("unknown command `{other}`\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stage::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

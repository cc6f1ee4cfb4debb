//! `cargo xtask dist`: packs the `fabric` binary and the Python runner as a release tarball and as a wheel for pip, with
//! checksums and a software bill of materials.
//!
//! `--debug` packs the development build, which `--try` then tests in an empty Python environment; CI does both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::folders;
use crate::outside::{cargo, find, output, python_environment, run, without_settings};
use crate::stage::{say, stage};

/// Returns the platform tag of the wheel. The binary links only against glibc, of the version on the building machine.
fn platform() -> String {
    format!("linux_{}", std::env::consts::ARCH)
}

/// Names of what is packed.
struct Release {
    version: String,
    program: PathBuf,
    /// The module that runs Python functions.
    runner: PathBuf,
    folder: PathBuf,
}

/// Packs the binary, and with `--try` installs and runs it.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let (mut debug, mut tried) = (false, false);
    for argument in arguments {
        match argument.as_str() {
            "--debug" => debug = true,
            "--try" => tried = true,
            _ => bail!("usage: cargo xtask dist [--debug] [--try]"),
        }
    }
    let program = stage("the fabric binary", || build(debug))?;
    let folder = folders::target().join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let runner = stage("the Python runner", crate::python_client::runner)?;
    let release = Release { version: version(&program)?, program, runner, folder };
    let bill = release.folder.join(format!("fabric-{}.cdx.json", release.version));
    stage("the software bill of materials", || crate::sbom::command(&[bill.to_string_lossy().into_owned()]))?;
    stage("the tarball", || tarball(&release, &bill))?;
    let wheel = stage("the wheel", || wheel(&release, &bill))?;
    checksums(&release.folder)?;
    if tried {
        // The new project is built for it, on a machine that may not have it yet.
        crate::rust_guests::Toolchain::get()?;
        stage("the wheel in an empty environment", || try_wheel(&wheel))?;
    }
    for entry in fs::read_dir(&release.folder)? {
        say(&format!("         {}", entry?.path().display()));
    }
    Ok(())
}

/// Builds the binary. The development build has the features of the whole workspace, so that the tests' build is reused.
fn build(debug: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.current_dir(folders::root()).arg("build").args(["--package", "fabric-cli", "--bin", "fabric"]);
    if !debug {
        command.arg("--release");
    }
    run(&mut command)?;
    Ok(folders::target().join(if debug { "debug" } else { "release" }).join("fabric"))
}

/// Returns the version that the binary reports, without the program's name.
fn version(program: &Path) -> Result<String> {
    let text = output(Command::new(program).arg("--version"))?;
    let version = text.split_whitespace().nth(1).context("`fabric --version` printed no version")?;
    Ok(version.to_owned())
}

/// Copies the binary without debug information, if the machine has `strip`.
fn copy_program(release: &Release, target: &Path) -> Result<()> {
    fs::copy(&release.program, target)?;
    if let Some(strip) = find("strip") {
        run(Command::new(strip).arg("--strip-debug").arg(target))?;
    }
    Ok(())
}

fn tarball(release: &Release, bill: &Path) -> Result<()> {
    let name = format!("fabric-{}-{}", release.version, platform().replace('_', "-"));
    let content = release.folder.join(&name);
    fs::create_dir_all(&content)?;
    copy_program(release, &content.join("fabric"))?;
    // The server looks for it beside the program.
    fs::copy(&release.runner, content.join("python-runner.wasm"))?;
    for file in ["LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"] {
        fs::copy(folders::root().join(file), content.join(file))?;
    }
    fs::copy(bill, content.join("fabric.cdx.json"))?;
    // Owner, order and time do not depend on the machine.
    let reproducible = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"];
    let mut tar = Command::new("tar");
    tar.current_dir(&release.folder).args(reproducible).args(["-czf", &format!("{name}.tar.gz"), &name]);
    run(&mut tar)?;
    fs::remove_dir_all(&content)?;
    Ok(())
}

/// Packs a wheel: an archive in the layout of the Python packaging specifications, whose script is the binary.
fn wheel(release: &Release, bill: &Path) -> Result<PathBuf> {
    let content = release.folder.join("wheel");
    let info = content.join(format!("fabric-{}.dist-info", release.version));
    let scripts = content.join(format!("fabric-{}.data/scripts", release.version));
    fs::create_dir_all(info.join("licenses"))?;
    fs::create_dir_all(&scripts)?;
    copy_program(release, &scripts.join("fabric"))?;
    // The server looks for it in `../share/fabric` of the program's folder.
    let shared = content.join(format!("fabric-{}.data/data/share/fabric", release.version));
    fs::create_dir_all(&shared)?;
    fs::copy(&release.runner, shared.join("python-runner.wasm"))?;
    let readme = fs::read_to_string(folders::root().join("README.md"))?;
    fs::write(
        info.join("METADATA"),
        format!(
            "Metadata-Version: 2.4\nName: fabric\nVersion: {}\nSummary: WebAssembly-sandboxed serverless compute: server and command line\n\
             License-Expression: Apache-2.0\nLicense-File: LICENSE\nDescription-Content-Type: text/markdown\n\n{readme}",
            release.version
        ),
    )?;
    fs::write(
        info.join("WHEEL"),
        format!(
            "Wheel-Version: 1.0\nGenerator: cargo xtask dist\nRoot-Is-Purelib: false\nTag: py3-none-{}\n",
            platform()
        ),
    )?;
    fs::copy(folders::root().join("LICENSE"), info.join("licenses/LICENSE"))?;
    fs::create_dir_all(info.join("sboms"))?;
    fs::copy(bill, info.join("sboms/fabric.cdx.json"))?;
    let python = python_environment("dist")?.join("bin/python");
    let mut pack = Command::new(python);
    pack.args(["-m", "wheel", "pack", "--dest-dir"]).arg(&release.folder).arg(&content);
    run(pack.stdout(Stdio::null()))?;
    fs::remove_dir_all(&content)?;
    Ok(release.folder.join(format!("fabric-{}-py3-none-{}.whl", release.version, platform())))
}

/// Writes `SHA256SUMS`, in the form that `sha256sum --check` reads.
fn checksums(folder: &Path) -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    files.sort();
    let sums = output(Command::new("sha256sum").current_dir(folder).args(&files))?;
    fs::write(folder.join("SHA256SUMS"), sums + "\n")?;
    Ok(())
}

/// Installs the wheel into an empty environment without an index, starts the server, and creates,
/// deploys and calls a project of the default template, which uses the SDK. Nothing of the checkout is used but the guests' toolchain.
fn try_wheel(wheel: &Path) -> Result<()> {
    let folder = folders::target().join(format!("dist-try-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let tried = try_in(&folder, wheel);
    fs::remove_dir_all(&folder)?;
    tried
}

fn try_in(folder: &Path, wheel: &Path) -> Result<()> {
    let python = find("python3").context("python3 is needed to try the wheel")?;
    run(Command::new(python).args(["-m", "venv"]).arg(folder.join("venv")))?;
    let pip = folder.join("venv/bin/python");
    run(Command::new(pip)
        .args(["-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"])
        .arg(wheel))?;
    let (data, fabric) = (folder.join("data"), folder.join("venv/bin/fabric"));
    let command = || {
        let mut command = Command::new(&fabric);
        without_settings(&mut command);
        command.current_dir(folder).env("FABRIC_DATA", &data).env("CARGO_TARGET_DIR", folders::guest_build());
        command
    };
    let server =
        command().args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut server = server.context("could not start the installed server")?;
    let result = (|| {
        let start = Instant::now();
        while !data.join("server.json").exists() {
            if start.elapsed() > Duration::from_secs(30) {
                bail!("the installed server did not start within 30 s");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        run(command().args(["new", "words"]).stdout(Stdio::null()))?;
        run(command().args(["deploy", "words"]).stdout(Stdio::null()))?;
        let answer = output(command().args(["invoke", "words", "--data", "some words to count"]))?;
        if answer.is_empty() {
            bail!("the new project's function returned nothing");
        }
        say(&format!("         fabric new, deploy, invoke: {answer}"));
        if !folder.join("venv/share/fabric/python-runner.wasm").is_file() {
            bail!("the wheel has no Python runner");
        }
        Ok(())
    })();
    server.kill()?;
    server.wait()?;
    result
}

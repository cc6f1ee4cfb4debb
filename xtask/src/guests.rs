//! `cargo xtask guests`: builds every guest under `examples/` as `NAME.wasm` in the target folder's `guests/`.
//!
//! A module is rebuilt only if the hash of its group's inputs (a cargo workspace, a C file, a WAT file) has changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::c_guests::Compiler;
use crate::folders;
use crate::rust_guests::Toolchain;
use crate::stage::{say, stage};

/// Guests that are built together.
enum Group {
    /// A cargo workspace: its folder, and the modules of its packages.
    Workspace { folder: PathBuf, modules: Vec<Module> },
    /// A folder with one C file.
    C { source: PathBuf, name: String },
    /// A module in the text format.
    Wat { source: PathBuf, name: String },
}

/// A module of a cargo workspace.
struct Module {
    name: String,
    package: String,
}

impl Group {
    /// Returns the folder of a module's manifest.
    fn home(&self, name: &str) -> PathBuf {
        match self {
            Self::Workspace { folder, .. } => folder.join(name),
            Self::C { source, .. } | Self::Wat { source, .. } => source.parent().unwrap_or(source).to_owned(),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Workspace { modules, .. } => modules.iter().map(|module| module.name.clone()).collect(),
            Self::C { name, .. } | Self::Wat { name, .. } => vec![name.clone()],
        }
    }
}

/// Builds all guests, or the named ones.
pub(crate) fn command(names: &[String]) -> Result<()> {
    stage("guests", || build(names)).map(drop)
}

/// Builds guests. Returns the folder that contains them.
pub(crate) fn build(names: &[String]) -> Result<PathBuf> {
    let out = folders::guests();
    fs::create_dir_all(&out)?;
    let examples = folders::root().join("examples");
    let mut groups = groups(&examples)?;
    let hostile = examples.join("hostile");
    if hostile.is_dir() {
        groups.extend(self::groups(&hostile)?);
    }
    let known: Vec<String> = groups.iter().flat_map(Group::names).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        bail!("no guest `{name}`\nhint: there are: {}", known.join(", "));
    }
    let mut tools = Tools::default();
    for group in groups {
        let mut wanted = group.names();
        wanted.retain(|name| names.is_empty() || names.contains(name));
        if !wanted.is_empty() {
            build_group(&group, &wanted, &out, &mut tools)?;
            // Also if nothing was built, because another clone may have built it.
            for name in wanted {
                put_beside_manifest(&group.home(&name), &name, &out.join(format!("{name}.wasm")))?;
            }
        }
    }
    Ok(out)
}

/// The compilers, located when the first group needs one.
#[derive(Default)]
struct Tools {
    rust: Option<(Toolchain, String)>,
    c: Option<(Compiler, String)>,
}

/// Builds the wanted modules of a group, unless they are up to date.
fn build_group(group: &Group, wanted: &[String], out: &Path, tools: &mut Tools) -> Result<()> {
    let identity = match group {
        Group::Workspace { .. } => tools.rust()?.1.clone(),
        Group::C { .. } => tools.c()?.1.clone(),
        Group::Wat { .. } => env!("CARGO_PKG_VERSION").to_owned(),
    };
    let key = key(group, &identity)?;
    let stamp = |name: &str| out.join(format!(".{name}.key"));
    let is_current = |name: &String| {
        out.join(format!("{name}.wasm")).is_file() && fs::read_to_string(stamp(name)).is_ok_and(|held| held == key)
    };
    let stale: Vec<&String> = wanted.iter().filter(|name| !is_current(name)).collect();
    if stale.is_empty() {
        return Ok(());
    }
    match group {
        Group::Workspace { folder, modules } => {
            let stale = || modules.iter().filter(|module| stale.contains(&&module.name));
            let names: Vec<&str> = stale().map(|module| module.name.as_str()).collect();
            say(&format!("xtask: building {}: {}", folder.display(), names.join(", ")));
            let mut packages: Vec<&str> = stale().map(|module| module.package.as_str()).collect();
            packages.dedup();
            let built = tools.rust()?.0.build(folder, &packages)?;
            for name in names {
                // The module of a library has underscores; that of a program has the name unchanged.
                let library = built.join(format!("{}.wasm", name.replace('-', "_")));
                let program = built.join(format!("{name}.wasm"));
                let module = if newer(&program, &library) { program } else { library };
                let module = fs::read(&module).with_context(|| format!("{} was not built", module.display()))?;
                put(&out.join(format!("{name}.wasm")), &module)?;
            }
        }
        Group::C { source, name } => {
            say(&format!("xtask: building {}", source.display()));
            let module = out.join(format!(".{name}.building.wasm"));
            tools.c()?.0.build(source, &module)?;
            let bytes = fs::read(&module)?;
            fs::remove_file(&module)?;
            put(&out.join(format!("{name}.wasm")), &bytes)?;
        }
        Group::Wat { source, name } => {
            let module = wat::parse_file(source).with_context(|| format!("{}", source.display()))?;
            put(&out.join(format!("{name}.wasm")), &module)?;
        }
    }
    for name in stale {
        fs::write(stamp(name), &key)?;
    }
    Ok(())
}

impl Tools {
    fn rust(&mut self) -> Result<&(Toolchain, String)> {
        if self.rust.is_none() {
            let toolchain = Toolchain::get()?;
            let identity = toolchain.identity()?;
            self.rust = Some((toolchain, identity));
        }
        self.rust.as_ref().context("no Rust toolchain")
    }

    fn c(&mut self) -> Result<&(Compiler, String)> {
        if self.c.is_none() {
            let compiler = Compiler::get()?;
            let identity = compiler.identity()?;
            self.c = Some((compiler, identity));
        }
        self.c.as_ref().context("no C compiler")
    }
}

/// Returns the groups directly under a folder.
fn groups(folder: &Path) -> Result<Vec<Group>> {
    let mut modules = Vec::new();
    let mut groups = Vec::new();
    let root = folder.join("Cargo.toml");
    if root.is_file() {
        modules.extend(package_modules(&root)?);
    }
    for path in sorted(folder)? {
        let manifest = path.join("Cargo.toml");
        if path.extension().is_some_and(|kind| kind == "wat") {
            groups.push(Group::Wat { name: stem(&path), source: path });
        } else if manifest.is_file() {
            // Another call handles a nested workspace.
            if !fs::read_to_string(&manifest)?.contains("[workspace]") {
                modules.extend(package_modules(&manifest)?);
            }
        } else if path.is_dir() && path.file_name().is_some_and(|name| name != "hostile" && name != "target") {
            for file in sorted(&path)? {
                match file.extension().and_then(|kind| kind.to_str()) {
                    Some("c") => groups.push(Group::C { source: file, name: stem(&path) }),
                    Some("wat") => groups.push(Group::Wat { name: stem(&file), source: file }),
                    _ => {}
                }
            }
        }
    }
    if !modules.is_empty() {
        groups.insert(0, Group::Workspace { folder: folder.to_owned(), modules });
    }
    Ok(groups)
}

/// Returns a package's modules: its programs, or the package itself.
fn package_modules(manifest: &Path) -> Result<Vec<Module>> {
    let text = fs::read_to_string(manifest)?;
    let mut section = "";
    let (mut package, mut programs) = (None, Vec::new());
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let name = line
            .split_once('=')
            .filter(|(key, _)| key.trim() == "name")
            .map(|(_, value)| value.trim().trim_matches('"'));
        match (section, name) {
            ("[package]", Some(name)) => package = Some(name.to_owned()),
            ("[[bin]]", Some(name)) => programs.push(name.to_owned()),
            _ => {}
        }
    }
    let Some(package) = package else { return Ok(Vec::new()) };
    let source = manifest.with_file_name("src");
    if source.join("bin").is_dir() {
        programs.extend(sorted(&source.join("bin"))?.iter().map(|path| stem(path)));
    }
    if programs.is_empty() || source.join("lib.rs").is_file() {
        programs.push(package.clone());
    }
    programs.dedup();
    Ok(programs.into_iter().map(|name| Module { name, package: package.clone() }).collect())
}

/// Returns the hash of a group's inputs.
fn key(group: &Group, identity: &str) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(identity.as_bytes());
    let root = folders::root();
    match group {
        Group::Workspace { folder, .. } => {
            hash_below(folder, &mut hasher)?;
            for shared in ["guest-sdk", "wit", "Cargo.toml", "examples/.cargo"] {
                hash_below(&root.join(shared), &mut hasher)?;
            }
        }
        Group::C { source, .. } | Group::Wat { source, .. } => hash_below(source, &mut hasher)?,
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn hash_below(path: &Path, hasher: &mut blake3::Hasher) -> Result<()> {
    if path.is_dir() {
        for entry in sorted(path)? {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Built modules, data and other workspaces are not inputs of a workspace.
            let other = name == "target" || name == "data" || name == "hostile" || name.ends_with(".wasm");
            if !other {
                hash_below(&entry, hasher)?;
            }
        }
    } else if path.is_file() {
        let bytes = fs::read(path)?;
        hasher.update(path.to_string_lossy().as_bytes()).update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    Ok(())
}

/// Copies a module next to the example's `fabric.toml`, at the path that it names, so that `fabric deploy` finds the
/// module.
fn put_beside_manifest(folder: &Path, name: &str, module: &Path) -> Result<()> {
    if !folder.join("fabric.toml").is_file() {
        return Ok(());
    }
    let beside = folder.join(format!("{name}.wasm"));
    let module = fs::read(module).with_context(|| format!("{}", module.display()))?;
    if fs::read(&beside).is_ok_and(|there| there == module) {
        return Ok(());
    }
    put(&beside, &module)
}

/// Writes a file atomically, so that a test that reads it meanwhile sees the old or the new one.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let building = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&building, bytes)?;
    fs::rename(&building, path).with_context(|| format!("{}", path.display()))
}

fn newer(a: &Path, b: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    time(a) > time(b)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

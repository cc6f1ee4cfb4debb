//! Checks that the host provides a module's imports, and explains the ones that are missing.

use crate::shape::{Form, Shape};
use fabric_types::{Code, Fault};

/// A version: major, minor and patch.
pub(crate) type Version = (u64, u64, u64);

/// Version of `fabric:task` that this host serves. From 1.0 on, earlier minor versions are served too.
pub(crate) const TASK_VERSION: Version = (0, 1, 1);

/// Version of `fabric:gpu` that this host serves.
const GPU_VERSION: Version = (0, 1, 0);

const TASK: &[&str] = &["types", "input", "output", "emit", "params", "log", "progress"];

/// WASI packages that are linked for every component, and their interfaces.
const WASI: &[(&str, &[&str])] = &[
    ("wasi:io", &["error", "poll", "streams"]),
    ("wasi:clocks", &["wall-clock", "monotonic-clock"]),
    ("wasi:random", &["random", "insecure", "insecure-seed"]),
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:filesystem", &["types", "preopens"]),
    (
        "wasi:sockets",
        &["network", "instance-network", "tcp", "tcp-create-socket", "udp", "udp-create-socket", "ip-name-lookup"],
    ),
    ("wasi:http", &["types", "outgoing-handler"]),
];

/// Splits `package/interface@version`.
pub(crate) fn split(name: &str) -> Option<(&str, &str, Option<Version>)> {
    let (path, version) = match name.split_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (name, None),
    };
    let (package, interface) = path.rsplit_once('/')?;
    let version = match version {
        None => None,
        Some(text) => {
            let core = text.split(['-', '+']).next().unwrap_or(text);
            let mut numbers = core.split('.').map(|n| n.parse::<u64>().unwrap_or(u64::MAX));
            Some((numbers.next()?, numbers.next()?, numbers.next()?))
        }
    };
    Some((package, interface, version))
}

/// Checks every import.
///
/// # Errors
/// `unknown-import`, with the import and a hint on satisfying it.
pub(crate) fn check(shape: &Shape) -> Result<(), Fault> {
    for (module, name) in &shape.imports {
        match (shape.form, name) {
            (Form::Core, Some(name)) => core(module, name)?,
            _ => component(module)?,
        }
    }
    Ok(())
}

fn unknown(import: &str, hint: impl Into<String>) -> Fault {
    Fault::new(Code::UnknownImport, format!("the module imports `{import}`, which this host does not offer")).hint(hint)
}

fn core(module: &str, name: &str) -> Result<(), Fault> {
    let import = || format!("{module}.{name}");
    match module {
        // Linking checks that the function exists.
        "wasi_snapshot_preview1" => Ok(()),
        "wasi_unstable" => Err(unknown(
            &import(),
            "that is preview 0 of WASI; build with a tool chain that targets wasm32-wasip1 or wasm32-wasip2",
        )),
        "env" => Err(unknown(
            &import(),
            "`env` holds what the linker left undefined: link the library that defines it, or build for wasm32-wasip2",
        )),
        m if m.starts_with("wbg") || m.contains("wasm_bindgen") || m.starts_with("__wbindgen") => {
            Err(unknown(&import(), "wasm-bindgen targets browsers; build for wasm32-wasip2 without it"))
        }
        m if m.contains(':') => Err(unknown(
            &import(),
            "this core module was meant to become a component: build for wasm32-wasip2, or run `wasm-tools component new` on it",
        )),
        _ => Err(unknown(&import(), "core modules may import `wasi_snapshot_preview1` only")),
    }
}

fn component(name: &str) -> Result<(), Fault> {
    let Some((package, interface, version)) = split(name) else {
        return Err(unknown(name, "a component may import interfaces of `fabric:task` and of WASI 0.2 only"));
    };
    let shown = |(a, b, c): (u64, u64, u64)| format!("{a}.{b}.{c}");
    if package == "fabric:task" {
        let (major, minor, _) = TASK_VERSION;
        return match version {
            Some((a, b, _)) if (a, b) == (major, minor) || (a == major && a > 0 && b < minor) => {
                if TASK.contains(&interface) {
                    Ok(())
                } else {
                    Err(unknown(name, format!("fabric:task has {} and no `{interface}`", TASK.join(", "))))
                }
            }
            other => Err(unknown(
                name,
                format!(
                    "the module was built for fabric:task {}, this host serves {}: build it again with the SDK of this release",
                    other.map_or_else(|| "without a version".into(), shown),
                    shown(TASK_VERSION)
                ),
            )),
        };
    }
    if package == "fabric:gpu" {
        let (major, minor, _) = GPU_VERSION;
        return match version {
            Some((a, b, _)) if (a, b) == (major, minor) && interface == "compute" => Ok(()),
            _ => Err(unknown(name, format!("this host serves fabric:gpu/compute@{}", shown(GPU_VERSION)))),
        };
    }
    let Some((_, interfaces)) = WASI.iter().find(|(p, _)| *p == package) else {
        let hint = if package.starts_with("wasi:") {
            format!(
                "`{package}` is not offered to guests; the documentation of entry kinds lists the packages that are"
            )
        } else {
            "a component may import interfaces of `fabric:task` and of WASI 0.2 only: compose it with a component that provides this one".into()
        };
        return Err(unknown(name, hint));
    };
    match version {
        Some((0, 2, _)) if interfaces.contains(&interface) => Ok(()),
        Some((0, 2, _)) => Err(unknown(name, format!("`{package}` has {} here", interfaces.join(", ")))),
        Some(v) => Err(unknown(
            name,
            format!("the module was built for WASI {}, this host serves 0.2: choose a 0.2 target", shown(v)),
        )),
        None => Err(unknown(name, "the import names no version; this host serves WASI 0.2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(form: Form, module: &str, name: Option<&str>) -> String {
        let shape = Shape { form, imports: vec![(module.into(), name.map(Into::into))], exports: vec![], memory: 0 };
        match check(&shape) {
            Ok(()) => "offered".into(),
            Err(f) => format!("{f}\nhint: {}", f.hint.clone().unwrap_or_default()),
        }
    }

    #[test]
    fn what_is_offered_passes() {
        for name in ["fabric:task/input@0.1.0", "fabric:task/input@0.1.7", "wasi:cli/stdin@0.2.0", "wasi:io/poll@0.2.9"]
        {
            assert_eq!(said(Form::Component, name, None), "offered", "{name}");
        }
        assert_eq!(said(Form::Core, "wasi_snapshot_preview1", Some("fd_write")), "offered");
    }

    #[test]
    fn unknown_imports_are_named_with_what_would_do() {
        let said = [
            said(Form::Component, "fabric:task/input@0.9.0", None),
            said(Form::Component, "fabric:task/teleport@0.1.0", None),
            said(Form::Component, "wasi:keyvalue/store@0.2.0", None),
            said(Form::Component, "wasi:cli/stdin@0.3.0", None),
            said(Form::Component, "acme:db/query@1.0.0", None),
            said(Form::Core, "env", Some("abort")),
            said(Form::Core, "wbg", Some("__wbindgen_throw")),
        ]
        .join("\n\n");
        insta::assert_snapshot!(said);
    }
}

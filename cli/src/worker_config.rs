//! Settings of the worker processes that read tenants' bytes: limits of a compilation, and the workers' user.

use crate::{
    failure::Failure,
    wrong_settings::{WrongSettings, layer},
};
use clap::Args;
use fabric_client::settings::{Env, Origin, Setting};
use fabric_types::units::ByteSize;
use std::{fmt, path::PathBuf};

/// Flags of workers. The values of the configuration file have the same type.
#[derive(Debug, Clone, Default, Args)]
pub struct WorkerArgs {
    /// Maximum size of a module [env: FABRIC_MAX_MODULE_BYTES; default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_module_bytes: Option<ByteSize>,
    /// Memory limit for checking and compiling one module [env: FABRIC_COMPILE_MEMORY; default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    pub compile_memory: Option<ByteSize>,
    /// CPU time limit for checking and compiling one module, in seconds [env: FABRIC_COMPILE_CPU_SECONDS; default: 180]
    #[arg(long, value_name = "N")]
    pub compile_cpu_seconds: Option<u64>,
    /// Maximum number of concurrent compilations; a tenant uses at most half of them, and tenants take turns [env:
    /// FABRIC_COMPILE_CONCURRENCY; default: one per CPU, 2 to 4]
    #[arg(long, value_name = "N")]
    pub compile_concurrency: Option<usize>,
    /// User and group id for compile and GPU workers if the server runs as root; with 0 they stay root [env:
    /// FABRIC_WORKER_UID; default: 65534]
    #[arg(long, value_name = "UID")]
    pub worker_uid: Option<u32>,
}

/// The effective settings.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    max_module_bytes: Setting<ByteSize>,
    compile_memory: Setting<ByteSize>,
    compile_cpu_seconds: Setting<u64>,
    /// `None` for the default, which depends on the machine.
    compile_concurrency: Option<Setting<usize>>,
    worker_uid: Setting<u32>,
}

/// The name, value and origin of a setting.
type Row = (&'static str, String, String);

impl WorkerSettings {
    /// Resolves the settings: a flag, else the environment, else the file at `path`, else the default.
    pub fn resolve(
        flags: &WorkerArgs,
        env: Env<'_>,
        file: &WorkerArgs,
        path: &PathBuf,
        wrong: &mut WrongSettings,
    ) -> Self {
        macro_rules! setting {
            ($field:ident, $default:expr, $flag:literal, $env:literal) => {
                wrong
                    .take($flag, layer(flags.$field, $flag, env, $env, file.$field.map(|v| (v, path))))
                    .unwrap_or(Setting { value: $default, origin: Origin::Default })
            };
        }
        let usual = fabric_host::CompileOptions::new(fabric_host::WorkerCommand::default());
        let at_once = layer(
            flags.compile_concurrency,
            "--compile-concurrency",
            env,
            "FABRIC_COMPILE_CONCURRENCY",
            file.compile_concurrency.map(|n| (n, path)),
        );
        let settings = Self {
            max_module_bytes: setting!(
                max_module_bytes,
                usual.max_module_bytes,
                "--max-module-bytes",
                "FABRIC_MAX_MODULE_BYTES"
            ),
            compile_memory: setting!(compile_memory, usual.memory_bytes, "--compile-memory", "FABRIC_COMPILE_MEMORY"),
            compile_cpu_seconds: setting!(
                compile_cpu_seconds,
                usual.cpu_seconds,
                "--compile-cpu-seconds",
                "FABRIC_COMPILE_CPU_SECONDS"
            ),
            compile_concurrency: wrong.take("compile-concurrency", at_once),
            worker_uid: setting!(worker_uid, usual.user.unwrap_or(0), "--worker-uid", "FABRIC_WORKER_UID"),
        };
        settings.check(wrong);
        settings
    }

    fn check(&self, wrong: &mut WrongSettings) {
        let bytes = |s: &Setting<ByteSize>| s.value.0;
        let mut within = |name: &str, value: u64, least: u64, most: u64, origin: &Origin| {
            if !(least..=most).contains(&value) {
                wrong.push(name, Failure::config(format!("{name}, from {origin}: use {least} to {most}")));
            }
        };
        within("max-module-bytes", bytes(&self.max_module_bytes), 1 << 10, 1 << 30, &self.max_module_bytes.origin);
        within("compile-memory", bytes(&self.compile_memory), 64 << 20, 1 << 40, &self.compile_memory.origin);
        let seconds = &self.compile_cpu_seconds;
        within("compile-cpu-seconds", seconds.value, 1, 86_400, &seconds.origin);
        if let Some(at_once) = &self.compile_concurrency {
            within("compile-concurrency", at_once.value as u64, 2, 1024, &at_once.origin);
        }
    }

    /// Applies the settings to the sandbox's options.
    pub fn apply(&self, compile: &mut fabric_host::CompileOptions) {
        compile.max_module_bytes = self.max_module_bytes.value;
        compile.memory_bytes = self.compile_memory.value;
        compile.cpu_seconds = self.compile_cpu_seconds.value;
        // The wall-clock limit is for a busy machine; it must not be reached before the CPU time limit.
        compile.wall_seconds = compile.wall_seconds.max(self.compile_cpu_seconds.value.saturating_mul(3));
        if let Some(at_once) = &self.compile_concurrency {
            compile.concurrency = at_once.value;
        }
        compile.user = self.user();
    }

    /// Returns the user of workers if the server runs as root; `None` to stay root.
    pub fn user(&self) -> Option<u32> {
        Some(self.worker_uid.value).filter(|uid| *uid != 0)
    }

    /// Returns the name, value and origin of each setting.
    pub fn rows(&self) -> [Row; 5] {
        fn row<T: fmt::Display>(name: &'static str, s: &Setting<T>) -> Row {
            (name, s.value.to_string(), s.origin.to_string())
        }
        [
            row("serve.max-module-bytes", &self.max_module_bytes),
            row("serve.compile-memory", &self.compile_memory),
            row("serve.compile-cpu-seconds", &self.compile_cpu_seconds),
            self.compile_concurrency.as_ref().map_or_else(
                || ("serve.compile-concurrency", "-".to_owned(), Origin::Default.to_string()),
                |setting| row("serve.compile-concurrency", setting),
            ),
            row("serve.worker-uid", &self.worker_uid),
        ]
    }
}

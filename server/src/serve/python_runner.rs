//! The Python runner of a server: found at the start, and compiled in the background.

use crate::{Error, background::BackgroundTask, settings::ServeConfig};
use fabric_gateway::PythonRunner;
use fabric_host::Host;
use fabric_types::id::TenantId;
use std::{path::PathBuf, sync::Arc};

/// Name of the runner's file where the server looks for it.
const NAME: &str = "python-runner.wasm";
/// Tenant on whose behalf the server compiles: none of the users', because tenants take turns to compile.
const TENANT: &str = "python-runner";

/// Opens the runner that is configured, or the one that was installed with the program.
pub(super) fn open(config: &ServeConfig) -> Result<Option<Arc<PythonRunner>>, Error> {
    let path = match &config.python_runner {
        Some(path) => Some(path.value.clone()),
        None => installed(),
    };
    let open = |path: PathBuf| {
        let runner = PythonRunner::open(&path);
        runner.map(Arc::new).map_err(|e| Error::io(format!("reading the Python runner `{}`", path.display()), e))
    };
    path.map(open).transpose()
}

fn installed() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?;
    [folder.join(NAME), folder.join("../share/fabric").join(NAME)].into_iter().find(|path| path.is_file())
}

/// Compiles the runner, so that the first call of a Python function does not wait for it.
pub(super) fn compile(runner: Arc<PythonRunner>, host: Host) -> BackgroundTask {
    BackgroundTask::spawn(async move {
        let Ok(tenant) = TenantId::new(TENANT) else { return };
        let module = match runner.read().await {
            Ok(module) => module,
            Err(error) => return tracing::warn!(%error, "the Python runner was not compiled"),
        };
        match host.precompile(&tenant, runner.digest(), module).await {
            Ok(compile_ms) => {
                runner.set_compiled();
                tracing::info!(compile_ms, "the Python runner is compiled");
            }
            Err(error) => tracing::warn!(%error, "the Python runner was not compiled"),
        }
    })
}

//! The node's GPU as offered to guests. It is detected in the background, since opening a device takes a while.

use super::deadline_backoff::DeadlineBackoff;
use fabric_gpu::{AdapterInfo, AdapterKind, Gpu, GpuWorkerCommand, LoopProbe, Options};
use fabric_types::{
    Code, Fault,
    function::Deployment,
    gpu::{GpuRequirement, GpuSupport},
    id::TenantId,
    node::{GpuAdapter, GpuKind},
};
use std::sync::Arc;
use tokio::sync::watch;

/// Options for detecting the node's GPU.
#[derive(Debug, Clone)]
pub struct Search {
    /// Command that runs [`gpu_worker_main`](crate::gpu_worker_main).
    pub worker: crate::WorkerCommand,
    /// Part of the adapter's name, case-insensitive. Default none: the best adapter, hardware before software.
    pub adapter: Option<String>,
    /// Lets a software driver serve functions that require a GPU, and those that prefer one even if it truncates long
    /// loops. Default false; for tests.
    pub any_software: bool,
    /// Memory that all calls together may allocate, in bytes. Default 512 MiB.
    pub memory_bytes: u64,
    /// User that GPU workers switch to if the server runs as root. Default 65534. With `None` they stay root.
    pub user: Option<u32>,
}

impl Search {
    /// Returns the defaults with this worker.
    #[must_use]
    pub fn new(worker: crate::WorkerCommand) -> Self {
        Self {
            worker,
            adapter: None,
            any_software: false,
            memory_bytes: 512 << 20,
            user: Some(fabric_confine::User::NOBODY),
        }
    }
}

/// A detected GPU, and the highest [`GpuSupport`] it can provide.
#[derive(Clone)]
struct Found {
    gpu: Gpu,
    serves: GpuSupport,
}

type SearchOutcome = Result<Found, Arc<str>>;

/// The node's GPU, or the reason it has none. Cheap to clone.
#[derive(Clone)]
pub struct Device {
    outcome: watch::Receiver<Option<SearchOutcome>>,
    deadline_backoff: Arc<DeadlineBackoff>,
}

/// A GPU that a call may use.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) gpu: Gpu,
    pub(crate) tenant: TenantId,
    pub(crate) deadline_backoff: Arc<DeadlineBackoff>,
}

/// The access of one deployment to the GPU.
#[derive(Clone)]
pub(crate) enum GpuAccess {
    /// No access: the function does not request a GPU.
    NotRequested,
    /// No access, for this reason.
    Denied(Arc<str>),
    /// Access to this GPU.
    Granted(Granted),
}

/// Returns the highest [`GpuSupport`] an adapter can provide, or the reason it can't provide any.
fn serves(info: &AdapterInfo, any_software: bool) -> Result<GpuSupport, String> {
    match (info.kind, info.loop_probe) {
        (AdapterKind::Hardware, _) => Ok(GpuSupport::Full),
        _ if any_software => Ok(GpuSupport::Full),
        (AdapterKind::Software, LoopProbe::Complete) => Ok(GpuSupport::Partial),
        (AdapterKind::Software, LoopProbe::Truncated { rounds }) => Err(format!(
            "the only adapter is {}, a software driver that ends loops after {rounds} rounds; `fabric serve --gpu any` accepts it",
            info.name
        )),
    }
}

async fn search(search: Search) -> SearchOutcome {
    let worker = GpuWorkerCommand {
        program: search.worker.program,
        args: search.worker.args.into_iter().map(Into::into).collect(),
    };
    let options = Options {
        adapter: search.adapter,
        memory_bytes: search.memory_bytes,
        user: search.user,
        ..Options::new(worker)
    };
    let gpu = Gpu::detect(options).await.map_err(|e| Arc::from(e.0))?;
    match serves(&gpu.info(), search.any_software) {
        Ok(serves) => Ok(Found { gpu, serves }),
        Err(why) => {
            gpu.shutdown().await;
            Err(why.into())
        }
    }
}

impl Device {
    /// Returns a device without a GPU, for this reason.
    #[must_use]
    pub fn none(why: &str) -> Self {
        Self::with(watch::channel(Some(Err(why.into()))).1)
    }

    /// Starts detection in the background. Call it within a Tokio runtime that exists as long as the GPU is used.
    #[must_use]
    pub fn find(how: Search) -> Self {
        let (tell, told) = watch::channel(None);
        tokio::spawn(async move {
            let outcome = search(how).await;
            match &outcome {
                Ok(found) => {
                    let info = found.gpu.info();
                    tracing::info!(adapter = %info.name, driver = %info.driver, serves = %found.serves, "GPU ready");
                }
                Err(why) => tracing::info!(%why, "no GPU for guests"),
            }
            tell.send_replace(Some(outcome));
        });
        Self::with(told)
    }

    fn with(outcome: watch::Receiver<Option<SearchOutcome>>) -> Self {
        Self { outcome, deadline_backoff: Arc::new(DeadlineBackoff::new()) }
    }

    async fn outcome(&self) -> SearchOutcome {
        let mut told = self.outcome.clone();
        match told.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err("it is still being detected".into())),
            Err(_) => Err("the node is shutting down".into()),
        }
    }

    fn now(&self) -> Option<SearchOutcome> {
        self.outcome.borrow().clone()
    }

    /// Returns the access of a deployment's calls. Waits for the detection to finish.
    ///
    /// # Errors
    /// `unavailable` if the function requires a GPU and this node has none.
    pub(crate) async fn access(&self, deployment: &Deployment) -> Result<GpuAccess, Fault> {
        let requirement = deployment.manifest.resources.gpu;
        if requirement == GpuRequirement::None {
            return Ok(GpuAccess::NotRequested);
        }
        let why = match self.outcome().await {
            Ok(found) if found.serves.satisfies(requirement) => {
                let (tenant, deadline_backoff) = (deployment.tenant.clone(), self.deadline_backoff.clone());
                return Ok(GpuAccess::Granted(Granted { gpu: found.gpu, tenant, deadline_backoff }));
            }
            Ok(found) => {
                format!("{} is a software driver, which does not serve `required`", found.gpu.info().name).into()
            }
            Err(why) => why,
        };
        if requirement == GpuRequirement::Required {
            let message = format!("function {} requires a GPU, and this node has none: {why}", deployment.function);
            return Err(Fault::new(Code::Unavailable, message).hint("`fabric nodes` shows which node has one"));
        }
        Ok(GpuAccess::Denied(why))
    }

    /// Returns the fingerprint of the adapter that calls of a deployment depend on: `None` if the function does not
    /// use a GPU, `none` if it runs without the one it prefers. Waits for the detection to finish.
    pub async fn adapter(&self, deployment: &Deployment) -> Option<String> {
        if !deployment.uses_gpu() {
            return None;
        }
        match self.access(deployment).await {
            Ok(GpuAccess::Granted(granted)) => Some(granted.gpu.info().fingerprint()),
            _ => Some("none".to_owned()),
        }
    }

    /// Describes the GPU for other processes and clients.
    ///
    /// # Errors
    /// The reason guests can't use a GPU.
    pub fn facts(&self) -> Result<GpuAdapter, String> {
        let found = match self.now() {
            Some(Ok(found)) => found,
            Some(Err(why)) => return Err(why.as_ref().to_owned()),
            None => return Err("it is still being detected".to_owned()),
        };
        let info = found.gpu.info();
        Ok(GpuAdapter {
            kind: match info.kind {
                AdapterKind::Hardware => GpuKind::Hardware,
                AdapterKind::Software => GpuKind::Software,
            },
            serves: found.serves,
            memory_bytes: info.memory_bytes,
            buffer_bytes: info.limits.buffer_bytes,
            workgroup_memory_bytes: info.limits.workgroup_memory_bytes,
            workgroup_invocations: info.limits.workgroup_invocations,
            f16: info.f16,
            subgroup_min: info.subgroup_size.map(|(least, _)| least),
            subgroup_max: info.subgroup_size.map(|(_, most)| most),
            long_loops: info.loop_probe == LoopProbe::Complete,
            queued: u32::try_from(found.gpu.queue_depth()).unwrap_or(u32::MAX),
            name: info.name,
            driver: info.driver,
        })
    }

    /// Ends the worker process. Calls that use the GPU then fail with a lost device.
    pub async fn shutdown(&self) {
        if let Some(Ok(found)) = self.now() {
            found.gpu.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(kind: AdapterKind, loop_probe: LoopProbe) -> AdapterInfo {
        AdapterInfo {
            name: "adapter".into(),
            kind,
            driver: "driver".into(),
            f16: false,
            subgroup_size: None,
            timestamps: true,
            memory_bytes: 1,
            limits: fabric_gpu::AdapterLimits::default(),
            loop_probe,
        }
    }

    #[test]
    fn a_software_driver_serves_what_it_can_and_all_when_the_operator_says_so() {
        let short = LoopProbe::Truncated { rounds: 65_535 };
        assert_eq!(serves(&info(AdapterKind::Hardware, short), false), Ok(GpuSupport::Full));
        assert_eq!(serves(&info(AdapterKind::Software, LoopProbe::Complete), false), Ok(GpuSupport::Partial));
        let why = serves(&info(AdapterKind::Software, short), false).unwrap_err();
        assert!(why.contains("65535 rounds") && why.contains("--gpu any"), "{why}");
        assert_eq!(serves(&info(AdapterKind::Software, short), true), Ok(GpuSupport::Full));
    }
}

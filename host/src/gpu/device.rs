//! The node's GPU as it is offered to guests: looked for in the background, since opening a device takes a while.

use super::blame::Blame;
use fabric_gpu::{Gpu, Info, Kind, LoopProbe, Options, WorkerCommand};
use fabric_types::{
    Code, Fault,
    function::Deployment,
    id::TenantId,
    manifest::GpuMode,
    rest::node::{GpuAdapter, GpuKind},
};
use std::sync::Arc;
use tokio::sync::watch;

/// How a node looks for its GPU.
#[derive(Debug, Clone)]
pub struct Search {
    /// What runs [`gpu_worker_main`](crate::gpu_worker_main), and its arguments.
    pub worker: crate::WorkerCommand,
    /// A part of the adapter's name, in any case. Default none: the best one, hardware before software.
    pub adapter: Option<String>,
    /// Whether a software driver serves functions that require a GPU, and those that prefer one although it cuts long loops
    /// short. Default false; for tests.
    pub any_software: bool,
    /// What all calls together may allocate, in bytes. Default 512 MiB.
    pub memory_bytes: u64,
    /// The user that GPU workers become where the server runs as root. Default 65534; `None`: they stay root.
    pub user: Option<u32>,
}

impl Search {
    /// The defaults, with this worker.
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

/// A GPU that was found, and the strongest wish that it serves.
#[derive(Clone)]
struct Found {
    gpu: Gpu,
    serves: GpuMode,
}

type Outcome = Result<Found, Arc<str>>;

/// The node's GPU, or why there is none. Cheap to clone.
#[derive(Clone)]
pub struct Device {
    outcome: watch::Receiver<Option<Outcome>>,
    blame: Arc<Blame>,
}

/// A GPU that a call may use.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) gpu: Gpu,
    pub(crate) tenant: TenantId,
    pub(crate) blame: Arc<Blame>,
}

/// What one deployment gets of it.
#[derive(Clone)]
pub(crate) enum Access {
    /// Nothing, since the function did not ask.
    NotAsked,
    /// Nothing; the text says why.
    Denied(Arc<str>),
    /// This GPU.
    Granted(Granted),
}

/// The strongest wish that an adapter serves, or why none.
fn serves(info: &Info, any_software: bool) -> Result<GpuMode, String> {
    match (info.kind, info.loop_probe) {
        (Kind::Hardware, _) => Ok(GpuMode::Required),
        _ if any_software => Ok(GpuMode::Required),
        (Kind::Software, LoopProbe::Complete) => Ok(GpuMode::Preferred),
        (Kind::Software, LoopProbe::Truncated { rounds }) => Err(format!(
            "the only adapter is {}, a software driver that ends loops after {rounds} rounds; `fabric serve --gpu any` takes it all the same",
            info.name
        )),
    }
}

async fn search(search: Search) -> Outcome {
    let worker = WorkerCommand {
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
    /// None, for this reason.
    #[must_use]
    pub fn none(why: &str) -> Self {
        Self::with(watch::channel(Some(Err(why.into()))).1)
    }

    /// Begins to look for one. Call it within a Tokio runtime, which has to last as long as the GPU is used.
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

    fn with(outcome: watch::Receiver<Option<Outcome>>) -> Self {
        Self { outcome, blame: Arc::new(Blame::new()) }
    }

    async fn outcome(&self) -> Outcome {
        let mut told = self.outcome.clone();
        match told.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err("it is being looked for".into())),
            Err(_) => Err("the node is shutting down".into()),
        }
    }

    fn now(&self) -> Option<Outcome> {
        self.outcome.borrow().clone()
    }

    /// What calls of a deployment get; waits while the GPU is being looked for.
    ///
    /// # Errors
    /// `unavailable` when the function requires what this node has not.
    pub(crate) async fn access(&self, deployment: &Deployment) -> Result<Access, Fault> {
        let wish = deployment.manifest.resources.gpu;
        if wish == GpuMode::None {
            return Ok(Access::NotAsked);
        }
        let why = match self.outcome().await {
            Ok(found) if found.serves >= wish => {
                let (tenant, blame) = (deployment.tenant.clone(), self.blame.clone());
                return Ok(Access::Granted(Granted { gpu: found.gpu, tenant, blame }));
            }
            Ok(found) => {
                format!("{} is a software driver, which does not serve `required`", found.gpu.info().name).into()
            }
            Err(why) => why,
        };
        if wish == GpuMode::Required {
            let message = format!("function {} requires a GPU, and this node has none: {why}", deployment.function);
            return Err(Fault::new(Code::Unavailable, message).hint("`fabric nodes` shows which node has one"));
        }
        Ok(Access::Denied(why))
    }

    /// The adapter on which calls of a deployment depend: none where it uses no GPU, and a word of its own where it does
    /// without. Waits while the GPU is being looked for.
    pub async fn adapter(&self, deployment: &Deployment) -> Option<String> {
        if !deployment.uses_gpu() {
            return None;
        }
        match self.access(deployment).await {
            Ok(Access::Granted(granted)) => Some(granted.gpu.info().fingerprint()),
            _ => Some("none".to_owned()),
        }
    }

    /// What to tell others of it; `Err` why guests can use none.
    ///
    /// # Errors
    /// The reason.
    pub fn facts(&self) -> Result<GpuAdapter, String> {
        let found = match self.now() {
            Some(Ok(found)) => found,
            Some(Err(why)) => return Err(why.as_ref().to_owned()),
            None => return Err("it is being looked for".to_owned()),
        };
        let info = found.gpu.info();
        Ok(GpuAdapter {
            kind: match info.kind {
                Kind::Hardware => GpuKind::Hardware,
                Kind::Software => GpuKind::Software,
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

    /// Ends its worker process. Calls that use it find the device lost.
    pub async fn shutdown(&self) {
        if let Some(Ok(found)) = self.now() {
            found.gpu.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn info(kind: Kind, loop_probe: LoopProbe) -> Info {
        Info {
            name: "adapter".into(),
            kind,
            driver: "driver".into(),
            f16: false,
            subgroup_size: None,
            timestamps: true,
            memory_bytes: 1,
            limits: fabric_gpu::Limits::default(),
            loop_probe,
        }
    }

    #[test]
    fn a_software_driver_serves_what_it_can_and_all_when_the_operator_says_so() {
        let short = LoopProbe::Truncated { rounds: 65_535 };
        assert_eq!(serves(&info(Kind::Hardware, short), false), Ok(GpuMode::Required));
        assert_eq!(serves(&info(Kind::Software, LoopProbe::Complete), false), Ok(GpuMode::Preferred));
        let why = serves(&info(Kind::Software, short), false).unwrap_err();
        assert!(why.contains("65535 rounds") && why.contains("--gpu any"), "{why}");
        assert_eq!(serves(&info(Kind::Software, short), true), Ok(GpuMode::Required));
    }
}

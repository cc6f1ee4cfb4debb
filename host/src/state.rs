//! The data of a store for one call. Contexts that only some guests need are created on first use.

use crate::{
    call::{CallBounds, CallResources, CallShared, CallSpec},
    clock::VirtualClock,
    entry::task::Progress,
    fault::FaultError,
    gpu,
    handles::{HandleMeter, OpenHandles},
    limiter::Limiter,
    logs::LogOrigin,
    network::Hooks,
    open_files::CallFiles,
    preopen, random,
    source::PartSource,
    stdio::{Stdin, Stdout},
    volumes::{MeteredVolumes, VolumeRoot},
};
use fabric_types::{
    Code, Fault, canonical,
    function::{Deployment, EntryKind},
};
use std::sync::Arc;
use wasmtime::{CallHook, StoreContextMut, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p1::WasiP1Ctx};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The parameters of a call that determine its contexts.
struct CallSetup {
    deployment: Arc<Deployment>,
    volumes: Arc<VolumeRoot>,
    seed: [u8; 32],
    stage: &'static str,
}

/// The state of one call.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    pub(crate) host_calls_left: u64,
    pub(crate) bounds: CallBounds,
    pub(crate) table: ResourceTable,
    pub(crate) shared: Arc<CallShared>,
    pub(crate) source: Option<Box<dyn PartSource>>,
    pub(crate) params: Arc<str>,
    pub(crate) progress: Option<Progress>,
    pub(crate) clock: VirtualClock,
    pub(crate) gpu: gpu::GpuUsage,
    pub(crate) files: CallFiles,
    handles: HandleMeter,
    setup: CallSetup,
    /// Meter for volume writes. Present if a volume was opened for writing.
    metered: Option<Arc<MeteredVolumes>>,
    wasi: Option<Box<WasiCtx>>,
    p1: Option<Box<WasiP1Ctx>>,
    http: WasiHttpCtx,
    hooks: Hooks,
}

impl State {
    pub(crate) fn new(spec: CallSpec<'_>, volumes: Arc<VolumeRoot>, resources: CallResources) -> Self {
        let CallResources { bounds, shared, gpu, limiter, files, hooks } = resources;
        let mut table = ResourceTable::new();
        table.set_max_capacity(spec.limits.handles as usize);
        let deployment = spec.loaded.deployment.clone();
        Self {
            files,
            handles: HandleMeter::default(),
            limiter,
            host_calls_left: spec.limits.host_calls,
            bounds,
            table,
            shared,
            source: spec.source,
            params: spec.params,
            progress: spec.progress,
            clock: VirtualClock::default(),
            gpu,
            setup: CallSetup { deployment, volumes, seed: spec.seed, stage: spec.stage },
            metered: None,
            wasi: None,
            p1: None,
            http: WasiHttpCtx::new(),
            hooks,
        }
    }

    /// Returns `true` if the guest may read the real clocks. Http functions always may.
    pub(crate) fn real_clocks(&self) -> bool {
        self.setup.deployment.manifest.grants.clocks || self.setup.deployment.entry.kind == EntryKind::Http
    }

    fn real_random(&self) -> bool {
        self.setup.deployment.manifest.grants.random || self.setup.deployment.entry.kind == EntryKind::Http
    }

    fn builder(&mut self) -> Result<WasiCtxBuilder, Fault> {
        let mut wasi = WasiCtxBuilder::new();
        let kind = self.setup.deployment.entry.kind;
        let shared = &self.shared;
        wasi.stderr(Stdout::log(shared.clone(), LogOrigin::Stderr));
        if kind == EntryKind::Command {
            wasi.stdout(Stdout::result(shared.clone()));
            if let Some(source) = self.source.take() {
                wasi.stdin(Stdin::new(source, shared.clone()));
            }
            arguments(&mut wasi, &self.setup, &self.params);
        } else {
            wasi.stdout(Stdout::log(shared.clone(), LogOrigin::Stdout));
        }
        for (name, value) in &self.setup.deployment.manifest.grants.env {
            wasi.env(name, value);
        }
        if !self.real_clocks() {
            wasi.wall_clock(self.clock.clone()).monotonic_clock(self.clock.clone());
        }
        if !self.real_random() {
            random::seed(&mut wasi, &self.setup.seed);
        }
        // By default sockets can't reach any address. These settings also make creating one fail.
        wasi.allow_tcp(false).allow_udp(false).max_random_size(1 << 20);
        preopen::open(&mut wasi, &self.setup.deployment, &self.setup.volumes.folder)?;
        if let Some(meter) = &self.setup.volumes.meter
            && self.setup.deployment.manifest.grants.volumes.iter().any(|volume| volume.write)
        {
            self.metered = Some(MeteredVolumes::new(Arc::clone(meter), self.setup.deployment.tenant.clone()));
        }
        Ok(wasi)
    }

    /// Returns the meter for volume writes, if a volume was opened for writing.
    pub(crate) fn metered(&self) -> Option<&Arc<MeteredVolumes>> {
        self.metered.as_ref()
    }

    /// Creates the contexts that can fail before the guest starts, so that a failure is a fault of the host.
    pub(crate) fn prepare(&mut self, preview1: bool) -> Result<(), Fault> {
        if preview1 {
            let handles = self.table.max_capacity();
            let mut p1 = self.builder()?.build_p1();
            WasiView::ctx(&mut p1).table.set_max_capacity(handles);
            self.p1 = Some(Box::new(p1));
        } else if !self.setup.deployment.manifest.grants.volumes.is_empty() {
            self.wasi = Some(Box::new(self.builder()?.build()));
        }
        Ok(())
    }

    /// Charges for the handles that are open now.
    ///
    /// # Errors
    /// `node-memory`, `memory-limit`.
    fn count_handles(&mut self) -> Result<(), Fault> {
        let mut open = OpenHandles::default();
        open.add(&mut self.table);
        if let Some(p1) = self.p1.as_deref_mut() {
            open.add(WasiView::ctx(p1).table);
        }
        self.files.set(open.files);
        self.handles.count(open.handles, &self.shared.memory)
    }

    /// Returns the preview 1 context. [`Self::prepare`] creates it; otherwise it is empty.
    pub(crate) fn p1(&mut self) -> &mut WasiP1Ctx {
        self.p1.get_or_insert_with(|| Box::new(WasiCtxBuilder::new().build_p1()))
    }
}

/// Counts host calls, and ends a guest that makes too many.
pub(crate) fn on_call(mut store: StoreContextMut<'_, State>, hook: CallHook) -> wasmtime::Result<()> {
    if !matches!(hook, CallHook::CallingHost) {
        return Ok(());
    }
    let state = store.data_mut();
    match state.host_calls_left.checked_sub(1) {
        Some(left) => {
            state.host_calls_left = left;
            if state.handles.is_due() { state.count_handles().map_err(FaultError::error) } else { Ok(()) }
        }
        None => Err(FaultError::error(
            Fault::new(Code::HostCallLimit, "more host calls were made than the function may make")
                .hint("read and write in larger pieces, or raise `limits.host-calls` in fabric.toml"),
        )),
    }
}

/// Passes parameters to a command: `--key=value` arguments, `FABRIC_PARAM_KEY` variables, and the stage in
/// `FABRIC_STAGE`.
fn arguments(wasi: &mut WasiCtxBuilder, setup: &CallSetup, params: &str) {
    wasi.arg(setup.deployment.function.as_str());
    wasi.env("FABRIC_STAGE", setup.stage);
    let Ok(params) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(params) else { return };
    for (key, value) in &params {
        let text = canonical::plain(value);
        if key.contains('\0') || text.contains('\0') {
            continue;
        }
        let name: String =
            key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        wasi.arg(format!("--{key}={text}"));
        wasi.env(format!("FABRIC_PARAM_{name}"), text);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        if self.wasi.is_none() {
            // Only opening volumes can fail, and with volumes `prepare` has already created the context.
            let wasi = self.builder().map_or_else(|_| WasiCtx::default(), |mut b| b.build());
            self.wasi = Some(Box::new(wasi));
        }
        WasiCtxView { ctx: self.wasi.get_or_insert_default(), table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

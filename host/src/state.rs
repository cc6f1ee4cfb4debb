//! The data of a store for one call. Contexts that only some guests need are created on first use.

use crate::{
    clock::VirtualClock,
    entry::task::Progress,
    fault::Stop,
    gpu,
    handles::{HandleMeter, Open},
    limiter::Limiter,
    logs::{LogOrigin, Logs},
    network::Hooks,
    open_files::FilesOfCall,
    output::Output,
    preopen, random,
    scope::Scope,
    source::PartSource,
    stdio::{Stdin, Stdout},
    volumes::{Metered, VolumeRoot},
};
use fabric_types::{
    Code, Fault, canonical,
    function::{Deployment, EntryKind},
    limits::Limits,
    memory::Charge,
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use wasmtime::{CallHook, StoreContextMut, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p1::WasiP1Ctx};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The state that streams and host calls share.
pub(crate) struct Shared {
    pub(crate) output: Mutex<Output>,
    pub(crate) logs: Mutex<Logs>,
    pub(crate) bytes_in: AtomicU64,
    /// Fuel spent by an http guest. Valid after its store is dropped.
    pub(crate) fuel: AtomicU64,
    /// GPU device time in microseconds. Valid after the instance is dropped.
    pub(crate) gpu_us: Arc<AtomicU64>,
    /// `true` if an http guest failed. Set before its store is dropped.
    pub(crate) failed: AtomicBool,
    /// Charge for the memories and tables of the instance. Outlives the store that contains them.
    pub(crate) memory: Arc<Charge>,
}

impl Shared {
    /// Returns the fuel, and the device time in microseconds, that an http guest spent. Valid after its store is
    /// dropped.
    pub(crate) fn spent(&self) -> (u64, u64) {
        (self.fuel.load(Ordering::Acquire), self.gpu_us.load(Ordering::Acquire))
    }
}

/// The parameters of a call that determine its contexts.
pub(crate) struct Setup {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) volumes: Arc<VolumeRoot>,
    pub(crate) seed: [u8; 32],
    pub(crate) stage: &'static str,
}

/// The state of one call.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    pub(crate) host_calls_left: u64,
    pub(crate) scope: Scope,
    pub(crate) table: ResourceTable,
    pub(crate) shared: Arc<Shared>,
    pub(crate) source: Option<Box<dyn PartSource>>,
    pub(crate) params: Arc<str>,
    pub(crate) progress: Option<Progress>,
    pub(crate) clock: VirtualClock,
    pub(crate) gpu: gpu::Use,
    pub(crate) files: FilesOfCall,
    handles: HandleMeter,
    setup: Setup,
    /// Meter for volume writes. Present if a volume was opened for writing.
    metered: Option<Arc<Metered>>,
    wasi: Option<Box<WasiCtx>>,
    p1: Option<Box<WasiP1Ctx>>,
    http: WasiHttpCtx,
    hooks: Hooks,
}

impl State {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        setup: Setup,
        limits: &Limits,
        limiter: Limiter,
        scope: Scope,
        shared: Arc<Shared>,
        source: Option<Box<dyn PartSource>>,
        params: Arc<str>,
        progress: Option<Progress>,
        hooks: Hooks,
        gpu: gpu::Use,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        let files = setup.volumes.files.of_call(&setup.deployment.tenant);
        Self {
            files,
            handles: HandleMeter::default(),
            limiter,
            host_calls_left: limits.host_calls,
            scope,
            table,
            shared,
            source,
            params,
            progress,
            clock: VirtualClock::default(),
            gpu,
            setup,
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
            self.metered = Some(Metered::new(Arc::clone(meter), self.setup.deployment.tenant.clone()));
        }
        Ok(wasi)
    }

    /// Returns the meter for volume writes, if a volume was opened for writing.
    pub(crate) fn metered(&self) -> Option<&Arc<Metered>> {
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
        let mut open = Open::default();
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
            if state.handles.is_due() { state.count_handles().map_err(Stop::error) } else { Ok(()) }
        }
        None => Err(Stop::error(
            Fault::new(Code::HostCallLimit, "more host calls were made than the function may make")
                .hint("read and write in larger pieces, or raise `limits.host-calls` in fabric.toml"),
        )),
    }
}

/// Passes parameters to a command: `--key=value` arguments, `FABRIC_PARAM_KEY` variables, and the stage in
/// `FABRIC_STAGE`.
fn arguments(wasi: &mut WasiCtxBuilder, setup: &Setup, params: &str) {
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

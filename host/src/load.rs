//! Loading of modules by digest: from memory, from disk, or by compiling them.

use crate::{
    artefact::{self, Checked, Found},
    bindings::HandlerTask,
    compile::{
        Compiler,
        protocol::{Facts, Target},
    },
    error::Error,
    gpu,
    network::HostPattern,
    options::Options,
    shape::Form,
    state::State,
    stats::{Counters, Observer, add},
    symbols::table::Symbols,
};
use bytes::Bytes;
use fabric_types::{
    Code, EngineClass, Fault,
    digest::ModuleDigest,
    function::{Deployment, EntryKind},
    id::TenantId,
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use wasmtime::{
    Engine, InstancePre as CorePre, Linker as CoreLinker, Precompiled,
    component::{Component, ComponentExportIndex, HasSelf, InstancePre, Linker},
};
use wasmtime_wasi::p2::bindings::{CommandPre, clocks::monotonic_clock};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

/// A `fabric:task` component with the indices of its exports.
pub(crate) struct TaskPre {
    pub(crate) pre: InstancePre<State>,
    pub(crate) handle: Option<ComponentExportIndex>,
    pub(crate) map: Option<ComponentExportIndex>,
    pub(crate) reduce: Option<ComponentExportIndex>,
    pub(crate) describe: Option<ComponentExportIndex>,
}

/// A linked module.
pub(crate) enum Linked {
    Task(TaskPre),
    Http(ProxyPre<State>),
    Command(CommandPre<State>),
    /// A WASI preview 1 core module.
    Preview1(CorePre<State>),
}

/// A linked module and its engine.
pub(crate) struct Prepared {
    pub(crate) linked: Linked,
    pub(crate) engine: Engine,
    pub(crate) facts: Facts,
    /// Names and lines for backtraces.
    pub(crate) symbols: Symbols,
    bytes: usize,
}

/// A deployment that is ready to run. Cheap to clone. Holds a reference to its machine code.
#[derive(Clone)]
pub struct Loaded {
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) network: Arc<[HostPattern]>,
}

impl Loaded {
    /// Returns the deployment.
    #[must_use]
    pub fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }
}

/// An engine with its fingerprint and linkers.
pub(crate) struct LinkedEngine {
    pub(crate) engine: Engine,
    pub(crate) fingerprint: String,
    components: Linker<State>,
    modules: CoreLinker<State>,
}

impl LinkedEngine {
    pub(crate) fn new(engine: Engine) -> Result<Self, Error> {
        let failed = |e: wasmtime::Error| Error::Engine(format!("{e:#}"));
        let mut components = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut components).map_err(failed)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut components).map_err(failed)?;
        HandlerTask::add_to_linker::<State, HasSelf<State>>(&mut components, |s| s).map_err(failed)?;
        gpu::bindings::GpuGuest::add_to_linker::<State, HasSelf<State>>(&mut components, |s| s).map_err(failed)?;
        components.allow_shadowing(true);
        monotonic_clock::add_to_linker::<State, HasSelf<State>>(&mut components, |s| s).map_err(failed)?;
        crate::volumes::link(&mut components).map_err(failed)?;
        components.allow_shadowing(false);
        let mut modules = CoreLinker::new(&engine);
        wasmtime_wasi::p1::add_to_linker_async(&mut modules, State::p1).map_err(failed)?;
        modules.allow_shadowing(true);
        crate::volumes::link_p1(&mut modules).map_err(failed)?;
        modules.allow_shadowing(false);
        let fingerprint = crate::fingerprint::of(&engine);
        Ok(Self { engine, fingerprint, components, modules })
    }

    fn link(&self, code: &Checked, kind: EntryKind) -> Result<Prepared, Fault> {
        let internal = |e: wasmtime::Error| Fault::new(Code::Internal, format!("compiled code can't be used: {e:#}"));
        let linked = match self.engine_form(code) {
            Form::Core => {
                let module = code.module(&self.engine).map_err(too_large)?;
                Linked::Preview1(self.modules.instantiate_pre(&module).map_err(unlinked)?)
            }
            Form::Component => {
                let component = code.component(&self.engine).map_err(too_large)?;
                let pre = self.components.instantiate_pre(&component).map_err(unlinked)?;
                match kind {
                    EntryKind::Task => Linked::Task(self.task(&component, pre)),
                    EntryKind::Http => Linked::Http(ProxyPre::new(pre).map_err(internal)?),
                    EntryKind::Command => Linked::Command(CommandPre::new(pre).map_err(internal)?),
                }
            }
        };
        let symbols = code.symbols();
        let bytes = code.len().saturating_add(symbols.len());
        Ok(Prepared { linked, engine: self.engine.clone(), facts: code.facts().clone(), symbols, bytes })
    }

    fn engine_form(&self, code: &Checked) -> Form {
        match code.kind() {
            Some(Precompiled::Module) => Form::Core,
            _ => Form::Component,
        }
    }

    fn task(&self, component: &Component, pre: InstancePre<State>) -> TaskPre {
        let (mut handle, mut map, mut reduce, mut describe) = (None, None, None, None);
        for (name, _) in component.component_type().exports(&self.engine) {
            let (slot, function) = match crate::imports::split(name) {
                Some(("fabric:task", "handler", _)) => (&mut handle, "handle"),
                Some(("fabric:task", "mapper", _)) => (&mut map, "map"),
                Some(("fabric:task", "reducer", _)) => (&mut reduce, "reduce"),
                Some(("fabric:task", "describe", _)) => (&mut describe, "describe"),
                _ => continue,
            };
            let instance = component.get_export_index(None, name);
            *slot = instance.and_then(|i| component.get_export_index(Some(&i), function));
        }
        TaskPre { pre, handle, map, reduce, describe }
    }
}

/// Returns the fault of a module whose initial memory exceeds the host's maximum.
pub(crate) fn start_memory(bytes: u64, max: u64) -> Fault {
    let message = format!("the module starts with {bytes} bytes of memory, this host allows {max}");
    Fault::new(Code::MemoryLimit, message)
}

/// Returns the fault of a module that can't be linked. Its interfaces were already checked by name, so a function is
/// missing from one or has a different type.
fn unlinked(error: wasmtime::Error) -> Fault {
    Fault::new(Code::UnknownImport, format!("the module's imports are not what this host offers: {error:#}"))
        .hint("build it again with a current tool chain for WASI 0.2 (wasm32-wasip2) or preview 1 (wasm32-wasip1)")
}

/// Returns the fault of a module that the engine rejects. The machine code comes from our own worker, so the module
/// exceeds the limits of the pool.
fn too_large(error: wasmtime::Error) -> Fault {
    let text = format!("{error:#}");
    let code = if text.contains("memory") {
        Code::MemoryLimit
    } else if text.contains("table") {
        Code::TableLimit
    } else {
        Code::InvalidModule
    };
    Fault::new(code, format!("the module does not fit this host's limits: {text}"))
}

/// Loads modules. Concurrent loads of one module share one preparation.
pub(crate) struct Loader {
    pub(crate) deterministic: Arc<LinkedEngine>,
    pub(crate) general: Arc<LinkedEngine>,
    pub(crate) compiler: Compiler,
    store: Arc<artefact::Store>,
    ready: moka::future::Cache<(ModuleDigest, EngineClass), Arc<Prepared>>,
    pub(crate) counters: Counters,
    observer: Option<Arc<dyn Observer>>,
    max_memory: u64,
    /// The module that is compiled in advance. A load of it waits for that compilation and does not begin another.
    in_advance: OnceLock<ModuleDigest>,
    advance_turn: tokio::sync::Mutex<()>,
}

impl Loader {
    pub(crate) fn new(options: &Options, deterministic: LinkedEngine, general: LinkedEngine) -> Result<Self, Error> {
        let ready = moka::future::Cache::builder()
            .max_capacity(options.cache_bytes.0)
            .weigher(|_, p: &Arc<Prepared>| u32::try_from(p.bytes).unwrap_or(u32::MAX).max(1))
            .build();
        let fingerprints = [deterministic.fingerprint.clone(), general.fingerprint.clone()];
        let max_memory = options.max_memory_bytes.0;
        Ok(Self {
            deterministic: Arc::new(deterministic),
            general: Arc::new(general),
            compiler: Compiler::new(options.compile.clone(), fingerprints, max_memory),
            store: Arc::new(artefact::Store::open(&options.data_dir, options.artefact_bytes)?),
            ready,
            counters: Counters::default(),
            observer: options.observer.clone(),
            max_memory,
            in_advance: OnceLock::new(),
            advance_turn: tokio::sync::Mutex::default(),
        })
    }

    /// Returns up to `limit` modules that are linked in memory.
    pub(crate) fn linked_modules(&self, limit: usize) -> Vec<ModuleDigest> {
        self.ready.iter().map(|(key, _)| key.0).take(limit).collect()
    }

    pub(crate) fn engine(&self, class: EngineClass) -> &Arc<LinkedEngine> {
        match class {
            EngineClass::Deterministic => &self.deterministic,
            EngineClass::General => &self.general,
        }
    }

    /// Returns the linked module of a deployment, from memory, from disk, or compiled now.
    pub(crate) async fn prepared<F, Fut>(&self, deployment: &Deployment, fetch: F) -> Result<Arc<Prepared>, Fault>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, Fault>>,
    {
        add(&self.counters.loads);
        let key = (deployment.module, deployment.engine_class());
        let mut fetch = Some(fetch);
        loop {
            let tried = AtomicBool::new(false);
            let prepare = async {
                tried.store(true, Ordering::Relaxed);
                match fetch.take() {
                    Some(fetch) => self.prepare(deployment, fetch).await,
                    None => Err(Fault::new(Code::Internal, "a module was loaded twice for one call")),
                }
            };
            let fault = match self.ready.try_get_with(key, prepare).await {
                Ok(prepared) => return Ok(prepared),
                Err(fault) => fault,
            };
            // Another tenant's load of the same module came first, and that tenant's queue was full.
            if tried.into_inner() || fault.code != Code::TooManyRequests {
                return Err((*fault).clone());
            }
        }
    }

    async fn prepare<F, Fut>(&self, deployment: &Deployment, fetch: F) -> Result<Arc<Prepared>, Fault>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, Fault>>,
    {
        add(&self.counters.misses);
        let (digest, class) = (deployment.module, deployment.engine_class());
        let _turn = self.turn(digest).await;
        let code = match self.stored(class, digest).await? {
            Some(code) => code,
            None => {
                let bytes = fetch().await?;
                let same = {
                    let bytes = bytes.clone();
                    blocking("checking a module", move || ModuleDigest::of(&bytes) == digest).await?
                };
                if !same {
                    return Err(Fault::new(
                        Code::Internal,
                        format!("the stored bytes of module {digest} do not match its digest"),
                    ));
                }
                self.compile(&deployment.tenant, digest, Target::Class(class), &bytes).await?.0
            }
        };
        self.link(code, class, deployment.entry.kind).await
    }

    /// Links machine code on a blocking thread, since the time it takes is proportional to the code's size.
    async fn link(&self, code: Checked, class: EngineClass, kind: EntryKind) -> Result<Arc<Prepared>, Fault> {
        let engine = self.engine(class).clone();
        blocking("linking a module", move || engine.link(&code, kind)).await?.map(Arc::new)
    }

    async fn stored(&self, class: EngineClass, digest: ModuleDigest) -> Result<Option<Checked>, Fault> {
        let store = self.store.clone();
        let fingerprint = self.engine(class).fingerprint.clone();
        let found = blocking("reading a compiled module", move || store.read(&fingerprint, &digest)).await?;
        Ok(match found {
            Found::Artefact(code) => {
                add(&self.counters.disk_hits);
                Some(code)
            }
            Found::Absent => None,
            Found::Corrupt => {
                add(&self.counters.corrupt);
                tracing::warn!(module_digest = %digest, "compiled module failed its check, compiling it again");
                None
            }
        })
    }

    /// Compiles a module in the worker and stores the result. Also returns the time it took, in milliseconds.
    async fn compile(
        &self,
        tenant: &TenantId,
        digest: ModuleDigest,
        target: Target,
        bytes: &[u8],
    ) -> Result<(Checked, u64), Fault> {
        let start = Instant::now();
        let compiled = self.compiler.compile(tenant, bytes, target).await?;
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.counters.compiled.fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.compiled(millis);
        }
        let store = self.store.clone();
        let fingerprint = self.engine(compiled.facts.class).fingerprint.clone();
        let kept = blocking("storing a compiled module", move || store.write(&fingerprint, &digest, &compiled)).await?;
        let code = kept.ok_or_else(|| Fault::new(Code::Internal, "the compiled module has an impossible size"))?;
        Ok((code, millis))
    }

    /// Prepares an upload from memory, from disk, or by compiling it. Also returns the time of compilation, in
    /// milliseconds.
    pub(crate) async fn upload(
        &self,
        tenant: &TenantId,
        digest: ModuleDigest,
        bytes: &[u8],
    ) -> Result<(Arc<Prepared>, u64), Fault> {
        // The entry kind selects the engine of an upload. The facts of an artefact for either engine contain the entry
        // kind.
        for class in EngineClass::ALL {
            if let Some(prepared) = self.ready.get(&(digest, class)).await
                && class_of(prepared.facts.entry.kind) == class
            {
                self.check_memory(&prepared.facts)?;
                return Ok((prepared, 0));
            }
        }
        let _turn = self.turn(digest).await;
        let mut found = None;
        for class in EngineClass::ALL {
            if let Some(code) = self.stored(class, digest).await?
                && class_of(code.facts().entry.kind) == class
            {
                found = Some((code, 0));
                break;
            }
        }
        let (code, millis) = match found {
            Some(found) => found,
            None => self.compile(tenant, digest, Target::ByEntry, bytes).await?,
        };
        self.check_memory(code.facts())?;
        let (kind, class) = (code.facts().entry.kind, code.facts().class);
        let prepared = self.link(code, class, kind).await?;
        self.ready.insert((digest, class), prepared.clone()).await;
        Ok((prepared, millis))
    }

    /// Waits for a compilation in advance of this module.
    async fn turn(&self, digest: ModuleDigest) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.in_advance.get() == Some(&digest) { Some(self.advance_turn.lock().await) } else { None }
    }

    /// Compiles a module for each class of engine for which it is not compiled yet. Returns the time that it took, in
    /// milliseconds.
    pub(crate) async fn precompile(&self, tenant: &TenantId, digest: ModuleDigest, bytes: &[u8]) -> Result<u64, Fault> {
        if *self.in_advance.get_or_init(|| digest) != digest {
            return Err(Fault::new(Code::Internal, "one module can be compiled in advance"));
        }
        let mut millis = 0;
        for class in EngineClass::ALL {
            // Others take their turns in between.
            let _turn = self.turn(digest).await;
            if self.stored(class, digest).await?.is_none() {
                millis += self.compile(tenant, digest, Target::Class(class), bytes).await?.1;
            }
        }
        Ok(millis)
    }

    fn check_memory(&self, facts: &Facts) -> Result<(), Fault> {
        if facts.memory > self.max_memory { Err(start_memory(facts.memory, self.max_memory)) } else { Ok(()) }
    }
}

/// Returns the class of engine that an upload is compiled for: its entry decides, since grants come with a deployment.
pub(crate) fn class_of(kind: EntryKind) -> EngineClass {
    match kind {
        EntryKind::Http => EngineClass::General,
        EntryKind::Task | EntryKind::Command => EngineClass::Deterministic,
    }
}

/// Runs `work` on a thread for blocking work.
async fn blocking<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Fault::new(Code::Internal, format!("{what} failed: {e}")))
}

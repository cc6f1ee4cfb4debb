//! From a module's digest to something that can be instantiated: memory, then disk, then the compile worker.

use crate::{
    artefact::{self, Checked, Found},
    bindings::HandlerTask,
    compile::Compiler,
    error::Error,
    gpu,
    network::HostPattern,
    options::Options,
    shape::{self, Form},
    state::State,
    stats::{Counters, Observer, add},
};
use bytes::Bytes;
use fabric_types::{
    Code, Fault,
    digest::ModuleDigest,
    function::{Deployment, EntryKind},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};
use wasmtime::{
    Engine, InstancePre as CorePre, Linker as CoreLinker, Precompiled,
    component::{Component, ComponentExportIndex, HasSelf, InstancePre, Linker},
};
use wasmtime_wasi::p2::bindings::{CommandPre, clocks::monotonic_clock};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

/// A `fabric:task` component with the places of its exports.
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
    /// A preview-1 core module.
    Preview1(CorePre<State>),
}

/// A linked module with the engine it is for.
pub(crate) struct Prepared {
    pub(crate) linked: Linked,
    pub(crate) engine: Engine,
    bytes: usize,
}

/// A deployment that is ready to run. Cheap to clone; keeps its machine code alive.
#[derive(Clone)]
pub struct Loaded {
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) network: Arc<[HostPattern]>,
}

impl Loaded {
    /// The deployment it was made from.
    #[must_use]
    pub fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }
}

/// One engine with everything that can be linked against it.
pub(crate) struct Class {
    pub(crate) engine: Engine,
    pub(crate) fingerprint: String,
    components: Linker<State>,
    modules: CoreLinker<State>,
}

impl Class {
    pub(crate) fn new(engine: Engine) -> Result<Self, Error> {
        let failed = |e: wasmtime::Error| Error::Engine(format!("{e:#}"));
        let mut components = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut components).map_err(failed)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut components).map_err(failed)?;
        HandlerTask::add_to_linker::<State, HasSelf<State>>(&mut components, |s| s).map_err(failed)?;
        gpu::bindings::GpuGuest::add_to_linker::<State, HasSelf<State>>(&mut components, |s| s).map_err(failed)?;
        components.allow_shadowing(true);
        monotonic_clock::add_to_linker::<State, HasSelf<State>>(&mut components, |s| s).map_err(failed)?;
        components.allow_shadowing(false);
        let mut modules = CoreLinker::new(&engine);
        wasmtime_wasi::p1::add_to_linker_async(&mut modules, State::p1).map_err(failed)?;
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
        Ok(Prepared { linked, engine: self.engine.clone(), bytes: code.len() })
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

/// The interfaces were checked by name before; what is missing now is a function in one, or its type differs.
fn unlinked(error: wasmtime::Error) -> Fault {
    Fault::new(Code::UnknownImport, format!("the module's imports are not what this host offers: {error:#}"))
        .hint("build it again with a current tool chain for WASI 0.2 (wasm32-wasip2) or preview 1 (wasm32-wasip1)")
}

/// Our own code deserialises; what is refused then does not fit the pool.
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

/// Loads modules, each once at a time.
pub(crate) struct Loader {
    pub(crate) pure: Class,
    pub(crate) service: Class,
    pub(crate) compiler: Compiler,
    store: Arc<artefact::Store>,
    ready: moka::future::Cache<(ModuleDigest, bool), Arc<Prepared>>,
    pub(crate) counters: Counters,
    observer: Option<Arc<dyn Observer>>,
    max_memory: u64,
}

impl Loader {
    pub(crate) fn new(options: &Options, pure: Class, service: Class) -> Result<Self, Error> {
        let ready = moka::future::Cache::builder()
            .max_capacity(options.cache_bytes.0)
            .weigher(|_, p: &Arc<Prepared>| u32::try_from(p.bytes).unwrap_or(u32::MAX).max(1))
            .build();
        Ok(Self {
            pure,
            service,
            compiler: Compiler::new(options.compile.clone()),
            store: Arc::new(artefact::Store::open(&options.data_dir)?),
            ready,
            counters: Counters::default(),
            observer: options.observer.clone(),
            max_memory: options.max_memory_bytes.0,
        })
    }

    /// Modules that are linked in memory.
    pub(crate) fn warm(&self, limit: usize) -> Vec<ModuleDigest> {
        self.ready.iter().map(|(key, _)| key.0).take(limit).collect()
    }

    pub(crate) fn class(&self, pure: bool) -> &Class {
        if pure { &self.pure } else { &self.service }
    }

    /// The linked module, from wherever it is nearest.
    pub(crate) async fn prepared<F, Fut>(
        &self,
        digest: ModuleDigest,
        kind: EntryKind,
        pure: bool,
        fetch: F,
    ) -> Result<Arc<Prepared>, Fault>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, Fault>>,
    {
        add(&self.counters.loads);
        self.ready
            .try_get_with((digest, pure), self.prepare(digest, kind, pure, fetch))
            .await
            .map_err(|fault| (*fault).clone())
    }

    async fn prepare<F, Fut>(
        &self,
        digest: ModuleDigest,
        kind: EntryKind,
        pure: bool,
        fetch: F,
    ) -> Result<Arc<Prepared>, Fault>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, Fault>>,
    {
        add(&self.counters.misses);
        let class = self.class(pure);
        let code = match self.stored(class, digest).await? {
            Some(code) => code,
            None => {
                let bytes = fetch().await?;
                if ModuleDigest::of(&bytes) != digest {
                    return Err(Fault::new(
                        Code::Internal,
                        format!("the stored bytes of module {digest} are not its own"),
                    ));
                }
                self.compile(class, digest, pure, &bytes).await?.0
            }
        };
        class.link(&code, kind).map(Arc::new)
    }

    async fn stored(&self, class: &Class, digest: ModuleDigest) -> Result<Option<Checked>, Fault> {
        let store = self.store.clone();
        let fingerprint = class.fingerprint.clone();
        let found = tokio::task::spawn_blocking(move || store.read(&fingerprint, &digest))
            .await
            .map_err(|e| Fault::new(Code::Internal, format!("reading a compiled module failed: {e}")))?;
        Ok(match found {
            Found::Artefact(code) => {
                add(&self.counters.disk_hits);
                Some(code)
            }
            Found::Absent => None,
            Found::Corrupt => {
                add(&self.counters.corrupt);
                tracing::warn!(module_digest = %digest, "compiled module does not check, compiling it again");
                None
            }
        })
    }

    /// Compiles in the worker and keeps the result; also says how many milliseconds it took.
    async fn compile(
        &self,
        class: &Class,
        digest: ModuleDigest,
        pure: bool,
        bytes: &[u8],
    ) -> Result<(Checked, u64), Fault> {
        let component = shape::form(bytes)? == Form::Component;
        let start = Instant::now();
        let code = self.compiler.compile(bytes, pure, component, &class.fingerprint).await?;
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.counters.compiled.fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.compiled(millis);
        }
        let store = self.store.clone();
        let fingerprint = class.fingerprint.clone();
        let code = tokio::task::spawn_blocking(move || store.write(&fingerprint, &digest, code))
            .await
            .map_err(|e| Fault::new(Code::Internal, format!("keeping a compiled module failed: {e}")))?;
        Ok((code, millis))
    }

    /// Readies an upload whose outside has been read: from disk, or compiled now.
    pub(crate) async fn upload(
        &self,
        digest: ModuleDigest,
        kind: EntryKind,
        memory: u64,
        bytes: &[u8],
    ) -> Result<(Arc<Prepared>, u64), Fault> {
        if memory > self.max_memory {
            let message =
                format!("the module starts with {memory} bytes of memory, this host allows {}", self.max_memory);
            return Err(Fault::new(Code::MemoryLimit, message));
        }
        let pure = kind != EntryKind::Http;
        if let Some(prepared) = self.ready.get(&(digest, pure)).await {
            return Ok((prepared, 0));
        }
        let class = self.class(pure);
        let (code, millis) = match self.stored(class, digest).await? {
            Some(code) => (code, 0),
            None => self.compile(class, digest, pure, bytes).await?,
        };
        let prepared = Arc::new(class.link(&code, kind)?);
        self.ready.insert((digest, pure), prepared.clone()).await;
        Ok((prepared, millis))
    }
}

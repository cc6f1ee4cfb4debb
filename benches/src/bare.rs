//! The same component in plain wasmtime: an engine with the fabric's settings, a fresh store and instance for each
//! call, and minimal host functions.

use fabric_host::{Host, Options, WorkerCommand};
use std::sync::Arc;
use wasmtime::{
    Config, Engine, Store,
    component::{Component, ComponentExportIndex, HasSelf, InstancePre, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/task",
        world: "handler-task",
        imports: { default: trappable },
        exports: { default: async },
        require_store_data_send: true,
    });
}
use bindings::fabric::task::{emit, input, log, output, params, progress, types};

/// The input range and the output of a call.
#[derive(Default)]
struct State {
    table: ResourceTable,
    wasi: Option<WasiCtx>,
    input: Option<Text>,
    at: usize,
    end: usize,
    begun: bool,
    output: Vec<u8>,
}

/// Bytes shared by calls.
pub type Text = Arc<Vec<u8>>;

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Created on first use, as in the fabric.
        WasiCtxView { ctx: self.wasi.get_or_insert_default(), table: &mut self.table }
    }
}

impl types::Host for State {}
impl input::Host for State {
    fn next_part(&mut self) -> wasmtime::Result<Option<input::Part>> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(None);
        }
        let size = Some((self.end - self.at) as u64);
        Ok(Some(input::Part { name: "item".to_owned(), offset: 0, size, kind: input::PartKind::Bytes }))
    }
    fn read(&mut self, max_bytes: u32) -> wasmtime::Result<Vec<u8>> {
        let to = self.end.min(self.at + max_bytes as usize);
        let piece = self.input.as_ref().and_then(|text| text.get(self.at..to)).unwrap_or_default().to_vec();
        self.at = to;
        Ok(piece)
    }
    fn read_keyed(&mut self, _: u32) -> wasmtime::Result<Vec<types::Keyed>> {
        Ok(Vec::new())
    }
}
impl output::Host for State {
    fn write(&mut self, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.output.extend_from_slice(&bytes);
        Ok(())
    }
    fn set_content_type(&mut self, _: String) -> wasmtime::Result<()> {
        Ok(())
    }
}
impl emit::Host for State {
    fn emit(&mut self, _: Vec<types::Keyed>) -> wasmtime::Result<()> {
        Ok(())
    }
}
impl params::Host for State {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok("{}".to_owned())
    }
}
impl log::Host for State {
    fn log(&mut self, _: log::Level, _: String) -> wasmtime::Result<()> {
        Ok(())
    }
}
impl progress::Host for State {
    fn report(&mut self, _: u64, _: u64) -> wasmtime::Result<()> {
        Ok(())
    }

    fn at(&mut self, _: String) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// A compiled and linked component.
pub struct Bare {
    engine: Engine,
    pre: InstancePre<State>,
    map: ComponentExportIndex,
    fuel: bool,
}

/// Returns the fabric's settings for pure functions.
pub fn settings() -> Config {
    let worker = WorkerCommand { program: "none".into(), args: Vec::new() };
    Host::bare_config(fabric_types::EngineClass::Deterministic, 64, &Options::new("none", worker))
}

/// Returns the same settings without fuel and epochs.
pub fn settings_without_limits() -> Config {
    let mut config = settings();
    config.consume_fuel(false).epoch_interruption(false);
    config
}

fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

impl Bare {
    /// Compiles and links a component.
    pub fn new(config: &Config, fuel: bool, module: &[u8]) -> anyhow::Result<Self> {
        let engine = Engine::new(config).map_err(plain)?;
        let component = Component::new(&engine, module).map_err(plain)?;
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(plain)?;
        bindings::HandlerTask::add_to_linker::<State, HasSelf<State>>(&mut linker, |s| s).map_err(plain)?;
        let pre = linker.instantiate_pre(&component).map_err(plain)?;
        let mapper = component.get_export_index(None, "fabric:task/mapper@0.1.1");
        let map = mapper.and_then(|i| component.get_export_index(Some(&i), "map"));
        let map = map.ok_or_else(|| anyhow::anyhow!("the module exports no mapper"))?;
        Ok(Self { engine, pre, map, fuel })
    }

    /// Maps a range of bytes in a fresh instance and returns the output.
    pub async fn map(&self, input: Option<Text>, range: std::ops::Range<usize>) -> anyhow::Result<Vec<u8>> {
        let state = State { input, at: range.start, end: range.end, ..State::default() };
        let mut store = Store::new(&self.engine, state);
        let answer = self.call(&mut store).await.map_err(plain)?;
        answer.map_err(|e| anyhow::anyhow!("{e:?}"))?;
        Ok(std::mem::take(&mut store.data_mut().output))
    }

    async fn call(&self, store: &mut Store<State>) -> wasmtime::Result<Result<(), types::Error>> {
        if self.fuel {
            store.set_fuel(100_000_000_000)?;
            store.set_epoch_deadline(1);
        }
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let map = instance.get_typed_func::<(), (Result<(), types::Error>,)>(&mut *store, &self.map)?;
        Ok(map.call_async(&mut *store, ()).await?.0)
    }
}

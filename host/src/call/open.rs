//! Takes the resources of a call and creates its store.

use crate::{
    call::{CallBounds, CallShared, CallSpec},
    fault::FaultError,
    gpu,
    host::{Inner, Slot},
    limiter::Limiter,
    load::{Linked, Prepared},
    network::Hooks,
    open_files::CallFiles,
    state::{self, State},
    stats::Observer,
};
use fabric_types::{Code, Fault, function::EntryKind};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};
use wasmtime::{Engine, Store};

/// Fuel between two updates of a guest's counter, a few milliseconds of execution.
const FUEL_PRECISION: u64 = 10_000_000;

/// The limited resources that a store holds.
pub(crate) struct CallResources {
    pub(crate) bounds: CallBounds,
    pub(crate) shared: Arc<CallShared>,
    pub(crate) gpu: gpu::GpuUsage,
    pub(crate) limiter: Limiter,
    pub(crate) files: CallFiles,
    pub(crate) hooks: Hooks,
}

/// A call that holds its resources. Dropping it terminates the guest and records its fuel and GPU time in the
/// [`CallShared`].
pub(crate) struct OpenCall {
    // Dropped in this order: the instance goes back to the pool before the slot is free.
    pub(super) store: FuelRecordingStore,
    pub(super) slot: Slot,
    pub(crate) bounds: CallBounds,
    pub(crate) shared: Arc<CallShared>,
    pub(crate) prepared: Arc<Prepared>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) kind: EntryKind,
    pub(super) start: Instant,
    inner: Arc<Inner>,
}

/// Opens a call.
///
/// The GPU comes first, since waiting for its detection must not hold a slot. The slot bounds the number of stores;
/// memory and files are charged while the guest runs.
///
/// # Errors
/// `unavailable` if the function requires a GPU and the node has none, if a bounded wait for a slot times out, or if
/// too many calls are waiting; `cancelled`.
pub(crate) async fn open(inner: &Arc<Inner>, spec: CallSpec<'_>, shared: Arc<CallShared>) -> Result<OpenCall, Fault> {
    let loaded = spec.loaded;
    let gpu = inner.gpu.access(&loaded.deployment).await?;
    let slot = inner.slot(&loaded.deployment, spec.slot_wait, &spec.cancel).await?;
    let bounds = CallBounds::new(&spec.limits, spec.unit, spec.deadline, spec.cancel.clone());
    let resources = CallResources {
        gpu: gpu::GpuUsage::new(gpu, &spec.limits, shared.gpu_us.clone()),
        limiter: inner.limiter(&spec.limits, spec.unit, shared.memory.clone()),
        files: inner.volumes.files.open_call(&loaded.deployment.tenant),
        hooks: Hooks::new(loaded.network.clone(), inner.policy),
        bounds: bounds.clone(),
        shared: shared.clone(),
    };
    let (prepared, kind, fuel) = (loaded.prepared.clone(), loaded.deployment.entry.kind, spec.limits.fuel);
    let observer = spec.observer.clone();
    let state = State::new(spec, inner.volumes.clone(), resources);
    let store =
        FuelRecordingStore { store: store(&prepared.engine, state, fuel)?, limit: fuel, shared: shared.clone() };
    let (start, inner) = (Instant::now(), inner.clone());
    Ok(OpenCall { store, slot, bounds, shared, prepared, observer, kind, start, inner })
}

/// Creates a store with its limits: fuel, epochs, memory, tables and host calls.
fn store(engine: &Engine, state: State, fuel: u64) -> Result<Store<State>, Fault> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.call_hook(state::on_call);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(super::bounds::on_epoch);
    let failed = |e: wasmtime::Error| Fault::new(Code::Internal, format!("fuel can't be set: {e:#}"));
    store.set_fuel(fuel).map_err(failed)?;
    // Compiled code keeps its fuel in a register. The register is lost when a guest is terminated in a loop without
    // calls, so the fuel spent is known to within this interval.
    store.fuel_async_yield_interval(Some(FUEL_PRECISION)).map_err(failed)?;
    Ok(store)
}

impl OpenCall {
    /// Returns the store, with the contexts that can fail before the guest starts.
    ///
    /// # Errors
    /// The fault of a volume that can't be opened.
    pub(crate) fn ready_store(&mut self) -> wasmtime::Result<&mut Store<State>> {
        let preview1 = matches!(self.prepared.linked, Linked::Preview1(_));
        self.store.store.data_mut().prepare(preview1).map_err(FaultError::error)?;
        Ok(&mut self.store.store)
    }

    /// Returns the store.
    pub(crate) fn store(&mut self) -> &mut Store<State> {
        &mut self.store.store
    }

    /// Counts the new instance, and reports the time that it took.
    pub(crate) fn instantiated(&self) {
        self.inner.count_instance();
        if let Some(observer) = &self.observer {
            observer.instantiated(self.kind, micros(self.start));
        }
    }
}

/// A store that records its guest's fuel on drop, including when the caller disconnects.
pub(super) struct FuelRecordingStore {
    store: Store<State>,
    limit: u64,
    shared: Arc<CallShared>,
}

impl Drop for FuelRecordingStore {
    fn drop(&mut self) {
        let spent = self.limit.saturating_sub(self.store.get_fuel().unwrap_or(0));
        self.shared.fuel.store(spent, Ordering::Release);
    }
}

/// Returns the microseconds since `start`.
pub(crate) fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

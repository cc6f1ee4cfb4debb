//! Calls a module's `describe` export at upload, under limits far below those of a call.

use crate::{
    call::{CallSpec, OpenCall, SlotWait, open},
    fault::WorkUnit,
    host::Inner,
    load::{Linked, Loaded, Prepared, TaskPre},
    output::Output,
};
use fabric_types::{
    Code, Fault,
    digest::ModuleDigest,
    function::Deployment,
    id::{FunctionName, TenantId},
    limits::Limits,
    manifest::Manifest,
    units::ByteSize,
};
use std::sync::Arc;

/// Maximum size of a description, in bytes.
const MAX_BYTES: u64 = 1 << 16;

/// Calls a module's `describe`. Returns `None` if the module has none.
///
/// # Errors
/// The guest's fault.
pub(crate) async fn run(
    inner: &Arc<Inner>,
    digest: ModuleDigest,
    prepared: Arc<Prepared>,
) -> Result<Option<String>, Fault> {
    let Linked::Task(task) = &prepared.linked else { return Ok(None) };
    let loaded = Loaded {
        deployment: Arc::new(deployment(digest, &prepared)?),
        network: inner.no_network.clone(),
        prepared: prepared.clone(),
    };
    let limits = Limits {
        fuel: 1_000_000_000,
        deadline_ms: 2_000,
        memory_bytes: ByteSize::mib(256),
        host_calls: 10_000,
        ..Limits::default()
    };
    let shared = inner.call_shared(&loaded, &limits, Output::new(MAX_BYTES, 0, 0, false), None);
    let spec =
        CallSpec { slot_wait: SlotWait::UntilCancelled, ..CallSpec::new(&loaded, WorkUnit::Task, "describe", limits) };
    let mut call = open(inner, spec, shared).await?;
    let bounds = call.bounds.clone();
    let end = bounds.run(call_guest(task, &mut call)).await;
    call.finish(end, |_, description| Ok(description)).result
}

/// Returns a deployment without grants, under a tenant of its own.
fn deployment(module: ModuleDigest, prepared: &Prepared) -> Result<Deployment, Fault> {
    let internal = |e: &dyn std::fmt::Display| Fault::new(Code::Internal, e.to_string());
    let name = FunctionName::new("describe").map_err(|e| internal(&e))?;
    Ok(Deployment {
        tenant: TenantId::new("describe").map_err(|e| internal(&e))?,
        function: name.clone(),
        version: 1,
        module,
        module_bytes: 0,
        entry: prepared.facts.entry,
        manifest: Manifest::named(name),
        created_ms: 0,
        note: String::new(),
    })
}

async fn call_guest(task: &TaskPre, call: &mut OpenCall) -> wasmtime::Result<Option<String>> {
    let Some(index) = &task.describe else { return Ok(None) };
    let instance = task.pre.instantiate_async(call.ready_store()?).await?;
    let store = call.store();
    let function = instance.get_typed_func::<(), (String,)>(&mut *store, index)?;
    Ok(Some(function.call_async(&mut *store, ()).await?.0))
}

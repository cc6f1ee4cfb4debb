//! Reflection of a pipeline: its storage buffers and its workgroup size.

use crate::{
    AdapterLimits, Error,
    command::{BindingAccess, BindingShape},
    error::within,
};
use naga::{
    ir::{AddressSpace, GlobalVariable, Module, StorageAccess, TypeInner},
    valid::FunctionInfo,
};

/// Largest workgroup size in z: WebGPU's `maxComputeWorkgroupSizeZ`.
const WIDTH_Z: u64 = 64;

/// Returns the storage buffers that the entry point uses, sorted by number.
///
/// # Errors
/// [`Error::Invalid`] for uniforms, textures, samplers and groups other than 0, even if they are unused.
pub(super) fn bindings(
    module: &Module,
    uses: &FunctionInfo,
    limits: &AdapterLimits,
) -> Result<Vec<BindingShape>, Error> {
    let mut found = Vec::new();
    for (handle, variable) in module.global_variables.iter() {
        if matches!(variable.space, AddressSpace::Private | AddressSpace::WorkGroup) {
            continue;
        }
        let layout = binding(module, variable)?;
        if !uses[handle].is_empty() {
            found.push(layout);
        }
    }
    found.sort_by_key(|layout: &BindingShape| layout.binding);
    within("bindings", found.len() as u64, limits.bindings)?;
    // Binding numbers must be small too: drivers allocate tables indexed by them.
    if let Some(last) = found.last() {
        within("bindings", u64::from(last.binding) + 1, limits.bindings)?;
    }
    Ok(found)
}

fn binding(module: &Module, variable: &GlobalVariable) -> Result<BindingShape, Error> {
    let name = variable.name.as_deref().unwrap_or("_");
    let AddressSpace::Storage { access } = variable.space else {
        return Err(Error::invalid(format!("`{name}` is not a storage buffer; declare it as `var<storage, …>`")));
    };
    let Some(place) = &variable.binding else {
        return Err(Error::invalid(format!("`{name}` has no @group(0) @binding(…)")));
    };
    if place.group != 0 {
        return Err(Error::invalid(format!("`{name}` is in @group({}); put every binding in @group(0)", place.group)));
    }
    let inner = &module.types[variable.ty].inner;
    if matches!(inner, TypeInner::BindingArray { .. }) {
        return Err(Error::invalid(format!("`{name}` is a binding array; bind its buffers one by one")));
    }
    let Some(bytes) = inner.try_size(module.to_ctx()) else {
        return Err(Error::invalid(format!("the type of `{name}` has no size; make it smaller")));
    };
    Ok(BindingShape {
        binding: place.binding,
        access: if access.contains(StorageAccess::STORE) { BindingAccess::ReadWrite } else { BindingAccess::Read },
        // A runtime-sized array counts as one element, as in WebGPU.
        min_bytes: u64::from(bytes).next_multiple_of(4),
    })
}

/// Rejects workgroups that are too large.
pub(super) fn check_workgroup(size: [u32; 3], limits: &AdapterLimits) -> Result<(), Error> {
    let [x, y, z] = size.map(u64::from);
    within("workgroup-width", x.max(y), limits.workgroup_width)?;
    within("workgroup-width", z, limits.workgroup_width.min(WIDTH_Z))?;
    within("workgroup-invocations", x.saturating_mul(y).saturating_mul(z), limits.workgroup_invocations)
}

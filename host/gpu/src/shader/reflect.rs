//! What a pipeline needs from outside: its storage buffers and the size of its workgroups.

use crate::{
    Error, Limits,
    command::{Access, BindingLayout},
    error::within,
};
use naga::{
    ir::{AddressSpace, GlobalVariable, Module, StorageAccess, TypeInner},
    valid::FunctionInfo,
};

/// Largest workgroup size in z: WebGPU's `maxComputeWorkgroupSizeZ`.
const WIDTH_Z: u64 = 64;

/// The storage buffers that the entry point uses, sorted by number.
///
/// # Errors
/// [`Error::Invalid`] for uniforms, textures, samplers and other groups than 0, even when they are not used.
pub(super) fn bindings(module: &Module, uses: &FunctionInfo, limits: &Limits) -> Result<Vec<BindingLayout>, Error> {
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
    found.sort_by_key(|layout: &BindingLayout| layout.binding);
    within("bindings", found.len() as u64, limits.bindings)?;
    // Numbers are small as well: drivers keep tables of them.
    if let Some(last) = found.last() {
        within("bindings", u64::from(last.binding) + 1, limits.bindings)?;
    }
    Ok(found)
}

fn binding(module: &Module, variable: &GlobalVariable) -> Result<BindingLayout, Error> {
    let name = variable.name.as_deref().unwrap_or("_");
    let AddressSpace::Storage { access } = variable.space else {
        return Err(Error::invalid(format!("`{name}` is no storage buffer; declare it as `var<storage, …>`")));
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
    Ok(BindingLayout {
        binding: place.binding,
        access: if access.contains(StorageAccess::STORE) { Access::ReadWrite } else { Access::Read },
        // A run-time sized array counts with one element, which is what WebGPU asks for.
        min_bytes: u64::from(bytes).next_multiple_of(4),
    })
}

/// Refuses workgroups that are too large.
pub(super) fn check_workgroup(size: [u32; 3], limits: &Limits) -> Result<(), Error> {
    let [x, y, z] = size.map(u64::from);
    within("workgroup-width", x.max(y), limits.workgroup_width)?;
    within("workgroup-width", z, limits.workgroup_width.min(WIDTH_Z))?;
    within("workgroup-invocations", x.saturating_mul(y).saturating_mul(z), limits.workgroup_invocations)
}

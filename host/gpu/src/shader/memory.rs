//! Workgroup memory and private memory of an entry point. wgpu 30.0 limits neither, and a driver may crash on a request
//! for 1 MiB of workgroup memory, so both are summed here.

use crate::{Error, error::within};
use naga::{
    ir::{AddressSpace, Module},
    proc::Layouter,
    valid::FunctionInfo,
};

/// Returns the bytes of workgroup memory that the entry point and the functions it calls use. Each variable's size is
/// rounded up to 16 bytes, as in WebGPU.
pub(super) fn workgroup(module: &Module, uses: &FunctionInfo, limit: u64) -> Result<u64, Error> {
    let sum = sum(module, uses, AddressSpace::WorkGroup)?;
    within("workgroup-memory-bytes", sum, limit)?;
    Ok(sum)
}

/// Checks the private memory of an invocation: used module-level private variables, and the variables of every function
/// in the module after overrides, each counted once.
pub(super) fn private(module: &Module, uses: &FunctionInfo, limit: u64) -> Result<(), Error> {
    let layouter = layouts(module)?;
    let mut total = sum(module, uses, AddressSpace::Private)?;
    let functions = module.functions.iter().map(|(_, f)| f).chain(module.entry_points.iter().map(|e| &e.function));
    for (_, variable) in functions.flat_map(|f| f.local_variables.iter()) {
        total = total.saturating_add(u64::from(layouter[variable.ty].size));
    }
    within("private-memory-bytes", total, limit)
}

fn sum(module: &Module, uses: &FunctionInfo, space: AddressSpace) -> Result<u64, Error> {
    let layouter = layouts(module)?;
    let mut total = 0_u64;
    for (handle, variable) in module.global_variables.iter() {
        if variable.space == space && !uses[handle].is_empty() {
            total = total.saturating_add(u64::from(layouter[variable.ty].size).next_multiple_of(16));
        }
    }
    Ok(total)
}

fn layouts(module: &Module) -> Result<Layouter, Error> {
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).map_err(|e| Error::invalid(format!("the shader has a type without size: {e}")))?;
    Ok(layouter)
}

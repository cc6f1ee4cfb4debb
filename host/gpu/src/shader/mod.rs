//! Shader validation without a device. Pure: no I/O, no clock.
//!
//! The order matters. [`nesting`] scans the bytes first, so that parsing can't overflow the stack. Then naga parses and
//! validates. Then the IR is measured. wgpu compiles with the same version of naga, so it accepts each shader that
//! passes here.
//!
//! Parsing can still use a lot of memory (a constant of a huge array type is a few bytes of source), so this runs in a
//! separate process with resource limits: see [`crate::worker::checker`].

mod blocks;
mod memory;
mod nesting;
mod reflect;
#[cfg(test)]
mod tests;
mod weight;

use crate::{AdapterLimits, Error, command::Reflection, error::within, protocol::MAX_HEAD_BYTES};
use naga::{
    back::pipeline_constants::{PipelineConstantError, process_overrides},
    front::wgsl,
    ir::ShaderStage,
    valid::{Capabilities, ValidationFlags, Validator},
};
use serde::{Deserialize, Serialize};

/// Version of naga, used here and in wgpu.
pub(crate) const NAGA: &str = "30.0";

/// Upper bound of `shader-bytes`, regardless of the limits: half of the largest frame head.
const MOST_BYTES: u64 = MAX_HEAD_BYTES as u64 / 2;

/// A pipeline requested by a guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The WGSL.
    pub wgsl: String,
    /// Name of the `@compute` function.
    pub entry: String,
    /// Values for `override` declarations, by name or by `@id` in decimal.
    pub constants: Vec<(String, f64)>,
}

/// WGSL extensions of the adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extensions {
    /// `enable f16;`
    pub f16: bool,
    /// Subgroup built-in functions.
    pub subgroups: bool,
}

impl Extensions {
    fn capabilities(self) -> Capabilities {
        let mut all = Capabilities::empty();
        all.set(Capabilities::SHADER_FLOAT16, self.f16);
        all.set(Capabilities::SUBGROUP, self.subgroups);
        all
    }
}

/// Checks everything that needs no parsing: lengths, numbers, nesting. Linear in the source's length.
///
/// # Errors
/// [`Error::Limit`] for `shader-bytes`, `constants` and `nesting`; [`Error::Invalid`] for a constant that is not finite
/// or is given twice.
pub fn precheck(source: &Source, limits: &AdapterLimits) -> Result<(), Error> {
    let names: usize = source.entry.len() + source.constants.iter().map(|(name, _)| name.len()).sum::<usize>();
    within("shader-bytes", (source.wgsl.len() + names) as u64, limits.shader_bytes.min(MOST_BYTES))?;
    within("constants", source.constants.len() as u64, limits.constants)?;
    for (at, (name, value)) in source.constants.iter().enumerate() {
        if !value.is_finite() {
            return Err(Error::invalid(format!("the constant `{name}` is {value}; give a finite number")));
        }
        if source.constants.iter().take(at).any(|(other, _)| other == name) {
            return Err(Error::invalid(format!("the constant `{name}` is given twice")));
        }
    }
    within("nesting", nesting::deepest(&source.wgsl), limits.nesting)
}

/// Checks a shader against every limit and returns the requirements of its pipeline. Calls [`precheck`] first.
///
/// # Errors
/// The errors of [`precheck`]; [`Error::Shader`] with a location if naga rejects the shader; [`Error::Invalid`] for an
/// unknown entry point or constant; [`Error::Limit`] for `nesting`, `operations`, `workgroup-memory-bytes`,
/// `private-memory-bytes`, `workgroup-invocations`, `workgroup-width` and `bindings`.
pub fn check(source: &Source, extensions: Extensions, limits: &AdapterLimits) -> Result<Reflection, Error> {
    precheck(source, limits)?;
    let wgsl = source.wgsl.as_str();
    let mut options = wgsl::Options::new();
    options.capabilities = extensions.capabilities();
    let module = wgsl::Frontend::new_with_options(options).parse(wgsl).map_err(|e| {
        let place = e.location(wgsl).map_or((0, 0), |l| (l.line_number, l.line_position));
        refused(e.message(), place)
    })?;
    // This must come before validation, which is recursive too.
    blocks::check_depth(&module, limits.nesting)?;
    let info = Validator::new(ValidationFlags::all(), extensions.capabilities()).validate(&module).map_err(|e| {
        let place = e.location(wgsl).map_or((0, 0), |l| (l.line_number, l.line_position));
        refused(&whole(e.as_inner()), place)
    })?;
    if !module.entry_points.iter().any(|e| e.stage == ShaderStage::Compute && e.name == source.entry) {
        let there: Vec<_> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
        let name = &source.entry;
        return Err(Error::invalid(format!(
            "the shader has no @compute function `{name}`, it has: {}",
            there.join(", ")
        )));
    }
    let constants = source.constants.iter().cloned().collect();
    let (module, info) = process_overrides(&module, &info, Some((ShaderStage::Compute, &source.entry)), &constants)
        .map_err(overridden)?;
    let Some((index, entry)) = module.entry_points.iter().enumerate().find(|(_, e)| e.name == source.entry) else {
        return Err(Error::invalid("the shader lost its entry point"));
    };
    weight::check(&module, &info, index, limits.operations)?;
    let uses = info.get_entry_point(index);
    let workgroup_memory_bytes = memory::workgroup(&module, uses, limits.workgroup_memory_bytes)?;
    memory::private(&module, uses, limits.private_memory_bytes)?;
    reflect::check_workgroup(entry.workgroup_size, limits)?;
    Ok(Reflection {
        bindings: reflect::bindings(&module, uses, limits)?,
        workgroup_size: entry.workgroup_size,
        workgroup_memory_bytes,
    })
}

fn refused(message: &str, (line, column): (u32, u32)) -> Error {
    Error::Shader { message: message.to_owned(), line, column }
}

/// Formats an error with all its causes. naga puts the details into the causes.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn overridden(error: PipelineConstantError) -> Error {
    match error {
        PipelineConstantError::ValidationError(e) => refused(&whole(e.as_inner()), (0, 0)),
        other => Error::invalid(format!("the constants do not fit the shader: {}", whole(&other))),
    }
}

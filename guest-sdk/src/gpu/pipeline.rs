//! A compiled entry point.

use super::error::Result;
use super::sys;
use super::workgroups::{MAX_WORKGROUPS, covering};

/// A compiled `@compute` function of a WGSL source. It holds no data.
#[derive(Debug)]
pub struct Pipeline {
    raw: sys::Pipeline,
    /// Sorted by binding number.
    layout: Vec<BindingLayout>,
    workgroup_size: [u32; 3],
}

/// One `@binding` of a pipeline, as declared in its WGSL. All bindings are in `@group(0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingLayout {
    /// Binding number.
    pub binding: u32,
    /// Access of the shader.
    pub access: Access,
    /// Smallest size to bind, in bytes. A runtime-sized array counts as one element.
    pub min_bytes: u64,
}

/// Access of a shader to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

impl Pipeline {
    /// Compiles the function `entry` of a WGSL source. `constants` are values for its `override` declarations, by name.
    ///
    /// A node compiles the same source, entry point and constants once, so a function may compile in every call.
    ///
    /// # Errors
    /// [`Error::Shader`](super::Error::Shader) with line and column, `Invalid` for an unknown entry point or constant,
    /// and `Denied`, `Limit` (`shader-bytes`, `operations`, `workgroup-memory-bytes`, …), `TimedOut`, `DeviceLost`,
    /// `Busy`.
    pub fn compile(wgsl: &str, entry: &str, constants: &[(&str, f64)]) -> Result<Self> {
        let raw = sys::Pipeline::compile(wgsl, entry, constants)?;
        let mut layout = raw.layout();
        layout.sort_by_key(|entry| entry.binding);
        let workgroup_size = raw.workgroup_size();
        Ok(Self { raw, layout, workgroup_size })
    }

    /// Returns the bindings of a dispatch, sorted by binding number. Only bindings that the entry point uses are
    /// included.
    pub fn layout(&self) -> &[BindingLayout] {
        &self.layout
    }

    /// Returns the invocations of a workgroup in x, y and z.
    pub fn workgroup_size(&self) -> [u32; 3] {
        self.workgroup_size
    }

    /// Returns the number of workgroups in x that gives each element an invocation, at most [`MAX_WORKGROUPS`]. Beyond
    /// that (16.7 million elements with workgroups of 256), invocations must stride by the grid size.
    pub fn workgroups_for(&self, elements: usize) -> u32 {
        let [x, _, _] = self.workgroup_size;
        covering(elements, x, MAX_WORKGROUPS)
    }

    pub(super) fn raw(&self) -> &sys::Pipeline {
        &self.raw
    }
}

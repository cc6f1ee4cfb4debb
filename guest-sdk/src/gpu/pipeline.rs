//! A compiled entry point.

use super::error::Result;
use super::sys;
use super::workgroups::{MAX_WORKGROUPS, covering};

/// An `@compute` function of a WGSL source, ready to be dispatched. It holds no data.
#[derive(Debug)]
pub struct Pipeline {
    raw: sys::Pipeline,
    /// In the order of their numbers.
    layout: Vec<BindingLayout>,
    workgroup_size: [u32; 3],
}

/// One `@binding` of a pipeline, as its WGSL declares it. All are in `@group(0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingLayout {
    /// Its number.
    pub binding: u32,
    /// How it is used.
    pub access: Access,
    /// What must be bound at least, in bytes. A run-time sized array counts with one element.
    pub min_bytes: u64,
}

/// How a shader uses a binding.
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
    /// A node compiles the same source, entry point and constants once, so a function may do it in every call.
    ///
    /// # Errors
    /// [`Error::Shader`](super::Error::Shader) with line and column, `Invalid` for an entry point or constant that is not
    /// there, and `Denied`, `Limit` (`shader-bytes`, `operations`, `workgroup-memory-bytes`, …), `TimedOut`, `DeviceLost`,
    /// `Busy`.
    pub fn compile(wgsl: &str, entry: &str, constants: &[(&str, f64)]) -> Result<Self> {
        let raw = sys::Pipeline::compile(wgsl, entry, constants)?;
        let mut layout = raw.layout();
        layout.sort_by_key(|entry| entry.binding);
        let workgroup_size = raw.workgroup_size();
        Ok(Self { raw, layout, workgroup_size })
    }

    /// What a dispatch binds, in the order of the numbers. Only what the entry point uses.
    pub fn layout(&self) -> &[BindingLayout] {
        &self.layout
    }

    /// Invocations of a workgroup in x, y and z.
    pub fn workgroup_size(&self) -> [u32; 3] {
        self.workgroup_size
    }

    /// How many workgroups in x give each of so many elements an invocation, at most [`MAX_WORKGROUPS`]: beyond that
    /// (16.7 million elements with workgroups of 256) invocations must go on by the whole grid.
    pub fn workgroups_for(&self, elements: usize) -> u32 {
        let [x, _, _] = self.workgroup_size;
        covering(elements, x, MAX_WORKGROUPS)
    }

    pub(super) fn raw(&self) -> &sys::Pipeline {
        &self.raw
    }
}

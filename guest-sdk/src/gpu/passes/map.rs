//! Element-wise function of an array.

use std::marker::PhantomData;

use super::{holds, source};
use crate::gpu::{Buffer, Element, Pipeline, Result, Stats, Submit};

/// The pass `output[i] = f(input[i])`. A run is one dispatch, for any length.
#[derive(Debug)]
pub struct Map<T> {
    pipeline: Pipeline,
    of: PhantomData<fn() -> T>,
}

impl<T: Element> Map<T> {
    /// Compiles `function`: WGSL with a `fn f(x: T) -> T`. `T` is an alias of the element type, which may also be
    /// written as `f32`, `u32` or `i32`.
    ///
    /// # Errors
    /// As [`Pipeline::compile`]. The lines of a shader error refer to `function`.
    pub fn compile(function: &str) -> Result<Self> {
        let wgsl = source::<T>(function, include_str!("map.wgsl"));
        Ok(Self { pipeline: Pipeline::compile(&wgsl, "map", &[])?, of: PhantomData })
    }

    /// Writes `output`, a different buffer of the same length as `input`.
    ///
    /// # Errors
    /// `Invalid` if the lengths differ, and as [`Submit::run`].
    pub fn run(&self, input: &Buffer<T>, output: &Buffer<T>) -> Result<Stats> {
        holds("`output`", output.len(), input.len())?;
        let groups = self.pipeline.workgroups_for(input.len());
        Ok(Submit::new().dispatch(&self.pipeline, &[input, output], groups).run()?.stats)
    }
}

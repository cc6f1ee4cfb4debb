//! A function of each element.

use std::marker::PhantomData;

use super::{holds, source};
use crate::gpu::{Buffer, Element, Pipeline, Result, Stats, Submit};

/// `output[i] = f(input[i])`. A run is one dispatch, for any length.
#[derive(Debug)]
pub struct Map<T> {
    pipeline: Pipeline,
    of: PhantomData<fn() -> T>,
}

impl<T: Element> Map<T> {
    /// Compiles `function`: WGSL with a `fn f(x: T) -> T`, where `T` may be written so or as `f32`, `u32` or `i32`.
    ///
    /// # Errors
    /// As [`Pipeline::compile`]; lines of a shader error are those of `function`.
    pub fn compile(function: &str) -> Result<Self> {
        let wgsl = source::<T>(function, include_str!("map.wgsl"));
        Ok(Self { pipeline: Pipeline::compile(&wgsl, "map", &[])?, of: PhantomData })
    }

    /// Fills `output`, another buffer as long as `input`.
    ///
    /// # Errors
    /// `Invalid` for another length, and as [`Submit::run`].
    pub fn run(&self, input: &Buffer<T>, output: &Buffer<T>) -> Result<Stats> {
        holds("`output`", output.len(), input.len())?;
        let groups = self.pipeline.workgroups_for(input.len());
        Ok(Submit::new().dispatch(&self.pipeline, &[input, output], groups).run()?.stats)
    }
}

//! Scaled addition of two arrays.

use super::holds;
use crate::gpu::{Buffer, Pipeline, Result, Stats, Submit};

/// The pass `y[i] += a * x[i]`. A run is a write of four bytes and one dispatch, for any length.
#[derive(Debug)]
pub struct Saxpy {
    pipeline: Pipeline,
    a: Buffer<f32>,
}

impl Saxpy {
    /// Compiles the pass.
    ///
    /// # Errors
    /// As [`Pipeline::compile`] and [`Buffer::new`].
    pub fn compile() -> Result<Self> {
        let pipeline = Pipeline::compile(include_str!("saxpy.wgsl"), "saxpy", &[])?;
        Ok(Self { pipeline, a: Buffer::new(1)? })
    }

    /// Adds `a * x` to `y`. Both have the same length.
    ///
    /// # Errors
    /// `Invalid` if the lengths differ, and as [`Submit::run`].
    pub fn run(&self, a: f32, x: &Buffer<f32>, y: &Buffer<f32>) -> Result<Stats> {
        holds("`y`", y.len(), x.len())?;
        self.a.write(0, &[a])?;
        let groups = self.pipeline.workgroups_for(x.len());
        Ok(Submit::new().dispatch(&self.pipeline, &[&self.a, x, y], groups).run()?.stats)
    }
}

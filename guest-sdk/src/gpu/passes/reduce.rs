//! Reduction of an array to one number.

use std::marker::PhantomData;

use super::source;
use crate::gpu::workgroups::covering;
use crate::gpu::{Buffer, Element, Error, Pipeline, Result, Submit};

/// Largest number of workgroups of the first dispatch. The second dispatch reduces all their results in one workgroup.
const MOST_GROUPS: u32 = 1024;

/// The operation that combines two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Sum. Integers wrap around. Floats are added in a tree, so the last digits differ from a sequential sum.
    Sum,
    /// Minimum.
    Min,
    /// Maximum.
    Max,
}

impl Op {
    fn number(self) -> f64 {
        match self {
            Self::Sum => 0.0,
            Self::Min => 1.0,
            Self::Max => 2.0,
        }
    }
}

/// The sum, minimum or maximum of all elements. A run is one dispatch for up to 256 elements and two dispatches for any
/// greater length. If an element is NaN, the minimum and the maximum depend on the device.
#[derive(Debug)]
pub struct Reduce<T> {
    pipeline: Pipeline,
    of: PhantomData<fn() -> T>,
}

impl<T: Element> Reduce<T> {
    /// Compiles the pass.
    ///
    /// # Errors
    /// As [`Pipeline::compile`].
    pub fn compile(op: Op) -> Result<Self> {
        let wgsl = source::<T>("", include_str!("reduce.wgsl"));
        Ok(Self { pipeline: Pipeline::compile(&wgsl, "reduce", &[("op", op.number())])?, of: PhantomData })
    }

    /// Returns the result over all elements of `input`.
    ///
    /// # Errors
    /// As [`Submit::run`], and as [`Buffer::new`] for up to 1,025 intermediate elements.
    pub fn run(&self, input: &Buffer<T>) -> Result<T> {
        let groups = covering(input.len(), 256, MOST_GROUPS);
        let partials = Buffer::<T>::new(groups as usize)?;
        let first = Submit::new().dispatch(&self.pipeline, &[input, &partials], groups);
        let outcome = if groups <= 1 {
            first.read(&partials).run()?
        } else {
            let result = Buffer::<T>::new(1)?;
            first.dispatch(&self.pipeline, &[&partials, &result], 1).read(&result).run()?
        };
        outcome.values(0)?.first().copied().ok_or_else(|| Error::invalid("there is no result to read"))
    }
}

//! One number from many.

use std::marker::PhantomData;

use super::source;
use crate::gpu::workgroups::covering;
use crate::gpu::{Buffer, Element, Error, Pipeline, Result, Submit};

/// Most workgroups of the first dispatch; the second one takes all their results at once.
const MOST_GROUPS: u32 = 1024;

/// How two numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Their sum. Whole numbers wrap around; floats are added in a tree, so the last digits differ from a loop's.
    Sum,
    /// The lesser.
    Min,
    /// The greater.
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

/// The sum, the least or the greatest of all elements. A run is one dispatch for up to 256 elements, else two, for any
/// length. With NaN among them, the least and the greatest are what the device says.
#[derive(Debug)]
pub struct Reduce<T> {
    pipeline: Pipeline,
    of: PhantomData<fn() -> T>,
}

impl<T: Element> Reduce<T> {
    /// Compiles it.
    ///
    /// # Errors
    /// As [`Pipeline::compile`].
    pub fn compile(op: Op) -> Result<Self> {
        let wgsl = source::<T>("", include_str!("reduce.wgsl"));
        Ok(Self { pipeline: Pipeline::compile(&wgsl, "reduce", &[("op", op.number())])?, of: PhantomData })
    }

    /// The result over all of `input`.
    ///
    /// # Errors
    /// As [`Submit::run`], and as [`Buffer::new`] for up to 1,025 elements in between.
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

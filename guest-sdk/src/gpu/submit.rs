//! Work for the device, handed over at once.

use std::time::Duration;

use super::buffer::Slice;
use super::element::{self, Element};
use super::error::{Error, Result};
use super::pipeline::{BindingLayout, Pipeline};
use super::sys;
use super::workgroups::Workgroups;

/// What can be bound to a pipeline: a [`Buffer`](super::Buffer) of any elements, or a [`Slice`] of one.
pub trait Bind {
    /// The bytes that the shader sees.
    fn bound(&self) -> Bound<'_>;
}

/// A part of a buffer, in bytes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "only the component hands it over"))]
pub struct Bound<'a> {
    pub(super) buffer: &'a sys::Buffer,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// One step, as [`sys`] takes it.
#[derive(Debug)]
#[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "only the component hands it over"))]
pub(super) enum Command<'a> {
    Dispatch { pipeline: &'a sys::Pipeline, bindings: Vec<(u32, Bound<'a>)>, workgroups: [u32; 3] },
    Copy { source: Bound<'a>, target: Bound<'a> },
    Clear(Bound<'a>),
}

/// Steps that run in order, each seeing what those before it wrote, and what is read at their end.
///
/// One submit is one way to the device and back, whatever is in it: gather steps, and read in the same submit.
/// ```no_run
/// use fabric::gpu::{Buffer, Pipeline, Submit};
///
/// let double = Pipeline::compile(
///     "@group(0) @binding(0) var<storage, read> x: array<u32>;
///      @group(0) @binding(1) var<storage, read_write> y: array<u32>;
///      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
///          if id.x < arrayLength(&x) { y[id.x] = 2u * x[id.x]; }
///      }",
///     "main",
///     &[],
/// )?;
/// let x = Buffer::from_slice(&[1_u32, 2, 3])?;
/// let y = Buffer::<u32>::new(3)?;
/// let outcome = Submit::new().dispatch(&double, &[&x, &y], double.workgroups_for(3)).read(&y).run()?;
/// assert_eq!(outcome.values::<u32>(0)?, [2, 4, 6]);
/// # Ok::<(), fabric::gpu::Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "nothing runs before `run`"]
pub struct Submit<'a> {
    commands: Vec<Command<'a>>,
    reads: Vec<Bound<'a>>,
    /// The first step that cannot be.
    wrong: Option<Error>,
}

impl<'a> Submit<'a> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a pipeline over `workgroups`: a number for x, or `[x, y]`, or `[x, y, z]`. `buffers` are bound in the order of
    /// the numbers that the entry point uses, one for each. A buffer that the shader writes is bound once.
    pub fn dispatch(
        mut self,
        pipeline: &'a Pipeline,
        buffers: &[&'a dyn Bind],
        workgroups: impl Into<Workgroups>,
    ) -> Self {
        if let Err(error) = one_for_each(pipeline.layout(), buffers.len()) {
            self.wrong.get_or_insert(error);
            return self;
        }
        let bindings = pipeline.layout().iter().zip(buffers).map(|(entry, buffer)| (entry.binding, buffer.bound()));
        let Workgroups(workgroups) = workgroups.into();
        self.commands.push(Command::Dispatch { pipeline: pipeline.raw(), bindings: bindings.collect(), workgroups });
        self
    }

    /// Copies all of `source` to the start of `target`, another buffer or a part of one.
    pub fn copy<T: Element>(mut self, source: impl Into<Slice<'a, T>>, target: impl Into<Slice<'a, T>>) -> Self {
        let (source, target) = (source.into().bytes(), target.into().bytes());
        if target.bytes < source.bytes {
            let (from, to) = (source.bytes, target.bytes);
            self.wrong.get_or_insert(Error::invalid(format_args!("a copy of {from} bytes to where {to} bytes are")));
            return self;
        }
        self.commands.push(Command::Copy { source, target });
        self
    }

    /// Sets elements to zero.
    pub fn clear<T: Element>(mut self, part: impl Into<Slice<'a, T>>) -> Self {
        self.commands.push(Command::Clear(part.into().bytes()));
        self
    }

    /// Reads elements when all steps are done; [`Outcome::values`] has them. At most
    /// [`Limits::read_bytes`](super::Limits::read_bytes) in one submit.
    pub fn read<T: Element>(mut self, part: impl Into<Slice<'a, T>>) -> Self {
        self.reads.push(part.into().bytes());
        self
    }

    /// Runs the steps and waits for the device.
    ///
    /// # Errors
    /// Nothing has run after `Invalid` (a binding that is missing or too small, a range beyond its buffer, a buffer that
    /// went away with the device) and `Limit` (`passes-per-submit`, `workgroups-per-dimension`, `copy-bytes`,
    /// `read-bytes`, `device-time-ms`). After `TimedOut` and `DeviceLost` all buffers and pipelines are gone.
    pub fn run(self) -> Result<Outcome> {
        match self.wrong {
            Some(error) => Err(error),
            None => sys::submit(&self.commands, &self.reads),
        }
    }
}

/// What came of a submit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What it cost.
    pub stats: Stats,
    pub(super) reads: Vec<Vec<u8>>,
}

impl Outcome {
    /// What the read number `at` found, from 0, in the order of the calls of [`Submit::read`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when the submit had no such read.
    pub fn values<T: Element>(&self, at: usize) -> Result<Vec<T>> {
        let bytes = self.reads.get(at).ok_or_else(|| {
            Error::invalid(format_args!("there is no read {at}: the submit had {}, counted from 0", self.reads.len()))
        })?;
        Ok(element::from_bytes(bytes))
    }
}

/// What a submit cost: real time, another each time. A result that depends on it can't be repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Time on the device. It counts against the function's device time.
    pub device: Duration,
    /// Time that it waited for its turn and travelled.
    pub queue: Duration,
}

/// Checks that there are as many buffers as bindings: which buffer is missing is nothing that the host can know.
fn one_for_each(layout: &[BindingLayout], buffers: usize) -> Result<()> {
    if layout.len() == buffers {
        return Ok(());
    }
    let numbers: Vec<String> = layout.iter().map(|entry| entry.binding.to_string()).collect();
    Err(Error::invalid(format_args!(
        "{buffers} buffers are given, the entry point uses {}: @binding {}",
        layout.len(),
        numbers.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::gpu::Access;

    #[test]
    fn a_wrong_number_of_buffers_names_the_bindings() {
        let entry = |binding| BindingLayout { binding, access: Access::Read, min_bytes: 4 };
        let layout = [entry(0), entry(2)];
        assert_eq!(one_for_each(&layout, 2), Ok(()));
        assert_eq!(
            one_for_each(&layout, 3).unwrap_err().to_string(),
            "3 buffers are given, the entry point uses 2: @binding 0, 2"
        );
    }

    #[test]
    fn reads_are_found_by_their_number() {
        let outcome = Outcome { stats: Stats::default(), reads: vec![vec![1, 0, 0, 0, 2, 0, 0, 0], vec![]] };
        assert_eq!(outcome.values::<u32>(0).unwrap(), [1, 2]);
        assert!(outcome.values::<f32>(1).unwrap().is_empty());
        let error = outcome.values::<u32>(2).unwrap_err();
        assert_eq!(error.to_string(), "there is no read 2: the submit had 2, counted from 0");
    }
}

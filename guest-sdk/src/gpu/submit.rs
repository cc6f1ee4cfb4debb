//! Batches of commands for the device.

use std::time::Duration;

use super::buffer::Slice;
use super::element::{self, Element};
use super::error::{Error, Result};
use super::pipeline::{BindingLayout, Pipeline};
use super::sys;
use super::workgroups::Workgroups;

/// A value that can be bound to a pipeline: a [`Buffer`](super::Buffer) of any elements, or a [`Slice`] of one.
pub trait Bind {
    /// Returns the bytes that the shader can access.
    fn bound(&self) -> Bound<'_>;
}

/// A range of a buffer, in bytes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "only the component hands it over"))]
pub struct Bound<'a> {
    pub(super) buffer: &'a sys::Buffer,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// One step, as passed to [`sys`].
#[derive(Debug)]
#[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "only the component hands it over"))]
pub(super) enum Command<'a> {
    Dispatch { pipeline: &'a sys::Pipeline, bindings: Vec<(u32, Bound<'a>)>, workgroups: [u32; 3] },
    Copy { source: Bound<'a>, target: Bound<'a> },
    Clear(Bound<'a>),
}

/// Steps that run in order, and reads at their end. Each step observes the writes of the steps before it.
///
/// A submit is one round trip to the device, regardless of its steps: batch steps, and read in the same submit.
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
    /// The error of the first invalid step.
    wrong: Option<Error>,
}

impl<'a> Submit<'a> {
    /// Creates an empty submit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a run of a pipeline over `workgroups`: a number for x, or `[x, y]`, or `[x, y, z]`. `buffers` has one
    /// buffer for each binding that the entry point uses, in the order of binding numbers. A buffer that the shader
    /// writes may be bound only once.
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

    /// Adds a copy of all of `source` to the start of `target`, a different buffer or a range of one.
    pub fn copy<T: Element>(mut self, source: impl Into<Slice<'a, T>>, target: impl Into<Slice<'a, T>>) -> Self {
        let (source, target) = (source.into().bytes(), target.into().bytes());
        if target.bytes < source.bytes {
            let (from, to) = (source.bytes, target.bytes);
            self.wrong.get_or_insert(Error::invalid(format_args!("a copy of {from} bytes into {to} bytes")));
            return self;
        }
        self.commands.push(Command::Copy { source, target });
        self
    }

    /// Adds a step that sets elements to zero.
    pub fn clear<T: Element>(mut self, part: impl Into<Slice<'a, T>>) -> Self {
        self.commands.push(Command::Clear(part.into().bytes()));
        self
    }

    /// Adds a read of elements after all steps. [`SubmitReport::values`] returns them. The reads of one submit have at
    /// most [`DeviceLimits::read_bytes`](super::DeviceLimits::read_bytes) in total.
    pub fn read<T: Element>(mut self, part: impl Into<Slice<'a, T>>) -> Self {
        self.reads.push(part.into().bytes());
        self
    }

    /// Runs the steps and waits for the device.
    ///
    /// # Errors
    /// After `Invalid` (a missing or too small binding, a range beyond its buffer, a buffer lost with the device) and
    /// `Limit` (`passes-per-submit`, `workgroups-per-dimension`, `copy-bytes`, `read-bytes`, `device-time-ms`), nothing
    /// has run. After `TimedOut` and `DeviceLost`, all buffers and pipelines are lost.
    pub fn run(self) -> Result<SubmitReport> {
        match self.wrong {
            Some(error) => Err(error),
            None => sys::submit(&self.commands, &self.reads),
        }
    }
}

/// Result of a submit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubmitReport {
    /// Cost of the submit.
    pub stats: Stats,
    pub(super) reads: Vec<Vec<u8>>,
}

impl SubmitReport {
    /// Returns the values of read number `at`, from 0, in the order of the calls to [`Submit::read`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if the submit had no such read.
    pub fn values<T: Element>(&self, at: usize) -> Result<Vec<T>> {
        let bytes = self.reads.get(at).ok_or_else(|| {
            Error::invalid(format_args!("there is no read {at}: the submit had {}, counted from 0", self.reads.len()))
        })?;
        Ok(element::from_bytes(bytes))
    }
}

/// Cost of a submit, in real time. The values differ between runs, so a result that depends on them is not
/// reproducible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Time on the device. It counts against the call's device time.
    pub device: Duration,
    /// Time in the queue and in transfer.
    pub queue: Duration,
}

/// Checks that there are as many buffers as bindings. Buffers are matched by position, so the host could not name the
/// missing one.
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
        let outcome = SubmitReport { stats: Stats::default(), reads: vec![vec![1, 0, 0, 0, 2, 0, 0, 0], vec![]] };
        assert_eq!(outcome.values::<u32>(0).unwrap(), [1, 2]);
        assert!(outcome.values::<f32>(1).unwrap().is_empty());
        let error = outcome.values::<u32>(2).unwrap_err();
        assert_eq!(error.to_string(), "there is no read 2: the submit had 2, counted from 0");
    }
}

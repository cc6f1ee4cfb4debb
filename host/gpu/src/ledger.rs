//! State of one session, and validation of its requests before they reach the device. Pure: no I/O, no clock.
//!
//! Handles are increasing numbers that are never reused, so a stale handle is always detected. After a loss, all
//! entries are removed and the numbering continues.

use crate::{
    ALIGNMENT, AdapterLimits, BINDING_ALIGNMENT, Error,
    command::{Binding, BindingAccess, BufferId, ByteRange, GpuCommand, PipelineId, Reflection},
    error::within,
};
use std::collections::{BTreeMap, BTreeSet};

/// The buffers and pipelines of one session, within its limits.
#[derive(Debug)]
pub struct Ledger {
    limits: AdapterLimits,
    total_limit: u64,
    total: u64,
    next: u64,
    buffers: BTreeMap<BufferId, u64>,
    pipelines: BTreeMap<PipelineId, Reflection>,
}

impl Ledger {
    /// Creates an empty ledger. `total_bytes` bounds the sum of the sizes of the live buffers.
    #[must_use]
    pub fn new(limits: AdapterLimits, total_bytes: u64) -> Self {
        Self {
            limits,
            total_limit: total_bytes,
            total: 0,
            next: 1,
            buffers: BTreeMap::new(),
            pipelines: BTreeMap::new(),
        }
    }

    /// Returns `true` if the session has no buffers and no pipelines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty() && self.pipelines.is_empty()
    }

    /// Returns the sum of the sizes of the live buffers, in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Removes all entries after the device is lost. The numbering continues, so that old handles stay invalid.
    pub fn forget(&mut self) {
        self.total = 0;
        self.buffers.clear();
        self.pipelines.clear();
    }

    /// Adds a buffer. Returns its handle and its size, rounded up to a multiple of 4 bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for 0 bytes; [`Error::Limit`] for `buffer-bytes`, `total-bytes` and `buffers`.
    pub fn create(&mut self, bytes: u64) -> Result<(BufferId, u64), Error> {
        if bytes == 0 {
            return Err(Error::invalid("a buffer of 0 bytes; ask for at least 4"));
        }
        within("buffer-bytes", bytes, self.limits.buffer_bytes)?;
        let bytes = bytes.next_multiple_of(ALIGNMENT);
        let total = self.total.saturating_add(bytes);
        within("total-bytes", total, self.total_limit)?;
        within("buffers", self.buffers.len() as u64 + 1, self.limits.buffers)?;
        let id = BufferId(self.next());
        self.buffers.insert(id, bytes);
        self.total = total;
        Ok((id, bytes))
    }

    /// Removes a buffer.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a stale handle.
    pub fn destroy(&mut self, id: BufferId) -> Result<(), Error> {
        let bytes = self.buffers.remove(&id).ok_or_else(|| stale_buffer(id))?;
        self.total -= bytes;
        Ok(())
    }

    /// Adds a pipeline.
    ///
    /// # Errors
    /// [`Error::Limit`] for `pipelines`.
    pub fn add_pipeline(&mut self, reflection: Reflection) -> Result<PipelineId, Error> {
        within("pipelines", self.pipelines.len() as u64 + 1, self.limits.pipelines)?;
        let id = PipelineId(self.next());
        self.pipelines.insert(id, reflection);
        Ok(id)
    }

    /// Removes a pipeline.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a stale handle.
    pub fn drop_pipeline(&mut self, id: PipelineId) -> Result<(), Error> {
        self.pipelines.remove(&id).map(|_| ()).ok_or_else(|| stale_pipeline(id))
    }

    /// Returns a buffer's size, in bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a stale handle.
    pub fn size(&self, id: BufferId) -> Result<u64, Error> {
        self.buffers.get(&id).copied().ok_or_else(|| stale_buffer(id))
    }

    /// Checks that a range is inside its buffer and that offset and length are multiples of 4.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a violation or a stale handle.
    pub fn check_range(&self, range: ByteRange) -> Result<(), Error> {
        let size = self.size(range.buffer)?;
        let ByteRange { buffer: BufferId(id), offset, bytes } = range;
        if !offset.is_multiple_of(ALIGNMENT) || !bytes.is_multiple_of(ALIGNMENT) {
            return Err(Error::invalid(format!(
                "offset {offset} and length {bytes} must be multiples of {ALIGNMENT} bytes"
            )));
        }
        match offset.checked_add(bytes) {
            Some(end) if end <= size => Ok(()),
            _ => {
                Err(Error::invalid(format!("{bytes} bytes at {offset} go beyond buffer {id}, which has {size} bytes")))
            }
        }
    }

    /// Checks a whole submit. If one step is invalid, no step may run.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the step, from 1; [`Error::Limit`] for `passes-per-submit`,
    /// `workgroups-per-dimension`, `copy-bytes` and `read-bytes`.
    pub fn check_submit(&self, commands: &[GpuCommand], reads: &[ByteRange]) -> Result<(), Error> {
        within("passes-per-submit", commands.len() as u64, self.limits.passes_per_submit)?;
        within("passes-per-submit", reads.len() as u64, self.limits.passes_per_submit)?;
        let mut copied = 0_u64;
        for (at, command) in commands.iter().enumerate() {
            copied = copied.saturating_add(self.check_command(command).map_err(|e| in_step(at + 1, e))?);
        }
        within("copy-bytes", copied, self.limits.copy_bytes)?;
        let mut read = 0_u64;
        for range in reads {
            self.check_range(*range)?;
            read = read.saturating_add(range.bytes);
        }
        within("read-bytes", read, self.limits.read_bytes)
    }

    /// Checks one step. Returns the number of bytes that it copies or clears.
    fn check_command(&self, command: &GpuCommand) -> Result<u64, Error> {
        match command {
            GpuCommand::Clear(range) => {
                self.check_range(*range)?;
                Ok(range.bytes)
            }
            GpuCommand::Copy { source, target, target_offset } => {
                self.check_range(*source)?;
                self.check_range(ByteRange { buffer: *target, offset: *target_offset, bytes: source.bytes })?;
                if source.buffer == *target {
                    return Err(Error::invalid("a copy within one buffer; copy through another one"));
                }
                Ok(source.bytes)
            }
            GpuCommand::Dispatch { pipeline, bindings, workgroups } => {
                let reflection = self.pipelines.get(pipeline).ok_or_else(|| stale_pipeline(*pipeline))?;
                for size in workgroups {
                    within("workgroups-per-dimension", u64::from(*size), self.limits.workgroups_per_dimension)?;
                }
                self.check_bindings(reflection, bindings)?;
                Ok(0)
            }
        }
    }

    fn check_bindings(&self, reflection: &Reflection, bindings: &[Binding]) -> Result<(), Error> {
        if bindings.len() > reflection.bindings.len() {
            let (given, wanted) = (bindings.len(), reflection.bindings.len());
            return Err(Error::invalid(format!("{given} buffers are bound, the shader uses {wanted}")));
        }
        let mut read = BTreeSet::new();
        let mut written = BTreeSet::new();
        for layout in &reflection.bindings {
            let number = layout.binding;
            let Some(binding) = bindings.iter().find(|b| b.binding == number) else {
                return Err(Error::invalid(format!("nothing is bound to @binding({number})")));
            };
            let size = self.size(binding.buffer)?;
            let bytes = binding.bytes.unwrap_or_else(|| size.saturating_sub(binding.offset));
            self.check_range(ByteRange { buffer: binding.buffer, offset: binding.offset, bytes })?;
            if !binding.offset.is_multiple_of(BINDING_ALIGNMENT) {
                let offset = binding.offset;
                return Err(Error::invalid(format!(
                    "@binding({number}) starts at {offset}, not at a multiple of {BINDING_ALIGNMENT} bytes"
                )));
            }
            if bytes < layout.min_bytes.max(ALIGNMENT) {
                let least = layout.min_bytes.max(ALIGNMENT);
                return Err(Error::invalid(format!("@binding({number}) has {bytes} bytes, the shader needs {least}")));
            }
            let fresh = match layout.access {
                BindingAccess::Read => {
                    read.insert(binding.buffer);
                    true
                }
                BindingAccess::ReadWrite => written.insert(binding.buffer),
            };
            if !fresh || !read.is_disjoint(&written) {
                let BufferId(id) = binding.buffer;
                return Err(Error::invalid(format!("buffer {id} is written and bound twice in one dispatch")));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }
}

fn stale_buffer(BufferId(id): BufferId) -> Error {
    Error::invalid(format!("there is no buffer {id}: it was destroyed, lost with the device, or never created"))
}

fn stale_pipeline(PipelineId(id): PipelineId) -> Error {
    Error::invalid(format!("there is no pipeline {id}: it was dropped, lost with the device, or never created"))
}

fn in_step(step: usize, error: Error) -> Error {
    match error {
        Error::Invalid(message) => Error::Invalid(format!("step {step} of the submit: {message}")),
        other => other,
    }
}

#[cfg(test)]
mod tests;

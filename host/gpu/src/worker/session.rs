//! The state of one session on the device. Handles are looked up in the session's own table, so a guest can't access
//! another guest's buffers.

use super::{device::Device, pipeline::Pipeline};
use crate::{
    Error,
    command::{BufferId, PipelineId},
};
use std::{collections::HashMap, sync::Arc};

/// Bytes of pending writes before a wait. wgpu keeps a copy of each write until it is done.
const MAX_WRITES_BYTES: u64 = 32 << 20;

/// All sessions, by the node's number.
#[derive(Default)]
pub(super) struct Sessions(HashMap<u64, Session>);

impl Sessions {
    pub(super) fn of(&mut self, session: u64) -> &mut Session {
        self.0.entry(session).or_default()
    }

    pub(super) fn take(&mut self, session: u64) -> Option<Session> {
        self.0.remove(&session)
    }
}

/// Buffers and pipelines of one session.
#[derive(Default)]
pub(super) struct Session {
    buffers: HashMap<BufferId, wgpu::Buffer>,
    pipelines: HashMap<PipelineId, Arc<Pipeline>>,
    writes_bytes: u64,
}

impl Session {
    /// Creates a buffer. wgpu zeroes it before the first read, as WebGPU requires.
    pub(super) fn create(&mut self, device: &Device, id: BufferId, bytes: u64) -> Result<(), Error> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false };
        let buffer = device.checked(|gpu| gpu.create_buffer(&descriptor))?;
        self.buffers.insert(id, buffer);
        Ok(())
    }

    /// Zeroes a buffer, then frees it.
    pub(super) fn destroy(&mut self, device: &Device, id: BufferId) -> Result<(), Error> {
        let Some(buffer) = self.buffers.remove(&id) else { return Err(Error::invalid("no such buffer")) };
        zero(device, [&buffer])?;
        drop(buffer);
        device.wait()
    }

    pub(super) fn write(&mut self, device: &Device, id: BufferId, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let buffer = self.buffer(id)?;
        device.checked(|_| {
            device.queue.write_buffer(buffer, offset, bytes);
            device.queue.submit([]);
        })?;
        self.writes_bytes += bytes.len() as u64;
        if self.writes_bytes >= MAX_WRITES_BYTES {
            self.writes_bytes = 0;
            device.wait()?;
        }
        Ok(())
    }

    pub(super) fn add_pipeline(&mut self, id: PipelineId, pipeline: Arc<Pipeline>) {
        self.pipelines.insert(id, pipeline);
    }

    pub(super) fn drop_pipeline(&mut self, id: PipelineId) {
        self.pipelines.remove(&id);
    }

    pub(super) fn buffer(&self, id: BufferId) -> Result<&wgpu::Buffer, Error> {
        self.buffers.get(&id).ok_or_else(|| Error::invalid("no such buffer"))
    }

    pub(super) fn pipeline(&self, id: PipelineId) -> Result<&Pipeline, Error> {
        self.pipelines.get(&id).map(|p| &**p).ok_or_else(|| Error::invalid("no such pipeline"))
    }

    /// Zeroes all buffers, waits until they are zero, and frees them.
    pub(super) fn close(self, device: &Device) -> Result<(), Error> {
        zero(device, self.buffers.values())?;
        device.wait()?;
        drop(self);
        // wgpu frees dropped buffers at the next poll of the device.
        device.wait()
    }
}

fn zero<'a>(device: &Device, buffers: impl IntoIterator<Item = &'a wgpu::Buffer>) -> Result<(), Error> {
    device.checked(|gpu| {
        let mut encoder = gpu.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for buffer in buffers {
            encoder.clear_buffer(buffer, 0, None);
        }
        device.queue.submit([encoder.finish()]);
    })
}

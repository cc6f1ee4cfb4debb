//! `fabric:gpu` in native builds, such as tests. All calls return `Denied`, so buffers and pipelines are never created.

use std::convert::Infallible;

use crate::gpu::submit::{Bound, Command};
use crate::gpu::{BindingLayout, Error, Info, Result, SubmitReport};

fn denied<T>() -> Result<T> {
    Err(Error::Denied(
        "native builds, such as tests on the developer's machine, have none; deploy the function to a node with a GPU"
            .to_owned(),
    ))
}

pub(in crate::gpu) fn info() -> Result<Info> {
    denied()
}

#[derive(Debug)]
pub(in crate::gpu) struct Buffer(Infallible);

impl Buffer {
    pub(in crate::gpu) fn create(_bytes: u64) -> Result<Self> {
        denied()
    }

    pub(in crate::gpu) fn write(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        match self.0 {}
    }

    pub(in crate::gpu) fn read(&self, _offset: u64, _bytes: u64) -> Result<Vec<u8>> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(in crate::gpu) struct Pipeline(Infallible);

impl Pipeline {
    pub(in crate::gpu) fn compile(_wgsl: &str, _entry: &str, _constants: &[(&str, f64)]) -> Result<Self> {
        denied()
    }

    pub(in crate::gpu) fn layout(&self) -> Vec<BindingLayout> {
        match self.0 {}
    }

    pub(in crate::gpu) fn workgroup_size(&self) -> [u32; 3] {
        match self.0 {}
    }
}

pub(in crate::gpu) fn submit(_commands: &[Command<'_>], _reads: &[Bound<'_>]) -> Result<SubmitReport> {
    denied()
}

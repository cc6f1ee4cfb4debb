//! `fabric:task` in native builds, such as tests: input from a queue, all other calls recorded. Each thread has its own
//! recording.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::{Keyed, Level, Part, PartKind};

/// The content of a part.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes { bytes: Vec<u8>, position: usize },
    Keyed(VecDeque<Keyed>),
}

/// The input and the recorded calls of one thread's task.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) parts: VecDeque<(String, Content)>,
    pub(crate) current: Option<Content>,
    pub(crate) params: Option<String>,
    /// Largest number of bytes returned by one read; 0 for no limit.
    pub(crate) chunk_bytes: usize,
    pub(crate) output: Vec<u8>,
    pub(crate) content_type: Option<String>,
    pub(crate) emitted: Vec<Keyed>,
    pub(crate) batches: usize,
    pub(crate) logs: Vec<(Level, String)>,
    pub(crate) progress: Vec<(u64, u64)>,
    pub(crate) place: String,
}

thread_local! {
    static RECORDING: RefCell<Recording> = RefCell::new(Recording::default());
}

pub(crate) fn with<T>(f: impl FnOnce(&mut Recording) -> T) -> T {
    RECORDING.with(|recording| f(&mut recording.borrow_mut()))
}

pub(crate) fn next_part() -> Option<Part> {
    with(|r| {
        let (name, content) = r.parts.pop_front()?;
        let (kind, size) = match &content {
            Content::Bytes { bytes, .. } => (PartKind::Bytes, Some(bytes.len() as u64)),
            Content::Keyed(_) => (PartKind::Keyed, None),
        };
        r.current = Some(content);
        Some(Part { name, offset: 0, size, kind })
    })
}

pub(crate) fn read(max_bytes: u32) -> Vec<u8> {
    with(|r| {
        let limit = match r.chunk_bytes {
            0 => max_bytes as usize,
            chunk => chunk.min(max_bytes as usize),
        };
        match &mut r.current {
            Some(Content::Bytes { bytes, position }) => {
                let end = bytes.len().min(*position + limit);
                let chunk = bytes.get(*position..end).unwrap_or_default().to_vec();
                *position = end;
                chunk
            }
            _ => Vec::new(),
        }
    })
}

pub(crate) fn read_keyed(max_bytes: u32) -> Vec<Keyed> {
    with(|r| {
        let chunk_bytes = r.chunk_bytes;
        let Some(Content::Keyed(records)) = &mut r.current else { return Vec::new() };
        let limit = if chunk_bytes == 0 { max_bytes as usize } else { chunk_bytes };
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < limit {
            let Some(record) = records.pop_front() else { break };
            bytes += record.key.len() + record.value.len();
            batch.push(record);
        }
        batch
    })
}

pub(crate) fn write(bytes: &[u8]) {
    with(|r| r.output.extend_from_slice(bytes));
}

pub(crate) fn set_content_type(content_type: &str) {
    with(|r| r.content_type = Some(content_type.to_owned()));
}

pub(crate) fn emit(records: &[Keyed]) {
    with(|r| {
        r.emitted.extend_from_slice(records);
        r.batches += 1;
    });
}

pub(crate) fn params() -> String {
    with(|r| r.params.clone().unwrap_or_else(|| "{}".to_owned()))
}

pub(crate) fn log(level: Level, message: &str) {
    with(|r| r.logs.push((level, message.to_owned())));
}

pub(crate) fn progress(completed: u64, total: u64) {
    with(|r| r.progress.push((completed, total)));
}

pub(crate) fn at(place: &str) {
    with(|r| place.clone_into(&mut r.place));
}

//! Host implementation of `fabric:task`: input, output, emit, params, log and progress.

use crate::{
    bindings::fabric::task::{emit, input, log, output, params, progress, types},
    fault::FaultError,
    logs::LogLevel,
    source::InputPartKind,
    state::State,
};
use std::sync::atomic::Ordering;

/// Maximum number of bytes returned by one `read`.
const READ_BYTES: usize = 1 << 20;
/// Maximum length of a place that a guest names, in bytes. A longer one is cut.
const MAX_PLACE_BYTES: usize = 256;

impl types::Host for State {}

impl input::Host for State {
    async fn next_part(&mut self) -> wasmtime::Result<Option<input::Part>> {
        let Some(source) = &mut self.source else { return Ok(None) };
        let part = source.next_part().await.map_err(FaultError::error)?;
        Ok(part.map(|part| input::Part {
            name: part.name.to_string(),
            offset: part.offset,
            size: part.size,
            kind: match part.kind {
                InputPartKind::Bytes => input::PartKind::Bytes,
                InputPartKind::Keyed => input::PartKind::Keyed,
            },
        }))
    }

    async fn read(&mut self, max_bytes: u32) -> wasmtime::Result<Vec<u8>> {
        let Some(source) = &mut self.source else { return Ok(Vec::new()) };
        let max = (max_bytes as usize).clamp(1, READ_BYTES);
        let bytes = source.read(max).await.map_err(FaultError::error)?;
        self.shared.bytes_in.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        // No copy if the source returned a whole buffer that it does not share.
        Ok(bytes.into())
    }

    async fn read_keyed(&mut self, max_bytes: u32) -> wasmtime::Result<Vec<types::Keyed>> {
        let Some(source) = &mut self.source else { return Ok(Vec::new()) };
        let max = (max_bytes as usize).clamp(1, READ_BYTES);
        let records = source.read_keyed(max).await.map_err(FaultError::error)?;
        let mut bytes = 0;
        let records = records
            .into_iter()
            .map(|r| {
                bytes += r.key.len() + r.value.len();
                types::Keyed { key: r.key.to_vec(), value: r.value.to_vec() }
            })
            .collect();
        self.shared.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(records)
    }
}

impl output::Host for State {
    fn write(&mut self, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.shared.output.lock().write(&bytes).map_err(FaultError::error)
    }

    fn set_content_type(&mut self, content_type: String) -> wasmtime::Result<()> {
        self.shared.output.lock().content_type = Some(content_type);
        Ok(())
    }
}

impl emit::Host for State {
    fn emit(&mut self, records: Vec<types::Keyed>) -> wasmtime::Result<()> {
        let mut output = self.shared.output.lock();
        for record in &records {
            output.emit(&record.key, &record.value).map_err(FaultError::error)?;
        }
        Ok(())
    }
}

impl params::Host for State {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok(self.params.to_string())
    }
}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.shared.logs.lock().log(level, &message).map_err(FaultError::error)
    }
}

impl progress::Host for State {
    fn report(&mut self, completed: u64, total: u64) -> wasmtime::Result<()> {
        if let Some(progress) = &self.progress {
            progress(completed, total);
        }
        Ok(())
    }

    fn at(&mut self, mut place: String) -> wasmtime::Result<()> {
        place.truncate(place.floor_char_boundary(MAX_PLACE_BYTES));
        *self.shared.place.lock() = place;
        Ok(())
    }
}

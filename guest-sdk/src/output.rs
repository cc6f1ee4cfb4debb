//! Return types of functions, and their conversion into the result's bytes.

use std::io::{self, Write};

use serde::Serialize;

use crate::read::{Bytes, Json, Text};
use crate::{Context, Error, Result, sys};

/// Size of the output buffer, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// A type that a function may return.
///
/// A serializable value becomes JSON with the type `application/json`. [`Bytes`] and [`Text`] are written unchanged.
/// `()` writes nothing; it is for functions that only [`crate::emit()`] or that write to an [`Output`].
pub trait IntoOutput {
    /// Returns the media type, or `None` for the host's default, `application/octet-stream`.
    fn content_type(&self) -> Option<&str>;

    /// Writes the value.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Failed`] if the value cannot be serialized.
    fn write_to(&self, to: &mut dyn Write) -> Result<()>;
}

/// Returns `true` for `()` and similar types: zero-sized values that serialize as `null`.
fn is_unit<T: Serialize>(value: &T) -> bool {
    size_of::<T>() == 0 && serde_json::to_string(value).is_ok_and(|text| text == "null")
}

impl<T: Serialize> IntoOutput for T {
    fn content_type(&self) -> Option<&str> {
        (!is_unit(self)).then_some("application/json")
    }

    fn write_to(&self, to: &mut dyn Write) -> Result<()> {
        if is_unit(self) {
            return Ok(());
        }
        serde_json::to_writer(to, self).map_err(|error| Error::failed(format!("the result is not JSON: {error}")))
    }
}

impl IntoOutput for Bytes {
    fn content_type(&self) -> Option<&str> {
        None
    }

    fn write_to(&self, to: &mut dyn Write) -> Result<()> {
        Ok(to.write_all(&self.0)?)
    }
}

impl IntoOutput for Text {
    fn content_type(&self) -> Option<&str> {
        Some("text/plain; charset=utf-8")
    }

    fn write_to(&self, to: &mut dyn Write) -> Result<()> {
        Ok(to.write_all(self.0.as_bytes())?)
    }
}

impl<T: Serialize> IntoOutput for Json<T> {
    fn content_type(&self) -> Option<&str> {
        self.0.content_type()
    }

    fn write_to(&self, to: &mut dyn Write) -> Result<()> {
        self.0.write_to(to)
    }
}

impl IntoOutput for crate::Response {
    fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    fn write_to(&self, to: &mut dyn Write) -> Result<()> {
        Ok(to.write_all(&self.body)?)
    }
}

/// A stream to the task's result, for results too large for memory: write here and return `()`.
///
/// Writes are buffered in chunks of 64 KiB. [`Output::finish`] or dropping the stream sends the last chunk.
#[derive(Debug, Default)]
pub struct Output {
    buffer: Vec<u8>,
}

impl Output {
    /// Creates a stream to the task's result with this media type.
    pub fn new(content_type: &str) -> Self {
        sys::set_content_type(content_type);
        Self::default()
    }

    /// Writes one JSON value and a line end.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Failed`] if the value cannot be serialized.
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut *self, value).map_err(Error::failed)?;
        Ok(self.write_all(b"\n")?)
    }

    /// Sends the buffered bytes.
    pub fn finish(mut self) {
        self.send();
    }

    fn send(&mut self) {
        if !self.buffer.is_empty() {
            sys::write(&self.buffer);
            self.buffer.clear();
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.send();
        }
        if bytes.len() >= BUFFER_BYTES {
            sys::write(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send();
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.send();
    }
}

/// Writes a function's return value as the task's result.
pub(crate) fn put(value: &impl IntoOutput) -> Result<()> {
    if let Some(content_type) = value.content_type() {
        sys::set_content_type(content_type);
    }
    let mut output = Output::default();
    value.write_to(&mut output).context("writing the result")
}

//! Support for unit tests of functions with `cargo test`: run a function over an input and inspect its calls.
//!
//! All state is per thread, so tests do not affect each other.
//! ```
//! use fabric::{Lines, Result, testing};
//!
//! fn shout(mut input: Lines) -> Result<u64> {
//!     while let Some(line) = input.next_line() {
//!         fabric::emit(line, 1)?;
//!     }
//!     fabric::info!("{} lines", input.count());
//!     Ok(input.count())
//! }
//!
//! let outcome = testing::map(shout, "a\nb\n").unwrap();
//! assert_eq!(outcome.json::<u64>().unwrap(), 2);
//! assert_eq!(outcome.emitted.len(), 2);
//! assert_eq!(outcome.logs[0].1, "2 lines");
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::input::FromInput;
use crate::output::IntoOutput;
use crate::sys::host::{self, Content, Recording};
use crate::sys::{Keyed, Level};
use crate::{Result, emit, entry};

/// Recorded results of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The result's bytes.
    pub output: Vec<u8>,
    /// Media type of the result, if set.
    pub content_type: Option<String>,
    /// Emitted records, in order.
    pub emitted: Vec<Keyed>,
    /// Number of batches of emitted records.
    pub emit_batches: usize,
    /// The log lines.
    pub logs: Vec<(Level, String)>,
    /// Reported progress, as completed and total.
    pub progress: Vec<(u64, u64)>,
    /// The last place that the function named with [`crate::at`].
    pub place: String,
}

impl Outcome {
    /// Parses the result as JSON.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] if the result is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.output)?)
    }

    /// Returns the result as text. Invalid UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// Returns and clears the recording of this thread. For functions that are called directly.
pub fn take() -> Outcome {
    emit::flush();
    let recording = host::with(std::mem::take::<Recording>);
    Outcome {
        output: recording.output,
        content_type: recording.content_type,
        emitted: recording.emitted,
        emit_batches: recording.batches,
        logs: recording.logs,
        progress: recording.progress,
        place: recording.place,
    }
}

/// Sets the parameters of this thread's next task, as JSON.
///
/// # Errors
/// [`crate::ErrorKind::InvalidInput`] if the parameters cannot be serialized.
pub fn set_params(params: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(params)?;
    host::with(|r| r.params = Some(text));
    Ok(())
}

/// Sets the largest number of bytes returned by one read, to test a reader at chunk boundaries; 0 for no limit.
pub fn set_chunk_bytes(bytes: usize) {
    host::with(|r| r.chunk_bytes = bytes);
}

/// Runs a map function over `input` as the host would.
///
/// # Errors
/// Any error of the function.
pub fn map<I: FromInput, O: IntoOutput>(f: impl FnOnce(I) -> Result<O>, input: impl AsRef<[u8]>) -> Result<Outcome> {
    push(input.as_ref());
    finish(entry::map(f))
}

/// Runs a reduce function over partial results as the host would.
///
/// # Errors
/// Any error of the function.
pub fn reduce<T: Serialize + DeserializeOwned>(
    merge: impl FnMut(T, T) -> Result<T>,
    partials: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<Outcome> {
    for partial in partials {
        push(partial.as_ref());
    }
    finish(entry::reduce(None, merge))
}

/// Sorts emitted records by key and runs a reduce function over them, as the host would after a shuffle.
///
/// # Errors
/// Any error of the function.
pub fn reduce_keyed<T: Serialize + DeserializeOwned>(
    merge: impl FnMut(T, T) -> Result<T>,
    records: impl IntoIterator<Item = Keyed>,
) -> Result<Outcome> {
    let mut records: Vec<Keyed> = records.into_iter().collect();
    records.sort_by(|a, b| a.key.cmp(&b.key));
    host::with(|r| r.parts.push_back(("shuffle".to_owned(), Content::Keyed(records.into()))));
    finish(entry::reduce(None, merge))
}

fn push(bytes: &[u8]) {
    let content = Content::Bytes { bytes: bytes.to_vec(), position: 0 };
    host::with(|r| r.parts.push_back(("item".to_owned(), content)));
}

fn finish(result: Result<()>) -> Result<Outcome> {
    let outcome = take();
    result.map(|()| outcome)
}

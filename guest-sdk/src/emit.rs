//! Keyed records for a shuffle: batching, and combining by key inside the guest.

use std::cell::RefCell;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::Serialize;

pub use crate::sys::Keyed;
use crate::{Context, Result, sys};

/// Size of a batch, in bytes of keys and values.
const BATCH_BYTES: usize = 64 * 1024;
/// Overhead counted per record, in bytes, so that many tiny records also fill a batch.
const RECORD_BYTES: usize = 16;

#[derive(Default)]
struct Batch {
    records: Vec<Keyed>,
    bytes: usize,
}

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::new(Batch::default());
}

/// Emits one record. The value is written as JSON, the format that [`macro@crate::reduce`] reads.
///
/// Records with equal keys are sent to the same reduce task, in batches of 64 KiB and when the function returns.
///
/// # Errors
/// [`crate::ErrorKind::Failed`] if the value cannot be serialized.
pub fn emit(key: impl AsRef<[u8]>, value: impl Serialize) -> Result<()> {
    let value = serde_json::to_vec(&value).context("the value of a record")?;
    emit_bytes(key.as_ref().to_vec(), value);
    Ok(())
}

/// Emits one record with any bytes as its value, for reducers that parse the bytes themselves.
pub fn emit_bytes(key: Vec<u8>, value: Vec<u8>) {
    BATCH.with(|batch| {
        let mut batch = batch.borrow_mut();
        batch.bytes += key.len() + value.len() + RECORD_BYTES;
        batch.records.push(Keyed { key, value });
        if batch.bytes >= BATCH_BYTES {
            send(&mut batch);
        }
    });
}

/// Sends the buffered records. The SDK calls it when the function returns.
pub fn flush() {
    BATCH.with(|batch| send(&mut batch.borrow_mut()));
}

fn send(batch: &mut Batch) {
    if !batch.records.is_empty() {
        sys::emit(&batch.records);
        batch.records.clear();
        batch.bytes = 0;
    }
}

/// A combiner: merges values by key inside the guest and emits each key once, so far fewer records are sent.
///
/// `merge` must be the same operation as the reducer's. At most `limit` keys are held (default 1,048,576). At the
/// limit, all of them are emitted in key order and the combiner is empty again.
///
/// ```
/// let mut words = fabric::Combine::new(|total: &mut u64, more| *total += more);
/// for word in ["a", "b", "a"] {
///     words.add(word, 1)?;
/// }
/// words.finish()?;
/// # fabric::flush();
/// # let emitted = fabric::testing::take().emitted;
/// # assert_eq!(emitted.len(), 2);
/// # assert_eq!(emitted[0], fabric::Keyed { key: b"a".to_vec(), value: b"2".to_vec() });
/// # Ok::<(), fabric::Error>(())
/// ```
#[derive(Debug)]
pub struct Combine<V, F> {
    values: HashMap<Vec<u8>, V, FixedState>,
    merge: F,
    limit: usize,
}

impl<V: Serialize, F: FnMut(&mut V, V)> Combine<V, F> {
    /// Creates an empty combiner. `merge` adds its second argument to its first.
    pub fn new(merge: F) -> Self {
        Self { values: HashMap::with_hasher(FixedState::default()), merge, limit: 1 << 20 }
    }

    /// Sets the number of keys held. The minimum is 1.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }

    /// Merges a value into the value of its key.
    ///
    /// # Errors
    /// As [`emit`], if the limit is reached.
    pub fn add(&mut self, key: impl AsRef<[u8]>, value: V) -> Result<()> {
        let key = key.as_ref();
        if let Some(held) = self.values.get_mut(key) {
            (self.merge)(held, value);
            return Ok(());
        }
        if self.values.len() >= self.limit {
            self.send()?;
        }
        self.values.insert(key.to_vec(), value);
        Ok(())
    }

    /// Emits all held values.
    ///
    /// # Errors
    /// As [`emit`].
    pub fn finish(mut self) -> Result<()> {
        self.send()
    }

    fn send(&mut self) -> Result<()> {
        let mut records: Vec<(Vec<u8>, V)> = self.values.drain().collect();
        records.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, value) in records {
            let value = serde_json::to_vec(&value).context("the value of a record")?;
            emit_bytes(key, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_in_batches_and_none_is_lost() {
        for _ in 0..10_000 {
            emit("key", [1, 2, 3]).unwrap();
        }
        flush();
        flush();
        let outcome = crate::testing::take();
        assert_eq!(outcome.emitted.len(), 10_000);
        assert_eq!(outcome.emitted[9_999].value, b"[1,2,3]");
        // 26 bytes each, so 2,521 records fill a batch.
        assert_eq!(outcome.emit_batches, 4);
    }

    #[test]
    fn combining_emits_at_the_limit_in_key_order() {
        let mut sums = Combine::new(|a: &mut u32, b| *a += b).limit(2);
        for (key, value) in [("b", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)] {
            sums.add(key, value).unwrap();
        }
        sums.finish().unwrap();
        flush();
        let emitted: Vec<_> = crate::testing::take()
            .emitted
            .into_iter()
            .map(|r| format!("{}={}", String::from_utf8(r.key).unwrap(), String::from_utf8(r.value).unwrap()))
            .collect();
        assert_eq!(emitted, ["a=2", "b=4", "a=5", "c=4"]);
    }
}

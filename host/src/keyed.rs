//! Keyed records between map and reduce: their encoding, and the merge of sorted runs.
//!
//! The shuffle output of a map task is one block:
//! ```text
//! "FKB1" · buckets: u32 · (buckets + 1) × offset: u64 · records …
//! ```
//! All numbers are little-endian. `offset[b] .. offset[b + 1]` are the bytes of bucket `b` in the block. A record is
//! `key length: u32 · value length: u32 · key · value`. Within a bucket, records are sorted by key, as bytes; records
//! with equal keys stay in the order in which they were emitted. Key `k` belongs to bucket [`bucket_of`]`(k, buckets)`.

use crate::source::{InputPart, InputPartKind, PartSource};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use fabric_types::{Code, Fault};
use std::{cmp::Ordering, collections::BinaryHeap, ops::Range};

const MAGIC: &[u8; 4] = b"FKB1";

/// A keyed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRecord {
    /// Key, compared and hashed as bytes.
    pub key: Bytes,
    /// Value, any bytes.
    pub value: Bytes,
}

/// Returns the bucket of a key: the first 8 bytes of its BLAKE3 hash, little-endian, modulo `buckets`. Returns 0 if
/// `buckets` is 0.
#[must_use]
pub fn bucket_of(key: &[u8], buckets: u32) -> u32 {
    if buckets <= 1 {
        return 0;
    }
    let hash = blake3::hash(key);
    let head = hash.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
    u32::try_from(u64::from_le_bytes(head) % u64::from(buckets)).unwrap_or(0)
}

/// Returns the length of a block's head, in bytes.
#[must_use]
pub fn head_len(buckets: u32) -> u64 {
    8 + 8 * (u64::from(buckets) + 1)
}

/// Returns the byte range of a bucket in a block, given the first [`head_len`] bytes of the block.
///
/// # Errors
/// `internal` if `head` is malformed or has no such bucket.
pub fn bucket_range(head: &[u8], bucket: u32) -> Result<Range<u64>, Fault> {
    let bad = || Fault::new(Code::Internal, "the head of a shuffle block is malformed");
    let (magic, rest) = head.split_first_chunk::<4>().ok_or_else(bad)?;
    let (count, offsets) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
    if magic != MAGIC || bucket >= u32::from_le_bytes(*count) {
        return Err(bad());
    }
    let at = |n: usize| {
        let bytes = offsets.get(8 * n..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let bucket = bucket as usize;
    let (Some(start), Some(end)) = (at(bucket), at(bucket + 1)) else { return Err(bad()) };
    if start <= end { Ok(start..end) } else { Err(bad()) }
}

/// Collects records and sorts them into buckets.
#[derive(Debug)]
pub struct Encoder {
    buckets: Vec<Run>,
    bytes: u64,
    records: u64,
}

#[derive(Debug, Default)]
struct Run {
    data: Vec<u8>,
    index: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    key: u32,
    value: u32,
}

impl Run {
    fn key(&self, entry: &Entry) -> &[u8] {
        self.data.get(entry.start..entry.start + entry.key as usize).unwrap_or_default()
    }
}

impl Encoder {
    /// Creates an encoder for `buckets` buckets, at least one.
    #[must_use]
    pub fn new(buckets: u32) -> Self {
        Self { buckets: (0..buckets.max(1)).map(|_| Run::default()).collect(), bytes: 0, records: 0 }
    }

    /// Adds a record. A record with a key or value of 4 GiB or more is ignored.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let count = u32::try_from(self.buckets.len()).unwrap_or(u32::MAX);
        let (Ok(key_len), Ok(value_len)) = (u32::try_from(key.len()), u32::try_from(value.len())) else { return };
        if let Some(run) = self.buckets.get_mut(bucket_of(key, count) as usize) {
            run.index.push(Entry { start: run.data.len(), key: key_len, value: value_len });
            run.data.extend_from_slice(key);
            run.data.extend_from_slice(value);
            self.records += 1;
            self.bytes += 8 + u64::from(key_len) + u64::from(value_len);
        }
    }

    /// Returns the size of the encoded records in bytes, without the head.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Returns the number of buckets.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        u32::try_from(self.buckets.len()).unwrap_or(u32::MAX)
    }

    /// Returns the block, and the offsets in its head.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, Vec<u64>) {
        let count = u32::try_from(self.buckets.len()).unwrap_or(u32::MAX);
        let head = head_len(count);
        let mut offsets = Vec::with_capacity(self.buckets.len() + 1);
        let mut at = head;
        offsets.push(at);
        for run in &self.buckets {
            at += (run.data.len() + 8 * run.index.len()) as u64;
            offsets.push(at);
        }
        let mut block = Vec::with_capacity(usize::try_from(at).unwrap_or(0));
        block.extend_from_slice(MAGIC);
        block.extend_from_slice(&count.to_le_bytes());
        for offset in &offsets {
            block.extend_from_slice(&offset.to_le_bytes());
        }
        for run in &mut self.buckets {
            let mut index = std::mem::take(&mut run.index);
            index.sort_by(|a, b| run.key(a).cmp(run.key(b)));
            for entry in &index {
                block.extend_from_slice(&entry.key.to_le_bytes());
                block.extend_from_slice(&entry.value.to_le_bytes());
                let end = entry.start + entry.key as usize + entry.value as usize;
                block.extend_from_slice(run.data.get(entry.start..end).unwrap_or_default());
            }
            run.data = Vec::new();
        }
        (block, offsets)
    }
}

/// Encodes records as one block of `buckets` buckets.
#[must_use]
pub fn encode<'a>(records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, buckets: u32) -> (Vec<u8>, Vec<u64>) {
    let mut encoder = Encoder::new(buckets);
    for (key, value) in records {
        encoder.push(key, value);
    }
    encoder.finish()
}

/// Reads the next record from the front of a run. Returns `None` at its end.
///
/// # Errors
/// `internal` if the run ends in the middle of a record.
pub fn read(run: &mut Bytes) -> Result<Option<KeyedRecord>, Fault> {
    if run.is_empty() {
        return Ok(None);
    }
    let cut = || Fault::new(Code::Internal, "a run of keyed records ends in the middle of one");
    if run.len() < 8 {
        return Err(cut());
    }
    let key = run.get_u32_le() as usize;
    let value = run.get_u32_le() as usize;
    if run.len() < key.checked_add(value).ok_or_else(cut)? {
        return Err(cut());
    }
    Ok(Some(KeyedRecord { key: run.split_to(key), value: run.split_to(value) }))
}

/// The next record of a run, ordered so that a max-heap yields the smallest key of the earliest run first.
struct Head {
    record: KeyedRecord,
    run: usize,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Head {}
impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.record.key.cmp(&self.record.key).then(other.run.cmp(&self.run))
    }
}

/// A merge of sorted runs into one ascending sequence. Records with equal keys come in the order of the runs.
pub struct Merge {
    runs: Vec<Bytes>,
    heap: BinaryHeap<Head>,
    started: bool,
    size: u64,
}

/// Merges runs in task order. A run is the bytes of the same bucket in the block of one map task.
///
/// # Errors
/// `internal` if a run is truncated.
pub fn merge(mut runs: Vec<Bytes>) -> Result<Merge, Fault> {
    let size = runs.iter().map(|r| r.len() as u64).sum();
    let mut heap = BinaryHeap::with_capacity(runs.len());
    for (run, bytes) in runs.iter_mut().enumerate() {
        if let Some(record) = read(bytes)? {
            heap.push(Head { record, run });
        }
    }
    Ok(Merge { runs, heap, started: false, size })
}

impl Merge {
    /// Returns the next record, or `None` at the end.
    ///
    /// # Errors
    /// `internal` if a run is truncated.
    pub fn next_record(&mut self) -> Result<Option<KeyedRecord>, Fault> {
        let Some(mut top) = self.heap.peek_mut() else { return Ok(None) };
        let following = match self.runs.get_mut(top.run) {
            Some(run) => read(run)?,
            None => None,
        };
        let record = match following {
            Some(next) => std::mem::replace(&mut top.record, next),
            None => std::collections::binary_heap::PeekMut::pop(top).record,
        };
        Ok(Some(record))
    }
}

#[async_trait]
impl PartSource for Merge {
    async fn next_part(&mut self) -> Result<Option<InputPart>, Fault> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(None);
        }
        Ok(Some(InputPart { name: "shuffle".into(), offset: 0, size: Some(self.size), kind: InputPartKind::Keyed }))
    }

    async fn read(&mut self, _max: usize) -> Result<Bytes, Fault> {
        Ok(Bytes::new())
    }

    async fn read_keyed(&mut self, max: usize) -> Result<Vec<KeyedRecord>, Fault> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while bytes < max.max(1) {
            let Some(record) = self.next_record()? else { break };
            bytes += record.key.len() + record.value.len() + 8;
            records.push(record);
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(block: &[u8], n: u32) -> Bytes {
        let range = bucket_range(block, n).unwrap();
        Bytes::copy_from_slice(&block[range.start as usize..range.end as usize])
    }

    #[test]
    fn buckets_are_sorted_stably_and_merge_in_task_order() {
        let one = [("b", "1"), ("a", "2"), ("b", "3"), ("", "4")];
        let two = [("a", "5"), ("c", ""), ("b", "6")];
        let (one, offsets) = encode(one.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())), 1);
        let (two, _) = encode(two.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())), 1);
        assert_eq!(offsets, [head_len(1), one.len() as u64]);
        let mut merge = merge(vec![bucket(&one, 0), bucket(&two, 0)]).unwrap();
        let mut seen = Vec::new();
        while let Some(r) = merge.next_record().unwrap() {
            seen.push(format!("{}{}", String::from_utf8_lossy(&r.key), String::from_utf8_lossy(&r.value)));
        }
        assert_eq!(seen, ["4", "a2", "a5", "b1", "b3", "b6", "c"]);
    }

    #[test]
    fn every_key_is_in_its_bucket() {
        let keys: Vec<String> = (0..1000).map(|n| format!("key {n}")).collect();
        let (block, offsets) = encode(keys.iter().map(|k| (k.as_bytes(), k.as_bytes())), 7);
        assert_eq!(offsets.len(), 8);
        let mut total = 0;
        for n in 0..7 {
            let mut run = bucket(&block, n);
            while let Some(record) = read(&mut run).unwrap() {
                assert_eq!(bucket_of(&record.key, 7), n);
                total += 1;
            }
        }
        assert_eq!(total, 1000);
        assert!(bucket_range(&block, 7).is_err());
        assert!(bucket_range(b"FKB", 0).is_err());
    }

    #[test]
    fn a_cut_run_is_an_error_not_a_short_result() {
        let (block, _) = encode([(&b"key"[..], &b"value"[..])], 1);
        let mut run = bucket(&block, 0);
        run.truncate(run.len() - 1);
        assert!(merge(vec![run]).is_err());
    }
}

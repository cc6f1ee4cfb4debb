//! Partitions as the journal stores them. Each record has a list of the objects that its partitions are cut from, so
//! that a partition takes about ten bytes, regardless of the length of its object's path.

use fabric_types::dataset::{ObjectSlice, Partition};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// The partitions of one record.
#[derive(Debug, Serialize, Deserialize)]
pub struct PackedPartitions {
    /// Path and entity tag of each object.
    objects: Vec<(Arc<str>, Arc<str>)>,
    partitions: Vec<PackedPartition>,
}

/// A byte range of an object: the object's place in the list, the offset, and the length.
type Slice = (u32, u64, u64);

/// One partition. The order of the variants is part of the format.
#[derive(Debug, Serialize, Deserialize)]
enum PackedPartition {
    Slice(Slice),
    WithHeader(Slice, Slice),
    RowGroup(Slice, u32),
    Item(Arc<str>),
}

impl PackedPartitions {
    /// Packs partitions.
    pub fn new(partitions: &[Partition]) -> Self {
        let mut objects: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        let mut places: HashMap<(Arc<str>, Arc<str>), u32> = HashMap::new();
        let mut slice = |slice: &ObjectSlice| -> Slice {
            let object = (Arc::clone(&slice.path), Arc::clone(&slice.etag));
            let place = *places.entry(object).or_insert_with_key(|object| {
                objects.push(object.clone());
                // A record has far fewer objects than `u32::MAX`.
                u32::try_from(objects.len() - 1).unwrap_or(u32::MAX)
            });
            (place, slice.offset, slice.len)
        };
        let partitions = partitions
            .iter()
            .map(|partition| match partition {
                Partition::Slice(bytes) => PackedPartition::Slice(slice(bytes)),
                Partition::WithHeader { header, rows } => PackedPartition::WithHeader(slice(header), slice(rows)),
                Partition::RowGroup { object, index } => PackedPartition::RowGroup(slice(object), *index),
                Partition::Item(text) => PackedPartition::Item(Arc::clone(text)),
            })
            .collect();
        Self { objects, partitions }
    }

    /// Unpacks the partitions. Partitions of one object share its path and entity tag. Returns `None` if a partition
    /// refers to an object outside the list.
    pub fn unpack(self) -> Option<Vec<Partition>> {
        let objects = self.objects;
        let slice = |(place, offset, len): Slice| {
            let (path, etag) = objects.get(usize::try_from(place).ok()?)?;
            Some(ObjectSlice { path: Arc::clone(path), etag: Arc::clone(etag), offset, len })
        };
        self.partitions
            .into_iter()
            .map(|part| {
                Some(match part {
                    PackedPartition::Slice(bytes) => Partition::Slice(slice(bytes)?),
                    PackedPartition::WithHeader(header, rows) => {
                        Partition::WithHeader { header: slice(header)?, rows: slice(rows)? }
                    }
                    PackedPartition::RowGroup(object, index) => Partition::RowGroup { object: slice(object)?, index },
                    PackedPartition::Item(text) => Partition::Item(text),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::JobRecord;

    fn slice(path: &str, offset: u64) -> ObjectSlice {
        ObjectSlice { path: path.into(), etag: "e".into(), offset, len: 7 }
    }

    fn every_kind() -> Vec<Partition> {
        vec![
            Partition::Slice(slice("a", 0)),
            Partition::WithHeader { header: slice("b", 0), rows: slice("b", 9) },
            Partition::RowGroup { object: slice("a", 3), index: 5 },
            Partition::Item("x".into()),
            Partition::Slice(slice("a", 7)),
        ]
    }

    #[test]
    fn packed_partitions_read_back_and_share_their_object() {
        let bytes = JobRecord::Partitions(every_kind()).encode().unwrap();
        let JobRecord::Partitions(read) = JobRecord::decode(&bytes).unwrap() else { panic!("another kind") };
        assert_eq!(read, every_kind());
        let (Partition::Slice(first), Partition::Slice(last)) = (&read[0], &read[4]) else { panic!("other parts") };
        assert!(Arc::ptr_eq(&first.path, &last.path) && Arc::ptr_eq(&first.etag, &last.etag));
    }

    #[test]
    fn a_long_path_is_written_once() {
        let path = "p".repeat(1000);
        let partitions: Vec<_> = (0..10_000).map(|n| Partition::Slice(slice(&path, n * 7))).collect();
        let bytes = JobRecord::Partitions(partitions).encode().unwrap();
        assert!(bytes.len() < 100_000, "{}", bytes.len());
    }

    #[test]
    fn records_of_earlier_releases_read_as_before() {
        let old = postcard::to_extend(&every_kind(), vec![b'P']).unwrap();
        let JobRecord::Partitions(read) = JobRecord::decode(&old).unwrap() else { panic!("another kind") };
        assert_eq!(read, every_kind());
    }

    #[test]
    fn a_place_that_is_not_there_is_damage() {
        let packed = PackedPartitions { objects: Vec::new(), partitions: vec![PackedPartition::Slice((0, 0, 1))] };
        assert!(JobRecord::decode(&postcard::to_extend(&packed, vec![b'Q']).unwrap()).is_err());
    }
}

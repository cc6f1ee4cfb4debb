//! Data sets: the location of the input, the method of splitting it, and the resulting partitions.

use crate::units::ByteSize;
pub use delimiter::{Delimiter, InvalidDelimiter};
pub use item::Item;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

mod delimiter;
mod item;

/// A method of splitting objects into partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// `object`: one partition per object.
    Object,
    /// `lines:SIZE`: ranges of about SIZE bytes that end after a line feed.
    Lines(ByteSize),
    /// `records:N` or `records:N:SIZE`: records of N bytes, in partitions of about SIZE bytes (default 8 MiB).
    Records {
        /// Size of one record in bytes.
        record: ByteSize,
        /// Target size of a partition in bytes.
        target: ByteSize,
    },
    /// `csv:SIZE` or `csv:SIZE:DELIMITER`: ranges of about SIZE bytes that end between rows, by the grammar of the Rust
    /// SDK's readers. Every partition begins with the object's header row.
    Csv {
        /// Target size of a partition in bytes, excluding its header row.
        target: ByteSize,
        /// The byte between fields. If absent, it is a comma, and a header without a comma but with another common
        /// delimiter is rejected.
        delimiter: Option<Delimiter>,
    },
    /// `parquet`: one partition per non-empty row group, passed on as a Parquet file with one row group.
    Parquet,
    /// `items`: each non-empty line of the object is one item (a JSON value or plain text).
    Items,
}

/// Default partition size of splitters that need one: 8 MiB.
pub const DEFAULT_TARGET: ByteSize = ByteSize::mib(8);

/// Text that is not a splitter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a splitter: use object, lines:SIZE, records:N, records:N:SIZE, csv:SIZE, csv:SIZE:DELIMITER, parquet or items"
)]
pub struct InvalidSplit(pub String);

impl FromStr for Split {
    type Err = InvalidSplit;
    fn from_str(text: &str) -> Result<Self, InvalidSplit> {
        let bad = || InvalidSplit(text.chars().take(80).collect());
        let size = |t: &str| t.parse::<ByteSize>().ok().filter(|s| s.0 > 0).ok_or_else(bad);
        let delimiter = |t: &str| t.parse::<Delimiter>().map(Some).map_err(|_| bad());
        let mut parts = text.split(':');
        let split = match (parts.next(), parts.next(), parts.next()) {
            (Some("object"), None, None) => Self::Object,
            (Some("lines"), None, None) => Self::Lines(DEFAULT_TARGET),
            (Some("lines"), Some(s), None) => Self::Lines(size(s)?),
            (Some("records"), Some(n), None) => Self::Records { record: size(n)?, target: DEFAULT_TARGET },
            (Some("records"), Some(n), Some(s)) => Self::Records { record: size(n)?, target: size(s)? },
            (Some("csv"), None, None) => Self::Csv { target: DEFAULT_TARGET, delimiter: None },
            (Some("csv"), Some(s), None) => Self::Csv { target: size(s)?, delimiter: None },
            (Some("csv"), Some(s), Some(d)) => Self::Csv { target: size(s)?, delimiter: delimiter(d)? },
            (Some("parquet"), None, None) => Self::Parquet,
            (Some("items"), None, None) => Self::Items,
            _ => return Err(bad()),
        };
        if parts.next().is_some() { Err(bad()) } else { Ok(split) }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object => f.write_str("object"),
            Self::Lines(s) => write!(f, "lines:{}", s.0),
            Self::Records { record, target } => write!(f, "records:{}:{}", record.0, target.0),
            Self::Csv { target, delimiter: None } => write!(f, "csv:{}", target.0),
            Self::Csv { target, delimiter: Some(delimiter) } => write!(f, "csv:{}:{delimiter}", target.0),
            Self::Parquet => f.write_str("parquet"),
            Self::Items => f.write_str("items"),
        }
    }
}

crate::text_schema!(Split, "csv:8MiB");

impl Serialize for Split {
    fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Split {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(de)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A job's input: objects with a splitter, or an inline list of items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum InputSpec {
    /// Objects of the tenant.
    Objects {
        /// Path of an object, or a prefix ending in `/` that selects all objects below it.
        path: String,
        /// Splitter for each object. Default `object`.
        #[serde(default = "whole_objects")]
        split: Split,
    },
    /// One task per item. A text item reaches the guest unchanged, any other value as JSON.
    Items(Vec<Item>),
}

fn whole_objects() -> Split {
    Split::Object
}

/// A byte range of an object, pinned to its entity tag: a slice always has the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSlice {
    /// Path of the object within the tenant.
    pub path: Arc<str>,
    /// Entity tag when the job was planned. Reading another version fails with `input-changed`.
    pub etag: Arc<str>,
    /// Offset of the first byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// One partition of a data set: the input of one map task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Partition {
    /// A byte range of an object.
    Slice(ObjectSlice),
    /// A header row, followed by rows of the same object.
    WithHeader {
        /// Location of the header row.
        header: ObjectSlice,
        /// Location of the rows.
        rows: ObjectSlice,
    },
    /// One row group of a Parquet object.
    RowGroup {
        /// The whole object.
        object: ObjectSlice,
        /// Index of the row group, from 0.
        index: u32,
    },
    /// One inline item, as the guest reads it.
    Item(Arc<str>),
}

impl Partition {
    /// Returns the number of bytes that the guest will read, as far as it is known before reading.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Slice(s) => s.len,
            Self::WithHeader { header, rows } => header.len + rows.len,
            Self::RowGroup { object, .. } => object.len,
            Self::Item(text) => text.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitters_read_back_as_printed() {
        for text in ["object", "lines:1024", "records:16:4096", "csv:100", "csv:100:semicolon", "parquet", "items"] {
            assert_eq!(text.parse::<Split>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        for bad in
            ["", "line", "lines:0", "records", "records:x", "csv:1:2", "csv:1:tab:x", "object:1", "records:1:2:3"]
        {
            assert!(bad.parse::<Split>().is_err(), "{bad}");
        }
    }
}

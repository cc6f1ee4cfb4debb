//! Extracts one row group of a Parquet object as a separate file: the bytes of its column chunks are copied, and a new
//! footer has their new offsets. Pages are never decoded here.
//!
//! The footer is untrusted: its length, offsets and sizes are checked against the object before they are used, and it
//! is decoded on the blocking pool, so that a panic of the decoder is caught.

use crate::{Error, input::Source, reader::Segment};
use bytes::Bytes;
use parquet::file::metadata::{
    FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
};
use std::ops::Range;
use tokio::sync::Semaphore;

/// The first and last bytes of a Parquet file.
const MAGIC: &[u8; 4] = b"PAR1";
/// Size of the footer's length and the magic in bytes.
const TAIL: u64 = 8;
/// Maximum size of a decoded footer in bytes. The decoded columns take about thirty times as much memory.
const MAX_FOOTER: u64 = 32 << 20;
/// Size in bytes above which the process decodes one footer at a time.
const LARGE_FOOTER: u64 = 2 << 20;
/// Held while a large footer is decoded.
static LARGE: Semaphore = Semaphore::const_new(1);
/// Bytes read from the end at first. Most footers are smaller.
const GUESS: u64 = 64 << 10;

/// The last bytes of a file with an encrypted footer.
const ENCRYPTED_MAGIC: &[u8; 4] = b"PARE";

/// The reason for which a file cannot be split.
enum SplitError {
    /// The file is damaged, or not Parquet. The text completes a sentence.
    Damaged(String),
    /// The named part is encrypted. A part of a file cannot be decrypted separately, since the key is bound to the
    /// column's position in the whole file.
    Encrypted(String),
}

impl From<&str> for SplitError {
    fn from(why: &str) -> Self {
        Self::Damaged(why.to_owned())
    }
}

impl SplitError {
    fn into_error(self, source: &Source) -> Error {
        let (why, hint) = match self {
            Self::Damaged(why) => (why, "give only Parquet files, or use another splitter"),
            Self::Encrypted(what) => {
                (format!("{what} is encrypted"), "store it decrypted, or have a function decrypt it whole: object")
            }
        };
        let why: String = why.chars().take(200).collect();
        Error::spec(format!("`{}` can't be split as Parquet: {why}", source.path), hint)
    }
}

/// A row group with rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowGroup {
    /// Position in the file, counted from 0.
    pub(crate) index: u32,
    /// Compressed size of its columns in bytes.
    pub(crate) bytes: u64,
}

/// Returns the row groups with rows.
pub(crate) async fn row_groups(source: &Source) -> Result<Vec<RowGroup>, Error> {
    let size = source.size;
    decoded(source, move |metadata| {
        let mut found = Vec::new();
        for (index, group) in (0..).zip(metadata.row_groups()) {
            // Columns without rows may have any offset: writers put 0 for pages that they did not write.
            if group.num_rows() != 0 {
                let bytes = chunks(group, size)?.iter().map(|r| r.end - r.start).sum();
                found.push(RowGroup { index, bytes });
            }
        }
        Ok(found)
    })
    .await
}

/// Returns the row group `index` as the segments of a Parquet file.
pub(crate) async fn row_group(source: &Source, index: u32) -> Result<Vec<Segment>, Error> {
    let size = source.size;
    decoded(source, move |metadata| {
        let group = metadata
            .row_groups()
            .get(usize::try_from(index).unwrap_or(usize::MAX))
            .ok_or_else(|| SplitError::Damaged(format!("it has no row group {index}")))?;
        let ranges = chunks(group, size)?;
        let footer =
            footer(metadata.file_metadata(), group, &ranges).map_err(|e| SplitError::Damaged(e.to_string()))?;
        let mut segments = vec![Segment::Bytes(Bytes::from_static(MAGIC))];
        let mut run: Option<Range<u64>> = None;
        for range in ranges {
            match &mut run {
                Some(run) if run.end == range.start => run.end = range.end,
                _ => segments.extend(run.replace(range).map(Segment::Range)),
            }
        }
        segments.extend(run.map(Segment::Range));
        segments.push(Segment::Bytes(footer.into()));
        Ok(segments)
    })
    .await
}

/// Reads and decodes the footer and passes it to `look`, on the blocking pool, so that a panic is caught.
async fn decoded<T: Send + 'static>(
    source: &Source,
    look: impl FnOnce(&ParquetMetaData) -> Result<T, SplitError> + Send + 'static,
) -> Result<T, Error> {
    let size = source.size;
    let bad = |why: &str| SplitError::from(why).into_error(source);
    if size < TAIL + MAGIC.len() as u64 {
        return Err(bad("it is too short"));
    }
    let guess = size.min(GUESS);
    let mut end = source.read(size - guess..size).await?;
    let tail = end.split_off(end.len().saturating_sub(8));
    let Some((length, magic)) = tail.split_first_chunk::<4>() else { return Err(bad("it is too short")) };
    if magic == ENCRYPTED_MAGIC {
        return Err(SplitError::Encrypted("its footer".to_owned()).into_error(source));
    }
    if magic != MAGIC {
        return Err(bad("it does not end as a Parquet file"));
    }
    let length = u64::from(u32::from_le_bytes(*length));
    if length > size - TAIL - MAGIC.len() as u64 {
        return Err(bad("its footer is longer than the file"));
    }
    if length > MAX_FOOTER {
        return Err(Error::TooLarge { what: format!("the footer of `{}`", source.path), limit: MAX_FOOTER });
    }
    let footer = match usize::try_from(length).ok().and_then(|l| end.len().checked_sub(l)) {
        Some(at) => end.split_off(at),
        None => source.read(size - TAIL - length..size - TAIL).await?,
    };
    // The semaphore is never closed.
    let alone = if length > LARGE_FOOTER { LARGE.acquire().await.ok() } else { None };
    let looked = tokio::task::spawn_blocking(move || {
        let _alone = alone;
        let metadata =
            ParquetMetaDataReader::decode_metadata(&footer).map_err(|e| SplitError::Damaged(e.to_string()))?;
        look(&metadata)
    });
    match looked.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(why)) => Err(why.into_error(source)),
        Err(_) => Err(bad("its footer can't be decoded")),
    }
}

/// Returns the offset of a page, if it exists. Writers put 0 for a missing page.
fn page(offset: Option<i64>) -> Option<i64> {
    offset.filter(|at| *at > 0)
}

/// Returns the ranges of the column chunks of a row group. Each is inside the object, and together they are no larger
/// than it.
fn chunks(group: &RowGroupMetaData, size: u64) -> Result<Vec<Range<u64>>, SplitError> {
    let mut sum = 0_u64;
    let mut ranges = Vec::new();
    if group.num_rows() < 0 {
        return Err("a row group has a negative number of rows".into());
    }
    for column in group.columns() {
        if column.crypto_metadata().is_some() {
            return Err(SplitError::Encrypted(format!("its column `{}`", column.column_path().string())));
        }
        if column.file_path().is_some() {
            return Err("a column is in another file".into());
        }
        let pages = [page(Some(column.data_page_offset())), page(column.dictionary_page_offset())];
        let first = pages.into_iter().flatten().min().ok_or("a column has no pages")?;
        let range = u64::try_from(first).ok().zip(u64::try_from(column.compressed_size()).ok());
        let range = range.and_then(|(at, len)| Some(at..at.checked_add(len)?));
        let range = range.filter(|r| r.start >= MAGIC.len() as u64 && r.end <= size);
        let range = range.ok_or("a column lies outside the file")?;
        sum = sum.saturating_add(range.end - range.start);
        if sum > size {
            return Err("its columns are larger than the file".into());
        }
        ranges.push(range);
    }
    Ok(ranges)
}

/// Returns the footer of a file that contains only `group`, with its chunks one after the other behind the magic.
fn footer(
    file: &FileMetaData,
    group: &RowGroupMetaData,
    ranges: &[Range<u64>],
) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let mut at = MAGIC.len() as u64;
    let mut columns = Vec::with_capacity(ranges.len());
    for (column, range) in group.columns().iter().zip(ranges) {
        let moved = |offset: i64| {
            let inside = u64::try_from(offset).ok().and_then(|o| o.checked_sub(range.start)).unwrap_or(0);
            i64::try_from(at.saturating_add(inside)).unwrap_or(i64::MAX)
        };
        // Page indexes and bloom filters are outside the chunks and are not copied.
        let column = column
            .clone()
            .into_builder()
            .set_data_page_offset(page(Some(column.data_page_offset())).map_or(0, moved))
            .set_dictionary_page_offset(page(column.dictionary_page_offset()).map(moved))
            .set_index_page_offset(None)
            .set_bloom_filter_offset(None)
            .set_bloom_filter_length(None)
            .set_offset_index_offset(None)
            .set_offset_index_length(None)
            .set_column_index_offset(None)
            .set_column_index_length(None)
            .build()?;
        columns.push(column);
        at = at.saturating_add(range.end - range.start);
    }
    let rows = group.num_rows();
    let group = group.clone().into_builder().set_column_metadata(columns).set_ordinal(0).set_file_offset(4).build()?;
    let file = FileMetaData::new(
        file.version(),
        rows,
        file.created_by().map(str::to_owned),
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let mut out = Vec::new();
    ParquetMetaDataWriter::new(&mut out, &ParquetMetaData::new(file, vec![group])).finish()?;
    Ok(out)
}

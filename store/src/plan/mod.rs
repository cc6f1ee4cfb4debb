//! Turns an input spec into partitions: finds the objects and splits each.

mod csv;
mod empty;
mod items;
mod lines;
mod text;

use crate::{Error, ObjectPath, ObjectPrefix, Objects, input::Source, parquet_file};
use fabric_types::{
    dataset::{InputSpec, ObjectSlice, Partition, Split},
    units::ByteSize,
};
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Limits of planning.
#[derive(Debug, Clone, Copy)]
pub struct PlanOptions {
    /// Maximum number of partitions. Default: 1,000,000.
    pub max_partitions: usize,
    /// Number of objects planned concurrently. Default: 16.
    pub concurrency: usize,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self { max_partitions: 1_000_000, concurrency: 16 }
    }
}

/// A data set split into partitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Ordered by the byte order of the objects' paths, then by offset.
    pub partitions: Vec<Partition>,
    /// Total size of the partitions in bytes.
    pub bytes_in: u64,
}

/// Plans a data set. Empty objects, CSV objects with only a header, and Parquet row groups without rows give no
/// partition.
///
/// # Errors
/// [`Error::InvalidInputSpec`] if there are no objects, they cannot be split as requested, or there would be no
/// partition or too many; otherwise the store's errors.
pub async fn plan(input: &InputSpec, objects: &Objects, options: &PlanOptions) -> Result<Plan, Error> {
    let budget = PartitionBudget::new(options.max_partitions);
    match input {
        InputSpec::Items(items) => {
            if items.is_empty() {
                return Err(empty::no_items());
            }
            budget.take(items.len(), None)?;
            let partitions: Vec<_> = items.iter().map(|item| Partition::Item(Arc::clone(item.text()))).collect();
            let bytes_in = partitions.iter().map(Partition::bytes).sum();
            Ok(Plan { partitions, bytes_in })
        }
        InputSpec::Objects { path, split } => {
            let mut pieces = find(path, objects, options.max_partitions)
                .await?
                .map_ok(|path| one(path, *split, objects, &budget))
                .try_buffered(options.concurrency.max(1));
            let mut plan = Plan::default();
            let mut seen = empty::Seen::default();
            while let Some((size, piece)) = pieces.try_next().await? {
                seen.add(size);
                plan.bytes_in = plan.bytes_in.saturating_add(piece.bytes_in);
                plan.partitions.extend(piece.partitions);
            }
            if plan.partitions.is_empty() { Err(empty::no_task(path, *split, seen)) } else { Ok(plan) }
        }
    }
}

/// The number of partitions that a plan may still have, shared by all objects planned concurrently.
pub(crate) struct PartitionBudget {
    max: usize,
    taken: AtomicUsize,
}

impl PartitionBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, taken: AtomicUsize::new(0) }
    }

    /// Reserves `count` partitions before they are created. `size` is the size of their object.
    pub(crate) fn take(&self, count: usize, size: Option<u64>) -> Result<(), Error> {
        let before = self.taken.fetch_add(count, Ordering::Relaxed);
        if before.saturating_add(count) <= self.max { Ok(()) } else { Err(too_many(self.max, size)) }
    }
}

/// Number of partitions planned between yields, at which the plan can be cancelled.
pub(crate) const STEP: usize = 1024;

fn too_many(max: usize, size: Option<u64>) -> Error {
    // A power of two with which the object has at most half as many partitions as allowed.
    let large = size.map(|size| (size / (max as u64).max(1)).saturating_mul(2).max(1).next_power_of_two());
    let hint = match large {
        Some(large) => format!("use partitions of {} or more, as in lines:{0}, or fewer objects", compact(large)),
        None => "put the items into an object as records or lines, and have a task read many of them".to_owned(),
    };
    Error::spec(format!("the data set has more than {max} partitions, the most that a job may have"), hint)
}

/// Formats a power of two as splitters parse it.
fn compact(bytes: u64) -> String {
    ByteSize(bytes).to_string().replace(' ', "")
}

/// Returns the objects named by `path`, in the byte order of their paths.
async fn find<'a>(
    path: &str,
    objects: &'a Objects,
    max: usize,
) -> Result<BoxStream<'a, Result<ObjectPath, Error>>, Error> {
    let prefix = if path.is_empty() || path.ends_with('/') {
        ObjectPrefix::new(path)?
    } else {
        let object = ObjectPath::new(path)?;
        match objects.head(&object).await {
            Ok(_) => return Ok(stream::once(async { Ok(object) }).boxed()),
            Err(Error::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
        let below = objects.list(&ObjectPrefix::new(format!("{path}/"))?, None, 1).await?;
        return Err(if below.objects.is_empty() {
            Error::spec(format!("there is no object at `{path}`"), "see what is there: fabric ls")
        } else {
            Error::spec(
                format!("`{path}` is not an object, but there are objects under `{path}/`"),
                format!("write it with a slash at the end: {path}/"),
            )
        });
    };
    let mut all = Box::pin(objects.list_all(&prefix, None)?);
    let mut paths = Vec::new();
    while let Some(info) = all.try_next().await? {
        if paths.len() == max {
            return Err(Error::spec(
                format!("there are more than {max} objects under `{path}`, the most that a job may read"),
                "name a longer prefix",
            ));
        }
        paths.push(ObjectPath::new(info.path)?);
    }
    if paths.is_empty() {
        return Err(Error::spec(format!("there are no objects under `{path}`"), "see what is there: fabric ls"));
    }
    // Some stores list folder by folder. The order of partitions must not depend on the store.
    paths.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    Ok(stream::iter(paths.into_iter().map(Ok)).boxed())
}

/// Returns the size of an object and its partitions.
async fn one(
    path: ObjectPath,
    split: Split,
    objects: &Objects,
    budget: &PartitionBudget,
) -> Result<(u64, Plan), Error> {
    let source = Source::current(objects, &path).await?;
    let size = source.size;
    let ranges = match split {
        Split::Object => {
            budget.take(1, None)?;
            whole(&source)
        }
        Split::Lines(target) => lines::split(&source, target.0, budget).await?,
        Split::Records { record, target } => records(&source, record.0, target.0, budget)?,
        Split::Csv { target, delimiter } => return Ok((size, csv::plan(source, target.0, delimiter, budget).await?)),
        Split::Parquet => return Ok((size, parquet(&source, budget).await?)),
        Split::Items => return Ok((size, items::plan(source, budget).await?)),
    };
    let shared = Shared::new(&source);
    let bytes_in = ranges.iter().map(|r| r.end - r.start).sum();
    let partitions = ranges.into_iter().map(|r| Partition::Slice(shared.slice(r))).collect();
    Ok((size, Plan { partitions, bytes_in }))
}

/// The part shared by all slices of an object.
struct Shared {
    path: Arc<str>,
    etag: Arc<str>,
}

impl Shared {
    fn new(source: &Source) -> Self {
        Self { path: source.path.shared(), etag: Arc::clone(&source.etag) }
    }

    fn slice(&self, range: Range<u64>) -> ObjectSlice {
        ObjectSlice {
            path: Arc::clone(&self.path),
            etag: Arc::clone(&self.etag),
            offset: range.start,
            len: range.end.saturating_sub(range.start),
        }
    }
}

fn whole(source: &Source) -> Vec<Range<u64>> {
    if source.size == 0 { Vec::new() } else { std::iter::once(0..source.size).collect() }
}

fn records(source: &Source, record: u64, target: u64, budget: &PartitionBudget) -> Result<Vec<Range<u64>>, Error> {
    let (path, size) = (&source.path, source.size);
    if record == 0 || size % record != 0 {
        return Err(Error::spec(
            format!("`{path}` has {size} bytes, which is not a multiple of the record size {record}"),
            "give the size of one record in bytes: records:N",
        ));
    }
    let step = (target / record).max(1).saturating_mul(record);
    let count = usize::try_from(size.div_ceil(step)).unwrap_or(usize::MAX);
    budget.take(count, Some(size))?;
    let mut ranges = Vec::with_capacity(count);
    let mut start = 0;
    while start < size {
        let end = size.min(start.saturating_add(step));
        ranges.push(start..end);
        start = end;
    }
    Ok(ranges)
}

async fn parquet(source: &Source, budget: &PartitionBudget) -> Result<Plan, Error> {
    let groups = parquet_file::row_groups(source).await?;
    budget.take(groups.len(), Some(source.size))?;
    let object = Shared::new(source).slice(0..source.size);
    let partitions = groups.iter().map(|group| Partition::RowGroup { object: object.clone(), index: group.index });
    Ok(Plan { partitions: partitions.collect(), bytes_in: groups.iter().map(|group| group.bytes).sum() })
}

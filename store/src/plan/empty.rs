//! Errors for data sets without a task. A job over such a data set is refused: it would succeed without a result, and a
//! reduce would have no input.

use crate::Error;
use fabric_types::dataset::Split;

/// Totals over the objects of a plan.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    objects: u64,
    bytes: u64,
}

impl Seen {
    /// Adds an object of `size` bytes.
    pub(super) fn add(&mut self, size: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(size);
    }
}

pub(super) fn no_items() -> Error {
    Error::spec("the list of items is empty, so the job has no task", "give at least one item")
}

/// Returns the error for objects under `path` that give no partition.
pub(super) fn no_task(path: &str, split: Split, seen: Seen) -> Error {
    let what = match seen.objects {
        1 => "the object".to_owned(),
        n => format!("each of the {n} objects"),
    };
    let (why, hint) = match (seen.bytes, split) {
        (0, _) => ("no bytes", "store something, or name other objects"),
        (_, Split::Csv { .. }) => (
            "no row after its header row",
            "a CSV object has a header row and at least one more; object makes one task of any bytes",
        ),
        (_, Split::Parquet) => ("no row group with rows", "store rows, or name other objects"),
        (_, Split::Items) => ("only empty lines", "store one item on each line"),
        (_, Split::Object | Split::Lines(_) | Split::Records { .. }) => ("nothing to split", "name other objects"),
    };
    Error::spec(format!("`{path}` gives no task: {what} has {why}"), hint)
}

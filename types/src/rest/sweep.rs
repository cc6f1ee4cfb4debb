//! Reports of sweeps, which remove expired and unreferenced data.

use serde::{Deserialize, Serialize};

/// The amount of one kind of data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Removed {
    /// Number of entries.
    pub count: u64,
    /// Size in bytes.
    pub bytes: u64,
}

impl Removed {
    /// Adds entries and their size, saturating.
    pub fn add(&mut self, count: u64, bytes: u64) {
        self.count = self.count.saturating_add(count);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// The data that a sweep removed, or would remove with `dry_run`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sweep {
    /// `true` if nothing was removed.
    pub dry_run: bool,
    /// Jobs and asynchronous invocations, with their journals.
    pub jobs: Removed,
    /// Results.
    pub results: Removed,
    /// Objects that hold results too large for the metadata backend.
    pub result_objects: Removed,
    /// Modules that no version references and no unfinished job runs.
    pub modules: Removed,
    /// Uploads whose writer died more than a day ago. Their size is not counted.
    pub unfinished_uploads: Removed,
    /// Expired tokens.
    pub tokens: Removed,
    /// Duration in milliseconds.
    pub took_ms: u64,
}

impl Sweep {
    /// Returns each kind with its name.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, Removed); 6] {
        [
            ("jobs", self.jobs),
            ("results", self.results),
            ("result-objects", self.result_objects),
            ("modules", self.modules),
            ("unfinished-uploads", self.unfinished_uploads),
            ("tokens", self.tokens),
        ]
    }
}

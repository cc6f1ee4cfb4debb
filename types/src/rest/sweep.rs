//! What a sweep removed: what was kept long enough, and what nothing names any more.

use serde::{Deserialize, Serialize};

/// Things of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Removed {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Removed {
    /// Adds some.
    pub fn add(&mut self, count: u64, bytes: u64) {
        self.count = self.count.saturating_add(count);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What a sweep removed, or with `dry_run` would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Sweep {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Jobs and asynchronous invocations with their journals.
    pub jobs: Removed,
    /// Results.
    pub results: Removed,
    /// Objects of results that are too large for the engine.
    pub result_objects: Removed,
    /// Modules that no version names and no unfinished job runs.
    pub modules: Removed,
    /// Uploads whose writer died more than a day ago; their bytes are not counted.
    pub unfinished_uploads: Removed,
    /// Expired tokens.
    pub tokens: Removed,
    /// Milliseconds it took.
    pub took_ms: u64,
}

impl Sweep {
    /// Each kind with its name.
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

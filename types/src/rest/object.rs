//! Objects.

use serde::{Deserialize, Serialize};

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ObjectInfo {
    /// Its path.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Entity tag, without quotes.
    pub etag: String,
    /// When it was last written.
    pub modified_ms: u64,
}

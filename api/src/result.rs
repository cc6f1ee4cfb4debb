//! Results of jobs: the entries of their list, and the query of their text.

use fabric_types::digest::{ContentDigest, TaskKey};
use serde::{Deserialize, Serialize};

/// One result in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultInfo {
    /// Index, from 0.
    pub index: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 hash of the bytes.
    pub digest: ContentDigest,
    /// The key that it is stored under.
    pub key: TaskKey,
    /// The media type, if the function set one.
    pub content_type: Option<String>,
}

/// The query of results as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ResultParams {
    /// The first line, counted from 0.
    pub line: Option<u64>,
    /// Number of lines. Default 100.
    pub lines: Option<u64>,
    /// Only lines that contain this text.
    pub q: Option<String>,
    /// Separator between several results. Default `lines`.
    #[cfg_attr(feature = "openapi", param(inline))]
    pub join: Option<Join>,
}

/// The separator between several results that are sent in sequence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Join {
    /// A line feed after a result of text or JSON (by its media type) that does not end in one.
    #[default]
    Lines,
    /// Nothing: the list of results has the length of each.
    Bytes,
}

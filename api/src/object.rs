//! The query of a list of objects.

use crate::page::paged;
use serde::{Deserialize, Serialize};

/// A filter for objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ObjectQuery {
    /// Only objects with a path that begins with this.
    pub prefix: Option<String>,
    /// `/`: objects in folders below the prefix are shown as one entry for the folder, which ends in `/` and has size
    /// 0.
    pub delimiter: Option<String>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
    /// Objects per page, 1 to 1000. Default 100.
    pub limit: Option<usize>,
}
paged!(ObjectQuery);

impl ObjectQuery {
    /// Selects the objects with a path that begins with `prefix`.
    #[must_use]
    pub fn below(prefix: impl Into<String>) -> Self {
        Self { prefix: Some(prefix.into()), ..Self::default() }
    }

    /// Lists one level only. Deeper paths appear as folders, which end in `/`.
    #[must_use]
    pub fn one_level(mut self) -> Self {
        self.delimiter = Some("/".to_owned());
        self
    }
}

//! Queries of the routes of usage and of sweeps.

use serde::{Deserialize, Serialize};

/// The query of usage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct UsageParams {
    /// Start: the UTC day of this moment, in milliseconds since 1970. Days more than two months ago count as the first
    /// of their month. Default: everything.
    pub since_ms: Option<u64>,
    /// End: the UTC day of this moment, that day included. Default: now.
    pub until_ms: Option<u64>,
}

/// The query of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct SweepParams {
    /// Count what would be removed, without removing it. Default false.
    #[serde(default)]
    pub dry_run: bool,
}

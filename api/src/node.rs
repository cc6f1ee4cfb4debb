//! Bodies and queries of the routes of nodes and of placement.

use fabric_types::{dataset::InputSpec, label::Labels};
use serde::{Deserialize, Serialize};

/// The query of a drain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct DrainParams {
    /// Seconds after which tasks that still run on the node are stopped and run elsewhere, without counting as failed.
    /// Default: no limit.
    pub deadline_s: Option<u64>,
}

/// A request to explain the placement of a function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Function, as `name`, `name@version` or `name:alias`.
    pub function: String,
    /// Data set to map over, as in a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputSpec>,
    /// Parameters.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty", deserialize_with = "fabric_types::json::map")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Labels that the node must have, in addition to those that the function requires.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub node_selector: Labels,
}

//! Queries of the routes that call functions and list invocations.

use crate::page::paged;
use fabric_types::{id::FunctionName, rest::invocation::InvocationState};
use serde::{Deserialize, Serialize};

/// The query of a call.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct InvokeParams {
    /// `sync`, the default, or `async`.
    pub mode: Option<String>,
    /// Parameters as a JSON object. Alternative: the header `Fabric-Params`.
    pub params: Option<String>,
}

/// A filter for invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct InvocationQuery {
    /// Only invocations of this function.
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub function: Option<FunctionName>,
    /// Only invocations in this state.
    pub state: Option<InvocationState>,
    /// Only invocations accepted at or after this time, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
    /// Items per page, 1 to 1000. Default 100.
    pub limit: Option<usize>,
}
paged!(InvocationQuery);

/// The query of a long poll.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct WaitParams {
    /// Seconds to wait for the end, at most 60. Default 0.
    pub wait: Option<u64>,
}

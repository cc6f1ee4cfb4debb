//! Nodes, placement and usage.

use crate::{
    Cost,
    id::{FunctionName, NodeId, TenantId},
    node::NodeFacts,
    price::Prices,
    rest::job::JobPlan,
    storage::Storage,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Facts that the node announced last.
    #[serde(flatten)]
    pub facts: NodeFacts,
    /// State that the scheduler gave it: `ready`, `cordoned`, `draining`, `drained` (draining with no work left) or
    /// `lost`.
    pub state: String,
}

impl<'de> Deserialize<'de> for Node {
    // A derived implementation fails for `speed`: `serde(flatten)` cannot pass on the floats of `serde_json`.
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let whole = serde_json::Value::deserialize(de)?;
        let state = whole.get("state").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { facts: NodeFacts::deserialize(whole).map_err(D::Error::custom)?, state })
    }
}

/// The verdict of one filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verdict {
    /// Name of the filter, such as `Fits`.
    pub filter: String,
    /// `true` if the node passes.
    pub passed: bool,
    /// Reason for the verdict.
    pub reason: String,
}

/// One score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Score {
    /// Name of the score, such as `LeastRequested`.
    pub name: String,
    /// Value from 0 to 100.
    pub value: f64,
    /// Weight in the sum.
    pub weight: f64,
}

/// A node in a placement decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeVerdict {
    /// Node id.
    pub node: NodeId,
    /// Verdicts of the filters, in order.
    pub filters: Vec<Verdict>,
    /// Scores; empty if a filter rejected the node.
    pub scores: Vec<Score>,
    /// Weighted mean of the scores.
    pub total: Option<f64>,
}

/// A placement decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// All nodes.
    pub nodes: Vec<NodeVerdict>,
    /// Selected node; absent if no node passes.
    pub winner: Option<NodeId>,
    /// One sentence on the decision.
    pub remark: String,
    /// Size of the job, if the request has an input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobPlan>,
}

/// The usage of a tenant or of one function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageLine {
    /// Name of the function; absent for a total.
    pub function: Option<FunctionName>,
    /// Calls and tasks that ran.
    pub invocations: u64,
    /// Failed ones among those.
    pub failed: u64,
    /// Those among them that were cancelled because the caller disconnected.
    pub cancelled: u64,
    /// Results served from the cache.
    pub cached: u64,
    /// Cost of the calls and tasks that ran.
    #[serde(flatten)]
    pub cost: Cost,
    /// Price of fuel and device time, if the server has prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
}

/// A tenant's usage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// Tenant.
    pub tenant: TenantId,
    /// Start of the first included day (UTC), in milliseconds since 1970; absent if unbounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// End of the last included day (UTC), in milliseconds since 1970; absent for the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Prices, if the server has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Total usage.
    pub total: UsageLine,
    /// Usage by function.
    pub functions: Vec<UsageLine>,
    /// Size of stored objects in bytes.
    pub object_bytes: u64,
    /// Storage by kind, and the quota.
    #[serde(default)]
    pub storage: Storage,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_its_facts_and_a_state() {
        let json = serde_json::json!({
            "id": "a", "state": "ready", "version": "1", "engine": "e", "cpu_slots": 1, "running": 0, "queued": 0,
            "memory_bytes": 1, "used_bytes": 1, "modules": 0, "gpus": 0, "speed": 0.25, "labels": {}, "leaving": false,
            "started_ms": 1, "epoch": 0, "seen_ms": 2
        });
        let node: Node = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!((node.state.as_str(), node.facts.speed), ("ready", 0.25));
        assert_eq!(serde_json::to_value(&node).unwrap(), json);
    }
}

//! GPU requirements of functions, and the GPU support of nodes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Use of the node's shared GPU by a function's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GpuRequirement {
    /// Not used: `fabric:gpu` fails with `denied`.
    #[default]
    None,
    /// Used if the node has a GPU. Elsewhere `fabric:gpu` fails with `denied`, and the function falls back to the
    /// processor.
    Preferred,
    /// The function runs only on nodes that support it. A software driver does not count, unless the node's operator
    /// allows it.
    Required,
}

impl fmt::Display for GpuRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Preferred => "preferred",
            Self::Required => "required",
        })
    }
}

/// Support of a node's shared GPU for functions. In JSON it has the name of the strongest [`GpuRequirement`] that it
/// satisfies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GpuSupport {
    /// No GPU for guests.
    #[default]
    #[serde(rename = "none")]
    None,
    /// For functions that prefer a GPU: a software driver.
    #[serde(rename = "preferred")]
    Partial,
    /// For all functions.
    #[serde(rename = "required")]
    Full,
}

impl GpuSupport {
    /// Returns `true` if a function with this requirement has a GPU on this node.
    #[must_use]
    pub fn satisfies(self, requirement: GpuRequirement) -> bool {
        match requirement {
            GpuRequirement::None => true,
            GpuRequirement::Preferred => self >= Self::Partial,
            GpuRequirement::Required => self == Self::Full,
        }
    }
}

impl fmt::Display for GpuSupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Partial => "preferred",
            Self::Full => "required",
        })
    }
}

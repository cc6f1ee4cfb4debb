//! The two classes of engines that run functions.

use serde::{Deserialize, Serialize};

/// A class of engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EngineClass {
    /// Results repeat bit for bit: one NaN pattern, one meaning of relaxed SIMD. For pure functions.
    Deterministic,
    /// The processor's own floating point and SIMD. For all other functions.
    General,
}

impl EngineClass {
    /// Both classes.
    pub const ALL: [Self; 2] = [Self::Deterministic, Self::General];
}

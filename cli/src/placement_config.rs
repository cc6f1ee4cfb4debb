//! The part of the server's configuration file that says how the scheduler places.

use crate::failure::Failure;
use fabric_driver::Weights;
use serde::Deserialize;

/// How the scheduler places; only in the file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// Weights of the scores, by their names. A weight of 0 switches a score off.
    pub weights: PlacementWeights,
}

/// Weights of the scores; what is left out has its default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "PascalCase")]
pub struct PlacementWeights {
    least_requested: Option<f64>,
    balanced_resource_allocation: Option<f64>,
    selector_spread: Option<f64>,
    locality: Option<f64>,
    speed: Option<f64>,
    gpu: Option<f64>,
}

impl Placement {
    /// Every weight.
    pub fn weights(&self) -> Weights {
        let (usual, set) = (Weights::default(), &self.weights);
        Weights {
            least_requested: set.least_requested.unwrap_or(usual.least_requested),
            balanced_resource_allocation: set
                .balanced_resource_allocation
                .unwrap_or(usual.balanced_resource_allocation),
            selector_spread: set.selector_spread.unwrap_or(usual.selector_spread),
            locality: set.locality.unwrap_or(usual.locality),
            speed: set.speed.unwrap_or(usual.speed),
            gpu: set.gpu.unwrap_or(usual.gpu),
        }
    }

    fn rows(&self) -> [(&'static str, f64); 6] {
        let w = self.weights();
        [
            ("LeastRequested", w.least_requested),
            ("BalancedResourceAllocation", w.balanced_resource_allocation),
            ("SelectorSpread", w.selector_spread),
            ("Locality", w.locality),
            ("Speed", w.speed),
            ("Gpu", w.gpu),
        ]
    }

    /// Checks them.
    pub fn check(&self) -> Result<(), Failure> {
        for (name, weight) in self.rows() {
            if !(0.0..=1000.0).contains(&weight) {
                return Err(Failure::config(format!("placement.weights.{name} is {weight}: use 0 to 1000")));
            }
        }
        if self.rows().iter().all(|(_, weight)| *weight == 0.0) {
            return Err(
                Failure::config("placement.weights: every score is switched off").hint("leave one of them above 0")
            );
        }
        Ok(())
    }
}

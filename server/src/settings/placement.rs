//! The `[placement]` section of the server's configuration file.

use super::{
    SettingRow,
    invalid::InvalidSettings,
    tables::{SettingsTable, origin},
};
use crate::Error;
use fabric_driver::{DEFAULT_OPEN_JOBS, Weights};
use fabric_types::units::ByteSize;
use serde::Deserialize;
use std::path::Path;

/// Minimum memory for open jobs: room for a job of ten thousand tasks in each of two tenants.
const LEAST_OPEN_JOBS: ByteSize = ByteSize::mib(8);

/// Placement settings of the scheduler; only in the file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Placement {
    /// Memory for jobs that have not ended. A tenant may use half of it.
    #[serde(rename = "open-jobs-memory")]
    open_jobs_memory: Option<ByteSize>,
    /// Weights of the scores, by name. A weight of 0 disables a score.
    pub weights: PlacementWeights,
}

/// Weights of the scores. `None` stands for the default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "PascalCase")]
pub(crate) struct PlacementWeights {
    least_requested: Option<f64>,
    balanced_resource_allocation: Option<f64>,
    selector_spread: Option<f64>,
    locality: Option<f64>,
    speed: Option<f64>,
    gpu: Option<f64>,
}

impl Placement {
    /// Returns the memory for jobs that have not ended. Default 1 GiB.
    pub(crate) fn open_jobs_memory(&self) -> ByteSize {
        self.open_jobs_memory.unwrap_or(DEFAULT_OPEN_JOBS)
    }

    /// Returns all weights, with defaults for those that are not set.
    pub(crate) fn weights(&self) -> Weights {
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

    /// Returns the name and value of each weight, and `true` if the file sets it.
    fn weight_rows(&self) -> [(&'static str, f64, bool); 6] {
        let (w, set) = (self.weights(), &self.weights);
        [
            ("LeastRequested", w.least_requested, set.least_requested.is_some()),
            ("BalancedResourceAllocation", w.balanced_resource_allocation, set.balanced_resource_allocation.is_some()),
            ("SelectorSpread", w.selector_spread, set.selector_spread.is_some()),
            ("Locality", w.locality, set.locality.is_some()),
            ("Speed", w.speed, set.speed.is_some()),
            ("Gpu", w.gpu, set.gpu.is_some()),
        ]
    }
}

impl SettingsTable for Placement {
    fn check(&self, _: &Path, invalid: &mut InvalidSettings) {
        let mut push = |name: &str, what: String| invalid.push(name, Error::config(format!("{name}{what}")));
        if self.open_jobs_memory() < LEAST_OPEN_JOBS {
            push("placement.open-jobs-memory", format!(": use {LEAST_OPEN_JOBS} or more"));
        }
        for (name, weight, _) in self.weight_rows() {
            if !(0.0..=1000.0).contains(&weight) {
                push(&format!("placement.weights.{name}"), format!(" is {weight}: use 0 to 1000"));
            }
        }
        if self.weight_rows().iter().all(|(_, weight, _)| *weight == 0.0) {
            push("placement.weights", ": every score is switched off; leave one of them above 0".to_owned());
        }
    }

    fn rows(&self, _: &Path, file: &Path) -> Vec<SettingRow> {
        let row = |key: &str, value: String, is_set| {
            SettingRow::new(&format!("placement.{key}"), value, &origin(file, is_set))
        };
        let memory = row("open-jobs-memory", self.open_jobs_memory().to_string(), self.open_jobs_memory.is_some());
        let weights = self.weight_rows().map(|(name, w, set)| row(&format!("weights.{name}"), w.to_string(), set));
        std::iter::once(memory).chain(weights).collect()
    }
}

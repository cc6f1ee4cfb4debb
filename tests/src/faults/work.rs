//! Jobs to disturb. Each lasts a few seconds on the fleet, long enough for something to happen in its middle.

use crate::{guests, repository};
use anyhow::Result;
use fabric_client::{Client, DeployRequest, Upload, UploadOptions};
use fabric_types::job::JobSpec;
use serde_json::json;

/// A job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Many small tasks, and the tree of reduces over them.
    Pi,
    /// The main job, in many partitions.
    Weather,
    /// Words meet through a shuffle: what the tasks hand on lies in buckets.
    Words,
    /// Three tasks: what clients submit meanwhile.
    Small,
}

impl Work {
    /// Those that are disturbed.
    pub const LONG: [Self; 3] = [Self::Pi, Self::Weather, Self::Words];

    const fn function(self) -> &'static str {
        match self {
            Self::Pi | Self::Small => "montecarlo-pi",
            Self::Weather => "weather",
            Self::Words => "wordcount",
        }
    }

    /// What is submitted. Never from the cache: it shall run each time.
    ///
    /// # Errors
    /// None but a mistake here.
    pub fn spec(self) -> Result<JobSpec> {
        let function = self.function();
        let items = |count: u32, samples: u32| -> Vec<_> {
            (0..count).map(|seed| json!({"seed": seed, "samples": samples})).collect()
        };
        let spec = match self {
            Self::Pi => json!({"function": function, "input": {"items": items(120, 60_000)}, "reduce": {}}),
            Self::Small => json!({"function": function, "input": {"items": items(2, 1000)}, "reduce": {}}),
            Self::Weather => json!({
                "function": function, "input": {"objects": {"path": "weather.csv", "split": "csv:48KiB"}},
                "reduce": {"fan-in": 4}, "params": {"blocks": true},
            }),
            Self::Words => json!({
                "function": function, "input": {"objects": {"path": "weather.csv", "split": "lines:48KiB"}},
                "shuffle": {"partitions": 8}, "params": {"emit": true},
            }),
        };
        let mut spec: JobSpec = serde_json::from_value(spec)?;
        spec.cache = false;
        Ok(spec)
    }

    /// Puts what all of them need in place, and `noop`, which answers what it is sent.
    pub(crate) async fn furnish(client: &Client) -> fabric_client::Result<()> {
        for name in ["noop", "montecarlo-pi", "weather", "wordcount"] {
            client.deploy(&DeployRequest::new(guests::manifest(name, ""), guests::built(name))).await?;
        }
        let data = repository().join("examples/data/nyc-weather-2013.csv");
        client.put("weather.csv", Upload::file(&data).await?, &UploadOptions::default()).await?;
        Ok(())
    }
}

//! Jobs for the rounds. Each takes a few seconds on the fleet, long enough for a fault to be injected while it runs.

use crate::{guests, repository};
use anyhow::Result;
use fabric_client::{Client, DeployRequest, Upload, UploadOptions};
use fabric_types::job::JobSpec;
use serde_json::json;

/// A job of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Many small tasks and a tree of reduces.
    Pi,
    /// The main job, in many partitions.
    Weather,
    /// A word count through a shuffle, whose intermediate results are in buckets.
    Words,
    /// Three tasks: the job that clients submit during a round.
    Small,
}

impl Work {
    /// The jobs that rounds disturb.
    pub const LONG: [Self; 3] = [Self::Pi, Self::Weather, Self::Words];

    const fn function(self) -> &'static str {
        match self {
            Self::Pi | Self::Small => "montecarlo-pi",
            Self::Weather => "weather",
            Self::Words => "wordcount",
        }
    }

    /// Returns the specification of the job. The cache is off, so that every run executes all tasks.
    ///
    /// # Errors
    /// Returns an error if the specification here is invalid.
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

    /// Deploys the functions and stores the data of all jobs, and deploys `noop`, which returns its input.
    pub(crate) async fn furnish(client: &Client) -> fabric_client::Result<()> {
        for name in ["noop", "montecarlo-pi", "weather", "wordcount"] {
            client.deploy(&DeployRequest::new(guests::manifest(name, ""), guests::built(name))).await?;
        }
        let data = repository().join("examples/data/nyc-weather-2013.csv");
        client.put("weather.csv", Upload::file(&data).await?, &UploadOptions::default()).await?;
        Ok(())
    }
}

//! The cost of a call, a task or a job.

use serde::{Deserialize, Serialize};

/// The cost of a call, a task or a job. Of a job, only the fuel includes attempts that failed; the other fields count
/// attempts that gave a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cost {
    /// Fuel of all attempts that ended with a result or a guest fault.
    pub fuel: u64,
    /// Wall clock inside sandboxes, in microseconds, summed.
    #[serde(rename = "guest_us")]
    pub wall_us: u64,
    /// Device time of GPU work, in microseconds, including validation and compilation of shaders.
    #[serde(default)]
    pub gpu_us: u64,
    /// Input bytes read.
    pub bytes_in: u64,
    /// Result bytes.
    pub bytes_out: u64,
}

impl Cost {
    /// Adds another cost, saturating.
    pub fn add(&mut self, other: &Self) {
        let Self { fuel, wall_us, gpu_us, bytes_in, bytes_out } = *other;
        self.fuel = self.fuel.saturating_add(fuel);
        self.wall_us = self.wall_us.saturating_add(wall_us);
        self.gpu_us = self.gpu_us.saturating_add(gpu_us);
        self.bytes_in = self.bytes_in.saturating_add(bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(bytes_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_add_up_and_saturate() {
        let one = Cost { fuel: 1, wall_us: 2, gpu_us: 3, bytes_in: 4, bytes_out: 5 };
        let mut sum = Cost { bytes_out: u64::MAX, ..one };
        sum.add(&one);
        assert_eq!(sum, Cost { fuel: 2, wall_us: 4, gpu_us: 6, bytes_in: 8, bytes_out: u64::MAX });
    }

    #[test]
    fn the_wall_clock_is_named_guest_us_in_json() {
        let json = r#"{"fuel":1,"guest_us":2,"gpu_us":3,"bytes_in":4,"bytes_out":5}"#;
        let cost: Cost = serde_json::from_str(json).unwrap();
        assert_eq!((cost.wall_us, serde_json::to_string(&cost).unwrap().as_str()), (2, json));
    }
}

//! Estimates π from random points in a square. The input is a list of items. Each item has the seed of its random
//! numbers, so the function needs no grant, and the same items always give the same estimate.

use fabric::{Deserialize, Error, Json, Result, Serialize};

/// Points between two progress reports.
const STEP: u64 = 1 << 22;

/// The input of one task.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(crate = "fabric::serde", deny_unknown_fields)]
pub struct Item {
    /// Seed of the random numbers.
    pub seed: u64,
    /// Number of points to draw.
    pub samples: u64,
}

/// A partial or final result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Estimate {
    /// Points inside the quarter circle.
    pub inside: u64,
    /// Points drawn.
    pub total: u64,
    /// The estimate of π: four times the share inside.
    pub pi: f64,
    /// Standard error of the estimate.
    pub standard_error: f64,
}

impl Estimate {
    fn of(inside: u64, total: u64) -> Self {
        let share = inside as f64 / total as f64;
        let standard_error = 4.0 * (share * (1.0 - share) / total as f64).sqrt();
        Self { inside, total, pi: 4.0 * share, standard_error }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a small generator with a different sequence for every seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Draws an item's points.
#[fabric::map]
pub fn throw(Json(item): Json<Item>) -> Result<Estimate> {
    if item.samples == 0 {
        return Err(Error::invalid_input("`samples` must be at least 1"));
    }
    // The seed is hashed first, so that the sequences of adjacent seeds are not shifted copies of each other.
    let mut random = Random(Random(item.seed).next());
    let mut inside = 0;
    for sample in 0..item.samples {
        let bits = random.next();
        // Two coordinates of 32 bits each. Inside means a sum of squares below 2⁶⁴, which is exact.
        let (x, y) = (bits >> 32, bits & 0xFFFF_FFFF);
        inside += u64::from((x * x).checked_add(y * y).is_some());
        if sample % STEP == STEP - 1 {
            fabric::progress(sample + 1, item.samples);
        }
    }
    Ok(Estimate::of(inside, item.samples))
}

/// Adds two estimates.
#[fabric::reduce]
pub fn merge(a: Estimate, b: Estimate) -> Estimate {
    Estimate::of(a.inside + b.inside, a.total + b.total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::testing;

    #[test]
    fn it_comes_close_and_the_order_of_merging_does_not_matter() {
        let partials: Vec<_> = (1..=4)
            .map(|seed| format!("{{\"seed\":{seed},\"samples\":250000}}"))
            .map(|item| testing::map(throw, item).unwrap().output)
            .collect();
        let merge = |a, b| Ok(merge(a, b));
        let estimate: Estimate = testing::reduce(merge, &partials).unwrap().json().unwrap();
        assert_eq!(estimate.total, 1_000_000);
        assert!((estimate.pi - std::f64::consts::PI).abs() < 4.0 * estimate.standard_error, "{estimate:?}");
        let backwards: Estimate = testing::reduce(merge, partials.iter().rev()).unwrap().json().unwrap();
        assert_eq!(backwards, estimate);
    }

    #[test]
    fn different_seeds_differ_and_equal_ones_do_not() {
        let run = |seed| throw(Json(Item { seed, samples: 100_000 })).unwrap().inside;
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn nothing_to_throw_and_a_misspelt_item_are_bad_input() {
        let error = throw(Json(Item { seed: 1, samples: 0 })).unwrap_err();
        assert_eq!(error.kind(), fabric::ErrorKind::InvalidInput);
        let error = testing::map(throw, "{\"seed\":1,\"sample\":5}").unwrap_err();
        assert_eq!(error.kind(), fabric::ErrorKind::InvalidInput);
    }
}

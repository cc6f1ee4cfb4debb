//! Histogram of an array.

use std::ops::Range;

use crate::gpu::workgroups::covering;
use crate::gpu::{Buffer, Error, Pipeline, Result, Submit};

/// Largest number of bins. Their counts fill a workgroup's memory.
const MAX_BINS: u32 = 4096;

/// Largest number of workgroups. Each one adds all its bins to the result.
const MOST_GROUPS: u32 = 1024;

/// A histogram of floats with bins of equal width. A run is a write of eight bytes and one dispatch, for any length.
#[derive(Debug)]
pub struct Histogram {
    pipeline: Pipeline,
    bins: u32,
    params: Buffer<f32>,
}

impl Histogram {
    /// Compiles the pass for `bins` bins, 1 to 4,096.
    ///
    /// # Errors
    /// `Invalid` for any other number of bins, and as [`Pipeline::compile`] and [`Buffer::new`].
    pub fn compile(bins: u32) -> Result<Self> {
        if !(1..=MAX_BINS).contains(&bins) {
            return Err(Error::invalid(format_args!("a histogram of {bins} bins; ask for 1 to {MAX_BINS}")));
        }
        let pipeline = Pipeline::compile(include_str!("histogram.wgsl"), "histogram", &[("BINS", f64::from(bins))])?;
        Ok(Self { pipeline, bins, params: Buffer::new(2)? })
    }

    /// Returns the count of each bin over `range`. Values outside of the range and NaN are not counted; the range
    /// excludes its end. A value within a rounding error of the boundary between two bins may count in either.
    ///
    /// # Errors
    /// `Invalid` for an empty or infinite range, and as [`Submit::run`] and [`Buffer::new`].
    pub fn run(&self, values: &Buffer<f32>, range: Range<f32>) -> Result<Vec<u32>> {
        self.params.write(0, &[range.start, scale(&range, self.bins)?])?;
        let bins = Buffer::<u32>::new(self.bins as usize)?;
        let groups = covering(values.len(), 256, MOST_GROUPS);
        Submit::new().dispatch(&self.pipeline, &[&self.params, values, &bins], groups).read(&bins).run()?.values(0)
    }
}

/// Returns the number of bins per unit.
fn scale(range: &Range<f32>, bins: u32) -> Result<f32> {
    let scale = bins as f32 / (range.end - range.start);
    if range.start.is_finite() && range.end.is_finite() && scale.is_finite() && scale > 0.0 {
        return Ok(scale);
    }
    let Range { start, end } = range;
    Err(Error::invalid(format_args!("a histogram from {start} to {end}; give finite ends, the lower one first")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_without_a_width_are_refused() {
        assert_eq!(scale(&(-0.5..0.5), 64), Ok(64.0));
        let tiny = f32::MIN_POSITIVE;
        for (start, end) in
            [(1.0, 1.0), (2.0, 1.0), (f32::NAN, 1.0), (0.0, f32::INFINITY), (0.0, tiny), (f32::MIN, f32::MAX)]
        {
            assert!(matches!(scale(&(start..end), 4096), Err(Error::Invalid(_))), "{start} {end}");
        }
    }

    #[test]
    fn too_many_bins_and_none_are_refused_before_the_device() {
        for bins in [0, 4097] {
            let message = Histogram::compile(bins).unwrap_err().to_string();
            assert_eq!(message, format!("a histogram of {bins} bins; ask for 1 to 4096"));
        }
    }
}

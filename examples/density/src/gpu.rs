//! The sums on the node's GPU: every point's kernel at every cell.

use fabric::gpu::{self, Buffer, Pipeline, Submit};

use crate::grid::Grid;

/// Kernels that one submit evaluates: a hundredth of a second on a small GPU, some tenths through a software driver, and
/// never near the deadline of 2 s.
const KERNELS: usize = 1 << 26;

/// A slice that is bound starts at a multiple of this, in points.
const ALIGNED: usize = 32;

/// Most points of one submit. The loop over them stays far below the 65,535 rounds after which some software drivers end
/// one, and short sums of 32 bits are more exact than a long one.
const MOST_POINTS: usize = 1024;

/// Each cell's sum over all points, and the GPU's name.
///
/// # Errors
/// As everything of [`fabric::gpu`].
pub(crate) fn sums(places: &[[f32; 2]], grid: &Grid) -> gpu::Result<(Vec<f32>, String)> {
    let info = gpu::info()?;
    let cells = Buffer::<f32>::new(grid.len())?;
    if places.is_empty() {
        return Ok((cells.read()?, info.name));
    }
    let constants = [
        ("WIDTH", f64::from(grid.x.cells)),
        ("STEP_X", grid.x.step() / grid.x.bandwidth),
        ("STEP_Y", grid.y.step() / grid.y.bandwidth),
    ];
    let density = Pipeline::compile(include_str!("density.wgsl"), "density", &constants)?;
    let points = Buffer::from_slice(places.as_flattened())?;
    let each = points_of_a_submit(grid.len());
    for first in (0..places.len()).step_by(each) {
        let last = places.len().min(first + each);
        let slice = points.slice(2 * first..2 * last);
        Submit::new().dispatch(&density, &[&slice, &cells], density.workgroups_for(grid.len())).run()?;
        fabric::progress(last as u64, places.len() as u64);
    }
    Ok((cells.read()?, info.name))
}

/// How many points a submit takes on a grid of so many cells.
fn points_of_a_submit(cells: usize) -> usize {
    (KERNELS / cells.max(1) / ALIGNED * ALIGNED).clamp(ALIGNED, MOST_POINTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submit_stays_small_and_slices_start_where_they_may() {
        for cells in [4, 1000, 256 * 256, 512 * 512] {
            let points = points_of_a_submit(cells);
            assert!(points * cells <= KERNELS && points <= MOST_POINTS, "{cells}");
            assert!(points > 0 && points % ALIGNED == 0, "{cells}");
        }
        assert_eq!(points_of_a_submit(256 * 256), 1024);
        assert_eq!(points_of_a_submit(512 * 512), 256);
    }
}

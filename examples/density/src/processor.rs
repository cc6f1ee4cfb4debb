//! Kernel sums on the CPU.

use crate::grid::{Axis, Grid};

/// Returns each cell's sum over all points. A kernel is the product of a kernel for x and one for y, so a point takes
/// `width + height` exponentials and `width * height` multiplications.
pub(crate) fn sums(places: &[[f32; 2]], grid: &Grid) -> Vec<f32> {
    let mut sums = vec![0.0_f64; grid.len()];
    let (mut row, mut column) = (vec![0.0; grid.x.cells as usize], vec![0.0; grid.y.cells as usize]);
    for (at, [x, y]) in places.iter().enumerate() {
        kernel(f64::from(*x), &grid.x, &mut row);
        kernel(f64::from(*y), &grid.y, &mut column);
        for (cells, from_y) in sums.chunks_exact_mut(row.len()).zip(&column) {
            for (cell, from_x) in cells.iter_mut().zip(&row) {
                *cell += from_x * from_y;
            }
        }
        if at % 1024 == 1023 {
            fabric::progress(at as u64 + 1, places.len() as u64);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// Computes `exp(-d² / 2)` at the centre of each cell of an axis.
fn kernel(place: f64, axis: &Axis, cells: &mut [f64]) {
    let step = axis.step() / axis.bandwidth;
    for (at, cell) in cells.iter_mut().enumerate() {
        let distance = (at as f64 + 0.5) * step - place;
        *cell = (-0.5 * distance * distance).exp();
    }
}

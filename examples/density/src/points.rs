//! The points of a partition.

use fabric::{F64Columns, Input, Result};

use crate::grid::Grid;

/// Points of a partition, with the number of skipped rows.
pub(crate) struct Points {
    /// Each point's distance from the grid's lower left corner, in bandwidths.
    pub(crate) places: Vec<[f32; 2]>,
    /// Number of rows with a missing value.
    pub(crate) skipped: u64,
}

/// Reads the grid's two columns.
///
/// # Errors
/// Invalid input for an unknown column and for a value that is not a number.
pub(crate) fn read(input: Input, grid: &Grid) -> Result<Points> {
    let mut table = F64Columns::new(input)?;
    table.select(&[&grid.x.column, &grid.y.column])?;
    let mut points = Points { places: Vec::new(), skipped: 0 };
    while let Some(row) = table.next_row()? {
        match row {
            [x, y] if x.is_finite() && y.is_finite() => {
                points.places.push([grid.x.place(*x) as f32, grid.y.place(*y) as f32]);
            }
            _ => points.skipped += 1,
        }
    }
    Ok(points)
}

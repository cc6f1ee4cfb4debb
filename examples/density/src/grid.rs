//! The grid of cells.

use fabric::{Deserialize, Error, Result, Serialize};

use crate::Params;

/// Allowed number of cells along an axis.
const CELLS: std::ops::RangeInclusive<u32> = 2..=512;

/// Largest number of bandwidths along an axis. Above it, 32 bits are not precise enough for a place in bandwidths.
const MOST_BANDWIDTHS: f64 = 500.0;

/// A grid of cells: x from left to right, y from bottom to top.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Grid {
    /// The axis from left to right.
    pub x: Axis,
    /// The axis from bottom to top.
    pub y: Axis,
}

/// One axis of a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Axis {
    /// Column of the CSV.
    pub column: String,
    /// Start of the first cell.
    pub min: f64,
    /// End of the last cell.
    pub max: f64,
    /// Standard deviation of a kernel along this axis.
    pub bandwidth: f64,
    /// Number of cells.
    pub cells: u32,
}

impl Grid {
    /// Creates the grid of these parameters.
    ///
    /// # Errors
    /// Invalid input, with the name of the invalid parameter.
    pub(crate) fn of(params: &Params) -> Result<Self> {
        let Params { x, x_min, x_max, x_bandwidth, y, y_min, y_max, y_bandwidth, width, height, .. } = params;
        Ok(Self {
            x: Axis::new(["x_min", "x_max", "x_bandwidth", "width"], x, [*x_min, *x_max, *x_bandwidth], *width)?,
            y: Axis::new(["y_min", "y_max", "y_bandwidth", "height"], y, [*y_min, *y_max, *y_bandwidth], *height)?,
        })
    }

    /// Returns the number of cells.
    pub(crate) fn len(&self) -> usize {
        self.x.cells as usize * self.y.cells as usize
    }
}

impl Axis {
    /// Creates an axis. `names` has the names of the parameters, in the order of their values.
    fn new(names: [&str; 4], column: &str, values: [f64; 3], cells: u32) -> Result<Self> {
        let [min_name, max_name, bandwidth_name, cells_name] = names;
        let [min, max, bandwidth] = values;
        let length = max - min;
        if !(length.is_finite() && length > 0.0) {
            return Err(Error::invalid_input(format!(
                "`{min_name}` is {min} and `{max_name}` is {max}; give numbers, the lower one first"
            )));
        }
        let least = length / MOST_BANDWIDTHS;
        if !(least..=length).contains(&bandwidth) {
            return Err(Error::invalid_input(format!("`{bandwidth_name}` is {bandwidth}; give {least} to {length}")));
        }
        if !CELLS.contains(&cells) {
            let (fewest, most) = (CELLS.start(), CELLS.end());
            return Err(Error::invalid_input(format!("`{cells_name}` is {cells}; give {fewest} to {most}")));
        }
        Ok(Self { column: column.to_owned(), min, max, bandwidth, cells })
    }

    /// Returns the length of a cell.
    pub(crate) fn step(&self) -> f64 {
        (self.max - self.min) / f64::from(self.cells)
    }

    /// Returns a value's distance from `min`, in bandwidths.
    pub(crate) fn place(&self, value: f64) -> f64 {
        (value - self.min) / self.bandwidth
    }
}

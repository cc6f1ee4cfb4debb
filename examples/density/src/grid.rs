//! Where the cells are.

use fabric::{Deserialize, Error, Result, Serialize};

use crate::Params;

/// Fewest and most cells along an axis.
const CELLS: std::ops::RangeInclusive<u32> = 2..=512;

/// Most bandwidths along an axis: beyond it a place in bandwidths is not exact enough in 32 bits.
const MOST_BANDWIDTHS: f64 = 500.0;

/// The cells: x from left to right, y from bottom to top.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Grid {
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
}

/// One side of a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Axis {
    /// The column of the CSV.
    pub column: String,
    /// Where the first cell begins.
    pub min: f64,
    /// Where the last cell ends.
    pub max: f64,
    /// Standard deviation of a kernel along this axis.
    pub bandwidth: f64,
    /// How many cells there are.
    pub cells: u32,
}

impl Grid {
    /// The grid that the parameters ask for.
    ///
    /// # Errors
    /// Invalid input naming the parameter that cannot be.
    pub(crate) fn of(params: &Params) -> Result<Self> {
        let Params { x, x_min, x_max, x_bandwidth, y, y_min, y_max, y_bandwidth, width, height, .. } = params;
        Ok(Self {
            x: Axis::new(["x_min", "x_max", "x_bandwidth", "width"], x, [*x_min, *x_max, *x_bandwidth], *width)?,
            y: Axis::new(["y_min", "y_max", "y_bandwidth", "height"], y, [*y_min, *y_max, *y_bandwidth], *height)?,
        })
    }

    /// How many cells there are.
    pub(crate) fn len(&self) -> usize {
        self.x.cells as usize * self.y.cells as usize
    }
}

impl Axis {
    /// `names` are those of the parameters, in the order of their values.
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

    /// Length of a cell.
    pub(crate) fn step(&self) -> f64 {
        (self.max - self.min) / f64::from(self.cells)
    }

    /// A value's distance from `min`, in bandwidths.
    pub(crate) fn place(&self, value: f64) -> f64 {
        (value - self.min) / self.bandwidth
    }
}

//! The density of the points in two columns of a CSV: an exact Gaussian kernel estimate on a grid, computed on the
//! node's GPU if it has one and on the CPU otherwise.
//!
//! The partial result of a partition is a grid of kernel sums, a merge adds two grids, and the handler renders one. GPU
//! and CPU agree within 1e-4 of the largest cell.

mod gpu;
mod grid;
mod picture;
mod points;
mod processor;

use std::collections::BTreeMap;

use fabric::gpu::Error as GpuError;
use fabric::{Context, Deserialize, Error, Input, Json, JsonSchema, Response, Result, Serialize};

pub use grid::{Axis, Grid};
use points::Points;

/// Parameters. The defaults are for temperature (°F) and humidity (%) of `examples/data`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "fabric::serde", default, deny_unknown_fields)]
#[schemars(crate = "fabric::schemars")]
pub struct Params {
    /// The column from left to right.
    pub x: String,
    /// Left end of the grid.
    pub x_min: f64,
    /// Right end of the grid.
    pub x_max: f64,
    /// Standard deviation of a kernel along x: from 1/500 of the grid's width to the whole width.
    pub x_bandwidth: f64,
    /// The column from bottom to top.
    pub y: String,
    /// Lower end of the grid.
    pub y_min: f64,
    /// Upper end of the grid.
    pub y_max: f64,
    /// Standard deviation of a kernel along y: from 1/500 of the grid's height to the whole height.
    pub y_bandwidth: f64,
    /// Cells from left to right.
    #[schemars(range(min = 2, max = 512))]
    pub width: u32,
    /// Cells from bottom to top.
    #[schemars(range(min = 2, max = 512))]
    pub height: u32,
    /// The device that computes the estimate.
    pub device: Device,
}

/// The device that computes the estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "fabric::serde", rename_all = "kebab-case")]
#[schemars(crate = "fabric::schemars")]
pub enum Device {
    /// The GPU if the function has one, otherwise the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU. Without one, the function fails.
    Gpu,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            x: "temp".to_owned(),
            x_min: 0.0,
            x_max: 110.0,
            x_bandwidth: 2.0,
            y: "humid".to_owned(),
            y_min: 0.0,
            y_max: 110.0,
            y_bandwidth: 2.0,
            width: 256,
            height: 256,
            device: Device::Auto,
        }
    }
}

/// A partial or final result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Density {
    /// Grid of the cells.
    pub grid: Grid,
    /// Number of points.
    pub points: u64,
    /// Number of rows skipped because of a missing value.
    pub skipped: u64,
    /// Devices that computed the partitions.
    pub made_by: MadeBy,
    /// Each cell's sum of `exp(-d² / 2)` over all points, with the distance d from the cell's centre in bandwidths. Row
    /// by row from the bottom, each from left to right. Divided by `points * 2π * x bandwidth * y bandwidth`, it is the
    /// density.
    pub sums: Vec<f32>,
}

/// Number of partitions by device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct MadeBy {
    /// Partitions computed on the CPU.
    pub cpu: u64,
    /// Partitions computed on a GPU, by its name.
    pub gpu: BTreeMap<String, u64>,
}

impl MadeBy {
    fn cpu() -> Self {
        Self { cpu: 1, gpu: BTreeMap::new() }
    }

    fn gpu(name: String) -> Self {
        Self { cpu: 0, gpu: BTreeMap::from([(name, 1)]) }
    }
}

impl Density {
    /// Returns the share of the kernels' mass on the grid: 1 if the grid extends far enough beyond all points, 0
    /// without points.
    pub fn mass(&self) -> f64 {
        let sum: f64 = self.sums.iter().copied().map(f64::from).sum();
        let kernel = std::f64::consts::TAU * self.grid.x.bandwidth * self.grid.y.bandwidth;
        sum * self.grid.x.step() * self.grid.y.step() / (kernel * self.points.max(1) as f64)
    }
}

/// Estimates the density of the points in two columns of a CSV. Rows with a missing value are skipped.
#[fabric::map]
pub fn estimate(input: Input, params: Params) -> Result<Density> {
    let grid = Grid::of(&params)?;
    let Points { places, skipped } = points::read(input, &grid)?;
    let (sums, made_by) = sums(&places, &grid, params.device)?;
    Ok(Density { grid, points: places.len() as u64, skipped, made_by, sums })
}

/// Adds the density of other points.
#[fabric::reduce]
pub fn merge(mut a: Density, b: Density) -> Result<Density> {
    if a.grid != b.grid || a.sums.len() != b.sums.len() {
        return Err(Error::invalid_input(
            "two densities over different grids; run all partitions with the same parameters",
        ));
    }
    a.points += b.points;
    a.skipped += b.skipped;
    a.made_by.cpu += b.made_by.cpu;
    for (name, partitions) in b.made_by.gpu {
        *a.made_by.gpu.entry(name).or_default() += partitions;
    }
    for (sum, more) in a.sums.iter_mut().zip(b.sums) {
        *sum += more;
    }
    Ok(a)
}

/// Renders a density, the result of a job, as a PNG with one pixel per cell.
#[fabric::handler]
pub fn draw(Json(density): Json<Density>) -> Result<Response> {
    let body = picture::png(&density)?;
    fabric::info!("{} points, {:.1}% of their kernels on the grid", density.points, 100.0 * density.mass());
    Ok(Response { content_type: Some("image/png".to_owned()), body })
}

/// Computes the sums on the requested device.
fn sums(places: &[[f32; 2]], grid: &Grid, device: Device) -> Result<(Vec<f32>, MadeBy)> {
    if device == Device::Cpu {
        return Ok((processor::sums(places, grid), MadeBy::cpu()));
    }
    match gpu::sums(places, grid) {
        Ok((sums, name)) => return Ok((sums, MadeBy::gpu(name))),
        // Retryable: the host runs the task again.
        Err(error) if error.is_retryable() => return Err(error.into()),
        Err(error) if device == Device::Gpu => return Err(error).context("parameter `device` is `gpu`"),
        Err(GpuError::Denied(_)) => {}
        Err(error @ (GpuError::Limit { .. } | GpuError::OutOfMemory | GpuError::TimedOut)) => {
            fabric::warn!("using the CPU instead of the GPU: {error}");
        }
        Err(error) => return Err(error.into()),
    }
    Ok((processor::sums(places, grid), MadeBy::cpu()))
}

#[cfg(test)]
mod tests;

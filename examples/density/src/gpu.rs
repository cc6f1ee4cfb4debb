//! Kernel sums on the node's GPU.
//!
//! A kernel is the product of a kernel for x and one for y. The sums over all points are therefore a product of two
//! matrices: the kernels of y, with a row per cell, times the kernels of x, with a row per point.

use fabric::gpu::{self, Buffer, Matmul, Pipeline, Saxpy, Shape, Submit};

use crate::grid::{Axis, Grid};

/// Points of one product. On the largest grid, its matrices take 4 MiB and it does 270 million multiplications: about 1
/// ms on a GPU and some tenths of a second with a software driver. Short sums are also more accurate than long ones.
const BATCH: usize = 1024;

/// Returns each cell's sum over all points, and the GPU's name.
///
/// # Errors
/// Any error of [`fabric::gpu`].
pub(crate) fn sums(places: &[[f32; 2]], grid: &Grid) -> gpu::Result<(Vec<f32>, String)> {
    let info = gpu::info()?;
    let of_x = Kernels::compile(&grid.x, false)?;
    let of_y = Kernels::compile(&grid.y, true)?;
    let (product, add) = (Matmul::compile()?, Saxpy::compile()?);
    let (of_batch, sums) = (Buffer::new(grid.len())?, Buffer::new(grid.len())?);
    for (at, batch) in places.chunks(BATCH).enumerate() {
        let columns = of_x.fill(batch.iter().map(|[x, _]| *x))?;
        let rows = of_y.fill(batch.iter().map(|[_, y]| *y))?;
        let shape = Shape { rows: grid.y.cells, inner: batch.len() as u32, columns: grid.x.cells };
        product.run(shape, &rows, &columns, &of_batch)?;
        add.run(1.0, &of_batch, &sums)?;
        fabric::progress((at * BATCH + batch.len()) as u64, places.len() as u64);
    }
    Ok((sums.read()?, info.name))
}

/// The kernels of one axis.
struct Kernels {
    pipeline: Pipeline,
    cells: usize,
}

impl Kernels {
    /// Compiles the pass. With `by_cell` the matrix has a row per cell, otherwise a row per point.
    fn compile(axis: &Axis, by_cell: bool) -> gpu::Result<Self> {
        let constants =
            [("CELLS", f64::from(axis.cells)), ("STEP", axis.step() / axis.bandwidth), ("BY_CELL", f64::from(by_cell))];
        let pipeline = Pipeline::compile(include_str!("kernels.wgsl"), "fill", &constants)?;
        Ok(Self { pipeline, cells: axis.cells as usize })
    }

    /// Returns the kernels of points at these places.
    fn fill(&self, places: impl Iterator<Item = f32>) -> gpu::Result<Buffer<f32>> {
        let places = Buffer::from_slice(&places.collect::<Vec<f32>>())?;
        let kernels = Buffer::new(places.len() * self.cells)?;
        let workgroups = self.pipeline.workgroups_for(kernels.len());
        Submit::new().dispatch(&self.pipeline, &[&places, &kernels], workgroups).run()?;
        Ok(kernels)
    }
}

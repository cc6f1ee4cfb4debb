//! The sums on the node's GPU.
//!
//! A kernel is the product of one for x and one for y. So the sums over all points are a product of two matrices: the
//! kernels of y, a row for each cell, times the kernels of x, a row for each point.

use fabric::gpu::{self, Buffer, Matmul, Pipeline, Saxpy, Shape, Submit};

use crate::grid::{Axis, Grid};

/// Points of one product. On the largest grid its matrices have 4 MiB and it takes 270 million multiplications: a
/// thousandth of a second on a GPU, some tenths through a software driver. Short sums are also more exact than a long one.
const BATCH: usize = 1024;

/// Each cell's sum over all points, and the GPU's name.
///
/// # Errors
/// As everything of [`fabric::gpu`].
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
    /// `by_cell` makes a row for each cell, else there is a row for each point.
    fn compile(axis: &Axis, by_cell: bool) -> gpu::Result<Self> {
        let constants =
            [("CELLS", f64::from(axis.cells)), ("STEP", axis.step() / axis.bandwidth), ("BY_CELL", f64::from(by_cell))];
        let pipeline = Pipeline::compile(include_str!("kernels.wgsl"), "fill", &constants)?;
        Ok(Self { pipeline, cells: axis.cells as usize })
    }

    /// The kernels of points at these places.
    fn fill(&self, places: impl Iterator<Item = f32>) -> gpu::Result<Buffer<f32>> {
        let places = Buffer::from_slice(&places.collect::<Vec<f32>>())?;
        let kernels = Buffer::new(places.len() * self.cells)?;
        let workgroups = self.pipeline.workgroups_for(kernels.len());
        Submit::new().dispatch(&self.pipeline, &[&places, &kernels], workgroups).run()?;
        Ok(kernels)
    }
}

//! Product of two matrices.

use super::{holds, source};
use crate::gpu::{Buffer, Error, Pipeline, Result, Stats, Submit};

/// Rows and columns of the tile that a workgroup computes.
const TILE: usize = 128;

/// The pass `c = a · b` in `f32`, with row-major matrices. A run is a write of twelve bytes and one dispatch.
///
/// One dispatch does `rows * inner * columns` multiplications: split large products by rows of `a`, so that each stays
/// below [`DeviceLimits::submit_deadline_ms`](crate::gpu::DeviceLimits::submit_deadline_ms).
/// A software driver compiles the pass on its first run, which takes seconds on a busy machine: allow for this with
/// `limits.gpu-submit-ms` in `fabric.toml`.
#[derive(Debug)]
pub struct Matmul {
    pipeline: Pipeline,
    size: Buffer<u32>,
}

/// The shape of a product: `a` is `rows` × `inner`, `b` is `inner` × `columns`, `c` is `rows` × `columns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows of `a` and `c`.
    pub rows: u32,
    /// Columns of `a`, rows of `b`. Must be below 524,280 if [`Info::long_loops`](crate::gpu::Info::long_loops) is
    /// false.
    pub inner: u32,
    /// Columns of `b` and `c`.
    pub columns: u32,
}

impl Shape {
    /// Returns the number of elements of `a`, `b` and `c`.
    fn elements(self) -> Result<[usize; 3]> {
        let [rows, inner, columns] = [self.rows, self.inner, self.columns].map(|n| n as usize);
        let product = |a: usize, b: usize| {
            a.checked_mul(b)
                .filter(|n| u32::try_from(*n).is_ok())
                .ok_or_else(|| Error::invalid(format_args!("a matrix of {a} × {b} elements; the most is {}", u32::MAX)))
        };
        Ok([product(rows, inner)?, product(inner, columns)?, product(rows, columns)?])
    }

    /// Returns the workgroups over columns and rows of `c`.
    fn workgroups(self) -> [u32; 2] {
        [self.columns, self.rows].map(|n| n.div_ceil(TILE as u32))
    }
}

impl Matmul {
    /// Compiles the pass.
    ///
    /// # Errors
    /// As [`Pipeline::compile`] and [`Buffer::new`].
    pub fn compile() -> Result<Self> {
        let wgsl = source::<f32>("", include_str!("matmul.wgsl"));
        Ok(Self { pipeline: Pipeline::compile(&wgsl, "matmul", &[])?, size: Buffer::new(3)? })
    }

    /// Writes `c`, which must not be `a` or `b`.
    ///
    /// # Errors
    /// `Invalid` if a buffer's size does not match `shape`, and as [`Submit::run`].
    pub fn run(&self, shape: Shape, a: &Buffer<f32>, b: &Buffer<f32>, c: &Buffer<f32>) -> Result<Stats> {
        let [in_a, in_b, in_c] = shape.elements()?;
        holds("`a`", a.len(), in_a)?;
        holds("`b`", b.len(), in_b)?;
        holds("`c`", c.len(), in_c)?;
        self.size.write(0, &[shape.rows, shape.columns, shape.inner])?;
        let workgroups = shape.workgroups();
        Ok(Submit::new().dispatch(&self.pipeline, &[&self.size, a, b, c], workgroups).run()?.stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_product_and_sizes_follow_from_the_shape() {
        let shape = Shape { rows: 130, inner: 7, columns: 128 };
        assert_eq!(shape.elements(), Ok([910, 896, 16_640]));
        assert_eq!(shape.workgroups(), [1, 2]);
        assert_eq!(Shape { rows: 1, inner: 1, columns: 129 }.workgroups(), [2, 1]);
    }

    #[test]
    fn matrices_beyond_32_bits_are_refused() {
        let message = Shape { rows: 65_536, inner: 65_536, columns: 1 }.elements().unwrap_err().to_string();
        assert_eq!(message, "a matrix of 65536 × 65536 elements; the most is 4294967295");
    }
}

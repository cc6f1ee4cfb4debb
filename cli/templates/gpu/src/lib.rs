//! Squares numbers: `fabric invoke {{name}} --data '[1, 2, 3]'`.

use fabric::gpu::{self, Buffer, Map};
use fabric::{Json, Result, Serialize};

/// The result.
#[derive(Debug, PartialEq, Serialize)]
#[serde(crate = "fabric::serde")]
pub struct Squares {
    /// The device that computed them: the GPU's name, or `cpu`.
    pub device: String,
    pub squares: Vec<f32>,
}

/// Squares each number, on the node's GPU if there is one.
#[fabric::handler]
pub fn square(Json(numbers): Json<Vec<f32>>) -> Result<Squares> {
    match gpu::info() {
        Ok(info) => Ok(Squares { device: info.name, squares: on_gpu(&numbers)? }),
        // The node has no GPU for guests, as in the tests.
        Err(gpu::Error::Denied(_)) => Ok(Squares { device: "cpu".to_owned(), squares: on_cpu(&numbers) }),
        Err(error) => Err(error.into()),
    }
}

fn on_gpu(numbers: &[f32]) -> gpu::Result<Vec<f32>> {
    if numbers.is_empty() {
        // A buffer has at least one element.
        return Ok(Vec::new());
    }
    let square = Map::<f32>::compile("fn f(x: f32) -> f32 { return x * x; }")?;
    let input = Buffer::from_slice(numbers)?;
    let output = Buffer::new(numbers.len())?;
    square.run(&input, &output)?;
    output.read()
}

fn on_cpu(numbers: &[f32]) -> Vec<f32> {
    numbers.iter().map(|x| x * x).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_gpu_the_processor_does_it() {
        let answer = square(Json(vec![1.0, -2.0, 0.5])).unwrap();
        assert_eq!(answer, Squares { device: "cpu".to_owned(), squares: vec![1.0, 4.0, 0.25] });
    }
}

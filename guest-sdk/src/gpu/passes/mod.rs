//! Built-in passes. The WGSL sources are next to these files; each type computes the workgroups and the dispatches.
//!
//! A pass is compiled once and can run any number of times. A run is one submit.

mod histogram;
mod map;
mod matmul;
mod reduce;
mod saxpy;
mod scan;

pub use histogram::Histogram;
pub use map::Map;
pub use matmul::{Matmul, Shape};
pub use reduce::{Op, Reduce};
pub use saxpy::Saxpy;
pub use scan::Scan;

use super::element::Element;
use super::error::{Error, Result};

/// Returns the source of a pass for elements of type `T`. The caller's WGSL comes first, so that errors refer to its
/// lines.
fn source<T: Element>(callers: &str, pass: &str) -> String {
    format!("{callers}\nalias T = {};\n{pass}", T::WGSL)
}

/// Checks that a buffer has exactly `needed` elements.
fn holds(what: &str, len: usize, needed: usize) -> Result<()> {
    if len == needed {
        return Ok(());
    }
    Err(Error::invalid(format_args!("{what} has {len} elements, and {needed} are needed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_lines_keep_their_numbers() {
        let wgsl = source::<i32>("fn f(x: i32) -> i32 {\n  return -x;\n}", "// the pass");
        assert_eq!(wgsl, "fn f(x: i32) -> i32 {\n  return -x;\n}\nalias T = i32;\n// the pass");
    }

    #[test]
    fn lengths_that_do_not_fit_are_named() {
        assert_eq!(holds("`y`", 4, 4), Ok(()));
        assert_eq!(holds("`y`", 3, 4).unwrap_err().to_string(), "`y` has 3 elements, and 4 are needed");
    }
}

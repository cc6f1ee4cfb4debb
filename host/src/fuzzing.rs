//! What the fuzz run needs of the private parsers. Not part of the crate's interface.

use crate::{imports, inspect, shape};

/// Reads an upload as far as it is read before it is compiled.
pub fn inspect(module: &[u8]) {
    let _ = shape::form(module);
    if let Ok(shape) = shape::read(module) {
        let _ = inspect::entry(&shape);
        let _ = inspect::described(&shape);
        for export in &shape.exports {
            let _ = imports::split(export);
        }
    }
}

/// Reads what a module says about itself.
pub fn description(json: &str) {
    let _ = inspect::description(json);
}

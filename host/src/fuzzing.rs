//! Access to private parsers for fuzzing. Not part of the public API.

use crate::{
    imports, inspect, shape,
    symbols::{self, Budget, table::Symbols},
};

/// Budget for reading debug information, as in the compile worker: steps, and CPU time in seconds.
const STEPS: u64 = 1_000_000;
const SECONDS: u64 = 10;
/// Maximum number of functions to look up in a table.
const FUNCTIONS: usize = 16;

/// Parses an upload as far as it is parsed before its compilation.
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

/// Parses the description that a module returns.
pub fn description(json: &str) {
    let _ = inspect::description(json);
}

/// Reads a module's names and debug information, then looks up frames in the result.
pub fn debug_info(module: &[u8]) {
    symbol_table(table(module));
    let hidden = symbols::hide(module.to_vec());
    assert_eq!(hidden.len(), module.len(), "every byte keeps its place");
}

/// Returns the table of a module's names and debug information.
#[must_use]
pub fn table(module: &[u8]) -> Vec<u8> {
    symbols::read(module, &mut Budget::new(STEPS, SECONDS))
}

/// Looks up frames in a table as read from the artefact store.
pub fn symbol_table(bytes: Vec<u8>) {
    let symbols = Symbols::new(bytes);
    for (start, index) in symbols.starts().take(FUNCTIONS) {
        for offset in [0, 1, 4, 6, 40] {
            let frames = symbols.frames(start.saturating_add(offset), start, index);
            assert!(frames.len() <= crate::engine::BACKTRACE_FRAMES + 1, "{} frames", frames.len());
        }
    }
}

//! How deep blocks are nested in what naga made: a second look, since lowering can add blocks of its own.

use crate::{Error, error::within};
use naga::ir::{Block, Module, Statement};

/// Refuses functions whose blocks are nested deeper than `limit`. Not recursive itself.
pub(super) fn check_depth(module: &Module, limit: u64) -> Result<(), Error> {
    let functions = module.functions.iter().map(|(_, f)| f).chain(module.entry_points.iter().map(|e| &e.function));
    for function in functions {
        let mut open: Vec<(&Block, u64)> = vec![(&function.body, 1)];
        while let Some((block, depth)) = open.pop() {
            within("nesting", depth, limit)?;
            for statement in block {
                match statement {
                    Statement::Block(inner) => open.push((inner, depth + 1)),
                    Statement::If { accept, reject, .. } => {
                        open.push((accept, depth + 1));
                        open.push((reject, depth + 1));
                    }
                    Statement::Switch { cases, .. } => open.extend(cases.iter().map(|case| (&case.body, depth + 1))),
                    Statement::Loop { body, continuing, .. } => {
                        open.push((body, depth + 1));
                        open.push((continuing, depth + 1));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

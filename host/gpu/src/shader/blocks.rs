//! Nesting depth of blocks in naga's IR: a second check after [`super::nesting`], since lowering can add blocks.

use crate::{Error, error::within};
use naga::ir::{Block, Module, Statement};

/// Rejects functions with blocks nested deeper than `limit`. The check itself is not recursive.
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

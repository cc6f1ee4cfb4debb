//! How much code a driver would have to compile: drivers inline every call, so a chain of functions of which each
//! calls the next one twice is a few lines long and grows without bound.

use crate::{Error, error::within};
use naga::{
    Handle,
    ir::{Block, Expression, Function, Module, Statement, Type, TypeInner},
    proc::IndexableLength,
    valid::{FunctionInfo, ModuleInfo},
};
use std::collections::HashMap;

/// Refuses an entry point that expands to more than `limit` operations.
///
/// An operation is a statement, or one scalar of an expression's value: loading an array of a thousand numbers is a
/// thousand. A pointer counts one. Sums saturate.
pub(super) fn check(module: &Module, info: &ModuleInfo, entry: usize, limit: u64) -> Result<(), Error> {
    let scalars = scalars(module);
    let mut weights: HashMap<Handle<Function>, u64> = HashMap::new();
    // naga's order: a function comes after those it calls.
    for (handle, function) in module.functions.iter() {
        let weight = weigh(module, function, &info[handle], &scalars, &weights);
        weights.insert(handle, weight);
    }
    let Some(point) = module.entry_points.get(entry) else { return Ok(()) };
    within("operations", weigh(module, &point.function, info.get_entry_point(entry), &scalars, &weights), limit)
}

/// Scalars in a value of each type, saturating. Types come after those they are made of.
fn scalars(module: &Module) -> HashMap<Handle<Type>, u64> {
    let mut all = HashMap::new();
    for (handle, ty) in module.types.iter() {
        let count = count(module, &ty.inner, &all);
        all.insert(handle, count);
    }
    all
}

fn count(module: &Module, inner: &TypeInner, known: &HashMap<Handle<Type>, u64>) -> u64 {
    let of = |ty: &Handle<Type>| known.get(ty).copied().unwrap_or(u64::MAX);
    match inner {
        TypeInner::Vector { size, .. } => *size as u64,
        TypeInner::Matrix { columns, rows, .. } => *columns as u64 * *rows as u64,
        TypeInner::Array { base, size, .. } => match size.resolve(module.to_ctx()) {
            Ok(IndexableLength::Known(n)) => of(base).saturating_mul(u64::from(n)),
            // Only ever reached through a pointer.
            Ok(IndexableLength::Dynamic) => 1,
            Err(_) => u64::MAX,
        },
        TypeInner::Struct { members, .. } => members.iter().fold(0, |sum: u64, m| sum.saturating_add(of(&m.ty))),
        _ => 1,
    }
}

fn weigh(
    module: &Module,
    function: &Function,
    info: &FunctionInfo,
    scalars: &HashMap<Handle<Type>, u64>,
    weights: &HashMap<Handle<Function>, u64>,
) -> u64 {
    let mut sum = 0_u64;
    for (handle, expression) in function.expressions.iter() {
        let weight = match expression {
            // Names of what is there already.
            Expression::FunctionArgument(_) | Expression::GlobalVariable(_) | Expression::LocalVariable(_) => 0,
            _ => match info[handle].ty.handle() {
                Some(ty) => scalars.get(&ty).copied().unwrap_or(u64::MAX),
                None => count(module, info[handle].ty.inner_with(&module.types), scalars),
            },
        };
        sum = sum.saturating_add(weight);
    }
    // Variables start as zero, which takes a store for each scalar.
    for (_, variable) in function.local_variables.iter() {
        sum = sum.saturating_add(scalars.get(&variable.ty).copied().unwrap_or(u64::MAX));
    }
    let mut open: Vec<&Block> = vec![&function.body];
    while let Some(block) = open.pop() {
        for statement in block {
            sum = sum.saturating_add(1);
            match statement {
                Statement::Call { function, .. } => {
                    sum = sum.saturating_add(weights.get(function).copied().unwrap_or(u64::MAX));
                }
                Statement::Block(inner) => open.push(inner),
                Statement::If { accept, reject, .. } => open.extend([accept, reject]),
                Statement::Switch { cases, .. } => open.extend(cases.iter().map(|case| &case.body)),
                Statement::Loop { body, continuing, .. } => open.extend([body, continuing]),
                _ => {}
            }
        }
    }
    sum
}

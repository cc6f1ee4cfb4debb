//! Amount of code that a driver has to compile. Drivers inline every call, so the code of a short chain of functions,
//! each with two calls to the next one, grows exponentially.

use crate::{Error, error::within};
use naga::{
    Handle,
    ir::{Block, Expression, Function, Module, Statement, Type, TypeInner},
    proc::IndexableLength,
    valid::{FunctionInfo, ModuleInfo},
};
use std::collections::HashMap;

/// Rejects an entry point that expands to more than `limit` operations.
///
/// An operation is a statement, or one scalar of an expression's value: loading an array of a thousand numbers counts
/// as a thousand operations. A pointer counts as one. Sums saturate.
pub(super) fn check(module: &Module, info: &ModuleInfo, entry: usize, limit: u64) -> Result<(), Error> {
    let scalars = scalars(module);
    let mut weights: HashMap<Handle<Function>, u64> = HashMap::new();
    // In naga's order, a function comes after the functions it calls.
    for (handle, function) in module.functions.iter() {
        let weight = weigh(module, function, &info[handle], &scalars, &weights);
        weights.insert(handle, weight);
    }
    let Some(point) = module.entry_points.get(entry) else { return Ok(()) };
    within("operations", weigh(module, &point.function, info.get_entry_point(entry), &scalars, &weights), limit)
}

/// Returns the scalars in a value of each type, saturating. In naga's order, a type comes after its component types.
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
            // Reached only through a pointer.
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
            // References to existing values.
            Expression::FunctionArgument(_) | Expression::GlobalVariable(_) | Expression::LocalVariable(_) => 0,
            _ => match info[handle].ty.handle() {
                Some(ty) => scalars.get(&ty).copied().unwrap_or(u64::MAX),
                None => count(module, info[handle].ty.inner_with(&module.types), scalars),
            },
        };
        sum = sum.saturating_add(weight);
    }
    // Variables are initialized to zero, with one store per scalar.
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

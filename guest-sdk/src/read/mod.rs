//! Readers: the types of a map function's first argument.

mod columns;
mod csv;
mod json;
mod lines;
mod records;
mod whole;

pub use columns::F64Columns;
pub use csv::Csv;
pub use json::{Json, JsonLines};
pub use lines::Lines;
pub use records::Records;
pub use whole::{Bytes, Text};

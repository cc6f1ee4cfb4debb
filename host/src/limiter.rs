//! Memory and table limits, summed over everything one call instantiates.
//!
//! What grows is charged to the process's memory account before it is allocated. When the account is full the call ends with a
//! fault of the host and can be tried again: a guest never sees a growth fail because a node is busy.
//!
//! Growth beyond a limit ends the call rather than giving the guest -1: a limit is then always seen as what it is,
//! and a pure function fails at the same point wherever it runs.

use crate::fault::{Stop, Unit};
use fabric_types::{Code, Fault, limits::Limits, memory::Charge};
use std::sync::Arc;
use wasmtime::ResourceLimiter;

/// Bytes that the runtime keeps for each element of a table.
const TABLE_ELEMENT_BYTES: u64 = 16;

/// What a call's memories and tables may add up to.
pub(crate) struct Limiter {
    memory: u64,
    memory_limit: u64,
    tables: u64,
    table_limit: u64,
    charge: Arc<Charge>,
    unit: Unit,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits, unit: Unit, max_memory: u64, max_tables: u64, charge: Arc<Charge>) -> Self {
        Self {
            memory: 0,
            memory_limit: limits.memory_bytes.0.min(max_memory),
            tables: 0,
            table_limit: limits.table_elements.min(max_tables),
            charge,
            unit,
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add((desired as u64).saturating_sub(current as u64));
        if total > self.memory_limit {
            let message = format!("{total} bytes of memory were asked for, {} are allowed", self.memory_limit);
            return Err(Stop::error(Fault::new(Code::MemoryLimit, message).hint(self.unit.within("memory-bytes"))));
        }
        // The module's own maximum: the guest asked for it and is told so.
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.charge.grow(total - self.memory).map_err(Stop::error)?;
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.tables.saturating_add((desired as u64).saturating_sub(current as u64));
        if total > self.table_limit {
            let message = format!("{total} table elements were asked for, {} are allowed", self.table_limit);
            let hint = "raise `limits.table-elements` in fabric.toml";
            return Err(Stop::error(Fault::new(Code::TableLimit, message).hint(hint)));
        }
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.charge.grow((total - self.tables).saturating_mul(TABLE_ELEMENT_BYTES)).map_err(Stop::error)?;
        self.tables = total;
        Ok(true)
    }
}

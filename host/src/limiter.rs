//! Memory and table limits, summed over everything that one call instantiates.
//!
//! Growth is charged to the process's memory account before it is allocated. If the account is full, the call ends with
//! a fault of the host and can be retried: a guest never observes a failed growth because a node is busy.
//!
//! Growth beyond a limit ends the call instead of returning -1 to the guest. The failure is then always reported as a
//! limit, and a pure function fails at the same point on every node.

use crate::fault::{FaultError, WorkUnit};
use fabric_types::{Code, Fault, limits::Limits, memory::Charge};
use std::sync::Arc;
use wasmtime::ResourceLimiter;

/// Bytes of host memory for each element of a table.
const TABLE_ELEMENT_BYTES: u64 = 16;

/// Limits the sum of a call's memories and tables.
pub(crate) struct Limiter {
    memory: u64,
    memory_limit: u64,
    tables: u64,
    table_limit: u64,
    charge: Arc<Charge>,
    unit: WorkUnit,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits, unit: WorkUnit, max_memory: u64, max_tables: u64, charge: Arc<Charge>) -> Self {
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
            let message = format!("{total} bytes of memory were requested, {} are allowed", self.memory_limit);
            return Err(FaultError::error(
                Fault::new(Code::MemoryLimit, message).hint(self.unit.limit_hint("memory-bytes")),
            ));
        }
        // The module's own maximum: growth beyond it returns -1 to the guest.
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.charge.grow(total - self.memory).map_err(FaultError::error)?;
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.tables.saturating_add((desired as u64).saturating_sub(current as u64));
        if total > self.table_limit {
            let message = format!("{total} table elements were requested, {} are allowed", self.table_limit);
            let hint = "raise `limits.table-elements` in fabric.toml";
            return Err(FaultError::error(Fault::new(Code::TableLimit, message).hint(hint)));
        }
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.charge.grow((total - self.tables).saturating_mul(TABLE_ELEMENT_BYTES)).map_err(FaultError::error)?;
        self.tables = total;
        Ok(true)
    }
}

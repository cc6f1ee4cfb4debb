//! The pool of instance slots: sized by what was asked for, halved until the address space can hold it.

use crate::{engine, error::Error, options::Options};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Linear memory and tables that stay resident in an unused slot: below this, resetting a slot is a copy, not a
/// system call. Measured: halves the cost of a real component.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// Engines, each with a pool.
const POOLS: u64 = 2;

/// What one free slot keeps: no more than that all of them take an eighth of the memory account.
fn keep_resident(instances: u32, memory: u64) -> usize {
    let slots = POOLS * u64::from(instances.max(1)) * u64::from(MEMORIES_PER_CALL);
    let each = (memory / 8 / slots).min(KEEP_RESIDENT_BYTES as u64) & !0xffff;
    usize::try_from(each).unwrap_or(KEEP_RESIDENT_BYTES)
}

/// Bytes that free slots of a pool for `instances` calls keep at most.
pub(crate) fn kept(instances: u32, memory: u64) -> u64 {
    keep_resident(instances, memory) as u64 * POOLS * u64::from(instances) * u64::from(MEMORIES_PER_CALL)
}

/// Core instances a component may be made of; tool chains that adapt preview 1 make up to 5.
const CORE_PER_COMPONENT: u32 = 24;

/// Slots set aside for each concurrent call. A call that needs more shares in what others leave.
const MEMORIES_PER_CALL: u32 = 2;
const TABLES_PER_CALL: u32 = 3;
const CORES_PER_CALL: u32 = 6;

/// A pool for `instances` concurrent calls.
pub(crate) fn pooling(
    instances: u32,
    max_memory: usize,
    max_tables: usize,
    keep_resident: usize,
) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let per_component = 8;
    pool.total_component_instances(instances)
        .total_core_instances((instances * CORES_PER_CALL).max(CORE_PER_COMPONENT))
        .total_memories((instances * MEMORIES_PER_CALL).max(per_component))
        .total_tables((instances * TABLES_PER_CALL).max(2 * per_component))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_PER_COMPONENT)
        .max_memories_per_component(per_component)
        .max_tables_per_component(2 * per_component)
        .max_tables_per_module(4)
        .max_memories_per_module(4)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_memory_size(max_memory)
        .table_elements(max_tables)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// The settings of an engine with a pool, as [`crate::Host::bare_config`] hands them out.
pub(crate) fn config(pure: bool, instances: u32, options: &Options) -> Config {
    let mut config = engine::config(pure);
    let tables = usize::try_from(options.max_table_elements).unwrap_or(usize::MAX);
    let memory = options.max_memory_bytes.as_usize().min(4 << 30);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(
        instances,
        memory,
        tables,
        keep_resident(instances, options.memory.size()),
    )));
    config
}

/// Engines for pure functions and for all others, each with a pool of the returned size.
///
/// # Errors
/// [`Error::Pool`] when not even a single slot can be reserved.
pub(crate) fn engines(options: &Options) -> Result<(Engine, Engine, u32), Error> {
    let asked = options.max_instances.max(1);
    let mut instances = asked;
    loop {
        let pair = Engine::new(&config(true, instances, options))
            .and_then(|pure| Ok((pure, Engine::new(&config(false, instances, options))?)));
        match pair {
            Ok((pure, service)) => {
                if instances < asked {
                    tracing::warn!(asked, instances, "instance pool made smaller to fit the address space");
                }
                return Ok((pure, service, instances));
            }
            Err(error) if instances == 1 => return Err(Error::Pool(format!("{error:#}"))),
            Err(error) => {
                tracing::debug!(instances, %error, "instance pool does not fit");
                instances /= 2;
            }
        }
    }
}

//! The pool of instance slots. It has the requested size, halved until the address space can hold it.

use crate::{engine, error::Error, options::Options};
use fabric_types::EngineClass;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Bytes of linear memory that stay resident in an unused slot. Below this size, a slot is reset by a copy instead of a
/// system call. Measured: this halves the cost of a real component.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// Number of engines, each with a pool.
const POOLS: u64 = 2;

/// Returns the bytes that one free slot retains, so that all slots together retain at most an eighth of the memory
/// account.
fn keep_resident(instances: u32, memory: u64) -> usize {
    let slots = POOLS * u64::from(instances.max(1)) * u64::from(MEMORIES_PER_CALL);
    let each = (memory / 8 / slots).min(KEEP_RESIDENT_BYTES as u64) & !0xffff;
    usize::try_from(each).unwrap_or(KEEP_RESIDENT_BYTES)
}

/// Returns the bytes that free slots of the pools for `instances` calls retain at most.
pub(crate) fn kept(instances: u32, memory: u64) -> u64 {
    keep_resident(instances, memory) as u64 * POOLS * u64::from(instances) * u64::from(MEMORIES_PER_CALL)
}

/// Maximum number of core instances in a component. Tool chains that adapt preview 1 create up to 5.
const CORE_PER_COMPONENT: u32 = 24;

/// Resources set aside for each concurrent call. A call that needs more uses those that other calls leave free.
const MEMORIES_PER_CALL: u32 = 2;
const TABLES_PER_CALL: u32 = 3;
const CORES_PER_CALL: u32 = 6;

/// Returns the configuration of a pool for `instances` concurrent calls.
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

/// Returns the settings of an engine with a pool, for [`crate::Host::bare_config`].
pub(crate) fn config(class: EngineClass, instances: u32, options: &Options) -> Config {
    let mut config = engine::config(class);
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

/// Creates the deterministic and the general engine, each with a pool of the returned size.
///
/// # Errors
/// [`Error::Pool`] if not even a single slot can be reserved.
pub(crate) fn engines(options: &Options) -> Result<(Engine, Engine, u32), Error> {
    let asked = options.max_instances.max(1);
    let mut instances = asked;
    loop {
        let pair = Engine::new(&config(EngineClass::Deterministic, instances, options)).and_then(|deterministic| {
            Ok((deterministic, Engine::new(&config(EngineClass::General, instances, options))?))
        });
        match pair {
            Ok((deterministic, general)) => {
                if instances < asked {
                    tracing::warn!(asked, instances, "instance pool reduced to fit the address space");
                }
                return Ok((deterministic, general, instances));
            }
            Err(error) if instances == 1 => return Err(Error::Pool(format!("{error:#}"))),
            Err(error) => {
                tracing::debug!(instances, %error, "instance pool does not fit");
                instances /= 2;
            }
        }
    }
}

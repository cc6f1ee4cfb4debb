//! The parameters of a simulated world.

/// A world and its work. Probabilities are per mille.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Nodes, with 1 to `max_slots` slots and speeds from 0.5 to 2.
    pub nodes: u32,
    /// Maximum slots of a node.
    pub max_slots: u32,
    /// Jobs, all submitted within the first simulated second.
    pub jobs: u32,
    /// Maximum map tasks of a job. Each job has between half of it and all of it.
    pub tasks: u32,
    /// Tenants that share the jobs in turn. Every second tenant has a limit.
    pub tenants: u32,
    /// Mean work of a task in microseconds. Each task takes between half and one and a half times the mean.
    pub work_us: u64,
    /// Messages dropped, in each direction.
    pub drop: u32,
    /// Messages delivered twice.
    pub duplicate: u32,
    /// Maximum extra delay of a message in microseconds. Delays reorder messages.
    pub delay_us: u64,
    /// Attempts that fail with a retryable code.
    pub fail: u32,
    /// Nodes killed during the run. Each returns, empty, after 1 to 21 s.
    pub node_crashes: u32,
    /// Owners killed during the run. Another takes over after up to 18 s, with the journal as it is by then.
    pub owner_deaths: u32,
    /// Owners frozen during the run. Another takes over, and the frozen one continues briefly before it notices.
    pub owner_freezes: u32,
    /// Outages of NATS, of up to a minute. Every message is lost, in both directions.
    pub outages: u32,
    /// Times that a node loses its connection to NATS but not to the store, for up to 40 s. Its results count, and its
    /// messages are lost.
    pub lane_cuts: u32,
    /// Times that a node loses its connection to the store but not to NATS, for up to 40 s.
    pub store_cuts: u32,
    /// Times that a node freezes, for 16 to 56 s, which is longer than a lease.
    pub freezes: u32,
    /// Times that the owner's clock jumps, by up to a minute in either direction.
    pub clock_jumps: u32,
    /// Times that the network is bad, for up to 30 s: a third of the messages is lost, and the others take up to 5 s.
    pub storms: u32,
    /// `true` if heartbeats list the attempts on a node, as in production. Otherwise lost messages are found only when
    /// the node counts as lost.
    pub holds: bool,
    /// Tasks that take 50 times as long on their first attempt.
    pub slow: u32,
    /// Jobs whose first map task kills its node each time it runs.
    pub poison: u32,
    /// Maximum offset of a node's clock in either direction, in microseconds. Nodes stop work this long before the end
    /// of the lease.
    pub skew_us: u64,
}

impl Default for Scenario {
    /// Returns a world of 10 nodes without faults.
    fn default() -> Self {
        Self {
            nodes: 10,
            max_slots: 4,
            jobs: 3,
            tasks: 60,
            tenants: 2,
            work_us: 20_000,
            drop: 0,
            duplicate: 0,
            delay_us: 1000,
            fail: 0,
            node_crashes: 0,
            owner_deaths: 0,
            owner_freezes: 0,
            outages: 0,
            lane_cuts: 0,
            store_cuts: 0,
            freezes: 0,
            clock_jumps: 0,
            storms: 0,
            holds: true,
            slow: 0,
            poison: 0,
            skew_us: 0,
        }
    }
}

impl Scenario {
    /// Returns the world of a seed in the regression runs. The worlds of many seeds include every fault.
    #[must_use]
    pub fn varied(seed: u64) -> Self {
        let pick = |shift: u32, choices: &[u64]| {
            let at = usize::try_from((seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) % choices.len() as u64);
            at.ok().and_then(|at| choices.get(at)).copied().unwrap_or(0)
        };
        let small = |shift, choices: &[u64]| u32::try_from(pick(shift, choices)).unwrap_or(0);
        // Frequency of each of the major faults: two bits of another hash for each, so that they also occur together.
        let hash = (seed ^ 0x5EED).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let times = |nth: u32| [0, 0, 1, 3].get((hash >> (40 + 2 * nth)) as usize & 3).copied().unwrap_or(0);
        Self {
            nodes: small(3, &[1, 2, 5, 12]),
            max_slots: small(7, &[1, 2, 8]),
            jobs: small(11, &[1, 2, 4]),
            tasks: small(15, &[1, 7, 30, 80]),
            tenants: small(19, &[1, 2, 3]),
            work_us: pick(23, &[200, 20_000, 3_000_000]),
            drop: small(27, &[0, 0, 20, 150]),
            duplicate: small(31, &[0, 50, 300]),
            delay_us: pick(35, &[100, 20_000, 2_000_000]),
            fail: small(39, &[0, 10, 60]),
            node_crashes: small(43, &[0, 1, 4]),
            owner_deaths: small(47, &[0, 0, 1, 3]),
            owner_freezes: times(0),
            outages: times(1),
            lane_cuts: times(2),
            store_cuts: times(3),
            freezes: times(4),
            clock_jumps: times(5),
            storms: times(6),
            holds: true,
            slow: small(51, &[0, 30]),
            poison: u32::from((hash >> 54) & 3 == 3),
            skew_us: pick(53, &[0, 500_000, 1_900_000]),
        }
    }
}

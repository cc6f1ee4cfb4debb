//! What a simulated world is like.

/// A world and its work. Probabilities are per mille.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Nodes, of 1 to `max_slots` slots and speeds from 0.5 to 2.
    pub nodes: u32,
    /// Most slots of a node.
    pub max_slots: u32,
    /// Jobs, all submitted within the first simulated second.
    pub jobs: u32,
    /// Map tasks of each job: from half of it to all of it.
    pub tasks: u32,
    /// Tenants that the jobs are dealt to; every second one has a limit.
    pub tenants: u32,
    /// Usual work of a task in microseconds; each takes from half to one and a half times that.
    pub work_us: u64,
    /// Messages dropped, each way.
    pub drop: u32,
    /// Messages delivered twice.
    pub duplicate: u32,
    /// Longest extra delay of a message in microseconds; delays reorder.
    pub delay_us: u64,
    /// Attempts that fail and may be repeated.
    pub fail: u32,
    /// Node crashes over the whole run; each is back after up to 20 s.
    pub node_crashes: u32,
    /// Scheduler crashes over the whole run; each is back at once from the journal.
    pub scheduler_crashes: u32,
    /// Tasks that take 50 times as long, on their first try.
    pub slow: u32,
    /// Furthest that a node's clock is off, either way, in microseconds. Nodes stop work this long before the lease.
    pub skew_us: u64,
}

impl Default for Scenario {
    /// A calm world of 10 nodes.
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
            scheduler_crashes: 0,
            slow: 0,
            skew_us: 0,
        }
    }
}

impl Scenario {
    /// The world that a seed stands for in the regression runs: everything goes wrong in some of them.
    #[must_use]
    pub fn varied(seed: u64) -> Self {
        let pick = |shift: u32, choices: &[u64]| {
            let at = usize::try_from((seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) % choices.len() as u64);
            at.ok().and_then(|at| choices.get(at)).copied().unwrap_or(0)
        };
        let small = |shift, choices: &[u64]| u32::try_from(pick(shift, choices)).unwrap_or(0);
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
            scheduler_crashes: small(47, &[0, 0, 1, 3]),
            slow: small(51, &[0, 30]),
            skew_us: pick(53, &[0, 500_000, 1_900_000]),
        }
    }
}

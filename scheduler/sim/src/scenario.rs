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
    /// Nodes killed over the whole run; each is back, empty, after up to 20 s.
    pub node_crashes: u32,
    /// Owners killed over the whole run. Another takes over after up to 18 s, with what is in the journal by then.
    pub owner_deaths: u32,
    /// Owners frozen over the whole run: another takes over, and the old one goes on for a step before it notices.
    pub owner_freezes: u32,
    /// Times that NATS is gone, for up to a minute: every message is lost, both ways.
    pub outages: u32,
    /// Times that a node is cut off from NATS but not from the store, for up to 40 s: its results count, its messages don't.
    pub lane_cuts: u32,
    /// Times that a node is cut off from the store but not from NATS, for up to 40 s.
    pub store_cuts: u32,
    /// Times that a node stands still, for 16 to 56 s, which is longer than a lease, and then goes on.
    pub freezes: u32,
    /// Times that the owner's clock jumps, by up to a minute either way.
    pub clock_jumps: u32,
    /// Times that the network is bad for up to 30 s: a third of the messages is lost, the others take up to 5 s.
    pub storms: u32,
    /// Whether heartbeats say what a node holds, as they should. Without it lost messages are never found.
    pub holds: bool,
    /// Tasks that take 50 times as long, on their first try.
    pub slow: u32,
    /// Jobs whose first map task kills its node each time it has run.
    pub poison: u32,
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
    /// The world that a seed stands for in the regression runs: everything goes wrong in some of them.
    #[must_use]
    pub fn varied(seed: u64) -> Self {
        let pick = |shift: u32, choices: &[u64]| {
            let at = usize::try_from((seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) % choices.len() as u64);
            at.ok().and_then(|at| choices.get(at)).copied().unwrap_or(0)
        };
        let small = |shift, choices: &[u64]| u32::try_from(pick(shift, choices)).unwrap_or(0);
        // How often each of the greater faults strikes: two bits each of another hash, so that they come together, too.
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

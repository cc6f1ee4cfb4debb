//! Nodes, their load, and an index of those with room.
//!
//! A slot is divided into 1024 units. An attempt of a job whose tasks are queued `depth` deep occupies
//! `cpu_slots × 1024 / depth` units, so that jobs with long and short tasks share a node by time. An attempt at depth 1
//! is *long*; only short work may be ahead of it in a node's queue.

use crate::{
    NodeSpec, Time,
    hash::{IndexMap, IndexSet},
    task::AttemptKey,
};
use fabric_types::{function::EntryKind, gpu::GpuSupport, id::NodeId, label::Labels};
use std::collections::{BTreeMap, HashMap};

/// Units per slot.
pub(crate) const UNITS: u64 = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    Cordoned,
    Draining,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub id: NodeId,
    pub up: bool,
    /// `true` if the lease expired and no heartbeat has arrived since.
    pub silent: bool,
    pub mode: Mode,
    pub slots: u32,
    pub memory: u64,
    /// Announced speed.
    pub speed: f64,
    /// Measured task times relative to those expected at the announced speed; 1 before any measurement.
    slowdown: f64,
    pub units: u64,
    pub long_units: u64,
    pub mem: u64,
    pub long_mem: u64,
    pub gpus: u32,
    pub gpus_taken: u32,
    /// Support of the shared GPU.
    pub gpu: GpuSupport,
    pub labels: Labels,
    pub accepts: Vec<EntryKind>,
    pub attempts: IndexSet<AttemptKey>,
    pub lease_until: Time,
    pub lease_timer: bool,
    /// `true` while the node receives no new work, so that it becomes empty for a suspect.
    pub reserved: bool,
    /// Attempt of a suspect that has the node to itself, and the end of that period.
    pub exclusive: Option<(AttemptKey, Time)>,
    place: Option<(u8, u32)>,
}

/// The resources that one attempt needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    pub slots: u32,
    pub memory: u64,
    pub gpus: u32,
}

/// Weight of a new measurement of a node's slowdown, and the largest value of one: tasks vary more than nodes.
const EWMA_WEIGHT: f64 = 1.0 / 8.0;
const MAX_SLOWDOWN: f64 = 16.0;

/// The resources that one attempt occupies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub units: u64,
    pub mem: u64,
    pub gpus: u32,
    pub long: bool,
}

impl Load {
    pub fn new(demand: Demand, depth: u16) -> Self {
        let depth64 = u64::from(depth.max(1));
        Self {
            units: (u64::from(demand.slots) * UNITS / depth64).max(1),
            mem: demand.memory / depth64,
            gpus: demand.gpus,
            long: depth <= 1,
        }
    }
}

impl Node {
    pub fn capacity(&self) -> u64 {
        u64::from(self.slots) * UNITS
    }

    /// Returns the measured speed.
    pub fn measured_speed(&self) -> f64 {
        self.speed / self.slowdown
    }

    /// Reports whether the node is up, responsive and open, even if it is reserved for a suspect.
    pub fn is_open(&self) -> bool {
        self.up && !self.silent && self.mode == Mode::Open
    }

    pub fn is_ready(&self) -> bool {
        self.is_open() && !self.reserved && self.exclusive.is_none()
    }

    pub fn free_units(&self) -> u64 {
        self.capacity().saturating_sub(self.units)
    }

    pub fn free_gpus(&self) -> u32 {
        self.gpus.saturating_sub(self.gpus_taken)
    }
}

/// The nodes, by index. A node keeps its index forever.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    all: Vec<Node>,
    by_id: HashMap<NodeId, u32>,
    /// Ready nodes with free units, by the binary logarithm of their free units.
    buckets: BTreeMap<u8, Vec<u32>>,
    open: usize,
    ready: usize,
    max_speed: f64,
    pub cursor: usize,
}

impl Nodes {
    pub fn find(&self, id: &NodeId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub fn get(&self, ix: u32) -> Option<&Node> {
        self.all.get(ix as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Node)> {
        (0u32..).zip(self.all.iter())
    }

    /// Returns the number of ready nodes with free units.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Returns the number of ready nodes, with or without free units.
    pub fn ready(&self) -> usize {
        self.ready
    }

    pub fn max_speed(&self) -> f64 {
        if self.max_speed > 0.0 { self.max_speed } else { 1.0 }
    }

    /// Returns the index of `id`, and adds the node if it is new.
    pub fn intern(&mut self, id: &NodeId) -> u32 {
        if let Some(ix) = self.by_id.get(id) {
            return *ix;
        }
        let ix = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(Node {
            id: id.clone(),
            up: false,
            silent: false,
            mode: Mode::Open,
            slots: 0,
            memory: 0,
            speed: 1.0,
            slowdown: 1.0,
            units: 0,
            long_units: 0,
            mem: 0,
            long_mem: 0,
            gpus: 0,
            gpus_taken: 0,
            gpu: GpuSupport::None,
            labels: Labels::new(),
            accepts: Vec::new(),
            attempts: IndexSet::default(),
            lease_until: Time(0),
            lease_timer: false,
            reserved: false,
            exclusive: None,
            place: None,
        });
        self.by_id.insert(id.clone(), ix);
        ix
    }

    /// Changes a node and updates the index.
    pub fn change<R>(&mut self, ix: u32, f: impl FnOnce(&mut Node) -> R) -> Option<R> {
        let node = self.all.get_mut(ix as usize)?;
        let was_ready = node.is_ready();
        let result = f(node);
        let (is_ready, speed) = (node.is_ready(), node.speed);
        match (was_ready, is_ready) {
            (false, true) => self.ready += 1,
            (true, false) => self.ready -= 1,
            _ => {}
        }
        self.max_speed = self.max_speed.max(speed);
        self.place(ix);
        Some(result)
    }

    pub fn set_spec(node: &mut Node, spec: &NodeSpec) {
        node.slots = spec.slots;
        node.memory = spec.memory_bytes;
        let speed = f64::from(spec.speed);
        node.speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        node.gpus = spec.gpus;
        node.gpu = spec.gpu;
        node.labels.clone_from(&spec.labels);
        node.accepts.clone_from(&spec.accepts);
    }

    /// Records that a task took `times` as long as expected at the node's speed.
    pub fn measure(&mut self, ix: u32, times: f64) {
        if let Some(node) = self.all.get_mut(ix as usize) {
            node.slowdown += (times.clamp(1.0 / MAX_SLOWDOWN, MAX_SLOWDOWN) - node.slowdown) * EWMA_WEIGHT;
        }
    }

    /// Discards the measurements of a node.
    pub fn reset_measurements(node: &mut Node) {
        node.slowdown = 1.0;
    }

    pub fn take(&mut self, ix: u32, key: AttemptKey, load: Load) {
        if let Some(node) = self.all.get_mut(ix as usize)
            && node.attempts.insert(key)
        {
            node.units += load.units;
            node.mem += load.mem;
            node.gpus_taken += load.gpus;
            if load.long {
                node.long_units += load.units;
                node.long_mem += load.mem;
            }
        }
        self.place(ix);
    }

    pub fn release(&mut self, ix: u32, key: AttemptKey, load: Load) {
        if let Some(node) = self.all.get_mut(ix as usize)
            && node.attempts.remove(&key)
        {
            let was_ready = node.is_ready();
            if node.exclusive.is_some_and(|(exclusive, _)| exclusive == key) {
                node.exclusive = None;
            }
            self.ready += usize::from(!was_ready && node.is_ready());
            node.units -= load.units;
            node.mem -= load.mem;
            node.gpus_taken -= load.gpus;
            if load.long {
                node.long_units -= load.units;
                node.long_mem -= load.mem;
            }
        }
        self.place(ix);
    }

    /// Moves a node to the bucket of its free units.
    fn place(&mut self, ix: u32) {
        let Some(node) = self.all.get(ix as usize) else { return };
        let free = if node.is_ready() { node.free_units() } else { 0 };
        let want = free.checked_ilog2().and_then(|b| u8::try_from(b).ok());
        let old = node.place;
        if old.map(|(b, _)| b) == want {
            return;
        }
        if let Some((bucket, at)) = old {
            self.open -= 1;
            if let Some(members) = self.buckets.get_mut(&bucket) {
                members.swap_remove(at as usize);
                let moved = members.get(at as usize).copied();
                if members.is_empty() {
                    self.buckets.remove(&bucket);
                }
                if let Some(moved) = moved.and_then(|m| self.all.get_mut(m as usize)) {
                    moved.place = Some((bucket, at));
                }
            }
        }
        let new = want.map(|bucket| {
            self.open += 1;
            let members = self.buckets.entry(bucket).or_default();
            members.push(ix);
            (bucket, u32::try_from(members.len() - 1).unwrap_or(u32::MAX))
        });
        if let Some(node) = self.all.get_mut(ix as usize) {
            node.place = new;
        }
    }

    /// Returns at most `limit` suitable open nodes, starting with the bucket with the most free units. Within a bucket,
    /// the first node rotates with [`Self::cursor`].
    pub fn candidates<'a>(
        &'a self,
        limit: usize,
        suits: impl Fn(&Node) -> bool + 'a,
    ) -> impl Iterator<Item = u32> + 'a {
        let cursor = self.cursor;
        self.buckets
            .values()
            .rev()
            .flat_map(move |members| {
                let at = cursor.checked_rem(members.len()).unwrap_or(0);
                let (head, tail) = members.split_at(at);
                tail.iter().chain(head).copied()
            })
            .filter(move |ix| self.get(*ix).is_some_and(&suits))
            .take(limit)
    }

    pub fn check(&self) -> Result<(), String> {
        let mut open = 0;
        for (ix, node) in self.iter() {
            let free = if node.is_ready() { node.free_units() } else { 0 };
            let want = free.checked_ilog2().and_then(|b| u8::try_from(b).ok());
            if node.place.map(|(b, _)| b) != want {
                return Err(format!("node {} is in bucket {:?} and belongs in {want:?}", node.id, node.place));
            }
            if let Some((bucket, at)) = node.place {
                open += 1;
                if self.buckets.get(&bucket).and_then(|m| m.get(at as usize)) != Some(&ix) {
                    return Err(format!("node {} is not at its recorded place", node.id));
                }
            }
        }
        let ready = self.all.iter().filter(|n| n.is_ready()).count();
        if open != self.open || ready != self.ready {
            return Err(format!("{open} open and {ready} ready nodes, counted {} and {}", self.open, self.ready));
        }
        Ok(())
    }
}

/// Number of attempts of one job, by node.
pub(crate) type PerNode = IndexMap<u32, u32>;

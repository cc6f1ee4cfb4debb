//! A queue for places that tenants compete for. Pure: no clock, no locks, no tasks; [`crate::slots`] puts it to use.
//!
//! There are two levels, parties (tenants) and their lanes (functions). Rules, for `capacity` places of which `reserve`
//! are set aside:
//!
//! - A party never takes the reserve while it holds more than its fair share (capacity divided by active parties), so
//!   one party alone leaves `reserve` places free for the next to come.
//! - A lane leaves as much again to the other lanes of its party.
//! - While others wait nobody overtakes: a place that becomes free goes to the waiting party that holds the fewest, of
//!   those to the one served longest ago; then by the same rule to a lane of it; there first come, first served.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Bounds of a [`FairQueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Places.
    pub capacity: usize,
    /// Places that a party above its share leaves free.
    pub reserve: usize,
    /// Waiters of one party.
    pub party_waiters: usize,
    /// Waiters of all parties together.
    pub waiters: usize,
}

impl QueueLimits {
    /// `capacity` places with an eighth of them in reserve, where there are at least four. Each party may have twice as
    /// many waiters as there are places, at least 64; all together eight times as many.
    #[must_use]
    pub fn for_capacity(capacity: usize) -> Self {
        let reserve = if capacity < 4 { 0 } else { (capacity / 8).max(1) };
        let party_waiters = capacity.saturating_mul(2).max(64);
        Self { capacity, reserve, party_waiters, waiters: party_waiters.saturating_mul(4) }
    }
}

/// Names a waiter of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// The bound that kept a waiter out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueFull {
    /// The party has as many waiters as it may have.
    Party,
    /// All parties together have.
    All,
}

/// Places, and waiters of type `W` for them. A party or lane is forgotten when it holds nothing and nobody waits.
#[derive(Debug)]
pub struct FairQueue<P, L, W> {
    limits: QueueLimits,
    held: usize,
    waiting: usize,
    /// Counts grants and tickets, which makes both of them unique and ordered.
    sequence: u64,
    parties: HashMap<P, Party<L, W>>,
}

#[derive(Debug)]
struct Party<L, W> {
    held: usize,
    waiting: usize,
    served: u64,
    lanes: HashMap<L, Lane<W>>,
}

#[derive(Debug)]
struct Lane<W> {
    held: usize,
    served: u64,
    waiters: VecDeque<(Ticket, W)>,
}

impl<L, W> Party<L, W> {
    fn new(served: u64) -> Self {
        Self { held: 0, waiting: 0, served, lanes: HashMap::new() }
    }
}

impl<W> Lane<W> {
    fn new(served: u64) -> Self {
        Self { held: 0, served, waiters: VecDeque::new() }
    }
}

impl<P: Hash + Eq + Clone, L: Hash + Eq + Clone, W> FairQueue<P, L, W> {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        Self { limits, held: 0, waiting: 0, sequence: 0, parties: HashMap::new() }
    }

    /// Places that are taken.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Waiters.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes a place if one is free for this lane now and nobody is waiting who comes first.
    pub fn try_acquire(&mut self, party: &P, lane: &L) -> bool {
        // A waiter that could be served has been: those that wait now are above their share, or nothing is free.
        let blocked = self.parties.get(party).is_some_and(|p| p.waiting > 0);
        if blocked || !self.may_take(party, lane) {
            return false;
        }
        self.take(party, lane);
        true
    }

    /// Adds a waiter. `bounded`: whether the bounds on waiters hold for it.
    ///
    /// # Errors
    /// Gives the waiter back with the bound that kept it out.
    pub fn enqueue(&mut self, party: &P, lane: &L, waiter: W, bounded: bool) -> Result<Ticket, (W, QueueFull)> {
        let own = self.parties.get(party).map_or(0, |p| p.waiting);
        if bounded && own >= self.limits.party_waiters {
            return Err((waiter, QueueFull::Party));
        }
        if bounded && self.waiting >= self.limits.waiters {
            return Err((waiter, QueueFull::All));
        }
        self.sequence += 1;
        let now = self.sequence;
        let ticket = Ticket(now);
        // Who has never been served counts as served when it came, so that no two are alike.
        let entry = self.parties.entry(party.clone()).or_insert_with(|| Party::new(now));
        entry.waiting += 1;
        entry.lanes.entry(lane.clone()).or_insert_with(|| Lane::new(now)).waiters.push_back((ticket, waiter));
        self.waiting += 1;
        Ok(ticket)
    }

    /// Takes a waiter out that gave up; `None` when it was served before.
    pub fn remove(&mut self, party: &P, lane: &L, ticket: Ticket) -> Option<W> {
        let entry = self.parties.get_mut(party)?;
        let waiters = &mut entry.lanes.get_mut(lane)?.waiters;
        let at = waiters.iter().position(|(t, _)| *t == ticket)?;
        let (_, waiter) = waiters.remove(at)?;
        entry.waiting -= 1;
        self.waiting -= 1;
        self.tidy(party, lane);
        Some(waiter)
    }

    /// Gives a place back. Call [`Self::take_next`] afterwards until it gives none.
    pub fn release(&mut self, party: &P, lane: &L) {
        let Some(entry) = self.parties.get_mut(party) else { return };
        let Some(of_lane) = entry.lanes.get_mut(lane) else { return };
        of_lane.held = of_lane.held.saturating_sub(1);
        entry.held = entry.held.saturating_sub(1);
        self.held = self.held.saturating_sub(1);
        self.tidy(party, lane);
    }

    /// Grants a free place to the waiter whose turn it is.
    pub fn take_next(&mut self) -> Option<W> {
        if self.waiting == 0 || self.held >= self.limits.capacity {
            return None;
        }
        let (party, lane) = self.turn()?;
        self.take(&party, &lane);
        let entry = self.parties.get_mut(&party)?;
        let (_, waiter) = entry.lanes.get_mut(&lane)?.waiters.pop_front()?;
        entry.waiting -= 1;
        self.waiting -= 1;
        Some(waiter)
    }

    /// The party and lane whose waiter comes next, of those that may take a place.
    fn turn(&self) -> Option<(P, L)> {
        let mut best: Option<((usize, u64), &P, &L)> = None;
        for (party, entry) in self.parties.iter().filter(|(_, p)| p.waiting > 0) {
            let rank = (entry.held, entry.served);
            if best.as_ref().is_some_and(|(least, ..)| *least <= rank) {
                continue;
            }
            let lane = entry
                .lanes
                .iter()
                .filter(|(lane, l)| !l.waiters.is_empty() && self.may_take(party, lane))
                .min_by_key(|(_, l)| (l.held, l.served));
            if let Some((lane, _)) = lane {
                best = Some((rank, party, lane));
            }
        }
        best.map(|(_, party, lane)| (party.clone(), lane.clone()))
    }

    /// Whether the rules let this lane take a free place.
    fn may_take(&self, party: &P, lane: &L) -> bool {
        let QueueLimits { capacity, reserve, .. } = self.limits;
        let free = capacity.saturating_sub(self.held);
        let Some(entry) = self.parties.get(party) else { return free > 0 };
        let of_lane = entry.lanes.get(lane).map_or(0, |l| l.held);
        if free == 0 {
            return false;
        }
        if entry.held == 0 {
            return true;
        }
        let share = capacity / self.parties.len().max(1);
        let in_share = self.parties.len() > 1 && entry.held < share;
        if !in_share && free <= reserve {
            return false;
        }
        // The first call of a lane needs no room beside it.
        of_lane == 0 || of_lane < capacity.saturating_sub(2 * reserve)
    }

    fn take(&mut self, party: &P, lane: &L) {
        self.sequence += 1;
        let served = self.sequence;
        self.held += 1;
        if !self.parties.contains_key(party) {
            self.parties.insert(party.clone(), Party::new(served));
        }
        let Some(entry) = self.parties.get_mut(party) else { return };
        entry.held += 1;
        entry.served = served;
        if let Some(of_lane) = entry.lanes.get_mut(lane) {
            of_lane.held += 1;
            of_lane.served = served;
        } else {
            entry.lanes.insert(lane.clone(), Lane { held: 1, ..Lane::new(served) });
        }
    }

    fn tidy(&mut self, party: &P, lane: &L) {
        let Some(entry) = self.parties.get_mut(party) else { return };
        if entry.lanes.get(lane).is_some_and(|l| l.held == 0 && l.waiters.is_empty()) {
            entry.lanes.remove(lane);
        }
        if entry.lanes.is_empty() {
            self.parties.remove(party);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    type Queue = FairQueue<&'static str, &'static str, u32>;

    fn queue(capacity: usize, reserve: usize) -> Queue {
        FairQueue::new(QueueLimits { capacity, reserve, party_waiters: 4, waiters: 6 })
    }

    fn fill(queue: &mut Queue, party: &'static str, lane: &'static str) -> usize {
        let mut taken = 0;
        while queue.try_acquire(&party, &lane) {
            taken += 1;
        }
        taken
    }

    #[test]
    fn one_party_leaves_the_reserve_and_one_lane_twice_as_much() {
        let mut queue = queue(16, 2);
        assert_eq!(fill(&mut queue, "a", "f"), 12);
        assert_eq!(fill(&mut queue, "a", "g"), 2, "another function of the same tenant");
        assert_eq!(fill(&mut queue, "b", "f"), 2, "another tenant");
        assert_eq!(queue.held(), 16);
        assert_eq!(fill(&mut queue, "c", "f"), 0);
    }

    #[test]
    fn small_pools_serve_everybody() {
        let mut queue = FairQueue::<_, _, u32>::new(QueueLimits::for_capacity(1));
        assert!(queue.try_acquire(&"a", &"f"));
        assert!(!queue.try_acquire(&"b", &"f"));
        queue.release(&"a", &"f");
        assert!(queue.try_acquire(&"b", &"f"));
    }

    #[test]
    fn a_free_place_goes_to_the_party_that_holds_the_fewest() {
        let mut queue = queue(8, 1);
        fill(&mut queue, "a", "f");
        fill(&mut queue, "a", "g");
        fill(&mut queue, "b", "f");
        assert_eq!(queue.held(), 8);
        for waiter in 0..3 {
            queue.enqueue(&"a", &"f", waiter, true).unwrap();
        }
        queue.enqueue(&"b", &"f", 10, true).unwrap();
        queue.enqueue(&"c", &"f", 20, true).unwrap();
        queue.enqueue(&"c", &"f", 21, true).unwrap();
        let mut order = Vec::new();
        for _ in 0..5 {
            queue.release(&"a", &"f");
            order.extend(queue.take_next());
        }
        // c holds none; then b and c hold one each, of which b was served longer ago. a leaves the reserve free.
        assert_eq!(order, [20, 10, 21, 0]);
        assert_eq!(queue.held(), 7);
    }

    #[test]
    fn lanes_of_a_party_take_turns() {
        let mut queue = queue(4, 0);
        assert_eq!(fill(&mut queue, "a", "f"), 4);
        for (lane, waiter) in [("f", 0), ("f", 1), ("g", 10), ("g", 11)] {
            queue.enqueue(&"a", &lane, waiter, true).unwrap();
        }
        let mut order = Vec::new();
        for _ in 0..3 {
            queue.release(&"a", &"f");
            order.extend(queue.take_next());
        }
        assert_eq!(order, [10, 11, 0]);
    }

    #[test]
    fn waiters_are_bounded_and_can_give_up() {
        let mut queue = queue(1, 0);
        assert!(queue.try_acquire(&"a", &"f"));
        let tickets: Vec<_> = (0..4).map(|n| queue.enqueue(&"a", &"f", n, true).unwrap()).collect();
        assert_eq!(queue.enqueue(&"a", &"f", 4, true).unwrap_err(), (4, QueueFull::Party));
        queue.enqueue(&"b", &"f", 5, true).unwrap();
        queue.enqueue(&"b", &"f", 6, true).unwrap();
        assert_eq!(queue.enqueue(&"c", &"f", 7, true).unwrap_err(), (7, QueueFull::All));
        queue.enqueue(&"c", &"f", 8, false).unwrap();
        assert_eq!(queue.remove(&"a", &"f", tickets[0]), Some(0));
        assert_eq!(queue.remove(&"a", &"f", tickets[0]), None);
        queue.release(&"a", &"f");
        assert_eq!([queue.take_next(), queue.take_next()], [Some(1), None]);
        queue.release(&"a", &"f");
        assert_eq!(queue.take_next(), Some(5), "the parties take turns");
        assert_eq!(queue.waiting(), 4);
    }

    #[test]
    fn a_queue_that_is_left_is_empty() {
        let mut queue = queue(2, 0);
        assert!(queue.try_acquire(&"a", &"f") && queue.try_acquire(&"b", &"g"));
        let ticket = queue.enqueue(&"c", &"h", 1, true).unwrap();
        assert_eq!(queue.remove(&"c", &"h", ticket), Some(1));
        queue.release(&"a", &"f");
        queue.release(&"b", &"g");
        queue.release(&"b", &"g");
        assert_eq!((queue.held(), queue.waiting(), queue.parties.len()), (0, 0, 0));
    }

    /// Parties that always want more hold equal shares in the end, whoever came first and however many wait.
    #[test]
    fn greedy_parties_end_up_with_equal_shares() {
        let mut queue = FairQueue::<u32, u32, u32>::new(QueueLimits::for_capacity(64));
        while queue.try_acquire(&0, &0) {}
        for party in 0..4 {
            for _ in 0..64 {
                let _ = queue.enqueue(&party, &0, party, true);
            }
        }
        while queue.take_next().is_some() {}
        let held = |queue: &FairQueue<u32, u32, u32>| -> Vec<usize> {
            (0..4).map(|p| queue.parties.get(&p).map_or(0, |p| p.held)).collect()
        };
        for _ in 0..48 {
            queue.release(&0, &0);
            while queue.take_next().is_some() {}
        }
        assert_eq!(held(&queue), [16, 16, 16, 16]);
    }
}

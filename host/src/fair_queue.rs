//! A fair queue for places that tenants compete for. It has no clock, locks or tasks; [`crate::slots`] adds them.
//!
//! There are two levels: parties (tenants) and their lanes (functions). Rules for `capacity` places, of which `reserve`
//! are set aside:
//!
//! - A party takes the last `reserve` places only if it holds none, or less than its fair share (capacity divided by
//!   active parties) while other parties are active. A single party thus leaves `reserve` places free for the next one.
//! - A lane leaves another `reserve` places to the other lanes of its party.
//! - Waiters are not overtaken. A free place goes to the waiting party that holds the fewest; among equals, to the one
//!   served least recently. The same rule selects a lane of that party. Within a lane, waiters are served in order.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Bounds of a [`FairTurns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnLimits {
    /// Number of places.
    pub capacity: usize,
    /// Places set aside from parties at or above their fair share.
    pub reserve: usize,
    /// Maximum number of waiters of one party.
    pub party_waiters: usize,
    /// Maximum number of waiters of all parties.
    pub waiters: usize,
}

impl TurnLimits {
    /// Returns limits for `capacity` places. The reserve is an eighth of them and at least one, or zero if there are
    /// fewer than four. A party may have twice as many waiters as there are places, at least 64; all parties together,
    /// four times that.
    #[must_use]
    pub fn for_capacity(capacity: usize) -> Self {
        let reserve = if capacity < 4 { 0 } else { (capacity / 8).max(1) };
        let party_waiters = capacity.saturating_mul(2).max(64);
        Self { capacity, reserve, party_waiters, waiters: party_waiters.saturating_mul(4) }
    }
}

/// Identifies a waiter of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// The bound that rejected a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueFull {
    /// The party has too many waiters.
    Party,
    /// All parties together have too many waiters.
    All,
}

/// Places, and the waiters of type `W` for them. Parties and lanes without places and waiters are removed.
#[derive(Debug)]
pub struct FairTurns<P, L, W> {
    limits: TurnLimits,
    held: usize,
    waiting: usize,
    /// Counter of grants and tickets, which makes both unique and ordered.
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

impl<P: Hash + Eq + Clone, L: Hash + Eq + Clone, W> FairTurns<P, L, W> {
    /// Creates an empty queue.
    #[must_use]
    pub fn new(limits: TurnLimits) -> Self {
        Self { limits, held: 0, waiting: 0, sequence: 0, parties: HashMap::new() }
    }

    /// Returns the number of places that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Returns the number of waiters.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes a place if one is free for this lane now and no waiter has precedence. Returns `true` if it took one.
    pub fn try_acquire(&mut self, party: &P, lane: &L) -> bool {
        // Every waiter that could be served already was. The remaining ones are above their share, or no place is free.
        let blocked = self.parties.get(party).is_some_and(|p| p.waiting > 0);
        if blocked || !self.may_take(party, lane) {
            return false;
        }
        self.take(party, lane);
        true
    }

    /// Adds a waiter. The bounds on waiters apply if `bounded` is `true`.
    ///
    /// # Errors
    /// Returns the waiter with the bound that rejected it.
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
        // A new party or lane counts as served on arrival, so that no two rank equally.
        let entry = self.parties.entry(party.clone()).or_insert_with(|| Party::new(now));
        entry.waiting += 1;
        entry.lanes.entry(lane.clone()).or_insert_with(|| Lane::new(now)).waiters.push_back((ticket, waiter));
        self.waiting += 1;
        Ok(ticket)
    }

    /// Removes a waiter that gave up. Returns `None` if it was already served.
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

    /// Releases a place. Call [`Self::take_next`] afterwards until it returns `None`.
    pub fn release(&mut self, party: &P, lane: &L) {
        let Some(entry) = self.parties.get_mut(party) else { return };
        let Some(of_lane) = entry.lanes.get_mut(lane) else { return };
        of_lane.held = of_lane.held.saturating_sub(1);
        entry.held = entry.held.saturating_sub(1);
        self.held = self.held.saturating_sub(1);
        self.tidy(party, lane);
    }

    /// Grants a free place to the next waiter.
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

    /// Returns the party and lane of the next waiter that may take a place.
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

    /// Reports whether the rules let this lane take a free place.
    fn may_take(&self, party: &P, lane: &L) -> bool {
        let TurnLimits { capacity, reserve, .. } = self.limits;
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
        // The first place of a lane is exempt from the lane's limit.
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
    use super::*;

    type Queue = FairTurns<&'static str, &'static str, u32>;

    fn queue(capacity: usize, reserve: usize) -> Queue {
        FairTurns::new(TurnLimits { capacity, reserve, party_waiters: 4, waiters: 6 })
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
        let mut queue = FairTurns::<_, _, u32>::new(TurnLimits::for_capacity(1));
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
        // c holds none. Then b and c hold one each, and b was served less recently. a leaves the reserve free.
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

    /// Parties with unlimited demand end up with equal shares, independent of arrival order and number of waiters.
    #[test]
    fn greedy_parties_end_up_with_equal_shares() {
        let mut queue = FairTurns::<u32, u32, u32>::new(TurnLimits::for_capacity(64));
        while queue.try_acquire(&0, &0) {}
        for party in 0..4 {
            for _ in 0..64 {
                let _ = queue.enqueue(&party, &0, party, true);
            }
        }
        while queue.take_next().is_some() {}
        let held = |queue: &FairTurns<u32, u32, u32>| -> Vec<usize> {
            (0..4).map(|p| queue.parties.get(&p).map_or(0, |p| p.held)).collect()
        };
        for _ in 0..48 {
            queue.release(&0, &0);
            while queue.take_next().is_some() {}
        }
        assert_eq!(held(&queue), [16, 16, 16, 16]);
    }
}

//! A bounded queue for a limited number of permits, shared between keys, such as tenants.
//!
//! Requests of one key are served in order, and keys are served round robin. A key holds at most [`Bounds::per_key`]
//! permits, so that one key alone can't hold all of them, and has at most [`Bounds::waiting_per_key`] waiting requests.
//! [`Order`] is the pure state machine, without tasks, clocks or locks. [`RoundRobin`] is its asynchronous handle.

use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
};
use tokio::sync::oneshot;

/// The bounds of a queue. A value of 0 counts as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Maximum number of permits held at once.
    pub(crate) permits: usize,
    /// Maximum number of permits that one key holds at once.
    pub(crate) per_key: usize,
    /// Maximum number of waiting requests of one key.
    pub(crate) waiting_per_key: usize,
    /// Maximum number of waiting requests in total.
    pub(crate) waiting: usize,
}

/// The reason a request was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Too many requests of this key are waiting.
    #[error("too many requests of the same key are waiting")]
    Key,
    /// Too many requests of all keys are waiting.
    #[error("too many requests are waiting")]
    Total,
}

/// Identifies a request in an [`Order`].
type Ticket = u64;

/// The state of a queue.
#[derive(Debug)]
pub(crate) struct Order<K> {
    bounds: Bounds,
    /// Permits held, by key. Keys without permits are absent.
    held: HashMap<K, usize>,
    held_total: usize,
    /// Waiting requests, by key. Keys without waiting requests are absent.
    waiting: HashMap<K, VecDeque<Ticket>>,
    waiting_total: usize,
    /// Keys of `waiting`. The first one is served next.
    turns: VecDeque<K>,
    next: Ticket,
}

impl<K: Eq + Hash + Clone> Order<K> {
    /// Creates an empty queue.
    #[must_use]
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            held: HashMap::new(),
            held_total: 0,
            waiting: HashMap::new(),
            waiting_total: 0,
            turns: VecDeque::new(),
            next: 0,
        }
    }

    /// Adds a request to the queue. It holds no permit until [`Self::grant`] returns its ticket.
    ///
    /// # Errors
    /// [`Refused`] if the request would have to wait and too many are waiting.
    pub(crate) fn enter(&mut self, key: K) -> Result<Ticket, Refused> {
        let of_key = self.waiting.get(&key).map_or(0, VecDeque::len);
        if !self.runs_at_once(&key) {
            if of_key >= self.bounds.waiting_per_key.max(1) {
                return Err(Refused::Key);
            }
            if self.waiting_total >= self.bounds.waiting.max(1) {
                return Err(Refused::Total);
            }
        }
        let ticket = self.next;
        self.next = self.next.wrapping_add(1);
        if of_key == 0 {
            self.turns.push_back(key.clone());
        }
        self.waiting.entry(key).or_default().push_back(ticket);
        self.waiting_total += 1;
        Ok(ticket)
    }

    fn runs_at_once(&self, key: &K) -> bool {
        self.held_total < self.bounds.permits.max(1) && !self.at_share(key) && !self.waiting.contains_key(key)
    }

    fn at_share(&self, key: &K) -> bool {
        self.held.get(key).copied().unwrap_or(0) >= self.bounds.per_key.max(1)
    }

    /// Grants a permit to the next eligible request. Call this after every other method, until it returns `None`.
    pub(crate) fn grant(&mut self) -> Option<Ticket> {
        if self.held_total >= self.bounds.permits.max(1) {
            return None;
        }
        let at = self.turns.iter().position(|key| !self.at_share(key))?;
        let key = self.turns.remove(at)?;
        let line = self.waiting.get_mut(&key)?;
        let ticket = line.pop_front()?;
        self.waiting_total -= 1;
        if line.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.turns.push_back(key.clone());
        }
        *self.held.entry(key).or_insert(0) += 1;
        self.held_total += 1;
        Some(ticket)
    }

    /// Ends a request: removes it from the queue, or returns its permit.
    pub(crate) fn end(&mut self, key: &K, ticket: Ticket) {
        if let Some(line) = self.waiting.get_mut(key)
            && let Some(at) = line.iter().position(|t| *t == ticket)
        {
            line.remove(at);
            self.waiting_total -= 1;
            if line.is_empty() {
                self.waiting.remove(key);
                self.turns.retain(|k| k != key);
            }
            return;
        }
        if let Some(held) = self.held.get_mut(key) {
            *held -= 1;
            self.held_total -= 1;
            if *held == 0 {
                self.held.remove(key);
            }
        }
    }

    /// Returns the number of waiting requests.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.waiting_total
    }
}

/// An asynchronous handle to a queue. Clones share the queue.
#[derive(Debug)]
pub(crate) struct RoundRobin<K: Eq + Hash + Clone>(Arc<Mutex<Shared<K>>>);

impl<K: Eq + Hash + Clone> Clone for RoundRobin<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Shared<K> {
    order: Order<K>,
    told: HashMap<Ticket, oneshot::Sender<()>>,
}

impl<K: Eq + Hash + Clone> Shared<K> {
    fn grant(&mut self) {
        while let Some(ticket) = self.order.grant() {
            // A dropped receiver belongs to a permit that waits for this lock in its `Drop`.
            if let Some(told) = self.told.remove(&ticket) {
                let _ = told.send(());
            }
        }
    }
}

/// A place in the queue, and the permit once it is granted. Dropping it gives up either.
#[derive(Debug)]
pub(crate) struct Permit<K: Eq + Hash + Clone> {
    queue: RoundRobin<K>,
    key: K,
    ticket: Ticket,
}

impl<K: Eq + Hash + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        let mut shared = self.queue.0.lock();
        shared.told.remove(&self.ticket);
        shared.order.end(&self.key, self.ticket);
        shared.grant();
    }
}

impl<K: Eq + Hash + Clone> RoundRobin<K> {
    /// Creates an empty queue.
    #[must_use]
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Mutex::new(Shared { order: Order::new(bounds), told: HashMap::new() })))
    }

    /// Waits for a permit. Cancel safe: dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Refused`] immediately if the request would have to wait and too many are waiting.
    pub(crate) async fn acquire(&self, key: K) -> Result<Permit<K>, Refused> {
        let (told, granted) = oneshot::channel();
        let permit = {
            let mut shared = self.0.lock();
            let ticket = shared.order.enter(key.clone())?;
            shared.told.insert(ticket, told);
            shared.grant();
            Permit { queue: self.clone(), key, ticket }
        };
        // Only this permit's `Drop` drops the sender without sending.
        let _ = granted.await;
        Ok(permit)
    }

    /// Returns the number of waiting requests.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.0.lock().order.waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { permits: 2, per_key: 1, waiting_per_key: 3, waiting: 5 };

    fn all(order: &mut Order<char>) -> Vec<Ticket> {
        std::iter::from_fn(|| order.grant()).collect()
    }

    #[test]
    fn one_key_never_holds_all_permits() {
        let mut order = Order::new(BOUNDS);
        let a = order.enter('a').unwrap();
        let second = order.enter('a').unwrap();
        assert_eq!(all(&mut order), [a]);
        let b = order.enter('b').unwrap();
        assert_eq!(all(&mut order), [b]);
        order.end(&'a', a);
        assert_eq!(all(&mut order), [second]);
    }

    #[test]
    fn keys_take_turns_whatever_the_order_of_arrival() {
        let mut order = Order::new(Bounds { permits: 1, ..BOUNDS });
        let first = order.enter('a').unwrap();
        assert_eq!(all(&mut order), [first]);
        let a: Vec<_> = (0..3).map(|_| order.enter('a').unwrap()).collect();
        let b: Vec<_> = (0..2).map(|_| order.enter('b').unwrap()).collect();
        let mut running = ('a', first);
        let mut seen = Vec::new();
        for next in [('a', a[0]), ('b', b[0]), ('a', a[1]), ('b', b[1]), ('a', a[2])] {
            order.end(&running.0, running.1);
            seen.extend(all(&mut order));
            assert_eq!(seen.last(), Some(&next.1));
            running = next;
        }
        assert_eq!(order.waiting(), 0);
    }

    #[test]
    fn waiting_is_bounded_for_a_key_and_for_all() {
        let mut order = Order::new(BOUNDS);
        order.enter('a').unwrap();
        all(&mut order);
        for _ in 0..3 {
            order.enter('a').unwrap();
        }
        assert_eq!(order.enter('a'), Err(Refused::Key));
        // A key without waiting requests still receives a free permit.
        order.enter('b').unwrap();
        all(&mut order);
        order.enter('b').unwrap();
        order.enter('b').unwrap();
        assert_eq!(order.enter('b'), Err(Refused::Total));
    }

    #[tokio::test]
    async fn a_caller_that_leaves_gives_up_its_place_and_its_permit() {
        let queue = RoundRobin::new(Bounds { permits: 1, ..BOUNDS });
        let held = queue.acquire('a').await.unwrap();
        let mut waits = Box::pin(queue.acquire('b'));
        assert!(futures::poll!(&mut waits).is_pending());
        assert_eq!(queue.waiting(), 1);
        drop(waits);
        assert_eq!(queue.waiting(), 0);
        // The permit is granted, then dropped before the future is polled again.
        let mut waits = Box::pin(queue.acquire('b'));
        assert!(futures::poll!(&mut waits).is_pending());
        drop(held);
        drop(waits);
        queue.acquire('c').await.unwrap();
    }

    proptest! {
        /// For any sequence of requests and releases, no bound is exceeded and no permit is idle while an eligible
        /// request waits.
        #[test]
        fn bounds_hold_and_nothing_is_left_idle(steps in proptest::collection::vec((0..3_u8, 0..4_u8), 1..200)) {
            let mut order = Order::new(BOUNDS);
            let (mut live, mut held) = (Vec::<(u8, Ticket)>::new(), Vec::<Ticket>::new());
            for (what, key) in steps {
                if what < 2 {
                    if let Ok(ticket) = order.enter(key) {
                        live.push((key, ticket));
                    }
                } else if !live.is_empty() {
                    let (key, ticket) = live.remove(usize::from(key) % live.len());
                    held.retain(|t| *t != ticket);
                    order.end(&key, ticket);
                }
                held.extend(std::iter::from_fn(|| order.grant()));
                prop_assert!(held.len() <= 2);
                let holds = |k: u8| live.iter().filter(|(key, t)| *key == k && held.contains(t)).count();
                prop_assert!((0..4).all(|k| holds(k) <= 1));
                prop_assert_eq!(order.waiting(), live.len() - held.len());
                let idle = live.iter().any(|(k, t)| !held.contains(t) && holds(*k) == 0);
                prop_assert!(held.len() == 2 || !idle);
            }
        }
    }
}

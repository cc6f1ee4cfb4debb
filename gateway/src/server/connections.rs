//! The open connections: their number, addresses and activity, and the choice of the one that makes room for another.
//!
//! A full server never waits for room. It closes the connection that has been idle for the longest. If none is idle,
//! some more connections are accepted in reserve, on which only operators are served, and further ones are refused.

use crate::caller::address_group;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

/// Set in [`Activity::requests`] if the connection was chosen to make room.
const EVICTED: u32 = 1 << 31;

/// Bounds of a [`Connections`] table.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableLimits {
    /// Maximum connections.
    pub(super) most: usize,
    /// Maximum connections of one address; 0 for no limit.
    pub(super) of_address: usize,
    /// Connections beyond either limit, for operators.
    pub(super) reserve: usize,
}

/// Time limits of a connection between its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdleLimits {
    /// Limit for the first request, and for the rest of a request's head once it has begun.
    pub(super) head: Duration,
    /// Limit between requests.
    pub(super) idle: Duration,
}

/// The reason that this side ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeoutKind {
    /// A request's head did not arrive in time.
    Head,
    /// No further request arrived in time.
    Idle,
}

/// The activity of one connection. Times are milliseconds since `opened`.
pub(super) struct Activity {
    opened: Instant,
    /// Requests being answered, bodies included; and [`EVICTED`].
    requests: AtomicU32,
    idle_since: AtomicU64,
    /// Time at which the next request's head began to arrive, plus one; 0 before it arrives.
    head_since: AtomicU64,
    /// `true` once a request has been read.
    used: AtomicBool,
    /// `true` while the peer does not read what is written.
    blocked: AtomicBool,
    /// `true` if the server is stopping.
    stopping: AtomicBool,
    waker: AtomicWaker,
    /// `true` if the connection was accepted beyond a limit, for operators only.
    pub(super) in_reserve: bool,
}

impl Activity {
    fn new(in_reserve: bool) -> Self {
        Self {
            opened: Instant::now(),
            requests: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            used: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            in_reserve,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Begins a request, which ends when the result is dropped. Returns `None` if the connection was chosen to make
    /// room.
    pub(super) fn begin(self: &Arc<Self>) -> Option<InFlight> {
        let before = self.requests.fetch_add(1, Ordering::AcqRel);
        let request = InFlight(self.clone());
        self.head_since.store(0, Ordering::Relaxed);
        self.used.store(true, Ordering::Relaxed);
        (before & EVICTED == 0).then_some(request)
    }

    /// Returns `true` if no request is being answered and no write is blocked.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0 && !self.blocked.load(Ordering::Relaxed)
    }

    /// Notes that bytes arrived on a connection with one request at a time.
    pub(super) fn read_some(&self) {
        if self.used.load(Ordering::Relaxed)
            && self.head_since.load(Ordering::Relaxed) == 0
            && self.requests.load(Ordering::Relaxed) == 0
        {
            self.head_since.store(self.now_ms() + 1, Ordering::Relaxed);
        }
    }

    /// Notes that the peer stopped reading, or reads again.
    pub(super) fn set_blocked(&self, blocked: bool) {
        if self.blocked.swap(blocked, Ordering::Relaxed) && !blocked {
            self.idle_since.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// Restarts the time for the next request, such as after the TLS handshake.
    pub(super) fn restart(&self) {
        self.idle_since.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Registers the waker for events outside the connection: eviction and shutdown.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Returns `true` if the connection was chosen to make room.
    pub(super) fn is_evicted(&self) -> bool {
        self.requests.load(Ordering::Acquire) & EVICTED != 0
    }

    /// Returns `true` if the connection is to end after its running requests.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Returns the time at which the connection is overdue, and the reason; `None` while it is busy.
    pub(super) fn due(&self, limits: &IdleLimits) -> Option<(Instant, TimeoutKind)> {
        if !self.is_idle() {
            return None;
        }
        let idle_since = Duration::from_millis(self.idle_since.load(Ordering::Relaxed));
        let (after, why) = match self.head_since.load(Ordering::Relaxed) {
            _ if !self.used.load(Ordering::Relaxed) => (idle_since + limits.head, TimeoutKind::Head),
            0 => (idle_since + limits.idle, TimeoutKind::Idle),
            head => (Duration::from_millis(head - 1) + limits.head, TimeoutKind::Head),
        };
        Some((self.opened + after, why))
    }

    fn evict(&self) -> bool {
        let idle =
            self.is_idle() && self.requests.compare_exchange(0, EVICTED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if idle {
            self.waker.wake();
        }
        idle
    }
}

/// A request being answered.
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now_ms(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A table of open connections. Clones share it.
#[derive(Clone)]
pub(super) struct Connections(Arc<Inner>);

struct Inner {
    limits: TableLimits,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    reserve: usize,
    by_id: HashMap<u64, Entry>,
    by_address: HashMap<IpAddr, usize>,
}

struct Entry {
    address: IpAddr,
    activity: Arc<Activity>,
}

/// A connection's place in the table, released on drop.
pub(super) struct ConnectionSlot {
    table: Connections,
    id: u64,
    pub(super) activity: Arc<Activity>,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.table.0.open.lock().remove(self.id);
    }
}

impl Open {
    fn remove(&mut self, id: u64) {
        let Some(entry) = self.by_id.remove(&id) else { return };
        self.reserve -= usize::from(entry.activity.in_reserve);
        if let Some(count) = self.by_address.get_mut(&entry.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&entry.address);
            }
        }
    }

    fn of_address(&self, address: &IpAddr) -> usize {
        self.by_address.get(address).copied().unwrap_or(0)
    }

    /// Closes the connection that has been idle for the longest: of `address`, else of the address with the most
    /// connections. Returns `false` if none is idle.
    fn make_room(&mut self, address: Option<IpAddr>) -> bool {
        loop {
            let idle =
                self.by_id.iter().filter(|(_, e)| address.is_none_or(|a| a == e.address) && e.activity.is_idle());
            let chosen = idle.max_by_key(|(_, e)| {
                let idle_since =
                    e.activity.opened + Duration::from_millis(e.activity.idle_since.load(Ordering::Relaxed));
                (self.of_address(&e.address), std::cmp::Reverse(idle_since))
            });
            let Some((id, entry)) = chosen.map(|(id, e)| (*id, e.activity.clone())) else { return false };
            if entry.evict() {
                self.remove(id);
                return true;
            }
            // A request arrived in the meantime: choose again.
        }
    }
}

impl Connections {
    pub(super) fn new(limits: TableLimits) -> Self {
        Self(Arc::new(Inner { limits, open: Mutex::default() }))
    }

    /// Admits a connection. Returns `None` if it is to be refused.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<ConnectionSlot> {
        let limits = self.0.limits;
        let address = address_group(peer);
        let mut open = self.0.open.lock();
        let share_taken = |open: &Open| limits.of_address > 0 && open.of_address(&address) >= limits.of_address;
        let all_taken = |open: &Open| open.by_id.len() - open.reserve >= limits.most;
        if share_taken(&open) {
            open.make_room(Some(address));
        } else if all_taken(&open) {
            open.make_room(None);
        }
        // The connection that made room may have been in the reserve.
        let full = share_taken(&open) || all_taken(&open);
        if full && open.reserve >= limits.reserve {
            return None;
        }
        let activity = Arc::new(Activity::new(full));
        open.reserve += usize::from(full);
        open.next += 1;
        let id = open.next;
        *open.by_address.entry(address).or_default() += 1;
        open.by_id.insert(id, Entry { address, activity: activity.clone() });
        Some(ConnectionSlot { table: self.clone(), id, activity })
    }

    /// Closes one idle connection, for a process without free file handles.
    pub(super) fn close_one(&self) -> bool {
        self.0.open.lock().make_room(None)
    }

    /// Makes every connection end after its running requests.
    pub(super) fn stop(&self) {
        for entry in self.0.open.lock().by_id.values() {
            entry.activity.stopping.store(true, Ordering::Release);
            entry.activity.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(most: usize, of_address: usize, reserve: usize) -> Connections {
        Connections::new(TableLimits { most, of_address, reserve })
    }

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn a_full_table_closes_what_is_idle_and_then_serves_operators_only() {
        let table = table(2, 0, 1);
        let first = table.admit(ip(1)).unwrap();
        let second = table.admit(ip(2)).unwrap();
        let busy = second.activity.begin().unwrap();
        let third = table.admit(ip(3)).unwrap();
        assert!(first.activity.is_evicted() && !third.activity.in_reserve);
        assert!(first.activity.begin().is_none(), "a request on it is too late");
        let also_busy = third.activity.begin().unwrap();
        let operator = table.admit(ip(4)).unwrap();
        assert!(operator.activity.in_reserve);
        // The reserve is idle, so it makes room before a connection is refused, and only for another in the reserve.
        let fifth = table.admit(ip(5)).unwrap();
        assert!(fifth.activity.in_reserve && operator.activity.is_evicted());
        drop((busy, also_busy, second));
        assert!(!table.admit(ip(6)).unwrap().activity.in_reserve);
    }

    #[test]
    fn one_address_makes_room_among_its_own() {
        let table = table(10, 2, 0);
        let other = table.admit(ip(9)).unwrap();
        let own: Vec<_> = (0..2).map(|_| table.admit(ip(1)).unwrap()).collect();
        let requests: Vec<_> = own.iter().map(|p| p.activity.begin().unwrap()).collect();
        assert!(table.admit(ip(1)).is_none(), "its share is busy");
        assert!(table.admit(ip(2)).is_some());
        drop(requests);
        let next = table.admit(ip(1)).unwrap();
        assert!(own.iter().any(|p| p.activity.is_evicted()) && !other.activity.is_evicted());
        drop(own);
        drop(next);
        assert_eq!(table.0.open.lock().of_address(&ip(1)), 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let a: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        let b: IpAddr = "2001:db8:0:1:ffff::2".parse().unwrap();
        let c: IpAddr = "2001:db8:0:2::1".parse().unwrap();
        assert_eq!(address_group(a), address_group(b));
        assert_ne!(address_group(a), address_group(c));
        assert_eq!(address_group("::ffff:10.0.0.1".parse().unwrap()), ip(1));
    }

    #[test]
    fn what_a_peer_is_given_time_for() {
        let limits = IdleLimits { head: Duration::from_secs(15), idle: Duration::from_secs(60) };
        let activity = Arc::new(Activity::new(false));
        assert_eq!(activity.due(&limits), Some((activity.opened + limits.head, TimeoutKind::Head)));
        let request = activity.begin().unwrap();
        assert_eq!(activity.due(&limits), None);
        drop(request);
        assert_eq!(activity.due(&limits).unwrap().1, TimeoutKind::Idle);
        activity.set_blocked(true);
        assert_eq!(activity.due(&limits), None, "the write timer is at work");
        activity.set_blocked(false);
        activity.read_some();
        let (at, why) = activity.due(&limits).unwrap();
        activity.read_some();
        assert_eq!((at, why), activity.due(&limits).unwrap(), "more bytes give no more time");
        assert_eq!(why, TimeoutKind::Head);
    }
}

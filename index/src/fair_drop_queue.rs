//! A bounded queue in which every tenant has a share. An item that does not fit displaces the oldest item of a tenant
//! with more than its share, never one of a tenant with less.

use fabric_types::id::TenantId;
use std::collections::{HashMap, VecDeque};

/// The limits of a [`FairDropQueue`], over all tenants.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Maximum number of items.
    pub items: usize,
    /// Maximum size in bytes, as given by the callers of [`FairDropQueue::push`].
    pub bytes: usize,
}

/// The items of one tenant.
#[derive(Debug)]
struct Share<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    dropped: u64,
    /// The newest dropped item.
    last_dropped: Option<T>,
}

impl<T> Default for Share<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0, dropped: 0, last_dropped: None }
    }
}

/// The items of one tenant, as returned by [`FairDropQueue::take`].
#[derive(Debug)]
pub struct TenantItems<T> {
    /// The tenant.
    pub tenant: TenantId,
    /// Its items, oldest first.
    pub items: Vec<T>,
    /// Number of items dropped before them.
    pub dropped: u64,
    /// The newest dropped item.
    pub last_dropped: Option<T>,
}

/// A bounded queue with a share for each tenant.
#[derive(Debug)]
pub struct FairDropQueue<T> {
    limits: QueueLimits,
    shares: HashMap<TenantId, Share<T>>,
    items: usize,
    bytes: usize,
}

impl<T> FairDropQueue<T> {
    /// Creates an empty queue.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        Self { limits, shares: HashMap::new(), items: 0, bytes: 0 }
    }

    /// Returns `true` if the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Adds an item of `bytes` bytes. While the queue exceeds a limit, the oldest item of a tenant with more than an
    /// equal share is dropped: of this tenant if it has more, otherwise of the tenant with the most.
    pub fn push(&mut self, tenant: TenantId, bytes: usize, item: T) {
        let share = self.shares.entry(tenant.clone()).or_default();
        share.items.push_back((bytes, item));
        share.bytes += bytes;
        self.items += 1;
        self.bytes += bytes;
        loop {
            let by_items = self.items > self.limits.items;
            if !by_items && self.bytes <= self.limits.bytes {
                return;
            }
            if !self.drop_one(&tenant, by_items) {
                return;
            }
        }
    }

    fn drop_one(&mut self, pusher: &TenantId, by_items: bool) -> bool {
        let size = |share: &Share<T>| if by_items { share.items.len() } else { share.bytes };
        let equal = if by_items { self.limits.items } else { self.limits.bytes } / self.shares.len().max(1);
        let largest = match self.shares.get(pusher) {
            // Avoids the search while one tenant floods the queue.
            Some(share) if size(share) > equal => Some(pusher.clone()),
            _ => self.shares.iter().max_by_key(|(_, share)| size(share)).map(|(tenant, _)| tenant.clone()),
        };
        let Some(share) = largest.and_then(|tenant| self.shares.get_mut(&tenant)) else { return false };
        let Some((bytes, item)) = share.items.pop_front() else { return false };
        share.bytes -= bytes;
        share.dropped += 1;
        share.last_dropped = Some(item);
        self.items -= 1;
        self.bytes -= bytes;
        true
    }

    /// Empties the queue. The order of tenants does not matter for fairness, since all items are taken at once.
    pub fn take(&mut self) -> Vec<TenantItems<T>> {
        (self.items, self.bytes) = (0, 0);
        let shares = std::mem::take(&mut self.shares).into_iter();
        shares
            .map(|(tenant, share)| TenantItems {
                tenant,
                items: share.items.into_iter().map(|(_, item)| item).collect(),
                dropped: share.dropped,
                last_dropped: share.last_dropped,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn of<T>(taken: &[TenantItems<T>], name: &str) -> (usize, u64) {
        taken.iter().find(|t| t.tenant == tenant(name)).map_or((0, 0), |t| (t.items.len(), t.dropped))
    }

    #[test]
    fn a_flood_costs_others_nothing() {
        let mut queue = FairDropQueue::new(QueueLimits { items: 100, bytes: usize::MAX });
        for n in 0..10_000 {
            queue.push(tenant("flood"), 1, n);
            if n % 400 == 0 {
                queue.push(tenant("quiet"), 1, n);
            }
        }
        let taken = queue.take();
        assert_eq!(of(&taken, "quiet"), (25, 0));
        assert_eq!(of(&taken, "flood"), (75, 9_925));
        assert!(queue.is_empty() && queue.take().is_empty());
    }

    #[test]
    fn a_late_tenant_displaces_what_the_flood_queued_before_it() {
        let mut queue = FairDropQueue::new(QueueLimits { items: 1_000, bytes: 1_000 });
        (0..1_000).for_each(|n| queue.push(tenant("flood"), 1, n));
        (0..30).for_each(|n| queue.push(tenant("late"), 10, n));
        let taken = queue.take();
        assert_eq!(of(&taken, "late"), (30, 0));
        assert_eq!(of(&taken, "flood"), (700, 300));
        // The oldest were dropped.
        assert_eq!(taken.iter().find(|t| t.tenant == tenant("flood")).unwrap().items.first(), Some(&300));
    }

    #[test]
    fn equal_floods_share_equally() {
        let mut queue = FairDropQueue::new(QueueLimits { items: 90, bytes: usize::MAX });
        for n in 0..1_000 {
            for name in ["a", "b", "c"] {
                queue.push(tenant(name), 1, n);
            }
        }
        let taken = queue.take();
        for name in ["a", "b", "c"] {
            assert_eq!(of(&taken, name).0, 30, "{name}");
        }
    }

    #[test]
    fn one_item_larger_than_the_queue_is_dropped_by_itself() {
        let mut queue = FairDropQueue::new(QueueLimits { items: 10, bytes: 10 });
        queue.push(tenant("b"), 3, 0);
        queue.push(tenant("a"), 11, 1);
        let taken = queue.take();
        assert_eq!((of(&taken, "a"), of(&taken, "b")), ((0, 1), (1, 0)));
    }
}

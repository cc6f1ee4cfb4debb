//! Capacity that tenants share: a limit for all, a limit for one, and a reserve for admins.

use parking_lot::Mutex;
use std::{collections::HashMap, hash::Hash, sync::Arc};

/// Bounds of [`Shares`].
#[derive(Debug, Clone, Copy)]
pub struct ShareLimits {
    /// Maximum units of all keys together.
    pub most: usize,
    /// Maximum units of one key, unless it is privileged.
    pub of_one: usize,
    /// Units of the total that only privileged keys may take.
    pub reserve: usize,
}

/// The limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// The limit of one key.
    Own,
    /// The limit of all keys.
    All,
}

/// A counter of the units that each key has taken. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Shares<K: Hash + Eq>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K: Hash + Eq> {
    limits: ShareLimits,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    by_key: HashMap<K, usize>,
}

/// One unit, returned on drop.
#[derive(Debug)]
pub struct Share<K: Hash + Eq> {
    shares: Shares<K>,
    key: K,
}

impl<K: Hash + Eq> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.shares.0.taken.lock();
        taken.all -= 1;
        if let Some(count) = taken.by_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.by_key.remove(&self.key);
            }
        }
    }
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// Creates a counter with no units taken.
    #[must_use]
    pub fn new(limits: ShareLimits) -> Self {
        Self(Arc::new(Inner { limits, taken: Mutex::new(Taken { all: 0, by_key: HashMap::new() }) }))
    }

    /// Takes one unit for `key`. With [`Reserve::Open`] the reserve is available, and the limit of one key does not
    /// apply.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn take(&self, key: &K, reserve: Reserve) -> Result<Share<K>, Exhausted> {
        let ShareLimits { most, of_one, reserve: kept } = self.0.limits;
        let mut taken = self.0.taken.lock();
        let own = taken.by_key.get(key).copied().unwrap_or(0);
        let (most, of_one) = match reserve {
            Reserve::Open => (most, usize::MAX),
            Reserve::Closed => (most.saturating_sub(kept), of_one),
        };
        if own >= of_one {
            return Err(Exhausted::Own);
        }
        if taken.all >= most {
            return Err(Exhausted::All);
        }
        taken.all += 1;
        taken.by_key.insert(key.clone(), own + 1);
        Ok(Share { shares: self.clone(), key: key.clone() })
    }
}

/// Access to the reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// The reserve is available: for admins.
    Open,
    /// The reserve is not available.
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leaves_room_for_others_and_all_leave_some_for_admins() {
        let shares = Shares::new(ShareLimits { most: 10, of_one: 4, reserve: 2 });
        let take = |key: &'static str, n: usize| -> Vec<_> {
            (0..n).map_while(|_| shares.take(&key, Reserve::Closed).ok()).collect()
        };
        let a = take("a", 10);
        assert_eq!(a.len(), 4);
        assert_eq!(shares.take(&"a", Reserve::Closed).unwrap_err(), Exhausted::Own);
        let b = take("b", 10);
        assert_eq!(b.len(), 4);
        assert_eq!(shares.take(&"c", Reserve::Closed).unwrap_err(), Exhausted::All);
        let admins: Vec<_> = (0..3).map_while(|_| shares.take(&"a", Reserve::Open).ok()).collect();
        assert_eq!(admins.len(), 2);
        drop(a);
        assert!(shares.take(&"c", Reserve::Closed).is_ok());
        drop((b, admins));
        assert_eq!(shares.0.taken.lock().by_key.len(), 0);
    }
}

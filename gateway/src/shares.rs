//! Room that tenants share: so much for all, so much for one, and a reserve for admins.

use parking_lot::Mutex;
use std::{collections::HashMap, hash::Hash, sync::Arc};

/// Bounds of [`Shares`].
#[derive(Debug, Clone, Copy)]
pub struct ShareLimits {
    /// For all together.
    pub most: usize,
    /// For one, unless it is privileged.
    pub of_one: usize,
    /// Of those for all, what only the privileged may take.
    pub reserve: usize,
}

/// The bound that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// That of one.
    Own,
    /// That of all.
    All,
}

/// Counts what each takes. Clones share the counts.
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

/// One unit, given back when dropped.
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
    /// Nothing taken.
    #[must_use]
    pub fn new(limits: ShareLimits) -> Self {
        Self(Arc::new(Inner { limits, taken: Mutex::new(Taken { all: 0, by_key: HashMap::new() }) }))
    }

    /// Takes one unit for `key`. `reserve`: as one who may take from the reserve and more than one share.
    ///
    /// # Errors
    /// The bound that is reached.
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

/// Whether the reserve is open to a taker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// It is: for admins.
    Open,
    /// It is not.
    Closed,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
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

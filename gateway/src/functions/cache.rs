//! The cache of resolved references. A *view* holds the choices of all references to one function and is invalidated as
//! a whole, so that no choice outlives its invalidation.
//!
//! No stale choice is found after a change was announced. A loader takes the view **before** it reads the registry and
//! puts its choice into that view. [`Cache::forget`] runs **after** the write and unlinks the view. A loader that took
//! its view before the invalidation puts its choice into a view that is no longer reachable. A loader that took its
//! view afterwards reads the registry after the write. Eviction unlinks a view in the same way. The test
//! `no_reader_sees_what_is_older_than_the_last_announced_change` checks this.

use parking_lot::RwLock;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Maximum functions in the cache.
const MAX_FUNCTIONS: u64 = 50_000;
/// Maximum references in the view of one function. Further references are resolved without the cache.
const MAX_TEXTS: usize = 256;
/// Maximum lifetime of a view. It bounds the staleness after a change that was never announced.
const LIFE: Duration = Duration::from_secs(300);

/// Views by `tenant/function`.
pub(super) struct Cache<T>(moka::sync::Cache<String, Arc<View<T>>>);

/// The choices of one function, by the reference that callers write.
pub(super) struct View<T>(RwLock<HashMap<String, Arc<T>>>);

/// Returns the `tenant/function` part of `tenant/function`, `tenant/function@v` or `tenant/function:alias`.
fn function(text: &str) -> &str {
    text.find(['@', ':']).and_then(|end| text.get(..end)).unwrap_or(text)
}

impl<T: Send + Sync + 'static> Cache<T> {
    pub(super) fn new() -> Self {
        Self::of(MAX_FUNCTIONS)
    }

    fn of(functions: u64) -> Self {
        Self(moka::sync::Cache::builder().max_capacity(functions).time_to_live(LIFE).build())
    }

    /// Returns the cached choice for `text`. Does not create a view.
    pub(super) fn get(&self, text: &str) -> Option<Arc<T>> {
        self.0.get(function(text))?.0.read().get(text).cloned()
    }

    /// Returns the view that a loader puts its choice into.
    pub(super) fn view(&self, text: &str) -> Arc<View<T>> {
        self.0.get_with_by_ref(function(text), || Arc::new(View(RwLock::new(HashMap::new()))))
    }

    /// Invalidates all choices of a function. Call it after the registry was written.
    pub(super) fn forget(&self, tenant: &str, function: &str) {
        self.0.invalidate(&format!("{tenant}/{function}"));
    }
}

impl<T> View<T> {
    pub(super) fn insert(&self, text: &str, choice: &Arc<T>) {
        let mut choices = self.0.write();
        if choices.len() < MAX_TEXTS || choices.contains_key(text) {
            choices.insert(text.to_owned(), Arc::clone(choice));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

    #[test]
    fn what_was_read_before_a_change_is_not_found_after_it() {
        let cache = Cache::new();
        let slow = cache.view("t/f:live");
        cache.forget("t", "f");
        slow.insert("t/f:live", &Arc::new(1));
        assert_eq!(cache.get("t/f:live"), None);
        cache.view("t/f:live").insert("t/f:live", &Arc::new(2));
        slow.insert("t/f:live", &Arc::new(1));
        assert_eq!(cache.get("t/f:live").as_deref(), Some(&2));
    }

    #[test]
    fn every_reference_to_a_function_is_forgotten_with_it_and_no_other() {
        let cache = Cache::new();
        for text in ["t/f", "t/f@1", "t/f:live", "t/ff", "u/f"] {
            cache.view(text).insert(text, &Arc::new(()));
        }
        cache.forget("t", "f");
        for (text, left) in [("t/f", false), ("t/f@1", false), ("t/f:live", false), ("t/ff", true), ("u/f", true)] {
            assert_eq!(cache.get(text).is_some(), left, "{text}");
        }
    }

    #[test]
    fn what_is_evicted_takes_its_choices_along() {
        let cache = Cache::of(2);
        for n in 0..100 {
            let text = format!("t/f{n}:live");
            cache.view(&text).insert(&text, &Arc::new(n));
        }
        cache.0.run_pending_tasks();
        for n in 0..100 {
            cache.forget("t", &format!("f{n}"));
            assert_eq!(cache.get(&format!("t/f{n}:live")), None);
        }
    }

    #[test]
    fn a_view_is_bounded_and_still_renews_what_it_has() {
        let cache = Cache::new();
        let view = cache.view("t/f");
        for n in 0..2 * MAX_TEXTS {
            view.insert(&format!("t/f@{n}"), &Arc::new(n));
        }
        assert_eq!(view.0.read().len(), MAX_TEXTS);
        view.insert("t/f@0", &Arc::new(7));
        assert_eq!(cache.get("t/f@0").as_deref(), Some(&7));
    }

    /// Readers race with a writer that increments a value and invalidates the cache. No reader may see a value older
    /// than the newest one announced before its read.
    #[test]
    fn no_reader_sees_what_is_older_than_the_last_announced_change() {
        let cache = Cache::<u64>::new();
        let (registry, announced, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(SeqCst) {
                        let least = announced.load(SeqCst);
                        let seen = cache.get("t/f").map_or_else(
                            || {
                                let view = cache.view("t/f");
                                let read = registry.load(SeqCst);
                                std::thread::yield_now();
                                view.insert("t/f", &Arc::new(read));
                                read
                            },
                            |v| *v,
                        );
                        assert!(seen >= least, "{seen} is older than {least}");
                    }
                });
            }
            for n in 1..=20_000 {
                registry.store(n, SeqCst);
                cache.forget("t", "f");
                announced.store(n, SeqCst);
            }
            over.store(true, SeqCst);
        });
    }
}

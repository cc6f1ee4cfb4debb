//! The registry as one object per key. See [`record`] for the format and [`watch`] for change notification.

mod record;
mod watch;

use crate::{
    Error,
    envelope::{self, Kind},
    keyed_locks::KeyedLocks,
    link::{Counters, Link},
    names,
    objects::{Objects, WriteOutcome, same_tag},
    tasks::{TaskGuard, Tasks},
};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{
    in_process::ChangeWatchers,
    registry::{Change, Precondition, Registry, RegistryEntry},
};
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use parking_lot::Mutex;
use record::State;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// The subject of change notices.
pub(crate) const SUBJECT: &str = "registry";
/// Concurrent requests per listing.
const AT_ONCE: usize = 16;
/// Maximum attempts of a write with [`Precondition::Any`] after conflicts.
const ROUNDS: u32 = 256;
/// Maximum size of cached values in bytes. Above it the whole cache is dropped, and values are read again.
const REMEMBERED: usize = 32 << 20;
/// Approximate overhead of a cached key in bytes.
const OVERHEAD: usize = 256;

#[derive(Default)]
struct Cache {
    keys: HashMap<String, State>,
    bytes: usize,
}

pub(super) struct Shared {
    objects: Objects,
    link: Link,
    cache: Mutex<Cache>,
    watchers: ChangeWatchers,
    /// Prevents writers of this process from racing in the store.
    locks: KeyedLocks,
    poll_interval: Duration,
}

pub(crate) struct FleetRegistry {
    shared: Arc<Shared>,
    tasks: Tasks,
    _guard: Arc<TaskGuard>,
}

fn conflict(key: &str, expect: Precondition, found: Option<&State>) -> Error {
    let revision = |revision: u64| format!("revision {revision}");
    Error::Conflict {
        what: "registry key",
        key: key.to_owned(),
        expected: match expect {
            Precondition::Absent => "nothing".to_owned(),
            Precondition::Revision(r) => revision(r),
            Precondition::Any => "anything".to_owned(),
        },
        found: found.filter(|s| s.value.is_some()).map_or_else(|| "nothing".to_owned(), |s| revision(s.revision)),
    }
}

fn holds(expect: Precondition, state: Option<&State>) -> bool {
    let living = state.filter(|state| state.value.is_some());
    match expect {
        Precondition::Any => true,
        Precondition::Absent => living.is_none(),
        Precondition::Revision(revision) => living.is_some_and(|state| state.revision == revision),
    }
}

impl Shared {
    /// Caches a state that was read or written, unless a newer one is cached.
    fn remember(&self, key: &str, state: &State) {
        let cost = |state: &State| OVERHEAD + key.len() + state.value.as_ref().map_or(0, Bytes::len);
        let mut cache = self.cache.lock();
        if cache.keys.get(key).is_some_and(|known| known.revision > state.revision) {
            return;
        }
        if cache.bytes + cost(state) > REMEMBERED {
            *cache = Cache::default();
        }
        cache.bytes += cost(state);
        if let Some(old) = cache.keys.insert(key.to_owned(), state.clone()) {
            cache.bytes = cache.bytes.saturating_sub(cost(&old));
        }
    }

    fn remembered(&self, key: &str) -> Option<State> {
        self.cache.lock().keys.get(key).cloned()
    }

    async fn fetch(&self, key: &str) -> Result<Option<State>, Error> {
        let path = names::leaf(self.objects.root(), key)?;
        let Some(found) = self.objects.get(&path, record::LONGEST).await? else { return Ok(None) };
        let state = record::decode(key, found)?;
        self.remember(key, &state);
        Ok(Some(state))
    }

    /// Returns the state of a listed key: from the cache if the entity tag matches, otherwise from the store.
    async fn listed(&self, key: &str, etag: Option<&str>) -> Result<Option<State>, Error> {
        match self.remembered(key) {
            Some(state) if etag.is_some_and(|etag| same_tag(etag, &state.etag)) => Ok(Some(state)),
            _ => self.fetch(key).await,
        }
    }

    fn tell_watchers(&self, key: &str, state: &State) {
        self.watchers.publish_if_newer(key, state.revision, || match &state.value {
            Some(value) => Change::Put(entry(key, state.revision, value)),
            None => Change::Deleted(key.to_owned()),
        });
    }

    /// Writes a value, or a removal if `value` is `None`. Returns the new revision, or `None` if there was nothing to
    /// remove.
    async fn write(&self, key: &str, value: Option<&Bytes>, expect: Precondition) -> Result<Option<u64>, Error> {
        let path = names::leaf(self.objects.root(), key)?;
        let _lock = self.locks.wait(key).await;
        let mut state = self.remembered(key);
        // A cached state may be stale, so a write is never refused because of it.
        let mut sure = false;
        for _ in 0..ROUNDS {
            let older = matches!(expect, Precondition::Revision(r) if state.as_ref().is_some_and(|s| s.revision > r));
            // If no value is expected and none is cached, the write itself is the check.
            let unknown = state.is_none() && expect != Precondition::Absent;
            if !sure && !older && (unknown || !holds(expect, state.as_ref())) {
                state = self.fetch(key).await?;
                sure = true;
            }
            if !holds(expect, state.as_ref()) {
                return Err(conflict(key, expect, state.as_ref()));
            }
            if value.is_none() && state.as_ref().is_none_or(|s| s.value.is_none()) {
                if sure {
                    return Ok(None);
                }
                state = self.fetch(key).await?;
                sure = true;
                continue;
            }
            let revision = record::next_revision(state.as_ref().map_or(0, |s| s.revision));
            let bytes = record::encode(revision, value);
            let written = match &state {
                None => self.objects.create(&path, bytes).await?,
                Some(there) => self.objects.replace(&path, &there.etag, bytes).await?,
            };
            match written {
                WriteOutcome::Written(etag) => {
                    let state = State { etag, revision, value: value.cloned() };
                    self.remember(key, &state);
                    self.tell_watchers(key, &state);
                    self.tell_others(key, revision).await;
                    return Ok(Some(revision));
                }
                WriteOutcome::Conflict(found) => {
                    Counters::count(&self.link.counters.store_races);
                    let there = record::decode(key, found)?;
                    self.remember(key, &there);
                    state = Some(there);
                    sure = true;
                }
                WriteOutcome::Missing => {
                    state = None;
                    sure = true;
                }
            }
        }
        Err(Error::Backend {
            backend: "object store",
            context: format!("write registry key `{key}`"),
            source: format!("lost {ROUNDS} races against other writers").into(),
            retryable: true,
        })
    }

    async fn tell_others(&self, key: &str, revision: u64) {
        let notice = envelope::write(Kind::Registry, self.link.origin, &[&revision.to_be_bytes(), key.as_bytes()]);
        self.link.publish_notice("publish a change notice", self.link.subject(SUBJECT), notice).await;
    }
}

fn entry(key: &str, revision: u64, value: &Bytes) -> RegistryEntry {
    RegistryEntry { key: key.to_owned(), value: value.clone(), revision }
}

impl FleetRegistry {
    pub(crate) fn new(
        objects: Objects,
        link: Link,
        poll_interval: Duration,
        tasks: &Tasks,
        guard: &Arc<TaskGuard>,
    ) -> Self {
        let shared = Shared {
            objects,
            link,
            cache: Mutex::default(),
            watchers: ChangeWatchers::default(),
            locks: KeyedLocks::new(),
            poll_interval,
        };
        Self { shared: Arc::new(shared), tasks: tasks.clone(), _guard: Arc::clone(guard) }
    }

    /// Returns a task that receives the changes of other processes.
    pub(crate) async fn listen(&self) -> Result<impl Future<Output = ()> + use<>, Error> {
        watch::listen(&self.shared, self.tasks.stop()).await
    }
}

#[async_trait]
impl Registry for FleetRegistry {
    async fn get(&self, key: &str) -> Result<Option<RegistryEntry>, Error> {
        let state = self.shared.fetch(key).await?;
        Ok(state.and_then(|state| state.value.map(|value| entry(key, state.revision, &value))))
    }

    async fn put(&self, key: &str, value: Bytes, expect: Precondition) -> Result<u64, Error> {
        if value.len() > record::LONGEST_VALUE {
            return Err(Error::Backend {
                backend: "object store",
                context: format!("write registry key `{key}`"),
                source: format!("the value has {} bytes, at most {}", value.len(), record::LONGEST_VALUE).into(),
                retryable: false,
            });
        }
        let revision = self.shared.write(key, Some(&value), expect).await?;
        revision.ok_or_else(|| Error::Damaged(format!("registry key `{key}` got no revision")))
    }

    async fn delete(&self, key: &str, expect: Precondition) -> Result<(), Error> {
        self.shared.write(key, None, expect).await.map(drop)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<RegistryEntry>, Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (shared, root) = (&self.shared, self.shared.objects.root());
        let mut keys: Vec<(String, Option<String>)> = shared
            .objects
            .list(&names::folder(root, prefix).0)
            .await?
            .into_iter()
            .filter(|meta| meta.size != record::REMOVED_BYTES)
            .filter_map(|meta| Some((names::name(root, &meta.location)?, meta.e_tag)))
            .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
            .collect();
        keys.sort_unstable();
        stream::iter(keys)
            .map(async |(key, etag)| {
                let state = shared.listed(&key, etag.as_deref()).await?;
                Ok::<_, Error>(state.and_then(|s| s.value.map(|value| entry(&key, s.revision, &value))))
            })
            .buffered(AT_ONCE)
            .try_filter_map(async |entry| Ok(entry))
            .take(limit)
            .try_collect()
            .await
    }

    fn watch(&self, prefix: &str) -> BoxStream<'static, Change> {
        watch::begin(&self.shared, prefix, &self.tasks).changes()
    }
}

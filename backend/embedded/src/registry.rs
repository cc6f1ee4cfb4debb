//! The registry as a table. All keys share one revision counter, so that revisions still grow if a key is deleted and
//! created again.

use super::database::{Database, Tx, from_sql_int, range, sql_int};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{
    Error,
    registry::{Change, Precondition, Registry, RegistryEntry},
};
use futures::stream::BoxStream;
use rusqlite::{OptionalExtension as _, params};
use std::sync::Arc;

pub(super) struct SqliteRegistry {
    database: Arc<Database>,
}

impl SqliteRegistry {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

/// Checks the precondition of a write. Returns `true` if the key exists.
fn check(tx: &Tx<'_>, key: &str, expect: Precondition) -> rusqlite::Result<Result<bool, Error>> {
    let found: Option<i64> = tx
        .conn
        .prepare_cached("SELECT revision FROM registry WHERE key = ?1")?
        .query_row([key.as_bytes()], |row| row.get(0))
        .optional()?;
    let found = found.map(from_sql_int);
    let expected = match expect {
        Precondition::Any => return Ok(Ok(found.is_some())),
        Precondition::Absent => None,
        Precondition::Revision(revision) => Some(revision),
    };
    if expected == found {
        return Ok(Ok(found.is_some()));
    }
    let say = |revision: Option<u64>| revision.map_or_else(|| "nothing".to_owned(), |r| format!("revision {r}"));
    Ok(Err(Error::Conflict { what: "registry key", key: key.to_owned(), expected: say(expected), found: say(found) }))
}

fn key_text(bytes: Vec<u8>) -> String {
    // Only UTF-8 is ever written. A damaged key is still listed.
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[async_trait]
impl Registry for SqliteRegistry {
    async fn get(&self, key: &str) -> Result<Option<RegistryEntry>, Error> {
        self.database.read("read a registry key", |conn| {
            conn.prepare_cached("SELECT revision, value FROM registry WHERE key = ?1")?
                .query_row([key.as_bytes()], |row| {
                    Ok(RegistryEntry {
                        key: key.to_owned(),
                        revision: from_sql_int(row.get(0)?),
                        value: row.get::<_, Vec<u8>>(1)?.into(),
                    })
                })
                .optional()
        })
    }

    async fn put(&self, key: &str, value: Bytes, expect: Precondition) -> Result<u64, Error> {
        let key = key.to_owned();
        let published = (key.clone(), value.clone());
        self.database
            .write(
                "write a registry key",
                move |tx| {
                    if let Err(conflict) = check(tx, &key, expect)? {
                        return Ok(Err(conflict));
                    }
                    *tx.revision += 1;
                    tx.conn
                        .prepare_cached(
                            "INSERT INTO registry (key, revision, value) VALUES (?1, ?2, ?3)
                             ON CONFLICT (key) DO UPDATE SET revision = ?2, value = ?3",
                        )?
                        .execute(params![key.as_bytes(), sql_int(*tx.revision), value.as_ref()])?;
                    Ok(Ok(*tx.revision))
                },
                move |revision, subscribers| {
                    let (key, value) = published;
                    let entry = RegistryEntry { key, value, revision: *revision };
                    subscribers.watchers.publish_in_order(&entry.key, || Change::Put(entry.clone()));
                },
            )
            .await
    }

    async fn delete(&self, key: &str, expect: Precondition) -> Result<(), Error> {
        let key = key.to_owned();
        let published = key.clone();
        self.database
            .write(
                "remove a registry key",
                move |tx| {
                    let there = match check(tx, &key, expect)? {
                        Ok(there) => there,
                        Err(conflict) => return Ok(Err(conflict)),
                    };
                    if there {
                        tx.conn.prepare_cached("DELETE FROM registry WHERE key = ?1")?.execute([key.as_bytes()])?;
                    }
                    Ok(Ok(there))
                },
                move |there, subscribers| {
                    if *there {
                        subscribers.watchers.publish_in_order(&published, || Change::Deleted(published.clone()));
                    }
                },
            )
            .await
            .map(drop)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<RegistryEntry>, Error> {
        let (from, upper) = range(prefix, after);
        self.database
            .scan("list the registry", move |conn| {
                let mut select = conn.prepare_cached(
                    "SELECT key, revision, value FROM registry WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
                )?;
                select
                    .query_map(params![from, upper, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                        Ok(RegistryEntry {
                            key: key_text(row.get(0)?),
                            revision: from_sql_int(row.get(1)?),
                            value: row.get::<_, Vec<u8>>(2)?.into(),
                        })
                    })?
                    .collect()
            })
            .await
    }

    fn watch(&self, prefix: &str) -> BoxStream<'static, Change> {
        self.database.subscribers().watchers.watch(prefix).changes()
    }
}

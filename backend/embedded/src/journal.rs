//! The journal as two tables: streams with their lengths, and their records.

use super::database::{Database, from_sql_int, range, sql_int};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{
    Error,
    in_process::ChangeSignal,
    journal::{Journal, Record, StreamInfo},
};
use futures::{StreamExt as _, stream, stream::BoxStream};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

/// Records that a follower reads at once.
const FOLLOW_BATCH: usize = 256;

pub(super) struct SqliteJournal {
    database: Arc<Database>,
}

impl SqliteJournal {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

/// Returns the row id of the stream and its length.
fn find(conn: &Connection, stream: &str) -> rusqlite::Result<Option<(i64, u64)>> {
    conn.prepare_cached("SELECT id, len FROM streams WHERE name = ?1")?
        .query_row([stream.as_bytes()], |row| Ok((row.get(0)?, from_sql_int(row.get(1)?))))
        .optional()
}

/// Returns records of a stream and the stream's row id. A stream that is deleted and created again has a different id.
fn records(conn: &Connection, stream: &str, from: u64, limit: usize) -> rusqlite::Result<(Option<i64>, Vec<Record>)> {
    // One statement, so that the id and the records are from the same snapshot.
    let mut select = conn.prepare_cached(
        "SELECT s.id, r.seq, r.body FROM streams s LEFT JOIN records r ON r.stream = s.id AND r.seq >= ?2
         WHERE s.name = ?1 ORDER BY r.seq LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![stream.as_bytes(), sql_int(from), limit])?;
    let mut found = (None, Vec::new());
    while let Some(row) = rows.next()? {
        found.0 = Some(row.get(0)?);
        if let Some(seq) = row.get::<_, Option<i64>>(1)? {
            found.1.push(Record { seq: from_sql_int(seq), bytes: row.get::<_, Vec<u8>>(2)?.into() });
        }
    }
    Ok(found)
}

/// The state of a follower between two records.
struct Follower {
    // Weak, so that a follower does not keep the database open.
    database: Weak<Database>,
    signal: Arc<ChangeSignal>,
    stream: String,
    next: u64,
    incarnation: Option<i64>,
    ready: VecDeque<Record>,
    failed: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Record, Error>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(Ok(record));
            }
            if self.failed {
                return None;
            }
            let signal = Arc::clone(&self.signal);
            // Created before the read, so that an append between the read and the wait is not missed.
            let notified = signal.notified();
            let read = {
                let database = self.database.upgrade()?;
                let (stream, from) = (self.stream.clone(), self.next);
                database.scan("follow a journal stream", move |conn| records(conn, &stream, from, FOLLOW_BATCH)).await
            };
            let (incarnation, found) = match read {
                Ok(read) => read,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            if signal.ended() || (self.incarnation.is_some() && incarnation != self.incarnation) {
                return None;
            }
            self.incarnation = incarnation;
            if let Some(last) = found.last() {
                self.next = last.seq + 1;
                self.ready = found.into();
            } else {
                notified.await;
            }
        }
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(&self, stream: &str, expected_len: u64, records: Vec<Bytes>) -> Result<u64, Error> {
        let name = stream.to_owned();
        let published = name.clone();
        self.database
            .write(
                "append to a journal stream",
                move |tx| {
                    let found = find(tx.conn, &name)?;
                    let len = found.map_or(0, |(_, len)| len);
                    if len != expected_len {
                        return Ok(Err(Error::Conflict {
                            what: "journal stream",
                            key: name.clone(),
                            expected: format!("{expected_len} records"),
                            found: format!("{len} records"),
                        }));
                    }
                    if records.is_empty() {
                        return Ok(Ok(len));
                    }
                    let new_len = len + records.len() as u64;
                    let id = if let Some((id, _)) = found {
                        tx.conn
                            .prepare_cached("UPDATE streams SET len = ?2 WHERE id = ?1")?
                            .execute([id, sql_int(new_len)])?;
                        id
                    } else {
                        tx.conn
                            .prepare_cached("INSERT INTO streams (name, len) VALUES (?1, ?2)")?
                            .insert(params![name.as_bytes(), sql_int(new_len)])?
                    };
                    let mut insert =
                        tx.conn.prepare_cached("INSERT INTO records (stream, seq, body) VALUES (?1, ?2, ?3)")?;
                    for (seq, body) in (len..).zip(&records) {
                        insert.execute(params![id, sql_int(seq), body.as_ref()])?;
                    }
                    Ok(Ok(new_len))
                },
                move |_, subscribers| subscribers.followers.notify(&published),
            )
            .await
    }

    async fn read(&self, stream: &str, from: u64, limit: usize) -> Result<Vec<Record>, Error> {
        let stream = stream.to_owned();
        self.database
            .scan("read a journal stream", move |conn| records(conn, &stream, from, limit).map(|(_, found)| found))
            .await
    }

    fn follow(&self, stream: &str, from: u64) -> BoxStream<'static, Result<Record, Error>> {
        let follower = Follower {
            database: Arc::downgrade(&self.database),
            signal: self.database.subscribers().followers.follow(stream),
            stream: stream.to_owned(),
            next: from,
            incarnation: None,
            ready: VecDeque::new(),
            failed: false,
        };
        stream::unfold(follower, |mut follower| async move { follower.next().await.map(|item| (item, follower)) })
            .boxed()
    }

    async fn streams(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<StreamInfo>, Error> {
        let (from, upper) = range(prefix, after);
        self.database
            .scan("list journal streams", move |conn| {
                let mut select = conn.prepare_cached(
                    "SELECT name, len FROM streams WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3",
                )?;
                select
                    .query_map(params![from, upper, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                        let name: Vec<u8> = row.get(0)?;
                        Ok(StreamInfo {
                            name: String::from_utf8_lossy(&name).into_owned(),
                            len: from_sql_int(row.get(1)?),
                        })
                    })?
                    .collect()
            })
            .await
    }

    async fn delete(&self, stream: &str) -> Result<(), Error> {
        let name = stream.to_owned();
        let published = name.clone();
        self.database
            .write(
                "delete a journal stream",
                move |tx| {
                    if let Some((id, _)) = find(tx.conn, &name)? {
                        tx.conn.prepare_cached("DELETE FROM records WHERE stream = ?1")?.execute([id])?;
                        tx.conn.prepare_cached("DELETE FROM streams WHERE id = ?1")?.execute([id])?;
                    }
                    Ok(Ok(()))
                },
                move |(), subscribers| subscribers.followers.end(&published),
            )
            .await
    }
}

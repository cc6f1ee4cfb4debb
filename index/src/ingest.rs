//! Ingestion of activity records of other processes: each record of a stream is applied once. The position in each
//! stream is stored in the same transaction as the data, once in the index and once in the usage file, since either
//! file may be lost alone.

use crate::{
    Error, Index,
    activity_records::RecordBatch,
    usage,
    words::int,
    writer::{Change, Usage},
};
use fabric_types::{id::TenantId, rest::node::UsageLine};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tokio::sync::oneshot;

/// A record of an activity stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRecord {
    /// The stream.
    pub stream: String,
    /// Position in the stream.
    pub seq: u64,
    /// The content.
    pub batch: RecordBatch,
}

/// All usage, and the position in each stream up to which it is included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Usage by tenant and UTC day, counted from 1970; the line names the function.
    pub usage: Vec<(TenantId, u32, UsageLine)>,
    /// Number of records of each stream that are included.
    pub read: Vec<(String, u64)>,
}

fn read(conn: &Connection, stream: &str) -> rusqlite::Result<u64> {
    let mut select = conn.prepare_cached("SELECT read FROM streams WHERE name = ?1")?;
    let found: Option<i64> = select.query_row([stream], |row| row.get(0)).optional()?;
    Ok(found.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

fn set_read(conn: &Connection, stream: &str, read: u64) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO streams VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET read = ?2")?
        .execute(params![stream, int(read)])
        .map(drop)
}

fn all_read(conn: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut select = conn.prepare_cached("SELECT name, read FROM streams ORDER BY name")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
    rows.map(|row| row.map(|(name, read)| (name, u64::try_from(read).unwrap_or(0)))).collect()
}

/// Returns `true` if a record is new to this file, and advances the stored position.
pub(crate) fn first(conn: &Connection, record: &StreamRecord) -> rusqlite::Result<bool> {
    let new = record.seq >= read(conn, &record.stream)?;
    if new {
        set_read(conn, &record.stream, record.seq + 1)?;
    }
    Ok(new)
}

/// Adds the usage of new records to the usage file, in one transaction.
pub(crate) fn add_usage<'a>(conn: &Connection, all: impl Iterator<Item = &'a StreamRecord>) -> rusqlite::Result<()> {
    let mut all = all.peekable();
    if all.peek().is_none() {
        return Ok(());
    }
    let tx = conn.unchecked_transaction()?;
    let mut sum = Usage::new();
    for record in all {
        if first(&tx, record)? {
            for (tenant, day, function, line) in &record.batch.usage {
                usage::merge(sum.entry((tenant.clone(), *day, function.clone())).or_default(), line);
            }
        }
    }
    usage::upsert(&tx, &sum)?;
    tx.commit()
}

/// Replaces the stored totals.
pub(crate) fn replace(conn: &Connection, totals: &Totals) -> rusqlite::Result<()> {
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch("DELETE FROM usage; DELETE FROM streams;")?;
    let mut sum = Usage::new();
    for (tenant, day, line) in &totals.usage {
        if let Some(function) = &line.function {
            usage::merge(sum.entry((tenant.clone(), *day, function.clone())).or_default(), line);
        }
    }
    usage::upsert(&tx, &sum)?;
    for (stream, read) in &totals.read {
        set_read(&tx, stream, *read)?;
    }
    tx.commit()
}

pub(crate) fn totals(conn: &Connection) -> Result<Totals, Error> {
    Ok(Totals { usage: usage::all(conn)?, read: all_read(conn)? })
}

/// Removes the positions of deleted streams.
pub(crate) fn forget(conn: &Connection, streams: &[String]) -> rusqlite::Result<()> {
    let mut delete = conn.prepare_cached("DELETE FROM streams WHERE name = ?1")?;
    for stream in streams {
        delete.execute([stream])?;
    }
    Ok(())
}

impl Index {
    /// Applies records of activity streams, in the order of each stream. Records that were applied before are skipped.
    ///
    /// # Errors
    /// [`Error::NotWritten`]; a retry is safe.
    pub async fn take(&self, records: Vec<StreamRecord>) -> Result<(), Error> {
        self.write(Change::StreamRecords(records)).await
    }

    /// Returns all usage, and the position in each stream up to which it is included.
    ///
    /// # Errors
    /// [`Error::NotWritten`], [`Error::Closed`].
    pub async fn totals(&self) -> Result<Totals, Error> {
        let (reply, answer) = oneshot::channel();
        self.write(Change::Totals(Some(reply))).await?;
        answer.await.map_err(|_| Error::Closed)
    }

    /// Replaces the stored usage with the totals of a process that has read more, or other, streams.
    ///
    /// # Errors
    /// [`Error::NotWritten`].
    pub async fn replace_totals(&self, totals: Totals) -> Result<(), Error> {
        self.write(Change::ReplaceTotals(totals)).await
    }

    /// Returns the number of records of each stream that are applied to both index and usage.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::NotWritten`], [`Error::Closed`].
    pub async fn read_of_streams(&self) -> Result<HashMap<String, u64>, Error> {
        let counted: HashMap<String, u64> = self.totals().await?.read.into_iter().collect();
        let listed = self.read(|conn| Ok(all_read(conn)?)).await?;
        let both = listed.into_iter().filter_map(|(name, read)| {
            let read = read.min(*counted.get(&name)?);
            Some((name, read))
        });
        Ok(both.collect())
    }

    /// Removes the positions of deleted streams.
    ///
    /// # Errors
    /// [`Error::NotWritten`].
    pub async fn forget_streams(&self, streams: Vec<String>) -> Result<(), Error> {
        self.write(Change::ForgetStreams(streams)).await
    }
}

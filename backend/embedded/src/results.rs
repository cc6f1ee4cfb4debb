//! Results as a table. See `slot` in [`super::schema`].

use super::database::{Database, from_sql_int, sql_int};
use async_trait::async_trait;
use fabric_backend::{
    Error,
    maintenance::USE_RESOLUTION,
    results::{CommitOutcome, ResultBody, ResultRecord, Results},
};
use fabric_types::{
    digest::{ContentDigest, TaskKey},
    id::TenantId,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::sync::Arc;

pub(super) struct SqliteResults {
    database: Arc<Database>,
}

impl SqliteResults {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

/// Returns the first eight bytes of the key.
fn slot(key: &TaskKey) -> i64 {
    key.0.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// Returns the current time in seconds since 1970.
fn now_s() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    sql_int(since.as_secs())
}

/// Returns `true` if `used` is so old that a new use must be recorded.
fn is_long_ago(used: i64) -> bool {
    used.saturating_add(sql_int(USE_RESOLUTION.as_secs())) < now_s()
}

/// Returns the digest and the time of the last recorded use.
fn find(conn: &Connection, tenant: &TenantId, key: &TaskKey) -> rusqlite::Result<Option<([u8; 32], i64)>> {
    conn.prepare_cached("SELECT digest, used FROM results WHERE slot = ?1 AND key = ?2 AND tenant = ?3")?
        .query_row(params![slot(key), key.0.as_slice(), tenant.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn use_now(conn: &Connection, tenant: &TenantId, key: &TaskKey) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE results SET used = ?4 WHERE slot = ?1 AND key = ?2 AND tenant = ?3")?
        .execute(params![slot(key), key.0.as_slice(), tenant.as_str(), now_s()])
        .map(drop)
}

fn insert(conn: &Connection, tenant: &TenantId, key: &TaskKey, record: &ResultRecord) -> rusqlite::Result<()> {
    let buckets: Option<Vec<u8>> =
        (!record.buckets.is_empty()).then(|| record.buckets.iter().flat_map(|end| end.to_le_bytes()).collect());
    let body = match &record.body {
        ResultBody::Inline(bytes) => Some(bytes.as_ref()),
        ResultBody::Object => None,
    };
    conn.prepare_cached(
        "INSERT INTO results (slot, tenant, key, digest, len, fuel, content_type, buckets, body, used)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        slot(key),
        tenant.as_str(),
        key.0.as_slice(),
        record.digest.0.as_slice(),
        sql_int(record.len),
        sql_int(record.fuel),
        record.content_type,
        buckets,
        body,
        now_s(),
    ])
    .map(drop)
}

fn record(row: &Row<'_>) -> rusqlite::Result<ResultRecord> {
    let buckets: Option<Vec<u8>> = row.get(4)?;
    let body: Option<Vec<u8>> = row.get(5)?;
    Ok(ResultRecord {
        digest: ContentDigest(row.get(0)?),
        len: from_sql_int(row.get(1)?),
        fuel: from_sql_int(row.get(2)?),
        content_type: row.get(3)?,
        buckets: buckets
            .unwrap_or_default()
            .chunks(8)
            .filter_map(|bytes| bytes.try_into().ok().map(u64::from_le_bytes))
            .collect(),
        body: body.map_or(ResultBody::Object, |bytes| ResultBody::Inline(bytes.into())),
    })
}

#[async_trait]
impl Results for SqliteResults {
    async fn get_many(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<Vec<Option<ResultRecord>>, Error> {
        let found: Vec<Option<(ResultRecord, i64)>> = self.database.read("read results", |conn| {
            // One transaction for all keys, since its locks cost more than a lookup.
            let tx = conn.unchecked_transaction()?;
            let mut select = tx.prepare_cached(
                "SELECT digest, len, fuel, content_type, buckets, body, used FROM results
                 WHERE slot = ?1 AND key = ?2 AND tenant = ?3",
            )?;
            let with_use = |row: &Row<'_>| Ok((record(row)?, row.get(6)?));
            keys.iter()
                .map(|key| select.query_row(params![slot(key), key.0.as_slice(), tenant.as_str()], with_use).optional())
                .collect()
        })?;
        let unused = |found: &Option<(ResultRecord, i64)>| found.as_ref().is_some_and(|(_, used)| is_long_ago(*used));
        let unused: Vec<TaskKey> = keys.iter().zip(&found).filter(|(_, f)| unused(f)).map(|(key, _)| *key).collect();
        if !unused.is_empty() {
            // Awaited before the answer: the caller's job relies on the results until it ends, so they must not expire
            // earlier.
            let tenant = tenant.clone();
            self.database
                .write(
                    "record the use of results",
                    move |tx| {
                        for key in &unused {
                            use_now(tx.conn, &tenant, key)?;
                        }
                        Ok(Ok(()))
                    },
                    |(), _| {},
                )
                .await?;
        }
        Ok(found.into_iter().map(|found| found.map(|(record, _)| record)).collect())
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        results: Vec<(TaskKey, ResultRecord)>,
    ) -> Result<Vec<CommitOutcome>, Error> {
        let tenant = tenant.clone();
        self.database
            .write(
                "commit results",
                move |tx| {
                    let mut answers = Vec::with_capacity(results.len());
                    for (key, record) in &results {
                        answers.push(match find(tx.conn, &tenant, key)? {
                            None => {
                                insert(tx.conn, &tenant, key, record)?;
                                CommitOutcome::Stored
                            }
                            Some((digest, used)) => {
                                if is_long_ago(used) {
                                    use_now(tx.conn, &tenant, key)?;
                                }
                                if digest == record.digest.0 {
                                    CommitOutcome::Same
                                } else {
                                    CommitOutcome::Differs(ContentDigest(digest))
                                }
                            }
                        });
                    }
                    Ok(Ok(answers))
                },
                |_, _| {},
            )
            .await
    }

    async fn delete(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<(), Error> {
        let (tenant, keys) = (tenant.clone(), keys.to_vec());
        self.database
            .write(
                "forget results",
                move |tx| {
                    let mut delete =
                        tx.conn.prepare_cached("DELETE FROM results WHERE slot = ?1 AND key = ?2 AND tenant = ?3")?;
                    for key in &keys {
                        delete.execute(params![slot(key), key.0.as_slice(), tenant.as_str()])?;
                    }
                    Ok(Ok(()))
                },
                |(), _| {},
            )
            .await
    }
}

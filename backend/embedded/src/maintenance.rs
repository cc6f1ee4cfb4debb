//! Accounting and expiry in the database file.

use super::database::{Database, from_sql_int, sql_int};
use async_trait::async_trait;
use fabric_backend::{
    Error,
    maintenance::{Expired, Maintenance, ROW_BYTES, Sizes, owner},
};
use fabric_types::{id::TenantId, storage::StorageKind};
use rusqlite::{Connection, params};
use std::{collections::HashSet, sync::Arc};

pub(super) struct SqliteMaintenance {
    database: Arc<Database>,
}

impl SqliteMaintenance {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

/// Adds the rows of a statement that selects a name and a number of bytes.
fn add(
    conn: &Connection,
    sizes: &mut Sizes,
    sql: &str,
    owner: impl Fn(&str) -> Option<(TenantId, StorageKind)>,
) -> rusqlite::Result<()> {
    let mut select = conn.prepare(sql)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_bytes()?;
        let Some((tenant, kind)) = std::str::from_utf8(name).ok().and_then(&owner) else { continue };
        *sizes.entry(tenant).or_default().entry(kind).or_default() += from_sql_int(row.get(1)?);
    }
    Ok(())
}

#[async_trait]
impl Maintenance for SqliteMaintenance {
    async fn sizes(&self) -> Result<Sizes, Error> {
        self.database
            .scan("count stored bytes", |conn| {
                let mut sizes = Sizes::new();
                // SQLite stores the length in the row header, so large values are not read.
                let results = format!(
                    "SELECT tenant, sum(ifnull(length(body), 0) + ifnull(length(buckets), 0) + {ROW_BYTES})
                     FROM results GROUP BY tenant"
                );
                let tenant = |name: &str| Some((TenantId::new(name).ok()?, StorageKind::Results));
                add(conn, &mut sizes, &results, tenant)?;
                add(conn, &mut sizes, &format!("SELECT key, length(value) + {ROW_BYTES} FROM registry"), owner)?;
                let records = format!(
                    "SELECT name, (SELECT ifnull(sum(length(body) + {ROW_BYTES}), 0) FROM records WHERE stream = id)
                     FROM streams"
                );
                add(conn, &mut sizes, &records, owner)?;
                Ok(sizes)
            })
            .await
    }

    async fn expire_results(&self, tenant: &TenantId, before_ms: u64, limit: usize) -> Result<Expired, Error> {
        let (tenant, before, limit) = (tenant.clone(), sql_int(before_ms / 1000), limit);
        self.database
            .write(
                "expire results",
                move |tx| {
                    let mut delete = tx.conn.prepare_cached(
                        "DELETE FROM results WHERE id IN
                            (SELECT id FROM results WHERE tenant = ?1 AND used < ?2 ORDER BY used LIMIT ?3)
                         RETURNING ifnull(length(body), 0) + ifnull(length(buckets), 0)",
                    )?;
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let mut rows = delete.query(params![tenant.as_str(), before, limit])?;
                    let mut expired = Expired::default();
                    while let Some(row) = rows.next()? {
                        expired.results += 1;
                        expired.bytes += from_sql_int(row.get(0)?) + ROW_BYTES;
                    }
                    Ok(Ok(expired))
                },
                |_, _| {},
            )
            .await
    }

    async fn count_expired(&self, tenant: &TenantId, before_ms: u64) -> Result<Expired, Error> {
        let (tenant, before) = (tenant.clone(), sql_int(before_ms / 1000));
        self.database
            .scan("count expired results", move |conn| {
                let mut select = conn.prepare(
                    "SELECT count(*), ifnull(sum(ifnull(length(body), 0) + ifnull(length(buckets), 0)), 0)
                     FROM results WHERE tenant = ?1 AND used < ?2",
                )?;
                select.query_row(params![tenant.as_str(), before], |row| {
                    let results = from_sql_int(row.get(0)?);
                    Ok(Expired { results, bytes: from_sql_int(row.get(1)?) + results * ROW_BYTES })
                })
            })
            .await
    }

    async fn result_objects(&self, tenant: &TenantId, used_since_ms: u64) -> Result<Option<HashSet<[u8; 32]>>, Error> {
        let (tenant, since) = (tenant.clone(), sql_int(used_since_ms / 1000));
        self.database
            .scan("list results that are objects", move |conn| {
                let mut select =
                    conn.prepare("SELECT digest FROM results WHERE tenant = ?1 AND used >= ?2 AND body IS NULL")?;
                let rows = select.query_map(params![tenant.as_str(), since], |row| row.get(0))?;
                rows.collect::<Result<HashSet<[u8; 32]>, _>>().map(Some)
            })
            .await
    }
}

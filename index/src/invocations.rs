//! Invocations: insertion, lookup, listing and retention.

use crate::{
    Error, Index, InvocationFilter,
    words::{Conditions, int, text},
    writer::Change,
};
use fabric_types::{
    id::{InvocationId, TenantId},
    rest::{Page, invocation::Invocation},
};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub(crate) fn put(conn: &Connection, tenant: &TenantId, invocation: &Invocation) -> Result<(), Error> {
    conn.prepare_cached(
        "INSERT INTO invocations (tenant, id, state, function, created, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (tenant, id) DO UPDATE SET state = ?3, function = ?4, created = ?5, body = ?6",
    )?
    .execute(params![
        tenant.as_str(),
        invocation.id.as_str(),
        invocation.state.as_str(),
        invocation.function.as_str(),
        int(invocation.created_ms),
        serde_json::to_string(invocation)?,
    ])?;
    Ok(())
}

/// Interval between checks for old invocations.
const AGE_CHECK: Duration = Duration::from_secs(60);

/// Limits each tenant's invocations in number and age. The number is checked after every hundredth part of the limit.
pub(crate) struct Retention {
    cap: u64,
    age: Duration,
    since_look: HashMap<TenantId, u64>,
    age_checked: Option<Instant>,
}

impl Retention {
    pub(crate) fn new(cap: u64, age: Duration) -> Self {
        Self { cap: cap.max(1), age, since_look: HashMap::new(), age_checked: None }
    }

    /// Removes invocations that are too old.
    pub(crate) fn trim(&mut self, conn: &Connection) -> Result<(), Error> {
        if self.age_checked.is_some_and(|at| at.elapsed() < AGE_CHECK.min(self.age)) {
            return Ok(());
        }
        self.age_checked = Some(Instant::now());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let oldest = u64::try_from(now.saturating_sub(self.age).as_millis()).unwrap_or(u64::MAX);
        conn.prepare_cached("DELETE FROM invocations WHERE created < ?1")?.execute([int(oldest)])?;
        Ok(())
    }

    pub(crate) fn added(&mut self, conn: &Connection, tenant: &TenantId) -> Result<(), Error> {
        let since = self.since_look.entry(tenant.clone()).or_default();
        *since += 1;
        if *since > self.cap / 100 {
            *since = 0;
            conn.prepare_cached(
                "DELETE FROM invocations WHERE tenant = ?1 AND id <=
                    (SELECT id FROM invocations WHERE tenant = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![tenant.as_str(), int(self.cap)])?;
        }
        Ok(())
    }
}

impl Index {
    /// Inserts or updates invocations and waits until they can be found.
    ///
    /// # Errors
    /// [`Error::NotWritten`]; a retry is safe.
    pub async fn put_invocations(&self, invocations: Vec<(TenantId, Invocation)>) -> Result<(), Error> {
        self.write(Change::Invocations(invocations)).await
    }

    /// Returns an invocation.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Damaged`].
    pub async fn invocation(&self, tenant: &TenantId, id: &InvocationId) -> Result<Option<Invocation>, Error> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.read(move |conn| {
            let body: Option<String> = conn
                .prepare_cached("SELECT body FROM invocations WHERE tenant = ?1 AND id = ?2")?
                .query_row([tenant.as_str(), id.as_str()], |row| row.get(0))
                .optional()?;
            Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
        })
        .await
    }

    /// Returns a page of at most `limit` invocations (1 to 1000), newest first. Pages do not shift when invocations are
    /// added.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Damaged`].
    pub async fn invocations(
        &self,
        tenant: &TenantId,
        filter: &InvocationFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Invocation>, Error> {
        let limit = limit.clamp(1, 1000);
        let mut all = Conditions::default();
        all.and("tenant = ?", [text(tenant.as_str())]);
        all.one_of("state", filter.states.iter().map(|state| state.as_str()));
        if let Some(function) = &filter.function {
            all.and("function = ?", [text(function.as_str())]);
        }
        if let Some(since) = filter.since_ms {
            all.and("created >= ?", [int(since)]);
        }
        if let Some(until) = filter.until_ms {
            all.and("created < ?", [int(until)]);
        }
        if let Some(cursor) = cursor {
            all.and("id < ?", [text(cursor)]);
        }
        let (sql, values) = all.finish();
        self.read(move |conn| {
            let sql = format!("SELECT body FROM invocations {sql} ORDER BY id DESC LIMIT {}", limit + 1);
            let mut select = conn.prepare_cached(&sql)?;
            let bodies = select
                .query_map(params_from_iter(values), |row| row.get::<_, String>(0))?
                .collect::<Result<Vec<_>, _>>()?;
            let mut items =
                bodies.iter().map(|body| serde_json::from_str(body)).collect::<Result<Vec<Invocation>, _>>()?;
            let more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().filter(|_| more).map(|invocation| invocation.id.to_string());
            Ok(Page { items, next })
        })
        .await
    }
}

//! Usage of each tenant's functions per UTC day, summed in memory and added to the file at least twice a second.
//!
//! Days of the last two months are stored individually; older ones are added to the first day of their month.

use crate::{
    Error, Index,
    words::int,
    writer::{Change, Usage},
};
use fabric_types::{
    Cost,
    id::{FunctionName, TenantId},
    rest::node::UsageLine,
};
use rusqlite::{Connection, params};
use std::{
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

/// Milliseconds per day.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Number of days that are stored individually.
const DAYS: u32 = 62;

/// Returns the current UTC day, counted from 1970-01-01.
#[must_use]
pub fn today() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs() / 86_400).unwrap_or(u32::MAX)
}

pub(crate) fn merge(into: &mut UsageLine, delta: &UsageLine) {
    into.invocations = into.invocations.saturating_add(delta.invocations);
    into.failed = into.failed.saturating_add(delta.failed);
    into.cancelled = into.cancelled.saturating_add(delta.cancelled);
    into.cached = into.cached.saturating_add(delta.cached);
    into.cost.add(&delta.cost);
}

pub(crate) fn add(conn: &Connection, deltas: &Usage) -> Result<(), rusqlite::Error> {
    if deltas.is_empty() {
        return Ok(());
    }
    let tx = conn.unchecked_transaction()?;
    upsert(&tx, deltas)?;
    tx.commit()
}

/// Adds the columns of a second row with the same key to those of the first.
const ADD: &str = "ON CONFLICT (tenant, day, function) DO UPDATE SET
    invocations = invocations + excluded.invocations, failed = failed + excluded.failed,
    cancelled = cancelled + excluded.cancelled, cached = cached + excluded.cached, fuel = fuel + excluded.fuel,
    guest_us = guest_us + excluded.guest_us, gpu_us = gpu_us + excluded.gpu_us,
    bytes_in = bytes_in + excluded.bytes_in, bytes_out = bytes_out + excluded.bytes_out";

/// Adds usage within the caller's transaction.
pub(crate) fn upsert(conn: &Connection, deltas: &Usage) -> Result<(), rusqlite::Error> {
    let mut upsert = conn.prepare_cached(&format!(
        "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) {ADD}"
    ))?;
    for ((tenant, day, function), line) in deltas {
        upsert.execute(params![
            tenant.as_str(),
            day,
            function.as_str(),
            int(line.invocations),
            int(line.failed),
            int(line.cancelled),
            int(line.cached),
            int(line.cost.fuel),
            int(line.cost.wall_us),
            int(line.cost.gpu_us),
            int(line.cost.bytes_in),
            int(line.cost.bytes_out),
        ])?;
    }
    Ok(())
}

/// Adds days older than two months to the first day of their month, which bounds the file.
pub(crate) fn compact(conn: &Connection, today: u32) -> Result<(), rusqlite::Error> {
    /// The first day of the month of `day`.
    const FIRST: &str = "CAST(strftime('%s', day * 86400, 'unixepoch', 'start of month') AS INTEGER) / 86400";
    let cutoff = today.saturating_sub(DAYS);
    let tx = conn.unchecked_transaction()?;
    tx.execute(
        &format!(
            "INSERT INTO usage SELECT tenant, {FIRST}, function, invocations, failed, cancelled, cached, fuel, guest_us,
                gpu_us, bytes_in, bytes_out FROM usage WHERE day < ?1 AND day <> {FIRST} {ADD}"
        ),
        [cutoff],
    )?;
    tx.execute(&format!("DELETE FROM usage WHERE day < ?1 AND day <> {FIRST}"), [cutoff])?;
    tx.commit()
}

fn line(row: &rusqlite::Row<'_>) -> rusqlite::Result<UsageLine> {
    let count = |column: &str| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(UsageLine {
        function: FunctionName::new(row.get::<_, String>("function")?).ok(),
        invocations: count("invocations")?,
        failed: count("failed")?,
        cancelled: count("cancelled")?,
        cached: count("cached")?,
        cost: Cost {
            fuel: count("fuel")?,
            wall_us: count("guest_us")?,
            gpu_us: count("gpu_us")?,
            bytes_in: count("bytes_in")?,
            bytes_out: count("bytes_out")?,
        },
        price: None,
    })
}

/// Returns a tenant's usage on these days by function, in the order of their names.
pub(crate) fn lines(conn: &Connection, tenant: &TenantId, days: &Range<u32>) -> Result<Vec<UsageLine>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT function, sum(invocations) AS invocations, sum(failed) AS failed, sum(cancelled) AS cancelled,
            sum(cached) AS cached, sum(fuel) AS fuel, sum(guest_us) AS guest_us, sum(gpu_us) AS gpu_us,
            sum(bytes_in) AS bytes_in, sum(bytes_out) AS bytes_out
         FROM usage WHERE tenant = ?1 AND day >= ?2 AND day < ?3 GROUP BY function ORDER BY function",
    )?;
    let rows = select.query_map(params![tenant.as_str(), days.start, days.end], line)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns all usage by tenant, day and function.
pub(crate) fn all(conn: &Connection) -> Result<Vec<(TenantId, u32, UsageLine)>, Error> {
    let mut select = conn.prepare_cached("SELECT * FROM usage ORDER BY tenant, day, function")?;
    let rows =
        select.query_map([], |row| Ok((row.get::<_, String>("tenant")?, row.get::<_, u32>("day")?, line(row)?)))?;
    let all: Vec<_> = rows.collect::<Result<_, _>>()?;
    Ok(all.into_iter().filter_map(|(name, day, line)| Some((TenantId::new(name).ok()?, day, line))).collect())
}

impl Index {
    /// Adds to a function's usage of today without waiting; `delta.function` is ignored. It is on disk within about
    /// half a second, or after [`Index::flush`].
    pub fn add_usage(&self, tenant: &TenantId, function: &FunctionName, delta: &UsageLine) {
        let mut queues = self.inner.shared.queues.lock();
        let first = queues.usage.is_empty();
        merge(queues.usage.entry((tenant.clone(), today(), function.clone())).or_default(), delta);
        drop(queues);
        if first {
            self.inner.shared.wake.notify_one();
        }
    }

    /// Returns a tenant's usage on these UTC days (counted from 1970-01-01) by function, in the order of their names,
    /// including all earlier additions. Days older than two months count as the first day of their month.
    ///
    /// # Errors
    /// [`Error::NotWritten`], [`Error::Closed`].
    pub async fn usage(&self, tenant: &TenantId, days: Range<u32>) -> Result<Vec<UsageLine>, Error> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.write(Change::Usage(tenant.clone(), days, Some(reply))).await?;
        answer.await.map_err(|_| Error::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_as_their_month_after_two_months() {
        let conn = crate::schema::open_usage(None).unwrap();
        let (tenant, function) = (TenantId::new("a").unwrap(), FunctionName::new("f").unwrap());
        let spent = |day: u32, fuel: u64| {
            let line = UsageLine { invocations: 1, cost: Cost { fuel, ..Cost::default() }, ..UsageLine::default() };
            add(&conn, &[((tenant.clone(), day, function.clone()), line)].into()).unwrap();
        };
        // 2026-09-01 is day 20,697; 2026-11-30 is day 20,787.
        for (day, fuel) in [(20_697, 1), (20_700, 2), (20_724, 4), (20_725, 8), (20_786, 16), (20_787, 32)] {
            spent(day, fuel);
        }
        let fuel = |days: Range<u32>| lines(&conn, &tenant, &days).unwrap().first().map_or(0, |line| line.cost.fuel);
        assert_eq!((fuel(0..u32::MAX), fuel(20_700..20_787), fuel(20_787..u32::MAX)), (63, 30, 32));
        for _ in 0..2 {
            compact(&conn, 20_787).unwrap();
            let days: Vec<_> = all(&conn).unwrap().into_iter().map(|(_, day, line)| (day, line.cost.fuel)).collect();
            assert_eq!(days, [(20_697, 7), (20_725, 8), (20_786, 16), (20_787, 32)]);
        }
        assert_eq!(fuel(0..u32::MAX), 63);
    }
}

//! Usage: what each tenant's functions have spent, summed in memory and added to the file at least twice a second.

use crate::{
    Error, Index,
    words::int,
    writer::{Change, Usage},
};
use fabric_types::{
    id::{FunctionName, TenantId},
    rest::node::UsageLine,
};
use rusqlite::{Connection, params};

pub(crate) fn merge(into: &mut UsageLine, delta: &UsageLine) {
    into.invocations = into.invocations.saturating_add(delta.invocations);
    into.failed = into.failed.saturating_add(delta.failed);
    into.cancelled = into.cancelled.saturating_add(delta.cancelled);
    into.cached = into.cached.saturating_add(delta.cached);
    into.fuel = into.fuel.saturating_add(delta.fuel);
    into.guest_us = into.guest_us.saturating_add(delta.guest_us);
    into.gpu_us = into.gpu_us.saturating_add(delta.gpu_us);
    into.bytes_in = into.bytes_in.saturating_add(delta.bytes_in);
    into.bytes_out = into.bytes_out.saturating_add(delta.bytes_out);
}

pub(crate) fn add(conn: &Connection, deltas: &Usage) -> Result<(), rusqlite::Error> {
    if deltas.is_empty() {
        return Ok(());
    }
    let tx = conn.unchecked_transaction()?;
    upsert(&tx, deltas)?;
    tx.commit()
}

/// Adds within the caller's transaction.
pub(crate) fn upsert(conn: &Connection, deltas: &Usage) -> Result<(), rusqlite::Error> {
    let mut upsert = conn.prepare_cached(
        "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (tenant, function) DO UPDATE SET invocations = invocations + ?3, failed = failed + ?4,
            cached = cached + ?5, fuel = fuel + ?6, guest_us = guest_us + ?7, bytes_in = bytes_in + ?8,
            bytes_out = bytes_out + ?9, gpu_us = gpu_us + ?10, cancelled = cancelled + ?11",
    )?;
    for ((tenant, function), line) in deltas {
        upsert.execute(params![
            tenant.as_str(),
            function.as_str(),
            int(line.invocations),
            int(line.failed),
            int(line.cached),
            int(line.fuel),
            int(line.guest_us),
            int(line.bytes_in),
            int(line.bytes_out),
            int(line.gpu_us),
            int(line.cancelled),
        ])?;
    }
    Ok(())
}

pub(crate) fn lines(conn: &Connection, tenant: &TenantId) -> Result<Vec<UsageLine>, Error> {
    let mut select = conn.prepare_cached(
        "SELECT function, invocations, failed, cached, fuel, guest_us, bytes_in, bytes_out, gpu_us, cancelled
         FROM usage
         WHERE tenant = ?1 ORDER BY function",
    )?;
    let rows = select.query_map([tenant.as_str()], |row| {
        let count = |column: usize| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
        Ok(UsageLine {
            function: FunctionName::new(row.get::<_, String>(0)?).ok(),
            invocations: count(1)?,
            failed: count(2)?,
            cached: count(3)?,
            fuel: count(4)?,
            guest_us: count(5)?,
            bytes_in: count(6)?,
            bytes_out: count(7)?,
            gpu_us: count(8)?,
            cancelled: count(9)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Index {
    /// Adds to a function's usage without waiting; `delta.function` is not looked at. Reaches the disk within about half a
    /// second, or with [`Index::flush`].
    pub fn add_usage(&self, tenant: &TenantId, function: &FunctionName, delta: &UsageLine) {
        let mut queues = self.inner.shared.queues.lock();
        let first = queues.usage.is_empty();
        merge(queues.usage.entry((tenant.clone(), function.clone())).or_default(), delta);
        drop(queues);
        if first {
            self.inner.shared.wake.notify_one();
        }
    }

    /// A tenant's usage by function, in the order of their names, everything added before included.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::NotWritten`].
    pub async fn usage(&self, tenant: &TenantId) -> Result<Vec<UsageLine>, Error> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.write(Change::Usage(tenant.clone(), Some(reply))).await?;
        answer.await.map_err(|_| Error::Closed)
    }
}

//! Log lines: queued without waiting, written in batches, listed, followed, and removed by age and size.
//!
//! There is no full-text index of their text: writing it would cost ten times the line itself, and a tenant's retained
//! lines are few enough to scan.

use crate::{
    Error, Index, LogFilter, ReadExtent,
    fair_drop_queue::{FairDropQueue, QueueLimits},
    filter::rank,
    words::{self, Conditions, int, text},
    writer::Shared,
};
use fabric_types::{
    id::{FunctionName, InvocationId, TenantId},
    rest::{
        Page,
        invocation::{LogLine, LogSource},
    },
};
use rusqlite::{Connection, Row, params, params_from_iter};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A line and its tenant.
type Owned = (TenantId, LogLine);

/// Maximum number and bytes of waiting lines, over all tenants; see [`FairDropQueue`].
const QUEUE: QueueLimits = QueueLimits { items: 16_384, bytes: 16 << 20 };
/// Interval between checks for old lines.
const AGE_CHECK: Duration = Duration::from_secs(60);

const fn source_text(source: LogSource) -> &'static str {
    match source {
        LogSource::Stdout => "stdout",
        LogSource::Stderr => "stderr",
        LogSource::Log => "log",
        LogSource::System => "system",
    }
}

/// Lines that wait for the writer.
pub(crate) struct Queue {
    lines: FairDropQueue<LogLine>,
}

impl Default for Queue {
    fn default() -> Self {
        Self { lines: FairDropQueue::new(QUEUE) }
    }
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn push(&mut self, tenant: TenantId, line: LogLine) {
        self.lines.push(tenant, line.message.len(), line);
    }

    /// Returns the lines, and a note for each tenant that lost some.
    pub(crate) fn finish(mut self) -> (VecDeque<Owned>, Vec<Owned>) {
        let (mut lines, mut notes) = (VecDeque::new(), Vec::new());
        for taken in self.lines.take() {
            let tenant = &taken.tenant;
            lines.extend(taken.items.into_iter().map(|line| (tenant.clone(), line)));
            if let Some(last) = taken.last_dropped {
                let message = format!("{} lines dropped: they came faster than they could be written", taken.dropped);
                notes.push((tenant.clone(), note(last.at_ms, last.invocation_id, last.function, message)));
            }
        }
        (lines, notes)
    }
}

fn note(at_ms: u64, invocation_id: InvocationId, function: FunctionName, message: String) -> LogLine {
    LogLine { at_ms, invocation_id, function, task: None, source: LogSource::System, level: "warn".to_owned(), message }
}

pub(crate) fn put(conn: &Connection, tenant: &TenantId, line: &LogLine) -> Result<(), Error> {
    conn.prepare_cached(
        "INSERT INTO logs (tenant, at, invocation, function, task, source, rank, level, message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        tenant.as_str(),
        int(line.at_ms),
        line.invocation_id.as_str(),
        line.function.as_str(),
        line.task,
        source_text(line.source),
        rank(&line.level),
        line.level,
        line.message,
    ])?;
    Ok(())
}

/// SQL for the approximate bytes of a line on disk: the row, an entry in each of three indexes, and the free space in
/// their pages. Short lines take twenty times their text.
const ROW_BYTES: &str = "(octet_length(message) + 4 * octet_length(tenant) + 2 * octet_length(invocation)
    + 2 * octet_length(function) + ifnull(octet_length(task), 0) + 72) * 5 / 4";

/// Returns the same estimate for a line that is not written yet.
fn row_bytes(tenant: &TenantId, line: &LogLine) -> u64 {
    let text = line.message.len()
        + 4 * tenant.as_str().len()
        + 2 * line.invocation_id.as_str().len()
        + 2 * line.function.as_str().len()
        + line.task.as_ref().map_or(0, String::len);
    (text as u64 + 72) * 5 / 4
}

/// Limits the lines of each tenant and of all tenants in bytes on disk, and in age.
pub(crate) struct Retention {
    cap: u64,
    cap_of_all: u64,
    age: Duration,
    bytes: HashMap<TenantId, u64>,
    age_checked: Option<Instant>,
}

impl Retention {
    pub(crate) fn new(conn: &Connection, cap: u64, cap_of_all: u64, age: Duration) -> Result<Self, Error> {
        let mut retention = Self { cap, cap_of_all, age, bytes: HashMap::new(), age_checked: None };
        retention.count(conn)?;
        Ok(retention)
    }

    fn count(&mut self, conn: &Connection) -> Result<(), Error> {
        self.bytes.clear();
        let mut select = conn.prepare(&format!("SELECT tenant, sum({ROW_BYTES}) FROM logs GROUP BY tenant"))?;
        let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        for row in rows {
            let (tenant, bytes) = row?;
            if let Ok(tenant) = TenantId::new(tenant) {
                self.bytes.insert(tenant, u64::try_from(bytes).unwrap_or(0));
            }
        }
        Ok(())
    }

    pub(crate) fn added(&mut self, tenant: &TenantId, line: &LogLine) {
        *self.bytes.entry(tenant.clone()).or_default() += row_bytes(tenant, line);
    }

    /// Returns the approximate bytes on disk of each tenant's lines.
    pub(crate) fn bytes(&self) -> &HashMap<TenantId, u64> {
        &self.bytes
    }

    /// Returns the current limit of a tenant: its maximum, or an equal share if all tenants together exceed theirs.
    fn share(&self) -> u64 {
        let all: u64 = self.bytes.values().sum();
        if all <= self.cap_of_all { self.cap } else { self.cap.min(self.cap_of_all / (self.bytes.len() as u64).max(1)) }
    }

    /// Removes lines that are too old, and the oldest lines of tenants above their limit, down to nine tenths of it.
    pub(crate) fn trim(&mut self, conn: &Connection) -> Result<(), Error> {
        if self.age_checked.is_none_or(|at| at.elapsed() >= AGE_CHECK.min(self.age)) {
            self.age_checked = Some(Instant::now());
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let oldest = u64::try_from(now.saturating_sub(self.age).as_millis()).unwrap_or(u64::MAX);
            if conn.prepare_cached("DELETE FROM logs WHERE at < ?1")?.execute([int(oldest)])? > 0 {
                self.count(conn)?;
            }
        }
        let share = self.share();
        for (tenant, bytes) in self.bytes.iter_mut().filter(|(_, bytes)| **bytes > share) {
            let target = share - share / 10;
            let mut select =
                conn.prepare_cached(&format!("SELECT id, {ROW_BYTES} FROM logs WHERE tenant = ?1 ORDER BY id"))?;
            let mut rows = select.query([tenant.as_str()])?;
            let mut last = None;
            while *bytes > target
                && let Some(row) = rows.next()?
            {
                last = Some(row.get::<_, i64>(0)?);
                *bytes = bytes.saturating_sub(u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
            }
            if let Some(last) = last {
                conn.prepare_cached("DELETE FROM logs WHERE tenant = ?1 AND id <= ?2")?
                    .execute(params![tenant.as_str(), last])?;
            }
        }
        Ok(())
    }
}

fn conditions(tenant: &TenantId, filter: &LogFilter, cursor: Option<i64>) -> Conditions {
    let mut all = Conditions::default();
    all.and("tenant = ?", [text(tenant.as_str())]);
    if let Some(function) = &filter.function {
        all.and("function = ?", [text(function.as_str())]);
    }
    if let Some(invocation) = &filter.invocation {
        all.and("invocation = ?", [text(invocation.as_str())]);
    }
    if let Some(prefix) = &filter.id_prefix {
        // A range, so that the index on ids applies. `~` sorts after all letters and digits.
        all.and("invocation >= ? AND invocation < ?", [text(prefix), text(format!("{prefix}~"))]);
    }
    if let Some(task) = &filter.task {
        all.and("task = ?", [text(task.as_str())]);
    }
    if let Some(since) = filter.since_ms {
        all.and("at >= ?", [int(since)]);
    }
    if let Some(level) = &filter.level {
        all.and("rank >= ?", [rank(level).into()]);
    }
    for word in filter.q.as_deref().map(words::words).unwrap_or_default() {
        all.and("message LIKE ? ESCAPE '\\'", [text(words::like(&word))]);
    }
    if let Some(cursor) = cursor {
        all.and(if filter.newest_first { "id < ?" } else { "id > ?" }, [cursor.into()]);
    }
    all
}

fn line(row: &Row<'_>) -> Result<(i64, LogLine), Error> {
    let damaged = |_| rusqlite::Error::InvalidQuery;
    let line = LogLine {
        at_ms: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
        invocation_id: InvocationId::new(row.get::<_, String>(2)?).map_err(damaged)?,
        function: FunctionName::new(row.get::<_, String>(3)?).map_err(damaged)?,
        task: row.get(4)?,
        source: match row.get::<_, String>(5)?.as_str() {
            "stdout" => LogSource::Stdout,
            "stderr" => LogSource::Stderr,
            "log" => LogSource::Log,
            _ => LogSource::System,
        },
        level: row.get(6)?,
        message: row.get(7)?,
    };
    Ok((row.get(0)?, line))
}

impl Index {
    /// Queues lines for the writer without waiting. If they arrive faster than they can be written, the oldest waiting
    /// lines of the tenant with the most are dropped, and a line of [`LogSource::System`] reports their number to that
    /// tenant.
    pub fn log(&self, lines: Vec<(TenantId, LogLine)>) {
        let shared: &Shared = &self.inner.shared;
        let mut queues = shared.queues.lock();
        for (tenant, line) in lines {
            queues.lines.push(tenant, line);
        }
        drop(queues);
        shared.wake.notify_one();
    }

    /// Returns a page of at most `limit` lines (1 to 1000), including all that were queued before.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::NotWritten`].
    pub async fn logs(
        &self,
        tenant: &TenantId,
        filter: &LogFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<LogLine>, Error> {
        self.flush().await?;
        let limit = limit.clamp(1, 1000);
        // An invalid cursor starts at the beginning.
        let cursor = cursor.and_then(|cursor| cursor.parse().ok());
        let mut items = self.numbered(tenant, filter, cursor, limit + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|(id, _)| id.to_string());
        Ok(Page { items: items.into_iter().map(|(_, line)| line).collect(), next })
    }

    /// Returns up to `limit` written lines with their numbers, which grow in order of writing.
    pub(crate) async fn numbered(
        &self,
        tenant: &TenantId,
        filter: &LogFilter,
        cursor: Option<i64>,
        limit: usize,
    ) -> Result<Vec<(i64, LogLine)>, Error> {
        let (sql, values) = conditions(tenant, filter, cursor).finish();
        let order = if filter.newest_first { "DESC" } else { "ASC" };
        let reach = if filter.is_search() { ReadExtent::Search } else { ReadExtent::Rows };
        self.read_as(reach, move |conn| {
            let mut select = conn.prepare_cached(&format!(
                "SELECT id, at, invocation, function, task, source, level, message FROM logs {sql}
                 ORDER BY id {order} LIMIT {limit}",
            ))?;
            let mut rows = select.query(params_from_iter(values))?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push(line(row)?);
            }
            Ok(items)
        })
        .await
    }
}

//! Dead letters: insertion and listing.

use crate::{
    Error, Index,
    words::{Conditions, int, text},
    writer::Change,
};
use fabric_types::{
    id::{JobId, TenantId},
    rest::{Page, job::DeadLetter},
};
use rusqlite::{Connection, params, params_from_iter};
use std::collections::BTreeSet;

/// Returns the position of a task among those of its job.
fn place(stage: u16, index: u32) -> u64 {
    u64::from(stage) << 32 | u64::from(index)
}

pub(crate) fn put(conn: &Connection, tenant: &TenantId, letter: &DeadLetter) -> Result<(), Error> {
    conn.prepare_cached("INSERT OR REPLACE INTO dead_letters (tenant, job, task, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            tenant.as_str(),
            letter.job.as_str(),
            int(place(letter.stage, letter.index)),
            serde_json::to_string(letter)?
        ])?;
    Ok(())
}

/// Maximum number of letters per tenant. Those of the oldest jobs are removed first; the journal has all of them.
const KEPT: u64 = 10_000;

pub(crate) fn trim(conn: &Connection, put: &[(TenantId, DeadLetter)]) -> Result<(), Error> {
    let tenants: BTreeSet<_> = put.iter().map(|(tenant, _)| tenant).collect();
    for tenant in tenants {
        conn.prepare_cached(
            "DELETE FROM dead_letters WHERE tenant = ?1 AND job <
                (SELECT job FROM dead_letters WHERE tenant = ?1 ORDER BY job DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![tenant.as_str(), int(KEPT)])?;
    }
    Ok(())
}

/// The position after which the next page of dead letters begins: a task of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterCursor(JobId, u64);

impl LetterCursor {
    /// Parses the `next` value of a page. Returns `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (job, task) = text.split_once('.')?;
        Some(Self(JobId::new(job).ok()?, task.parse().ok()?))
    }
}

impl Index {
    /// Inserts dead letters and waits until they can be found.
    ///
    /// # Errors
    /// [`Error::NotWritten`]; a retry is safe.
    pub async fn put_dead_letters(&self, letters: Vec<(TenantId, DeadLetter)>) -> Result<(), Error> {
        self.write(Change::Letters(letters)).await
    }

    /// Returns a page of at most `limit` dead letters (1 to 1000), those of the newest job first.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Damaged`].
    pub async fn dead_letters(
        &self,
        tenant: &TenantId,
        job: Option<&JobId>,
        cursor: Option<&LetterCursor>,
        limit: usize,
    ) -> Result<Page<DeadLetter>, Error> {
        let limit = limit.clamp(1, 1000);
        let mut all = Conditions::default();
        all.and("tenant = ?", [text(tenant.as_str())]);
        if let Some(job) = job {
            all.and("job = ?", [text(job.as_str())]);
        }
        if let Some(LetterCursor(job, task)) = cursor {
            let job = || text(job.as_str());
            all.and("(job < ? OR (job = ? AND task > ?))", [job(), job(), int(*task)]);
        }
        let (sql, values) = all.finish();
        self.read(move |conn| {
            let sql = format!("SELECT body FROM dead_letters {sql} ORDER BY job DESC, task LIMIT {}", limit + 1);
            let mut select = conn.prepare_cached(&sql)?;
            let bodies = select
                .query_map(params_from_iter(values), |row| row.get::<_, String>(0))?
                .collect::<Result<Vec<_>, _>>()?;
            let mut items =
                bodies.iter().map(|body| serde_json::from_str(body)).collect::<Result<Vec<DeadLetter>, _>>()?;
            let more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().filter(|_| more).map(|l| format!("{}.{}", l.job, place(l.stage, l.index)));
            Ok(Page { items, next })
        })
        .await
    }
}

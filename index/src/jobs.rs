//! Jobs: insertion, lookup and listing.

use crate::{
    Error, Index, JobFilter, ReadExtent,
    words::{self, Conditions, int, text},
    writer::Change,
};
use fabric_types::{
    id::{JobId, TenantId},
    rest::{Page, job::Job},
};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

/// Maximum size of a job's searchable text in bytes. Only the beginning of a very large parameter object is searchable.
const WORDS_BYTES: usize = 16 * 1024;

/// Returns the text for full-text search. It contains nothing that changes with progress, so that it is seldom
/// rewritten.
fn searchable(job: &Job) -> String {
    let mut words = [job.id.as_str(), &job.name, job.function.as_str(), &job.submitter].join("\n");
    for tag in &job.tags {
        words.push('\n');
        words.push_str(tag);
    }
    for part in [serde_json::to_string(&job.spec.input), serde_json::to_string(&job.spec.params)] {
        words.push('\n');
        words.push_str(&part.unwrap_or_default());
    }
    if let Some(error) = &job.error {
        words.push('\n');
        words.push_str(error.code.as_str());
        words.push('\n');
        words.push_str(&error.message);
    }
    if words.len() > WORDS_BYTES {
        words.truncate(words.floor_char_boundary(WORDS_BYTES));
    }
    // SQLite's text functions stop at a NUL.
    words.replace('\0', " ")
}

pub(crate) fn put(conn: &Connection, tenant: &TenantId, job: &Job) -> Result<(), Error> {
    let words = searchable(job);
    let tags: String = job.tags.iter().fold("\n".to_owned(), |tags, tag| tags + tag + "\n");
    let found: Option<(i64, bool)> = conn
        .prepare_cached("SELECT n, words = ?3 FROM jobs WHERE tenant = ?1 AND id = ?2")?
        .query_row(params![tenant.as_str(), job.id.as_str(), words], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let n: i64 = conn
        .prepare_cached(
            "INSERT INTO jobs (tenant, id, state, function, name, created, deleted, tags, words, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (tenant, id) DO UPDATE SET state = ?3, function = ?4, name = ?5, created = ?6, deleted = ?7,
                tags = ?8, words = ?9, body = ?10
             RETURNING n",
        )?
        .query_row(
            params![
                tenant.as_str(),
                job.id.as_str(),
                job.state.as_str(),
                job.function.as_str(),
                job.name,
                int(job.created_ms),
                job.deleted,
                tags,
                words,
                serde_json::to_string(job)?,
            ],
            |row| row.get(0),
        )?;
    match found {
        Some((_, true)) => return Ok(()),
        Some((n, false)) => {
            conn.prepare_cached("DELETE FROM job_words WHERE rowid = ?1")?.execute([n])?;
        }
        None => {}
    }
    conn.prepare_cached("INSERT INTO job_words (rowid, words) VALUES (?1, ?2)")?.execute(params![n, words])?;
    Ok(())
}

pub(crate) fn remove(conn: &Connection, tenant: &TenantId, id: &JobId) -> Result<(), Error> {
    let n: Option<i64> = conn
        .prepare_cached("DELETE FROM jobs WHERE tenant = ?1 AND id = ?2 RETURNING n")?
        .query_row([tenant.as_str(), id.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(n) = n {
        conn.prepare_cached("DELETE FROM job_words WHERE rowid = ?1")?.execute([n])?;
    }
    let whose = [tenant.as_str(), id.as_str()];
    conn.prepare_cached("DELETE FROM dead_letters WHERE tenant = ?1 AND job = ?2")?.execute(whose)?;
    // An asynchronous invocation has the same id.
    conn.prepare_cached("DELETE FROM invocations WHERE tenant = ?1 AND id = ?2")?.execute(whose)?;
    Ok(())
}

fn conditions(tenant: &TenantId, filter: &JobFilter, cursor: Option<&str>) -> Conditions {
    let mut all = Conditions::default();
    all.and("tenant = ?", [text(tenant.as_str())]);
    all.and("deleted = ?", [int(filter.deleted.into())]);
    all.one_of("state", filter.states.iter().map(|state| state.as_str()));
    if let Some(function) = &filter.function {
        all.and("function = ?", [text(function.as_str())]);
    }
    if let Some(name) = &filter.name {
        all.and("name LIKE ? ESCAPE '\\'", [text(words::like(name))]);
    }
    if let Some(tag) = &filter.tag {
        all.and("instr(tags, ?) > 0", [text(format!("\n{tag}\n"))]);
    }
    if let Some(prefix) = &filter.id_prefix {
        let prefix = prefix.to_ascii_uppercase();
        all.and("substr(id, 1, length(?)) = ?", [text(prefix.clone()), text(prefix)]);
    }
    if let Some(since) = filter.since_ms {
        all.and("created >= ?", [int(since)]);
    }
    if let Some(until) = filter.until_ms {
        all.and("created < ?", [int(until)]);
    }
    if let Some(q) = &filter.q {
        let found = words::words(q);
        if let Some(expression) = words::match_expression(&found) {
            all.and("n IN (SELECT rowid FROM job_words WHERE job_words MATCH ?)", [text(expression)]);
        }
        for word in found.iter().filter(|word| word.chars().count() < 3) {
            all.and("words LIKE ? ESCAPE '\\'", [text(words::like(word))]);
        }
    }
    if !filter.invocations {
        all.and("NOT EXISTS (SELECT 1 FROM invocations i WHERE i.tenant = jobs.tenant AND i.id = jobs.id)", []);
    }
    if let Some(cursor) = cursor {
        all.and("id < ?", [text(cursor)]);
    }
    all
}

impl Index {
    /// Inserts or updates jobs and waits until they can be found.
    ///
    /// # Errors
    /// [`Error::NotWritten`]; a retry is safe.
    pub async fn put_jobs(&self, jobs: Vec<(TenantId, Job)>) -> Result<(), Error> {
        self.write(Change::Jobs(jobs)).await
    }

    /// Removes a job with its dead letters. Succeeds if it does not exist.
    ///
    /// # Errors
    /// [`Error::NotWritten`]; a retry is safe.
    pub async fn remove_job(&self, tenant: &TenantId, id: &JobId) -> Result<(), Error> {
        self.write(Change::RemoveJob(tenant.clone(), id.clone())).await
    }

    /// Returns a job, deleted or not.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Damaged`].
    pub async fn job(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>, Error> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.read(move |conn| {
            let body: Option<String> = conn
                .prepare_cached("SELECT body FROM jobs WHERE tenant = ?1 AND id = ?2")?
                .query_row([tenant.as_str(), id.as_str()], |row| row.get(0))
                .optional()?;
            Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
        })
        .await
    }

    /// Returns a page of at most `limit` jobs (1 to 1000), newest first. Pages do not shift when jobs are added.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::Damaged`].
    pub async fn jobs(
        &self,
        tenant: &TenantId,
        filter: &JobFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Job>, Error> {
        let limit = limit.clamp(1, 1000);
        let (sql, values) = conditions(tenant, filter, cursor).finish();
        let reach = if filter.is_search() { ReadExtent::Search } else { ReadExtent::Rows };
        self.read_as(reach, move |conn| {
            let sql = format!("SELECT body FROM jobs {sql} ORDER BY id DESC LIMIT {}", limit + 1);
            let mut select = conn.prepare_cached(&sql)?;
            let bodies = select
                .query_map(params_from_iter(values), |row| row.get::<_, String>(0))?
                .collect::<Result<Vec<_>, _>>()?;
            let mut items = bodies.iter().map(|body| serde_json::from_str(body)).collect::<Result<Vec<Job>, _>>()?;
            let more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().filter(|_| more).map(|job| job.id.to_string());
            Ok(Page { items, next })
        })
        .await
    }
}

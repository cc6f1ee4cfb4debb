//! Lists of functions and versions.

use super::{
    Functions,
    record::{self, Head, decode, decode_deployment},
};
use crate::{Error, error::Result};
use fabric_api::function::FunctionSummary;
use fabric_backend::registry::RegistryEntry;
use fabric_types::{
    function::Deployment,
    id::{FunctionName, TenantId},
    rest::Page,
};

const BATCH: usize = 500;
/// Functions examined for one page. If few of them match a filter, the page is short and has a cursor.
const LOOKED_AT: usize = 5_000;
/// Maximum aliases or versions read for the deletion or the alias list of one function.
const MOST: usize = 100_000;

impl Functions {
    /// Reads the entries under a prefix in batches, until at least [`MOST`] are read.
    pub(super) async fn entries(&self, prefix: &str) -> Result<Vec<RegistryEntry>> {
        let mut all: Vec<RegistryEntry> = Vec::new();
        while all.len() < MOST {
            let after = all.last().map(|e| e.key.clone());
            let batch = self.0.backend.registry.list(prefix, after.as_deref(), BATCH).await?;
            let done = batch.len() < BATCH;
            all.extend(batch);
            if done {
                break;
            }
        }
        Ok(all)
    }

    /// Returns the summary of one function.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn summary(&self, tenant: &TenantId, f: &FunctionName) -> Result<FunctionSummary> {
        let head = self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        self.describe(tenant, f, &head).await
    }

    async fn describe(&self, tenant: &TenantId, f: &FunctionName, head: &Head) -> Result<FunctionSummary> {
        let targets = self.live_targets(tenant, f).await?;
        let shown = targets.iter().max_by_key(|t| t.weight).map_or(head.newest, |t| t.version);
        let deployment = self.version(tenant, f, shown).await?;
        Ok(FunctionSummary {
            name: f.clone(),
            description: deployment.manifest.function.description,
            tags: deployment.manifest.function.tags,
            public: deployment.manifest.function.public,
            entry: deployment.entry,
            latest: head.newest,
            live: targets,
            updated_ms: head.updated_ms,
        })
    }

    /// Returns a page of functions ordered by name: those that contain `q` in name or description, and carry `tag`.
    ///
    /// # Errors
    /// The errors of the registry.
    pub async fn list(
        &self,
        tenant: &TenantId,
        q: Option<&str>,
        tag: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<FunctionSummary>> {
        let prefix = record::heads(tenant);
        let q = q.map(str::to_lowercase);
        let mut after = cursor.map(|c| format!("{prefix}{c}"));
        let mut items: Vec<FunctionSummary> = Vec::new();
        let mut looked_at = 0;
        loop {
            let batch = self.0.backend.registry.list(&prefix, after.as_deref(), BATCH).await?;
            let done = batch.len() < BATCH;
            looked_at += batch.len();
            for entry in batch {
                let head: Head = decode("a function", &entry.value)?;
                let name = FunctionName::new(entry.key.strip_prefix(&prefix).unwrap_or_default())?;
                after = Some(entry.key);
                if head.deleted {
                    continue;
                }
                let one = match self.describe(tenant, &name, &head).await {
                    Ok(one) => one,
                    // Deleted while the page was read.
                    Err(e) if e.code() == fabric_types::Code::NotFound => continue,
                    Err(e) => return Err(e),
                };
                let fits = q
                    .as_ref()
                    .is_none_or(|q| one.name.as_str().contains(q) || one.description.to_lowercase().contains(q))
                    && tag.is_none_or(|t| one.tags.iter().any(|have| have == t));
                if !fits {
                    continue;
                }
                if items.len() == limit {
                    let next = items.last().map(|i| i.name.to_string());
                    return Ok(Page { items, next });
                }
                items.push(one);
            }
            if done {
                return Ok(Page { items, next: None });
            }
            if looked_at >= LOOKED_AT {
                let next = after.as_deref().and_then(|key| key.strip_prefix(&prefix)).map(str::to_owned);
                return Ok(Page { items, next });
            }
        }
    }

    /// Returns a page of versions, oldest first.
    ///
    /// # Errors
    /// `not-found`; `bad-request` for an invalid cursor.
    pub async fn versions(
        &self,
        tenant: &TenantId,
        f: &FunctionName,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Deployment>> {
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        let after = match cursor {
            Some(c) => {
                let version = c.parse().map_err(|_| Error::invalid_cursor())?;
                Some(record::version(tenant, f, version))
            }
            None => None,
        };
        let entries = self
            .0
            .backend
            .registry
            .list(&record::versions(tenant, f), after.as_deref(), limit.saturating_add(1))
            .await?;
        let more = entries.len() > limit;
        let items = entries.iter().take(limit).map(|e| decode_deployment(&e.value)).collect::<Result<Vec<_>>>()?;
        let next = if more { items.last().map(|d| d.version.to_string()) } else { None };
        Ok(Page { items, next })
    }
}

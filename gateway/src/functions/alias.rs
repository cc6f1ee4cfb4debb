//! Aliases: setting, promotion, rollback and deletion.

use super::{
    Functions, live,
    record::{self, AliasRecord, decode, encode, same_split},
};
use crate::{Error, clock::now_ms, error::Result};
use fabric_api::function::Alias;
use fabric_backend::registry::Precondition;
use fabric_types::{
    Code,
    function::AliasTarget,
    id::{AliasName, FunctionName, TenantId},
};

const ROUNDS: usize = 64;

/// A change of an alias.
struct Change<'a> {
    alias: &'a AliasName,
    targets: Vec<AliasTarget>,
    promoted: u32,
    /// The new history. `None`: the old history plus the targets that are replaced.
    history: Option<Vec<Vec<AliasTarget>>>,
}

impl Functions {
    /// Sets an alias.
    ///
    /// # Errors
    /// `bad-request` for targets out of bounds; `not-found` for a function or version that does not exist; `conflict`
    /// if the function has the maximum number of aliases; `unavailable` under too many concurrent changes.
    pub async fn set_alias(
        &self,
        tenant: &TenantId,
        f: &FunctionName,
        alias: &AliasName,
        targets: Vec<AliasTarget>,
    ) -> Result<Alias> {
        if alias.as_str() == "latest" {
            return Err(Error::bad("`latest` always means the newest version and can't be set"));
        }
        if targets.is_empty() || targets.len() > 16 || targets.iter().any(|t| !(1..=1000).contains(&t.weight)) {
            return Err(Error::bad("an alias has 1 to 16 targets with weights from 1 to 1000"));
        }
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        for (i, target) in targets.iter().enumerate() {
            if targets.iter().skip(i + 1).any(|t| t.version == target.version) {
                return Err(Error::bad(format!("version {} is named twice", target.version)));
            }
            self.version(tenant, f, target.version).await?;
        }
        for _ in 0..ROUNDS {
            let old = self.alias_record(tenant, f, alias).await?;
            if old.is_none() {
                self.check_alias_limit(tenant, f).await?;
            }
            let promoted = old.as_ref().map_or(0, |(r, _)| r.promoted);
            let change = Change { alias, targets: targets.clone(), promoted, history: None };
            if let Some(alias) = self.replace(tenant, f, old, change).await? {
                return Ok(alias);
            }
        }
        Err(Error::new(Code::Unavailable, "too many concurrent changes of this alias"))
    }

    /// Moves `live` to a deployed version, unless a newer deployment has moved it already. Leaves `live` unchanged if
    /// it already points there.
    pub(super) async fn promote(&self, tenant: &TenantId, f: &FunctionName, version: u32) -> Result<()> {
        let (live, targets) = (live()?, vec![AliasTarget { version, weight: 1 }]);
        for _ in 0..ROUNDS {
            let old = self.alias_record(tenant, f, &live).await?;
            if let Some((record, _)) = &old
                && (record.promoted > version || (record.promoted == version && record.alias.targets == targets))
            {
                return Ok(());
            }
            let change = Change { alias: &live, targets: targets.clone(), promoted: version, history: None };
            match self.replace(tenant, f, old, change).await {
                Ok(None) => {}
                // Deleted during the deployment: there is nothing to point at.
                Err(e) if e.code() == Code::NotFound => return Ok(()),
                other => return other.map(drop),
            }
        }
        Err(Error::new(Code::Unavailable, "too many concurrent changes of this alias"))
    }

    /// Writes an alias over `old`. Returns `None` if another writer was faster.
    async fn replace(
        &self,
        tenant: &TenantId,
        f: &FunctionName,
        old: Option<(AliasRecord, u64)>,
        change: Change<'_>,
    ) -> Result<Option<Alias>> {
        let Change { alias, targets, promoted, history } = change;
        let expect = old.as_ref().map_or(Precondition::Absent, |(_, revision)| Precondition::Revision(*revision));
        let grown = || old.map(|(record, _)| record.history_after(&targets)).unwrap_or_default();
        let history = history.unwrap_or_else(grown);
        let alias = Alias { name: alias.clone(), targets, updated_ms: now_ms() };
        let record = AliasRecord { alias, history, promoted };
        let key = record::alias(tenant, f, &record.alias.name);
        let revision = match self.0.backend.registry.put(&key, encode(&record)?, expect).await {
            Ok(revision) => revision,
            Err(fabric_backend::Error::Conflict { .. }) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        // A deletion marks the function as deleted before it lists the aliases. So either the deletion sees this alias,
        // or this check sees the mark: no alias remains that points at a deleted version.
        let dangling = self.dangling(tenant, f, &record.alias.targets).await?;
        if let Some(gone) = dangling {
            match self.0.backend.registry.delete(&key, Precondition::Revision(revision)).await {
                Ok(()) | Err(fabric_backend::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
            self.0.cache.forget(tenant.as_str(), f.as_str());
            return Err(gone);
        }
        self.0.cache.forget(tenant.as_str(), f.as_str());
        Ok(Some(record.alias))
    }

    /// Returns the error for a part of an alias that does not exist: its function or one of its versions.
    async fn dangling(&self, tenant: &TenantId, f: &FunctionName, targets: &[AliasTarget]) -> Result<Option<Error>> {
        if self.head(tenant, f).await?.is_none() {
            return Ok(Some(Error::not_found("function", f)));
        }
        for target in targets {
            match self.version(tenant, f, target.version).await {
                Ok(_) => {}
                Err(e) if e.code() == Code::NotFound => return Ok(Some(e)),
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Points `live` back: at `to`, or at its previous targets. Repeated calls go further back, never forward.
    ///
    /// # Errors
    /// `not-found`; `conflict` if there are no previous targets.
    pub async fn rollback(&self, tenant: &TenantId, f: &FunctionName, to: Option<u32>) -> Result<Alias> {
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        let live = live()?;
        if let Some(version) = to {
            self.version(tenant, f, version).await?;
        }
        for _ in 0..ROUNDS {
            let old = self.alias_record(tenant, f, &live).await?;
            let (now, mut history, promoted) = match &old {
                Some((record, _)) => (record.alias.targets.clone(), record.history.clone(), record.promoted),
                None => (Vec::new(), Vec::new(), 0),
            };
            let targets = match to {
                Some(version) => {
                    let targets = vec![AliasTarget { version, weight: 1 }];
                    // A rollback only goes back, unless the caller names a later version.
                    if let Some(at) = history.iter().rposition(|earlier| same_split(earlier, &targets)) {
                        history.truncate(at);
                    } else if now.iter().any(|target| target.version < version) {
                        history.push(now);
                    }
                    targets
                }
                None => self.earlier(tenant, f, &now, &mut history).await?,
            };
            let change = Change { alias: &live, targets, promoted, history: Some(history) };
            if let Some(alias) = self.replace(tenant, f, old, change).await? {
                return Ok(alias);
            }
        }
        Err(Error::new(Code::Unavailable, "too many concurrent changes of this alias"))
    }

    /// Pops targets from the history until some are found that all exist and differ from `now`, and returns them.
    async fn earlier(
        &self,
        tenant: &TenantId,
        f: &FunctionName,
        now: &[AliasTarget],
        history: &mut Vec<Vec<AliasTarget>>,
    ) -> Result<Vec<AliasTarget>> {
        while let Some(targets) = history.pop() {
            if !same_split(&targets, now) && self.dangling(tenant, f, &targets).await?.is_none() {
                return Ok(targets);
            }
        }
        Err(Error::new(Code::Conflict, format!("`{f}` had no other live version before"))
            .hint("name a version; `fabric versions` lists them"))
    }

    /// Deletes an alias.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn delete_alias(&self, tenant: &TenantId, f: &FunctionName, alias: &AliasName) -> Result<()> {
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        let missing = || Error::not_found("alias", format!("{f}:{alias}"));
        let key = record::alias(tenant, f, alias);
        for _ in 0..ROUNDS {
            let (_, revision) = self.alias_record(tenant, f, alias).await?.ok_or_else(missing)?;
            match self.0.backend.registry.delete(&key, Precondition::Revision(revision)).await {
                Ok(()) => {
                    self.0.cache.forget(tenant.as_str(), f.as_str());
                    return Ok(());
                }
                Err(fabric_backend::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(Error::new(Code::Unavailable, "too many concurrent changes of this alias"))
    }

    /// Returns the aliases of a function, ordered by name.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn aliases(&self, tenant: &TenantId, f: &FunctionName) -> Result<Vec<Alias>> {
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        let entries = self.entries(&record::aliases(tenant, f)).await?;
        entries.iter().map(|e| Ok(decode::<AliasRecord>("an alias", &e.value)?.alias)).collect()
    }
}

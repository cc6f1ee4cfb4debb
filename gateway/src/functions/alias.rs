//! Aliases: where they point, and the way back.

use super::{
    Functions, live,
    record::{self, AliasRecord, decode, encode},
};
use crate::{Error, clock::now_ms, error::Result};
use fabric_engine::registry::Expect;
use fabric_types::{
    Code,
    function::AliasTarget,
    id::{AliasName, FunctionName, TenantId},
    rest::function::Alias,
};

const ROUNDS: usize = 64;

impl Functions {
    /// Sets an alias.
    ///
    /// # Errors
    /// `bad-request` for targets out of bounds, `not-found` for a function or version that isn't there.
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
        self.point(tenant, f, alias, targets, false).await
    }

    /// Points an alias somewhere. With `keep`, one that points there already stays untouched.
    pub(super) async fn point(
        &self,
        tenant: &TenantId,
        f: &FunctionName,
        alias: &AliasName,
        targets: Vec<AliasTarget>,
        keep: bool,
    ) -> Result<Alias> {
        for _ in 0..ROUNDS {
            let old = self.alias_record(tenant, f, alias).await?;
            if keep
                && let Some((record, _)) = &old
                && record.alias.targets == targets
            {
                return Ok(record.alias.clone());
            }
            match self.replace(tenant, f, alias, old, targets.clone()).await {
                Err(e) if e.code() == Code::Conflict => {}
                other => return other,
            }
        }
        Err(Error::new(Code::Unavailable, "too many changes of this alias at once"))
    }

    async fn replace(
        &self,
        tenant: &TenantId,
        f: &FunctionName,
        alias: &AliasName,
        old: Option<(AliasRecord, u64)>,
        targets: Vec<AliasTarget>,
    ) -> Result<Alias> {
        let expect = old.as_ref().map_or(Expect::Absent, |(_, revision)| Expect::Revision(*revision));
        let previous =
            old.map_or_else(Vec::new, |(r, _)| if r.alias.targets == targets { r.previous } else { r.alias.targets });
        let record = AliasRecord { alias: Alias { name: alias.clone(), targets, updated_ms: now_ms() }, previous };
        self.0.engine.registry.put(&record::alias(tenant, f, alias), encode(&record)?, expect).await?;
        self.0.cache.forget(tenant.as_str(), f.as_str());
        Ok(record.alias)
    }

    /// Points `live` back: at `to`, or at what it pointed at before.
    ///
    /// # Errors
    /// `not-found`; `conflict` when there is nothing to go back to.
    pub async fn rollback(&self, tenant: &TenantId, f: &FunctionName, to: Option<u32>) -> Result<Alias> {
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        let live = live()?;
        let targets = match to {
            Some(version) => vec![AliasTarget { version, weight: 1 }],
            None => {
                let nothing = || {
                    Error::new(Code::Conflict, format!("`{f}` was not live in another version before"))
                        .hint("name the version to go to")
                };
                let (record, _) = self.alias_record(tenant, f, &live).await?.ok_or_else(nothing)?;
                if record.previous.is_empty() {
                    return Err(nothing());
                }
                record.previous
            }
        };
        self.set_alias(tenant, f, &live, targets).await
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn delete_alias(&self, tenant: &TenantId, f: &FunctionName, alias: &AliasName) -> Result<()> {
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        let missing = || Error::not_found("alias", format!("{f}:{alias}"));
        let (_, revision) = self.alias_record(tenant, f, alias).await?.ok_or_else(missing)?;
        let key = record::alias(tenant, f, alias);
        self.0.engine.registry.delete(&key, Expect::Revision(revision)).await?;
        self.0.cache.forget(tenant.as_str(), f.as_str());
        Ok(())
    }

    /// The aliases of a function, by name.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn aliases(&self, tenant: &TenantId, f: &FunctionName) -> Result<Vec<Alias>> {
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        let entries = self.entries(&record::aliases(tenant, f)).await?;
        entries.iter().map(|e| Ok(decode::<AliasRecord>("an alias", &e.value)?.alias)).collect()
    }
}

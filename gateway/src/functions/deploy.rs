//! Deploying and deleting.

use super::{
    Functions, live,
    record::{self, AliasRecord, Head, decode, decode_deployment, encode},
};
use crate::{Error, clock::now_ms, error::Result};
use fabric_engine::registry::Expect;
use fabric_types::{
    Code,
    digest::ModuleDigest,
    function::{AliasTarget, Deployment, Entry},
    id::{FunctionName, TenantId},
    manifest::Manifest,
};

/// Rounds of compare-and-set before a writer gives up: every lost round is another's success.
const ROUNDS: usize = 64;

/// What becomes a version.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The manifest, parameters' schema filled in.
    pub manifest: Manifest,
    /// The module, stored already.
    pub module: ModuleDigest,
    /// Its size.
    pub module_bytes: u64,
    /// What it exports.
    pub entry: Entry,
    /// A word from the deployer.
    pub note: String,
    /// Whether `live` moves to it.
    pub promote: bool,
}

fn busy() -> Error {
    Error::new(Code::Unavailable, "too many changes of this function at once")
}

/// What a deployment did.
#[derive(Debug)]
pub struct Made {
    /// The version that there is now.
    pub deployment: Deployment,
    /// Whether it was made; else the newest was the same.
    pub created: bool,
    /// Where `live` pointed before.
    pub live_before: Vec<AliasTarget>,
    /// Where it points now; empty where nothing is live.
    pub live: Vec<AliasTarget>,
}

impl Functions {
    /// Makes a version, or finds that the newest is the same.
    ///
    /// # Errors
    /// `invalid-manifest` for a schema that does not compile; those of the registry.
    pub async fn deploy(&self, tenant: &TenantId, new: NewVersion) -> Result<Made> {
        if let Some(schema) = &new.manifest.params {
            self.check_schema(tenant, schema).await?;
        }
        if new.note.len() > 1000 {
            return Err(Error::bad("a note has at most 1000 bytes"));
        }
        let f = new.manifest.function.name.clone();
        let live_before = self.live_targets(tenant, &f).await?;
        let (mut deployment, created) = self.claim(tenant, &f, &new).await?;
        if !created && !new.note.is_empty() && new.note != deployment.note {
            deployment = self.annotate(deployment, new.note).await?;
        }
        if new.promote {
            self.promote(tenant, &f, deployment.version).await?;
        }
        self.0.cache.forget(tenant.as_str(), f.as_str());
        let live = self.live_targets(tenant, &f).await?;
        Ok(Made { deployment, created, live_before, live })
    }

    /// Where `live` points; empty where nothing is live.
    pub(super) async fn live_targets(&self, tenant: &TenantId, f: &FunctionName) -> Result<Vec<AliasTarget>> {
        let record = self.alias_record(tenant, f, &live()?).await?;
        Ok(record.map(|(record, _)| record.alias.targets).unwrap_or_default())
    }

    /// Gives a version another note, which is all of it that can change.
    async fn annotate(&self, deployment: Deployment, note: String) -> Result<Deployment> {
        let registry = &self.0.engine.registry;
        let key = record::version(&deployment.tenant, &deployment.function, deployment.version);
        let noted = Deployment { note, ..deployment };
        // One that is gone meanwhile is not made again.
        let Some(entry) = registry.get(&key).await? else { return Ok(noted) };
        match registry.put(&key, encode(&noted)?, Expect::Revision(entry.revision)).await {
            Ok(_) | Err(fabric_engine::Error::Conflict { .. }) => Ok(noted),
            Err(e) => Err(e.into()),
        }
    }

    async fn claim(&self, tenant: &TenantId, f: &FunctionName, new: &NewVersion) -> Result<(Deployment, bool)> {
        let registry = &self.0.engine.registry;
        let mut floor = 0;
        for _ in 0..ROUNDS {
            let entry = registry.get(&record::head(tenant, f)).await?;
            let head = entry.map(|e| decode::<Head>("a function", &e.value)).transpose()?;
            let (latest, newest) = head.as_ref().map_or((0, 0), |h| (h.latest, h.newest));
            let there = head.as_ref().is_some_and(|h| !h.deleted);
            if there && let Some(same) = registry.get(&record::version(tenant, f, newest)).await? {
                let same = decode_deployment(&same.value)?;
                if same.module == new.module && same.manifest == new.manifest {
                    return Ok((same, false));
                }
            }
            if there {
                self.room_for_version(tenant, f, latest).await?;
            } else {
                self.room_for_function(tenant).await?;
            }
            let version = latest.max(floor) + 1;
            let deployment = Deployment {
                tenant: tenant.clone(),
                function: f.clone(),
                version,
                module: new.module,
                module_bytes: new.module_bytes,
                entry: new.entry,
                manifest: new.manifest.clone(),
                created_ms: now_ms(),
                note: new.note.clone(),
            };
            let claimed =
                registry.put(&record::version(tenant, f, version), encode(&deployment)?, Expect::Absent).await;
            match claimed {
                Ok(_) => {
                    self.raise(tenant, f, version).await?;
                    return Ok((deployment, true));
                }
                // Another took the number and may not have raised the head yet.
                Err(fabric_engine::Error::Conflict { .. }) => {
                    if let Some(other) = registry.get(&record::version(tenant, f, version)).await? {
                        let other = decode_deployment(&other.value)?;
                        if other.module == new.module && other.manifest == new.manifest {
                            // The same deployment, twice at once: one version is enough for both.
                            self.raise(tenant, f, version).await?;
                            return Ok((other, false));
                        }
                    }
                    // Look again above it.
                    floor = version;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(busy())
    }

    /// Makes the head name `version` at least.
    async fn raise(&self, tenant: &TenantId, f: &FunctionName, version: u32) -> Result<()> {
        let key = record::head(tenant, f);
        for _ in 0..ROUNDS {
            let entry = self.0.engine.registry.get(&key).await?;
            let expect = entry.as_ref().map_or(Expect::Absent, |e| Expect::Revision(e.revision));
            let old = entry.map(|e| decode::<Head>("a function", &e.value)).transpose()?;
            if old.as_ref().is_some_and(|h| h.newest >= version && !h.deleted) {
                return Ok(());
            }
            let latest = old.map_or(0, |h| h.latest).max(version);
            let head = Head { latest, newest: version, deleted: false, updated_ms: now_ms() };
            match self.0.engine.registry.put(&key, encode(&head)?, expect).await {
                Ok(_) => return Ok(()),
                Err(fabric_engine::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(busy())
    }

    /// Removes a version that no alias points at. Its number is not given again.
    ///
    /// # Errors
    /// `not-found`; `conflict` where an alias points at it or it is the only one.
    pub async fn delete_version(&self, tenant: &TenantId, f: &FunctionName, version: u32) -> Result<()> {
        let registry = &self.0.engine.registry;
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        let key = record::version(tenant, f, version);
        let missing = || Error::not_found("version", format!("{f}@{version}"));
        let entry = registry.get(&key).await?.ok_or_else(missing)?;
        self.check_unused(tenant, f, version).await?;
        if self.entries(&record::versions(tenant, f)).await?.iter().all(|other| other.key == key) {
            return Err(Error::new(Code::Conflict, format!("`{f}@{version}` is the only version"))
                .hint("delete the function instead"));
        }
        registry.delete(&key, Expect::Revision(entry.revision)).await?;
        // Who sets an alias looks at its versions once more after it, and this looks at the aliases once more: of two at
        // once, at least one sees the other.
        if let Err(used) = self.check_unused(tenant, f, version).await {
            match registry.put(&key, entry.value, Expect::Absent).await {
                Ok(_) | Err(fabric_engine::Error::Conflict { .. }) => return Err(used),
                Err(e) => return Err(e.into()),
            }
        }
        self.lower(tenant, f, version).await?;
        self.0.cache.forget(tenant.as_str(), f.as_str());
        Ok(())
    }

    /// Whether no alias points at a version.
    async fn check_unused(&self, tenant: &TenantId, f: &FunctionName, version: u32) -> Result<()> {
        let aliases = self.aliases(tenant, f).await?;
        match aliases.iter().find(|alias| alias.targets.iter().any(|t| t.version == version)) {
            None => Ok(()),
            Some(alias) => Err(Error::new(Code::Conflict, format!("`{f}:{}` points at version {version}", alias.name))
                .hint("point it at another version or delete it first: `fabric alias`")),
        }
    }

    /// Makes the head name the newest version that is there, when that was `gone`.
    async fn lower(&self, tenant: &TenantId, f: &FunctionName, gone: u32) -> Result<()> {
        let key = record::head(tenant, f);
        for _ in 0..ROUNDS {
            let Some(entry) = self.0.engine.registry.get(&key).await? else { return Ok(()) };
            let mut head = decode::<Head>("a function", &entry.value)?;
            if head.newest != gone {
                return Ok(());
            }
            let left = self.entries(&record::versions(tenant, f)).await?;
            let Some(last) = left.last() else { return Ok(()) };
            head.newest = decode_deployment(&last.value)?.version;
            match self.0.engine.registry.put(&key, encode(&head)?, Expect::Revision(entry.revision)).await {
                Ok(_) => return Ok(()),
                Err(fabric_engine::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(busy())
    }

    /// Removes a function with its versions and aliases. Its number sequence goes on if it is deployed again.
    ///
    /// # Errors
    /// `not-found`; `conflict` when it was deployed meanwhile.
    pub async fn delete(&self, tenant: &TenantId, f: &FunctionName) -> Result<()> {
        let registry = &self.0.engine.registry;
        let key = record::head(tenant, f);
        let entry = registry.get(&key).await?;
        let (revision, mut head) = match entry {
            Some(e) => (e.revision, decode::<Head>("a function", &e.value)?),
            None => return Err(Error::not_found("function", f)),
        };
        if head.deleted {
            return Err(Error::not_found("function", f));
        }
        head.deleted = true;
        registry.put(&key, encode(&head)?, Expect::Revision(revision)).await?;
        self.0.cache.forget(tenant.as_str(), f.as_str());
        // Versions before aliases: who sets an alias looks at the versions once more after it, so an alias that comes
        // too late for the list below is taken back by its setter.
        let last = record::version(tenant, f, head.latest);
        for version in self.entries(&record::versions(tenant, f)).await? {
            if version.key <= last {
                registry.delete(&version.key, Expect::Any).await?;
            }
        }
        for alias in self.entries(&record::aliases(tenant, f)).await? {
            // One that points at newer versions only belongs to a deployment that came after.
            let targets = decode::<AliasRecord>("an alias", &alias.value)?.alias.targets;
            if targets.iter().all(|t| t.version > head.latest) {
                continue;
            }
            match registry.delete(&alias.key, Expect::Revision(alias.revision)).await {
                // An alias that changed meanwhile was looked at again by the one who changed it.
                Ok(()) | Err(fabric_engine::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.0.cache.forget(tenant.as_str(), f.as_str());
        Ok(())
    }
}

//! Deployment and deletion of functions.

use super::{
    Functions, live,
    record::{self, AliasRecord, Head, decode, decode_deployment, encode},
};
use crate::{Error, clock::now_ms, error::Result};
use fabric_backend::registry::Precondition;
use fabric_types::{
    Code,
    digest::ModuleDigest,
    function::{AliasTarget, Deployment, Entry},
    id::{FunctionName, TenantId},
    manifest::Manifest,
};

/// Rounds of compare-and-set before a writer gives up. Each lost round is the success of another writer.
const ROUNDS: usize = 64;

/// A version to be created.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The manifest, with the schema of its parameters filled in.
    pub manifest: Manifest,
    /// The digest of the module, which is stored already.
    pub module: ModuleDigest,
    /// Size of the module in bytes.
    pub module_bytes: u64,
    /// The entry that the module exports.
    pub entry: Entry,
    /// A note from the deployer.
    pub note: String,
    /// Moves `live` to the version.
    pub promote: bool,
}

fn busy() -> Error {
    Error::new(Code::Unavailable, "too many concurrent changes of this function")
}

/// The result of a deployment.
#[derive(Debug)]
pub struct DeployOutcome {
    /// The current version.
    pub deployment: Deployment,
    /// `true` if the version was created; `false` if the newest one was identical.
    pub created: bool,
    /// Targets of `live` before the deployment.
    pub live_before: Vec<AliasTarget>,
    /// Targets of `live` now; empty if nothing is live.
    pub live: Vec<AliasTarget>,
}

impl Functions {
    /// Creates a version, or finds that the newest one is identical.
    ///
    /// # Errors
    /// `invalid-manifest` for a schema that does not compile; `bad-request` for a note that is too long; `conflict` if
    /// the maximum number of functions or versions is reached; the errors of the registry.
    pub async fn deploy(&self, tenant: &TenantId, new: NewVersion) -> Result<DeployOutcome> {
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
        Ok(DeployOutcome { deployment, created, live_before, live })
    }

    /// Returns the targets of `live`; empty if nothing is live.
    pub(super) async fn live_targets(&self, tenant: &TenantId, f: &FunctionName) -> Result<Vec<AliasTarget>> {
        let record = self.alias_record(tenant, f, &live()?).await?;
        Ok(record.map(|(record, _)| record.alias.targets).unwrap_or_default())
    }

    /// Changes the note of a version, its only mutable part.
    async fn annotate(&self, deployment: Deployment, note: String) -> Result<Deployment> {
        let registry = &self.0.backend.registry;
        let key = record::version(&deployment.tenant, &deployment.function, deployment.version);
        let noted = Deployment { note, ..deployment };
        // A version that was deleted in the meantime is not created again.
        let Some(entry) = registry.get(&key).await? else { return Ok(noted) };
        match registry.put(&key, encode(&noted)?, Precondition::Revision(entry.revision)).await {
            Ok(_) | Err(fabric_backend::Error::Conflict { .. }) => Ok(noted),
            Err(e) => Err(e.into()),
        }
    }

    async fn claim(&self, tenant: &TenantId, f: &FunctionName, new: &NewVersion) -> Result<(Deployment, bool)> {
        let registry = &self.0.backend.registry;
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
                self.check_version_limit(tenant, f, latest).await?;
            } else {
                self.check_function_limit(tenant).await?;
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
                registry.put(&record::version(tenant, f, version), encode(&deployment)?, Precondition::Absent).await;
            match claimed {
                Ok(_) => {
                    self.raise(tenant, f, version).await?;
                    return Ok((deployment, true));
                }
                // Another deployment claimed the number and may not have raised the head yet.
                Err(fabric_backend::Error::Conflict { .. }) => {
                    if let Some(other) = registry.get(&record::version(tenant, f, version)).await? {
                        let other = decode_deployment(&other.value)?;
                        if other.module == new.module && other.manifest == new.manifest {
                            // The same deployment, twice at once: one version serves both.
                            self.raise(tenant, f, version).await?;
                            return Ok((other, false));
                        }
                    }
                    // Retry with a higher number.
                    floor = version;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(busy())
    }

    /// Raises the newest version in the head to at least `version`.
    async fn raise(&self, tenant: &TenantId, f: &FunctionName, version: u32) -> Result<()> {
        let key = record::head(tenant, f);
        for _ in 0..ROUNDS {
            let entry = self.0.backend.registry.get(&key).await?;
            let expect = entry.as_ref().map_or(Precondition::Absent, |e| Precondition::Revision(e.revision));
            let old = entry.map(|e| decode::<Head>("a function", &e.value)).transpose()?;
            if old.as_ref().is_some_and(|h| h.newest >= version && !h.deleted) {
                return Ok(());
            }
            let latest = old.map_or(0, |h| h.latest).max(version);
            let head = Head { latest, newest: version, deleted: false, updated_ms: now_ms() };
            match self.0.backend.registry.put(&key, encode(&head)?, expect).await {
                Ok(_) => return Ok(()),
                Err(fabric_backend::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(busy())
    }

    /// Deletes a version that no alias points at. Its number is not assigned again.
    ///
    /// # Errors
    /// `not-found`; `conflict` if an alias points at the version, or if it is the only one.
    pub async fn delete_version(&self, tenant: &TenantId, f: &FunctionName, version: u32) -> Result<()> {
        let registry = &self.0.backend.registry;
        self.head(tenant, f).await?.ok_or_else(|| Error::not_found("function", f))?;
        let key = record::version(tenant, f, version);
        let missing = || Error::not_found("version", format!("{f}@{version}"));
        let entry = registry.get(&key).await?.ok_or_else(missing)?;
        self.check_unused(tenant, f, version).await?;
        if self.entries(&record::versions(tenant, f)).await?.iter().all(|other| other.key == key) {
            return Err(Error::new(Code::Conflict, format!("`{f}@{version}` is the only version"))
                .hint("delete the function instead"));
        }
        registry.delete(&key, Precondition::Revision(entry.revision)).await?;
        // A writer of an alias checks the versions again after its write, and this checks the aliases again after the
        // deletion: of two concurrent changes, at least one sees the other.
        if let Err(used) = self.check_unused(tenant, f, version).await {
            match registry.put(&key, entry.value, Precondition::Absent).await {
                Ok(_) | Err(fabric_backend::Error::Conflict { .. }) => return Err(used),
                Err(e) => return Err(e.into()),
            }
        }
        self.lower(tenant, f, version).await?;
        self.0.cache.forget(tenant.as_str(), f.as_str());
        Ok(())
    }

    /// Checks that no alias points at a version.
    async fn check_unused(&self, tenant: &TenantId, f: &FunctionName, version: u32) -> Result<()> {
        let aliases = self.aliases(tenant, f).await?;
        match aliases.iter().find(|alias| alias.targets.iter().any(|t| t.version == version)) {
            None => Ok(()),
            Some(alias) => Err(Error::new(Code::Conflict, format!("`{f}:{}` points at version {version}", alias.name))
                .hint("point it at another version or delete it first: `fabric alias`")),
        }
    }

    /// Lowers the newest version in the head to the newest existing one if it is `gone`.
    async fn lower(&self, tenant: &TenantId, f: &FunctionName, gone: u32) -> Result<()> {
        let key = record::head(tenant, f);
        for _ in 0..ROUNDS {
            let Some(entry) = self.0.backend.registry.get(&key).await? else { return Ok(()) };
            let mut head = decode::<Head>("a function", &entry.value)?;
            if head.newest != gone {
                return Ok(());
            }
            let left = self.entries(&record::versions(tenant, f)).await?;
            let Some(last) = left.last() else { return Ok(()) };
            head.newest = decode_deployment(&last.value)?.version;
            match self.0.backend.registry.put(&key, encode(&head)?, Precondition::Revision(entry.revision)).await {
                Ok(_) => return Ok(()),
                Err(fabric_backend::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(busy())
    }

    /// Deletes a function with its versions and aliases. Version numbers continue if the function is deployed again.
    ///
    /// # Errors
    /// `not-found`; `conflict` if the function was deployed in the meantime.
    pub async fn delete(&self, tenant: &TenantId, f: &FunctionName) -> Result<()> {
        let registry = &self.0.backend.registry;
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
        registry.put(&key, encode(&head)?, Precondition::Revision(revision)).await?;
        self.0.cache.forget(tenant.as_str(), f.as_str());
        // Versions before aliases: a writer of an alias checks the versions again after its write, so an alias that is
        // too late for the list below is removed by its writer.
        let last = record::version(tenant, f, head.latest);
        for version in self.entries(&record::versions(tenant, f)).await? {
            if version.key <= last {
                registry.delete(&version.key, Precondition::Any).await?;
            }
        }
        for alias in self.entries(&record::aliases(tenant, f)).await? {
            // An alias that points only at newer versions belongs to a later deployment.
            let targets = decode::<AliasRecord>("an alias", &alias.value)?.alias.targets;
            if targets.iter().all(|t| t.version > head.latest) {
                continue;
            }
            match registry.delete(&alias.key, Precondition::Revision(alias.revision)).await {
                // An alias that changed in the meantime was checked again by its writer.
                Ok(()) | Err(fabric_backend::Error::Conflict { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.0.cache.forget(tenant.as_str(), f.as_str());
        Ok(())
    }
}

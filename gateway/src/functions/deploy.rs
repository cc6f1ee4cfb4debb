//! Deploying and deleting.

use super::{
    Functions,
    record::{self, AliasRecord, Head, decode, decode_deployment, encode},
};
use crate::{Error, clock::now_ms, error::Result};
use fabric_engine::registry::Expect;
use fabric_types::{
    Code,
    digest::ModuleDigest,
    function::{Deployment, Entry},
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

impl Functions {
    /// Makes a version, or finds that the newest is the same; tells which.
    ///
    /// # Errors
    /// `invalid-manifest` for a schema that does not compile; those of the registry.
    pub async fn deploy(&self, tenant: &TenantId, new: NewVersion) -> Result<(Deployment, bool)> {
        if let Some(schema) = &new.manifest.params {
            self.check_schema(tenant, schema).await?;
        }
        if new.note.len() > 1000 {
            return Err(Error::bad("a note has at most 1000 bytes"));
        }
        let f = new.manifest.function.name.clone();
        let (deployment, created) = self.claim(tenant, &f, &new).await?;
        if new.promote {
            self.promote(tenant, &f, deployment.version).await?;
        }
        self.0.cache.forget(tenant.as_str(), f.as_str());
        Ok((deployment, created))
    }

    async fn claim(&self, tenant: &TenantId, f: &FunctionName, new: &NewVersion) -> Result<(Deployment, bool)> {
        let registry = &self.0.engine.registry;
        let mut floor = 0;
        for _ in 0..ROUNDS {
            let entry = registry.get(&record::head(tenant, f)).await?;
            let head = entry.map(|e| decode::<Head>("a function", &e.value)).transpose()?;
            let latest = head.as_ref().map_or(0, |h| h.latest);
            let there = head.as_ref().is_some_and(|h| !h.deleted);
            if there && let Some(same) = registry.get(&record::version(tenant, f, latest)).await? {
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
            if old.as_ref().is_some_and(|h| h.latest >= version && !h.deleted) {
                return Ok(());
            }
            let latest = old.map_or(0, |h| h.latest).max(version);
            let head = Head { latest, deleted: false, updated_ms: now_ms() };
            match self.0.engine.registry.put(&key, encode(&head)?, expect).await {
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

//! Resolution of names to deployments. Resolved names are cached until they change, so that most calls do not read the
//! registry.

use super::{
    Functions, live,
    record::{self, AliasRecord, Head, decode, decode_deployment},
};
use crate::{Error, clock, error::Result};
use fabric_types::{
    Code,
    function::{AliasTarget, Deployment, FunctionRef, Selector},
    id::{FunctionName, TenantId},
};
use std::sync::Arc;

/// A version ready to be called.
pub struct ResolvedVersion {
    /// The deployment to run.
    pub deployment: Arc<Deployment>,
    /// The version number as a header value.
    pub number: http::HeaderValue,
    /// The digest of the parameters' schema, if the version has one.
    pub(super) schema: Option<blake3::Hash>,
}

impl ResolvedVersion {
    fn new(deployment: Deployment) -> Self {
        let number = http::HeaderValue::from(deployment.version);
        let schema = deployment.manifest.params.as_ref().map(super::schemas::digest);
        Self { deployment: Arc::new(deployment), number, schema }
    }
}

/// The versions that a reference may resolve to, with their weights.
pub struct WeightedVersions {
    targets: Vec<(u32, Arc<ResolvedVersion>)>,
    total: u64,
}

impl WeightedVersions {
    /// Picks one version at random, by weight.
    #[must_use]
    pub fn pick(&self) -> Option<&Arc<ResolvedVersion>> {
        if let [(_, only)] = self.targets.as_slice() {
            return Some(only);
        }
        let mut at = clock::draw() % self.total.max(1);
        for (weight, version) in &self.targets {
            if at < u64::from(*weight) {
                return Some(version);
            }
            at -= u64::from(*weight);
        }
        self.targets.last().map(|(_, v)| v)
    }
}

impl Functions {
    /// Resolves text of the form `tenant/reference`, such as `acme/weather:live`, to the version to call.
    ///
    /// # Errors
    /// `bad-request` for text that does not name a function; `not-found`.
    pub async fn resolve_text(&self, text: &str) -> Result<Arc<ResolvedVersion>> {
        if let Some(version) = self.0.cache.get(text).as_deref().and_then(WeightedVersions::pick) {
            return Ok(Arc::clone(version));
        }
        let choice = self.choice(text).await?;
        choice.pick().cloned().ok_or_else(|| Error::not_found("function", text))
    }

    /// Reads the choice for a text from the registry and caches it.
    async fn choice(&self, text: &str) -> Result<Arc<WeightedVersions>> {
        let (tenant, reference) = text.split_once('/').ok_or_else(|| Error::bad("write TENANT/FUNCTION"))?;
        let tenant = TenantId::new(tenant)?;
        let reference: FunctionRef = reference.parse()?;
        // View first, registry second: see `cache`.
        let view = self.0.cache.view(text);
        let choice = Arc::new(self.load(&tenant, &reference).await?);
        view.insert(text, &choice);
        Ok(choice)
    }

    /// Resolves a reference to the version to call.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn resolve(&self, tenant: &TenantId, reference: &FunctionRef) -> Result<Arc<ResolvedVersion>> {
        self.resolve_text(&format!("{tenant}/{reference}")).await
    }

    /// Returns `true` if the function's live versions permit anonymous calls to the version or alias that a text such
    /// as `acme/weather@1` names. All live versions must be public, so that a function that was public is closed as a
    /// whole. The manifest of the named version is checked separately.
    pub(crate) async fn is_open(&self, text: &str) -> bool {
        let Some(end) = text.find(['@', ':']) else { return true };
        let name = text.get(..end).unwrap_or_default();
        let live = match self.0.cache.get(name) {
            Some(live) => live,
            None => match self.choice(name).await {
                Ok(live) => live,
                Err(_) => return false,
            },
        };
        live.targets.iter().all(|(_, version)| version.deployment.manifest.function.public)
    }

    async fn load(&self, tenant: &TenantId, reference: &FunctionRef) -> Result<WeightedVersions> {
        let missing = || Error::not_found("function", reference).hint("`fabric functions` lists what is deployed");
        let head = self.head(tenant, &reference.name).await?.ok_or_else(missing)?;
        let only = |version| vec![AliasTarget { version, weight: 1 }];
        let targets = match &reference.selector {
            Selector::Version(v) => only(*v),
            Selector::Alias(a) if a.as_str() == "latest" => only(head.newest),
            Selector::Alias(a) => {
                let missing = || Error::not_found("alias", reference).hint("`fabric alias NAME` lists the aliases");
                self.alias_record(tenant, &reference.name, a).await?.ok_or_else(missing)?.0.alias.targets
            }
            Selector::Default => {
                let missing = || {
                    Error::new(Code::NotFound, format!("no version of `{reference}` is live")).hint(format!(
                        "call one by its number, as `{reference}@{}`, or make it live: fabric alias {reference} live={}",
                        head.newest, head.newest
                    ))
                };
                self.alias_record(tenant, &reference.name, &live()?).await?.ok_or_else(missing)?.0.alias.targets
            }
        };
        let mut choice = WeightedVersions { targets: Vec::new(), total: 0 };
        for target in targets {
            let deployment = self.version(tenant, &reference.name, target.version).await?;
            choice.total += u64::from(target.weight);
            choice.targets.push((target.weight, Arc::new(ResolvedVersion::new(deployment))));
        }
        Ok(choice)
    }

    /// Returns the head of a function that exists.
    pub(super) async fn head(&self, tenant: &TenantId, f: &FunctionName) -> Result<Option<Head>> {
        let entry = self.0.backend.registry.get(&record::head(tenant, f)).await?;
        let head = entry.map(|e| decode::<Head>("a function", &e.value)).transpose()?;
        Ok(head.filter(|h| !h.deleted))
    }

    pub(super) async fn alias_record(
        &self,
        tenant: &TenantId,
        f: &FunctionName,
        alias: &fabric_types::id::AliasName,
    ) -> Result<Option<(AliasRecord, u64)>> {
        let entry = self.0.backend.registry.get(&record::alias(tenant, f, alias)).await?;
        entry.map(|e| Ok((decode("an alias", &e.value)?, e.revision))).transpose()
    }

    /// Returns one version.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn version(&self, tenant: &TenantId, f: &FunctionName, version: u32) -> Result<Deployment> {
        let entry = self.0.backend.registry.get(&record::version(tenant, f, version)).await?;
        let entry = entry.ok_or_else(|| Error::not_found("version", format!("{f}@{version}")))?;
        decode_deployment(&entry.value)
    }
}

//! From a name to a deployment without reading the registry on the way: views of functions, cached until they change.

use super::{
    Functions, live, params,
    record::{self, AliasRecord, Head, decode, decode_deployment},
};
use crate::{Error, clock, error::Result};
use fabric_types::{
    function::{AliasTarget, Deployment, FunctionRef, Selector},
    id::{FunctionName, TenantId},
};
use jsonschema::Validator;
use serde_json::{Map, Value};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// A version ready to be called.
pub struct Version {
    /// What runs.
    pub deployment: Arc<Deployment>,
    /// The version as a header's text.
    pub number: http::HeaderValue,
    validator: OnceLock<Option<Result<Validator, String>>>,
}

impl Version {
    fn new(deployment: Deployment) -> Self {
        let number = http::HeaderValue::from(deployment.version);
        Self { deployment: Arc::new(deployment), number, validator: OnceLock::new() }
    }

    /// Checks parameters against the version's schema, where it has one.
    ///
    /// # Errors
    /// `invalid-params`; `invalid-manifest` when the schema no longer compiles.
    pub fn check_params(&self, given: &Map<String, Value>) -> Result<()> {
        let compiled = self.validator.get_or_init(|| {
            self.deployment.manifest.params.as_ref().map(|s| params::compile(s).map_err(|e| e.to_string()))
        });
        match compiled {
            None => Ok(()),
            Some(Ok(validator)) => params::check(validator, given),
            Some(Err(problem)) => Err(Error::new(fabric_types::Code::InvalidManifest, problem.clone())),
        }
    }
}

/// The versions that a reference may mean, with their weights.
pub struct Choice {
    targets: Vec<(u32, Arc<Version>)>,
    total: u64,
    stale: AtomicBool,
}

impl Choice {
    /// One of them, by weight.
    #[must_use]
    pub fn pick(&self) -> Option<&Arc<Version>> {
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

/// Choices by `tenant/reference`, as callers write it, so that a look-up on the hot path makes nothing.
pub(super) struct Cache {
    choices: moka::sync::Cache<String, Arc<Choice>>,
    /// Which texts are cached for a function, to forget them together.
    texts: moka::sync::Cache<String, Arc<parking_lot::Mutex<Vec<String>>>>,
    generation: AtomicU64,
}

/// Texts that one function may have in the cache; more are answered without it.
const MAX_TEXTS: usize = 256;

impl Cache {
    pub(super) fn new() -> Self {
        let idle = Duration::from_secs(3600);
        Self {
            choices: moka::sync::Cache::builder().max_capacity(50_000).time_to_idle(idle).build(),
            texts: moka::sync::Cache::builder().max_capacity(50_000).build(),
            generation: AtomicU64::new(0),
        }
    }

    /// Forgets all that is known of a function.
    pub(super) fn forget(&self, tenant: &str, function: &str) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        let key = format!("{tenant}/{function}");
        if let Some(texts) = self.texts.get(&key) {
            for text in texts.lock().drain(..) {
                if let Some(choice) = self.choices.get(&text) {
                    choice.stale.store(true, Ordering::Release);
                }
                self.choices.invalidate(&text);
            }
        }
    }

    fn get(&self, text: &str) -> Option<Arc<Choice>> {
        self.choices.get(text).filter(|c| !c.stale.load(Ordering::Acquire))
    }

    fn insert(&self, text: &str, function: String, choice: &Arc<Choice>, generation: u64) {
        let texts = self.texts.get_with(function, Arc::default);
        let mut texts = texts.lock();
        if texts.len() < MAX_TEXTS && self.generation.load(Ordering::SeqCst) == generation {
            if !texts.iter().any(|t| t == text) {
                texts.push(text.to_owned());
            }
            self.choices.insert(text.to_owned(), Arc::clone(choice));
        }
    }
}

impl Functions {
    /// The version to call for `tenant/reference` text such as `acme/weather:live`.
    ///
    /// # Errors
    /// `bad-request` for text that names no function, `not-found`.
    pub async fn resolve_text(&self, text: &str) -> Result<Arc<Version>> {
        if let Some(version) = self.0.cache.get(text).as_deref().and_then(Choice::pick) {
            return Ok(Arc::clone(version));
        }
        let (tenant, reference) = text.split_once('/').ok_or_else(|| Error::bad("write TENANT/FUNCTION"))?;
        let tenant = TenantId::new(tenant)?;
        let reference: FunctionRef = reference.parse()?;
        let generation = self.0.cache.generation.load(Ordering::SeqCst);
        let choice = Arc::new(self.load(&tenant, &reference).await?);
        self.0.cache.insert(text, format!("{tenant}/{}", reference.name), &choice, generation);
        choice.pick().cloned().ok_or_else(|| Error::not_found("function", &reference))
    }

    /// The version to call for a reference.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn resolve(&self, tenant: &TenantId, reference: &FunctionRef) -> Result<Arc<Version>> {
        self.resolve_text(&format!("{tenant}/{reference}")).await
    }

    async fn load(&self, tenant: &TenantId, reference: &FunctionRef) -> Result<Choice> {
        let missing = || Error::not_found("function", reference).hint("`fabric functions` lists what is deployed");
        let head = self.head(tenant, &reference.name).await?.ok_or_else(missing)?;
        let only = |version| vec![AliasTarget { version, weight: 1 }];
        let targets = match &reference.selector {
            Selector::Version(v) => only(*v),
            Selector::Alias(a) if a.as_str() == "latest" => only(head.latest),
            Selector::Alias(a) => {
                self.alias_record(tenant, &reference.name, a).await?.ok_or_else(missing)?.0.alias.targets
            }
            Selector::Default => match self.alias_record(tenant, &reference.name, &live()?).await? {
                Some((record, _)) => record.alias.targets,
                None => only(head.latest),
            },
        };
        let mut choice = Choice { targets: Vec::new(), total: 0, stale: AtomicBool::new(false) };
        for target in targets {
            let deployment = self.version(tenant, &reference.name, target.version).await?;
            choice.total += u64::from(target.weight);
            choice.targets.push((target.weight, Arc::new(Version::new(deployment))));
        }
        Ok(choice)
    }

    /// The head of a function that is there.
    pub(super) async fn head(&self, tenant: &TenantId, f: &FunctionName) -> Result<Option<Head>> {
        let entry = self.0.engine.registry.get(&record::head(tenant, f)).await?;
        let head = entry.map(|e| decode::<Head>("a function", &e.value)).transpose()?;
        Ok(head.filter(|h| !h.deleted))
    }

    pub(super) async fn alias_record(
        &self,
        tenant: &TenantId,
        f: &FunctionName,
        alias: &fabric_types::id::AliasName,
    ) -> Result<Option<(AliasRecord, u64)>> {
        let entry = self.0.engine.registry.get(&record::alias(tenant, f, alias)).await?;
        entry.map(|e| Ok((decode("an alias", &e.value)?, e.revision))).transpose()
    }

    /// One version.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn version(&self, tenant: &TenantId, f: &FunctionName, version: u32) -> Result<Deployment> {
        let entry = self.0.engine.registry.get(&record::version(tenant, f, version)).await?;
        let entry = entry.ok_or_else(|| Error::not_found("version", format!("{f}@{version}")))?;
        decode_deployment(&entry.value)
    }
}

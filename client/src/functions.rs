//! Functions, versions, aliases.

use crate::{Client, Download, Paging, Result, idempotency_key, request::Payload};
use bytes::Bytes;
use fabric_types::{
    function::Deployment,
    rest::{
        Page,
        function::{Alias, Deployed, FunctionSummary, Rollback, SetAlias},
    },
};
use reqwest::Method;
use std::time::Duration;

/// Compiling a large module takes the server a while.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(600);

/// What to deploy.
#[derive(Debug, Clone)]
pub struct Deploy {
    /// The manifest, TOML or JSON.
    pub manifest: String,
    /// The module.
    pub module: Bytes,
    /// A word on this version, such as a commit id.
    pub note: Option<String>,
    /// Whether `live` moves to the new version. Default true.
    pub promote: bool,
}

impl Deploy {
    /// Deploys `module` under `manifest` (TOML or JSON) and points `live` at it.
    #[must_use]
    pub fn new(manifest: impl Into<String>, module: impl Into<Bytes>) -> Self {
        Self { manifest: manifest.into(), module: module.into(), note: None, promote: true }
    }
}

/// Which functions to list.
#[derive(Debug, Clone, Default)]
pub struct FunctionFilter {
    /// Words in the name or the description.
    pub q: Option<String>,
    /// A tag.
    pub tag: Option<String>,
    /// Which page.
    pub paging: Paging,
}

impl Client {
    /// Deploys a module. The same module and manifest as the newest version make no new one.
    ///
    /// # Errors
    /// `not-wasm`, `invalid-module`, `unknown-import`, `no-entry`, `compile-limit`, `invalid-manifest` and those of
    /// every request.
    pub async fn deploy(&self, deploy: &Deploy) -> Result<Deployed> {
        let key = idempotency_key()?;
        let boundary = format!("fabric-{key}");
        let part = |name: &str, kind: &str| {
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{}\r\nContent-Type: {kind}\r\n\r\n",
                if name == "module" { "; filename=\"module.wasm\"" } else { "" }
            )
        };
        let kind = if deploy.manifest.trim_start().starts_with('{') { "application/json" } else { "application/toml" };
        let mut head = format!("{}{}\r\n", part("manifest", kind), deploy.manifest);
        if let Some(note) = &deploy.note {
            head += &format!("{}{note}\r\n", part("note", "text/plain; charset=utf-8"));
        }
        if !deploy.promote {
            head += &format!("{}false\r\n", part("promote", "text/plain"));
        }
        head += &part("module", "application/wasm");
        let tail = format!("\r\n--{boundary}--\r\n");
        self.request(Method::POST, &["functions"])?
            .header("content-type", format!("multipart/form-data; boundary={boundary}"))
            .payload(Payload::Bytes(vec![head.into(), deploy.module.clone(), tail.into()]))
            .idempotent(Some(&key))?
            .timeout(Some(DEPLOY_TIMEOUT))
            .read()
            .await
    }

    /// Functions by name.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn functions(&self, filter: &FunctionFilter) -> Result<Page<FunctionSummary>> {
        let mut query = Vec::new();
        push(&mut query, "q", filter.q.as_ref());
        push(&mut query, "tag", filter.tag.as_ref());
        filter.paging.query(&mut query);
        self.request(Method::GET, &["functions"])?.query(&query).read().await
    }

    /// One function.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn function(&self, name: &str) -> Result<FunctionSummary> {
        self.request(Method::GET, &["functions", name])?.read().await
    }

    /// Deletes a function with its versions and aliases; its jobs keep running.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn delete_function(&self, name: &str) -> Result<()> {
        self.request(Method::DELETE, &["functions", name])?.done().await
    }

    /// Versions, oldest first.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn versions(&self, name: &str, paging: &Paging) -> Result<Page<Deployment>> {
        let mut query = Vec::new();
        paging.query(&mut query);
        self.request(Method::GET, &["functions", name, "versions"])?.query(&query).read().await
    }

    /// One version.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn version(&self, name: &str, version: u32) -> Result<Deployment> {
        self.request(Method::GET, &["functions", name, "versions", &version.to_string()])?.read().await
    }

    /// Deletes a version that no alias points at.
    ///
    /// # Errors
    /// `not-found`, `conflict` where an alias points at it or it is the only one, and those of every request.
    pub async fn delete_version(&self, name: &str, version: u32) -> Result<()> {
        self.request(Method::DELETE, &["functions", name, "versions", &version.to_string()])?.done().await
    }

    /// A version's module, as it was uploaded.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn module(&self, name: &str, version: u32) -> Result<Download> {
        self.request(Method::GET, &["functions", name, "versions", &version.to_string(), "module"])?.download().await
    }

    /// A function's aliases.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn aliases(&self, name: &str) -> Result<Page<Alias>> {
        self.request(Method::GET, &["functions", name, "aliases"])?.read().await
    }

    /// Points an alias at versions.
    ///
    /// # Errors
    /// `not-found` for a version that is not there, and those of every request.
    pub async fn set_alias(&self, name: &str, alias: &str, set: &SetAlias) -> Result<Alias> {
        self.request(Method::PUT, &["functions", name, "aliases", alias])?.json(set)?.read().await
    }

    /// Deletes an alias.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn delete_alias(&self, name: &str, alias: &str) -> Result<()> {
        self.request(Method::DELETE, &["functions", name, "aliases", alias])?.done().await
    }

    /// Points `live` at an older version: `to`, or the one that was live before. Each call goes further back.
    ///
    /// # Errors
    /// `not-found` or `conflict` where there is none, and those of every request.
    pub async fn rollback(&self, name: &str, to: Option<u32>) -> Result<Alias> {
        self.request(Method::POST, &["functions", name, "rollback"])?
            .json(&Rollback { to })?
            .idempotent(None)?
            .read()
            .await
    }
}

pub(crate) fn push<T: ToString>(query: &mut Vec<(&'static str, String)>, name: &'static str, value: Option<T>) {
    if let Some(value) = value {
        query.push((name, value.to_string()));
    }
}

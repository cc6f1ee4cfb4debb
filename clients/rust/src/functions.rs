//! Functions, versions and aliases.

use crate::{Client, Download, PageOptions, Result, idempotency_key, request::Payload};
use bytes::Bytes;
use fabric_api::function::{Alias, DeploymentResponse, FunctionQuery, FunctionSummary, Rollback, SetAlias};
use fabric_types::{function::Deployment, rest::Page};
use reqwest::Method;
use std::time::Duration;

/// Timeout of a deployment, for which the server may compile a large module.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(600);

/// A deployment request.
#[derive(Debug, Clone)]
pub struct DeployRequest {
    /// Manifest in TOML or JSON.
    pub manifest: String,
    /// Bytes of the module.
    pub module: Bytes,
    /// A note on this version, such as a commit id.
    pub note: Option<String>,
    /// Point `live` at the new version. Default true.
    pub promote: bool,
}

impl DeployRequest {
    /// Creates a request that deploys `module` under `manifest` (TOML or JSON) and points `live` at it.
    #[must_use]
    pub fn new(manifest: impl Into<String>, module: impl Into<Bytes>) -> Self {
        Self { manifest: manifest.into(), module: module.into(), note: None, promote: true }
    }
}

impl Client {
    /// Deploys a module. Creates no version if the newest one has the same module and manifest.
    ///
    /// # Errors
    /// `not-wasm`, `invalid-module`, `unknown-import`, `no-entry`, `compile-limit`, `invalid-manifest`, and the errors
    /// common to all requests.
    pub async fn deploy(&self, deploy: &DeployRequest) -> Result<DeploymentResponse> {
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

    /// Lists functions, by name.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn functions(&self, filter: &FunctionQuery) -> Result<Page<FunctionSummary>> {
        self.request(Method::GET, &["functions"])?.query(filter)?.read().await
    }

    /// Returns a function.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn function(&self, name: &str) -> Result<FunctionSummary> {
        self.request(Method::GET, &["functions", name])?.read().await
    }

    /// Deletes a function with its versions and aliases. Its jobs continue to run.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn delete_function(&self, name: &str) -> Result<()> {
        self.request(Method::DELETE, &["functions", name])?.send_and_discard().await
    }

    /// Lists the versions of a function, oldest first.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn versions(&self, name: &str, paging: &PageOptions) -> Result<Page<Deployment>> {
        self.request(Method::GET, &["functions", name, "versions"])?.query(paging)?.read().await
    }

    /// Returns a version.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn version(&self, name: &str, version: u32) -> Result<Deployment> {
        self.request(Method::GET, &["functions", name, "versions", &version.to_string()])?.read().await
    }

    /// Deletes a version that no alias points at.
    ///
    /// # Errors
    /// `not-found`, `conflict` if an alias points at it or it is the only version, and the errors common to all
    /// requests.
    pub async fn delete_version(&self, name: &str, version: u32) -> Result<()> {
        self.request(Method::DELETE, &["functions", name, "versions", &version.to_string()])?.send_and_discard().await
    }

    /// Downloads the module of a version, as it was uploaded.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn module(&self, name: &str, version: u32) -> Result<Download> {
        self.request(Method::GET, &["functions", name, "versions", &version.to_string(), "module"])?.download().await
    }

    /// Lists the aliases of a function.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn aliases(&self, name: &str) -> Result<Page<Alias>> {
        self.request(Method::GET, &["functions", name, "aliases"])?.read().await
    }

    /// Points an alias at versions.
    ///
    /// # Errors
    /// `not-found` if a version does not exist, and the errors common to all requests.
    pub async fn set_alias(&self, name: &str, alias: &str, set: &SetAlias) -> Result<Alias> {
        self.request(Method::PUT, &["functions", name, "aliases", alias])?.json(set)?.read().await
    }

    /// Deletes an alias.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn delete_alias(&self, name: &str, alias: &str) -> Result<()> {
        self.request(Method::DELETE, &["functions", name, "aliases", alias])?.send_and_discard().await
    }

    /// Points `live` at an older version: `to`, or the previous live version. Each call goes back one further.
    ///
    /// # Errors
    /// `not-found` or `conflict` if there is no such version, and the errors common to all requests.
    pub async fn rollback(&self, name: &str, to: Option<u32>) -> Result<Alias> {
        self.request(Method::POST, &["functions", name, "rollback"])?
            .json(&Rollback { to })?
            .idempotent(None)?
            .read()
            .await
    }
}

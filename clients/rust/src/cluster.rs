//! Identity, nodes, tenants, usage, tokens, and the server's schemas and metrics.

use crate::{Client, Download, PageOptions, Result};
use fabric_api::{
    node::{DrainParams, ExplainRequest},
    token::{CreatedToken, Identity, NewToken, Token},
    usage::{SweepParams, UsageParams},
};
use fabric_types::{
    id::{NodeId, TenantId},
    quota::Quota,
    rest::{
        Page,
        node::{Explanation, Node, Usage},
        sweep::Sweep,
        tenant::Tenant,
    },
};
use reqwest::Method;
use std::time::Duration;

/// Timeout of a sweep, which may read all data of a server.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(600);

/// A mode that an operator requests for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeModeRequest {
    /// Open for new work.
    Uncordon,
    /// Closed for new work.
    Cordon,
    /// Closed for new work, before the node leaves.
    Drain,
}

impl NodeModeRequest {
    fn path(self) -> &'static str {
        match self {
            Self::Uncordon => "uncordon",
            Self::Cordon => "cordon",
            Self::Drain => "drain",
        }
    }
}

impl Client {
    /// Returns the identity that the token stands for.
    ///
    /// # Errors
    /// `unauthenticated`, and the errors common to all requests.
    pub async fn whoami(&self) -> Result<Identity> {
        self.request(Method::GET, &["whoami"])?.read().await
    }

    /// Lists the nodes.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn nodes(&self, paging: &PageOptions) -> Result<Page<Node>> {
        self.request(Method::GET, &["nodes"])?.query(paging)?.read().await
    }

    /// Explains the placement of a function.
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn explain(&self, ask: &ExplainRequest) -> Result<Explanation> {
        self.request(Method::POST, &["placements", "explain"])?
            .json(ask)?
            .idempotent(None)?
            .timeout(Some(crate::jobs::SUBMIT_TIMEOUT))
            .read()
            .await
    }

    /// Opens a node for new work, or closes it. [`Client::drain`] drains a node within a deadline.
    ///
    /// # Errors
    /// `not-found`, `denied`, and the errors common to all requests.
    pub async fn set_node_mode(&self, node: &NodeId, mode: NodeModeRequest) -> Result<Node> {
        self.request(Method::POST, &["nodes", node.as_str(), mode.path()])?.idempotent(None)?.read().await
    }

    /// Drains a node, so that it takes no new work and can be stopped. Tasks that still run there after `deadline` are
    /// stopped and run on other nodes.
    ///
    /// # Errors
    /// `not-found`, `denied`, and the errors common to all requests.
    pub async fn drain(&self, node: &NodeId, deadline: Option<std::time::Duration>) -> Result<Node> {
        let query = DrainParams { deadline_s: deadline.map(|d| d.as_secs()) };
        let request = self.request(Method::POST, &["nodes", node.as_str(), "drain"])?;
        request.query(&query)?.idempotent(None)?.read().await
    }

    /// Lists the tenants with a quota or with jobs.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn tenants(&self, paging: &PageOptions) -> Result<Page<Tenant>> {
        self.request(Method::GET, &["tenants"])?.query(paging)?.read().await
    }

    /// Returns the quota and the present usage of a tenant.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn tenant_quota(&self, tenant: &TenantId) -> Result<Tenant> {
        self.request(Method::GET, &["tenants", tenant.as_str(), "quota"])?.read().await
    }

    /// Sets the quota of a tenant.
    ///
    /// # Errors
    /// `denied`, `bad-request`, and the errors common to all requests.
    pub async fn set_tenant_quota(&self, tenant: &TenantId, quota: &Quota) -> Result<Tenant> {
        self.request(Method::PUT, &["tenants", tenant.as_str(), "quota"])?.json(quota)?.read().await
    }

    /// Deletes the quota of a tenant, so that the server's defaults apply again.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn delete_tenant_quota(&self, tenant: &TenantId) -> Result<()> {
        self.request(Method::DELETE, &["tenants", tenant.as_str(), "quota"])?.send_and_discard().await
    }

    /// Runs a sweep, which removes expired and unreferenced data. With `dry_run` it only counts them.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn sweep(&self, dry_run: bool) -> Result<Sweep> {
        let request = self.request(Method::POST, &["sweep"])?.query(&SweepParams { dry_run })?;
        request.timeout(Some(SWEEP_TIMEOUT)).read().await
    }

    /// Returns the tenant's usage from the UTC day of `since_ms` to the UTC day of `until_ms`, both included.
    ///
    /// # Errors
    /// `bad-request` for days in the future, and the errors common to all requests.
    pub async fn usage(&self, since_ms: Option<u64>, until_ms: Option<u64>) -> Result<Usage> {
        self.request(Method::GET, &["usage"])?.query(&UsageParams { since_ms, until_ms })?.read().await
    }

    /// Lists the tokens, without their secrets.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn tokens(&self, paging: &PageOptions) -> Result<Page<Token>> {
        self.request(Method::GET, &["tokens"])?.query(paging)?.read().await
    }

    /// Creates a token. The request is never repeated, because the secret is shown once and not stored.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn create_token(&self, token: &NewToken) -> Result<CreatedToken> {
        self.request(Method::POST, &["tokens"])?.json(token)?.read().await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// `not-found`, `denied`, and the errors common to all requests.
    pub async fn revoke_token(&self, id: &str) -> Result<()> {
        self.request(Method::DELETE, &["tokens", id])?.send_and_discard().await
    }

    /// Returns the JSON Schema of job specifications (`job`) or of manifests (`manifest`).
    ///
    /// # Errors
    /// `not-found`, and the errors common to all requests.
    pub async fn schema(&self, name: &str) -> Result<serde_json::Value> {
        self.request(Method::GET, &["schemas", name])?.read().await
    }

    /// Returns the OpenAPI 3.1 document.
    ///
    /// # Errors
    /// The errors common to all requests.
    pub async fn openapi(&self) -> Result<serde_json::Value> {
        self.request_at(Method::GET, &["openapi.json"])?.read().await
    }

    /// Checks that the server accepts requests.
    ///
    /// # Errors
    /// `unavailable` while it starts or stops; [`crate::Error::Unreachable`] if no server listens.
    pub async fn ready(&self) -> Result<()> {
        self.request_at(Method::GET, &["readyz"])?
            .without_retry()
            .timeout(Some(Duration::from_secs(2)))
            .send_and_discard()
            .await
    }

    /// Returns the server's metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn metrics(&self) -> Result<Download> {
        self.request_at(Method::GET, &["metrics"])?.download().await
    }
}

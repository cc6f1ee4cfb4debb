//! Identity, nodes, tenants, usage, tokens, and the server's schemas and metrics.

use crate::{Client, Download, PageOptions, Result};
use fabric_types::{
    id::{NodeId, TenantId},
    quota::Quota,
    rest::{
        Page,
        node::{ExplainRequest, Explanation, Node, Usage},
        sweep::Sweep,
        tenant::Tenant,
        token::{CreatedToken, Identity, NewToken, Token},
    },
};
use reqwest::Method;
use std::time::Duration;

/// Timeout of a sweep, which may read all data of a server.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(600);

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
        let mut query = Vec::new();
        paging.query(&mut query);
        self.request(Method::GET, &["nodes"])?.query(&query).read().await
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

    /// Cordons, drains or uncordons a node: `verb` is `cordon`, `drain` or `uncordon`. A cordoned or draining node
    /// takes no new work.
    ///
    /// # Errors
    /// `not-found`, `denied`, and the errors common to all requests.
    pub async fn node_mode(&self, node: &NodeId, verb: &str) -> Result<Node> {
        self.request(Method::POST, &["nodes", node.as_str(), verb])?.idempotent(None)?.read().await
    }

    /// Drains a node, so that it takes no new work and can be stopped. Tasks that still run there after `deadline` are
    /// stopped and run on other nodes.
    ///
    /// # Errors
    /// `not-found`, `denied`, and the errors common to all requests.
    pub async fn drain(&self, node: &NodeId, deadline: Option<std::time::Duration>) -> Result<Node> {
        let query: Vec<_> = deadline.map(|d| ("deadline_s", d.as_secs().to_string())).into_iter().collect();
        let request = self.request(Method::POST, &["nodes", node.as_str(), "drain"])?;
        request.query(&query).idempotent(None)?.read().await
    }

    /// Lists the tenants with a quota or with jobs.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn tenants(&self, paging: &PageOptions) -> Result<Page<Tenant>> {
        let mut query = Vec::new();
        paging.query(&mut query);
        self.request(Method::GET, &["tenants"])?.query(&query).read().await
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
        self.request(Method::DELETE, &["tenants", tenant.as_str(), "quota"])?.done().await
    }

    /// Runs a sweep, which removes expired and unreferenced data. With `dry_run` it only counts them.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn sweep(&self, dry_run: bool) -> Result<Sweep> {
        let request = self.request(Method::POST, &["sweep"])?.query(&[("dry_run", dry_run.to_string())]);
        request.timeout(Some(SWEEP_TIMEOUT)).read().await
    }

    /// Returns the tenant's usage from the UTC day of `since_ms` to the UTC day of `until_ms`, both included.
    ///
    /// # Errors
    /// `bad-request` for days in the future, and the errors common to all requests.
    pub async fn usage(&self, since_ms: Option<u64>, until_ms: Option<u64>) -> Result<Usage> {
        let bounds = [("since_ms", since_ms), ("until_ms", until_ms)];
        let query: Vec<_> = bounds.into_iter().filter_map(|(key, ms)| Some((key, ms?.to_string()))).collect();
        self.request(Method::GET, &["usage"])?.query(&query).read().await
    }

    /// Lists the tokens, without their secrets.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn tokens(&self, paging: &PageOptions) -> Result<Page<Token>> {
        let mut query = Vec::new();
        paging.query(&mut query);
        self.request(Method::GET, &["tokens"])?.query(&query).read().await
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
        self.request(Method::DELETE, &["tokens", id])?.done().await
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
        self.request_at(Method::GET, &["readyz"])?.once().timeout(Some(Duration::from_secs(2))).done().await
    }

    /// Returns the server's metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// `denied`, and the errors common to all requests.
    pub async fn metrics(&self) -> Result<Download> {
        self.request_at(Method::GET, &["metrics"])?.download().await
    }
}

//! Who asks, what runs where, what was used, tokens, and the server's own documents.

use crate::{Client, Download, Paging, Result};
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

/// Looking at everything takes a large server a while.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(600);

impl Client {
    /// Who the token says is asking.
    ///
    /// # Errors
    /// `unauthenticated` and those of every request.
    pub async fn whoami(&self) -> Result<Identity> {
        self.request(Method::GET, &["whoami"])?.read().await
    }

    /// The nodes.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn nodes(&self, paging: &Paging) -> Result<Page<Node>> {
        let mut query = Vec::new();
        paging.query(&mut query);
        self.request(Method::GET, &["nodes"])?.query(&query).read().await
    }

    /// Where a function would run, and why.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn explain(&self, ask: &ExplainRequest) -> Result<Explanation> {
        self.request(Method::POST, &["placements", "explain"])?
            .json(ask)?
            .idempotent(None)?
            .timeout(Some(crate::jobs::SUBMIT_TIMEOUT))
            .read()
            .await
    }

    /// Has a node take no new work (`cordon`, `drain`), or take it again (`uncordon`).
    ///
    /// # Errors
    /// `not-found`, `denied` and those of every request.
    pub async fn node_mode(&self, node: &NodeId, verb: &str) -> Result<Node> {
        self.request(Method::POST, &["nodes", node.as_str(), verb])?.idempotent(None)?.read().await
    }

    /// Has a node take no new work, since it is about to leave. Tasks that still run there after `deadline` are stopped and
    /// run elsewhere.
    ///
    /// # Errors
    /// `not-found`, `denied` and those of every request.
    pub async fn drain(&self, node: &NodeId, deadline: Option<std::time::Duration>) -> Result<Node> {
        let query: Vec<_> = deadline.map(|d| ("deadline_s", d.as_secs().to_string())).into_iter().collect();
        let request = self.request(Method::POST, &["nodes", node.as_str(), "drain"])?;
        request.query(&query).idempotent(None)?.read().await
    }

    /// Tenants with a quota or with jobs.
    ///
    /// # Errors
    /// `denied` and those of every request.
    pub async fn tenants(&self, paging: &Paging) -> Result<Page<Tenant>> {
        let mut query = Vec::new();
        paging.query(&mut query);
        self.request(Method::GET, &["tenants"])?.query(&query).read().await
    }

    /// What a tenant may use, and what it uses.
    ///
    /// # Errors
    /// `denied` and those of every request.
    pub async fn tenant_quota(&self, tenant: &TenantId) -> Result<Tenant> {
        self.request(Method::GET, &["tenants", tenant.as_str(), "quota"])?.read().await
    }

    /// Sets what a tenant may use.
    ///
    /// # Errors
    /// `denied`, `bad-request` and those of every request.
    pub async fn set_tenant_quota(&self, tenant: &TenantId, quota: &Quota) -> Result<Tenant> {
        self.request(Method::PUT, &["tenants", tenant.as_str(), "quota"])?.json(quota)?.read().await
    }

    /// Deletes what was set for a tenant: the server's defaults are in force again.
    ///
    /// # Errors
    /// `denied` and those of every request.
    pub async fn delete_tenant_quota(&self, tenant: &TenantId) -> Result<()> {
        self.request(Method::DELETE, &["tenants", tenant.as_str(), "quota"])?.done().await
    }

    /// Has the server remove what was kept long enough, or with `dry_run` count it.
    ///
    /// # Errors
    /// `denied` and those of every request.
    pub async fn sweep(&self, dry_run: bool) -> Result<Sweep> {
        let request = self.request(Method::POST, &["sweep"])?.query(&[("dry_run", dry_run.to_string())]);
        request.timeout(Some(SWEEP_TIMEOUT)).read().await
    }

    /// What the tenant has used: from the UTC day of `since_ms` on, up to the day of `until_ms`, that day included.
    ///
    /// # Errors
    /// `bad-request` for days in the future, and those of every request.
    pub async fn usage(&self, since_ms: Option<u64>, until_ms: Option<u64>) -> Result<Usage> {
        let bounds = [("since_ms", since_ms), ("until_ms", until_ms)];
        let query: Vec<_> = bounds.into_iter().filter_map(|(key, ms)| Some((key, ms?.to_string()))).collect();
        self.request(Method::GET, &["usage"])?.query(&query).read().await
    }

    /// Tokens, without their secrets.
    ///
    /// # Errors
    /// `denied` and those of every request.
    pub async fn tokens(&self, paging: &Paging) -> Result<Page<Token>> {
        let mut query = Vec::new();
        paging.query(&mut query);
        self.request(Method::GET, &["tokens"])?.query(&query).read().await
    }

    /// Makes a token. Not repeated: the secret is shown once and stored nowhere.
    ///
    /// # Errors
    /// `denied` and those of every request.
    pub async fn create_token(&self, token: &NewToken) -> Result<CreatedToken> {
        self.request(Method::POST, &["tokens"])?.json(token)?.read().await
    }

    /// Makes a token invalid.
    ///
    /// # Errors
    /// `not-found`, `denied` and those of every request.
    pub async fn revoke_token(&self, id: &str) -> Result<()> {
        self.request(Method::DELETE, &["tokens", id])?.done().await
    }

    /// The JSON Schema of job specifications or manifests: `job` or `manifest`.
    ///
    /// # Errors
    /// `not-found` and those of every request.
    pub async fn schema(&self, name: &str) -> Result<serde_json::Value> {
        self.request(Method::GET, &["schemas", name])?.read().await
    }

    /// The OpenAPI 3.1 document.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn openapi(&self) -> Result<serde_json::Value> {
        self.request_at(Method::GET, &["openapi.json"])?.read().await
    }

    /// Whether the server takes requests.
    ///
    /// # Errors
    /// `unavailable` while it starts or stops; unreachable where nobody listens.
    pub async fn ready(&self) -> Result<()> {
        self.request_at(Method::GET, &["readyz"])?.once().timeout(Some(Duration::from_secs(2))).done().await
    }

    /// The server's metrics in Prometheus's text format.
    ///
    /// # Errors
    /// `denied` and those of every request.
    pub async fn metrics(&self) -> Result<Download> {
        self.request_at(Method::GET, &["metrics"])?.download().await
    }
}

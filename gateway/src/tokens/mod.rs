//! Tokens and their roles. Hashes of tokens are stored in the registry under `sys/tokens/{id}` and read through a cache
//! that follows the registry. A revoked token stops working at once in this process, and with the next notification in
//! others.

mod admin;
pub(crate) mod secret;

pub use admin::ensure_admin_token;

use crate::{Error, clock::now_ms, error::Result};
use fabric_api::token::{CreatedToken, NewToken, Token};
use fabric_backend::{
    Backend,
    registry::{Change, Precondition},
};
use fabric_store::SweepMode;
use fabric_types::{
    Code,
    id::TenantId,
    rest::{Page, sweep::Removed, token::Role},
};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "sys/tokens/";
/// Maximum tokens of one tenant.
const MOST: usize = 1000;

/// The registry record of a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    token: Token,
    /// BLAKE3 hash of the secret, in hexadecimal. The secret has 256 random bits, so a fast hash is enough.
    hash: String,
}

/// The token service. Cloning is cheap.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    backend: Backend,
    cache: moka::sync::Cache<String, Arc<Record>>,
    /// Incremented by every change, so that a lookup that raced with a change is not cached.
    generation: AtomicU64,
}

fn key(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn read(bytes: &[u8]) -> Result<Record> {
    serde_json::from_slice(bytes).map_err(|e| Error::new(Code::Internal, format!("a token's record is damaged: {e}")))
}

impl Tokens {
    /// Creates the service over a backend's registry.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        let cache = moka::sync::Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(300)).build();
        Self(Arc::new(Inner { backend, cache, generation: AtomicU64::new(0) }))
    }

    /// Invalidates the cache on changes of the registry. Returns when the registry closes. Run it alongside the server.
    pub async fn follow(self) {
        let mut changes = self.0.backend.registry.watch(PREFIX);
        while let Some(change) = changes.next().await {
            let key = match &change {
                Change::Put(entry) => &entry.key,
                Change::Deleted(key) => key,
            };
            self.forget(key.strip_prefix(PREFIX).unwrap_or(key));
        }
    }

    fn forget(&self, id: &str) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        self.0.cache.invalidate(id);
    }

    /// Returns the token that `secret` belongs to.
    ///
    /// # Errors
    /// `unauthenticated` if there is none, it expired or was revoked: the three cases cannot be distinguished.
    pub async fn verify(&self, secret: &str) -> Result<Token> {
        let refused = || Error::new(Code::Unauthenticated, "the token is not valid here, was revoked or has expired");
        let id = secret::id_of(secret).ok_or_else(refused)?;
        let record = match self.0.cache.get(id) {
            Some(record) => record,
            None => {
                let generation = self.0.generation.load(Ordering::SeqCst);
                let entry = self.0.backend.registry.get(&key(id)).await?.ok_or_else(refused)?;
                let record = Arc::new(read(&entry.value)?);
                self.0.cache.insert(id.to_owned(), Arc::clone(&record));
                if self.0.generation.load(Ordering::SeqCst) != generation {
                    self.0.cache.invalidate(id);
                }
                record
            }
        };
        let same: bool = secret::hash(secret).as_bytes().ct_eq(record.hash.as_bytes()).into();
        let alive = record.token.expires_ms.is_none_or(|at| at > now_ms());
        if same && alive { Ok(record.token.clone()) } else { Err(refused()) }
    }

    /// Creates a token. The route checks that the caller may do this.
    ///
    /// # Errors
    /// `bad-request` for a name or time to live out of range; `conflict` if the tenant has the maximum number of
    /// tokens.
    pub async fn create(&self, new: NewToken, tenant: TenantId) -> Result<CreatedToken> {
        if new.name.is_empty() || new.name.len() > 100 || new.name.chars().any(char::is_control) {
            return Err(Error::bad("a token's name has 1 to 100 bytes and no control characters"));
        }
        if new.ttl_s == Some(0) {
            return Err(Error::bad("`ttl_s` must be above 0"));
        }
        let (id, secret) = secret::generate()?;
        let now = now_ms();
        self.make_room(&tenant, now).await?;
        let token = Token {
            id,
            name: new.name,
            tenant,
            role: new.role,
            created_ms: now,
            expires_ms: new.ttl_s.map(|s| now.saturating_add(s.saturating_mul(1000))),
        };
        self.register(token, secret).await
    }

    /// Removes a tenant's expired tokens if it has the maximum number of tokens.
    async fn make_room(&self, tenant: &TenantId, now: u64) -> Result<()> {
        let found = self.list(Some(tenant), None, MOST).await?.items;
        if found.len() < MOST {
            return Ok(());
        }
        let mut left = found.len();
        for token in found.iter().filter(|token| token.expires_ms.is_some_and(|at| at <= now)) {
            self.0.backend.registry.delete(&key(&token.id), Precondition::Any).await?;
            left -= 1;
        }
        if left < MOST {
            return Ok(());
        }
        Err(Error::new(Code::Conflict, format!("tenant {tenant} has {MOST} tokens, the maximum"))
            .hint("revoke unused tokens: fabric token list, fabric token revoke ID"))
    }

    /// Removes tokens that expired before `before_ms`, or counts them.
    ///
    /// # Errors
    /// The errors of the registry. A damaged record is not removed.
    pub async fn sweep(&self, before_ms: u64, mode: SweepMode) -> Result<Removed> {
        let (mut removed, mut after) = (Removed::default(), None::<String>);
        loop {
            let entries = self.0.backend.registry.list(PREFIX, after.as_deref(), 500).await?;
            let Some(last) = entries.last() else { return Ok(removed) };
            after = Some(last.key.clone());
            for entry in &entries {
                let expires = read(&entry.value).ok().and_then(|record| record.token.expires_ms);
                if expires.is_none_or(|at| at >= before_ms) {
                    continue;
                }
                if mode == SweepMode::Remove {
                    self.0.backend.registry.delete(&entry.key, Precondition::Any).await?;
                }
                removed.add(1, entry.value.len() as u64);
            }
        }
    }

    async fn register(&self, token: Token, secret: String) -> Result<CreatedToken> {
        let record = Record { token, hash: secret::hash(&secret) };
        let bytes = serde_json::to_vec(&record).map_err(|e| Error::new(Code::Internal, e.to_string()))?;
        self.0.backend.registry.put(&key(&record.token.id), bytes.into(), Precondition::Absent).await?;
        Ok(CreatedToken { token: record.token, secret })
    }

    /// Returns the tokens of a tenant, or of all tenants (`None`), ordered by id.
    ///
    /// # Errors
    /// The errors of the registry.
    pub async fn list(&self, tenant: Option<&TenantId>, cursor: Option<&str>, limit: usize) -> Result<Page<Token>> {
        let mut items = Vec::new();
        let mut after = cursor.map(key);
        loop {
            let entries = self.0.backend.registry.list(PREFIX, after.as_deref(), 500).await?;
            let done = entries.len() < 500;
            for entry in entries {
                let record = read(&entry.value)?;
                after = Some(entry.key);
                if tenant.is_none_or(|t| *t == record.token.tenant) {
                    if items.len() == limit {
                        let next = items.last().map(|t: &Token| t.id.clone());
                        return Ok(Page { items, next });
                    }
                    items.push(record.token);
                }
            }
            if done {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// Revokes a token of a tenant, or of any tenant (`None`). It stops working in this process before this returns.
    ///
    /// # Errors
    /// `not-found`; `denied` if the token's role is higher than `most`.
    pub async fn revoke(&self, tenant: Option<&TenantId>, most: Role, id: &str) -> Result<()> {
        let missing = || Error::not_found("token", id.chars().take(80).collect::<String>());
        if !secret::is_id(id) {
            return Err(missing());
        }
        let entry = self.0.backend.registry.get(&key(id)).await?.ok_or_else(missing)?;
        let record = read(&entry.value)?;
        if tenant.is_some_and(|t| *t != record.token.tenant) {
            return Err(missing());
        }
        if record.token.role > most {
            return Err(Error::new(Code::Denied, "the token has a higher role than yours"));
        }
        self.0.backend.registry.delete(&key(id), Precondition::Any).await?;
        self.forget(id);
        Ok(())
    }
}

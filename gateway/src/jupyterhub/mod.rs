//! Users of a JupyterHub: a token of the Hub is accepted like a Fabric token. The Hub is queried for the token's holder
//! through the API for services, and its answer is cached for a limited time. Rules of the operator map the user to a
//! tenant and a role. Tokens are not stored: cached answers are keyed by the hashes of tokens.

mod rule;
mod safe_name;
mod user;

pub use rule::Rule;

use crate::{Error, caller::Caller, error::Result};
use fabric_types::Code;
use futures::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use user::User;

/// Timeout for an answer of the Hub.
const PATIENCE: Duration = Duration::from_secs(5);
/// Concurrent requests to the Hub. Further requests wait, within the same timeout.
const AT_ONCE: usize = 16;
/// Maximum cached answers.
const REMEMBERED: u64 = 10_000;
/// Maximum time that a refusal is cached.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Maximum bytes of an answer. The groups and scopes of one user take some thousand bytes.
const MAX_ANSWER: usize = 1 << 20;
/// Upper limit of the time that an answer may be cached.
pub const MAX_CACHE_TTL: Duration = Duration::from_secs(3600);

/// Settings of the operator.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Hub's API, such as `https://hub.example.org/hub/api`.
    pub api: String,
    /// The name of this service at the Hub.
    pub service: String,
    /// Rules for tenants and roles; the first that matches wins.
    pub rules: Vec<Rule>,
    /// Time that the Hub's answer is cached. A revoked token works for this long.
    pub cache_ttl: Duration,
}

/// The reason that a token is refused after the Hub was queried.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    Unknown,
    NotAUser,
    NoScope(String),
    NoRule(String),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => {
                Self::new(Code::Unauthenticated, "JupyterHub rejected the token: it is unknown or has expired")
                    .hint("take a new one from the Hub's token page, or restart the notebook server")
            }
            Refusal::NotAUser => Self::new(Code::Denied, "the token is a JupyterHub service's, not a user's")
                .hint("services use a Fabric token: fabric token create"),
            Refusal::NoScope(scope) => {
                Self::new(Code::Denied, format!("the JupyterHub token lacks the scope `{scope}`"))
                    .hint("the Hub's administrator adds it to the roles `user` and `server`")
            }
            Refusal::NoRule(user) => {
                Self::new(Code::Denied, format!("no rule gives the JupyterHub user `{user}` a tenant"))
                    .hint("the operator of Fabric adds one with --jupyterhub-map")
            }
        }
    }
}

type Answer = Result<Caller, Refusal>;

/// The lifetime of cached answers.
struct CacheExpiry(Duration);

impl moka::Expiry<[u8; 32], Answer> for CacheExpiry {
    fn expire_after_create(&self, _: &[u8; 32], answer: &Answer, _: std::time::Instant) -> Option<Duration> {
        Some(match answer {
            Ok(_) => self.0,
            Err(_) => self.0.min(REFUSED_FOR),
        })
    }
}

/// A JupyterHub with users that may use this server. Cloning is cheap.
#[derive(Clone)]
pub struct JupyterHub(Arc<Inner>);

struct Inner {
    /// `{api}/user`.
    address: reqwest::Url,
    service: String,
    rules: Vec<Rule>,
    client: reqwest::Client,
    asking: Semaphore,
    answers: moka::future::Cache<[u8; 32], Answer>,
}

/// Returns `true` if `text` has the form of a token that a Hub issues: 32 hexadecimal digits, or the 30 letters and
/// digits of its OAuth. Nothing else is sent to the Hub, and text of this form in `Authorization` does not reach a
/// guest.
#[must_use]
pub fn is_token(text: &str) -> bool {
    match text.len() {
        32 => text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        30 => text.bytes().all(|b| b.is_ascii_alphanumeric()),
        _ => false,
    }
}

impl JupyterHub {
    /// Creates a client for a Hub. The Hub is not contacted yet, and may be down.
    ///
    /// # Errors
    /// A sentence about an invalid address, or about a service name that a scope cannot contain.
    pub fn new(options: Options) -> Result<Self, String> {
        let about = |problem: &str| format!("`{}`: {problem}", options.api);
        let address = format!("{}/user", options.api.trim_end_matches('/'));
        let address = reqwest::Url::parse(&address).map_err(|e| about(&e.to_string()))?;
        if !matches!(address.scheme(), "http" | "https") || !address.has_host() {
            return Err(about("give the Hub's API address, such as https://hub.example.org/hub/api"));
        }
        if !address.username().is_empty() || address.password().is_some() || address.query().is_some() {
            return Err(about("give it without user, password and query: the users' own tokens are sent"));
        }
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if options.service.is_empty() || !options.service.bytes().all(good) {
            return Err(format!("`{}`: a service's name has letters, digits, `-`, `_` and `.`", options.service));
        }
        let near = address.host_str().is_some_and(|host| {
            let host = host.trim_matches(['[', ']']);
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        if address.scheme() == "http" && !near {
            tracing::warn!(hub = %address, "tokens of JupyterHub's users go to the Hub unencrypted");
        }
        // A redirect could send the token elsewhere.
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(PATIENCE);
        let answers = moka::future::Cache::builder()
            .max_capacity(REMEMBERED)
            .expire_after(CacheExpiry(options.cache_ttl))
            .build();
        Ok(Self(Arc::new(Inner {
            address,
            service: options.service,
            rules: options.rules,
            client: client.build().map_err(|e| about(&e.to_string()))?,
            asking: Semaphore::new(AT_ONCE),
            answers,
        })))
    }

    /// Returns the holder of a token, with tenant and role.
    ///
    /// # Errors
    /// `unauthenticated` if the Hub does not accept it; `denied` if it is not for this service, or if no rule matches
    /// its user; `unavailable` if the Hub does not answer.
    pub async fn verify(&self, token: &str) -> Result<Caller> {
        if !is_token(token) {
            return Err(Refusal::Unknown.into());
        }
        // Concurrent requests with one token send one query.
        let answer = self.0.answers.try_get_with(*blake3::hash(token.as_bytes()).as_bytes(), self.0.ask(token)).await;
        match answer {
            Ok(answer) => answer.map_err(Error::from),
            Err(silence) => {
                tracing::warn!(hub = %self.0.address, why = *silence, "could not query JupyterHub for the holder of a token");
                Err(Error::new(Code::Unavailable, "JupyterHub does not answer, so the token cannot be checked")
                    .hint("try again in a moment; if the error persists, the operator checks --jupyterhub and the Hub")
                    .header(header::RETRY_AFTER, HeaderValue::from_static("2")))
            }
        }
    }
}

impl Inner {
    /// Queries the Hub. The error is the reason that there is no answer.
    async fn ask(&self, token: &str) -> Result<Answer, String> {
        let asked = tokio::time::timeout(PATIENCE, async {
            let _turn = self.asking.acquire().await.map_err(|e| e.to_string())?;
            let mut value = HeaderValue::try_from(format!("token {token}")).map_err(|e| e.to_string())?;
            value.set_sensitive(true);
            let request = self.client.get(self.address.clone()).header(header::AUTHORIZATION, value);
            let response = request.send().await.map_err(|e| e.without_url().to_string())?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(Err(Refusal::Unknown)),
                other => return Err(format!("it answered {other}")),
            }
            let mut bytes = Vec::new();
            let mut pieces = response.bytes_stream();
            while let Some(piece) = pieces.next().await {
                bytes.extend_from_slice(&piece.map_err(|e| e.without_url().to_string())?);
                if bytes.len() > MAX_ANSWER {
                    return Err("its answer is longer than 1 MiB".to_owned());
                }
            }
            let user = user::read(&bytes, &self.service).ok_or("its answer does not describe a user")?;
            Ok(user.and_then(|user| self.admit(user)))
        });
        asked.await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
    }

    fn admit(&self, user: User) -> Answer {
        let (tenant, role) = self
            .rules
            .iter()
            .find_map(|rule| rule.apply(&user))
            .ok_or_else(|| Refusal::NoRule(user.name.chars().take(80).collect()))?;
        Ok(Caller {
            // Calls belong to the user, independent of the token that made them.
            token: format!("jupyterhub {}", blake3::hash(user.name.as_bytes()).to_hex()),
            name: format!("{} of JupyterHub", user.name),
            tenant,
            role,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(api: &str, service: &str) -> Options {
        Options {
            api: api.to_owned(),
            service: service.to_owned(),
            rules: Rule::default_rules(),
            cache_ttl: Duration::from_secs(60),
        }
    }

    #[test]
    fn only_what_a_hub_makes_is_sent_to_it() {
        assert!(is_token("0123456789abcdef0123456789abcdef"));
        assert!(is_token("AbCdEfGhIjKlMnOpQrStUvWxYz0123"));
        for other in [
            "",
            "0123456789ABCDEF0123456789abcdef",
            "fab_0123456789abcdef_x",
            "0123456789abcde\n0123456789abcdef",
            &"é".repeat(15),
        ] {
            assert!(!is_token(other), "{other}");
        }
    }

    #[test]
    fn an_address_that_would_not_work_is_refused() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        assert!(JupyterHub::new(options("http://127.0.0.1:8081/hub/api/", "fabric")).is_ok());
        for bad in ["", "hub", "ftp://hub/api", "http://me:secret@hub/api", "http://hub/api?token=x"] {
            assert!(JupyterHub::new(options(bad, "fabric")).is_err(), "{bad}");
        }
        assert!(JupyterHub::new(options("http://hub/hub/api", "my service")).is_err());
    }
}

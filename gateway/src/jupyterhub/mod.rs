//! Users of a JupyterHub: a token of the Hub's is as good as one of ours. The Hub is asked whose it is, as any service of a
//! Hub asks, and its answer is believed for a while; rules of the operator's say which tenant and role the user gets. No
//! token is kept: the memory of answers goes by their hashes.

mod rule;
mod safe_name;
mod user;

pub use rule::Rule;

use crate::{Error, access::Caller, error::Result};
use fabric_types::Code;
use futures::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use user::User;

/// How long the Hub may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests to the Hub at once; more wait, within the same time.
const AT_ONCE: usize = 16;
/// Answers that are remembered.
const REMEMBERED: u64 = 10_000;
/// How long it is remembered that a token was refused, at most.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Bytes of the longest answer that is read; one user's groups and scopes have some thousands.
const MAX_ANSWER: usize = 1 << 20;
/// How long an answer may be believed, at most.
pub const LONGEST_BELIEF: Duration = Duration::from_secs(3600);

/// What the operator says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Hub's API, such as `https://hub.example.org/hub/api`.
    pub api: String,
    /// The name under which the Hub knows this service.
    pub service: String,
    /// Who gets which tenant and role; the first that fits wins.
    pub rules: Vec<Rule>,
    /// How long the Hub's answer is believed: so long a revoked token still works.
    pub believed: Duration,
}

/// Why a token that reached the Hub is not taken.
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
                Self::new(Code::Unauthenticated, "JupyterHub does not know the token, or it has expired")
                    .hint("take a new one from the Hub's token page, or restart the notebook server")
            }
            Refusal::NotAUser => Self::new(Code::Denied, "the token is a JupyterHub service's, not a user's")
                .hint("services use a token of Fabric's: fabric token create"),
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

/// How long an answer is believed.
struct Belief(Duration);

impl moka::Expiry<[u8; 32], Answer> for Belief {
    fn expire_after_create(&self, _: &[u8; 32], answer: &Answer, _: std::time::Instant) -> Option<Duration> {
        Some(match answer {
            Ok(_) => self.0,
            Err(_) => self.0.min(REFUSED_FOR),
        })
    }
}

/// A Hub whose users may come. Cloning is cheap.
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

/// Whether `text` has the form of a token that a Hub makes: 32 hexadecimal digits, or the 30 letters and digits of its
/// OAuth. Nothing else is sent to the Hub, and what has this form reaches no guest.
#[must_use]
pub fn is_token(text: &str) -> bool {
    match text.len() {
        32 => text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        30 => text.bytes().all(|b| b.is_ascii_alphanumeric()),
        _ => false,
    }
}

impl JupyterHub {
    /// A Hub at an address. It is not asked yet, and may be down.
    ///
    /// # Errors
    /// A sentence: an address that is none, or a service's name that a scope can't hold.
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
        // A redirect could carry the token elsewhere.
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(PATIENCE);
        let answers =
            moka::future::Cache::builder().max_capacity(REMEMBERED).expire_after(Belief(options.believed)).build();
        Ok(Self(Arc::new(Inner {
            address,
            service: options.service,
            rules: options.rules,
            client: client.build().map_err(|e| about(&e.to_string()))?,
            asking: Semaphore::new(AT_ONCE),
            answers,
        })))
    }

    /// Who holds the token, in which tenant and role.
    ///
    /// # Errors
    /// `unauthenticated` when the Hub does not know it; `denied` when it is not for this service, or no rule fits its
    /// user; `unavailable` when the Hub does not answer.
    pub async fn verify(&self, token: &str) -> Result<Caller> {
        if !is_token(token) {
            return Err(Refusal::Unknown.into());
        }
        // Many requests with one token ask once.
        let answer = self.0.answers.try_get_with(*blake3::hash(token.as_bytes()).as_bytes(), self.0.ask(token)).await;
        match answer {
            Ok(answer) => answer.map_err(Error::from),
            Err(silence) => {
                tracing::warn!(hub = %self.0.address, why = *silence, "JupyterHub can't be asked who a token belongs to");
                Err(Error::new(Code::Unavailable, "JupyterHub can't be asked who the token belongs to")
                    .hint("try again in a moment; if it lasts, the operator looks at --jupyterhub and at the Hub")
                    .header(header::RETRY_AFTER, HeaderValue::from_static("2")))
            }
        }
    }
}

impl Inner {
    /// Asks the Hub. The error says why there is no answer.
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
            let user = user::read(&bytes, &self.service).ok_or("its answer is not one of JupyterHub's about a user")?;
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
            // The user's calls are the user's, whichever token made them.
            token: format!("jupyterhub {}", blake3::hash(user.name.as_bytes()).to_hex()),
            name: format!("{} of JupyterHub", user.name),
            tenant,
            role,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn options(api: &str, service: &str) -> Options {
        Options {
            api: api.to_owned(),
            service: service.to_owned(),
            rules: Rule::default_rules(),
            believed: Duration::from_secs(60),
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

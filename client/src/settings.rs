//! Which server a command talks to, as whom: flags, then environment, then `config.toml`, then the server on this
//! machine, then `http://127.0.0.1:8080`.
//!
//! A token belongs to the address it was stored with: one from a context or from a local server's folder is sent to
//! that server only, even when the address comes from elsewhere.

mod file;
mod local;

pub use file::{Context, ContextFile};
pub use local::{LocalServer, default_data_dir};

use crate::{Client, Options, Result};
use std::path::PathBuf;

/// Where a client looks when nothing else is said.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// What the server on this machine left in its data folder.
    LocalServer(PathBuf),
    /// A context of the configuration file.
    Context(String),
    /// A server's configuration file.
    File(PathBuf),
    /// An environment variable.
    Env(&'static str),
    /// A flag.
    Flag(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::LocalServer(path) => write!(f, "local server ({})", path.display()),
            Self::Context(name) => write!(f, "context `{name}`"),
            Self::File(path) => write!(f, "file ({})", path.display()),
            Self::Env(name) => write!(f, "environment ({name})"),
            Self::Flag(name) => write!(f, "flag ({name})"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// What the command line said.
#[derive(Clone, Default)]
pub struct Flags {
    /// `--url`.
    pub url: Option<String>,
    /// `--token`.
    pub token: Option<String>,
    /// `--tenant`.
    pub tenant: Option<String>,
    /// `--context`.
    pub context: Option<String>,
    /// `--ca`.
    pub ca: Option<PathBuf>,
    /// Where the server on this machine keeps its data.
    pub data_dir: Option<PathBuf>,
}

/// The settings of a client, each with its origin.
#[derive(Clone)]
pub struct Settings {
    /// The server.
    pub url: Setting<String>,
    /// The secret; none means that none is sent.
    pub token: Option<Setting<String>>,
    /// The tenant; none means the token's own.
    pub tenant: Option<Setting<String>>,
    /// A file of certificates to trust besides the system's.
    pub ca: Option<Setting<PathBuf>>,
}

/// An environment to look names up in; the process's own is [`process_env`].
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks a variable up; an empty one counts as absent.
#[must_use]
pub fn process_env(name: &str) -> Option<String> {
    // An empty token is refused where it is used: it must not stand for another one.
    std::env::var(name).ok().filter(|value| !value.is_empty() || name == "FABRIC_TOKEN")
}

impl Settings {
    /// Works the settings out.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] for a configuration file that can't be read and a context that is not in it.
    pub fn resolve(flags: &Flags, env: Env<'_>, file: &ContextFile) -> Result<Self> {
        let data = flags.data_dir.clone().or_else(|| env("FABRIC_DATA").map(PathBuf::from)).or_else(default_data_dir);
        let local = data.as_deref().and_then(LocalServer::find);
        let current = || file.current.clone().map(|name| (name, Origin::Default));
        let asked = flags.context.clone().map(|n| (n, Origin::Flag("--context")));
        let asked = asked.or_else(|| env("FABRIC_CONTEXT").map(|n| (n, Origin::Env("FABRIC_CONTEXT"))));
        let explicit_context = asked.is_some();
        let context = match asked.or_else(current) {
            Some((name, _)) => Some((file.get(&name)?.clone(), Origin::Context(name))),
            None => None,
        };

        let from_flag = flags.url.clone().map(|value| Setting { value, origin: Origin::Flag("--url") });
        let from_env = env("FABRIC_URL").map(|value| Setting { value, origin: Origin::Env("FABRIC_URL") });
        let from_context = context.as_ref().map(|(c, o)| Setting { value: c.url.clone(), origin: o.clone() });
        let from_local =
            || local.as_ref().map(|l| Setting { value: l.url.clone(), origin: Origin::LocalServer(l.folder.clone()) });
        let url = from_flag
            .or(if explicit_context { from_context.clone() } else { None })
            .or(from_env)
            .or(from_context)
            .or_else(from_local)
            .unwrap_or_else(|| Setting { value: DEFAULT_URL.to_owned(), origin: Origin::Default });

        let same = |other: &str| same_server(other, &url.value);
        let context = context.filter(|(c, _)| same(&c.url));
        let local = local.filter(|l| same(&l.url));
        let token = flags
            .token
            .clone()
            .map(|value| Setting { value, origin: Origin::Flag("--token") })
            .or_else(|| {
                // The variable goes with the address that is in force, unless a context was asked for by name.
                let stored = explicit_context && context.as_ref().is_some_and(|(c, _)| c.token.is_some());
                if stored {
                    None
                } else {
                    env("FABRIC_TOKEN").map(|value| Setting { value, origin: Origin::Env("FABRIC_TOKEN") })
                }
            })
            .or_else(|| {
                context.as_ref().and_then(|(c, o)| c.token.clone().map(|value| Setting { value, origin: o.clone() }))
            })
            .or_else(|| {
                let local = local.as_ref()?;
                let value = local.token.clone()?;
                Some(Setting { value, origin: Origin::LocalServer(local.folder.clone()) })
            });
        if let Some(Setting { origin, .. }) = token.as_ref().filter(|token| token.value.is_empty()) {
            let message = format!(
                "the token from {origin} is empty: give one, or unset it to use a context's or the local server's"
            );
            return Err(crate::Error::Setting(message));
        }
        let tenant = flags
            .tenant
            .clone()
            .map(|value| Setting { value, origin: Origin::Flag("--tenant") })
            .or_else(|| env("FABRIC_TENANT").map(|value| Setting { value, origin: Origin::Env("FABRIC_TENANT") }))
            .or_else(|| {
                context.as_ref().and_then(|(c, o)| c.tenant.clone().map(|value| Setting { value, origin: o.clone() }))
            });
        let ca = flags
            .ca
            .clone()
            .map(|value| Setting { value, origin: Origin::Flag("--ca") })
            .or_else(|| env("FABRIC_CA").map(|value| Setting { value: value.into(), origin: Origin::Env("FABRIC_CA") }))
            .or_else(|| {
                context.as_ref().and_then(|(c, o)| c.ca.clone().map(|value| Setting { value, origin: o.clone() }))
            });
        Ok(Self { url, token, tenant, ca })
    }

    /// Whether the token would cross a network unencrypted.
    #[must_use]
    pub fn sends_token_in_clear(&self) -> bool {
        let Ok(url) = reqwest::Url::parse(&self.url.value) else { return false };
        self.token.is_some() && url.scheme() == "http" && !crate::request::is_loopback(&url)
    }

    /// What [`Client::new`] takes.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where the CA file can't be read.
    pub fn options(&self) -> Result<Options> {
        let mut options = Options::new(&self.url.value);
        if let Some(token) = &self.token {
            options = options.token(&token.value);
        }
        if let Some(tenant) = &self.tenant {
            options = options.tenant(&tenant.value);
        }
        if let Some(ca) = &self.ca {
            let pem = std::fs::read(&ca.value)
                .map_err(|source| crate::Error::Io { what: ca.value.display().to_string(), source })?;
            options = options.ca_pem(pem);
        }
        Ok(options)
    }

    /// A client with these settings.
    ///
    /// # Errors
    /// Those of [`Settings::options`] and [`Client::new`].
    pub fn client(&self) -> Result<Client> {
        Client::new(self.options()?)
    }
}

/// Whether two addresses name the same server, whatever their trailing slashes.
fn same_server(a: &str, b: &str) -> bool {
    match (reqwest::Url::parse(a), reqwest::Url::parse(b)) {
        (Ok(a), Ok(b)) => a.origin() == b.origin() && a.path().trim_end_matches('/') == b.path().trim_end_matches('/'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CONFIG: &str = "current = \"prod\"\n[contexts.prod]\nurl = \"https://prod.example/\"\ntoken = \"p\"\ntenant = \"acme\"\n\
                          [contexts.dev]\nurl = \"https://dev.example\"\ntoken = \"d\"\n";

    fn resolve(flags: Flags, env: &[(&str, &str)], config: &str) -> Settings {
        try_resolve(flags, env, config).unwrap()
    }

    fn try_resolve(flags: Flags, env: &[(&str, &str)], config: &str) -> Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("server.json"), r#"{"url":"http://127.0.0.1:9999"}"#).unwrap();
        std::fs::write(dir.path().join("admin-token"), "local-secret\n").unwrap();
        let flags = Flags { data_dir: Some(flags.data_dir.unwrap_or_else(|| dir.path().to_owned())), ..flags };
        let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Settings::resolve(&flags, &lookup, &ContextFile::parse(config).unwrap())
    }

    #[test]
    fn an_empty_token_stands_for_no_other() {
        // A script whose secret is missing must not act as the local admin.
        let refused = try_resolve(Flags::default(), &[("FABRIC_TOKEN", "")], "").err().unwrap();
        assert!(refused.to_string().contains("FABRIC_TOKEN") && refused.to_string().contains("is empty"), "{refused}");
        let flags = Flags { token: Some(String::new()), ..Flags::default() };
        assert!(try_resolve(flags, &[("FABRIC_TOKEN", "e")], CONFIG).err().unwrap().to_string().contains("--token"));
    }

    fn shape(settings: &Settings) -> (String, Option<String>, Option<String>) {
        (
            settings.url.value.clone(),
            settings.token.as_ref().map(|t| t.value.clone()),
            settings.tenant.as_ref().map(|t| t.value.clone()),
        )
    }

    #[test]
    fn the_server_on_this_machine_is_found_with_its_token() {
        let found = resolve(Flags::default(), &[], "");
        assert_eq!(shape(&found), ("http://127.0.0.1:9999".into(), Some("local-secret".into()), None));
        assert!(matches!(found.url.origin, Origin::LocalServer(_)));
        let nowhere = Flags { data_dir: Some("/nonexistent".into()), ..Flags::default() };
        assert_eq!(shape(&resolve(nowhere, &[], "")), (DEFAULT_URL.into(), None, None));
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let env = [("FABRIC_URL", "http://env.example"), ("FABRIC_TOKEN", "e"), ("FABRIC_TENANT", "envt")];
        assert_eq!(shape(&resolve(Flags::default(), &[], CONFIG)).1, Some("p".into()));
        assert_eq!(
            shape(&resolve(Flags::default(), &env, CONFIG)),
            ("http://env.example".into(), Some("e".into()), Some("envt".into()))
        );
        let flags = Flags { url: Some("http://flag.example".into()), token: Some("f".into()), ..Flags::default() };
        assert_eq!(shape(&resolve(flags, &env, CONFIG)).0, "http://flag.example");
        let named = Flags { context: Some("dev".into()), ..Flags::default() };
        assert_eq!(shape(&resolve(named, &env[..2], CONFIG)), ("https://dev.example".into(), Some("d".into()), None));
    }

    #[test]
    fn a_stored_token_never_goes_to_another_server() {
        let other = Flags { url: Some("http://other.example".into()), ..Flags::default() };
        assert_eq!(shape(&resolve(other, &[], CONFIG)), ("http://other.example".into(), None, None));
        let same = Flags { url: Some("https://prod.example".into()), ..Flags::default() };
        assert_eq!(shape(&resolve(same, &[], CONFIG)).1, Some("p".into()));
        let local = Flags { url: Some("http://127.0.0.1:9999/".into()), ..Flags::default() };
        assert_eq!(shape(&resolve(local, &[], CONFIG)).1, Some("local-secret".into()));
    }

    #[test]
    fn a_token_over_plain_http_is_noticed_beyond_loopback() {
        let flags = |url: &str| Flags { url: Some(url.into()), token: Some("t".into()), ..Flags::default() };
        assert!(resolve(flags("http://example.org"), &[], "").sends_token_in_clear());
        for fine in ["https://example.org", "http://localhost:1", "http://[::1]:1", "http://127.0.0.2"] {
            assert!(!resolve(flags(fine), &[], "").sends_token_in_clear(), "{fine}");
        }
    }
}

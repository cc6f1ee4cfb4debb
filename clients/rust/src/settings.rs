//! Settings of a client, in order of precedence: flags, the environment, `config.toml`, the server on this machine,
//! `http://127.0.0.1:8080`.
//!
//! A token belongs to the address with which it was stored. A token from a context or from a local server's folder is
//! sent to that server only, even if the address comes from another source.

mod file;
mod local;

pub use file::{ContextFile, ServerContext};
pub use local::{LocalServer, default_data_dir};

use crate::{Client, Options, Result};
use std::path::PathBuf;

/// Default server address.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built-in default.
    Default,
    /// Data folder of the server on this machine.
    LocalServer(PathBuf),
    /// A context of the configuration file.
    ServerContext(String),
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
            Self::ServerContext(name) => write!(f, "context `{name}`"),
            Self::File(path) => write!(f, "file ({})", path.display()),
            Self::Env(name) => write!(f, "environment ({name})"),
            Self::Flag(name) => write!(f, "flag ({name})"),
        }
    }
}

/// A value and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// Value.
    pub value: T,
    /// Source of the value.
    pub origin: Origin,
}

/// The values of command-line flags.
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
    /// Data folder of the server on this machine.
    pub data_dir: Option<PathBuf>,
}

/// The settings of a client, each with its source.
#[derive(Clone)]
pub struct Settings {
    /// Server address.
    pub url: Setting<String>,
    /// Token; `None` to send none.
    pub token: Option<Setting<String>>,
    /// Tenant; `None` for the token's own.
    pub tenant: Option<Setting<String>>,
    /// File of certificates to trust in addition to the system's.
    pub ca: Option<Setting<PathBuf>>,
    /// A data folder that was named and in which no server runs, if no other source has an address.
    pub missing_server: Option<PathBuf>,
}

/// A lookup of environment variables. [`process_env`] is the one for the process.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Returns a variable of the process's environment. An empty variable counts as absent, except `FABRIC_TOKEN`.
#[must_use]
pub fn process_env(name: &str) -> Option<String> {
    // An empty token is rejected later. Treating it as absent would use another token instead.
    std::env::var(name).ok().filter(|value| !value.is_empty() || name == "FABRIC_TOKEN")
}

impl Settings {
    /// Resolves the settings.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] for a context that is not in the configuration file, or an empty token.
    pub fn resolve(flags: &Flags, env: Env<'_>, file: &ContextFile) -> Result<Self> {
        let named = flags.data_dir.clone().or_else(|| env("FABRIC_DATA").map(PathBuf::from));
        let data = named.clone().or_else(default_data_dir);
        let local = data.as_deref().and_then(LocalServer::find);
        let current = || file.current.clone().map(|name| (name, Origin::Default));
        let asked = flags.context.clone().map(|n| (n, Origin::Flag("--context")));
        let asked = asked.or_else(|| env("FABRIC_CONTEXT").map(|n| (n, Origin::Env("FABRIC_CONTEXT"))));
        let explicit_context = asked.is_some();
        let context = match asked.or_else(current) {
            Some((name, _)) => Some((file.get(&name)?.clone(), Origin::ServerContext(name))),
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
        let missing_server = named.filter(|_| url.origin == Origin::Default);

        let same = |other: &str| same_server(other, &url.value);
        let context = context.filter(|(c, _)| same(&c.url));
        let local = local.filter(|l| same(&l.url));
        let token = flags
            .token
            .clone()
            .map(|value| Setting { value, origin: Origin::Flag("--token") })
            .or_else(|| {
                // The variable applies to the effective address, unless a context was selected by name.
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
        Ok(Self { url, token, tenant, ca, missing_server })
    }

    /// Returns `true` if the token would cross a network unencrypted.
    #[must_use]
    pub fn sends_token_in_clear(&self) -> bool {
        let Ok(url) = reqwest::Url::parse(&self.url.value) else { return false };
        self.token.is_some() && url.scheme() == "http" && !crate::request::is_loopback(&url)
    }

    /// Returns the options for [`Client::new`].
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the CA file can't be read; [`crate::Error::Setting`] if a data folder was named and no
    /// server runs in it: a request must not reach another server than the one that was named.
    pub fn options(&self) -> Result<Options> {
        if let Some(folder) = &self.missing_server {
            return Err(crate::Error::Setting(format!(
                "no server runs with the data folder {}: start one with `fabric serve --data`, or give another address with --url",
                folder.display()
            )));
        }
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

    /// Creates a client with these settings.
    ///
    /// # Errors
    /// Those of [`Settings::options`] and [`Client::new`].
    pub fn client(&self) -> Result<Client> {
        Client::new(self.options()?)
    }
}

/// Returns `true` if two addresses refer to the same server, ignoring trailing slashes.
fn same_server(a: &str, b: &str) -> bool {
    match (reqwest::Url::parse(a), reqwest::Url::parse(b)) {
        (Ok(a), Ok(b)) => a.origin() == b.origin() && a.path().trim_end_matches('/') == b.path().trim_end_matches('/'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
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
        // A script with a missing secret must not act as the local admin.
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

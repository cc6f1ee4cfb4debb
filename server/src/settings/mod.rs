//! The server's settings. Precedence, lowest first: defaults, file, environment, flags. Each value has its origin.
//!
//! `table` lists all settings, one row each. `tables` are parts of the configuration file without flags.

pub(crate) mod choices;
mod convert;
mod declare;
mod invalid;
mod placement;
mod storage;
mod table;
mod tables;
mod value;

pub(crate) use convert::ShutdownTimes;
pub(crate) use table::LEAST_MEMORY;
pub use table::ServeArgs;
pub(crate) use table::ServeConfig;

use crate::Error;
use choices::RoleSet;
use fabric_client::settings::{Env, Origin};
use fabric_types::label;
use invalid::{InvalidSetting, InvalidSettings};

/// A setting as `fabric config show` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingRow {
    /// Name, such as `serve.listen`.
    pub name: String,
    /// The effective value, with secrets hidden; `-` for none.
    pub value: String,
    /// The origin of the value.
    pub origin: String,
    /// The error that makes the setting invalid.
    pub problem: Option<String>,
}

impl SettingRow {
    fn new(key: &str, value: String, origin: &Origin) -> Self {
        Self { name: format!("serve.{key}"), value, origin: origin.to_string(), problem: None }
    }
}

impl ServeArgs {
    /// Resolves the settings and checks them.
    ///
    /// # Errors
    /// Fails with the first invalid setting.
    pub(crate) fn resolve(&self, env: Env<'_>) -> Result<ServeConfig, Error> {
        let mut invalid = InvalidSettings::default();
        let config = self.resolve_and_check(env, &mut invalid);
        invalid.into_first().map_or(Ok(config), Err)
    }

    /// Resolves the settings with defaults in place of invalid ones. Returns them with the invalid settings.
    fn resolve_all(&self, env: Env<'_>) -> (ServeConfig, Vec<InvalidSetting>) {
        let mut invalid = InvalidSettings::default();
        let config = self.resolve_and_check(env, &mut invalid);
        (config, invalid.into_all())
    }

    fn resolve_and_check(&self, env: Env<'_>, invalid: &mut InvalidSettings) -> ServeConfig {
        let config = self.resolve_into(env, invalid);
        config.check_values(invalid);
        config.check_together(invalid);
        config
    }

    /// Returns all settings. The invalid ones have a problem; an unknown key of the file has a row of its own.
    pub fn rows(&self, env: Env<'_>) -> Vec<SettingRow> {
        let (config, invalid) = self.resolve_all(env);
        let mut rows = config.rows();
        for InvalidSetting { name, error } in invalid {
            let name = format!("serve.{name}");
            match rows.iter_mut().find(|row| row.name == name) {
                Some(row) => row.problem = Some(error.message),
                None => {
                    let none = || "-".to_owned();
                    rows.push(SettingRow { name, value: none(), origin: none(), problem: Some(error.message) });
                }
            }
        }
        rows
    }
}

impl ServeConfig {
    /// Records settings that contradict each other.
    fn check_together(&self, invalid: &mut InvalidSettings) {
        let mut push = |name: &str, what: String, hint: &str| {
            let error = Error::config(what);
            invalid.push(name, if hint.is_empty() { error } else { error.hint(hint) });
        };
        if self.data.value.as_os_str().is_empty() {
            let what = match self.data.origin {
                Origin::Default => "this user has no home folder to keep data in".to_owned(),
                _ => format!("data, from {}: it names no folder", self.data.origin),
            };
            push("data", what, "name a folder: --data DIR");
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            let missing = if self.tls_cert.is_some() { "tls-key" } else { "tls-cert" };
            push(missing, "tls-cert and tls-key go together: one of them is missing".to_owned(), "");
        }
        if self.nats.is_none() && self.role.value != RoleSet::ALL {
            let what = format!("role, from {}: a process with only some of the roles needs a fleet", self.role.origin);
            push("role", what, "join one with --nats, or use --role all");
        }
        if self.nats_cert.is_some() != self.nats_key.is_some() {
            let missing = if self.nats_cert.is_some() { "nats-key" } else { "nats-cert" };
            push(missing, "nats-cert and nats-key go together: one of them is missing".to_owned(), "");
        }
        if let (Some(creds), Some(nkey)) = (&self.nats_creds, &self.nats_nkey) {
            let (creds, nkey) = (&creds.origin, &nkey.origin);
            push("nats-nkey", format!("nats-creds, from {creds}, and nats-nkey, from {nkey}: give one of them"), "");
        }
        if self.jupyterhub.is_none() && self.jupyterhub_map.origin != Origin::Default {
            let origin = &self.jupyterhub_map.origin;
            let what = format!("jupyterhub-map, from {origin}: there is no Hub that the rules apply to");
            push("jupyterhub-map", what, "name its API with --jupyterhub");
        }
        let shared = |url: &str| !url.starts_with("memory:");
        if let Some(nats) = &self.nats
            && !self.store.as_ref().is_some_and(|s| shared(&s.value))
        {
            let what = format!("nats, from {}: a fleet needs a store that all processes share", nats.origin);
            let hint = "give the same --store to each: s3://BUCKET/PREFIX, or file:///DIR on one machine";
            push("store", what, hint);
        }
        if let Some(labels) = &self.labels
            && let Err(problem) = label::check_all(&labels.value)
        {
            push("labels", format!("labels, from {}: {problem}", labels.origin), "");
        }
        let open = !self.listen.value.ip().is_loopback();
        if open && self.tls_cert.is_none() && !self.insecure_listen.value {
            let hint = "give --tls-cert and --tls-key, or listen on 127.0.0.1; --insecure-listen permits it";
            let what = format!("listening on {} without TLS would expose tokens to the network", self.listen.value);
            push("listen", what, hint);
        }
    }
}

/// Returns `true` for the address of a server.
pub(crate) fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']) && !rest.contains(char::is_whitespace))
}

/// Removes name, password and query from a URL.
pub(crate) fn hide_userinfo(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(before, _)| before);
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            match authority.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://(hidden)@{host}{path}"),
                None => format!("{scheme}://{authority}{path}"),
            }
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;

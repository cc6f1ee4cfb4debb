//! The settings of connections and of calls that wait for a slot: flags, keys of the configuration file, and their
//! resolution.

use crate::{
    failure::Failure,
    wrong_settings::{WrongSettings, layer},
};
use clap::Args;
use fabric_client::settings::{Env, Origin, Setting};
use fabric_gateway::FunctionsDomain;
use std::{path::PathBuf, time::Duration};

/// Default time that a call waits for a free slot, in seconds.
const SLOT_WAIT_S: u64 = 30;

/// Flags of `fabric serve` about connections.
#[derive(Debug, Clone, Default, Args)]
pub struct ConnectionArgs {
    /// Maximum open connections; beyond it, the one that has been idle for the longest is closed [env:
    /// FABRIC_MAX_CONNECTIONS; default: 4096]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// Maximum connections of one address, an IPv6 /64 counting as one; 0 for no limit, as behind a proxy [env:
    /// FABRIC_CONNECTIONS_PER_ADDRESS; default: a quarter of --max-connections]
    #[arg(long, value_name = "N")]
    pub connections_per_address: Option<usize>,
    /// Time for a connection's first bytes [env: FABRIC_FIRST_BYTE_TIMEOUT; default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub first_byte_timeout: Option<u64>,
    /// Time for a TLS handshake, a connection's first request, and the head of each request [env:
    /// FABRIC_HEADER_TIMEOUT; default: 15]
    #[arg(long, value_name = "SECONDS")]
    pub header_timeout: Option<u64>,
    /// Maximum time between two requests of a connection [env: FABRIC_IDLE_TIMEOUT; default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub idle_timeout: Option<u64>,
    /// Maximum time for a client to read any of the pending data [env: FABRIC_WRITE_TIMEOUT; default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub write_timeout: Option<u64>,
    /// Maximum time between two pieces of a request's body [env: FABRIC_BODY_TIMEOUT; default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub body_timeout: Option<u64>,
    /// Bytes per second that a request's body must average once it has taken longer than --body-timeout; 0 for no limit
    /// [env: FABRIC_MIN_BODY_RATE; default: 256]
    #[arg(long, value_name = "BYTES")]
    pub min_body_rate: Option<u64>,
    /// Maximum time that a call waits for a free slot before it fails with `unavailable` [env: FABRIC_SLOT_WAIT;
    /// default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub slot_wait: Option<u64>,
    /// Give each http function its own host below this domain, FUNCTION.TENANT.DOMAIN; must be the same for all
    /// processes of a fleet [env: FABRIC_FUNCTIONS_DOMAIN; default: none]
    #[arg(long, value_name = "DOMAIN")]
    pub functions_domain: Option<FunctionsDomain>,
}

/// The same settings in the configuration file.
#[derive(Debug, Clone, Default)]
pub struct ConnectionFile {
    pub max_connections: Option<usize>,
    pub connections_per_address: Option<usize>,
    pub first_byte_timeout: Option<u64>,
    pub header_timeout: Option<u64>,
    pub idle_timeout: Option<u64>,
    pub write_timeout: Option<u64>,
    pub body_timeout: Option<u64>,
    pub min_body_rate: Option<u64>,
    pub slot_wait: Option<u64>,
    pub functions_domain: Option<String>,
}

/// The effective settings of connections. Times are in seconds.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    max_connections: Setting<usize>,
    connections_per_address: Option<Setting<usize>>,
    first_byte_timeout: Setting<u64>,
    header_timeout: Setting<u64>,
    idle_timeout: Setting<u64>,
    write_timeout: Setting<u64>,
    body_timeout: Setting<u64>,
    min_body_rate: Setting<u64>,
    slot_wait: Setting<u64>,
    functions_domain: Option<Setting<FunctionsDomain>>,
}

impl ConnectionArgs {
    /// Resolves the settings.
    pub fn resolve(
        &self,
        env: Env<'_>,
        file: &ConnectionFile,
        path: &PathBuf,
        wrong: &mut WrongSettings,
    ) -> ConnectionConfig {
        let usual = fabric_gateway::Options::default();
        fn or<T>(value: T, setting: Option<Setting<T>>) -> Setting<T> {
            setting.unwrap_or(Setting { value, origin: Origin::Default })
        }
        macro_rules! setting {
            ($field:ident, $flag:literal, $env:literal) => {
                wrong.take($flag, layer(self.$field, $flag, env, $env, file.$field.map(|v| (v, path))))
            };
        }
        macro_rules! seconds {
            ($field:ident, $usual:ident, $flag:literal, $env:literal) => {
                or(usual.$usual.as_secs(), setting!($field, $flag, $env))
            };
        }
        let domain = file.functions_domain.as_ref().map(|domain| domain.parse()).transpose();
        let domain = domain.map_err(|e| Failure::config(format!("{}: functions-domain: {e}", path.display())));
        let domain = wrong.take("functions-domain", domain);
        let domain = layer(
            self.functions_domain.clone(),
            "--functions-domain",
            env,
            "FABRIC_FUNCTIONS_DOMAIN",
            domain.map(|domain| (domain, path)),
        );
        ConnectionConfig {
            slot_wait: or(SLOT_WAIT_S, setting!(slot_wait, "--slot-wait", "FABRIC_SLOT_WAIT")),
            functions_domain: wrong.take("functions-domain", domain),
            max_connections: or(
                usual.max_connections,
                setting!(max_connections, "--max-connections", "FABRIC_MAX_CONNECTIONS"),
            ),
            connections_per_address: setting!(
                connections_per_address,
                "--connections-per-address",
                "FABRIC_CONNECTIONS_PER_ADDRESS"
            ),
            first_byte_timeout: seconds!(
                first_byte_timeout,
                first_byte_timeout,
                "--first-byte-timeout",
                "FABRIC_FIRST_BYTE_TIMEOUT"
            ),
            header_timeout: seconds!(header_timeout, header_timeout, "--header-timeout", "FABRIC_HEADER_TIMEOUT"),
            idle_timeout: seconds!(idle_timeout, idle_timeout, "--idle-timeout", "FABRIC_IDLE_TIMEOUT"),
            write_timeout: seconds!(write_timeout, write_stall_timeout, "--write-timeout", "FABRIC_WRITE_TIMEOUT"),
            body_timeout: seconds!(body_timeout, body_idle_timeout, "--body-timeout", "FABRIC_BODY_TIMEOUT"),
            min_body_rate: or(usual.min_body_rate, setting!(min_body_rate, "--min-body-rate", "FABRIC_MIN_BODY_RATE")),
        }
    }
}

impl ConnectionConfig {
    fn times(&self) -> [(&'static str, &Setting<u64>); 6] {
        [
            ("first-byte-timeout", &self.first_byte_timeout),
            ("header-timeout", &self.header_timeout),
            ("idle-timeout", &self.idle_timeout),
            ("write-timeout", &self.write_timeout),
            ("body-timeout", &self.body_timeout),
            ("slot-wait", &self.slot_wait),
        ]
    }

    /// Checks the values.
    pub fn check(&self, wrong: &mut WrongSettings) {
        for (name, time) in self.times() {
            if !(1..=86_400).contains(&time.value) {
                wrong.push(name, Failure::config(format!("{name}, from {}: use 1 to 86400 seconds", time.origin)));
            }
        }
        if !(1..=1_000_000).contains(&self.max_connections.value) {
            let origin = &self.max_connections.origin;
            let failure = Failure::config(format!("max-connections, from {origin}: use 1 to 1000000"));
            wrong.push("max-connections", failure);
        }
    }

    /// Returns the name, value and origin of each setting.
    pub fn rows(&self) -> Vec<(&'static str, String, String)> {
        fn row<T: ToString>(name: &'static str, s: &Setting<T>) -> (&'static str, String, String) {
            (name, s.value.to_string(), s.origin.to_string())
        }
        vec![
            row("serve.max-connections", &self.max_connections),
            self.connections_per_address.as_ref().map_or_else(
                || {
                    let share = self.max_connections.value.div_ceil(4).to_string();
                    ("serve.connections-per-address", share, Origin::Default.to_string())
                },
                |s| row("serve.connections-per-address", s),
            ),
            row("serve.first-byte-timeout", &self.first_byte_timeout),
            row("serve.header-timeout", &self.header_timeout),
            row("serve.idle-timeout", &self.idle_timeout),
            row("serve.write-timeout", &self.write_timeout),
            row("serve.body-timeout", &self.body_timeout),
            row("serve.min-body-rate", &self.min_body_rate),
            row("serve.slot-wait", &self.slot_wait),
            self.functions_domain.as_ref().map_or_else(
                || ("serve.functions-domain", "-".to_owned(), Origin::Default.to_string()),
                |s| row("serve.functions-domain", s),
            ),
        ]
    }

    /// Returns the maximum time that a call waits for a slot.
    pub fn slot_wait(&self) -> Duration {
        Duration::from_secs(self.slot_wait.value)
    }

    /// Converts the settings to the gateway's options.
    pub fn options(&self) -> fabric_gateway::Options {
        let seconds = |s: &Setting<u64>| Duration::from_secs(s.value);
        fabric_gateway::Options {
            max_connections: self.max_connections.value,
            connections_per_address: self.connections_per_address.as_ref().map(|s| s.value),
            first_byte_timeout: seconds(&self.first_byte_timeout),
            header_timeout: seconds(&self.header_timeout),
            idle_timeout: seconds(&self.idle_timeout),
            write_stall_timeout: seconds(&self.write_timeout),
            body_idle_timeout: seconds(&self.body_timeout),
            min_body_rate: self.min_body_rate.value,
            functions_domain: self.functions_domain.as_ref().map(|s| s.value.clone()),
            ..fabric_gateway::Options::default()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn resolve(args: &ConnectionArgs, env: &[(&str, &str)], file: &str) -> Result<ConnectionConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("fabric.conf"), file).unwrap();
        let args = crate::serve_args::ServeArgs {
            data: Some("/data".into()),
            config: Some(dir.path().join("fabric.conf")),
            connections: args.clone(),
            ..Default::default()
        };
        let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        args.resolve(&lookup).map(|config| config.connections).map_err(|f| f.message)
    }

    #[test]
    fn settings_come_from_flags_variables_and_the_file() {
        let args = ConnectionArgs { idle_timeout: Some(5), ..Default::default() };
        let file = "idle-timeout = 7\nheader-timeout = 8\nfunctions-domain = \"fn.example.org\"";
        let config =
            resolve(&args, &[("FABRIC_HEADER_TIMEOUT", "9"), ("FABRIC_MAX_CONNECTIONS", "100")], file).unwrap();
        let options = config.options();
        assert_eq!((options.idle_timeout, options.header_timeout), (Duration::from_secs(5), Duration::from_secs(9)));
        assert_eq!((options.max_connections, options.connections_per_address), (100, None));
        assert_eq!(options.functions_domain.unwrap().to_string(), "fn.example.org");
        let shown: Vec<_> = config.rows().into_iter().map(|(name, value, _)| format!("{name}={value}")).collect();
        assert!(shown.contains(&"serve.connections-per-address=25".to_owned()), "{shown:?}");
    }

    #[test]
    fn mistakes_are_named() {
        for (file, says) in [
            ("idle-timeout = 0", "idle-timeout, from"),
            ("max-connections = 0", "max-connections, from"),
            ("idle = 1", "unknown field `idle`"),
            ("functions-domain = \"a b\"", "is not a domain"),
        ] {
            let said = resolve(&ConnectionArgs::default(), &[], file).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }
}

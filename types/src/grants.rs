//! The grants that functions of a tenant may request. An operator sets rules for the whole server or for one tenant.

use crate::{address, function::Deployment, gpu::GpuRequirement, manifest::Manifest};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// A destination in a manifest's grants. `host` means ports 80 and 443, `host:port` means only that port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: String,
    port: Option<u16>,
}

impl HostPattern {
    /// Parses a grant. An IPv6 address is written in brackets.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = match split {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        Self { host: host.trim_end_matches('.').to_ascii_lowercase(), port }
    }

    /// Returns `true` if it includes this destination.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.host == host.trim_end_matches('.').to_ascii_lowercase()
            && self.port.map_or(port == 80 || port == 443, |p| p == port)
    }

    /// Checks that it names a host that a guest may reach. A name that resolves to an address outside the public
    /// internet is rejected later, at run time.
    ///
    /// # Errors
    /// The reason why no request can match it.
    pub fn check(&self) -> Result<(), String> {
        let host = self.host.as_str();
        if host.contains("://") || host.contains('/') {
            return Err("is a URL: write the host alone, such as `api.example.org` or `api.example.org:8443`".into());
        }
        if host.contains('*') {
            return Err("is a pattern: list each host by name; only an operator's rules can have patterns".into());
        }
        if !is_host(host) || self.port == Some(0) {
            return Err("is not a host: write `api.example.org` or `api.example.org:8443`".into());
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let private = match literal {
            Ok(address) => !address::is_global(address),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        if private {
            return Err("is this machine or a private network, which functions never reach".into());
        }
        if literal.is_err() && !host.contains('.') {
            return Err("has no domain: write the whole name, such as `api.example.org`".into());
        }
        // Short forms that a resolver parses as an IPv4 address, such as `127.1` or `0x7f.1`.
        let last = host.rsplit('.').next().unwrap_or_default();
        if literal.is_err() && (last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x")) {
            return Err("is an IPv4 address in a short form: write all four numbers".into());
        }
        Ok(())
    }
}

/// Returns `true` if `text` has the form of a host name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let name = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
        None => (1..=253).contains(&text.len()) && name(text) && !text.split('.').any(str::is_empty),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Hosts {
    Any,
    Below(String),
    One(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Ports {
    /// 80 and 443.
    Web,
    One(u16),
    Any,
}

/// A rule for the hosts that functions may be granted: `HOST` or `*.DOMAIN`, each optionally with `:PORT` or `:*`, or
/// `*` for every public host. Without a port, a rule applies to ports 80 and 443; `*` alone applies to all ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostRule {
    hosts: Hosts,
    ports: Ports,
}

/// Text that is not a [`HostRule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host rule: write HOST, HOST:PORT, *.DOMAIN or * for every public host")]
pub struct InvalidHostRule(pub String);

impl HostRule {
    /// Returns `true` if a manifest may grant this destination.
    #[must_use]
    pub fn allows(&self, grant: &HostPattern) -> bool {
        let host = match &self.hosts {
            Hosts::Any => true,
            Hosts::One(host) => *host == grant.host,
            Hosts::Below(domain) => grant.host.strip_suffix(domain).is_some_and(|h| h.len() > 1 && h.ends_with('.')),
        };
        let ports = match (self.ports, grant.port) {
            (Ports::Any, _) | (Ports::Web, None | Some(80 | 443)) => true,
            (Ports::One(port), granted) => granted == Some(port),
            _ => false,
        };
        host && ports
    }
}

impl FromStr for HostRule {
    type Err = InvalidHostRule;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || InvalidHostRule(text.chars().take(80).collect());
        if text == "*" {
            return Ok(Self { hosts: Hosts::Any, ports: Ports::Any });
        }
        let (host, ports) = match text.rsplit_once(':') {
            Some((host, "*")) => (host, Ports::Any),
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Ports::One(port.parse().ok().filter(|p| *p > 0).ok_or_else(bad)?))
            }
            _ => (text, Ports::Web),
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let hosts = match host.strip_prefix("*.") {
            Some(domain) if is_host(domain) => Hosts::Below(domain.to_owned()),
            None if host == "*" && !text.starts_with("*.") => Hosts::Any,
            None if is_host(&host) => Hosts::One(host),
            _ => return Err(bad()),
        };
        Ok(Self { hosts, ports })
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any if self.ports == Ports::Any => return f.write_str("*"),
            Hosts::Any => f.write_str("*")?,
            Hosts::Below(domain) => write!(f, "*.{domain}")?,
            Hosts::One(host) => f.write_str(host)?,
        }
        match self.ports {
            Ports::Web => Ok(()),
            Ports::One(port) => write!(f, ":{port}"),
            Ports::Any => f.write_str(":*"),
        }
    }
}

crate::text_schema!(HostRule, "api.example.org");

impl Serialize for HostRule {
    fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostRule {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(de)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Grants that an operator allowed or denied. A grant without a rule follows the next level: first the server's rules,
/// then the built-in ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GrantRules {
    /// Real clocks. Built in: allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clocks: Option<bool>,
    /// Real randomness. Built in: allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random: Option<bool>,
    /// Environment variables, which the deployer writes into the manifest. Built in: allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<bool>,
    /// The tenant's own volumes. Built in: allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<bool>,
    /// GPUs. Built in: allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<bool>,
    /// Hosts for outbound HTTP, at most 256. Built in: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Vec<HostRule>>,
}

/// Maximum number of host rules of one tenant.
const MAX_HOSTS: usize = 256;

impl GrantRules {
    /// All keys.
    pub const KEYS: &'static [&'static str] = &["clocks", "random", "env", "volumes", "gpu", "network"];

    /// Returns these rules, with `base` for each one that is not set.
    #[must_use]
    pub fn over(&self, base: &AllowedGrants) -> AllowedGrants {
        AllowedGrants {
            clocks: self.clocks.unwrap_or(base.clocks),
            random: self.random.unwrap_or(base.random),
            env: self.env.unwrap_or(base.env),
            volumes: self.volumes.unwrap_or(base.volumes),
            gpu: self.gpu.unwrap_or(base.gpu),
            network: self.network.as_ref().unwrap_or(&base.network).clone(),
        }
    }

    /// Sets a rule: `yes` or `no`; for `network`, hosts to add, separated by commas, or `none`. The text `default`
    /// removes the rule.
    ///
    /// # Errors
    /// An unknown key, or a value that can't be parsed.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        let choice = || match text {
            "yes" | "true" => Ok(Some(true)),
            "no" | "false" => Ok(Some(false)),
            "default" => Ok(None),
            _ => Err(format!("grant {key}: `{text}`: use yes, no or default")),
        };
        match key {
            "clocks" => self.clocks = choice()?,
            "random" => self.random = choice()?,
            "env" => self.env = choice()?,
            "volumes" => self.volumes = choice()?,
            "gpu" => self.gpu = choice()?,
            "network" => {
                self.network = match text {
                    "default" => None,
                    "none" | "no" => Some(Vec::new()),
                    hosts => {
                        let mut rules = self.network.take().unwrap_or_default();
                        for host in hosts.split(',') {
                            let rule = host.trim().parse().map_err(|e| format!("grant network: {e}"))?;
                            if !rules.contains(&rule) {
                                rules.push(rule);
                            }
                        }
                        Some(rules)
                    }
                }
            }
            _ => return Err(format!("`{key}` is not a grant: use one of {}", Self::KEYS.join(", "))),
        }
        Ok(())
    }

    /// Checks the constraints that the types do not express.
    ///
    /// # Errors
    /// Too many hosts.
    pub fn check(&self) -> Result<(), String> {
        match &self.network {
            Some(hosts) if hosts.len() > MAX_HOSTS => {
                Err(format!("grants.network has {} hosts: give at most {MAX_HOSTS}", hosts.len()))
            }
            _ => Ok(()),
        }
    }

    /// Returns every key with its rule, or `None` if it is not set.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, Option<String>)> {
        let word = |allowed: bool| if allowed { "yes" } else { "no" }.to_owned();
        vec![
            ("clocks", self.clocks.map(word)),
            ("random", self.random.map(word)),
            ("env", self.env.map(word)),
            ("volumes", self.volumes.map(word)),
            ("gpu", self.gpu.map(word)),
            ("network", self.network.as_deref().map(hosts)),
        ]
    }
}

fn hosts(rules: &[HostRule]) -> String {
    if rules.is_empty() {
        return "none".to_owned();
    }
    rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Grants that the functions of a tenant may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedGrants {
    /// Real clocks.
    pub clocks: bool,
    /// Real randomness.
    pub random: bool,
    /// Environment variables.
    pub env: bool,
    /// The tenant's own volumes.
    pub volumes: bool,
    /// GPUs.
    pub gpu: bool,
    /// Hosts for outbound HTTP.
    pub network: Vec<HostRule>,
}

impl Default for AllowedGrants {
    /// Allows everything that stays within the server, and no network.
    fn default() -> Self {
        Self { clocks: true, random: true, env: true, volumes: true, gpu: true, network: Vec::new() }
    }
}

/// A requested grant that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAllowed {
    /// The grant as the manifest names it, such as `grants.network = "api.example.org"`.
    pub grant: String,
    /// The argument of `--grant` with which an operator allows it. May contain further `--grant` flags.
    pub remedy: String,
}

impl AllowedGrants {
    /// Returns the first grant of a manifest that is not allowed.
    #[must_use]
    pub fn refused(&self, manifest: &Manifest) -> Option<NotAllowed> {
        let grants = &manifest.grants;
        let no = |grant: &str, remedy: &str| Some(NotAllowed { grant: grant.to_owned(), remedy: remedy.to_owned() });
        if grants.clocks && !self.clocks {
            return no("grants.clocks", "clocks=yes");
        }
        if grants.random && !self.random {
            return no("grants.random", "random=yes");
        }
        if !grants.env.is_empty() && !self.env {
            return no("grants.env", "env=yes");
        }
        if !grants.volumes.is_empty() && !self.volumes {
            return no("grants.volumes", "volumes=yes");
        }
        if (manifest.resources.gpu != GpuRequirement::None || manifest.resources.gpus > 0) && !self.gpu {
            return no("resources.gpu", "gpu=yes");
        }
        let denied = |host: &&String| {
            let pattern = HostPattern::parse(host);
            !self.network.iter().any(|rule| rule.allows(&pattern))
        };
        let host = grants.network.iter().find(denied)?;
        // A tenant's list replaces the server's, so it has to include the hosts that are already allowed.
        let in_force = self.network.iter().map(ToString::to_string);
        let all: Vec<_> = in_force.chain([host.clone()]).map(|host| format!("network={host}")).collect();
        Some(NotAllowed { grant: format!("grants.network = {host:?}"), remedy: all.join(" --grant ") })
    }

    /// Returns every key with its rule.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let word = |allowed: bool| if allowed { "yes" } else { "no" }.to_owned();
        vec![
            ("clocks", word(self.clocks)),
            ("random", word(self.random)),
            ("env", word(self.env)),
            ("volumes", word(self.volumes)),
            ("gpu", word(self.gpu)),
            ("network", hosts(&self.network)),
        ]
    }
}

/// Returns `true` if a deployment requests a grant that an operator may deny. Most deployments do not.
#[must_use]
pub fn asks_for_any(deployment: &Deployment) -> bool {
    let (grants, resources) = (&deployment.manifest.grants, &deployment.manifest.resources);
    grants != &crate::manifest::Grants::default() || resources.gpu != GpuRequirement::None || resources.gpus > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, grant: &str) -> bool {
        let parsed: HostRule = rule.parse().unwrap();
        assert_eq!(parsed.to_string(), rule);
        parsed.allows(&HostPattern::parse(grant))
    }

    #[test]
    fn a_rule_allows_its_hosts_and_ports_only() {
        for (rule, grant, allowed) in [
            ("api.example.org", "api.example.org", true),
            ("api.example.org", "API.example.org.", true),
            ("api.example.org", "api.example.org:443", true),
            ("api.example.org", "api.example.org:8443", false),
            ("api.example.org", "example.org", false),
            ("api.example.org", "x.api.example.org", false),
            ("api.example.org:8443", "api.example.org:8443", true),
            ("api.example.org:8443", "api.example.org", false),
            ("api.example.org:443", "api.example.org", false),
            ("api.example.org:*", "api.example.org:9", true),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "badexample.org", false),
            ("*.example.org", ".example.org", false),
            ("*.example.org", "a.example.org:22", false),
            ("*", "anything.example:25", true),
            ("[2001:db8::1]:8080", "[2001:db8::1]:8080", true),
        ] {
            assert_eq!(allows(rule, grant), allowed, "{rule} {grant}");
        }
    }

    #[test]
    fn what_names_no_hosts_is_refused() {
        for text in ["", "*.", "a*b", "http://x", "a b", "x:0", "x:99999", "x:", "a..b", "[::1", "::1", "x/y", "*.*"] {
            assert!(text.parse::<HostRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn grants_that_no_request_can_match_are_refused_with_the_reason() {
        for host in [
            "api.example.org",
            "API.example.org.:8443",
            "1.1.1.1",
            "[2606:4700::1111]:80",
            "a_b.example.org",
            "x.internal",
        ] {
            assert_eq!(HostPattern::parse(host).check(), Ok(()), "{host}");
        }
        for (host, words) in [
            ("https://api.example.org", "host alone"),
            ("api.example.org/v1", "host alone"),
            ("*", "pattern"),
            ("*.example.org", "pattern"),
            ("", "not a host"),
            ("a b", "not a host"),
            ("example.org:0", "not a host"),
            ("example.org:", "not a host"),
            ("example.org:99999", "not a host"),
            ("::1", "not a host"),
            ("localhost", "never reach"),
            ("localhost:80", "never reach"),
            ("LOCALHOST.", "never reach"),
            ("a.localhost", "never reach"),
            ("127.0.0.1:8080", "never reach"),
            ("10.0.0.1", "never reach"),
            ("169.254.169.254", "never reach"),
            ("[::1]", "never reach"),
            ("[fd00::1]:443", "never reach"),
            ("intranet", "no domain"),
            ("127.1", "short form"),
            ("0x7f.0x1", "short form"),
        ] {
            let problem = HostPattern::parse(host).check().unwrap_err();
            assert!(problem.contains(words), "{host}: {problem}");
        }
    }

    #[test]
    fn nothing_leaves_the_server_by_default() {
        let allowed = AllowedGrants::default();
        let manifest = |text: &str| Manifest::from_toml(&format!("[function]\nname = \"a\"\n{text}")).unwrap();
        let own = "[grants]\nclocks = true\nrandom = true\nenv = { A = \"1\" }\n\
                   [[grants.volumes]]\nname = \"v\"\npath = \"/v\"\n[resources]\ngpu = \"preferred\"";
        assert_eq!(allowed.refused(&manifest(own)), None);
        let refused = allowed.refused(&manifest("[grants]\nnetwork = [\"api.example.org:8443\"]")).unwrap();
        assert_eq!(refused.grant, "grants.network = \"api.example.org:8443\"");
        let mut rules = GrantRules::default();
        let (key, value) = refused.remedy.split_once('=').unwrap();
        rules.set(key, value).unwrap();
        assert_eq!(rules.over(&allowed).refused(&manifest("[grants]\nnetwork = [\"api.example.org:8443\"]")), None);
        // The remedy includes the hosts already allowed, because the tenant's list replaces the server's.
        let allowed = rules.over(&allowed);
        let both = manifest("[grants]\nnetwork = [\"api.example.org:8443\", \"api.example.com\"]");
        assert_eq!(
            allowed.refused(&both).unwrap().remedy,
            "network=api.example.org:8443 --grant network=api.example.com"
        );
        for key in GrantRules::KEYS {
            let mut rules = GrantRules::default();
            rules.set(key, "no").unwrap();
            let asked = format!("{own}\n");
            let refused = rules.over(&allowed).refused(&manifest(&asked));
            assert_eq!(refused.is_some(), *key != "network", "{key}");
            rules.set(key, "default").unwrap();
            assert_eq!(rules, GrantRules::default());
        }
    }
}

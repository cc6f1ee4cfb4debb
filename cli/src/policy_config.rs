//! The `[ceilings]` and `[grants]` sections of the server's configuration file: bounds on the limits and grants that
//! functions set for themselves.

use crate::{failure::Failure, wrong_settings::WrongSettings};
use fabric_client::settings::Origin;
use fabric_types::{ceilings::Ceilings, grants::GrantRules, limits::Limits, policy::Policy};
use std::path::PathBuf;

/// Ceilings and grants of tenants whose quota sets none; only in the file.
#[derive(Debug, Clone, Default)]
pub struct PolicyConfig {
    /// The highest value of each limit.
    pub ceilings: Ceilings,
    /// The grants that functions may request.
    pub grants: GrantRules,
    /// The configuration file.
    pub file: PathBuf,
}

impl PolicyConfig {
    /// Returns the server's policy.
    pub fn policy(&self) -> Policy {
        let usual = Policy::default();
        Policy { ceilings: self.ceilings.over(&Limits::default_ceilings()), grants: self.grants.over(&usual.grants) }
    }

    /// Checks the values.
    pub fn check(&self, wrong: &mut WrongSettings) {
        for (table, checked) in [("ceilings", self.ceilings.check()), ("grants", self.grants.check())] {
            if let Err(problem) = checked {
                // A ceiling's problem begins with its name.
                let key = problem.strip_prefix("ceiling ").and_then(|rest| rest.split(' ').next());
                let name = key.map_or_else(|| table.to_owned(), |key| format!("{table}.{key}"));
                wrong.push(&name, Failure::config(format!("{}: {problem}", self.file.display())));
            }
        }
    }

    /// Returns the name, value and origin of each setting.
    pub fn rows(&self) -> Vec<(String, String, String)> {
        let origin = |set: bool| if set { Origin::File(self.file.clone()) } else { Origin::Default }.to_string();
        let policy = self.policy();
        let ceilings = self.ceilings.rows().into_iter().zip(policy.ceilings.rows());
        let grants = self.grants.rows().into_iter().zip(policy.grants.rows());
        let rows = ceilings.map(|pair| ("ceilings", pair)).chain(grants.map(|pair| ("grants", pair)));
        rows.map(|(table, ((key, set), (_, value)))| (format!("serve.{table}.{key}"), value, origin(set.is_some())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use fabric_types::units::ByteSize;

    #[test]
    fn every_ceiling_and_grant_is_shown_with_its_origin() {
        let ceilings = Ceilings { memory_bytes: Some(ByteSize::gib(2)), ..Ceilings::default() };
        let grants = GrantRules { network: Some(vec!["*.example.org".parse().unwrap()]), ..GrantRules::default() };
        let config = PolicyConfig { ceilings, grants, file: "/etc/fabric.toml".into() };
        let mut wrong = WrongSettings::default();
        config.check(&mut wrong);
        assert!(wrong.into_first().is_none());
        let rows = config.rows();
        assert_eq!(rows.len(), Ceilings::KEYS.len() + GrantRules::KEYS.len());
        let row =
            |name: &str| rows.iter().find(|row| row.0 == name).map(|row| (row.1.as_str(), row.2.as_str())).unwrap();
        assert_eq!(row("serve.ceilings.memory-bytes").0, "2GiB");
        assert!(row("serve.ceilings.memory-bytes").1.contains("/etc/fabric.toml"));
        assert_eq!(row("serve.ceilings.deadline-ms"), ("3600000", "default"));
        assert_eq!(row("serve.grants.network").0, "*.example.org");
        assert_eq!(row("serve.grants.clocks"), ("yes", "default"));
    }
}

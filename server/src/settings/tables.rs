//! Tables of the configuration file: settings without a flag or a variable. Their types are in modules of their own or,
//! if more than the server uses them, in `fabric_types`.

use super::{SettingRow, invalid::InvalidSettings};
use crate::Error;
use fabric_client::settings::Origin;
use fabric_types::{ceilings::Ceilings, grants::GrantRules, policy::Policy, price::Prices};
use std::path::{Path, PathBuf};

/// A table, with the path of the configuration file.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileTable<T> {
    /// The settings.
    pub value: T,
    /// The configuration file; empty if there is none.
    pub path: PathBuf,
}

/// A table of settings.
pub(super) trait SettingsTable {
    /// Records invalid settings. `file` is the configuration file.
    fn check(&self, file: &Path, invalid: &mut InvalidSettings);
    /// Returns the name, value and origin of each setting. `data` is the server's data folder.
    fn rows(&self, data: &Path, file: &Path) -> Vec<SettingRow>;
}

/// Returns the origin of a setting: the file if it sets it, else the default.
pub(super) fn origin(file: &Path, is_set: bool) -> Origin {
    if is_set { Origin::File(file.to_owned()) } else { Origin::Default }
}

impl SettingsTable for Ceilings {
    fn check(&self, file: &Path, invalid: &mut InvalidSettings) {
        if let Err(problem) = Self::check(self) {
            // The problem begins with the ceiling's name.
            let key = problem.strip_prefix("ceiling ").and_then(|rest| rest.split(' ').next());
            let name = key.map_or_else(|| "ceilings".to_owned(), |key| format!("ceilings.{key}"));
            invalid.push(&name, Error::config(format!("{}: {problem}", file.display())));
        }
    }

    fn rows(&self, _: &Path, file: &Path) -> Vec<SettingRow> {
        let effective = self.over(&Policy::default().ceilings);
        let rows = Self::rows(self).into_iter().zip(effective.rows());
        rows.map(|((key, set), (_, value))| {
            SettingRow::new(&format!("ceilings.{key}"), value, &origin(file, set.is_some()))
        })
        .collect()
    }
}

impl SettingsTable for GrantRules {
    fn check(&self, file: &Path, invalid: &mut InvalidSettings) {
        if let Err(problem) = Self::check(self) {
            invalid.push("grants", Error::config(format!("{}: {problem}", file.display())));
        }
    }

    fn rows(&self, _: &Path, file: &Path) -> Vec<SettingRow> {
        let effective = self.over(&Policy::default().grants);
        let rows = Self::rows(self).into_iter().zip(effective.rows());
        rows.map(|((key, set), (_, value))| {
            SettingRow::new(&format!("grants.{key}"), value, &origin(file, set.is_some()))
        })
        .collect()
    }
}

impl SettingsTable for Option<Prices> {
    fn check(&self, file: &Path, invalid: &mut InvalidSettings) {
        if let Some(Err(problem)) = self.as_ref().map(Prices::check) {
            invalid.push("prices", Error::config(format!("{problem} (from {})", origin(file, true))));
        }
    }

    fn rows(&self, _: &Path, file: &Path) -> Vec<SettingRow> {
        let row = |key: &str, text: &dyn Fn(&Prices) -> String| {
            let value = self.as_ref().map_or_else(|| "-".to_owned(), text);
            SettingRow::new(&format!("prices.{key}"), value, &origin(file, self.is_some()))
        };
        vec![
            row("currency", &|prices| prices.currency.clone()),
            row("fuel", &|prices| prices.fuel.to_string()),
            row("gpu", &|prices| prices.gpu.to_string()),
        ]
    }
}

//! Modules whose calls kill this process. Fabric does not retry a call, but its caller may; a module is therefore
//! refused for a while after three deaths of the process during which only this module was called.
//!
//! Stored in a file of the data folder, for the processes of this folder only.

use crate::running::Entry;
use fabric_types::{Code, Fault, digest::ModuleDigest};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io, path::Path};

const NAME: &str = "killers.json";
/// Number of deaths after which a module is refused.
const DEATHS: usize = 3;
/// Maximum age of deaths that count, and the time for which the module is refused after the last one.
const WINDOW_MS: u64 = 600_000;

/// Times of deaths during calls of a single module, by its digest.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Killers(BTreeMap<String, Vec<u64>>);

impl Killers {
    /// Loads the file in the folder. A missing or damaged file counts as empty.
    pub fn load(folder: &Path) -> Self {
        std::fs::read(folder.join(NAME)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Counts a death.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn count(folder: &Path, entries: &[Entry], now_ms: u64) -> io::Result<()> {
        let mut modules = entries.iter().filter_map(|entry| match entry {
            Entry::Call { module, .. } => Some(module),
            Entry::Task { .. } => None,
        });
        let Some(module) = modules.next() else { return Ok(()) };
        if modules.any(|other| other != module) {
            return Ok(());
        }
        let mut killers = Self::load(folder);
        killers.0.entry(module.to_string()).or_default().push(now_ms);
        killers.0.retain(|_, deaths| {
            deaths.retain(|at| at.saturating_add(WINDOW_MS) > now_ms);
            !deaths.is_empty()
        });
        let beside = folder.join("killers.json.new");
        std::fs::write(&beside, serde_json::to_vec(&killers)?)?;
        std::fs::rename(beside, folder.join(NAME))
    }

    /// Refuses a call of a module that killed this process too often.
    ///
    /// # Errors
    /// `process-killed`.
    pub fn check(&self, module: &ModuleDigest, now_ms: u64) -> Result<(), Fault> {
        // The usual case.
        if self.0.is_empty() {
            return Ok(());
        }
        let Some(deaths) = self.0.get(&module.to_string()) else { return Ok(()) };
        let until = deaths.last().map_or(0, |at| at.saturating_add(WINDOW_MS));
        if deaths.len() < DEATHS || until <= now_ms {
            return Ok(());
        }
        let message = format!("the process died {} times while only this module was called", deaths.len());
        Err(Fault::new(Code::ProcessKilled, message).hint(format!(
            "calls are accepted again in {} s. A module that ends a process is a defect of Fabric: report it with the server's log",
            (until - now_ms).div_ceil(1000)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_types::id::{FunctionName, TenantId};

    fn call(module: u8) -> Entry {
        Entry::Call {
            tenant: TenantId::new("acme").unwrap(),
            function: FunctionName::new("f").unwrap(),
            module: ModuleDigest([module; 32]),
        }
    }

    #[test]
    fn a_module_is_refused_after_three_deaths_that_were_its_own_and_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let die = |entries: &[Entry], now| Killers::count(folder.path(), entries, now).unwrap();
        let refused = |module, now| Killers::load(folder.path()).check(&ModuleDigest([module; 32]), now).is_err();
        for now in [1, 2, 3] {
            assert!(!refused(1, now));
            die(&[call(1), call(1)], now);
            die(&[call(2), call(3)], now);
            die(&[], now);
        }
        assert!(refused(1, 4) && !refused(2, 4) && !refused(3, 4));
        assert!(refused(1, WINDOW_MS) && !refused(1, WINDOW_MS + 3));
        die(&[call(2)], 2 * WINDOW_MS);
        assert!(!refused(1, 4), "old deaths are forgotten");
    }
}

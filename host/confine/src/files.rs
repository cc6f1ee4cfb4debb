//! Landlock: which files a process may open.

use crate::{Enforcement, Error};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};
use std::path::PathBuf;

/// The newest kernel interface whose rights are known here; older kernels enforce what they have.
const KNOWN: ABI = ABI::V6;

/// Files and folders that stay reachable; the default is none. Paths that do not exist are left out.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Readable, with everything beneath.
    pub read: Vec<PathBuf>,
    /// Readable, writable and open to device calls, with everything beneath.
    pub devices: Vec<PathBuf>,
}

/// Forbids to open any other file, to use TCP, and to signal or reach processes outside.
///
/// What is open already stays usable.
///
/// # Errors
/// [`Error`] when the kernel has Landlock and refuses.
pub fn files(allowed: &Files) -> Result<Enforcement, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::new("Landlock", error);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let device: BitFlags<AccessFs> = read | AccessFs::WriteFile | AccessFs::IoctlDev;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|rules| rules.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(&allowed.read, read)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(&allowed.devices, device)))
        .and_then(|rules| rules.restrict_self())
        .map_err(|e| failed(&e))?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Enforcement::Full,
        RulesetStatus::PartiallyEnforced => Enforcement::Partial,
        RulesetStatus::NotEnforced => Enforcement::None,
    })
}

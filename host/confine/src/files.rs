//! Landlock rules that limit the files a process can open.

use crate::{Enforcement, Error};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};
use std::path::PathBuf;

/// Newest Landlock ABI that this crate uses. An older kernel enforces the rights that it supports.
const KNOWN: ABI = ABI::V6;

/// Files and folders that stay accessible. Default none. Paths that do not exist are skipped.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Paths that stay readable, including everything beneath them.
    pub read: Vec<PathBuf>,
    /// Paths that stay readable, writable and open to device calls (`ioctl`), including everything beneath them.
    pub devices: Vec<PathBuf>,
}

/// Forbids opening any other file, using TCP, and reaching outside processes by signals or abstract sockets.
///
/// Files and sockets that are already open stay usable.
///
/// # Errors
/// [`Error`] if the kernel supports Landlock but rejects the rules.
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

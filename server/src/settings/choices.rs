//! Types of settings that are a choice among a few words: the roles of a process, the GPU, the format of the log.

use clap::ValueEnum;
use serde::Deserialize;
use std::{fmt, str::FromStr};

/// A role of a server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ServerRole {
    /// All roles.
    All,
    /// Answers clients.
    Gateway,
    /// Owns jobs.
    Scheduler,
    /// Runs guests.
    Node,
}

/// The roles of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RoleSet {
    /// Answers clients.
    pub gateway: bool,
    /// May own the jobs.
    pub scheduler: bool,
    /// Runs guests.
    pub node: bool,
}

impl RoleSet {
    /// All roles.
    pub const ALL: Self = Self { gateway: true, scheduler: true, node: true };

    /// Returns `true` if clients connect to this process.
    pub(crate) fn serves_clients(self) -> bool {
        self.gateway || self.scheduler
    }
}

impl FromIterator<ServerRole> for RoleSet {
    fn from_iter<I: IntoIterator<Item = ServerRole>>(roles: I) -> Self {
        let mut set = Self::default();
        for role in roles {
            match role {
                ServerRole::All => set = Self::ALL,
                ServerRole::Gateway => set.gateway = true,
                ServerRole::Scheduler => set.scheduler = true,
                ServerRole::Node => set.node = true,
            }
        }
        set
    }
}

impl fmt::Display for RoleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("all");
        }
        let roles = [(self.gateway, "gateway"), (self.scheduler, "scheduler"), (self.node, "node")];
        let names: Vec<_> = roles.into_iter().filter_map(|(has, name)| has.then_some(name)).collect();
        f.write_str(&names.join(","))
    }
}

/// The GPU that guests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GpuChoice {
    /// None.
    Off,
    /// A hardware GPU, or, for functions that only prefer one, a software driver that completes long loops.
    Auto,
    /// A hardware GPU or a software driver, for all functions.
    Any,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

macro_rules! by_value_enum {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                <Self as ValueEnum>::from_str(text, false)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.to_possible_value().as_ref().map_or("", |v| v.get_name()))
            }
        }
    };
}
by_value_enum!(ServerRole);
by_value_enum!(LogFormat);
by_value_enum!(GpuChoice);

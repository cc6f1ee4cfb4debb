//! Settings of an orderly end: how long a process that was told to stop goes on listening, and how long what is under way
//! may take.

use crate::{
    failure::Failure,
    wrong_settings::{WrongSettings, layer},
};
use clap::Args;
use fabric_client::settings::{Env, Origin, Setting};
use std::{path::PathBuf, time::Duration};

/// Seconds that a process of a fleet goes on listening: proxies ask `/readyz` every few seconds.
const FLEET_DELAY_S: u64 = 5;
/// Seconds that tasks, and then requests, may take: together less than supervisors usually wait.
const DRAIN_S: u64 = 20;
const GRACE_S: u64 = 20;
/// The most of each.
const LONGEST_S: u64 = 86_400;

/// Flags about the end; the same values from the file.
#[derive(Debug, Clone, Default, Args)]
pub struct ShutdownArgs {
    /// After SIGTERM, how long /readyz says 503 while everything is still answered, so that proxies send nothing more before
    /// the listener closes [env: FABRIC_SHUTDOWN_DELAY; default: 5 in a fleet, else 0]
    #[arg(long, value_name = "SECONDS")]
    pub shutdown_delay: Option<u64>,
    /// After SIGTERM, how long tasks that this process runs may take; what is left runs elsewhere
    /// [env: FABRIC_DRAIN_TIMEOUT; default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub drain_timeout: Option<u64>,
    /// Once the listener is closed, how long requests under way may take; what is left is cut off
    /// [env: FABRIC_REQUEST_GRACE; default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub request_grace: Option<u64>,
}

/// The settings in force.
#[derive(Debug, Clone)]
pub struct ShutdownSettings {
    shutdown_delay: Setting<u64>,
    drain_timeout: Setting<u64>,
    request_grace: Setting<u64>,
}

impl ShutdownSettings {
    /// Works them out: a flag, else the environment, else the file at `path`, else the default.
    pub fn resolve(
        flags: &ShutdownArgs,
        env: Env<'_>,
        file: &ShutdownArgs,
        path: &PathBuf,
        is_fleet: bool,
        wrong: &mut WrongSettings,
    ) -> Self {
        macro_rules! setting {
            ($field:ident, $default:expr, $flag:literal, $env:literal) => {
                wrong
                    .take($flag, layer(flags.$field, $flag, env, $env, file.$field.map(|v| (v, path))))
                    .unwrap_or(Setting { value: $default, origin: Origin::Default })
            };
        }
        let delay_s = if is_fleet { FLEET_DELAY_S } else { 0 };
        let settings = Self {
            shutdown_delay: setting!(shutdown_delay, delay_s, "--shutdown-delay", "FABRIC_SHUTDOWN_DELAY"),
            drain_timeout: setting!(drain_timeout, DRAIN_S, "--drain-timeout", "FABRIC_DRAIN_TIMEOUT"),
            request_grace: setting!(request_grace, GRACE_S, "--request-grace", "FABRIC_REQUEST_GRACE"),
        };
        for (name, setting) in settings.named() {
            if setting.value > LONGEST_S {
                let range = format!("{name}, from {}: use 0 to {LONGEST_S} seconds", setting.origin);
                wrong.push(name, Failure::config(range));
            }
        }
        settings
    }

    fn named(&self) -> [(&'static str, &Setting<u64>); 3] {
        [
            ("shutdown-delay", &self.shutdown_delay),
            ("drain-timeout", &self.drain_timeout),
            ("request-grace", &self.request_grace),
        ]
    }

    /// How long the process goes on listening.
    pub fn delay(&self) -> Duration {
        Duration::from_secs(self.shutdown_delay.value)
    }

    /// How long its tasks may take.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_timeout.value)
    }

    /// How long requests under way may take after that.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.request_grace.value)
    }

    /// Name, value and origin of each.
    pub fn rows(&self) -> [(&'static str, String, String); 3] {
        let row = |name, setting: &Setting<u64>| (name, setting.value.to_string(), setting.origin.to_string());
        [
            row("serve.shutdown-delay", &self.shutdown_delay),
            row("serve.drain-timeout", &self.drain_timeout),
            row("serve.request-grace", &self.request_grace),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_fleet_has_proxies_to_wait_for() {
        let none = ShutdownArgs::default();
        let resolve = |flags: &ShutdownArgs, is_fleet| {
            let mut wrong = WrongSettings::default();
            let settings = ShutdownSettings::resolve(flags, &|_| None, &none, &PathBuf::new(), is_fleet, &mut wrong);
            wrong.into_first().map_or(Ok(settings), Err)
        };
        assert_eq!(resolve(&none, false).unwrap().delay(), Duration::ZERO);
        assert_eq!(resolve(&none, true).unwrap().delay(), Duration::from_secs(5));
        let said = ShutdownArgs { shutdown_delay: Some(30), ..none.clone() };
        assert_eq!(resolve(&said, false).unwrap().delay(), Duration::from_secs(30));
        let too_long = ShutdownArgs { drain_timeout: Some(LONGEST_S + 1), ..none.clone() };
        assert_eq!(
            resolve(&too_long, true).unwrap_err().message,
            "drain-timeout, from flag (--drain-timeout): use 0 to 86400 seconds"
        );
    }
}

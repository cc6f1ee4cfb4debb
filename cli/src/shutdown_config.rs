//! Settings of an orderly shutdown: the delay before the listener closes, and the time limits of tasks and requests
//! under way.

use crate::{
    failure::Failure,
    wrong_settings::{WrongSettings, layer},
};
use clap::Args;
use fabric_client::settings::{Env, Origin, Setting};
use std::{path::PathBuf, time::Duration};

/// Default delay in a fleet, in seconds. Proxies poll `/readyz` every few seconds.
const FLEET_DELAY_S: u64 = 5;
/// Default time limits of tasks and then of requests, in seconds. Together they are less than supervisors usually wait.
const DRAIN_S: u64 = 20;
const GRACE_S: u64 = 20;
/// Maximum of each setting.
const LONGEST_S: u64 = 86_400;

/// Flags of the shutdown. The values of the configuration file have the same type.
#[derive(Debug, Clone, Default, Args)]
pub struct ShutdownArgs {
    /// Time after SIGTERM during which /readyz returns 503 and requests are still answered, so that proxies send no
    /// more requests before the listener closes [env: FABRIC_SHUTDOWN_DELAY; default: 5 in a fleet, else 0]
    #[arg(long, value_name = "SECONDS")]
    pub shutdown_delay: Option<u64>,
    /// Time after SIGTERM for tasks that this process runs; unfinished tasks run elsewhere [env: FABRIC_DRAIN_TIMEOUT;
    /// default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub drain_timeout: Option<u64>,
    /// Time after the listener closes for requests under way; unfinished requests are cut off [env:
    /// FABRIC_REQUEST_GRACE; default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub request_grace: Option<u64>,
}

/// The effective settings.
#[derive(Debug, Clone)]
pub struct ShutdownSettings {
    shutdown_delay: Setting<u64>,
    drain_timeout: Setting<u64>,
    request_grace: Setting<u64>,
}

impl ShutdownSettings {
    /// Resolves the settings: a flag, else the environment, else the file at `path`, else the default.
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

    /// Returns the delay before the listener closes.
    pub fn delay(&self) -> Duration {
        Duration::from_secs(self.shutdown_delay.value)
    }

    /// Returns the time limit of running tasks.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_timeout.value)
    }

    /// Returns the time limit of requests under way after the listener closes.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.request_grace.value)
    }

    /// Returns the name, value and origin of each setting.
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

//! The settings as options of the parts of a server.

use super::ServeConfig;
use crate::log_file::LogFile;
use fabric_client::settings::Setting;
use fabric_node::Offer;
use fabric_types::policy::Policy;
use std::time::Duration;

fn seconds(setting: &Setting<u64>) -> Duration {
    Duration::from_secs(setting.value)
}

/// The time limits of an orderly shutdown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShutdownTimes {
    /// Delay before the listener closes.
    pub delay: Duration,
    /// Time limit of running tasks.
    pub drain: Duration,
    /// Time limit of requests under way after the listener closes.
    pub grace: Duration,
}

impl ServeConfig {
    /// Returns the resources and labels that the node offers.
    pub(crate) fn offer(&self) -> Offer {
        Offer {
            labels: self.labels.as_ref().map(|s| s.value.clone()).unwrap_or_default(),
            memory_bytes: self.memory.as_ref().map(|s| s.value.0),
            speed: self.speed.as_ref().map(|s| s.value),
            gpus: self.gpus.as_ref().map(|s| s.value),
            accepts: self.accept.as_ref().map(|s| s.value.clone()).unwrap_or_default(),
        }
    }

    /// Returns the ceilings and grants of tenants whose quota sets none.
    pub(crate) fn policy(&self) -> Policy {
        let default = Policy::default();
        Policy {
            ceilings: self.ceilings.value.over(&default.ceilings),
            grants: self.grants.value.over(&default.grants),
        }
    }

    /// Returns the time limits of an orderly shutdown.
    pub(crate) fn shutdown_times(&self) -> ShutdownTimes {
        ShutdownTimes {
            delay: seconds(&self.shutdown_delay),
            drain: seconds(&self.drain_timeout),
            grace: seconds(&self.request_grace),
        }
    }

    /// Returns the maximum time that a call waits for a slot.
    pub(crate) fn slot_wait_time(&self) -> Duration {
        seconds(&self.slot_wait)
    }

    /// Returns the gateway's options, without TLS.
    pub(crate) fn gateway_options(&self) -> fabric_gateway::Options {
        fabric_gateway::Options {
            max_connections: self.max_connections.value,
            connections_per_address: Some(self.connections_per_address.value),
            first_byte_timeout: seconds(&self.first_byte_timeout),
            header_timeout: seconds(&self.header_timeout),
            idle_timeout: seconds(&self.idle_timeout),
            write_stall_timeout: seconds(&self.write_timeout),
            body_idle_timeout: seconds(&self.body_timeout),
            min_body_rate: self.min_body_rate.value,
            functions_domain: self.functions_domain.as_ref().map(|s| s.value.clone()),
            grace: self.shutdown_times().grace,
            ..fabric_gateway::Options::default()
        }
    }

    /// Sets the limits of compilations.
    pub(crate) fn limit_compilations(&self, compile: &mut fabric_host::CompileOptions) {
        compile.max_module_bytes = self.max_module_bytes.value;
        compile.memory_bytes = self.compile_memory.value;
        compile.cpu_seconds = self.compile_cpu_seconds.value;
        // The wall-clock limit is for a busy machine; it must not be reached before the CPU time limit.
        compile.wall_seconds = compile.wall_seconds.max(self.compile_cpu_seconds.value.saturating_mul(3));
        if let Some(concurrency) = &self.compile_concurrency {
            compile.concurrency = concurrency.value;
        }
        compile.user = self.worker_user();
    }

    /// Returns the user of workers if the server runs as root; `None` to stay root.
    pub(crate) fn worker_user(&self) -> Option<u32> {
        Some(self.worker_uid.value).filter(|uid| *uid != 0)
    }

    /// Returns the log file; `None` for standard error.
    pub(crate) fn log_file(&self) -> Option<LogFile> {
        self.log_file.as_ref().map(|file| LogFile {
            path: file.value.clone(),
            size: self.log_file_size.value.0,
            files: self.log_files.value,
        })
    }
}

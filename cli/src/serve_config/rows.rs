//! The settings as `fabric config show` lists them.

use super::ServeConfig;
use crate::serve_args::ServerRole;
use fabric_client::settings::{Origin, Setting};
use fabric_types::label;
use std::path::PathBuf;

impl ServeConfig {
    /// Returns the name, value and origin of each setting. Hides values that may contain a secret.
    pub fn rows(&self) -> Vec<(String, String, String)> {
        fn row<T>(
            name: &'static str,
            s: Option<&Setting<T>>,
            text: impl Fn(&T) -> String,
        ) -> (&'static str, String, String) {
            s.map_or((name, "-".to_owned(), Origin::Default.to_string()), |s| {
                (name, text(&s.value), s.origin.to_string())
            })
        }
        let path = |p: &PathBuf| p.display().to_string();
        let roles = |r: &Vec<ServerRole>| r.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut rows = vec![
            row("serve.listen", Some(&self.listen), ToString::to_string),
            row("serve.data", Some(&self.data), path),
            row("serve.role", Some(&self.role), roles),
            row("serve.store", self.store.as_ref(), |url| hide_userinfo(url)),
            row("serve.nats", self.nats.as_ref(), |urls| {
                urls.split(',').map(hide_userinfo).collect::<Vec<_>>().join(",")
            }),
            row("serve.nats-creds", self.nats_creds.as_ref(), path),
            row("serve.nats-ca", self.nats_ca.as_ref(), path),
            row("serve.nats-nkey", self.nats_nkey.as_ref(), path),
            row("serve.nats-cert", self.nats_cert.as_ref(), path),
            row("serve.nats-key", self.nats_key.as_ref(), path),
            row("serve.peer-ca", self.peer_ca.as_ref(), path),
            row("serve.job-lease", Some(&self.job_lease), ToString::to_string),
            row("serve.name", self.name.as_ref(), Clone::clone),
            row("serve.advertise", self.advertise.as_ref(), |url| hide_userinfo(url)),
            row("serve.tls-cert", self.tls_cert.as_ref(), path),
            row("serve.tls-key", self.tls_key.as_ref(), path),
            row("serve.insecure-listen", Some(&self.insecure_listen), ToString::to_string),
            row("serve.jupyterhub", self.jupyterhub.as_ref(), |url| hide_userinfo(url)),
            row("serve.jupyterhub-service", Some(&self.jupyterhub_service), Clone::clone),
            row("serve.jupyterhub-map", Some(&self.jupyterhub_map), |rules| {
                rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }),
            row("serve.jupyterhub-cache", Some(&self.jupyterhub_cache), ToString::to_string),
            row("serve.slots", self.slots.as_ref(), ToString::to_string),
            row("serve.labels", self.labels.as_ref(), label::show),
            row("serve.memory", self.memory.as_ref(), ToString::to_string),
            row("serve.tenant-memory-share", Some(&self.tenant_memory_share), ToString::to_string),
            row("serve.speed", self.speed.as_ref(), ToString::to_string),
            row("serve.gpus", self.gpus.as_ref(), ToString::to_string),
            row("serve.gpu", Some(&self.gpu), ToString::to_string),
            row("serve.gpu-adapter", self.gpu_adapter.as_ref(), Clone::clone),
            row("serve.gpu-memory", Some(&self.gpu_memory), ToString::to_string),
            row("serve.accept", self.accept.as_ref(), |kinds| {
                kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }),
            row("serve.max-tasks", Some(&self.max_tasks), ToString::to_string),
            row("serve.prices.currency", self.prices.as_ref(), |prices| prices.currency.clone()),
            row("serve.prices.fuel", self.prices.as_ref(), |prices| prices.fuel.to_string()),
            row("serve.prices.gpu", self.prices.as_ref(), |prices| prices.gpu.to_string()),
            row("serve.log-format", Some(&self.log_format), ToString::to_string),
            row("serve.log-file", self.log_file.as_ref(), path),
            row("serve.log-file-size", Some(&self.log_file_size), ToString::to_string),
            row("serve.log-files", Some(&self.log_files), ToString::to_string),
            row("serve.otlp-endpoint", self.otlp_endpoint.as_ref(), |url| hide_userinfo(url)),
        ];
        rows.extend(self.connections.rows());
        rows.extend(self.workers.rows());
        rows.extend(self.shutdown.rows());
        rows.extend(self.storage.value.rows(&self.data.value, &self.storage.origin));
        let rows = rows.into_iter().map(|(name, value, origin)| (name.to_owned(), value, origin));
        rows.chain(self.placement.value.rows(&self.placement.origin)).chain(self.policy.rows()).collect()
    }
}

/// Removes name, password and query from a URL.
pub(crate) fn hide_userinfo(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(before, _)| before);
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            match authority.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://(hidden)@{host}{path}"),
                None => format!("{scheme}://{authority}{path}"),
            }
        }
        None => url.to_owned(),
    }
}

//! The JupyterHub whose users may log in.

use crate::{Error, settings::ServeConfig};
use fabric_gateway::{JupyterHub, jupyterhub::Options};
use std::time::Duration;

/// Creates the client of the Hub that the configuration names; `None` without one.
pub(super) fn open(config: &ServeConfig) -> Result<Option<JupyterHub>, Error> {
    let Some(api) = &config.jupyterhub else { return Ok(None) };
    let options = Options {
        api: api.value.clone(),
        service: config.jupyterhub_service.value.clone(),
        rules: config.jupyterhub_map.value.clone(),
        cache_ttl: Duration::from_secs(config.jupyterhub_cache.value),
    };
    let hub = JupyterHub::new(options).map_err(|e| Error::config(format!("jupyterhub, from {}: {e}", api.origin)))?;
    Ok(Some(hub))
}

//! TLS from PEM files: ring, TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{path::Path, sync::Arc};

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read as PEM.
    #[error("`{path}`: {source}")]
    Pem {
        /// The file.
        path: String,
        /// The cause.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate and the key do not match.
    #[error("the certificate and key can't be used: {0}")]
    Config(#[from] rustls::Error),
}

/// Reads a certificate chain and its key.
///
/// # Errors
/// [`Error`] that names the file.
pub fn load(certificates: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, Error> {
    let pem = |path: &Path| {
        let path = path.display().to_string();
        move |source| Error::Pem { path: path.clone(), source }
    };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(certificates))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

//! Modules in OCI registries: pulls a module that is the layer of a WebAssembly artifact
//! (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>).

use crate::failure::Failure;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use fabric_types::{Code, units::ByteSize};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    errors::{OciDistributionError, OciErrorCode},
    secrets::RegistryAuth,
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::AsyncWrite;

/// Prefix of the name of a module in a registry.
pub const SCHEME: &str = "oci://";
/// Media types of layers that hold one module: that of the CNCF artifact, and those of earlier tools.
const LAYERS: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];
/// Time limit to connect to a registry and between two reads.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A pulled module.
pub struct Pulled {
    pub module: Vec<u8>,
    /// The artifact with its digest, `REGISTRY/REPOSITORY@sha256:…`. Another pull of it returns the same bytes.
    pub pinned: String,
    /// The last part of the repository's name.
    pub name: String,
}

/// Pulls the module that `name`, without its scheme, refers to. Uses the login in Docker's configuration.
///
/// # Errors
/// `usage` for an invalid name; `not-found`; `denied`; `too-large` above `limit` bytes; `invalid-module` for an
/// artifact
/// without a module; `unavailable`.
pub async fn pull(name: &str, limit: u64) -> Result<Pulled, Failure> {
    let form = "write oci://REGISTRY/REPOSITORY:TAG or …@sha256:DIGEST";
    // Without a registry, the parser would assume Docker's.
    if !name.split_once('/').is_some_and(|(registry, _)| registry == "localhost" || registry.contains(['.', ':'])) {
        return Err(Failure::usage(format!("{SCHEME}{name} names no registry")).hint(form));
    }
    let reference: Reference = name.parse().map_err(|e| Failure::usage(format!("{SCHEME}{name}: {e}")).hint(form))?;
    let registry = reference.resolve_registry();
    let client = Client::new(ClientConfig {
        protocol: if is_loopback(registry) { ClientProtocol::Http } else { ClientProtocol::Https },
        connect_timeout: Some(TIMEOUT),
        read_timeout: Some(TIMEOUT),
        ..ClientConfig::default()
    });
    let failed = |error| failure(&reference, error);
    let (manifest, digest) = client.pull_image_manifest(&reference, &login(registry)?).await.map_err(failed)?;
    let mut layers = manifest.layers.iter().filter(|layer| LAYERS.contains(&layer.media_type.as_str()));
    let layer = match (layers.next(), layers.next()) {
        (Some(layer), None) => layer,
        (found, _) => {
            let what = if found.is_some() { "several modules" } else { "no module" };
            let kinds: Vec<_> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).take(5).collect();
            return Err(Failure::coded(
                Code::InvalidModule,
                format!("{SCHEME}{name} has {what}: its layers are {}", kinds.join(", ")),
            )
            .hint("push a module as one layer of type application/wasm"));
        }
    };
    let too_large = || {
        let size = ByteSize(u64::try_from(layer.size).unwrap_or(0));
        Failure::coded(Code::TooLarge, format!("{SCHEME}{name}: {size} exceeds the size limit of a module"))
    };
    if u64::try_from(layer.size).is_ok_and(|size| size > limit) {
        return Err(too_large());
    }
    let mut module = Bounded { bytes: Vec::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX) };
    // The client verifies the digest.
    client.pull_blob(&reference, layer, &mut module).await.map_err(|error| match error {
        OciDistributionError::IoError(error) if error.kind() == io::ErrorKind::FileTooLarge => too_large(),
        error => failed(error),
    })?;
    let name = reference.repository().rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Pulled { module: module.bytes, pinned: format!("{registry}/{}@{digest}", reference.repository()), name })
}

/// Returns `true` for a registry on this machine. Only such a registry is contacted without TLS.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns the login that `docker login` stored for a registry, or an anonymous one.
fn login(registry: &str) -> Result<RegistryAuth, Failure> {
    match docker_credential::get_credential(registry) {
        Ok(DockerCredential::UsernamePassword(name, password)) => Ok(RegistryAuth::Basic(name, password)),
        Ok(DockerCredential::IdentityToken(token)) => Ok(RegistryAuth::Bearer(token)),
        Err(
            CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError
            | CredentialRetrievalError::NoCredentialConfigured,
        ) => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(Failure::config(format!("the login for {registry} in Docker's configuration: {error}"))
            .hint(format!("log in again: docker login {registry}"))),
    }
}

fn failure(reference: &Reference, error: OciDistributionError) -> Failure {
    let text = error.to_string();
    let about = format!("{SCHEME}{reference}");
    let login = format!("log in: docker login {}", reference.resolve_registry());
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => {
            Failure::coded(Code::NotFound, format!("{about}: there is no such artifact"))
        }
        OciDistributionError::RegistryError { envelope, .. } if envelope.errors.iter().any(|e| is_absent(&e.code)) => {
            Failure::coded(Code::NotFound, format!("{about}: there is no such artifact"))
        }
        OciDistributionError::RegistryError { envelope, .. } if envelope.errors.iter().any(|e| is_refusal(&e.code)) => {
            Failure::coded(Code::Denied, format!("{about}: {text}")).hint(login)
        }
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            Failure::coded(Code::Denied, format!("{about}: {text}")).hint(login)
        }
        error => Failure::coded(Code::Unavailable, format!("{about}: {text}{}", causes(&error)))
            .hint(format!("check that the registry answers: https://{}/v2/", reference.resolve_registry())),
    }
}

/// Formats the causes of an error, such as a refused connection.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source()).skip(1);
    causes.fold(String::new(), |text, cause| format!("{text}: {cause}"))
}

fn is_absent(code: &OciErrorCode) -> bool {
    use OciErrorCode::{BlobUnknown, ManifestBlobUnknown, ManifestUnknown, NameUnknown, NotFound};
    matches!(code, BlobUnknown | ManifestBlobUnknown | ManifestUnknown | NameUnknown | NotFound)
}

fn is_refusal(code: &OciErrorCode) -> bool {
    matches!(code, OciErrorCode::Unauthorized | OciErrorCode::Denied)
}

/// A writer to memory with a limit in bytes.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_goes_without_tls() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in ["ghcr.io", "localhost.example.org", "10.0.0.1:5000", "127.0.0.1.example.org"] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}

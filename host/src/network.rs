//! Outbound HTTP: only to granted hosts, and by default never to an address of this machine or its network.
//!
//! The address is checked after the name is resolved, and the connection uses the checked address. A name that resolves
//! differently at a second lookup has no effect.

use bytes::Bytes;
use fabric_types::address;
use http::uri::Scheme;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);

/// Maximum number of body bytes that a guest may write at once. Up to three such chunks wait for a reader.
pub(crate) const BODY_CHUNK: usize = 64 << 10;

pub use fabric_types::grants::HostPattern;

/// The addresses that guests may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Allows loopback, link-local and private addresses. For operators only.
    pub allow_private: bool,
}

impl AddressPolicy {
    /// Returns `true` if an address may be reached. Only global unicast addresses may, unless private ones are allowed.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        let address = address::carried(address);
        // Unspecified and multicast addresses stay forbidden even if private ones are allowed.
        !address.is_unspecified() && !address.is_multicast() && (self.allow_private || address::is_global(address))
    }
}

/// The outbound HTTP of one call.
#[derive(Debug, Clone)]
pub(crate) struct Hooks {
    grants: Arc<[HostPattern]>,
    policy: AddressPolicy,
}

impl Hooks {
    pub(crate) fn new(grants: Arc<[HostPattern]>, policy: AddressPolicy) -> Self {
        Self { grants, policy }
    }

    fn allows(&self, host: &str, port: u16) -> bool {
        self.grants.iter().any(|g| g.matches(host, port))
    }
}

type Connection = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Connection), Error>;

impl WasiHttpHooks for Hooks {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let hooks = self.clone();
        Box::new(async move { hooks.send(request, options.unwrap_or_default()).await })
    }
}

impl Hooks {
    async fn send(self, mut request: http::Request<WasiBody>, options: RequestOptions) -> Sent {
        let tls = request.uri().scheme() == Some(&Scheme::HTTPS);
        let authority = request.uri().authority().ok_or(Error::HttpRequestUriInvalid)?.clone();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = authority.host().to_owned();
        if !self.allows(&host, port) {
            tracing::debug!(host, port, "outbound request to a host that was not granted");
            return Err(Error::HttpRequestDenied);
        }
        let connect = options.connect_timeout.unwrap_or(CONNECT_TIMEOUT).min(CONNECT_TIMEOUT);
        let stream =
            tokio::time::timeout(connect, self.connect(&host, port)).await.map_err(|_| Error::ConnectionTimeout)??;
        // The request line of HTTP/1.1 to an origin server contains only the path.
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
        *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        let first = options.first_byte_timeout.unwrap_or(FIRST_BYTE_TIMEOUT).min(FIRST_BYTE_TIMEOUT);
        if tls {
            let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = rustls::pki_types::ServerName::try_from(bare).map_err(|_| Error::HttpRequestUriInvalid)?;
            let stream = TlsConnector::from(tls_config()?).connect(name, stream).await.map_err(Error::Tls)?;
            exchange(stream, request, first).await
        } else {
            exchange(stream, request, first).await
        }
    }

    /// Resolves the name, checks its addresses, and connects to one that passed.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = tokio::net::lookup_host((bare, port))
            .await
            .map_err(|e| Error::DnsError { rcode: Some(e.to_string()), info_code: None })?
            .take(16)
            .collect();
        let mut last = Error::DestinationNotFound;
        for address in found {
            if !self.policy.allows(address.ip()) {
                last = Error::DestinationIpProhibited;
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // A request is one write, so waiting for more data has no benefit.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = Error::Connect(error),
            }
        }
        Err(last)
    }
}

/// Returns the TLS configuration: public certificate authorities, and the crypto provider of this program.
fn tls_config() -> Result<Arc<rustls::ClientConfig>, Error> {
    static CONFIG: OnceLock<Option<Arc<rustls::ClientConfig>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Some(Arc::new(builder.ok()?.with_root_certificates(roots).with_no_client_auth()))
    });
    config.clone().ok_or(Error::ConfigurationError)
}

async fn exchange<S>(stream: S, request: http::Request<WasiBody>, first_byte: Duration) -> Sent
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, WasiBody>(TokioIo::new(stream)).await.map_err(Error::from)?;
    let mut connection = Box::pin(connection);
    let mut done = None;
    let response = {
        let response = tokio::time::timeout(first_byte, sender.send_request(request));
        tokio::pin!(response);
        loop {
            tokio::select! {
                response = &mut response => break response,
                ended = &mut connection, if done.is_none() => done = Some(ended),
            }
        }
    };
    let response = response.map_err(|_| Error::ConnectionReadTimeout)?.map_err(Error::from)?;
    let response = response.map(|body| body.map_err(Error::from).map_frame(|f| f.map_data(Bytes::from)).boxed_unsync());
    let rest: Connection = Box::new(async move {
        match done {
            Some(ended) => ended.map_err(Error::from),
            None => connection.await.map_err(Error::from),
        }
    });
    Ok((response, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_addresses_are_reached() {
        let strict = AddressPolicy { allow_private: false };
        let denied = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "198.51.100.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
        ];
        for text in denied {
            assert!(!strict.allows(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(strict.allows(text.parse().unwrap()), "{text}");
        }
        let open = AddressPolicy { allow_private: true };
        for text in ["127.0.0.1", "10.0.0.1", "::1", "fe80::1"] {
            assert!(open.allows(text.parse().unwrap()), "{text}");
        }
        assert!(!open.allows("224.0.0.1".parse().unwrap()));
        assert!(!open.allows("0.0.0.0".parse().unwrap()));
    }

    #[test]
    fn a_grant_names_a_host_and_its_ports() {
        let plain = HostPattern::parse("API.example.com");
        assert!(plain.matches("api.example.com", 443) && plain.matches("api.example.com.", 80));
        assert!(!plain.matches("api.example.com", 8080) && !plain.matches("evil.api.example.com", 443));
        let port = HostPattern::parse("example.com:8080");
        assert!(port.matches("example.com", 8080) && !port.matches("example.com", 443));
        let v6 = HostPattern::parse("[2606:4700::1111]:443");
        assert!(v6.matches("[2606:4700::1111]", 443) && !v6.matches("[2606:4700::1111]", 80));
    }

    #[tokio::test]
    async fn a_granted_name_that_leads_home_is_not_followed() {
        let hooks = Hooks::new([HostPattern::parse("localhost:9")].into(), AddressPolicy { allow_private: false });
        let error = hooks.connect("localhost", 9).await.unwrap_err();
        assert!(matches!(error, Error::DestinationIpProhibited), "{error:?}");
    }
}

//! The host that a request names, and the hosts of single functions: `FUNCTION.TENANT.DOMAIN` if the operator set a
//! domain. Only that function answers on such a host, so that browsers isolate functions from each other like sites.

use crate::{Error, error::Result, headers};
use http::{
    HeaderMap, HeaderValue, Request, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use std::net::SocketAddr;

/// The domain below which each function has its own host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionsDomain(String);

/// The site at a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostTarget {
    /// The API, and functions below `/f/`.
    Main,
    /// One function, as `tenant/function`.
    Function(String),
    /// No site: a name below the domain that does not name a function.
    Nothing,
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl std::str::FromStr for FunctionsDomain {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let domain = text.trim_end_matches('.').to_ascii_lowercase();
        // A host has at most 253 characters, and the two labels before the domain take up to 128 of them.
        if domain.len() > 125 || !domain.split('.').all(is_label) {
            return Err(format!("`{text}` is not a domain such as functions.example.org"));
        }
        Ok(Self(domain))
    }
}

impl std::fmt::Display for FunctionsDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FunctionsDomain {
    /// Returns the site at `host`, which may have a port.
    pub(crate) fn target(&self, host: &str) -> HostTarget {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.');
        let at = name.len().checked_sub(self.0.len());
        let below = at.and_then(|at| Some((name.get(..at)?, name.get(at..)?)));
        match below {
            Some((before, domain)) if domain.eq_ignore_ascii_case(&self.0) => match before.strip_suffix('.') {
                Some(labels) => {
                    let labels = labels.to_ascii_lowercase();
                    match labels.split_once('.') {
                        Some((function, tenant)) if is_label(function) && is_label(tenant) => {
                            HostTarget::Function(format!("{tenant}/{function}"))
                        }
                        _ => HostTarget::Nothing,
                    }
                }
                None if before.is_empty() => HostTarget::Nothing,
                None => HostTarget::Main,
            },
            _ => HostTarget::Main,
        }
    }
}

/// Returns `true` if the text has only characters of a host and port (RFC 3986, 3.2.2 and 3.2.3), without user
/// information.
fn is_host(text: &[u8]) -> bool {
    text.len() <= 255 && text.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(b))
}

fn wrong(message: &str) -> Error {
    Error::bad(message).hint("send one `Host` header with the name of the server")
}

/// Facts about a connection that complete the URIs of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    /// The server's own address.
    pub(crate) local: SocketAddr,
    /// `true` if the connection is encrypted.
    pub(crate) tls: bool,
}

impl Endpoint {
    /// Returns the server's address as an authority, for requests that name no host.
    fn authority(self) -> Result<Authority> {
        // Formatted from IP and port, because a scope id has no place in an authority.
        parse(SocketAddr::new(self.local.ip(), self.local.port()).to_string().as_bytes())
    }

    /// Returns the scheme that the caller used. A process that forwards a request names the scheme in
    /// [`headers::RELAYED`]. A caller that forges this header changes only the scheme of its own request.
    fn scheme(self, headers: &HeaderMap) -> Scheme {
        let tls = headers.get(&headers::RELAYED).map_or(self.tls, |scheme| scheme == Scheme::HTTPS.as_str());
        if tls { Scheme::HTTPS } else { Scheme::HTTP }
    }
}

fn parse(authority: &[u8]) -> Result<Authority> {
    let parsed = is_host(authority).then(|| Authority::try_from(authority).ok()).flatten();
    parsed.ok_or_else(|| wrong("the request names an invalid host"))
}

/// Returns the authority of a request's target (RFC 9112, 3.2 and 3.3; RFC 9113, 8.3.1).
fn authority<B>(request: &Request<B>, endpoint: Endpoint) -> Result<Authority> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let host = named.next().map(HeaderValue::as_bytes);
    if named.next().is_some() {
        return Err(wrong("the request names its host twice"));
    }
    if host.is_some_and(|host| !is_host(host)) {
        return Err(wrong("the request names an invalid host"));
    }
    let version = request.version();
    if host.is_none() && version == Version::HTTP_11 {
        return Err(wrong("the request does not name its host"));
    }
    match (request.uri().authority(), host) {
        // Forwarded by another process, which names the caller's host in the header.
        (Some(_), Some(host)) if version >= Version::HTTP_2 && headers::is_forwarded(request.headers()) => parse(host),
        (Some(target), Some(host))
            if version >= Version::HTTP_2 && !host.eq_ignore_ascii_case(target.as_str().as_bytes()) =>
        {
            Err(wrong("the request names two hosts"))
        }
        // In HTTP/1 an absolute target takes precedence over `Host`.
        (Some(target), _) => parse(target.as_str().as_bytes()),
        (None, Some(host)) if !host.is_empty() => parse(host),
        (None, None) if version >= Version::HTTP_2 => Err(wrong("the request does not name its host")),
        (None, _) => endpoint.authority(),
    }
}

/// Joins the lines of a `Cookie` field, which HTTP/2 may split (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let lines: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Returns the URI with another path.
///
/// # Errors
/// `bad-request` if the path cannot be part of a URI.
pub(crate) fn with_path(uri: Uri, path: PathAndQuery) -> Result<Uri> {
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| Error::bad("the path can't be read"))
}

/// Completes the target of a request: its URI has a scheme and an authority, its only `Host` header names the same
/// authority, and its cookies are on one line.
///
/// # Errors
/// `bad-request` if HTTP/1.1 names no host or several, if HTTP/2 names two different ones, and for an invalid host.
pub(crate) fn normalize_target<B>(request: &mut Request<B>, endpoint: Endpoint) -> Result<()> {
    let authority = authority(request, endpoint)?;
    let scheme = endpoint.scheme(request.headers());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    let path = parts.path_and_query.take().unwrap_or_else(|| PathAndQuery::from_static("/"));
    parts.scheme = Some(scheme);
    let headers = request.headers_mut();
    let says_so = headers
        .get(header::HOST)
        .is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()));
    if !says_so {
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| wrong("the request names an invalid host"))?;
        headers.insert(header::HOST, host);
    }
    join_cookies(headers);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Error::bad("the request's target can't be read"))?;
    Ok(())
}

/// Returns the host that [`normalize_target`] set.
pub(crate) fn host(headers: &HeaderMap) -> &str {
    crate::extract::text(headers, "host").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, SocketAddrV6};

    #[test]
    fn hosts_below_the_domain_are_functions_and_nothing_else() {
        let domain: FunctionsDomain = "Functions.Example.org".parse().unwrap();
        let function = |key: &str| HostTarget::Function(key.to_owned());
        for (host, site) in [
            ("web.acme.functions.example.org", function("acme/web")),
            ("WEB.acme.FUNCTIONS.example.org.:8443", function("acme/web")),
            ("acme.functions.example.org", HostTarget::Nothing),
            ("functions.example.org", HostTarget::Nothing),
            ("a.web.acme.functions.example.org", HostTarget::Nothing),
            ("we_b.acme.functions.example.org", HostTarget::Nothing),
            (".acme.functions.example.org", HostTarget::Nothing),
            ("web..functions.example.org", HostTarget::Nothing),
            ("notfunctions.example.org", HostTarget::Main),
            ("web.acme.notfunctions.example.org", HostTarget::Main),
            ("example.org", HostTarget::Main),
            ("127.0.0.1:8080", HostTarget::Main),
            ("[::1]:8080", HostTarget::Main),
            ("", HostTarget::Main),
        ] {
            assert_eq!(domain.target(host), site, "{host}");
        }
        for bad in ["", "a b", "-a.org", "a..b", "exämple.org", "*.example.org"] {
            assert!(bad.parse::<FunctionsDomain>().is_err(), "{bad}");
        }
    }

    fn request(version: Version, uri: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        request.body(()).unwrap()
    }

    const PLAIN: Endpoint = Endpoint { local: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80), tls: false };

    #[test]
    fn a_request_names_one_host() {
        use Version as V;
        for (version, uri, hosts, kept) in [
            (V::HTTP_11, "/", &["a.org"][..], Ok("a.org")),
            (V::HTTP_11, "/", &[""], Ok("127.0.0.1:80")),
            (V::HTTP_11, "/", &[], Err(())),
            (V::HTTP_11, "/", &["a.org", "a.org"], Err(())),
            (V::HTTP_11, "/", &["a.org/x"], Err(())),
            (V::HTTP_11, "/", &["me@a.org"], Err(())),
            (V::HTTP_11, "http://a.org/", &["a.org"], Ok("a.org")),
            (V::HTTP_11, "http://a.org/", &["b.org"], Ok("a.org")),
            (V::HTTP_11, "http://a.org:81/", &[""], Ok("a.org:81")),
            (V::HTTP_11, "http://me@a.org/", &["a.org"], Err(())),
            (V::HTTP_11, "http://a.org/", &["b.org", "a.org"], Err(())),
            (V::HTTP_11, "http://a.org/", &["b.org/x"], Err(())),
            (V::HTTP_11, "http://a.org/", &[], Err(())),
            (V::HTTP_10, "/", &[], Ok("127.0.0.1:80")),
            (V::HTTP_10, "/", &["a.org"], Ok("a.org")),
            (V::HTTP_10, "http://a.org/", &[], Ok("a.org")),
            (V::HTTP_10, "/", &["a.org", "b.org"], Err(())),
            (V::HTTP_2, "https://a.org/", &[], Ok("a.org")),
            (V::HTTP_2, "https://a.org/", &["A.org"], Ok("A.org")),
            (V::HTTP_2, "https://a.org/", &["b.org"], Err(())),
            (V::HTTP_2, "https://me@a.org/", &[], Err(())),
            (V::HTTP_2, "/", &[], Err(())),
        ] {
            let mut request = request(version, uri, hosts);
            let settled = normalize_target(&mut request, PLAIN).map(|()| host(request.headers())).map_err(|_| ());
            assert_eq!(settled, kept, "{version:?} {uri} {hosts:?}");
            if let Ok(host) = kept {
                assert!(request.uri().authority().unwrap().as_str().eq_ignore_ascii_case(host));
                assert_eq!((request.uri().scheme_str(), request.uri().path()), (Some("http"), "/"));
            }
        }
        let mut relayed = request(V::HTTP_2, "http://10.0.0.1:80/", &["a.org"]);
        relayed.headers_mut().insert(&headers::RELAYED, HeaderValue::from_static("1"));
        assert!(normalize_target(&mut relayed, PLAIN).is_ok());
        assert_eq!((host(relayed.headers()), relayed.uri().to_string()), ("a.org", "http://a.org/".to_owned()));
    }

    #[test]
    fn the_scheme_is_the_connections_and_not_what_the_target_claims() {
        for (tls, relayed, scheme) in [
            (false, None, "http"),
            (true, None, "https"),
            (true, Some("http"), "http"),
            (false, Some("https"), "https"),
        ] {
            for (version, uri) in [
                (Version::HTTP_11, "/a?b"),
                (Version::HTTP_11, "https://a.org/a?b"),
                (Version::HTTP_2, "http://a.org/a?b"),
            ] {
                let mut request = request(version, uri, &["a.org"]);
                if let Some(relayed) = relayed {
                    request.headers_mut().insert(&headers::RELAYED, HeaderValue::from_static(relayed));
                }
                normalize_target(&mut request, Endpoint { tls, ..PLAIN }).unwrap();
                assert_eq!(request.uri().to_string(), format!("{scheme}://a.org/a?b"));
            }
        }
    }

    #[test]
    fn a_request_without_a_host_is_for_the_address_it_came_to() {
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 8080, 0, 2));
        let mut request = request(Version::HTTP_10, "/", &[]);
        normalize_target(&mut request, Endpoint { local: scoped, tls: false }).unwrap();
        assert_eq!(host(request.headers()), "[fe80::1]:8080");
    }

    #[test]
    fn crumbs_of_cookies_are_one_cookie_again() {
        for (lines, joined) in [
            (&["a=1", "b=2", "c=\"x; y\""][..], "a=1; b=2; c=\"x; y\""),
            (&["a=1; b=2"], "a=1; b=2"),
            (&["a=1; b=2", "c=3"], "a=1; b=2; c=3"),
        ] {
            let mut request = request(Version::HTTP_2, "http://a.org/", &[]);
            for line in lines {
                request.headers_mut().append(header::COOKIE, HeaderValue::from_static(line));
            }
            normalize_target(&mut request, PLAIN).unwrap();
            let kept: Vec<_> = request.headers().get_all(header::COOKIE).iter().collect();
            assert_eq!(kept, [joined]);
        }
    }
}

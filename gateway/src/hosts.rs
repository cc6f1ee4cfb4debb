//! The host that a request names, and hosts of functions' own: `FUNCTION.TENANT.DOMAIN` where the operator set a domain.
//! On such a host only that function answers, so that browsers keep functions apart as they keep sites apart.

use crate::{Error, error::Result, peers};
use http::{HeaderMap, HeaderValue, Request, Version, header};

/// The domain below which each function has a host of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionsDomain(String);

/// What answers at a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Site {
    /// The API, and functions below `/f/`.
    Main,
    /// One function, as `tenant/function`.
    Function(String),
    /// Nothing: a name below the domain that is no function's.
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
    /// What answers at `host`, which may have a port.
    pub(crate) fn site(&self, host: &str) -> Site {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.');
        let at = name.len().checked_sub(self.0.len());
        let below = at.and_then(|at| Some((name.get(..at)?, name.get(at..)?)));
        match below {
            Some((before, domain)) if domain.eq_ignore_ascii_case(&self.0) => match before.strip_suffix('.') {
                Some(labels) => {
                    let labels = labels.to_ascii_lowercase();
                    match labels.split_once('.') {
                        Some((function, tenant)) if is_label(function) && is_label(tenant) => {
                            Site::Function(format!("{tenant}/{function}"))
                        }
                        _ => Site::Nothing,
                    }
                }
                None if before.is_empty() => Site::Nothing,
                None => Site::Main,
            },
            _ => Site::Main,
        }
    }
}

/// Characters of a host and port (RFC 3986, 3.2.2 and 3.2.3), without user information.
fn is_host(text: &[u8]) -> bool {
    text.len() <= 255 && text.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(b))
}

fn wrong(message: &str) -> Error {
    Error::bad(message).hint("send one `Host` header with the name of the server")
}

/// Checks the host that a request names and puts it into its one `Host` header, which is what everybody reads from then on.
///
/// # Errors
/// `bad-request` where HTTP/1.1 has none or several, where two say different things, and for what is no host.
pub(crate) fn settle<B>(request: &mut Request<B>) -> Result<()> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let first = named.next();
    if named.next().is_some() {
        return Err(wrong("the request names its host twice"));
    }
    let authority = request.uri().authority().map(|a| a.as_str());
    if first.is_none() && (authority.is_none() || request.version() == Version::HTTP_11) {
        return if request.version() == Version::HTTP_10 || request.version() == Version::HTTP_09 {
            Ok(())
        } else {
            Err(wrong("the request does not name its host"))
        };
    }
    let Some(authority) = authority else {
        return if is_host(first.map_or(b"", HeaderValue::as_bytes)) {
            Ok(())
        } else {
            Err(wrong("the request names what is no host"))
        };
    };
    if !is_host(authority.as_bytes()) {
        return Err(wrong("the request names what is no host"));
    }
    match first {
        // Another process passed it on, and says in the header what the caller meant.
        Some(host) if request.headers().contains_key(&peers::RELAYED) && is_host(host.as_bytes()) => Ok(()),
        Some(host) if !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => {
            Err(wrong("the request names two hosts"))
        }
        Some(_) => Ok(()),
        None => {
            let host = HeaderValue::try_from(authority).map_err(|_| wrong("the request names what is no host"))?;
            request.headers_mut().insert(header::HOST, host);
            Ok(())
        }
    }
}

/// The host that [`settle`] left; empty where there is none.
pub(crate) fn host(headers: &HeaderMap) -> &str {
    crate::extract::text(headers, "host").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn hosts_below_the_domain_are_functions_and_nothing_else() {
        let domain: FunctionsDomain = "Functions.Example.org".parse().unwrap();
        let function = |key: &str| Site::Function(key.to_owned());
        for (host, site) in [
            ("web.acme.functions.example.org", function("acme/web")),
            ("WEB.acme.FUNCTIONS.example.org.:8443", function("acme/web")),
            ("acme.functions.example.org", Site::Nothing),
            ("functions.example.org", Site::Nothing),
            ("a.web.acme.functions.example.org", Site::Nothing),
            ("we_b.acme.functions.example.org", Site::Nothing),
            (".acme.functions.example.org", Site::Nothing),
            ("web..functions.example.org", Site::Nothing),
            ("notfunctions.example.org", Site::Main),
            ("web.acme.notfunctions.example.org", Site::Main),
            ("example.org", Site::Main),
            ("127.0.0.1:8080", Site::Main),
            ("[::1]:8080", Site::Main),
            ("", Site::Main),
        ] {
            assert_eq!(domain.site(host), site, "{host}");
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

    #[test]
    fn a_request_names_one_host() {
        use Version as V;
        for (version, uri, hosts, kept) in [
            (V::HTTP_11, "/", &["a.org"][..], Ok("a.org")),
            (V::HTTP_11, "/", &[""], Ok("")),
            (V::HTTP_11, "/", &[], Err(())),
            (V::HTTP_11, "/", &["a.org", "a.org"], Err(())),
            (V::HTTP_11, "/", &["a.org/x"], Err(())),
            (V::HTTP_11, "/", &["me@a.org"], Err(())),
            (V::HTTP_11, "http://a.org/", &["a.org"], Ok("a.org")),
            (V::HTTP_11, "http://a.org/", &["b.org"], Err(())),
            (V::HTTP_11, "http://a.org/", &[], Err(())),
            (V::HTTP_10, "/", &[], Ok("")),
            (V::HTTP_10, "/", &["a.org", "b.org"], Err(())),
            (V::HTTP_2, "https://a.org/", &[], Ok("a.org")),
            (V::HTTP_2, "https://a.org/", &["A.org"], Ok("A.org")),
            (V::HTTP_2, "https://a.org/", &["b.org"], Err(())),
            (V::HTTP_2, "https://me@a.org/", &[], Err(())),
            (V::HTTP_2, "/", &[], Err(())),
        ] {
            let mut request = request(version, uri, hosts);
            let settled = settle(&mut request).map(|()| host(request.headers())).map_err(|_| ());
            assert_eq!(settled, kept, "{version:?} {uri} {hosts:?}");
        }
        let mut relayed = request(V::HTTP_2, "http://10.0.0.1:80/", &["a.org"]);
        relayed.headers_mut().insert(&peers::RELAYED, HeaderValue::from_static("1"));
        assert!(settle(&mut relayed).is_ok());
        assert_eq!(host(relayed.headers()), "a.org");
    }
}

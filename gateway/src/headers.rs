//! Header fields of Fabric, and the removal of fields that concern one connection only.

use http::{HeaderMap, HeaderName, header};

/// The header with the id of the invocation that a response is about.
pub(crate) const INVOCATION_ID: HeaderName = HeaderName::from_static("fabric-invocation-id");
/// The header with the id of the request, on every response. It identifies the exchange, not the call: a call has an
/// invocation id, which a replayed answer repeats under a new request id. Only a request to an http function is its own
/// invocation and has one id for both.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("fabric-request-id");

/// Marks a forwarded request. Its value is the scheme that the caller used.
pub(crate) const RELAYED: HeaderName = HeaderName::from_static("fabric-relayed");

/// Reports whether another process of the fleet forwarded a request with these headers.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(&RELAYED)
}

/// Headers that concern only one connection (RFC 9110, 7.6.1). `Trailer` is not among them: it announces fields of the
/// message, and HTTP/1.1 sends only announced fields.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Removes headers that concern only one connection: the known ones, and those that a `Connection` line names.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let lines = headers.get_all(header::CONNECTION).iter();
    let options = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let named: Vec<_> = options.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect();
    for name in named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_concerns_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "close, x-secret"), ("x-secret", "1"), ("te", "trailers"), ("x-kept", "2")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in
            [("connection", ",x-second , X-Third"), ("x-second", "1"), ("x-third", "1"), ("trailer", "x-sum")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers.append("connection", HeaderValue::from_bytes(b"\xff, x-fourth").unwrap());
        headers.append("x-fourth", HeaderValue::from_static("1"));
        headers.append("x-fourth", HeaderValue::from_static("2"));
        strip(&mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert!(headers.contains_key("x-kept") && headers.contains_key("trailer"));
    }
}

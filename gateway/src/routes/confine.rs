//! Restrictions on the headers of a function's response. All functions below `/f/` share one origin, and a browser
//! applies some headers to a whole origin, so these are removed there. On its own host ([`crate::hosts`]) a function
//! may send nearly all headers. Scripts of one origin can still access each other's pages and storage: only hosts
//! separate those.

use crate::paths::FUNCTIONS_PREFIX;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The scope of a response's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderScope<'a> {
    /// The path below `/f/` with this name, such as `acme/web`, on a shared origin.
    Path(&'a str),
    /// The function's own host.
    Host,
    /// The API's own origin: a function's answer is data there.
    Nothing,
}

/// Returns `true` for a header that a browser applies to a whole origin or to more than this response.
fn speaks_for_the_origin(name: &str) -> bool {
    matches!(
        name,
        "accept-ch"
            | "activate-storage-access"
            | "clear-site-data"
            | "critical-ch"
            | "expect-ct"
            | "nel"
            | "origin-agent-cluster"
            | "origin-trial"
            | "public-key-pins"
            | "public-key-pins-report-only"
            | "report-to"
            | "reporting-endpoints"
            | "service-worker-allowed"
            | "set-login"
            | "strict-transport-security"
            | "use-as-dictionary"
    )
}

/// Removes everything from a function's response headers that affects more than the function.
pub(crate) fn confine(headers: &mut HeaderMap, scope: HeaderScope<'_>) {
    // `Alt-Svc` names another server for the whole origin, on any host.
    headers.remove(header::ALT_SVC);
    if scope != HeaderScope::Host {
        let named: Vec<HeaderName> = headers.keys().filter(|n| speaks_for_the_origin(n.as_str())).cloned().collect();
        for name in named {
            headers.remove(name);
        }
    }
    if headers.contains_key(header::SET_COOKIE) {
        let cookies: Vec<_> = headers.get_all(header::SET_COOKIE).iter().filter_map(|c| confined(c, scope)).collect();
        headers.remove(header::SET_COOKIE);
        for cookie in cookies {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}

/// Restricts a cookie to the function's own host and path. Returns `None` if that is not possible.
fn confined(given: &HeaderValue, scope: HeaderScope<'_>) -> Option<HeaderValue> {
    let text = given.to_str().ok()?;
    let prefix = match scope {
        HeaderScope::Nothing => return None,
        HeaderScope::Path(key) => Some(format!("{FUNCTIONS_PREFIX}{key}")),
        HeaderScope::Host => None,
    };
    let mut parts = text.split(';');
    let pair = parts.next()?.trim();
    let (name, _) = pair.split_once('=')?;
    // Some browsers read a cookie without a name as `name=value`. A `__Host-` cookie would apply to the whole host.
    if name.trim().is_empty() || (prefix.is_some() && starts_with_ignoring_case(name.trim(), "__host-")) {
        return None;
    }
    let mut path = None;
    let mut confined = pair.to_owned();
    for attribute in parts.map(str::trim) {
        let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        match key.trim().to_ascii_lowercase().as_str() {
            "" | "domain" => {}
            "path" => path = Some(value.trim()),
            _ => {
                confined.push_str("; ");
                confined.push_str(attribute);
            }
        }
    }
    let inside = |path: &str, prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && !path.contains("..")
            && !path.contains(['%', '\\'])
    };
    let path = match (prefix.as_deref(), path) {
        (None, path) => path,
        (Some(prefix), Some(path)) if inside(path, prefix) => Some(path),
        (Some(prefix), _) => Some(prefix),
    };
    if let Some(path) = path {
        confined.push_str("; Path=");
        confined.push_str(path);
    }
    HeaderValue::try_from(confined).ok()
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(text: &str, scope: HeaderScope<'_>) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::SET_COOKIE, HeaderValue::try_from(text).unwrap());
        confine(&mut headers, scope);
        headers.get(header::SET_COOKIE).map(|v| v.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_of_a_shared_origin_stay_below_the_function() {
        let path = HeaderScope::Path("acme/web");
        for (given, kept) in [
            ("a=b", Some("a=b; Path=/f/acme/web")),
            ("a=b; Path=/", Some("a=b; Path=/f/acme/web")),
            ("a=b; path=/f/acme/web/x; Secure", Some("a=b; Secure; Path=/f/acme/web/x")),
            ("a=b; Path=/f/acme/webber", Some("a=b; Path=/f/acme/web")),
            ("a=b; Path=/f/acme/web/../../", Some("a=b; Path=/f/acme/web")),
            ("a=b; Path=/f/acme/web; Path=/", Some("a=b; Path=/f/acme/web")),
            ("a=b;Domain=example.org;HttpOnly; SameSite=Lax", Some("a=b; HttpOnly; SameSite=Lax; Path=/f/acme/web")),
            ("a=b; DOMAIN = example.org ; PATH = / ", Some("a=b; Path=/f/acme/web")),
            (
                "a=b; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                Some("a=b; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/f/acme/web"),
            ),
            ("__Secure-a=b; Secure; Path=/", Some("__Secure-a=b; Secure; Path=/f/acme/web")),
            ("__Host-a=b; Secure; Path=/", None),
            ("__hOST-a=b; Secure", None),
            ("=a=b", None),
            ("a", None),
        ] {
            assert_eq!(cookie(given, path).as_deref(), kept, "{given}");
        }
        assert_eq!(cookie("a=b; Path=/f/acme/web", HeaderScope::Nothing), None);
    }

    #[test]
    fn a_host_of_its_own_lets_a_function_say_more_but_not_for_its_neighbours() {
        assert_eq!(cookie("a=b; Path=/; Domain=example.org", HeaderScope::Host).as_deref(), Some("a=b; Path=/"));
        assert_eq!(
            cookie("__Host-a=b; Secure; Path=/", HeaderScope::Host).as_deref(),
            Some("__Host-a=b; Secure; Path=/")
        );
        let names = ["clear-site-data", "strict-transport-security", "service-worker-allowed", "alt-svc", "x-own"];
        for (scope, left) in [(HeaderScope::Host, 4), (HeaderScope::Path("a/b"), 1), (HeaderScope::Nothing, 1)] {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.append(name, HeaderValue::from_static("x"));
                headers.append(name, HeaderValue::from_static("y"));
            }
            confine(&mut headers, scope);
            assert_eq!(headers.keys_len(), left, "{scope:?}: {headers:?}");
        }
    }
}

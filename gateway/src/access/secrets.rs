//! Removal of secrets from requests to functions, so that a credential of this server does not reach a guest, plain or
//! encoded (test `no_spelling_of_a_secret_reaches_a_guest`).

use crate::{caller::bearer, jupyterhub, tokens};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use http::{HeaderMap, HeaderName, Uri, header};
use std::borrow::Cow;

const LENIENT_CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT_CONFIG);
const LENIENT_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT_CONFIG);

/// Returns `true` if a word of the text has the form of a Hub's token.
fn holds_a_hubs(text: &[u8]) -> bool {
    text.split(|b| !b.is_ascii_alphanumeric()).any(|word| std::str::from_utf8(word).is_ok_and(jupyterhub::is_token))
}

/// Decodes percent-encoding (`%41`) once.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'%', text) else { return Cow::Borrowed(text) };
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = text.get(..first).unwrap_or_default().to_vec();
    let mut rest = text.get(first..).unwrap_or_default();
    while let Some((byte, after)) = rest.split_first() {
        match (*byte, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high * 16 + low);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

/// Layers of percent-encoding that are checked: a proxy may decode one, a guest another.
const LAYERS: usize = 3;
/// Characters of the shortest Base64 text that can hold a secret.
const LEAST_BASE64: usize = 40;

/// Decodes the words of a text that are Base64.
fn encoded(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    text.split(move |b| !is_base64(b)).filter(|word| word.len() >= LEAST_BASE64).filter_map(|word| {
        let url = word.iter().any(|b| matches!(b, b'-' | b'_'));
        // A trailing partial byte is dropped: a word may be cut off.
        let whole = word.get(..word.len() - usize::from(word.len() % 4 == 1))?;
        if url { LENIENT_URL.decode(whole).ok() } else { LENIENT.decode(whole).ok() }
    })
}

/// Decodes the user and password of `Basic` credentials.
fn basic(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let text = rest.trim_ascii();
    general_purpose::STANDARD
        .decode(text)
        .or_else(|_| general_purpose::STANDARD_NO_PAD.decode(text))
        .or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(text))
        .ok()
}

/// The secrets to find in one request.
struct Secrets<'a> {
    /// `true` if tokens of a JupyterHub are accepted.
    hub: bool,
    /// The secret that authenticated the request, if known.
    presented: Option<&'a [u8]>,
}

impl Secrets<'_> {
    fn are_in_plain(&self, text: &[u8]) -> bool {
        tokens::secret::occurs_in(text)
            || self.presented.is_some_and(|s| !s.is_empty() && memchr::memmem::find(text, s).is_some())
    }

    /// Returns `true` if a text holds a secret: plain, percent-encoded up to [`LAYERS`] times, or in Base64 of either
    /// alphabet.
    fn are_in(&self, text: &[u8]) -> bool {
        let mut text = Cow::Borrowed(text);
        for _ in 0..=LAYERS {
            if self.are_in_plain(&text) || encoded(&text).any(|inner| self.are_in_plain(&inner)) {
                return true;
            }
            match decoded(&text) {
                Cow::Owned(inner) => text = Cow::Owned(inner),
                Cow::Borrowed(_) => return false,
            }
        }
        false
    }

    fn are_in_authorization(&self, value: &[u8]) -> bool {
        let hubs = |text: &[u8]| self.hub && holds_a_hubs(text);
        self.are_in(value) || hubs(value) || basic(value).is_some_and(|text| hubs(&text))
    }
}

/// Removes every request header that holds a Fabric secret or, with `hub`, a JupyterHub token. If one value of a header
/// holds a secret, all its values are removed: readers differ in the value that they use.
pub(crate) fn withhold(headers: &mut HeaderMap, hub: bool) {
    let presented = bearer(headers).map(|s| s.as_bytes().to_vec());
    // Only a secret of a form that could have authenticated the caller: other credentials belong to the function.
    let presented = presented.filter(|s| hub && std::str::from_utf8(s).is_ok_and(jupyterhub::is_token));
    let secrets = Secrets { hub, presented: presented.as_deref() };
    let mut hit: Vec<HeaderName> = Vec::new();
    for (name, value) in headers.iter() {
        let value = value.as_bytes();
        let found =
            if *name == header::AUTHORIZATION { secrets.are_in_authorization(value) } else { secrets.are_in(value) };
        if found {
            hit.push(name.clone());
        }
    }
    for name in hit {
        headers.remove(name);
    }
}

/// Returns `true` if a URI holds a Fabric secret, or the JupyterHub token that authenticated the request.
pub(crate) fn are_in_address(uri: &Uri, headers: &HeaderMap, hub: bool) -> bool {
    let text = uri.path_and_query().map_or("", |p| p.as_str()).as_bytes();
    let presented = bearer(headers).filter(|s| hub && jupyterhub::is_token(s)).map(str::as_bytes);
    Secrets { hub, presented }.are_in(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn ours() -> String {
        format!("fab_{}_{}", "0".repeat(16), "A".repeat(43))
    }

    #[test]
    fn other_spellings_are_seen_through_in_any_header() {
        let token = ours();
        let percent = token.replace('_', "%5F");
        let twice = token.replace('_', "%255F");
        let basic = general_purpose::STANDARD.encode(format!("user:{token}"));
        let jupyter = general_purpose::URL_SAFE_NO_PAD.encode(format!("{{\"t\":\"{token}\"}}"));
        for value in [
            format!("a={token}"),
            percent,
            twice.clone(),
            format!("a, Basic {basic}"),
            format!("q=Basic%20{}", basic.replace('=', "%3D")),
            format!("jupyter={jupyter}; b=1"),
        ] {
            assert_eq!(left(&[("x-any", &value), ("x-kept", "1")], false), 1, "{value}");
            assert_eq!(left(&[("cookie", &value)], false), 0, "{value}");
        }
        assert!(are_in_address(&format!("/f/t/f?a={twice}").parse().unwrap(), &HeaderMap::new(), false));
        let harmless = general_purpose::STANDARD.encode([7; 300]);
        assert_eq!(left(&[("x-signature", &harmless), ("authorization", "Bearer of-the-functions-own")], false), 2);
    }

    const HUBS: &str = "0123456789abcdef0123456789abcdef";

    fn left(given: &[(&str, &str)], hub: bool) -> usize {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        withhold(&mut headers, hub);
        headers.len()
    }

    #[test]
    fn no_spelling_of_a_secret_reaches_a_guest() {
        let ours = ours();
        let basic = general_purpose::STANDARD.encode(format!("token:{ours}"));
        for value in [
            format!("Bearer {ours}"),
            format!("Bearer\t{ours}"),
            format!("bearer   {ours}"),
            format!("Bearer {ours},x"),
            format!("Bearer x, Bearer {ours}"),
            format!("Bearer \"{ours}\""),
            format!("token={ours}"),
            ours.clone(),
            format!("é{ours}"),
            format!("Basic {basic}"),
            format!("BASIC\t{basic}"),
            ours.replace('_', "%5F"),
            ours.replace("fab", "%66%61%62"),
        ] {
            assert_eq!(left(&[("authorization", &value)], false), 0, "{value}");
            assert_eq!(left(&[("authorization", "Basic YTpi"), ("authorization", &value)], false), 0, "{value}");
        }
        for name in ["cookie", "x-forwarded-authorization", "x-api-key", "referer", "sec-websocket-protocol"] {
            assert_eq!(left(&[(name, &format!("a=1; token={ours}; b=2"))], false), 0, "{name}");
        }
    }

    #[test]
    fn a_hubs_token_is_withheld_where_a_hub_lets_people_in() {
        for value in [
            format!("token {HUBS}"),
            format!("Bearer\t{HUBS}"),
            format!("Bearer {HUBS},x"),
            format!("Basic {}", general_purpose::STANDARD.encode(format!("me:{HUBS}"))),
        ] {
            assert_eq!(left(&[("authorization", &value)], true), 0, "{value}");
            assert_eq!(left(&[("authorization", &value)], false), 1, "{value}");
        }
        // The token that authenticated the caller is found in every header. Other words of the same form are not known
        // to be tokens.
        let given = [("authorization", &format!("token {HUBS}")[..]), ("cookie", &format!("t={HUBS}"))];
        assert_eq!(left(&given, true), 0);
        assert_eq!(left(&[("traceparent", &format!("00-{HUBS}-0123456789abcdef-01"))], true), 1);
    }

    #[test]
    fn what_is_the_functions_own_reaches_it() {
        for value in ["Bearer of-the-functions-own", "Basic YTpi", "Digest username=\"a\"", "fab_x", "Bearer fab_0_"] {
            assert_eq!(left(&[("authorization", value), ("cookie", "a=%"), ("x", "50%41")], true), 3, "{value}");
        }
    }

    #[test]
    fn an_address_that_holds_a_secret_is_seen() {
        let ours = ours();
        let none = HeaderMap::new();
        for address in [
            format!("/f/a/b?access_token={ours}"),
            format!("/f/a/b/{ours}/x"),
            format!("/f/a/b?t={}", ours.replace('_', "%5f")),
        ] {
            assert!(are_in_address(&address.parse().unwrap(), &none, false), "{address}");
        }
        assert!(!are_in_address(&"/f/a/b?x=fab_&y=%zz%".parse().unwrap(), &none, true));
    }
}

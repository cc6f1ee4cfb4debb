//! Secrets of tokens: `fab_`, a public id of 16 hexadecimal digits, `_`, and 32 random bytes in base64url.

use crate::{Error, error::Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric_types::Code;

const ID_LEN: usize = 16;
const SECRET_LEN: usize = 4 + ID_LEN + 1 + 43;

/// Returns a fresh id and the secret that contains it.
pub(super) fn generate() -> Result<(String, String)> {
    let mut bytes = [0u8; 40];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(Code::Internal, format!("the system's random generator failed: {e}")))?;
    let (id, key) = bytes.split_at(8);
    let id = hex::encode(id);
    let secret = format!("fab_{id}_{}", URL_SAFE_NO_PAD.encode(key));
    Ok((id, secret))
}

/// Returns the hash that is stored.
pub(super) fn hash(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

/// Returns `true` if `text` has the form of an id.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Returns the id in a secret; `None` if the text is not a secret.
pub(super) fn id_of(secret: &str) -> Option<&str> {
    if secret.len() != SECRET_LEN {
        return None;
    }
    let (id, rest) = secret.strip_prefix("fab_")?.split_at_checked(ID_LEN)?;
    (is_id(id) && rest.starts_with('_')).then_some(id)
}

/// Returns `true` if `text` has the form of a Fabric secret.
pub(crate) fn is_secret(text: &str) -> bool {
    id_of(text).is_some()
}

/// Returns `true` if `text` contains a Fabric secret.
pub(crate) fn occurs_in(text: &[u8]) -> bool {
    memchr::memmem::find_iter(text, b"fab_").any(|at| {
        let secret = text.get(at..at + SECRET_LEN).and_then(|s| std::str::from_utf8(s).ok());
        secret.is_some_and(is_secret)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_carries_its_id_and_no_two_are_alike() {
        let (id, secret) = generate().unwrap();
        assert_eq!(id_of(&secret), Some(id.as_str()));
        assert_ne!(generate().unwrap().1, secret);
        for bad in ["", "fab_", &secret[1..], &secret[..60], &secret.replace("fab_", "fax_"), &"ü".repeat(32)] {
            assert_eq!(id_of(bad), None, "{bad}");
        }
    }
}

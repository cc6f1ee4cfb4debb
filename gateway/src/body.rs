//! Bodies that become values in memory: how large they may be, how large they may become, and where they are read.

use crate::{Error, error::Result, offload::Offload};
use bytes::Bytes;
use fabric_types::{Code, id::TenantId, units::ByteSize};
use serde::de::DeserializeOwned;

/// Bytes of JSON bodies without a list of items.
pub const SMALL_JSON: usize = 1 << 20;
/// Bytes of job specs, inline items included.
pub const LARGE_JSON: usize = 16 << 20;
/// Bytes that the values of a JSON body may take in memory.
pub const MAX_VALUES: u64 = 256 << 20;
/// Bytes of a body that is read on the thread of its connection.
const INLINE: usize = 64 << 10;

/// Bytes of memory that a value of each kind may take, besides its text.
const PER_OBJECT: u64 = 700;
const PER_LIST: u64 = 128;
/// A number has its text in an allocation of its own.
const PER_VALUE: u64 = 96;
/// Bytes for each byte of text: what grew while it was read may be twice as long.
const PER_BYTE: u64 = 2;

/// An upper bound of the memory that the values of a JSON text take, found without reading them as such.
#[must_use]
pub fn json_memory(text: &[u8]) -> u64 {
    let (mut objects, mut lists, mut values) = (0_u64, 0_u64, 1_u64);
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' => objects += 1,
            b'[' => lists += 1,
            b',' => values += 1,
            b'"' => loop {
                // To the end of the string, over what is escaped in it.
                let Some(at) = memchr::memchr2(b'"', b'\\', rest) else {
                    rest = &[];
                    break;
                };
                let ends = rest.get(at) == Some(&b'"');
                rest = rest.get(at + if ends { 1 } else { 2 }..).unwrap_or_default();
                if ends {
                    break;
                }
            },
            _ => {}
        }
    }
    objects * PER_OBJECT + lists * PER_LIST + (values + objects + lists) * PER_VALUE + text.len() as u64 * PER_BYTE
}

/// Reads JSON whose values take a bounded amount of memory.
///
/// # Errors
/// `too-large` for values that would take too much memory; `bad-request` with line and column.
pub fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    let memory = json_memory(text);
    if memory > MAX_VALUES {
        let (takes, most) = (ByteSize(memory), ByteSize(MAX_VALUES));
        return Err(Error::new(
            Code::TooLarge,
            format!("the values of the JSON body would take about {takes} of memory, more than {most}"),
        )
        .hint("put items into an object, one on a line, and map over it with the splitter `items`"));
    }
    serde_json::from_slice(text).map_err(|e| {
        // Read again to learn the key: few texts are wrong, and the others are read without this.
        let again = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(text));
        let path = again.err().map(|e| e.path().to_string()).filter(|path| path != ".");
        let key: String = path.iter().flat_map(|path| path.chars().take(200)).collect();
        let at = if key.is_empty() { String::new() } else { format!(" in `{key}`") };
        Error::bad(format!("the JSON body is wrong{at} at line {}, column {}: {e}", e.line(), e.column()))
    })
}

/// Reads a body: a short one at once, a long one on a thread of its own when the tenant's turn comes.
///
/// # Errors
/// Those of `read`; `too-many-requests` and `unavailable` when no turn comes.
pub async fn read<T: Send + 'static>(
    checks: &Offload,
    tenant: &TenantId,
    body: Bytes,
    read: impl FnOnce(&[u8]) -> Result<T> + Send + 'static,
) -> Result<T> {
    if body.len() <= INLINE {
        return read(&body);
    }
    checks.run(tenant, move |_| read(&body)).await?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use serde_json::Value;

    #[test]
    fn values_that_take_much_more_memory_than_their_text_are_refused() {
        let many = |one: &str| {
            let text = format!("[{}{one}]", format!("{one},").repeat((LARGE_JSON - 2) / (one.len() + 1) - 1));
            assert!(text.len() <= LARGE_JSON);
            text.into_bytes()
        };
        for one in ["[]", "{}", "[[]]", "1", "{\"a\":1}", "\"\""] {
            let refused = json::<Value>(&many(one)).unwrap_err();
            assert_eq!(refused.code(), Code::TooLarge, "{one}");
        }
        // Long texts, and items as people send them, are no more than they look.
        for one in [
            "\"0123456789012345678901234567890123456789012345678901234567890123456789\"",
            "\"a\\\"[{,,,\\\\ 0123456789012345678901234567890123456789012345678901234567890123\"",
        ] {
            assert!(json_memory(&many(one)) < MAX_VALUES, "{one}");
        }
        let items: Vec<_> = (0..100_000).map(|n| serde_json::json!({"seed": n, "samples": 1_000_000})).collect();
        assert_eq!(json::<Vec<Value>>(&serde_json::to_vec(&items).unwrap()).unwrap().len(), 100_000);
    }

    #[test]
    fn text_that_is_no_json_is_measured_all_the_same() {
        for text in ["", "\"", "\"\\", "\"a\\", "}{", "[,,"] {
            assert!(json_memory(text.as_bytes()) < 10_000);
            assert_eq!(json::<Value>(text.as_bytes()).unwrap_err().code(), Code::BadRequest);
        }
    }
}

//! Bodies that are parsed into values in memory: limits on their size and on the memory of their values, and the choice
//! of the thread that parses them.

use crate::{Error, error::Result, offload::Offload};
use bytes::Bytes;
use fabric_types::{Code, id::TenantId, parse_error, units::ByteSize};
use serde::de::DeserializeOwned;

/// Maximum bytes of a JSON body without a list of items.
pub const SMALL_JSON: usize = 1 << 20;
/// Maximum bytes of a job spec, inline items included.
pub const LARGE_JSON: usize = 16 << 20;
/// Maximum bytes that the values of a JSON body may take in memory.
pub const MAX_VALUES: u64 = 256 << 20;
/// A body up to this many bytes is parsed on the thread of its connection.
const INLINE: usize = 64 << 10;

/// Upper bounds of the memory of an object, a list or a value in bytes, its text excluded.
const PER_OBJECT: u64 = 700;
const PER_LIST: u64 = 128;
/// A number stores its text in a separate allocation.
const PER_VALUE: u64 = 96;
/// Bytes of memory for each byte of text: a buffer that grew during parsing may have twice the capacity.
const PER_BYTE: u64 = 2;

/// Returns an upper bound of the memory that the values of a JSON text take, without parsing them.
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
                // Skip to the end of the string, past escaped characters.
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

/// Checks that a JSON text has no name that the parser reserves.
///
/// # Errors
/// `bad-request`.
pub fn check_names(text: &[u8]) -> Result<()> {
    fabric_types::json::check_names(text).map_err(|e| Error::bad(e.to_string()))
}

/// Parses JSON whose values take a bounded amount of memory.
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
    check_names(text)?;
    serde_json::from_slice(text).map_err(|e| {
        // Parse again to find the key: few texts are invalid, and valid ones do not pay for this.
        let again = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(text));
        let path = again.err().map(|e| e.path().to_string()).filter(|path| path != "." && path != "?");
        let key: String = path.iter().flat_map(|path| path.chars().take(200)).collect();
        let at = if key.is_empty() { String::new() } else { format!(" in `{key}`") };
        let (line, column, why) = (e.line(), e.column(), parse_error::json(&e));
        Error::bad(format!("the JSON body is wrong{at} at line {line}, column {column}: {why}"))
    })
}

/// Parses a body: a short one at once, a long one on a separate thread when the tenant's turn comes.
///
/// # Errors
/// The errors of `read`; `too-many-requests` and `unavailable` if no turn comes.
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
        // Long texts and ordinary items are within the bound.
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

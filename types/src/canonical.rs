//! Canonical text of JSON values. Guests read it, and task keys hash it.
//!
//! Names are sorted by their bytes, and there is no white space between tokens. A number keeps its digits exactly as
//! written, so `1` and `1.0` are different parameters. Only exponents are normalised, to the form `1e5`.

use serde::Serialize;
use serde_json::{
    Map, Value,
    ser::{Formatter, Serializer},
};
use std::io::{self, Write};

/// A formatter that omits the plus sign which `serde_json` adds to an exponent without a sign.
struct Canonical;

impl Formatter for Canonical {
    fn write_number_str<W: ?Sized + Write>(&mut self, writer: &mut W, number: &str) -> io::Result<()> {
        match number.split_once("e+") {
            Some((digits, exponent)) => write!(writer, "{digits}e{exponent}"),
            None => writer.write_all(number.as_bytes()),
        }
    }
}

fn text(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    // Serialising a `Value` can't fail: its names are text, and its numbers are finite.
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, Canonical));
    written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_default()
}

/// Returns the canonical text of a JSON object.
#[must_use]
pub fn object(map: &Map<String, Value>) -> String {
    text(map)
}

/// Returns a value as a guest reads it: a string as its text, any other value as canonical JSON.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => text(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the canonical text of an object with one value, parsed from `text`.
    fn read(text: &str) -> String {
        let map = serde_json::from_str(&format!("{{\"x\":{text}}}"));
        map.map(|map| object(&map)).unwrap_or_default()
    }

    #[test]
    fn order_and_spaces_do_not_matter() {
        let read = |text: &str| serde_json::from_str(text).map(|map| object(&map)).ok();
        assert_eq!(read(r#"{"b":1.0,"a":["x","é"]}"#), read(r#"{ "a":["x", "\u00e9"], "b":1.0 }"#));
        assert_eq!(read("{}"), Some("{}".to_owned()));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let digits = "1234567890".repeat(100);
        for number in [
            "0",
            "-0",
            "1",
            "1.0",
            "1.10",
            "9007199254740993",
            "18446744073709551616",
            "-18446744073709551617",
            "0.1000000000000000055511151231257827",
            "1e5",
            "1.50e-7",
            "1e400",
            &digits,
            &format!("0.{digits}"),
        ] {
            assert_eq!(read(number), format!("{{\"x\":{number}}}"));
            assert_eq!(read(&format!("[{{\"y\":{number}}}]")), format!("{{\"x\":[{{\"y\":{number}}}]}}"));
        }
        for exponent in ["1E5", "1e+5", "1E+5"] {
            assert_eq!(read(exponent), "{\"x\":1e5}");
        }
        assert_eq!(read("\"1e+5\""), "{\"x\":\"1e+5\"}");
    }
}

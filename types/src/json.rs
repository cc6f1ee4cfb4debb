//! JSON values from outside.
//!
//! `serde_json` passes numbers and raw text between its own types as objects with a reserved name. A text from outside
//! may contain such an object too: the text inside it would then be parsed as further JSON, past the limits on nesting
//! and memory that its reader checked. So a reserved name is refused: in JSON text by [`check_names`], and in values
//! of other formats by [`map`] and [`value`].

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Beginning of the names that `serde_json` reserves. `tests::reserved_names_are_those_of_serde_json` fails if it
/// changes.
const RESERVED: &str = "$serde_json::private::";
/// The reserved name of a number.
const NUMBER: &str = "$serde_json::private::Number";

/// A name that `serde_json` reserves for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name in JSON may not begin with `{RESERVED}`")]
pub struct ReservedName;

/// Checks the names of the objects in a JSON text, which need not be valid.
///
/// # Errors
/// [`ReservedName`] if one is reserved.
pub fn check_names(text: &[u8]) -> Result<(), ReservedName> {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'"', rest) {
        rest = rest.get(at + 1..).unwrap_or_default();
        let string = rest;
        let mut length = 0;
        while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
            let ends = rest.get(at) == Some(&b'"');
            length += at + if ends { 0 } else { 2 };
            rest = rest.get(at + if ends { 1 } else { 2 }..).unwrap_or_default();
            if ends {
                break;
            }
        }
        let string = string.get(..length).unwrap_or_default();
        let is_name = rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        if is_name && is_reserved(string) {
            return Err(ReservedName);
        }
    }
    Ok(())
}

/// Returns `true` for a reserved name, as written between quotes.
fn is_reserved(written: &[u8]) -> bool {
    match written.first() {
        Some(b'$') if written.starts_with(RESERVED.as_bytes()) => true,
        Some(b'$' | b'\\') if written.contains(&b'\\') => {
            let quoted = [b"\"", written, b"\""].concat();
            serde_json::from_slice::<String>(&quoted).is_ok_and(|name| name.starts_with(RESERVED))
        }
        _ => false,
    }
}

/// A value of any format without reserved names.
struct Plain(Value);

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Value, E> {
        number(&value.to_string())
    }
    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Value, E> {
        number(&value.to_string())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, de: D) -> Result<Value, D::Error> {
        value(de)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, de: D) -> Result<Value, D::Error> {
        value(de)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Plain(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if name == NUMBER && map.is_empty() {
                // A number that fits no native type, as `serde_json` passes it on.
                return number(&access.next_value::<String>()?);
            }
            if name.starts_with(RESERVED) {
                return Err(A::Error::custom(ReservedName));
            }
            let Plain(value) = access.next_value()?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

fn number<E: serde::de::Error>(text: &str) -> Result<Value, E> {
    text.parse::<Number>().map(Value::Number).map_err(E::custom)
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        value(de).map(Self)
    }
}

/// Deserializes a value of any format, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// The format's error, also for a reserved name.
pub fn value<'de, D: Deserializer<'de>>(de: D) -> Result<Value, D::Error> {
    de.deserialize_any(PlainVisitor)
}

/// Deserializes an object, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// The format's error, also for a reserved name or another value than an object.
pub fn map<'de, D: Deserializer<'de>>(de: D) -> Result<Map<String, Value>, D::Error> {
    match value(de)? {
        Value::Object(map) => Ok(map),
        _ => Err(D::Error::custom("expected an object")),
    }
}

/// Deserializes an optional value, for `#[serde(deserialize_with)]` together with `default`.
///
/// # Errors
/// The format's error, also for a reserved name.
pub fn option<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Value>, D::Error> {
    Ok(Option::<Plain>::deserialize(de)?.map(|Plain(value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn reserved_names_are_those_of_serde_json() {
        // `serde_json` reads both as what they stand for. If it does so no more, this module can go.
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(r#"{"$serde_json::private::RawValue": "[1]"}"#), read("[1]"));
        assert_eq!(read(&format!(r#"{{"{NUMBER}": "1"}}"#)), read("1"));
        assert!(serde_json::from_str::<Box<RawValue>>("[1]").is_ok());
    }

    #[test]
    fn reserved_names_are_found_however_they_are_written() {
        for text in [
            r#"{"$serde_json::private::RawValue": "[1]"}"#,
            r#"[{"a": {"$serde_json::private::Number"  : "1"}}]"#,
            r#"{"\u0024serde_json::private::RawValue":"1"}"#,
            r#"{"$serde_json\u003a:private::RawValue":"1"}"#,
            r#"{"a\"": 1, "$serde_json::private::x":"1"}"#,
        ] {
            assert_eq!(check_names(text.as_bytes()), Err(ReservedName), "{text}");
        }
        for text in [
            r#"{"a": "$serde_json::private::RawValue"}"#,
            r#"{"$serde_json": "{\"$serde_json::private::RawValue\": 1}"}"#,
            r#"{"\\$serde_json::private::RawValue": 1}"#,
            r#"{"$x\n": [1, "\"", "\\"]}"#,
            "\"",
            "\"\\",
            "",
        ] {
            assert_eq!(check_names(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn values_are_read_as_serde_json_reads_them() {
        for text in [
            "null",
            "[true, 1, -2, 3.50, 1e400, 123456789012345678901234567890, \"é\", {}]",
            r#"{"a": {"b": [{"c": null}]}, "d": -0.0, "": ""}"#,
        ] {
            let mut de = serde_json::Deserializer::from_str(text);
            assert_eq!(value(&mut de).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
        let raw = r#"{"q": {"$serde_json::private::RawValue": "[]"}}"#;
        let refused = map(&mut serde_json::Deserializer::from_str(raw)).unwrap_err();
        assert!(refused.to_string().contains("may not begin"), "{refused}");
    }
}

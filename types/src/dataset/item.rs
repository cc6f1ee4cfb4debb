//! Inline items of a job: JSON values that reach the guest as written.

use crate::canonical;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value, value::RawValue};
use std::{fmt, sync::Arc};

/// An inline item of a job.
///
/// In JSON it is any value. Only white space between tokens is removed from its text: numbers, names and their order
/// stay as written, as in items that are read from an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Text of a JSON string.
    Text(Arc<str>),
    /// Any other value, as JSON.
    Json(Arc<str>),
}

/// Name of the newtype with which `serde_json` passes on raw text. `tests::items_keep_their_text` fails if it changes.
const RAW_VALUE: &str = "$serde_json::private::RawValue";
/// Maximum nesting of lists and objects in one item. `serde_json` has a similar limit for a whole text.
const MAX_DEPTH: usize = 120;

impl Item {
    /// Returns the item as the guest reads it.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        match self {
            Self::Text(text) | Self::Json(text) => text,
        }
    }

    /// Parses the text of one JSON value. Returns `None` if it nests too deeply or is a string that is not Unicode.
    fn from_json(json: &str) -> Option<Self> {
        if json.starts_with('"') {
            return Some(Self::Text(serde_json::from_str::<String>(json).ok()?.into()));
        }
        Some(Self::Json(compact(json)?.into()))
    }
}

impl From<Value> for Item {
    fn from(value: Value) -> Self {
        let text = canonical::plain(&value).into();
        if value.is_string() { Self::Text(text) } else { Self::Json(text) }
    }
}

/// Returns the text of a JSON value without white space between its tokens, or `None` if it nests too deeply.
fn compact(json: &str) -> Option<String> {
    let mut text = String::with_capacity(json.len());
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            match c {
                ' ' | '\t' | '\r' | '\n' => continue,
                '"' => in_string = true,
                '[' | '{' => depth += 1,
                ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_DEPTH {
                return None;
            }
        }
        text.push(c);
    }
    Some(text)
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => ser.serialize_str(text),
            Self::Json(json) => {
                RawValue::from_string(json.to_string()).map_err(serde::ser::Error::custom)?.serialize(ser)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = Item;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            /// `serde_json` passes on the raw text.
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
                let raw = Box::<RawValue>::deserialize(MapAccessDeserializer::new(map))?;
                Item::from_json(raw.get()).ok_or_else(|| {
                    A::Error::custom(format!(
                        "an item nests more than {MAX_DEPTH} levels, or has text that is not Unicode"
                    ))
                })
            }
            /// Other formats pass on values.
            fn visit_newtype_struct<D: Deserializer<'de>>(self, de: D) -> Result<Item, D::Error> {
                crate::json::value(de).map(Item::from)
            }
        }
        de.deserialize_newtype_struct(RAW_VALUE, AnyValue)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Item {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        Value::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Item {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Item {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn items_keep_their_text() {
        for json in [
            "null",
            "-0",
            "1.10",
            "1E+5",
            "1e400",
            "123456789012345678901234567890",
            "[]",
            "{\"b\":1e5,\"a\":[true,\"x y\\\" z\\\\\",\"\\u00e9\"],\"a\":2}",
        ] {
            assert_eq!(read(json), Item::Json(json.into()));
            assert_eq!(serde_json::to_string(&read(json)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Vec<Item>>(&format!("[ {json} ]")).unwrap(), [read(json)]);
        }
        assert_eq!(read(" { \"a b\" :\n[ 1.0 , \"c  \\\" d\" ]\t} ").text().as_ref(), "{\"a b\":[1.0,\"c  \\\" d\"]}");
        assert_eq!(read("\"a\\u0020\\n\""), Item::Text("a \n".into()));
        assert_eq!(serde_json::to_string(&read("\"a\\u0020\\n\"")).unwrap(), "\"a \\n\"");
    }

    #[test]
    fn items_are_read_from_values_too() {
        let value = serde_json::json!([1, 2.5, "text", {"b": [null], "a": 1}]);
        let items: Vec<Item> = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(items, ["1", "2.5", "\"text\"", "{\"a\":1,\"b\":[null]}"].map(read));
        assert_eq!(serde_json::to_value(&items).unwrap(), value);
    }

    #[test]
    fn what_is_no_json_or_nests_without_end_is_refused() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        read(&nested(MAX_DEPTH));
        for json in [
            nested(MAX_DEPTH + 1),
            nested(1_000_000),
            "[".repeat(1_000_000),
            "[1,]".into(),
            "\"\\ud800\"".into(),
            "01".into(),
        ] {
            assert!(serde_json::from_str::<Item>(&json).is_err(), "{json:.40}");
        }
    }
}

//! Large counts such as fuel, written as `1000000`, `500k`, `2.5M`, `10G` or `1T`. Suffixes are powers of ten.

use serde::{Deserialize as _, Deserializer, de::Error as _};
use std::fmt;

/// Text that is not a count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a number: write 1000000, 500k, 20M, 10G or 1T")]
pub struct InvalidCount(pub String);

/// Parses a count. `_` may separate digits.
///
/// # Errors
/// [`InvalidCount`] if the text is not a count or does not fit 64 bits.
pub fn parse(text: &str) -> Result<u64, InvalidCount> {
    let bad = || InvalidCount(text.chars().take(40).collect());
    let plain = text.replace('_', "");
    let (digits, factor) = match plain.char_indices().last() {
        Some((at, unit @ ('k' | 'K' | 'm' | 'M' | 'g' | 'G' | 't' | 'T'))) => {
            let factor = match unit.to_ascii_lowercase() {
                'k' => 1_000_u64,
                'm' => 1_000_000,
                'g' => 1_000_000_000,
                _ => 1_000_000_000_000,
            };
            (plain.get(..at).unwrap_or_default().to_owned(), factor)
        }
        _ => (plain, 1),
    };
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(bad);
    }
    let value = digits.parse::<f64>().map_err(|_| bad())? * factor as f64;
    if digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && value.is_finite() && value < 1.8e19 {
        Ok(value as u64)
    } else {
        Err(bad())
    }
}

struct Visitor;

impl<'de> serde::de::Visitor<'de> for Visitor {
    type Value = u64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a text such as \"500M\" or \"10G\"")
    }
    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<u64, E> {
        Ok(n)
    }
    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<u64, E> {
        u64::try_from(n).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(n), &self))
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
        parse(text).map_err(E::custom)
    }
    /// `serde_json` passes on a number that fits no native type as an object.
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let (_, number): (String, String) =
            map.next_entry()?.ok_or_else(|| A::Error::invalid_type(serde::de::Unexpected::Map, &self))?;
        Err(A::Error::custom(InvalidCount(number.chars().take(40).collect())))
    }
}

/// Deserializes a number or a text, for `#[serde(deserialize_with)]`. Counts are serialised as numbers.
///
/// # Errors
/// The format's error if the value is not a count.
pub fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<u64, D::Error> {
    if de.is_human_readable() { de.deserialize_any(Visitor) } else { u64::deserialize(de) }
}

/// The same for values that may be absent or null.
pub mod option {
    use serde::{Deserialize, Deserializer};

    #[derive(Deserialize)]
    struct Count(#[serde(deserialize_with = "super::deserialize")] u64);

    /// Deserializes an optional count, for `#[serde(deserialize_with)]` together with `default`.
    ///
    /// # Errors
    /// The format's error if the value is not a count.
    pub fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<Option<u64>, D::Error> {
        Ok(Option::<Count>::deserialize(de)?.map(|count| count.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_people_write_them() {
        for (text, n) in [
            ("0", 0),
            ("1_000", 1000),
            ("10k", 10_000),
            ("2.5M", 2_500_000),
            ("10G", 10_000_000_000),
            ("1T", 1_000_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(n), "{text}");
        }
        for bad in ["", "k", "-1", "1e5", "nan", "inf", "99999999999T", "1.2.3", "10 G", "10GiB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_and_texts_are_read_in_every_format() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Both {
            #[serde(deserialize_with = "deserialize")]
            one: u64,
            #[serde(default, deserialize_with = "option::deserialize")]
            other: Option<u64>,
        }
        let both = Both { one: 10_000_000_000, other: Some(500) };
        let json = serde_json::from_str::<Both>(r#"{"one": "10G", "other": 500}"#).unwrap();
        let toml = toml::from_str::<Both>("one = 10_000_000_000\nother = \"0.5k\"").unwrap();
        assert_eq!((&json, &toml), (&both, &both));
        let bytes = postcard::to_allocvec(&both).unwrap();
        assert_eq!(postcard::from_bytes::<Both>(&bytes).unwrap(), both);
        assert_eq!(serde_json::from_str::<Both>(r#"{"one": 1, "other": null}"#).unwrap().other, None);
        let wrong = serde_json::from_str::<Both>(r#"{"one": "lots"}"#).unwrap_err().to_string();
        assert!(wrong.contains("`lots` is not a number: write 1000000, 500k"), "{wrong}");
        assert!(serde_json::from_str::<Both>(r#"{"one": -1}"#).is_err());
        for odd in ["1e300", "1.5", "123456789012345678901234567890"] {
            let wrong = serde_json::from_str::<Both>(&format!(r#"{{"one": {odd}}}"#)).unwrap_err().to_string();
            assert!(wrong.contains("is not a number: write"), "{wrong}");
        }
    }
}

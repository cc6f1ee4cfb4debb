//! The byte between the fields of a CSV row.

use std::{fmt, str::FromStr};

/// The byte between the fields of a CSV row: `comma`, `semicolon`, `tab`, `pipe`, `colon`, `space`, or another ASCII
/// punctuation character as is. A quote is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Delimiter(u8);

/// Text that is not a delimiter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a delimiter: use comma, semicolon, tab, pipe, colon, space or a punctuation character")]
pub struct InvalidDelimiter(pub String);

/// Delimiters that have a name.
const NAMED: [(u8, &str); 6] =
    [(b',', "comma"), (b';', "semicolon"), (b'\t', "tab"), (b'|', "pipe"), (b':', "colon"), (b' ', "space")];

impl Delimiter {
    /// A comma.
    pub const COMMA: Self = Self(b',');
    /// Common delimiters other than the comma.
    pub const USUAL: [Self; 3] = [Self(b';'), Self(b'\t'), Self(b'|')];

    /// Returns the byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }
}

impl FromStr for Delimiter {
    type Err = InvalidDelimiter;
    fn from_str(text: &str) -> Result<Self, InvalidDelimiter> {
        if let Some((byte, _)) = NAMED.iter().find(|(_, name)| *name == text) {
            return Ok(Self(*byte));
        }
        match text.as_bytes() {
            [byte] if byte.is_ascii_punctuation() && *byte != b'"' => Ok(Self(*byte)),
            _ => Err(InvalidDelimiter(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMED.iter().find(|(byte, _)| *byte == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", char::from(self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_read_back_as_printed() {
        for (text, printed) in [("comma", "comma"), (";", "semicolon"), ("tab", "tab"), ("|", "pipe"), ("^", "^")] {
            assert_eq!(text.parse::<Delimiter>().map(|d| d.to_string()), Ok(printed.to_owned()));
        }
        for bad in ["", "\"", "a", "1", "\n", "\r", "ü", ",,", "Tab"] {
            assert!(bad.parse::<Delimiter>().is_err(), "{bad:?}");
        }
    }
}

//! The whole input as bytes or text. Both types also serve as results and request bodies.

use crate::input::{FromInput, Input};
use crate::{Context, Result};

/// Raw bytes: a whole input, a request's body, or a result with the type `application/octet-stream`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

/// UTF-8 text: a whole input, a request's body, or a result with the type `text/plain; charset=utf-8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub String);

impl FromInput for Bytes {
    fn from_input(mut input: Input) -> Result<Self> {
        Ok(Self(input.read_all()))
    }
}

impl FromInput for Text {
    fn from_input(mut input: Input) -> Result<Self> {
        String::from_utf8(input.read_all()).map(Self).with_context(|| format!("{} is not text", input.part().name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_at_every_chunk_size_also_after_reading_a_little() {
        let text = "hëllo\nworld";
        for chunk in 1..=text.len() + 1 {
            let whole = Text::from_input(Input::from_bytes_in_chunks(text, chunk)).unwrap();
            assert_eq!(whole.0, text);
            let mut input = Input::from_bytes_in_chunks(text, chunk);
            input.chunk();
            input.consume_bytes(1);
            assert_eq!(input.position(), 1);
            assert_eq!(input.read_all(), &text.as_bytes()[1..]);
            assert_eq!(input.position(), text.len() as u64);
            assert!(input.read_all().is_empty());
        }
        assert_eq!(Bytes::from_input(Input::from_bytes("")).unwrap().0, b"");
        assert!(Text::from_input(Input::from_bytes(b"\xff")).is_err());
    }
}

//! JSON: the whole input as one value, or one value per line.

use serde::de::DeserializeOwned;

use super::Lines;
use crate::input::{FromInput, Input};
use crate::{Context, Error, Result};

/// The whole input as one JSON value, for example an item of a job over an item list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromInput for Json<T> {
    fn from_input(mut input: Input) -> Result<Self> {
        let bytes = input.read_all();
        serde_json::from_slice(&bytes)
            .map(Self)
            .with_context(|| format!("{} is not the expected JSON", input.part().name))
    }
}

/// One JSON value per line. Blank lines are skipped. An iterator over `Result<T>`.
///
/// ```
/// let sum: i64 = fabric::JsonLines::<i64>::from_text("1\n\n2\n").sum::<Result<_, _>>()?;
/// assert_eq!(sum, 3);
/// # Ok::<(), fabric::Error>(())
/// ```
#[derive(Debug)]
pub struct JsonLines<T> {
    lines: Lines,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> JsonLines<T> {
    /// Creates a reader of a text, for tests.
    pub fn from_text(text: impl AsRef<[u8]>) -> Self {
        Self::new(Input::from_bytes(text.as_ref()))
    }

    /// Creates a reader of an input.
    pub fn new(input: Input) -> Self {
        Self { lines: Lines::new(input), of: std::marker::PhantomData }
    }
}

impl<T: DeserializeOwned> Iterator for JsonLines<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let number = self.lines.count() + 1;
            let line = self.lines.next_line()?;
            if !line.trim_ascii().is_empty() {
                let wrong = |error| Error::invalid_input(format!("line {number} of the partition: {error}"));
                return Some(serde_json::from_slice(line).map_err(wrong));
            }
        }
    }
}

impl<T: DeserializeOwned> FromInput for JsonLines<T> {
    fn from_input(input: Input) -> Result<Self> {
        Ok(Self::new(input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_json_at_every_chunk_size() {
        let text = "{\"a\":1}\r\n\r\n  \n{\"a\":22}";
        for chunk in 1..=text.len() {
            let values = JsonLines::<serde_json::Value>::new(Input::from_bytes_in_chunks(text, chunk));
            let numbers: Vec<_> = values.map(|value| value.unwrap()["a"].as_i64().unwrap()).collect();
            assert_eq!(numbers, [1, 22], "chunks of {chunk}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_the_next_is_still_read() {
        let mut values = JsonLines::<u8>::from_text(b"1\n\n300\n\xff\n4");
        assert_eq!(values.next().unwrap().unwrap(), 1);
        let error = values.next().unwrap().unwrap_err();
        assert!(error.message().starts_with("line 3 of the partition: "), "{error}");
        assert_eq!(values.next().unwrap().unwrap_err().kind(), crate::ErrorKind::InvalidInput);
        assert_eq!(values.next().unwrap().unwrap(), 4);
        assert!(values.next().is_none());
    }

    #[test]
    fn a_whole_item() {
        let Json(value) = Json::<Vec<u8>>::from_input(Input::from_bytes_in_chunks("[1, 2,\n3]", 2)).unwrap();
        assert_eq!(value, [1, 2, 3]);
        let error = Json::<Vec<u8>>::from_input(Input::from_bytes("")).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
    }
}

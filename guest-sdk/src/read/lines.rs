//! Lines without copying. Only a line that spans two chunks is copied into a buffer.

use crate::input::{FromInput, Input};
use crate::{Context, Result};

/// The lines of the input, without their `\n` or `\r\n`. A last line without a line end counts. An empty input has no
/// lines.
///
/// ```
/// use fabric::Lines;
/// let mut lines = Lines::from_text("one\r\ntwo");
/// assert_eq!(lines.next_line(), Some(&b"one"[..]));
/// assert_eq!(lines.next_line(), Some(&b"two"[..]));
/// assert_eq!(lines.next_line(), None);
/// ```
#[derive(Debug)]
pub struct Lines {
    input: Input,
    carry: Vec<u8>,
    count: u64,
}

impl Lines {
    /// Creates a reader of a text, for tests.
    pub fn from_text(text: impl AsRef<[u8]>) -> Self {
        Self::new(Input::from_bytes(text.as_ref()))
    }

    /// Creates a reader of an input.
    pub fn new(input: Input) -> Self {
        Self { input, carry: Vec::new(), count: 0 }
    }

    /// Returns the next line as bytes, valid until the next call, or `None` at the end.
    #[inline]
    pub fn next_line(&mut self) -> Option<&[u8]> {
        let start = self.input.chunk_position();
        if let Some(length) = memchr::memchr(b'\n', self.input.buffered()) {
            self.input.consume_bytes(length + 1);
            self.count += 1;
            return Some(without_return(self.input.slice(start, start + length)));
        }
        self.next_straddling()
    }

    /// Slow path: the line continues in the next chunk, or is the last one.
    #[cold]
    fn next_straddling(&mut self) -> Option<&[u8]> {
        self.carry.clear();
        loop {
            let rest = self.input.buffered();
            if let Some(length) = memchr::memchr(b'\n', rest) {
                self.carry.extend_from_slice(rest.get(..length).unwrap_or_default());
                self.input.consume_bytes(length + 1);
                break;
            }
            self.carry.extend_from_slice(rest);
            self.input.consume_bytes(rest.len());
            if !self.input.refill() {
                if self.carry.is_empty() {
                    return None;
                }
                break;
            }
        }
        self.count += 1;
        Some(without_return(&self.carry))
    }

    /// Returns the next line as text, or `None` at the end.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] with the line's number if the line is not UTF-8.
    pub fn next_str(&mut self) -> Result<Option<&str>> {
        let number = self.count + 1;
        match self.next_line() {
            Some(line) => {
                std::str::from_utf8(line).map(Some).with_context(|| format!("line {number} of the partition"))
            }
            None => Ok(None),
        }
    }

    /// Calls `f` with every remaining line.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn for_each(&mut self, mut f: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while let Some(line) = self.next_line() {
            f(line)?;
        }
        Ok(())
    }

    /// Returns the number of lines returned.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the input, which has the object's name and the offset.
    pub fn input(&self) -> &Input {
        &self.input
    }
}

impl FromInput for Lines {
    fn from_input(input: Input) -> Result<Self> {
        Ok(Self::new(input))
    }
}

#[inline]
fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut lines: Lines) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(line) = lines.next_line() {
            out.push(line.to_vec());
        }
        assert_eq!(lines.count(), out.len() as u64);
        assert_eq!(lines.next_line(), None, "the end stays the end");
        out
    }

    #[test]
    fn every_chunk_size_gives_the_same_lines() {
        let texts: [&[u8]; 8] = [
            b"",
            b"\n",
            b"a",
            b"a\n",
            b"a\r\nb\rc\r\n\r\nd",
            b"\r\n",
            b"\xff\xfe\nok",
            b"a much longer line\nb\n\n\nc",
        ];
        for text in texts {
            let mut expected: Vec<Vec<u8>> =
                text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect();
            if text.is_empty() || text.ends_with(b"\n") {
                expected.pop();
            }
            for chunk in 1..=text.len() + 1 {
                let lines = Lines::new(Input::from_bytes_in_chunks(text, chunk));
                assert_eq!(all(lines), expected, "{text:?} in chunks of {chunk}");
            }
        }
    }

    #[test]
    fn a_line_that_is_not_utf8_is_bad_input_with_its_number() {
        let mut lines = Lines::from_text(b"fine\n\xff\n");
        assert_eq!(lines.next_str().unwrap(), Some("fine"));
        let error = lines.next_str().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
        assert!(error.message().starts_with("line 2 of the partition: "), "{error}");
        assert_eq!(lines.next_str().unwrap(), None);
    }
}

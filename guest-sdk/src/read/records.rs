//! Records of a fixed number of bytes.

use crate::input::{FromInput, Input};
use crate::{Error, Result};

/// Records of `N` bytes each. A record inside one chunk is not copied.
///
/// With `N` 0 (the default), the size is set at run time: create the reader with [`Records::of_size`] from an
/// [`Input`].
#[derive(Debug)]
pub struct Records<const N: usize = 0> {
    input: Input,
    size: usize,
    carry: Vec<u8>,
    count: u64,
}

impl Records<0> {
    /// Creates a reader of records of `size` bytes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] if `size` is 0.
    pub fn of_size(input: Input, size: usize) -> Result<Self> {
        if size == 0 {
            return Err(Error::invalid_input("a record needs at least one byte"));
        }
        Ok(Self { input, size, carry: Vec::new(), count: 0 })
    }
}

impl<const N: usize> Records<N> {
    /// Returns the next record, valid until the next call, or `None` at the end.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] if the input ends inside a record.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>> {
        let start = self.input.chunk_position();
        if self.input.buffered().len() >= self.size {
            self.input.consume_bytes(self.size);
            self.count += 1;
            return Ok(Some(self.input.slice(start, start + self.size)));
        }
        self.carry.clear();
        loop {
            let rest = self.input.buffered();
            let missing = self.size - self.carry.len();
            let take = rest.len().min(missing);
            self.carry.extend_from_slice(rest.get(..take).unwrap_or_default());
            self.input.consume_bytes(take);
            if take == missing {
                self.count += 1;
                return Ok(Some(&self.carry));
            }
            if !self.input.refill() {
                break;
            }
        }
        match self.carry.len() {
            0 => Ok(None),
            left => Err(Error::invalid_input(format!(
                "the input ends {left} bytes into record {} of {} bytes",
                self.count + 1,
                self.size
            ))),
        }
    }

    /// Returns the number of records returned.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl<const N: usize> FromInput for Records<N> {
    fn from_input(input: Input) -> Result<Self> {
        const {
            assert!(N > 0, "name the record size, as in Records<16>; for a size known at run time take an Input");
        }
        Ok(Self { input, size: N, carry: Vec::new(), count: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_size_gives_the_same_records() {
        for chunk in 1..=13 {
            let mut records = Records::<3>::from_input(Input::from_bytes_in_chunks("abcdefghijkl", chunk)).unwrap();
            let mut all = Vec::new();
            while let Some(record) = records.next_record().unwrap() {
                all.push(String::from_utf8(record.to_vec()).unwrap());
            }
            assert_eq!(all, ["abc", "def", "ghi", "jkl"], "chunks of {chunk}");
            assert_eq!(records.count(), 4);
        }
    }

    #[test]
    fn a_torn_last_record_is_bad_input() {
        for chunk in 1..=5 {
            let mut records = Records::of_size(Input::from_bytes_in_chunks("abcde", chunk), 3).unwrap();
            assert_eq!(records.next_record().unwrap(), Some(&b"abc"[..]));
            let error = records.next_record().unwrap_err();
            assert_eq!(error.message(), "the input ends 2 bytes into record 2 of 3 bytes");
        }
    }

    #[test]
    fn no_record_in_an_empty_input_and_no_empty_record() {
        assert_eq!(Records::of_size(Input::from_bytes(""), 3).unwrap().next_record().unwrap(), None);
        assert!(Records::of_size(Input::from_bytes("x"), 0).is_err());
    }
}

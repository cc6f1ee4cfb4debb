//! Device memory as arrays of numbers.

use std::marker::PhantomData;
use std::ops::{Bound as End, RangeBounds};

use super::element::{self, Element, bytes_of};
use super::error::{Error, Result};
use super::submit::{Bind, Bound};
use super::sys;

/// Elements transferred in one call: 4 MiB. Bounds the memory that a transfer needs in the guest and in the host. The
/// host transfers at most 128 MiB at once.
const PIECE: usize = 1 << 20;

/// An array of numbers on the device, zeroed at creation. Dropping the buffer frees the memory.
#[derive(Debug)]
pub struct Buffer<T> {
    raw: sys::Buffer,
    len: usize,
    of: PhantomData<fn() -> T>,
}

impl<T: Element> Buffer<T> {
    /// Creates a buffer of `len` zeros.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `len` is 0, and `Denied`, `Limit` (`buffer-bytes`, `total-bytes`, `buffers`),
    /// `OutOfMemory`, `DeviceLost`, `Busy`.
    pub fn new(len: usize) -> Result<Self> {
        Ok(Self { raw: sys::Buffer::create(bytes_of(len))?, len, of: PhantomData })
    }

    /// Creates a buffer with a copy of `values`.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn from_slice(values: &[T]) -> Result<Self> {
        let buffer = Self::new(values.len())?;
        buffer.write(0, values)?;
        Ok(buffer)
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `false`: a buffer has at least one element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes values, beginning at element `at`. Later calls observe the write.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the values do not fit, `DeviceLost`.
    pub fn write(&self, at: usize, values: &[T]) -> Result<()> {
        if at.checked_add(values.len()).is_none_or(|end| end > self.len) {
            let (values, len) = (values.len(), self.len);
            return Err(Error::Invalid(format!("{values} elements from {at} on go beyond the buffer's {len}")));
        }
        for (piece, values) in values.chunks(PIECE).enumerate() {
            self.raw.write(bytes_of(at + piece * PIECE), element::to_bytes(values))?;
        }
        Ok(())
    }

    /// Reads the whole buffer, after all earlier calls have taken effect.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the buffer was lost with the device, `DeviceLost`.
    pub fn read(&self) -> Result<Vec<T>> {
        self.read_range(..)
    }

    /// Reads a range of elements.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the range exceeds the buffer, `DeviceLost`.
    pub fn read_range(&self, range: impl RangeBounds<usize>) -> Result<Vec<T>> {
        let (start, len) = span(&range, self.len);
        let mut values = Vec::new();
        for (start, len) in pieces(start, len) {
            values.extend(element::from_bytes::<T>(&self.raw.read(bytes_of(start), bytes_of(len))?));
        }
        Ok(values)
    }

    /// Returns a range of elements to bind, copy, clear or read. A range to bind must start at a multiple of 64.
    ///
    /// The range is checked against the buffer when it is used.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Slice<'_, T> {
        let (start, len) = span(&range, self.len);
        Slice { buffer: self, start, len }
    }
}

impl<T: Element> Bind for Buffer<T> {
    fn bound(&self) -> Bound<'_> {
        self.slice(..).bytes()
    }
}

/// A range of elements of a [`Buffer`].
#[derive(Debug)]
pub struct Slice<'a, T> {
    buffer: &'a Buffer<T>,
    start: usize,
    len: usize,
}

impl<'a, T> Slice<'a, T> {
    /// Returns the range in bytes.
    pub(super) fn bytes(&self) -> Bound<'a> {
        Bound { buffer: &self.buffer.raw, offset: bytes_of(self.start), bytes: bytes_of(self.len) }
    }
}

impl<T> Clone for Slice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slice<'_, T> {}

impl<T> Bind for Slice<'_, T> {
    fn bound(&self) -> Bound<'_> {
        self.bytes()
    }
}

impl<'a, T: Element> From<&'a Buffer<T>> for Slice<'a, T> {
    fn from(buffer: &'a Buffer<T>) -> Self {
        buffer.slice(..)
    }
}

/// Returns the start and length of a range over `len` elements.
fn span(range: &impl RangeBounds<usize>, len: usize) -> (usize, usize) {
    let start = match range.start_bound() {
        End::Included(start) => *start,
        End::Excluded(before) => before.saturating_add(1),
        End::Unbounded => 0,
    };
    let end = match range.end_bound() {
        End::Included(last) => last.saturating_add(1),
        End::Excluded(end) => *end,
        End::Unbounded => len,
    };
    (start, end.saturating_sub(start))
}

/// Splits a range into pieces of one read each, as start and length. An empty range is one piece, so that it is still
/// checked.
fn pieces(start: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = len.div_ceil(PIECE).max(1);
    (0..count).map(move |at| {
        let done = at * PIECE;
        (start.saturating_add(done), (len - done).min(PIECE))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_every_form_have_a_start_and_a_length() {
        assert_eq!(span(&(..), 10), (0, 10));
        assert_eq!(span(&(3..), 10), (3, 7));
        assert_eq!(span(&(..4), 10), (0, 4));
        assert_eq!(span(&(2..=4), 10), (2, 3));
        assert_eq!(span(&(2..20), 10), (2, 18), "the host refuses it");
        assert_eq!(span(&(12..), 10), (12, 0));
        assert_eq!(span(&(0..=usize::MAX), 10), (0, usize::MAX));
    }

    #[test]
    fn long_reads_come_in_pieces_that_meet() {
        for len in [0, 1, PIECE, PIECE + 1, 5 * PIECE - 3] {
            let mut next = 7;
            for (start, length) in pieces(7, len) {
                assert_eq!(start, next);
                assert!(length <= PIECE);
                next += length;
            }
            assert_eq!(next, 7 + len);
        }
        assert_eq!(pieces(9, 0).collect::<Vec<_>>(), [(9, 0)]);
    }
}

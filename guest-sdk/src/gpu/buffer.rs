//! Memory on the device, as a row of numbers.

use std::marker::PhantomData;
use std::ops::{Bound as End, RangeBounds};

use super::element::{self, Element, bytes_of};
use super::error::{Error, Result};
use super::submit::{Bind, Bound};
use super::sys;

/// What goes there or back in one call, in elements: 4 MiB. It bounds what is held twice, here and in the host, which takes
/// no more than 128 MiB at once.
const PIECE: usize = 1 << 20;

/// Numbers on the device. They are zeros until they are written; dropping the buffer frees them.
#[derive(Debug)]
pub struct Buffer<T> {
    raw: sys::Buffer,
    len: usize,
    of: PhantomData<fn() -> T>,
}

impl<T: Element> Buffer<T> {
    /// So many zeros.
    ///
    /// # Errors
    /// [`Error::Invalid`] for none at all, and `Denied`, `Limit` (`buffer-bytes`, `total-bytes`,
    /// `buffers`), `OutOfMemory`, `DeviceLost`, `Busy`.
    pub fn new(len: usize) -> Result<Self> {
        Ok(Self { raw: sys::Buffer::create(bytes_of(len))?, len, of: PhantomData })
    }

    /// A copy of these values.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn from_slice(values: &[T]) -> Result<Self> {
        let buffer = Self::new(values.len())?;
        buffer.write(0, values)?;
        Ok(buffer)
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: there is no buffer of no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes values from element `at` on. Later calls see them.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they do not fit, `DeviceLost`.
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

    /// All of it, as every earlier call left it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it went away with the device, `DeviceLost`.
    pub fn read(&self) -> Result<Vec<T>> {
        self.read_range(..)
    }

    /// A part of it, in elements.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the range goes beyond the buffer, `DeviceLost`.
    pub fn read_range(&self, range: impl RangeBounds<usize>) -> Result<Vec<T>> {
        let (start, len) = span(&range, self.len);
        let mut values = Vec::new();
        for (start, len) in pieces(start, len) {
            values.extend(element::from_bytes::<T>(&self.raw.read(bytes_of(start), bytes_of(len))?));
        }
        Ok(values)
    }

    /// A part of it, in elements, to bind, copy, clear or read. To be bound it starts at a multiple of 64.
    ///
    /// Whether the range lies in the buffer is found out where it is used.
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

/// A part of a [`Buffer`].
#[derive(Debug)]
pub struct Slice<'a, T> {
    buffer: &'a Buffer<T>,
    start: usize,
    len: usize,
}

impl<'a, T> Slice<'a, T> {
    /// The same part in bytes.
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

/// Start and length of a range of something that has `len` elements.
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

/// A range in pieces that one read takes: start and length of each. One piece for an empty range, so that it is checked.
fn pieces(start: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = len.div_ceil(PIECE).max(1);
    (0..count).map(move |at| {
        let done = at * PIECE;
        (start.saturating_add(done), (len - done).min(PIECE))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
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

//! `Range` headers (RFC 9110, section 14): single byte ranges. Several ranges, other units and malformed values are
//! ignored, as the RFC allows, and the whole representation is sent.

/// A single range as requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRangeRequest {
    /// First and last byte, both included.
    Between(u64, u64),
    /// From this byte to the end.
    From(u64),
    /// The last bytes, this many.
    Last(u64),
}

impl ByteRangeRequest {
    /// Parses the value of a header. Returns `None` if the header is to be ignored.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, set) = value.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        let number = |t: &str| {
            let digits = !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
            // A number that does not fit is still a number: past the end of any object.
            digits.then(|| t.parse().unwrap_or(u64::MAX))
        };
        match (first.trim(), last.trim()) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => number(first).map(Self::From),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// Returns the bytes of a representation of `len` bytes; `None` if the range cannot be satisfied.
    #[must_use]
    pub fn within(self, len: u64) -> Option<std::ops::Range<u64>> {
        let range = match self {
            Self::Between(first, last) => first..last.saturating_add(1).min(len),
            Self::From(first) => first..len,
            Self::Last(n) => len.saturating_sub(n)..len,
        };
        (range.start < range.end).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        assert_eq!(ByteRangeRequest::parse("bytes=0-0"), Some(ByteRangeRequest::Between(0, 0)));
        assert_eq!(ByteRangeRequest::parse("bytes=5-"), Some(ByteRangeRequest::From(5)));
        assert_eq!(ByteRangeRequest::parse("Bytes=-5"), Some(ByteRangeRequest::Last(5)));
        for ignored in ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-2"] {
            assert_eq!(ByteRangeRequest::parse(ignored), None, "{ignored}");
        }
        assert_eq!(ByteRangeRequest::Between(2, 100).within(10), Some(2..10));
        assert_eq!(ByteRangeRequest::Last(100).within(10), Some(0..10));
        assert_eq!(ByteRangeRequest::From(10).within(10), None);
        assert_eq!(ByteRangeRequest::Last(0).within(10), None);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_stays_inside(text in "(bytes=)?[0-9,= -]{0,30}", len in any::<u64>()) {
            if let Some(range) = ByteRangeRequest::parse(&text).and_then(|a| a.within(len)) {
                prop_assert!(range.start < range.end && range.end <= len);
            }
        }
    }
}

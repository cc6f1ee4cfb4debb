//! `Range` headers. The resulting range is always within the object.

use fabric_fuzz::{fuzz, text};
use fabric_gateway::range::ByteRangeRequest;

#[test]
fn ranges() {
    fuzz(
        "ranges",
        &[b"bytes=0-0", b"bytes=-5", b"Bytes = 7-", b"bytes=0-1,3-4", b"bytes=18446744073709551615-"],
        |input| {
            let Some(asked) = ByteRangeRequest::parse(&text(input)) else { return };
            for len in [0, 1, 10, u64::MAX] {
                if let Some(range) = asked.within(len) {
                    assert!(range.start < range.end && range.end <= len, "{asked:?} within {len}");
                }
            }
        },
    );
}

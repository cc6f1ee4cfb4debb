//! Request and response bodies in memory. They are charged to the memory account while they are received or sent, so
//! that the requests of all callers together stay within it.

use crate::{Error, error::Result};
use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use fabric_types::{
    Code,
    memory::{Charge, ChargedBuffer, Payer},
};
use http::Extensions;
use http_body_util::BodyExt as _;

/// A body of one piece up to this many bytes is not charged: it lies in the connection's buffer.
const SMALL: usize = 64 << 10;

/// Bytes that a streamed response may hold while its client does not read: a piece of a stored object, the send buffer
/// of its HTTP/2 stream, and the bookkeeping of both.
const STREAMED: u64 = 512 << 10;

/// Returns the payer for a request's body, or [`Payer::nobody`] if the request carries none.
pub fn payer(extensions: &Extensions) -> Payer {
    extensions.get::<Payer>().cloned().unwrap_or_else(Payer::nobody)
}

/// Collects the whole body, at most `limit` bytes. The bytes stay charged until the last slice of them is dropped (test
/// `a_body_is_charged_until_its_last_slice_is_gone`).
///
/// # Errors
/// `too-large`; `node-memory` if there is no memory for the body now; `memory-limit` if the body can never fit;
/// `bad-request` if the client stopped sending.
pub async fn collect(mut body: Body, limit: usize, payer: &Payer) -> Result<Bytes> {
    let too_large = || Error::new(Code::TooLarge, format!("the body has more than the {limit} bytes allowed here"));
    let hint = http_body::Body::size_hint(&body);
    if hint.lower() > limit as u64 {
        return Err(too_large());
    }
    let most = hint.exact().and_then(|len| usize::try_from(len).ok()).unwrap_or(limit).min(limit);
    let mut first = Bytes::new();
    let mut all = ChargedBuffer::with_limit(payer, most);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Error::bad(format!("the body ended early: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            return Err(too_large());
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if !first.is_empty() {
            all.extend(&first)?;
            first = Bytes::new();
        }
        all.extend(&data)?;
    }
    if !all.is_empty() {
        return Ok(Bytes::from_owner(all));
    }
    if first.len() <= SMALL {
        return Ok(first);
    }
    let charge = payer.charge(first.len() as u64)?;
    Ok(held(first, charge))
}

/// Returns bytes that stay charged until the last slice of them is dropped.
pub fn held(bytes: Bytes, charge: Charge) -> Bytes {
    Bytes::from_owner(Whole { bytes, _charge: charge })
}

/// Charges the memory that the body of a streamed response may hold until it was sent. A body of known length is not
/// charged here.
pub fn streamed(response: Response, payer: &Payer) -> Response {
    if http_body::Body::size_hint(response.body()).exact().is_some() {
        return response;
    }
    match payer.charge(STREAMED) {
        Ok(charge) => response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _held = &charge;
                frame
            }))
        }),
        Err(full) => Error::from(full).into_response(),
    }
}

/// Bytes of one piece and their charge.
struct Whole {
    bytes: Bytes,
    _charge: fabric_types::memory::Charge,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_types::{memory::MemoryAccount, units::ByteSize};

    fn body(pieces: usize, size: usize) -> Body {
        let piece = Bytes::from(vec![1; size]);
        Body::from_stream(futures::stream::iter((0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone()))))
    }

    #[tokio::test]
    async fn a_streamed_response_is_charged_while_it_lasts() {
        let account = MemoryAccount::new(ByteSize::mib(1), 100, ByteSize(0));
        let payer = account.operator();
        let whole = streamed(Response::new(Body::from(vec![1; 1 << 20])), &payer);
        assert_eq!((whole.status().as_u16(), account.used()), (200, 0));
        let [first, second] = [0; 2].map(|_| streamed(Response::new(body(2, 10)), &payer));
        assert_eq!((second.status().as_u16(), account.used()), (200, 2 * STREAMED));
        let third = streamed(Response::new(body(2, 10)), &payer);
        assert_eq!(third.status().as_u16(), Code::NodeMemory.http_status());
        assert_eq!(first.into_body().collect().await.unwrap().to_bytes().len(), 20);
        assert_eq!(account.used(), STREAMED);
    }

    #[tokio::test]
    async fn a_body_is_charged_until_its_last_slice_is_gone() {
        let account = MemoryAccount::new(ByteSize::mib(16), 100, ByteSize(0));
        let payer = account.operator();
        for (pieces, size) in [(64, 64 << 10), (1, 4 << 20)] {
            let whole = collect(body(pieces, size), 8 << 20, &payer).await.unwrap();
            assert_eq!(whole.len(), pieces * size);
            assert!(account.used() >= whole.len() as u64 && account.used() <= 8 << 20);
            let slice = whole.slice(10..20);
            drop(whole);
            assert!(account.used() > 0);
            drop(slice);
            assert_eq!(account.used(), 0);
        }
        let never = collect(body(400, 64 << 10), usize::MAX, &payer).await.unwrap_err();
        assert_eq!((never.code(), never.is_retryable(), account.used()), (Code::MemoryLimit, false, 0));
        let others = payer.charge(12 << 20).unwrap();
        let full = collect(body(100, 64 << 10), usize::MAX, &payer).await.unwrap_err();
        assert_eq!((full.code(), full.is_retryable(), account.used()), (Code::NodeMemory, true, 12 << 20));
        drop(others);
        let large = collect(body(2, 600), 1000, &payer).await.unwrap_err();
        assert_eq!(large.code(), Code::TooLarge);
    }
}

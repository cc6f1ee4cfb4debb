//! A body with trailers that are changed in transit.

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The body `B` with trailers that are changed by `F`. The length of the body stays known.
pub(crate) struct MapTrailers<B, F> {
    body: Pin<Box<B>>,
    change: F,
}

impl<B, F> MapTrailers<B, F> {
    pub(crate) fn new(body: B, change: F) -> Self {
        Self { body: Box::pin(body), change }
    }
}

impl<B, F> Body for MapTrailers<B, F>
where
    B: Body<Data = Bytes>,
    F: FnMut(&mut HeaderMap) + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            Ok(match frame?.into_trailers() {
                Ok(mut trailers) => {
                    (self.change)(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(frame) => frame,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

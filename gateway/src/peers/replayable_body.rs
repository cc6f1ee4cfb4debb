//! A request body that is taken when it is first polled. A connection that fails before leaves it whole, to be sent to
//! another process.

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A body that may be sent more than once.
#[derive(Clone)]
pub(super) struct ReplayableBody {
    body: Arc<Mutex<Option<Body>>>,
    empty: bool,
}

impl ReplayableBody {
    pub(super) fn new(body: Body) -> Self {
        Self { empty: body.is_end_stream(), body: Arc::new(Mutex::new(Some(body))) }
    }

    /// Returns `true` if the whole body is still available.
    pub(super) fn is_whole(&self) -> bool {
        self.empty || self.body.lock().is_some()
    }

    /// Returns the body for one attempt; `None` if it is empty.
    pub(super) fn for_a_try(&self) -> Option<reqwest::Body> {
        if self.empty {
            return None;
        }
        Some(reqwest::Body::wrap(Try { held: Arc::clone(&self.body), taken: Mutex::new(None) }))
    }

    /// Returns the body if it has not been taken, else an empty one.
    pub(super) fn back(&self) -> Body {
        self.body.lock().take().unwrap_or_default()
    }
}

/// The body of one attempt, trailers included. The mutex makes it [`Sync`], as the client requires; it is never
/// contended.
struct Try {
    held: Arc<Mutex<Option<Body>>>,
    taken: Mutex<Option<Body>>,
}

impl http_body::Body for Try {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let taken = this.taken.get_mut();
        if taken.is_none() {
            *taken = this.held.lock().take();
        }
        match taken {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }
}

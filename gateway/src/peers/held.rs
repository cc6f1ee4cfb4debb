//! A request's body that is taken when it is first asked for: a connection that could not be made leaves it whole, to be
//! sent to somebody else.

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A body that may be tried more than once.
#[derive(Clone)]
pub(super) struct Held {
    body: Arc<Mutex<Option<Body>>>,
    empty: bool,
}

impl Held {
    pub(super) fn new(body: Body) -> Self {
        Self { empty: body.is_end_stream(), body: Arc::new(Mutex::new(Some(body))) }
    }

    /// Whether all of it is still there.
    pub(super) fn is_whole(&self) -> bool {
        self.empty || self.body.lock().is_some()
    }

    /// The body for one try; none when there is nothing in it.
    pub(super) fn for_a_try(&self) -> Option<reqwest::Body> {
        if self.empty {
            return None;
        }
        Some(reqwest::Body::wrap(Try { held: Arc::clone(&self.body), taken: Mutex::new(None) }))
    }

    /// The body, if nobody has taken it.
    pub(super) fn back(&self) -> Body {
        self.body.lock().take().unwrap_or_default()
    }
}

/// One try's body, trailers included. The mutex makes it [`Sync`], which the client asks for; it is never contended.
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

//! A request's body that is taken when it is first asked for: a connection that could not be made leaves it whole, to be
//! sent to somebody else.

use axum::body::Body;
use futures::{StreamExt as _, stream};
use http_body::Body as _;
use parking_lot::Mutex;
use std::sync::Arc;

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
        let body = Arc::clone(&self.body);
        let pieces = stream::once(async move { body.lock().take() })
            .filter_map(std::future::ready)
            .flat_map(Body::into_data_stream);
        Some(reqwest::Body::wrap_stream(pieces))
    }

    /// The body, if nobody has taken it.
    pub(super) fn back(&self) -> Body {
        self.body.lock().take().unwrap_or_default()
    }
}

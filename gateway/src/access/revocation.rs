//! Ends what a token has opened when the token no longer lets its holder in: event streams, followed logs, long polls,
//! responses that go on.

use super::holder;
use crate::{Error, error::Result, state::App};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use fabric_types::Code;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// How often an open stream's token is looked at. It is in memory, and forgotten there when it is revoked.
const LOOK: Duration = Duration::from_millis(500);
/// A response of known length up to this is not watched: it is on its way already.
const SHORT: u64 = 1 << 20;

fn refused() -> Error {
    Error::new(Code::Unauthenticated, "the token was revoked or has expired meanwhile")
}

/// Returns when the secret no longer lets its holder in. A registry or Hub that does not answer changes nothing.
async fn revoked(app: &App, secret: &str) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = holder(app, secret).await
            && matches!(error.code(), Code::Unauthenticated | Code::Denied)
        {
            return;
        }
    }
}

/// Waits for an answer for as long as the secret is good.
///
/// # Errors
/// `unauthenticated` when it no longer is.
pub(super) async fn answer_while_valid(
    app: &App,
    secret: &str,
    answer: impl Future<Output = Response>,
) -> Result<Response> {
    tokio::select! {
        // Most answers are there at the first poll, and then no timer is ever set.
        biased;
        response = answer => Ok(response),
        () = revoked(app, secret) => Err(refused()),
    }
}

/// Has a response that goes on break off when the secret is no longer good.
pub(crate) fn watch(app: &App, secret: &str, response: Response) -> Response {
    let body = response.body();
    if http_body::Body::is_end_stream(body) || http_body::Body::size_hint(body).exact().is_some_and(|n| n <= SHORT) {
        return response;
    }
    let (app, secret) = (app.clone(), secret.to_owned());
    let revoked = Box::pin(async move { revoked(&app, &secret).await });
    response.map(|body| Body::new(WatchedBody { body, revoked: Some(revoked) }))
}

/// A body that ends with an error when its token is revoked.
struct WatchedBody {
    body: Body,
    /// `None` after the end.
    revoked: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(revoked) = &mut self.revoked else { return Poll::Ready(None) };
        // First, since a body that always has more would keep it from being looked at.
        if revoked.as_mut().poll(cx).is_ready() {
            self.revoked = None;
            self.body = Body::empty();
            return Poll::Ready(Some(Err(axum::Error::new("the token was revoked"))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

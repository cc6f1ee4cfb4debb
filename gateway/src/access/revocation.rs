//! Ends the open requests of a token that is no longer valid: event streams, followed logs, long polls and other
//! continuing responses.

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

/// Interval between checks of an open stream's token. Tokens are cached in memory and removed from there on revocation.
const LOOK: Duration = Duration::from_millis(500);
/// A response of known length up to this many bytes is not watched: it is already on its way.
const SHORT: u64 = 1 << 20;

fn refused() -> Error {
    Error::new(Code::Unauthenticated, "the token was revoked or has expired")
}

/// Waits until the secret is no longer valid. A registry or Hub that does not answer counts as no change.
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

/// Waits for an answer while the secret is valid.
///
/// # Errors
/// `unauthenticated` if the secret stops being valid.
pub(super) async fn answer_while_valid(
    app: &App,
    secret: &str,
    answer: impl Future<Output = Response>,
) -> Result<Response> {
    tokio::select! {
        // Most answers are ready at the first poll, and then no timer is set.
        biased;
        response = answer => Ok(response),
        () = revoked(app, secret) => Err(refused()),
    }
}

/// Wraps a continuing response so that it is aborted when the secret is no longer valid.
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
        // Polled first: a body that always has data would starve the check.
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

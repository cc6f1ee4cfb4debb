//! Event streams: bounded in number, kept alive by comments, ended when the server stops.

use crate::{Error, error::Result, state::App};
use axum::response::{
    IntoResponse as _, Response, Sse,
    sse::{Event, KeepAlive},
};
use fabric_types::Code;
use futures::{Stream, StreamExt as _};
use std::{convert::Infallible, sync::Arc, time::Duration};

/// Sends events until the stream ends or the server stops.
///
/// # Errors
/// `too-many-requests` when too many streams are open.
pub(super) fn sse<S>(app: &App, events: S) -> Result<Response>
where
    S: Stream<Item = Event> + Send + 'static,
{
    let permit = Arc::clone(&app.streams)
        .try_acquire_owned()
        .map_err(|_| Error::new(Code::TooManyRequests, "too many event streams are open"))?;
    let stopping = app.stopping.clone();
    let events = events.take_until(async move { stopping.cancelled().await }).map(move |event| {
        // The permit lives as long as the stream.
        let _ = &permit;
        Ok::<_, Infallible>(event)
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response();
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    Ok(response)
}

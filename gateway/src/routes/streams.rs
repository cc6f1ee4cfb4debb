//! Event streams: limited in number, kept alive by comments, ended when the server stops.

use crate::{
    Error,
    caller::Caller,
    error::Result,
    shares::{Exhausted, Reserve},
    state::App,
};
use axum::response::{
    IntoResponse as _, Response, Sse,
    sse::{Event, KeepAlive},
};
use fabric_types::{Code, rest::token::Role};
use futures::{Stream, StreamExt as _};
use std::{convert::Infallible, time::Duration};

/// Sends events until the stream ends or the server stops.
///
/// # Errors
/// `too-many-requests` if too many streams are open.
pub(super) fn sse<S>(app: &App, caller: &Caller, events: S) -> Result<Response>
where
    S: Stream<Item = Event> + Send + 'static,
{
    let reserve = if caller.role == Role::Admin { Reserve::Open } else { Reserve::Closed };
    let share = app.streams.take(&caller.tenant, reserve).map_err(|exhausted| {
        let whose = match exhausted {
            Exhausted::Own => format!("the tenant `{}` has", caller.tenant),
            Exhausted::All => "all tenants together have".to_owned(),
        };
        Error::new(Code::TooManyRequests, format!("{whose} the maximum number of event streams open"))
            .hint("close some of them; one stream of a job or of logs can serve many readers")
    })?;
    let stopping = app.stopping.clone();
    let events = events.take_until(async move { stopping.cancelled().await }).map(move |event| {
        // The share lives as long as the stream.
        let _ = &share;
        Ok::<_, Infallible>(event)
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response();
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    Ok(response)
}

//! Forwarding of requests that only the owner of the jobs can answer. During a takeover, requests wait for the new
//! owner rather than fail.

use super::{Peers, forward::ForwardedRequest};
use crate::{Error, error::Result, headers::is_forwarded};
use axum::{body::Body, response::Response};
use fabric_types::Code;
use http::{HeaderValue, Request, header};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Delay before an unreachable owner is tried again, if no other owner appears.
const AGAIN: Duration = Duration::from_millis(500);

fn no_owner(why: impl std::fmt::Display) -> Error {
    Error::new(Code::Unavailable, format!("no scheduler answers: {why}"))
        .hint("another one takes over within half a minute; try again")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

impl Peers {
    /// Forwards a request to the owner of the jobs.
    ///
    /// # Errors
    /// `unavailable` if there is no owner, or if it failed during the request; `not-found` if this process does not
    /// forward requests.
    pub(crate) async fn forward_to_owner(&self, request: Request<Body>) -> Result<Response> {
        if is_forwarded(request.headers()) {
            return Err(no_owner("the process that received the request no longer owns the jobs"));
        }
        if !self.relays {
            return Err(Error::new(Code::NotFound, "this process only runs guests")
                .hint("send the request to a process of the fleet with the role `gateway`"));
        }
        let forwarded = ForwardedRequest::new(request);
        let mut owners = self.owner.clone();
        let until = Instant::now() + self.patience;
        let mut why = "there is none".to_owned();
        loop {
            let Some(owner) = owners.borrow_and_update().clone() else {
                match timeout_at(until, owners.changed()).await {
                    Ok(Ok(())) => continue,
                    _ => return Err(no_owner(why)),
                }
            };
            let sent = tokio::select! {
                sent = forwarded.send(&self.relaying, &owner) => sent,
                // A frozen owner would hold its callers for as long as it is frozen.
                Ok(()) = owners.changed() => {
                    if forwarded.body.is_whole() && forwarded.method.is_safe() {
                        continue;
                    }
                    return Err(no_owner("another process took over before the owner answered"));
                }
            };
            match sent {
                Ok(response) => return Ok(response),
                // A request that never arrived, or that changes nothing, may be sent again.
                Err(e) if forwarded.body.is_whole() && (e.is_connect() || forwarded.method.is_safe()) => {
                    why = e.without_url().to_string();
                }
                Err(e) => return Err(no_owner(e.without_url())),
            }
            if Instant::now() >= until {
                return Err(no_owner(why));
            }
            // No other owner is needed: the same one may be starting again.
            let _ = timeout_at(until.min(Instant::now() + AGAIN), owners.changed()).await;
        }
    }
}

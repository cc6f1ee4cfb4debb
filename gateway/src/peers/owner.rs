//! What only the owner of the jobs can answer goes to it. While one owner follows another, requests wait for the new one
//! rather than fail.

use super::{Peers, RELAYED, pass::Passing};
use crate::{Error, error::Result};
use axum::{body::Body, response::Response};
use fabric_types::Code;
use http::{HeaderValue, Request, header};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long after an owner could not be reached it is tried again, if no other came.
const AGAIN: Duration = Duration::from_millis(500);

fn no_owner(why: impl std::fmt::Display) -> Error {
    Error::new(Code::Unavailable, format!("no scheduler answers: {why}"))
        .hint("another one takes over within half a minute; try again")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

impl Peers {
    /// Passes a request on to the owner of the jobs.
    ///
    /// # Errors
    /// `unavailable` when there is no owner, or when it went away with the request.
    pub(crate) async fn ask_owner(&self, request: Request<Body>) -> Result<Response> {
        if request.headers().contains_key(&RELAYED) {
            return Err(no_owner("the process that was asked does not own the jobs any more"));
        }
        if !self.relays {
            return Err(Error::new(Code::NotFound, "this process only runs guests")
                .hint("ask a process of the fleet that has the role `gateway`"));
        }
        let passing = Passing::new(request);
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
                sent = passing.send(&self.relaying, &owner) => sent,
                // A frozen owner would keep its callers for as long as it is frozen.
                Ok(()) = owners.changed() => {
                    if passing.body.is_whole() && passing.method.is_safe() {
                        continue;
                    }
                    return Err(no_owner("another one took over before it answered"));
                }
            };
            match sent {
                Ok(response) => return Ok(response),
                // What never arrived, or what changes nothing, may be asked again.
                Err(e) if passing.body.is_whole() && (e.is_connect() || passing.method.is_safe()) => {
                    why = e.without_url().to_string();
                }
                Err(e) => return Err(no_owner(e.without_url())),
            }
            if Instant::now() >= until {
                return Err(no_owner(why));
            }
            // No other owner yet is fine: the same one may be starting again.
            let _ = timeout_at(until.min(Instant::now() + AGAIN), owners.changed()).await;
        }
    }
}

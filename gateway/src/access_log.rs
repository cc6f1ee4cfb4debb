//! Log lines about access: sign-ins, refusals and changes, each with the caller, the address and the request id. They
//! go to the server's log under the target `fabric::access`. A client cannot flood the log: refusals are limited per
//! address and in total, and the next line reports the number of lines left out (test
//! `a_flood_of_one_address_leaves_lines_for_others_and_is_counted`).

use crate::{
    caller::{Caller, address_group},
    error::Refusal,
    paths::{FUNCTIONS_ROUTE, INVOKE_ROUTE},
    peers::Forwarded,
};
use axum::response::Response;
use fabric_types::{Code, rest::token::Role};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use std::{
    hash::Hash,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

/// Maximum lines of one key, and of all keys together, in a [`WINDOW`].
#[derive(Debug, Clone, Copy)]
struct Bounds {
    of_one: u32,
    of_all: u32,
}

/// Limits for refusals: per address, and in total.
const REFUSALS: Bounds = Bounds { of_one: 10, of_all: 120 };
/// Limits for changes: per tenant, and in total. Changes by admins are always logged.
const CHANGES: Bounds = Bounds { of_one: 120, of_all: 600 };
/// Limits for sign-ins: per tenant, and in total.
const SIGN_INS: Bounds = Bounds { of_one: 60, of_all: 300 };
/// Period over which lines are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// A token in use from an address is logged again after it was not used from there for this long.
const SIGNED_IN: Duration = Duration::from_secs(3600);
/// Maximum addresses, tenants and tokens that are remembered.
const REMEMBERED: u64 = 10_000;
/// Routes that carry data rather than settings. Their activity is recorded in usage, in invocation records and in the
/// store.
const DATA: [&str; 3] = [INVOKE_ROUTE, "/v1/objects/{*path}", "/v1/placements/explain"];

/// The caller of an answered request.
#[derive(Debug, Clone)]
pub(crate) struct RequestCaller(pub(crate) Caller);

/// An answered request.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    pub(crate) route: &'static str,
    /// The path of a request that changes something.
    pub(crate) path: Option<&'a str>,
    pub(crate) peer: SocketAddr,
    pub(crate) id: &'a str,
}

/// Lines written in the current window, and lines left out since the last written line.
#[derive(Debug)]
struct Count {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Count {
    fn new(now: Instant) -> Self {
        Self { since: now, written: 0, left_out: 0 }
    }

    fn has_room(&mut self, most: u32, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= WINDOW {
            (self.since, self.written) = (now, 0);
        }
        self.written < most
    }
}

/// A limiter for the lines of one kind.
struct Limiter<K: Hash + Eq + Send + Sync + 'static> {
    bounds: Bounds,
    by_key: moka::sync::Cache<K, Arc<Mutex<Count>>>,
    all: Mutex<Count>,
}

impl<K: Hash + Eq + Send + Sync + 'static> Limiter<K> {
    fn new(bounds: Bounds) -> Self {
        let by_key = moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_idle(WINDOW * 2).build();
        Self { bounds, by_key, all: Mutex::new(Count::new(Instant::now())) }
    }

    /// Returns the number of lines of this kind left out since the last one, or `None` if no line may be written at
    /// `now`.
    fn take(&self, key: K, now: Instant) -> Option<u64> {
        let own = self.by_key.get_with(key, || Arc::new(Mutex::new(Count::new(now))));
        let (mut own, mut all) = (own.lock(), self.all.lock());
        if !own.has_room(self.bounds.of_one, now) || !all.has_room(self.bounds.of_all, now) {
            all.left_out = all.left_out.saturating_add(1);
            return None;
        }
        own.written += 1;
        all.written += 1;
        Some(std::mem::take(&mut all.left_out))
    }
}

/// A writer of the access log.
pub(crate) struct AccessLog {
    refusals: Limiter<IpAddr>,
    changes: Limiter<String>,
    sign_ins: Limiter<String>,
    /// Tokens with the address groups that they were used from.
    signed_in: moka::sync::Cache<(String, IpAddr), ()>,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            refusals: Limiter::new(REFUSALS),
            changes: Limiter::new(CHANGES),
            sign_ins: Limiter::new(SIGN_INS),
            signed_in: moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_idle(SIGNED_IN).build(),
        }
    }
}

impl AccessLog {
    /// Logs an answered request that was a sign-in, a refusal or a change.
    pub(crate) fn note(&self, exchange: &Exchange<'_>, response: &Response) {
        let asked = response.extensions().get::<RequestCaller>().map(|asked| &asked.0);
        if let Some(caller) = asked {
            self.signed_in(exchange, caller);
        }
        if let Some(code) = refusal(exchange.route, response) {
            self.refused(exchange, code);
        } else if let (Some(path), Some(caller)) = (exchange.path, asked)
            && response.status().is_success()
            && !DATA.contains(&exchange.route)
        {
            self.changed(exchange, path, caller, response.status());
        }
    }

    fn signed_in(&self, exchange: &Exchange<'_>, caller: &Caller) {
        let address = address_group(exchange.peer.ip());
        let entry = self.signed_in.entry((caller.token.clone(), address)).or_insert(());
        if !entry.is_fresh() {
            return;
        }
        let Some(left_out) = self.sign_ins.take(caller.tenant.to_string(), Instant::now()) else { return };
        tracing::info!(
            target: "fabric::access", token = caller.token, name = caller.name.as_str(), tenant = %caller.tenant,
            role = %caller.role, peer = %exchange.peer.ip(), request_id = exchange.id, left_out, "signed in"
        );
    }

    fn refused(&self, exchange: &Exchange<'_>, code: Code) {
        let Some(left_out) = self.refusals.take(address_group(exchange.peer.ip()), Instant::now()) else { return };
        tracing::warn!(
            target: "fabric::access", %code, method = %exchange.method.as_str().get(..16).unwrap_or(exchange.method.as_str()),
            route = exchange.route, peer = %exchange.peer.ip(), request_id = exchange.id, left_out, "refused"
        );
    }

    fn changed(&self, exchange: &Exchange<'_>, path: &str, caller: &Caller, status: StatusCode) {
        let left_out = match caller.role {
            Role::Admin => 0,
            _ => match self.changes.take(caller.tenant.to_string(), Instant::now()) {
                Some(left_out) => left_out,
                None => return,
            },
        };
        tracing::info!(
            target: "fabric::access", token = caller.token, name = caller.name.as_str(), tenant = %caller.tenant,
            role = %caller.role, method = %exchange.method, path, status = status.as_u16(),
            peer = %exchange.peer.ip(), request_id = exchange.id, left_out, "changed"
        );
    }
}

/// Returns the code of a refusal; `None` if the request was not refused, or if a function sent the status.
fn refusal(route: &str, response: &Response) -> Option<Code> {
    if let Some(Refusal(code)) = response.extensions().get() {
        return Some(*code);
    }
    // The owner of the jobs refused the request. The owner logs it too, under the same request id, without the client's
    // address.
    let passed = response.extensions().get::<Forwarded>().is_some() && !matches!(route, FUNCTIONS_ROUTE | INVOKE_ROUTE);
    match response.status() {
        StatusCode::UNAUTHORIZED if passed => Some(Code::Unauthenticated),
        StatusCode::FORBIDDEN if passed => Some(Code::Denied),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_address_leaves_lines_for_others_and_is_counted() {
        let limiter = Limiter::new(Bounds { of_one: 2, of_all: 3 });
        let (now, flood, other) = (Instant::now(), "10.0.0.1", "10.0.0.2");
        assert_eq!((limiter.take(flood, now), limiter.take(flood, now)), (Some(0), Some(0)));
        assert_eq!((limiter.take(flood, now), limiter.take(flood, now)), (None, None));
        assert_eq!(limiter.take(other, now), Some(2), "the next line says how many were left out");
        assert_eq!(limiter.take(other, now), None, "all together have a bound too");
        let later = now + WINDOW;
        assert_eq!(limiter.take(flood, later), Some(1));
    }
}

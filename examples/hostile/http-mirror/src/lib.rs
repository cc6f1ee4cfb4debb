//! An http function that echoes its request and responds as instructed by request headers. The echo must not contain a
//! caller's secrets, and the response must not affect other functions. The headers:
//!
//! - `answer-status: STATUS`, `answer-header: NAME: VALUE`, `answer-trailer: NAME: VALUE`
//! - `answer-bytes: N` sets the body to N bytes of `x` instead of the echo.
//! - `answer-then: panic` fails before the response begins; `panic-after-head` and `panic-after-body` fail later and
//!   leave the body unfinished; `spin` and `spin-after-body` run until a limit ends them.
#![cfg(target_family = "wasm")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam, Scheme,
};

struct Mirror;

/// Reads a request's body to its end and returns its trailers.
fn trailers(body: IncomingBody) -> Vec<(String, Vec<u8>)> {
    if let Ok(stream) = body.stream() {
        while stream.blocking_read(4096).is_ok() {}
    }
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    match trailers.get() {
        Some(Ok(Ok(Some(fields)))) => fields.entries(),
        _ => Vec::new(),
    }
}

/// Uses some fuel, logs a line, and runs forever.
fn spin() {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
        if n == 1_000_000 {
            eprintln!("spinning");
        }
    }
}

impl Guest for Mirror {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let scheme = match request.scheme() {
            Some(Scheme::Http) => "http".to_owned(),
            Some(Scheme::Https) => "https".to_owned(),
            Some(Scheme::Other(other)) => other,
            None => String::new(),
        };
        let mut text = format!(
            "scheme: {scheme}\nauthority: {}\ntarget: {}\n",
            request.authority().unwrap_or_default(),
            request.path_with_query().unwrap_or_default()
        );
        let (headers, after, mut status, mut then) = (Fields::new(), Fields::new(), 200, String::new());
        let (mut bytes, mut has_trailers) = (None, false);
        for (name, value) in request.headers().entries() {
            let value = String::from_utf8_lossy(&value).into_owned();
            match name.as_str() {
                "answer-status" => status = value.parse().unwrap_or(200),
                "answer-bytes" => bytes = value.parse::<usize>().ok(),
                "answer-then" => then = value,
                "answer-header" => {
                    if let Some((name, value)) = value.split_once(": ") {
                        let _ = headers.append(name, value.as_bytes());
                    }
                }
                "answer-trailer" => {
                    if let Some((name, value)) = value.split_once(": ") {
                        has_trailers = true;
                        let _ = after.append(name, value.as_bytes());
                    }
                }
                _ => text.push_str(&format!("{name}: {value}\n")),
            }
        }
        if let Ok(body) = request.consume() {
            for (name, value) in trailers(body) {
                text.push_str(&format!("trailer {name}: {}\n", String::from_utf8_lossy(&value)));
            }
        }
        match then.as_str() {
            "panic" => panic!("told to fail"),
            "spin" => spin(),
            _ => {}
        }
        let response = OutgoingResponse::new(headers);
        let _ = response.set_status_code(status);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        if then == "panic-after-head" {
            panic!("told to fail after the head");
        }
        let text = bytes.map_or(text, |bytes| "x".repeat(bytes));
        if let Ok(stream) = body.write() {
            for piece in text.as_bytes().chunks(4096) {
                if stream.blocking_write_and_flush(piece).is_err() {
                    break;
                }
            }
        }
        match then.as_str() {
            "panic-after-body" => panic!("told to fail after the body"),
            "spin-after-body" => spin(),
            _ => {}
        }
        let _ = OutgoingBody::finish(body, has_trailers.then_some(after));
    }
}

wasip2::http::proxy::export!(Mirror);

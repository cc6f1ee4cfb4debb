//! A minimal HTTP function for benches: a `wasi:http/proxy` component that returns a greeting, the path and the query.
//!
//! It runs unchanged under `fabric` and under `wasmtime serve -Scli`.
#![cfg(target_family = "wasm")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target.as_str(), ""));
        let mut text = String::with_capacity(64 + target.len());
        text.push_str("Hello from Fabric!\npath: ");
        text.push_str(path);
        text.push_str("\nquery: ");
        text.push_str(query);
        text.push('\n');

        let headers = Fields::new();
        // The name and the value are valid constants, so the host does not refuse them.
        let _ = headers.append("content-type", b"text/plain; charset=utf-8");
        let response = OutgoingResponse::new(headers);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            // One write is limited to 4 KiB. Only a target of several KiB needs more than one.
            for piece in text.as_bytes().chunks(4096) {
                if stream.blocking_write_and_flush(piece).is_err() {
                    break;
                }
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(Hello);

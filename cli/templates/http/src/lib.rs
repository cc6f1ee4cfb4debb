//! An HTTP function: `curl -H "Authorization: Bearer …" SERVER/f/TENANT/{{name}}/some/path`.
//! Any host of `wasi:http/proxy` components runs it.
#![cfg(target_family = "wasm")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Handler;

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let text = format!("Hello from {{name}}! You asked for {}\n", request.path_with_query().unwrap_or_default());

        let headers = Fields::new();
        let _ = headers.append("content-type", b"text/plain; charset=utf-8");
        let response = OutgoingResponse::new(headers);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            // One write takes at most 4096 bytes.
            for piece in text.as_bytes().chunks(4096) {
                if stream.blocking_write_and_flush(piece).is_err() {
                    break;
                }
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(Handler);

//! An http function with an endless response. The response has begun with status 200 when the limit is reached, so the
//! host can only abort the body: the caller sees an error, never a complete response. At `/bodies/N` it first fills the
//! bodies of N requests that it never sends.
#![cfg(target_family = "wasm")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingRequest, OutgoingResponse, ResponseOutparam};

struct Flood;

/// Writes to request bodies until the host accepts no more bytes, and keeps the bodies.
fn fill_bodies(count: usize) -> Vec<impl Sized> {
    let full = |_| {
        let request = OutgoingRequest::new(Fields::new());
        let body = request.body().ok()?;
        let stream = body.write().ok()?;
        while let Ok(room @ 1..) = stream.check_write() {
            stream.write(&vec![b'x'; room as usize]).ok()?;
        }
        Some((stream, body, request))
    };
    (0..count).map_while(full).collect()
}

impl Guest for Flood {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let _kept = path.rsplit_once("/bodies/").and_then(|(_, count)| count.parse().ok()).map(fill_bodies);
        let response = OutgoingResponse::new(Fields::new());
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        let Ok(stream) = body.write() else { return };
        let piece = [b'x'; 4096];
        // Continues after an error: the host must end it when the connection is closed.
        loop {
            let _ = stream.blocking_write_and_flush(&piece);
        }
    }
}

wasip2::http::proxy::export!(Flood);

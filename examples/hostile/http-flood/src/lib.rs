//! An http function whose answer never ends. It has begun with status 200 when the limit strikes, so all that is left is
//! to break the body off: the caller sees an error, never a whole answer.
#![cfg(target_family = "wasm")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

struct Flood;

impl Guest for Flood {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        let Ok(stream) = body.write() else { return };
        let piece = [b'x'; 4096];
        // It goes on after an error, too: a broken connection must end it, not its good will.
        loop {
            let _ = stream.blocking_write_and_flush(&piece);
        }
    }
}

wasip2::http::proxy::export!(Flood);

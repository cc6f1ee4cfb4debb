//! An http function that shows what it was sent and answers what it is told to: the status of `answer-status`, and each
//! `answer-header: NAME: VALUE`. No secret of a caller may be in what it shows, and nothing that it says may reach beyond it.
#![cfg(target_family = "wasm")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Mirror;

impl Guest for Mirror {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let mut text = format!(
            "authority: {}\ntarget: {}\n",
            request.authority().unwrap_or_default(),
            request.path_with_query().unwrap_or_default()
        );
        let (headers, mut status) = (Fields::new(), 200);
        for (name, value) in request.headers().entries() {
            let value = String::from_utf8_lossy(&value).into_owned();
            match name.as_str() {
                "answer-status" => status = value.parse().unwrap_or(200),
                "answer-header" => {
                    if let Some((name, value)) = value.split_once(": ") {
                        let _ = headers.append(name, value.as_bytes());
                    }
                }
                _ => text.push_str(&format!("{name}: {value}\n")),
            }
        }
        let response = OutgoingResponse::new(headers);
        let _ = response.set_status_code(status);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            for piece in text.as_bytes().chunks(4096) {
                if stream.blocking_write_and_flush(piece).is_err() {
                    break;
                }
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(Mirror);

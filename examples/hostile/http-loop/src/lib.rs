//! An http function that runs forever and never responds. The caller receives `out-of-fuel`, or `deadline`.
#![cfg(target_family = "wasm")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Loop;

impl Guest for Loop {
    fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
        let mut n = 0_u64;
        loop {
            n = std::hint::black_box(n.wrapping_add(1));
        }
    }
}

wasip2::http::proxy::export!(Loop);

//! A handler and a mapper that do no work, so that the benches measure the overhead of the fabric.

use fabric::{Bytes, Input};

/// Returns the request's body.
#[fabric::handler]
fn echo(body: Bytes) -> Bytes {
    body
}

/// Reads nothing and returns one byte.
#[fabric::map]
fn nothing(_input: Input) -> Bytes {
    Bytes(b"0".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_what_the_benches_expect() {
        assert_eq!(echo(Bytes(b"abc".to_vec())).0, b"abc");
        assert_eq!(nothing(Input::from_bytes("ignored")).0, b"0");
    }
}

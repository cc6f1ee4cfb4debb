//! Does nothing, through both entries: what is left is the fabric's own cost. Used by the benches.

use fabric::{Bytes, Input};

/// Gives the request's body back.
#[fabric::handler]
fn echo(body: Bytes) -> Bytes {
    body
}

/// Reads nothing and gives one byte.
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

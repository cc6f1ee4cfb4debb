//! The addresses that a server may listen on.

use std::net::SocketAddr;

/// The error for an address that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {addr}: {missing}; add them, listen on 127.0.0.1, or pass --insecure-listen to listen anyway"
)]
pub struct Refused {
    /// The refused address.
    pub addr: SocketAddr,
    /// The missing protection.
    pub missing: &'static str,
}

/// Checks an address to listen on. Beyond loopback, tokens must not travel in clear text and must have been created
/// explicitly.
///
/// # Errors
/// [`Refused`] unless the address is loopback, there are both TLS and tokens, or `forced` is set.
pub fn check_listen(addr: SocketAddr, tls: bool, tokens: bool, forced: bool) -> Result<(), Refused> {
    if forced || addr.ip().to_canonical().is_loopback() || (tls && tokens) {
        return Ok(());
    }
    let missing = match (tls, tokens) {
        (false, false) => "other machines could reach it, and it has neither TLS nor tokens of its own",
        (false, true) => "other machines could reach it, and it has no TLS",
        _ => "other machines could reach it, and it has no tokens of its own",
    };
    Err(Refused { addr, missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_open_without_ceremony() {
        let local: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:80".parse().unwrap();
        let any: SocketAddr = "0.0.0.0:80".parse().unwrap();
        assert_eq!(check_listen(local, false, false, false), Ok(()));
        assert_eq!(check_listen(mapped, false, false, false), Ok(()));
        assert_eq!(check_listen(any, true, true, false), Ok(()));
        assert_eq!(check_listen(any, false, false, true), Ok(()));
        for (tls, tokens) in [(false, false), (true, false), (false, true)] {
            let refused = check_listen(any, tls, tokens, false).unwrap_err();
            assert!(refused.to_string().contains("--insecure-listen"));
        }
    }
}

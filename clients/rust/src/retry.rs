//! Retry policy and backoff. Pure functions: the caller supplies the random fraction.

use fabric_types::Code;
use std::time::Duration;

const BASE: Duration = Duration::from_millis(100);
const CEILING: Duration = Duration::from_secs(5);
/// Longest pause that the server may request. Longer ones are cut to it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Returns the pause before attempt `attempt + 1`: exponential backoff with full jitter (`fraction` in 0..=1 of the
/// window), or the server's `Retry-After`.
pub(crate) fn backoff(attempt: u32, fraction: f64, asked: Option<Duration>) -> Duration {
    if let Some(asked) = asked {
        return asked.min(MAX_RETRY_AFTER);
    }
    let window = BASE.saturating_mul(1_u32 << attempt.min(10)).min(CEILING);
    window.mul_f64(fraction.clamp(0.0, 1.0)).max(Duration::from_millis(10))
}

/// Returns `true` if the same request may succeed soon after a response with this code. `function-retryable` is not
/// included: the caller decides on calling a failed function again.
pub(crate) fn should_retry(code: Code) -> bool {
    matches!(code, Code::TooManyRequests | Code::Unavailable | Code::StoreUnavailable | Code::NodeLost)
}

/// Returns a random fraction for [`backoff`].
pub(crate) fn random_fraction() -> f64 {
    let mut byte = [0_u8; 2];
    if getrandom::fill(&mut byte).is_err() {
        return 0.5;
    }
    f64::from(u16::from_le_bytes(byte)) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_ceiling_and_the_servers_word_counts() {
        assert_eq!(backoff(0, 1.0, None), BASE);
        assert_eq!(backoff(1, 1.0, None), BASE * 2);
        assert_eq!(backoff(30, 1.0, None), CEILING);
        assert_eq!(backoff(3, 0.0, None), Duration::from_millis(10));
        assert_eq!(backoff(0, 1.0, Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(backoff(0, 1.0, Some(Duration::from_secs(9999))), MAX_RETRY_AFTER);
    }

    #[test]
    fn a_guests_own_failure_is_not_repeated() {
        assert!(should_retry(Code::Unavailable));
        assert!(!should_retry(Code::FunctionRetryable));
        assert!(!should_retry(Code::Internal));
    }
}

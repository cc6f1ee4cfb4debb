//! When a request is sent again, and after how long. Pure: the random share is handed in.

use fabric_types::Code;
use std::time::Duration;

const BASE: Duration = Duration::from_millis(100);
const CEILING: Duration = Duration::from_secs(5);
/// A server may ask for a pause; longer ones than this are left to the caller.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// The pause before attempt `attempt + 1`: exponential with full jitter (`share` in 0..=1 of the window), or what the
/// server asked for.
pub(crate) fn pause(attempt: u32, share: f64, asked: Option<Duration>) -> Duration {
    if let Some(asked) = asked {
        return asked.min(LONGEST_ASKED);
    }
    let window = BASE.saturating_mul(1_u32 << attempt.min(10)).min(CEILING);
    window.mul_f64(share.clamp(0.0, 1.0)).max(Duration::from_millis(10))
}

/// Whether an answer with this code says that the same request may be answered well in a moment. A guest's own
/// `function-retryable` is not one: whether to call again is the caller's decision.
pub(crate) fn worth_repeating(code: Code) -> bool {
    matches!(code, Code::TooManyRequests | Code::Unavailable | Code::StoreUnavailable | Code::NodeLost)
}

/// A random share for [`pause`].
pub(crate) fn share() -> f64 {
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
        assert_eq!(pause(0, 1.0, None), BASE);
        assert_eq!(pause(1, 1.0, None), BASE * 2);
        assert_eq!(pause(30, 1.0, None), CEILING);
        assert_eq!(pause(3, 0.0, None), Duration::from_millis(10));
        assert_eq!(pause(0, 1.0, Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(pause(0, 1.0, Some(Duration::from_secs(9999))), LONGEST_ASKED);
    }

    #[test]
    fn a_guests_own_failure_is_not_repeated() {
        assert!(worth_repeating(Code::Unavailable));
        assert!(!worth_repeating(Code::FunctionRetryable));
        assert!(!worth_repeating(Code::Internal));
    }
}

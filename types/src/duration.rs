//! Durations as text, such as `45s`, `10m`, `2h`, `30d` or `4w`.

use std::time::Duration;

/// Parses `45s`, `10m`, `2h`, `30d` or `4w`.
///
/// # Errors
/// The text, with the valid forms.
pub fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration: write 45s, 10m, 2h, 30d or 4w");
    let (at, unit) = text.char_indices().last().ok_or_else(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(bad()),
    };
    let count: u64 = text.get(..at).unwrap_or_default().parse().map_err(|_| bad())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(bad)
}

/// Formats a duration in the form that [`parse`] reads, with the largest unit that divides it. Drops fractions of a
/// second.
#[must_use]
pub fn format(duration: Duration) -> String {
    let s = duration.as_secs();
    [(86_400, 'd'), (3600, 'h'), (60, 'm')]
        .into_iter()
        .find(|(unit, _)| s >= *unit && s.is_multiple_of(*unit))
        .map_or_else(|| format!("{s}s"), |(unit, name)| format!("{}{name}", s / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_survive_a_round_trip() {
        for (text, seconds) in [("45s", 45), ("10m", 600), ("2h", 7200), ("30d", 2_592_000)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
            assert_eq!(format(Duration::from_secs(seconds)), text);
        }
        assert_eq!(parse("1w").map(format), Ok("7d".to_owned()));
        for bad in ["", "h", "2x", "-1s", "99999999999999999999s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

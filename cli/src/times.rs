//! Parses and formats moments, and formats durations for people.

use fabric_types::duration;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the current time in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment, relative to now or absolute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Time before now.
    Ago(Duration),
    /// Milliseconds since 1970.
    At(u64),
}

impl Moment {
    /// Returns the moment in milliseconds since 1970.
    pub fn ms(self, now_ms: u64) -> u64 {
        match self {
            Self::Ago(d) => now_ms.saturating_sub(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            Self::At(ms) => ms,
        }
    }
}

/// Parses a duration (time before now), `2026-11-22` (midnight UTC), or `2026-11-22T10:00:00Z`.
pub fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(ago) = duration::parse(text) {
        return Ok(Moment::Ago(ago));
    }
    let at = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let date: jiff::civil::Date = text.parse().ok()?;
        date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp())
    });
    at.and_then(|t| u64::try_from(t.as_millisecond()).ok())
        .map(Moment::At)
        .ok_or_else(|| format!("`{text}` is not a moment: write 2h (ago), 2026-11-22 or 2026-11-22T10:00:00Z"))
}

/// Formats a time difference as `3s ago`, `5m ago`, `2h ago` or `9d ago`.
pub fn format_age(then_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1000;
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86_400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// Formats a duration as `12 ms`, `3.4 s`, `5m 06s` or `2h 03m`.
pub fn format_duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h {:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// Formats a moment as `2026-11-22T10:00:00.123Z`.
pub fn format_timestamp(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| ms.to_string(), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read() {
        assert_eq!(moment("2h").map(|m| m.ms(7_200_001)), Ok(1));
        assert_eq!(moment("1970-01-02"), Ok(Moment::At(86_400_000)));
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Moment::At(1000)));
        for bad in ["", "h", "2x", "tomorrow", "1969-01-01", "1970-13-01"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_print() {
        assert_eq!(format_age(0, 7_300_000), "2h ago");
        assert_eq!(
            (format_duration(12), format_duration(3_400), format_duration(306_000)),
            ("12 ms".into(), "3.4 s".into(), "5m 06s".into())
        );
        assert_eq!(format_timestamp(1_000), "1970-01-01T00:00:01.000Z");
    }
}

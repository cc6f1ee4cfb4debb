//! Large numbers as people write and read them: fuel, counts.

/// Reads `1000`, `1_000`, `10k`, `2.5M`, `10G`, `1T`.
pub fn parse(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a number: write 1000000, 500k, 20M, 10G or 1T");
    let plain = text.replace('_', "");
    let (digits, factor) = match plain.char_indices().last() {
        Some((at, unit @ ('k' | 'K' | 'm' | 'M' | 'g' | 'G' | 't' | 'T'))) => {
            let factor = match unit.to_ascii_lowercase() {
                'k' => 1_000_u64,
                'm' => 1_000_000,
                'g' => 1_000_000_000,
                _ => 1_000_000_000_000,
            };
            (plain.get(..at).unwrap_or_default().to_owned(), factor)
        }
        _ => (plain, 1),
    };
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(bad);
    }
    let value = digits.parse::<f64>().map_err(|_| bad())? * factor as f64;
    if digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && value.is_finite() && value < 1.8e19 {
        Ok(value as u64)
    } else {
        Err(bad())
    }
}

/// Writes `999`, `1.2k`, `34.5M`, `6.7G`.
pub fn short(n: u64) -> String {
    for (unit, size) in [("T", 1_000_000_000_000_u64), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)] {
        if n >= size {
            return format!("{:.1}{unit}", n as f64 / size as f64);
        }
    }
    n.to_string()
}

/// Writes `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// Writes `1 task`, `2 tasks`.
pub fn counted(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_and_print() {
        for (text, n) in [("0", 0), ("1_000", 1000), ("10k", 10_000), ("2.5M", 2_500_000), ("1T", 1_000_000_000_000)] {
            assert_eq!(parse(text), Ok(n), "{text}");
        }
        for bad in ["", "k", "-1", "1e5", "nan", "inf", "99999999999T", "1.2.3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!((short(999), short(1_234_567)), ("999".into(), "1.2M".into()));
        assert_eq!((counted(1, "task"), counted(1000, "task")), ("1 task".into(), "1,000 tasks".into()));
        assert_eq!((grouped(0), grouped(1_234_567)), ("0".into(), "1,234,567".into()));
    }
}

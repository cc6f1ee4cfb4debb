//! Formats large numbers, such as fuel and counts, for people. `fabric_types::count` parses them.

/// Formats a number as `999`, `1.2k`, `34.5M` or `6.7G`.
pub fn short(n: u64) -> String {
    for (unit, size) in [("T", 1_000_000_000_000_u64), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)] {
        if n >= size {
            return format!("{:.1}{unit}", n as f64 / size as f64);
        }
    }
    n.to_string()
}

/// Formats a number as `1,234,567`.
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

/// Formats a count as `1 task` or `2 tasks`.
pub fn counted(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_shortly() {
        assert_eq!((short(999), short(1_234_567)), ("999".into(), "1.2M".into()));
        assert_eq!((counted(1, "task"), counted(1000, "task")), ("1 task".into(), "1,000 tasks".into()));
        assert_eq!((grouped(0), grouped(1_234_567)), ("0".into(), "1,234,567".into()));
    }
}

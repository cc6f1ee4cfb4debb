//! A user's name as part of a tenant's name. The Hub allows nearly any text. A tenant's name has only lower-case
//! letters, digits and hyphens, and no two users may share one.

/// Maximum characters of a name that is used unchanged.
const PLAIN: usize = 40;
/// Readable characters of any other name.
const READABLE: usize = 24;
/// Hexadecimal digits of the hash that distinguishes such names: 64 bits, so that a second name for a hash cannot be
/// found in practice.
const DIGITS: usize = 16;
/// Maximum characters of a result.
pub(super) const LONGEST: usize = READABLE + 2 + DIGITS;

fn is_plain(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=PLAIN).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// Returns the name if it is plain, else its readable characters, `--`, and a hash, so that two names give different
/// results.
pub(super) fn of(name: &str) -> String {
    if is_plain(name) {
        return name.to_owned();
    }
    let mut readable = String::new();
    for c in name.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => readable.push(c),
            _ if readable.ends_with('-') || readable.is_empty() => {}
            _ => readable.push('-'),
        }
        if readable.len() == READABLE {
            break;
        }
    }
    let readable = readable.trim_end_matches('-');
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let (digits, _) = hash.split_at(DIGITS);
    format!("{}--{digits}", if readable.is_empty() { "x" } else { readable })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_types::id::TenantId;
    use proptest::prelude::*;

    #[test]
    fn plain_names_are_kept_and_others_readable() {
        assert_eq!(of("alice"), "alice");
        assert_eq!(of("a-1"), "a-1");
        assert!(of("Zoë.O'Neil@example.org").starts_with("zo-o-neil-example-org--"));
        assert_ne!(of("Alice"), of("ALICE"));
        assert!(of("ж").starts_with("x--"));
    }

    proptest! {
        #[test]
        fn each_is_a_part_of_a_valid_name_and_no_two_are_alike(a in ".{1,80}", b in "[a-zA-Z0-9@._-]{1,50}") {
            for name in [&a, &b] {
                prop_assert!(of(name).len() <= LONGEST);
                prop_assert!(TenantId::new(format!("hub-{}", of(name))).is_ok(), "{}", of(name));
            }
            prop_assume!(a != b);
            prop_assert_ne!(of(&a), of(&b));
            // The result for another name may itself be the name of a user.
            prop_assume!(of(&a) != a);
            prop_assert_ne!(of(&of(&a)), of(&a));
        }
    }
}

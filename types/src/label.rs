//! Labels of nodes, and what functions and jobs ask of them.
//!
//! They follow Kubernetes: a key is a name of at most 63 characters, perhaps behind a prefix and a slash; a value has at
//! most 63 and may be empty. A selector is a set of labels that a node must have, all of them, with these very values.

use std::collections::BTreeMap;

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

/// Most labels of one node, and in one selector.
pub const MOST: usize = 64;

/// Text that is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no label: write KEY=VALUE, each of at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a \
     letter or digit; a key may have a prefix such as `example.com/`, a value may be empty"
)]
pub struct InvalidLabel(pub String);

fn is_word(text: &str, most: usize) -> bool {
    let bytes = text.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= most
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Checks a label.
///
/// # Errors
/// [`InvalidLabel`].
pub fn check(key: &str, value: &str) -> Result<(), InvalidLabel> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let good = is_word(name, 63) && prefix.is_none_or(|p| is_word(p, 253)) && (value.is_empty() || is_word(value, 63));
    if good { Ok(()) } else { Err(InvalidLabel(format!("{key}={value}").chars().take(160).collect())) }
}

/// Checks every label, and that there are not too many.
///
/// # Errors
/// The first that is wrong, in words.
pub fn check_all(labels: &Labels) -> Result<(), String> {
    if labels.len() > MOST {
        return Err(format!("{} labels are too many: give at most {MOST}", labels.len()));
    }
    labels.iter().try_for_each(|(key, value)| check(key, value).map_err(|e| e.to_string()))
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// [`InvalidLabel`].
pub fn parse(text: &str) -> Result<(String, String), InvalidLabel> {
    let (key, value) = text.split_once('=').ok_or_else(|| InvalidLabel(text.chars().take(160).collect()))?;
    check(key, value).map(|()| (key.to_owned(), value.to_owned()))
}

/// Labels as people write them: `gpu=true, zone=a`.
#[must_use]
pub fn show(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn labels_read_and_rubbish_does_not() {
        assert_eq!(parse("zone=a").unwrap(), ("zone".to_owned(), "a".to_owned()));
        assert!(parse("example.com/Disk_2=").is_ok() && parse("a=1.2-x").is_ok());
        let long = format!("{}=a", "k".repeat(64));
        for bad in ["", "zone", "=a", "zone=a b", "zone=a=b", "a/b/c=d", "-a=b", "a-=b", "a=é", "a=b\n", &long] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let many = (0..65).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(check_all(&many).unwrap_err().contains("at most 64"));
    }
}

//! Labels of nodes, and the selectors with which functions and jobs match them.
//!
//! They follow Kubernetes: a key is a name of at most 63 characters, with an optional prefix and a slash; a value has
//! at most 63 characters and may be empty. A selector is a set of labels, and a node must have all of them with the
//! same values.

use std::collections::BTreeMap;

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

/// Maximum number of labels of one node or in one selector.
pub const MOST: usize = 64;

/// Text that is not a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a label: write KEY=VALUE, each of at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a \
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
/// [`InvalidLabel`] if the key or the value breaks the rules.
pub fn check(key: &str, value: &str) -> Result<(), InvalidLabel> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let good = is_word(name, 63) && prefix.is_none_or(|p| is_word(p, 253)) && (value.is_empty() || is_word(value, 63));
    if good { Ok(()) } else { Err(InvalidLabel(format!("{key}={value}").chars().take(160).collect())) }
}

/// Checks every label and their number.
///
/// # Errors
/// A message about the first invalid label, or about their number.
pub fn check_all(labels: &Labels) -> Result<(), String> {
    if labels.len() > MOST {
        return Err(format!("{} labels are too many: give at most {MOST}", labels.len()));
    }
    labels.iter().try_for_each(|(key, value)| check(key, value).map_err(|e| e.to_string()))
}

/// Parses `KEY=VALUE`.
///
/// # Errors
/// [`InvalidLabel`] if the text has no `=`, or if the key or the value breaks the rules.
pub fn parse(text: &str) -> Result<(String, String), InvalidLabel> {
    let (key, value) = text.split_once('=').ok_or_else(|| InvalidLabel(text.chars().take(160).collect()))?;
    check(key, value).map(|()| (key.to_owned(), value.to_owned()))
}

/// Formats labels as `gpu=true, zone=a`.
#[must_use]
pub fn show(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
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

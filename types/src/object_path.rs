//! Object paths, validated where they enter: in the client before a request is sent, and in the server for all clients.

use crate::{Code, Fault};
use std::{fmt, sync::Arc};

/// Maximum length of a path in bytes.
const MAX_PATH: usize = 1024;
/// Maximum length of a segment in bytes. A file name may have 255, and the local store appends a suffix.
const MAX_SEGMENT: usize = 240;

/// Text that is not an object path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not an object path: {rule}")]
pub struct InvalidObjectPath {
    path: String,
    rule: &'static str,
}

impl InvalidObjectPath {
    /// Creates the error for `path`, of which it stores 80 characters, and the rule that it breaks.
    #[must_use]
    pub fn new(path: &str, rule: &'static str) -> Self {
        Self { path: path.chars().take(80).flat_map(char::escape_debug).collect(), rule }
    }

    /// A hint that describes the syntax of object paths.
    pub const HINT: &'static str = "use names separated by single slashes, as in `weather/2013.csv`, without `.`, `..`, backslashes or control characters";
}

impl From<InvalidObjectPath> for Fault {
    fn from(error: InvalidObjectPath) -> Self {
        Self::new(Code::InvalidPath, error.to_string()).hint(InvalidObjectPath::HINT)
    }
}

fn invalid(path: &str, rule: &'static str) -> InvalidObjectPath {
    InvalidObjectPath::new(path, rule)
}

fn check(text: &str) -> Result<(), InvalidObjectPath> {
    if text.len() > MAX_PATH {
        return Err(invalid(text, "it is longer than 1024 bytes"));
    }
    if text.starts_with('/') {
        return Err(invalid(text, "it begins with a slash"));
    }
    for segment in text.split('/') {
        match segment {
            "" => return Err(invalid(text, "a name between slashes is empty")),
            "." | ".." => return Err(invalid(text, "`.` and `..` are not names")),
            _ if segment.len() > MAX_SEGMENT => {
                return Err(invalid(text, "a name between slashes is longer than 240 bytes"));
            }
            _ => {}
        }
    }
    if text.contains('\\') {
        return Err(invalid(text, "it has a backslash"));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(text, "it has a control character"));
    }
    Ok(())
}

/// The path of an object within its tenant: 1 to 1024 bytes of UTF-8, with names of at most 240 bytes separated by
/// single slashes, and without `.`, `..`, backslashes and control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectPath(Arc<str>);

impl ObjectPath {
    /// Validates `text`.
    ///
    /// # Errors
    /// [`InvalidObjectPath`] with the rule that `text` breaks.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidObjectPath> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(invalid(text, "it is empty"));
        }
        if text.ends_with('/') {
            return Err(invalid(text, "it ends with a slash, so it names a prefix and not an object"));
        }
        check(text)?;
        Ok(Self(text.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text, sharing its allocation.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ObjectPath {
    type Err = InvalidObjectPath;
    fn from_str(text: &str) -> Result<Self, InvalidObjectPath> {
        Self::new(text)
    }
}

/// A prefix of object paths: empty (all objects), or text such as `weather/` (all objects below it) or `weather/2013-`
/// (all paths that begin with it).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectPrefix(String);

impl ObjectPrefix {
    /// Validates `text`.
    ///
    /// # Errors
    /// [`InvalidObjectPath`] with the rule that `text` breaks.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidObjectPath> {
        let text = text.as_ref();
        if !text.is_empty() {
            check(text.strip_suffix('/').unwrap_or(text))?;
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the folder that contains it, without the trailing slash; empty for the root.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_rules() {
        let long_name = "x".repeat(240);
        for good in ["a", "a/b.csv", "mit Leerzeichen/ü%20ñ/日本", "...", "a/..b", ".hidden", "~a{}[]", &long_name]
        {
            assert_eq!(ObjectPath::new(good).unwrap().as_str(), good);
        }
        let deep = ["x"; 600].join("/");
        let long = "x".repeat(241);
        for bad in
            ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\\b", "a\0b", "a\nb", "a\u{85}", &deep, &long]
        {
            let error = ObjectPath::new(bad).unwrap_err();
            assert!(!error.to_string().contains('\0'));
            let fault = Fault::from(error);
            assert_eq!(fault.code, Code::InvalidPath, "{bad:?}");
            assert!(fault.hint.is_some());
        }
    }

    #[test]
    fn prefixes_may_end_anywhere_but_never_climb() {
        for (good, folder) in [("", ""), ("a", ""), ("a/", "a"), ("a/b", "a"), ("a/b/c-", "a/b")] {
            assert_eq!(ObjectPrefix::new(good).unwrap().folder(), folder);
        }
        for bad in ["/", "//", "../", "a/../", "a//", "a\\"] {
            assert!(ObjectPrefix::new(bad).is_err(), "{bad:?}");
        }
    }
}

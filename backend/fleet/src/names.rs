//! Conversion between names (keys, stream names, lease names) and object paths.
//!
//! A name is split at its slashes. The last piece becomes a leaf, every other piece a folder. Leaves begin with `=` and
//! folders do not, so `a` and `a/b` can both exist even if the store cannot have a folder and an object of the same
//! name (SeaweedFS, local disks). Bytes other than ASCII letters, digits, `-` and `_` are encoded as `.` and two
//! hexadecimal digits. Paths do not sort as names do, and the order differs between stores, so callers sort listed
//! names.

use fabric_backend::Error;
use object_store::path::Path;

/// Maximum length of a path below the root of the fabric in bytes. S3 allows 1,024 for the whole key.
const LONGEST: usize = 900;

/// The folder for an empty piece, as in `a//b`. No encoded piece equals it, since `.` is always followed by two digits.
const EMPTY: &str = "=.";

fn encode(piece: &str, out: &mut String) {
    for byte in piece.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            out.push(char::from(byte));
        } else {
            out.push('.');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
    }
}

fn decode(piece: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(piece.len());
    let mut rest = piece.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'.' {
            let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            bytes.push(digit()? << 4 | digit()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Returns the path of `name` below `root`.
///
/// # Errors
/// [`Error::Backend`], not retryable, if the name is too long for a store.
pub(crate) fn leaf(root: &Path, name: &str) -> Result<Path, Error> {
    let mut path = root.clone();
    let mut pieces = name.split('/').peekable();
    let mut length = 0;
    while let Some(piece) = pieces.next() {
        let part = if pieces.peek().is_some() { folder_part(piece) } else { leaf_part(piece) };
        length += part.len() + 1;
        path = path.join(part);
    }
    if length > LONGEST {
        return Err(Error::Backend {
            backend: "object store",
            context: format!("the name `{}…` is too long", name.chars().take(80).collect::<String>()),
            source: format!("{length} bytes when encoded, at most {LONGEST}").into(),
            retryable: false,
        });
    }
    Ok(path)
}

fn folder_part(piece: &str) -> String {
    if piece.is_empty() {
        return EMPTY.to_owned();
    }
    let mut part = String::with_capacity(piece.len());
    encode(piece, &mut part);
    part
}

fn leaf_part(piece: &str) -> String {
    let mut part = String::with_capacity(piece.len() + 1);
    part.push('=');
    encode(piece, &mut part);
    part
}

/// Returns the folder that contains every name which begins with `prefix`, and that folder's own name, empty or ending
/// in `/`.
pub(crate) fn folder<'a>(root: &Path, prefix: &'a str) -> (Path, &'a str) {
    let name = prefix.rfind('/').and_then(|at| prefix.get(..=at)).unwrap_or_default();
    let mut path = root.clone();
    for piece in name.strip_suffix('/').map(|n| n.split('/')).into_iter().flatten() {
        path = path.join(folder_part(piece));
    }
    (path, name)
}

/// The meaning of one part of a listed path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The last piece of a name.
    Leaf(String),
    /// A piece that is followed by others.
    Folder(String),
}

/// Decodes one part. Returns `None` if this module never writes it.
pub(crate) fn part(part: &str) -> Option<Part> {
    if part == EMPTY {
        return Some(Part::Folder(String::new()));
    }
    match part.strip_prefix('=') {
        Some(leaf) => decode(leaf).map(Part::Leaf),
        None => decode(part).map(Part::Folder),
    }
}

/// Returns the name of a path created by [`leaf`] below the same root, or `None` for any other path.
pub(crate) fn name(root: &Path, path: &Path) -> Option<String> {
    let mut name = String::new();
    let mut ended = false;
    for piece in path.prefix_match(root)? {
        if ended {
            return None;
        }
        match part(piece.as_ref())? {
            Part::Folder(text) => {
                name.push_str(&text);
                name.push('/');
            }
            Part::Leaf(text) => {
                name.push_str(&text);
                ended = true;
            }
        }
    }
    ended.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let root = Path::from("some/root");
        let names = [
            "",
            "/",
            "a",
            "a/",
            "a//b",
            "//",
            "a/b",
            "é/ü",
            "t/a/\u{10ffff}",
            "=.",
            "=./=a",
            ".",
            "..",
            "%2e/~",
            "A b",
        ];
        let mut paths = std::collections::BTreeSet::new();
        for text in names {
            let path = leaf(&root, text).unwrap();
            assert_eq!(name(&root, &path).as_deref(), Some(text), "{path}");
            // The store's own parser must accept the listed text.
            assert_eq!(Path::parse(path.as_ref()).unwrap(), path);
            assert!(paths.insert(path), "{text}");
        }
        assert_eq!(name(&root, &Path::from("some/root/a")), None, "a folder is no name");
        assert_eq!(name(&root, &Path::from("other/=a")), None);
        assert_eq!(name(&root, &Path::from("some/root/=a.2")), None, "a broken escape");
        assert!(!leaf(&root, &"x".repeat(1000)).unwrap_err().is_retryable());
    }

    #[test]
    fn a_prefix_finds_its_folder() {
        let root = Path::from("r");
        assert_eq!(folder(&root, ""), (root.clone(), ""));
        assert_eq!(folder(&root, "t"), (root.clone(), ""));
        assert_eq!(folder(&root, "t/a/x"), (Path::from("r/t/a"), "t/a/"));
        assert_eq!(folder(&root, "t//x").1, "t//");
        let (path, _) = folder(&root, "t//x");
        assert!(leaf(&root, "t//xyz").unwrap().prefix_matches(&path));
    }
}

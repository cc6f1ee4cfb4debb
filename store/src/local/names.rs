//! Encoding of object names as file and folder names.
//!
//! An object store may contain both `a` and `a/b`, but a file system cannot contain a file and a folder `a`. A folder
//! is therefore its name followed by `.d`, and a file is its name, followed by `.f` if it ends in `.d` or `.f`. The
//! encoding is one to one (tested by `names_are_one_to_one`), and an object cannot have the name of the store's own
//! folder `.tmp`.

use object_store::path::Path;

/// Returns the name on disk of a folder.
pub(super) fn folder(name: &str) -> String {
    format!("{name}.d")
}

/// Returns the name on disk of an object.
pub(super) fn file(name: &str) -> String {
    if name.ends_with(".d") || name.ends_with(".f") { format!("{name}.f") } else { name.to_owned() }
}

/// Returns the name of a folder on disk, or `None` if the store did not create it.
pub(super) fn folder_from_disk(disk: &str) -> Option<&str> {
    disk.strip_suffix(".d").filter(|name| !name.is_empty())
}

/// Returns the name of an object on disk, or `None` if the store did not create it.
pub(super) fn file_from_disk(disk: &str) -> Option<&str> {
    match disk.strip_suffix(".f") {
        Some(name) => (name.ends_with(".d") || name.ends_with(".f")).then_some(name),
        None => (!disk.ends_with(".d")).then_some(disk),
    }
}

/// Returns the folder of `path` on disk, relative to the root, and its file name there. Returns `None` for the root.
pub(super) fn on_disk(path: &Path) -> Option<(String, String)> {
    let text = path.as_ref();
    let (folders, name) = text.rsplit_once('/').unwrap_or(("", text));
    (!name.is_empty()).then(|| (folders_on_disk(folders), file(name)))
}

/// Returns a path of folders on disk; `.` for the root.
pub(super) fn folders_on_disk(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let mut out = String::with_capacity(path.len() + 16);
    for name in path.split('/') {
        if !out.is_empty() {
            out.push('/');
        }
        out.push_str(&folder(name));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_are_one_to_one(name in "(\\.|d|f|x){1,8}") {
            let (folder, file) = (folder(&name), file(&name));
            prop_assert_eq!(folder_from_disk(&folder), Some(name.as_str()));
            prop_assert_eq!(file_from_disk(&file), Some(name.as_str()));
            prop_assert_ne!(file_from_disk(&folder), Some(name.as_str()));
            prop_assert_ne!(file, folder);
        }
    }
}

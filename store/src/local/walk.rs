//! Lists objects in the byte order of their paths.

use super::{
    names,
    root::{Root, describe, wrap},
};
use object_store::{ObjectMeta, Result, path::Path};
use std::{io, sync::Arc};

/// An entry of a folder with its sort key: its name, with a trailing slash for a folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: String,
}

/// Walks the objects under a prefix, depth first. Holds the names in the folders on the current path, so memory grows
/// with the largest folder and not with the number of objects.
#[derive(Debug)]
pub(super) struct Walk {
    root: Arc<Root>,
    /// Entries still to visit, the next one last, each with the path of its folder.
    stack: Vec<(Arc<str>, Vec<Entry>)>,
    /// Only greater paths are returned.
    after: String,
    failed: Option<object_store::Error>,
}

impl Walk {
    /// Starts at the folder `prefix`, after the path `after`.
    pub(super) fn new(root: Arc<Root>, prefix: &Path, after: Option<&Path>) -> Self {
        let mut walk =
            Self { root, stack: Vec::new(), after: after.map_or_else(String::new, Path::to_string), failed: None };
        walk.enter(prefix.as_ref().into());
        walk
    }

    /// Returns the next objects, at most `limit`; none at the end.
    pub(super) fn batch(&mut self, limit: usize) -> Vec<Result<ObjectMeta>> {
        let mut out = Vec::new();
        while out.len() < limit {
            match self.advance() {
                Some(item) => out.push(item),
                None => break,
            }
        }
        out
    }

    fn advance(&mut self) -> Option<Result<ObjectMeta>> {
        loop {
            if let Some(error) = self.failed.take() {
                self.stack.clear();
                return Some(Err(error));
            }
            let (folder, entries) = self.stack.last_mut()?;
            let Some(Entry { key }) = entries.pop() else {
                self.stack.pop();
                continue;
            };
            let path = if folder.is_empty() { key } else { format!("{folder}/{key}") };
            if let Some(folder) = path.strip_suffix('/') {
                // Every path in the folder begins with `path`.
                if path > self.after || self.after.starts_with(&path) {
                    self.enter(folder.into());
                }
                continue;
            }
            if path <= self.after {
                continue;
            }
            let Ok(location) = Path::parse(&path) else { continue };
            match self.root.open_object(&location) {
                Ok((_, metadata)) => return Some(Ok(describe(location, &metadata))),
                // Deleted concurrently, or not written by the store.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Some(Err(e)),
            }
        }
    }

    fn enter(&mut self, folder: Arc<str>) {
        match self.read(&folder) {
            Ok(entries) => self.stack.push((folder, entries)),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(e) => self.failed = Some(wrap(&Path::from(&*folder), e)),
        }
    }

    fn read(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in self.root.open_folder(&names::folders_on_disk(folder))?.entries()? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            if kind.is_dir() && !(folder.is_empty() && Root::is_own(&name)) {
                entries.extend(names::folder_from_disk(&name).map(|name| Entry { key: format!("{name}/") }));
            } else if kind.is_file() {
                entries.extend(names::file_from_disk(&name).map(|name| Entry { key: name.to_owned() }));
            }
        }
        entries.sort_unstable_by(|a, b| b.cmp(a));
        Ok(entries)
    }
}

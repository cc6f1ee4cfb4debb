//! Input from this machine. It is stored under a name derived from its content, so that the same input is stored once
//! and the same job is served from the cache.

use crate::{failure::Failure, output::Out};
use fabric_client::{Client, ObjectQuery, PageOptions, Upload, UploadOptions};
use fabric_types::Code;
use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

/// Maximum number of files in one folder. A larger folder is likely a mistake.
const FILES_LIMIT: usize = 100_000;

/// The input that `--input` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalInput {
    /// Stored objects.
    Stored(String),
    /// A local file or folder.
    Local(PathBuf),
    /// Standard input.
    Stdin,
}

/// Returns `true` if the text can only name a local path.
pub fn is_explicitly_local(text: &str) -> bool {
    text == "." || text == ".." || ["./", "../", "/"].iter().any(|start| text.starts_with(start))
}

/// Resolves `text` to stored or local input. A name that is both means the stored one, with a note.
///
/// # Errors
/// `not-found` if it is neither.
pub async fn resolve(text: &str, client: &Client, out: &Out, quiet: bool) -> Result<LocalInput, Failure> {
    if text == "-" {
        return Ok(LocalInput::Stdin);
    }
    let path = Path::new(text);
    if is_explicitly_local(text) {
        std::fs::metadata(path).map_err(|e| Failure::io(text, e))?;
        return Ok(LocalInput::Local(path.to_owned()));
    }
    let stored = if text.ends_with('/') {
        let listing = ObjectQuery::below(text).page(PageOptions::first(1));
        !client.objects(&listing).await?.items.is_empty()
    } else {
        client.head(text).await?.is_some()
    };
    let here = path.exists();
    if !stored && !here {
        let what = if text.ends_with('/') { "nothing is stored under" } else { "there is no object" };
        return Err(Failure::coded(Code::NotFound, format!("{what} `{text}`, and no local file of that name"))
            .hint("see what is stored: fabric ls; store a file: fabric put FILE PATH"));
    }
    if stored && here && !quiet {
        out.note(format!(
            "note: `{text}` is a stored object and a local file; taking the stored one (./{text} is the local one)"
        ));
    }
    if stored {
        return Ok(LocalInput::Stored(text.to_owned()));
    }
    Ok(LocalInput::Local(path.to_owned()))
}

/// Returns the path or prefix of input that is already stored. Stores nothing.
///
/// # Errors
/// `usage` for input that is only local, because the server can split only stored objects.
pub async fn stored(input: LocalInput, client: &Client) -> Result<String, Failure> {
    let (path, what) = match &input {
        LocalInput::Stored(path) => return Ok(path.clone()),
        LocalInput::Stdin => (None, "standard input".to_owned()),
        LocalInput::Local(path) => (Some(stored_name(path)?), path.display().to_string()),
    };
    if let Some(path) = path {
        let listing = ObjectQuery::below(path.clone()).page(PageOptions::first(1));
        let found = if path.ends_with('/') {
            !client.objects(&listing).await?.items.is_empty()
        } else {
            client.head(&path).await?.is_some()
        };
        if found {
            return Ok(path);
        }
    }
    Err(Failure::usage(format!("{what} is not stored, and a dry run stores nothing"))
        .hint("store it first: fabric put FILE PATH; then run with --input PATH --dry-run"))
}

/// Returns the object or prefix that a local file or folder is stored under. Its name contains the content's hash.
fn stored_name(path: &Path) -> Result<String, Failure> {
    if path.is_dir() {
        return prefix_of(&walk(path)?);
    }
    Ok(format!("uploads/{}/{}", short(&hash_file(path)?), name(path)?))
}

/// Returns the prefix that the files of a folder are stored under.
fn prefix_of(files: &[LocalFile]) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(file.name.as_bytes()).update(&[0]).update(hash_file(&file.path)?.as_bytes());
    }
    Ok(format!("uploads/{}/", short(&hasher.finalize())))
}

/// Stores local input. Returns its path or prefix in the store.
pub async fn upload(input: LocalInput, client: &Client, out: &Out, quiet: bool) -> Result<String, Failure> {
    match input {
        LocalInput::Stored(path) => Ok(path),
        LocalInput::Stdin => {
            // The name depends on the whole content, so the input is copied to disk first, not to memory.
            let mut file = tempfile::NamedTempFile::new().map_err(|e| Failure::io("a temporary file", e))?;
            std::io::copy(&mut std::io::stdin().lock(), &mut file).map_err(|e| Failure::io("standard input", e))?;
            let object = format!("uploads/{}/stdin", short(&hash_file(file.path())?));
            store_as(&object, file.path(), "standard input", client, out, quiet).await?;
            Ok(object)
        }
        LocalInput::Local(path) if path.is_dir() => {
            let files = walk(&path)?;
            let prefix = prefix_of(&files)?;
            for file in &files {
                let (object, what) = (format!("{prefix}{}", file.name), file.path.display().to_string());
                store_as(&object, &file.path, &what, client, out, quiet).await?;
            }
            Ok(prefix)
        }
        LocalInput::Local(path) => {
            let object = stored_name(&path)?;
            store_as(&object, &path, &path.display().to_string(), client, out, quiet).await?;
            Ok(object)
        }
    }
}

/// Stores a file that messages call `what`.
async fn store_as(
    object: &str,
    path: &Path,
    what: &str,
    client: &Client,
    out: &Out,
    quiet: bool,
) -> Result<(), Failure> {
    let size = std::fs::metadata(path).map_err(|e| Failure::io(path.display(), e))?.len();
    // The name contains the content's hash, so an object of this size has the same content.
    if client.head(object).await?.is_some_and(|stored| stored.size == size) {
        return Ok(());
    }
    let bar = crate::progress::transfer(out, quiet, size, object);
    let counter = bar.clone();
    let body = Upload::file(path).await?.on_progress(move |n| counter.inc(n));
    client.put(object, body, &UploadOptions::default()).await?;
    bar.finish_and_clear();
    if !quiet {
        out.note(format!("stored {what} as {object}"));
    }
    Ok(())
}

fn short(hash: &blake3::Hash) -> String {
    hash.to_hex().chars().take(32).collect()
}

fn hash_file(path: &Path) -> Result<blake3::Hash, Failure> {
    let failed = |e| Failure::io(path.display(), e);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finalize()),
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        };
    }
}

/// A file under a folder.
#[derive(Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Its local path.
    pub path: PathBuf,
    /// Its path below the folder, with `/` between the parts.
    pub name: String,
}

/// Returns the name that a file is stored under: its own, unchanged. Fails if it is not UTF-8.
pub fn name(file: &Path) -> Result<&str, Failure> {
    let name = file.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| {
        Failure::usage(format!("{}: its name is not UTF-8", file.display()))
            .hint("rename it, or store it as a path of your own: fabric put FILE PATH")
    })
}

/// Returns the files under a folder, sorted by name. Does not follow symbolic links to folders.
pub fn walk(folder: &Path) -> Result<Vec<LocalFile>, Failure> {
    let mut found = Vec::new();
    let mut waiting = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = waiting.pop() {
        let failed = |e| Failure::io(folder.display(), e);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = format!("{prefix}{}", name(&entry.path())?);
            if entry.file_type().map_err(failed)?.is_dir() {
                waiting.push((entry.path(), format!("{name}/")));
            } else if entry.path().is_file() {
                found.push(LocalFile { path: entry.path(), name });
            }
            if found.len() > FILES_LIMIT || waiting.len() > FILES_LIMIT {
                return Err(Failure::usage(format!("{}: more than {FILES_LIMIT} files", folder.display())));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plainly_local() {
        for local in ["./a", "../a", "/a", "."] {
            assert!(is_explicitly_local(local), "{local}");
        }
        for stored in ["a", "a/b", "a/", ".hidden"] {
            assert!(!is_explicitly_local(stored), "{stored}");
        }
    }

    #[test]
    fn a_folder_is_walked_in_order() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("b/c")).unwrap();
        for name in ["z", "b/c/x", "a", "b/y"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let names: Vec<_> = walk(dir.path()).unwrap().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["a", "b/c/x", "b/y", "z"]);
    }
}

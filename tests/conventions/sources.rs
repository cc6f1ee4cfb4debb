//! The files of the repository that the tests read.

use std::path::{Path, PathBuf};

/// Returns the root of the repository.
pub fn repository() -> PathBuf {
    // Read at run time: a target folder that two clones share may hold the other clone's build.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("run the tests with cargo");
    Path::new(&package).ancestors().nth(2).unwrap().to_owned()
}

/// Returns the path, relative to the root, and the text of every file with one of these extensions, in order of path. Hidden folders, what cargo built
/// and what Python installed are left out.
pub fn texts(extensions: &[&str]) -> Vec<(String, String)> {
    let root = repository();
    let mut paths = Vec::new();
    collect(&root, extensions, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        (path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// Returns every Rust source.
pub fn rust() -> Vec<(String, String)> {
    let sources = texts(&["rs"]);
    assert!(sources.len() > 400, "too few sources were found: {}", sources.len());
    sources
}

fn collect(folder: &Path, extensions: &[&str], out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let skipped = ["target", "node_modules", "__pycache__", "build", "dist"];
            if !skipped.contains(&name.as_str()) && !name.starts_with('.') && !name.ends_with(".egg-info") {
                collect(&path, extensions, out);
            }
        } else if path.extension().is_some_and(|kind| extensions.iter().any(|wanted| kind == *wanted)) {
            out.push(path);
        }
    }
}

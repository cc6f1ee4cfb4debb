//! The modules of the crate depend in one direction.

use std::{fs, path::Path};

/// Modules, each of which may use the earlier ones.
const LAYERS: &[&str] =
    &["clock", "metrics", "job", "journal", "settings", "options", "command", "owner", "handle", "background", "start"];

fn rank(module: &str) -> usize {
    LAYERS.iter().position(|layer| *layer == module).unwrap_or_else(|| panic!("{module} is not in LAYERS"))
}

/// Returns the modules that the source names after `crate::`.
fn used(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for after in source.split("crate::").skip(1) {
        let names: Vec<&str> = match after.strip_prefix('{') {
            // The first identifier at depth 0 of each part.
            Some(list) => {
                let (mut depth, mut start, mut names) = (0, 0, Vec::new());
                for (at, byte) in list.bytes().enumerate() {
                    match byte {
                        b'{' => depth += 1,
                        b'}' if depth == 0 => {
                            names.push(&list[start..at]);
                            break;
                        }
                        b'}' => depth -= 1,
                        b',' if depth == 0 => {
                            names.push(&list[start..at]);
                            start = at + 1;
                        }
                        _ => {}
                    }
                }
                names
            }
            None => vec![after],
        };
        // A list may end with a comma.
        for name in names.into_iter().filter(|name| !name.trim().is_empty()) {
            let name: String = name.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // The root re-exports from the last layers, so that a name of it is a use of them.
            let is_module = name.starts_with(char::is_lowercase);
            found.push(if is_module { name } else { "the crate's root".to_owned() });
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn modules_use_only_earlier_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut checked = 0;
    for file in files {
        let path = file.strip_prefix(&root).unwrap();
        let module = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        // Links in comments are no dependency.
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for other in used(&code.join("\n")) {
            checked += 1;
            assert!(LAYERS.contains(&other.as_str()), "{} uses {other}: name its module", path.display());
            assert!(rank(&other) <= rank(module), "{} uses {other}", path.display());
        }
    }
    assert!(checked > 50, "{checked}");
}

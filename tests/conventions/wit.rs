//! A published WIT package does not change: `wit/versions.txt` has a digest of each version.

use crate::sources::{repository, texts};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Returns a package's name with its version, and the digest of its text without comments and blank space.
fn package(text: &str) -> (String, String) {
    let code = text.lines().map(|line| line.split("//").next().unwrap().trim()).filter(|line| !line.is_empty());
    let code = code.collect::<Vec<_>>().join("\n");
    let line = code.lines().find(|line| line.starts_with("package ")).expect("a package line");
    let name = line.trim_start_matches("package ").trim_end_matches(';').to_owned();
    (name, hex::encode(Sha256::digest(code)))
}

#[test]
fn a_wit_package_changes_only_with_its_version() {
    let list = std::fs::read_to_string(repository().join("wit/versions.txt")).unwrap();
    let known: BTreeMap<&str, &str> =
        list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' ')).collect();
    let sources: Vec<_> = texts(&["wit"]).into_iter().filter(|(path, _)| path.starts_with("wit/")).collect();
    assert!(sources.len() >= 2, "the packages were found");
    for (path, text) in sources {
        let (name, digest) = package(&text);
        match known.get(name.as_str()) {
            None => panic!("{path}: wit/versions.txt has no line for the new version: `{name} {digest}`"),
            Some(published) => assert_eq!(
                *published, digest,
                "{path} differs from the published {name}: give the changed package a new version (wit/README.md)"
            ),
        }
    }
}

#[test]
fn comments_do_not_count() {
    let text = "/// Doc.\npackage a:b@1.0.0;\ninterface i { f: func(); } // note\n";
    let (name, digest) = package(text);
    assert_eq!(
        (name.as_str(), digest.as_str()),
        ("a:b@1.0.0", package("package a:b@1.0.0;\ninterface i { f: func(); }").1.as_str())
    );
    assert_ne!(digest, package("package a:b@1.0.0;\ninterface i { g: func(); }").1);
}

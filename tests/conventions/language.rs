//! The language of comments and names: plain technical English, and one type for a name.

use crate::sources::{rust, texts};
use std::collections::BTreeMap;

/// Words that no comment line begins with: such a comment asks instead of saying what the item is or does.
const QUESTION_WORDS: &[&str] = &["What", "Who", "Whose", "Whom", "Whether", "Where", "How", "Which", "Why", "When"];

/// Words and phrases that the style guide bans from comments and documentation: archaic ones, and those of a private dialect.
const BANNED: &[&str] = &[
    "mend",
    "mended",
    "besides",
    "anew",
    "thereof",
    "whoever",
    "wherever",
    "at hand",
    "of ours",
    "the very same",
    "said out loud",
    "takes word of",
    "is let end",
    "gives way",
    "what there is",
    "who is here",
];

/// Type names that several crates define, imported qualified: `host::Error`.
const SHARED_NAMES: &[&str] = &["Error", "Options", "Config", "Builder"];

/// Aliases of `std::result::Result` with a crate's own error, as in `std::io`.
const SHARED_ALIASES: &[&str] = &["Result"];

/// Returns the text of a line's comment, if the whole line is one.
fn comment<'a>(path: &str, line: &'a str) -> Option<&'a str> {
    let line = line.trim_start();
    let text = if path.ends_with(".py") || path.ends_with(".toml") || path.ends_with(".yaml") {
        line.strip_prefix('#')?
    } else {
        let text = line.strip_prefix("//")?;
        text.strip_prefix('/').or_else(|| text.strip_prefix('!')).unwrap_or(text)
    };
    let text = text.trim_start();
    Some(text.strip_prefix("- ").or_else(|| text.strip_prefix("* ")).unwrap_or(text))
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Returns `true` if the text has the phrase, as whole words, in any case.
fn has_phrase(text: &str, phrase: &str) -> bool {
    let text = text.to_lowercase();
    text.match_indices(phrase).any(|(at, _)| {
        let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
        edge(text[..at].chars().next_back()) && edge(text[at + phrase.len()..].chars().next())
    })
}

#[test]
fn no_comment_begins_with_a_question_word() {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for (path, text) in texts(&["rs", "py", "wit", "toml", "yaml"]) {
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = comment(&path, line) else { continue };
            lines += 1;
            if QUESTION_WORDS.contains(&first_word(comment)) {
                wrong.push(format!("{path}:{}: {comment}", number + 1));
            }
        }
    }
    assert!(lines > 10_000, "the comments were found: {lines}");
    assert!(wrong.is_empty(), "say what it is or does, subject first:\n{}", wrong.join("\n"));
}

#[test]
fn no_comment_and_no_page_has_a_banned_word() {
    let mut wrong = Vec::new();
    let mut check = |path: &str, number: usize, text: &str| {
        for phrase in BANNED.iter().filter(|phrase| has_phrase(text, phrase)) {
            wrong.push(format!("{path}:{}: `{phrase}`: {}", number + 1, text.trim()));
        }
    };
    for (path, text) in texts(&["rs", "py", "wit", "toml", "yaml"]) {
        // This file names them.
        if path.ends_with("conventions/language.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(comment) = comment(&path, line) {
                check(&path, number, comment);
            }
        }
    }
    for (path, text) in texts(&["md"]) {
        for (number, line) in text.lines().enumerate() {
            check(&path, number, line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the name of the public type that a line defines.
fn public_type(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = ["struct ", "enum ", "trait ", "type ", "union "].iter().find_map(|kind| rest.strip_prefix(kind))?;
    // A macro defines types by the names that it is given.
    Some(first_word(rest)).filter(|name| !name.is_empty())
}

/// Reports whether a file belongs to a library or program of the product. Guests, tests and tools are programs of their own.
fn is_product(path: &str) -> bool {
    let outside = ["tests/", "benches/", "examples/", "fuzz/", "xtask/"];
    !outside.iter().any(|folder| path.starts_with(folder)) && !path.contains("/tests/") && !path.contains("/templates/")
}

#[test]
fn a_public_type_name_stands_once() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in rust().into_iter().filter(|(path, _)| is_product(path)) {
        for name in text.lines().filter_map(public_type) {
            if !SHARED_NAMES.contains(&name) && !SHARED_ALIASES.contains(&name) {
                found.entry(name.to_owned()).or_default().push(path.clone());
            }
        }
    }
    assert!(found.len() > 300, "the types were found: {}", found.len());
    let twice: Vec<_> = found.iter().filter(|(_, paths)| paths.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

#[test]
fn the_checks_find_what_they_look_for() {
    assert_eq!(comment("a.rs", "    /// - Whether it ends."), Some("Whether it ends."));
    assert_eq!(comment("a.rs", "    let a = 1; // note"), None);
    assert_eq!(comment("a.py", "# When it ends."), Some("When it ends."));
    assert!(has_phrase("Begins anew.", "anew") && !has_phrase("a renewal", "anew") && !has_phrase("to amend", "mend"));
    assert_eq!(public_type("    pub struct Held(u8);"), Some("Held"));
    assert_eq!(public_type("pub(crate) struct Held;"), None);
}

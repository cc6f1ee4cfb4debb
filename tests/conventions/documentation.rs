//! Links in the documentation, and the form of decision records.

use crate::sources::{repository, texts};
use std::collections::BTreeSet;

/// Returns the targets of a text's inline links, code blocks left out.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Text in backquotes is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for (at, _) in prose.match_indices("](") {
            let target: String = prose[at + 2..].chars().take_while(|c| *c != ')' && *c != ' ').collect();
            found.push(target);
        }
    }
    found
}

/// Returns the anchors of a page's headings, as code hosts make them: lower case, spaces as hyphens, no punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) else { continue };
        let heading = heading.trim_start_matches('#').trim();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        found.insert(kept.collect::<String>().to_lowercase().replace(' ', "-"));
    }
    found
}

#[test]
fn every_relative_link_resolves() {
    let root = repository();
    let pages = texts(&["md"]);
    assert!(pages.len() > 30, "the pages were found: {}", pages.len());
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (path, text) in &pages {
        for link in links(text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { root.join(path) } else { root.join(path).parent().unwrap().join(file) };
            if !target.exists() {
                wrong.push(format!("{path}: {link}: there is no such file"));
            } else if !anchor.is_empty() && target.extension().is_some_and(|kind| kind == "md") {
                let page = std::fs::read_to_string(&target).unwrap();
                if !anchors(&page).contains(anchor) {
                    wrong.push(format!("{path}: {link}: the page has no such heading"));
                }
            }
        }
    }
    assert!(checked > 100, "the links were found: {checked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_index() {
    let root = repository();
    for (index, folder) in [("docs/README.md", "docs"), ("docs/adr/README.md", "docs/adr")] {
        let text = std::fs::read_to_string(root.join(index)).unwrap();
        let listed: BTreeSet<String> = links(&text).into_iter().collect();
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            let missing = name.ends_with(".md") && name != "README.md" && !listed.contains(&name);
            assert!(!missing, "{index} has no line for {name}");
        }
    }
}

#[test]
fn decision_records_have_one_form() {
    for (path, text) in texts(&["md"]) {
        let Some(name) = path.strip_prefix("docs/adr/").filter(|name| *name != "README.md") else { continue };
        let number: u32 = name.split('-').next().unwrap().parse().unwrap_or_else(|_| panic!("{path}: NNNN-title.md"));
        assert!(text.starts_with(&format!("# {number}. ")), "{path}: `# {number}. Title`");
        for part in ["\nDate: 20", "\nStatus: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n"] {
            assert!(text.contains(part), "{path} lacks `{}`", part.trim());
        }
    }
}

#[test]
fn the_checks_find_what_they_look_for() {
    assert_eq!(links("see [a](b.md#c) and `[x](y)`\n```\n[d](e)\n```\n"), ["b.md#c"]);
    let found = anchors("# Limits, grants and memory\n## `fabric dev`\n");
    assert!(found.contains("limits-grants-and-memory") && found.contains("fabric-dev"), "{found:?}");
}

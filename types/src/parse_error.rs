//! Messages of parsers in the words of their readers, who write JSON, YAML and TOML and not Rust.

/// Phrases of `serde`, `toml` and `serde-saphyr`, and what a reader of the message is told. `tests` fail if a library
/// changes one that they show.
const PHRASES: [(&str, &str); 32] = [
    ("invalid type: map, ", "found an object, "),
    ("invalid type: sequence, ", "found a list, "),
    ("invalid type: string ", "found the text "),
    ("invalid type: integer ", "found the number "),
    ("invalid type: floating point ", "found the number "),
    ("invalid type: boolean ", "found "),
    ("invalid type: null, ", "found null, "),
    ("invalid type: unit value, ", "found nothing, "),
    ("invalid value: integer ", "found the number "),
    ("invalid value: string ", "found the text "),
    ("` as i128, ", "`, "),
    ("expected a sequence", "expected a list"),
    ("expected sequence start", "expected a list"),
    ("expected a map", "expected an object"),
    ("expected mapping start", "expected an object"),
    ("expected a boolean", "expected true or false"),
    ("wanted string or table", "expected a text"),
    ("expected u16", "expected a whole number of at least 0"),
    ("expected u32", "expected a whole number of at least 0"),
    ("expected u64", "expected a whole number of at least 0"),
    ("expected i32", "expected a whole number"),
    ("expected i64", "expected a whole number"),
    ("expected f64", "expected a number"),
    ("invalid u32", "not a whole number of at least 0"),
    ("invalid u64", "not a whole number of at least 0"),
    ("invalid i32", "not a whole number"),
    ("invalid boolean (strict mode expects true/false)", "not `true` or `false`"),
    ("externally tagged enum expected scalar or mapping", "expected a name, or an object with one name"),
    ("expected end of mapping after enum variant value", "expected an object with one name only"),
    ("duplicate mapping key: ", "this name stands twice: "),
    (", set DuplicateKeyPolicy in Options if acceptable", ""),
    (" rejected by reject_non_finite_typeless_float", " is too large: quote it, or send JSON"),
];

/// Returns a parser's message without terms of the parser.
#[must_use]
pub fn plain(message: &str) -> String {
    PHRASES.iter().fold(message.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Returns the message of a JSON error without its position, for messages that name the position themselves.
#[must_use]
pub fn json(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    plain(message.strip_suffix(at.as_str()).unwrap_or(&message))
}

#[cfg(test)]
mod tests {
    use crate::{job::JobSpec, manifest::Manifest};

    #[test]
    fn messages_have_no_words_of_the_parsers() {
        let manifest =
            |text: &str| Manifest::from_toml(&format!("[function]\nname = \"a\"\n{text}")).unwrap_err().to_string();
        for (text, told) in [
            ("[limits]\ndeadline-ms = \"60s\"", "found the text \"60s\", expected a whole number of at least 0"),
            ("[grants]\nnetwork = true", "found `true`, expected a list"),
            ("[grants.volumes]\nname = \"v\"", "found an object, expected a list"),
            ("[limits]\nfuel = -1", "found the number `-1`, expected a number, or a text"),
        ] {
            let message = manifest(text);
            assert!(message.contains(told), "{message}");
        }
        let spec = |more: &str| JobSpec::from_yaml(format!("function: f\n{more}").as_bytes()).unwrap_err().message;
        for (text, told) in [
            ("function: g\ninput: {items: [1]}", "this name stands twice: function"),
            ("input: {items: [1e400]}", "is too large: quote it"),
            ("input: [a]", "expected a name, or an object with one name"),
            ("input: {objects: {path: a}, items: [1]}", "expected an object with one name only"),
            ("input: {items: [1]}\nparams: [1]", "expected an object"),
            ("input: {items: [1]}\ntags: a", "expected a list"),
            ("input: {items: [1]}\nconcurrency: lots", "not a whole number of at least 0"),
            ("input: {items: [1]}\ncache: yes", "not `true` or `false`"),
        ] {
            let message = spec(text);
            assert!(message.contains(told), "{text}: {message}");
        }
        let json = serde_json::from_str::<JobSpec>("{\"function\":\"f\",\"input\":{\"items\":1}}").unwrap_err();
        assert_eq!(super::json(&json), "found the number `1`, expected a list");
    }
}

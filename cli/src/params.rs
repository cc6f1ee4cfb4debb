//! Parameters and data from the command line.

use crate::failure::Failure;
use serde_json::{Map, Value};

/// Longer values on a command line or in a parameter file are a mistake.
const FILE_LIMIT: u64 = 16 << 20;

/// Reads `k=v`. A value that is JSON (a number, `true`, `[1,2]`, `"text"`) is that; anything else is text.
pub fn parse(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no parameter: write NAME=VALUE"))?;
    if key.is_empty() {
        return Err(format!("`{text}` has no name: write NAME=VALUE"));
    }
    Ok((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))))
}

/// All of them as one object; the last of two with the same name counts.
pub fn object(params: &[(String, Value)]) -> Map<String, Value> {
    params.iter().cloned().collect()
}

/// A file's text, or standard input's for `-`, within bounds.
pub fn text_of(path: &str) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin().take(FILE_LIMIT + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|f| f.take(FILE_LIMIT + 1).read_to_string(&mut text))
    };
    read.map_err(|e| Failure::io(path, e))?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(Failure::usage(format!("{path}: longer than {} MiB", FILE_LIMIT >> 20)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_json_where_they_can_be() {
        for (text, value) in [
            ("a=1", json!(1)),
            ("a=true", json!(true)),
            ("a=[1,2]", json!([1, 2])),
            ("a=New York", json!("New York")),
            ("a=\"1\"", json!("1")),
            ("a=", json!("")),
            ("a=b=c", json!("b=c")),
        ] {
            assert_eq!(parse(text), Ok(("a".to_owned(), value)), "{text}");
        }
        assert!(parse("a").is_err() && parse("=1").is_err());
    }
}

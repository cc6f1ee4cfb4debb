//! Canonical JSON (RFC 8785), so that equal parameters are equal bytes in a task key.

/// The canonical text of a JSON object.
#[must_use]
pub fn object(map: &serde_json::Map<String, serde_json::Value>) -> String {
    // A `Value` always serialises: its keys are text and its numbers are finite.
    serde_json_canonicalizer::to_string(map).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn order_and_number_form_do_not_matter() {
        let read = |text: &str| serde_json::from_str(text).map(|map| super::object(&map)).ok();
        assert_eq!(read(r#"{"b":1.0,"a":[1e2,"é"]}"#), read(r#"{ "a":[100, "\u00e9"], "b":1 }"#));
        assert_eq!(read("{}"), Some("{}".to_owned()));
    }
}

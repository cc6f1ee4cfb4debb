//! Search words: converts arbitrary user input to a query that cannot fail.
//!
//! The index uses trigrams, so a word matches every text that contains it, in any script; Chinese needs no word breaks.
//! Words of fewer than three characters have no trigram and are searched with `LIKE` instead.

use rusqlite::types::Value;

/// Maximum number of words. Further ones are ignored.
const WORDS: usize = 16;
/// Maximum number of characters per word. Further ones are ignored.
const WORD_CHARS: usize = 128;

/// Splits a query into words.
pub(crate) fn words(query: &str) -> Vec<String> {
    query
        .split(|c: char| c.is_whitespace() || c == '\0')
        .filter(|word| !word.is_empty())
        .take(WORDS)
        .map(|word| word.chars().take(WORD_CHARS).collect())
        .collect()
}

/// Maximum number of characters in a pattern. Further ones are ignored, since SQLite refuses patterns of more than
/// 50,000 bytes. Names are shorter.
const PATTERN_CHARS: usize = 4096;

/// Returns a pattern for `LIKE … ESCAPE '\'` that matches `text` anywhere.
pub(crate) fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len().min(PATTERN_CHARS) + 2);
    pattern.push('%');
    for c in text.chars().filter(|c| *c != '\0').take(PATTERN_CHARS) {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Returns the words that have trigrams as an FTS5 expression of quoted strings. There are no operators inside quotes.
pub(crate) fn match_expression(words: &[String]) -> Option<String> {
    let quoted: Vec<String> = words
        .iter()
        .filter(|word| word.chars().count() >= 3)
        .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
        .collect();
    (!quoted.is_empty()).then(|| quoted.join(" AND "))
}

/// A builder for the `WHERE` clause of a list.
#[derive(Default)]
pub(crate) struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition with one `?` for each of `values`.
    pub(crate) fn and<const N: usize>(&mut self, condition: &str, values: [Value; N]) -> &mut Self {
        self.sql.push_str(if self.sql.is_empty() { "WHERE " } else { " AND " });
        self.sql.push_str(condition);
        self.values.extend(values);
        self
    }

    /// Adds `column IN (…)` unless there are no values.
    pub(crate) fn one_of(&mut self, column: &str, values: impl IntoIterator<Item = &'static str>) -> &mut Self {
        let values: Vec<Value> = values.into_iter().map(|v| Value::Text(v.to_owned())).collect();
        if !values.is_empty() {
            let marks = vec!["?"; values.len()].join(", ");
            self.and(&format!("{column} IN ({marks})"), []);
            self.values.extend(values);
        }
        self
    }

    /// Returns the clause, and the values in its order.
    pub(crate) fn finish(self) -> (String, Vec<Value>) {
        (self.sql, self.values)
    }
}

/// Returns a text value.
pub(crate) fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

/// Returns an integer value. SQLite's integers are signed.
pub(crate) fn int(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

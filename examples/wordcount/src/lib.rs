//! Counts words: runs of bytes between ASCII white space, compared as bytes, upper and lower case kept apart.
//!
//! Two forms. Without a shuffle (the default) a map task gives a table of its words and `merge` adds the
//! tables up. With `emit = true` and a shuffle, every word meets its like in one reduce task: for vocabularies that do
//! not fit one result.

use std::collections::BTreeMap;

use fabric::{Deserialize, Input, JsonSchema, Result, Serialize};

mod table;
use table::Table;

/// The parameters.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "fabric::serde", default, deny_unknown_fields)]
#[schemars(crate = "fabric::schemars")]
pub struct Params {
    /// Emit one record per word, for a job with a shuffle, instead of giving a table.
    pub emit: bool,
}

/// A partition's words, or the whole job's. Words that are not UTF-8 have their odd bytes replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Counts {
    /// How many words there were.
    pub total: u64,
    /// How often each came.
    pub words: BTreeMap<String, u64>,
}

/// A table, or nothing when every word was emitted.
#[derive(Debug, PartialEq, Serialize)]
#[serde(crate = "fabric::serde", untagged)]
pub enum Counted {
    /// The partition's table.
    Table(Counts),
    /// All words were emitted.
    Emitted {
        /// How many words there were.
        total: u64,
    },
}

/// Counts the words of a text. With `emit` the job needs a shuffle, whose reducer adds up word by word.
#[fabric::map]
pub fn count(mut input: Input, params: Params) -> Result<Counted> {
    let mut table = Table::new();
    let mut straddling = Vec::new();
    loop {
        let chunk = input.chunk();
        let length = chunk.len();
        if length == 0 {
            break;
        }
        table.add_chunk(chunk, &mut straddling);
        input.consume_bytes(length);
    }
    table.add_last(&mut straddling);
    let total = table.total();
    if params.emit {
        for (word, count) in table.into_sorted() {
            fabric::emit(word, count)?;
        }
        return Ok(Counted::Emitted { total });
    }
    let mut words = BTreeMap::new();
    for (word, count) in table.into_sorted() {
        // Two words with different odd bytes may read the same once those are replaced.
        *words.entry(String::from_utf8_lossy(&word).into_owned()).or_insert(0) += count;
    }
    Ok(Counted::Table(Counts { total, words }))
}

/// Adds two counts: two tables, or, after a shuffle, two counts of one word.
#[fabric::reduce]
pub fn merge(a: Partial, b: Partial) -> Result<Partial> {
    match (a, b) {
        (Partial::Count(a), Partial::Count(b)) => Ok(Partial::Count(a + b)),
        (Partial::Table(mut a), Partial::Table(b)) => {
            a.total += b.total;
            for (word, count) in b.words {
                *a.words.entry(word).or_insert(0) += count;
            }
            Ok(Partial::Table(a))
        }
        _ => Err(fabric::Error::invalid_input("a count of one word met a table of words")),
    }
}

/// What `merge` merges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde", untagged)]
pub enum Partial {
    /// One word's count.
    Count(u64),
    /// Many words' counts.
    Table(Counts),
}

#[cfg(test)]
mod tests;

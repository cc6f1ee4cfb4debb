//! Counts words: runs of bytes between ASCII white space, compared as bytes, upper and lower case kept apart.
//!
//! Two forms. Without a shuffle (the default) a map task gives a table of its words and `merge` adds the
//! tables up. With `emit = true` and a shuffle, every word meets its like in one reduce task: for vocabularies that do
//! not fit one result.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use fabric::{
    Deserialize, Input, JsonSchema, Result, Serialize,
    serde::{
        Deserializer,
        de::{MapAccess, Visitor, value::MapAccessDeserializer},
    },
};

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
        (Partial::Table(a), Partial::Table(b)) => {
            Ok(Partial::Table(Counts { total: a.total + b.total, words: add(a.words, b.words) }))
        }
        _ => Err(fabric::Error::invalid_input("a count of one word met a table of words")),
    }
}

/// Adds two tables in one pass over both: they are in the order of their words.
fn add(a: BTreeMap<String, u64>, b: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    let next = std::iter::from_fn(|| match (a.peek(), b.peek()) {
        (Some((left, _)), Some((right, _))) => match left.cmp(right) {
            Ordering::Less => a.next(),
            Ordering::Greater => b.next(),
            Ordering::Equal => a.next().zip(b.next()).map(|((word, one), (_, other))| (word, one + other)),
        },
        _ => a.next().or_else(|| b.next()),
    });
    next.collect()
}

/// What `merge` merges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(crate = "fabric::serde", untagged)]
pub enum Partial {
    /// One word's count.
    Count(u64),
    /// Many words' counts.
    Table(Counts),
}

/// A number is a count, a map is a table: told apart by the first byte. (An untagged enum would hold the whole table in
/// memory once more before it looks.)
impl<'de> Deserialize<'de> for Partial {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Partial;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count or a table of counts")
            }
            fn visit_u64<E>(self, count: u64) -> std::result::Result<Partial, E> {
                Ok(Partial::Count(count))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Partial, A::Error> {
                Counts::deserialize(MapAccessDeserializer::new(map)).map(Partial::Table)
            }
        }
        from.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests;

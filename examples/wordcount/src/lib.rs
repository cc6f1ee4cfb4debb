//! Counts words: runs of bytes between ASCII white space, compared as bytes.
//!
//! It has two modes. Without a shuffle (the default), a map task returns a table of its words and `merge` adds the
//! tables. With `emit = true` and a shuffle, equal words are sent to the same reduce task, for vocabularies too large
//! for one result.

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

/// Parameters.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "fabric::serde", default, deny_unknown_fields)]
#[schemars(crate = "fabric::schemars")]
pub struct Params {
    /// Emit one record per word, for a job with a shuffle, instead of returning a table.
    pub emit: bool,
}

/// The words of a partition, or of the whole job. Invalid UTF-8 in words is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Counts {
    /// Number of words.
    pub total: u64,
    /// Count of each word.
    pub words: BTreeMap<String, u64>,
}

/// Result of a map: a table, or only the total if the words were emitted.
#[derive(Debug, PartialEq, Serialize)]
#[serde(crate = "fabric::serde", untagged)]
pub enum Counted {
    /// The table of the partition.
    Table(Counts),
    /// All words were emitted.
    Emitted {
        /// Number of words.
        total: u64,
    },
}

/// Counts the words of a text. With `emit`, the job needs a shuffle, and its reducer adds the counts of each word.
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
        // Two words with different invalid bytes may be equal after the replacement.
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
        _ => Err(fabric::Error::invalid_input("can't merge the count of one word with a table of words")),
    }
}

/// Adds two tables in one pass, since both are sorted by word.
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

/// The argument of `merge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(crate = "fabric::serde", untagged)]
pub enum Partial {
    /// One word's count.
    Count(u64),
    /// A table of counts.
    Table(Counts),
}

/// A number is a count, and a map is a table. This visitor decides on the first byte; an untagged enum would buffer the
/// whole table in memory first.
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

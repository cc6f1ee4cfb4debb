//! Counts lines and bytes: `fabric run {{name}} --input FILE --split lines:1MiB --reduce`.

use fabric::{Deserialize, JsonSchema, Lines, Result, Serialize};

/// The parameters. Their schema is checked before a job starts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "fabric::serde", default, deny_unknown_fields)]
#[schemars(crate = "fabric::schemars")]
pub struct Params {
    /// Count only lines that contain this. Default: all.
    pub containing: String,
}

/// The counts of one partition, or of the whole input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Counts {
    pub lines: u64,
    pub bytes: u64,
}

/// Counts one partition.
#[fabric::map]
pub fn count(mut input: Lines, params: Params) -> Result<Counts> {
    let wanted = params.containing.as_bytes();
    let mut counts = Counts::default();
    while let Some(line) = input.next_line() {
        let line: &[u8] = line.as_ref();
        if wanted.is_empty() || line.windows(wanted.len()).any(|w| w == wanted) {
            counts.lines += 1;
            counts.bytes += line.len() as u64;
        }
    }
    Ok(counts)
}

/// Merges two partial counts. The result must not depend on order or grouping.
#[fabric::reduce]
pub fn merge(a: Counts, b: Counts) -> Counts {
    Counts { lines: a.lines + b.lines, bytes: a.bytes + b.bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let one = Counts { lines: 1, bytes: 2 };
        assert_eq!(merge(one.clone(), one), Counts { lines: 2, bytes: 4 });
    }
}

//! Summarises hourly weather observations per station and month, and computes the means of consecutive blocks of rows.
//!
//! Sums are exact (see [`decimal`]), so the summary has the same bytes for any partitioning and any grouping of the
//! reduce. A partial result and the final one have the same form: each has count, sum and mean. A merge adds counts and
//! sums and computes the mean again.

use std::collections::BTreeMap;

use fabric::{Csv, Deserialize, Input, JsonSchema, Result, Serialize};

pub mod decimal;
use decimal::{Decimal, Reading};

/// Parameters.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "fabric::serde", default, deny_unknown_fields)]
#[schemars(crate = "fabric::schemars")]
pub struct Params {
    /// If true, the result also has the block means.
    pub blocks: bool,
    /// Number of consecutive rows in a block.
    #[schemars(range(min = 1))]
    pub block_rows: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { blocks: false, block_rows: 8 }
    }
}

/// The columns used from the source. `NA` is a missing reading.
#[derive(Debug, Deserialize)]
#[serde(crate = "fabric::serde")]
struct Row {
    origin: String,
    year: u16,
    month: u8,
    temp: Reading,
    dewp: Reading,
    humid: Reading,
    wind_speed: Reading,
    precip: Reading,
    pressure: Reading,
    visib: Reading,
}

/// Names of the measures in the source.
pub const MEASURES: [&str; 7] = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"];

impl Row {
    fn readings(&self) -> [Option<Decimal>; 7] {
        [self.temp, self.dewp, self.humid, self.wind_speed, self.precip, self.pressure, self.visib].map(|r| r.0)
    }
}

/// Summary of one measure. Missing readings are not counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Measure {
    /// Number of readings.
    pub count: u64,
    /// The sum divided by the count, to four decimals.
    pub mean: f64,
    /// The smallest reading.
    pub min: f64,
    /// The largest reading.
    pub max: f64,
    /// The exact sum, as decimal text.
    pub sum: Decimal,
}

impl Measure {
    fn of(reading: Decimal) -> Self {
        let value = reading.to_f64();
        Self { count: 1, mean: reading.mean(1), min: value, max: value, sum: reading }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.mean = self.sum.mean(self.count);
    }
}

/// Measures by name.
pub type Measures = BTreeMap<String, Measure>;

/// The means of one block of consecutive rows of a partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Block {
    /// The object of the rows.
    pub object: String,
    /// Offset of the partition in the object, in bytes.
    pub offset: u64,
    /// The block's number in the partition, from 0.
    pub block: u64,
    /// Number of rows. Only a partition's last block may have fewer than `block_rows`.
    pub rows: u64,
    /// The mean of each measure that has a reading, to four decimals.
    pub means: BTreeMap<String, f64>,
}

/// A partial or final result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "fabric::serde")]
pub struct Summary {
    /// Number of observations.
    pub rows: u64,
    /// Measures by station, then by month as `2013-01`, then by name.
    pub stations: BTreeMap<String, BTreeMap<String, Measures>>,
    /// The block means, in the order of the partitions. Omitted unless requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
}

/// Running sums. The mean is computed once, at the end.
#[derive(Clone, Copy, Default)]
struct Running {
    count: u64,
    sum: Decimal,
    range: Option<(Decimal, Decimal)>,
}

impl Running {
    fn add(&mut self, reading: Decimal) {
        self.count += 1;
        self.sum += reading;
        let (min, max) = self.range.unwrap_or((reading, reading));
        self.range = Some((min.min(reading), max.max(reading)));
    }

    fn measure(self) -> Option<Measure> {
        let (min, max) = self.range?;
        let mut measure = Measure::of(min);
        measure.count = self.count;
        measure.sum = self.sum;
        measure.max = max.to_f64();
        measure.mean = self.sum.mean(self.count);
        Some(measure)
    }
}

fn add_row(sums: &mut [Running; 7], readings: [Option<Decimal>; 7]) {
    for (sum, reading) in sums.iter_mut().zip(readings) {
        if let Some(reading) = reading {
            sum.add(reading);
        }
    }
}

fn means(sums: [Running; 7]) -> BTreeMap<String, f64> {
    let measures = MEASURES.iter().zip(sums);
    measures.filter_map(|(name, sum)| Some(((*name).to_owned(), sum.measure()?.mean))).collect()
}

/// Summarises each weather measure by station and month: mean, minimum, maximum and count. With `blocks`, also computes
/// the means of every `block_rows` consecutive rows of a partition.
#[fabric::map]
pub fn summarise(input: Input, params: Params) -> Result<Summary> {
    if params.block_rows == 0 {
        return Err(fabric::Error::invalid_input("parameter `block_rows` must be at least 1"));
    }
    let part = input.part().clone();
    let mut rows = 0_u64;
    // The rows of a station are consecutive, so a short list is faster than a map.
    let mut groups: Vec<(Row, [Running; 7])> = Vec::new();
    let mut blocks = Vec::new();
    let mut block = ([Running::default(); 7], 0_u64);
    let mut end_block = |block: &mut ([Running; 7], u64)| {
        let (sums, rows) = std::mem::take(block);
        let number = blocks.len() as u64;
        blocks.push(Block { object: part.name.clone(), offset: part.offset, block: number, rows, means: means(sums) });
    };
    let mut last = 0;
    for row in Csv::<Row>::new(input, b',')? {
        let row = row?;
        rows += 1;
        let readings = row.readings();
        if params.blocks {
            add_row(&mut block.0, readings);
            block.1 += 1;
            if block.1 == u64::from(params.block_rows) {
                end_block(&mut block);
            }
        }
        let same = |held: &Row| (held.month, held.year) == (row.month, row.year) && held.origin == row.origin;
        if !groups.get(last).is_some_and(|(held, _)| same(held)) {
            last = groups.iter().position(|(held, _)| same(held)).unwrap_or(groups.len());
        }
        match groups.get_mut(last) {
            Some((_, sums)) => add_row(sums, readings),
            None => {
                let mut sums = [Running::default(); 7];
                add_row(&mut sums, readings);
                groups.push((row, sums));
            }
        }
    }
    if block.1 > 0 {
        end_block(&mut block);
    }
    let mut stations: BTreeMap<String, BTreeMap<String, Measures>> = BTreeMap::new();
    for (row, sums) in groups {
        let named = MEASURES.iter().zip(sums);
        let measures = named.filter_map(|(name, sum)| Some(((*name).to_owned(), sum.measure()?))).collect();
        stations.entry(row.origin).or_default().insert(format!("{:04}-{:02}", row.year, row.month), measures);
    }
    Ok(Summary { rows, stations, blocks })
}

/// Merges the summary of the rows that follow.
#[fabric::reduce(default)]
pub fn merge(mut a: Summary, b: Summary) -> Summary {
    a.rows += b.rows;
    for (station, months) in b.stations {
        let to = a.stations.entry(station).or_default();
        for (month, measures) in months {
            let to = to.entry(month).or_default();
            for (name, measure) in measures {
                match to.get_mut(&name) {
                    Some(held) => held.add(&measure),
                    None => drop(to.insert(name, measure)),
                }
            }
        }
    }
    a.blocks.extend(b.blocks);
    a
}

#[cfg(test)]
mod tests;

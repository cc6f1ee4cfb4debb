//! Measurements of a soak.

use super::{fault::Fault, round::Outcome};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Recovery times by fault.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<Fault, Times>);

#[derive(Debug, Default)]
struct Times {
    rounds: u64,
    recovered: Vec<Duration>,
    ended: Vec<Duration>,
    answered: u64,
    refused: u64,
}

impl Table {
    /// Adds a round. Recovery times count only if the fault was injected before the end of the job.
    pub fn add(&mut self, outcome: &Outcome) {
        let times = self.0.entry(outcome.fault).or_default();
        times.rounds += 1;
        times.answered += outcome.answered;
        times.refused += outcome.refused;
        if outcome.met {
            times.recovered.push(outcome.recovered);
            times.ended.push(outcome.ended);
        }
    }
}

impl Table {
    /// Returns the number of rounds.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.0.values().map(|times| times.rounds).sum()
    }
}

/// Formats the median and the maximum, in seconds.
fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(median), Some(max)) => format!("{:>8.1} {:>8.1}", median.as_secs_f64(), max.as_secs_f64()),
        _ => format!("{:>8} {:>8}", "-", "-"),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "                        progress after, s    job's end after, s")?;
        writeln!(
            f,
            "{:<16} {:>6} {:>8} {:>8}   {:>8} {:>8} {:>9} {:>8}",
            "fault", "rounds", "median", "max", "median", "max", "answered", "refused"
        )?;
        for (fault, times) in &self.0 {
            let (recovered, ended) = (spread(&times.recovered), spread(&times.ended));
            let Times { rounds, answered, refused, .. } = times;
            writeln!(f, "{:<16} {rounds:>6} {recovered}   {ended} {answered:>9} {refused:>8}", fault.name())?;
        }
        Ok(())
    }
}

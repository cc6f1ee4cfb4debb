//! The tables of results: all rows, and the rows with a target.

use super::measure::Row;
use crate::figures::{median, short, spread, table};
use fabric_gpu::{AdapterInfo, AdapterKind};

/// Describes the adapter in one line.
pub fn adapter(info: &AdapterInfo) -> String {
    let kind = match info.kind {
        AdapterKind::Software => "a software driver, so small sizes",
        AdapterKind::Hardware => "hardware, so full sizes",
    };
    let subgroups = info.subgroup_size.map_or("none".to_owned(), |(least, most)| format!("{least} to {most}"));
    let f16 = if info.f16 { "yes" } else { "no" };
    format!("{}, driver {}: {kind}. f16: {f16}, subgroups: {subgroups}.", info.name, info.driver)
}

/// The rows of each round, for the three ways.
#[derive(Default)]
pub struct Ways {
    pub sandbox: Vec<Vec<Row>>,
    pub session: Vec<Vec<Row>>,
    pub bare: Vec<Vec<Row>>,
}

type Rounds = [Vec<Row>];

fn seconds(rounds: &Rounds, what: &str) -> Vec<f64> {
    let row = |rows: &Vec<Row>| rows.iter().find(|row| row.what.starts_with(what)).map(|row| row.seconds);
    rounds.iter().filter_map(row).collect()
}

/// Returns the median amount per second, in bytes or operations.
fn rate(rounds: &Rounds, what: &str) -> f64 {
    let rows = rounds.iter().filter_map(|rows| rows.iter().find(|row| row.what.starts_with(what)));
    let rates: Vec<f64> = rows.filter_map(|row| Some(row.amount.as_ref()?.0 / row.seconds)).collect();
    median(&rates)
}

fn shown(row: &Row, seconds: &[f64]) -> String {
    let each = |of: fn(f64, f64) -> f64, by: f64| seconds.iter().map(|s| of(*s, by)).collect::<Vec<_>>();
    match &row.amount {
        Some((amount, unit)) => format!("{} G{unit}/s", spread(&each(|s, amount| amount / s / 1e9, *amount))),
        None => format!("{} µs", spread(&each(|s, factor| s * factor, 1e6))),
    }
}

impl Ways {
    fn each(&self) -> [&Rounds; 3] {
        [&self.sandbox, &self.session, &self.bare]
    }

    /// Returns the time in the sandbox relative to plain wgpu.
    fn cost(&self, what: &str) -> f64 {
        median(&seconds(&self.sandbox, what)) / median(&seconds(&self.bare, what))
    }

    /// Formats all rows, with the medians and ranges of the rounds.
    pub fn table(&self) -> String {
        let line = |row: &Row| {
            let ways = self.each().map(|rounds| shown(row, &seconds(rounds, &row.what)));
            let mut line = vec![row.what.clone()];
            line.extend(ways);
            line.push(format!("{:.2} ×", self.cost(&row.what)));
            line
        };
        let rows: Vec<_> = self.bare.first().into_iter().flatten().map(line).collect();
        table(&["what", "sandbox", "session", "bare wgpu", "time, sandbox / bare"], &rows)
    }

    /// Formats the rows that have a target on hardware, with the result of the sandbox.
    pub fn targets(&self, kind: AdapterKind) -> String {
        let met = |met: bool| match (kind, met) {
            (AdapterKind::Software, _) => "not meant for software",
            (AdapterKind::Hardware, true) => "yes",
            (AdapterKind::Hardware, false) => "**no**",
        };
        let share = |what: &str, least: f64| {
            let shares = self.each().map(|rounds| 100.0 * rate(rounds, what) / rate(rounds, "copy on the device"));
            let [sandbox, session, bare] = shares.map(|share| format!("{} %", short(share)));
            let name = what.trim_end_matches(',');
            vec![
                format!("{name}, of the copy's bandwidth"),
                sandbox,
                session,
                bare,
                format!("at least {least} %"),
                met(shares[0] >= least).to_owned(),
            ]
        };
        let product = "matmul f32";
        let [sandbox, session, bare] = self.each().map(|rounds| short(rate(rounds, product) / 1e12));
        let fast = rate(&self.sandbox, product) >= 25e12;
        let round_trip = "submit and read of 1 KiB";
        let [_, session_cost, _] =
            self.each().map(|r| median(&seconds(r, round_trip)) / median(&seconds(&self.bare, round_trip)));
        let cost = self.cost(round_trip);
        let rows = [
            share("saxpy,", 80.0),
            share("reduction,", 70.0),
            [format!("{product}, TFLOP/s"), sandbox, session, bare, "at least 25".into(), met(fast).into()].into(),
            vec![
                format!("{round_trip}, × bare"),
                short(cost),
                short(session_cost),
                "1".into(),
                "at most 1.5".into(),
                met(cost <= 1.5).into(),
            ],
        ];
        table(&["", "sandbox", "session", "bare wgpu", "target on hardware", "met"], &rows)
    }
}

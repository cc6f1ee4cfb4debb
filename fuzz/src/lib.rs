//! Bounded fuzzing of the parsers that read untrusted bytes, on stable Rust.
//!
//! Each test in `tests/` passes seeds and a parser to [`fuzz`], which feeds the parser with mutations of the seeds and
//! of the files under `corpus/NAME/`. Runs are deterministic unless `FABRIC_FUZZ_SEED` is set. `FABRIC_FUZZ_SECONDS`
//! sets a longer run. An input that makes a parser panic or hang is written to a file, and the failure message contains
//! its path. Add that file to `corpus/NAME/` as a regression test.
#![allow(clippy::panic, clippy::expect_used, clippy::print_stderr, reason = "a test harness: a panic is its verdict")]

mod mutate;

use mutate::Mutator;
use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Number of inputs of a run without `FABRIC_FUZZ_SECONDS`.
const INPUTS: u64 = 4_000;
/// Time limit of a run without `FABRIC_FUZZ_SECONDS`, for slow machines.
const TIME: Duration = Duration::from_secs(4);
/// Time after which one input counts as a hang: thousands of times the usual duration.
const HANG: Duration = Duration::from_secs(20);
/// Maximum size of a mutation in bytes.
pub const MAX_INPUT: usize = 64 << 10;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}=`{text}` is not a number")))
}

/// Returns the files of a target's corpus, sorted by name.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the corpus is readable").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("the corpus is readable")).collect()
}

/// Writes an input to a file and returns the path.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join("fabric-fuzz");
    // Errors are ignored, because the message has the beginning of the input too.
    let _ = std::fs::create_dir_all(&folder);
    let sum =
        input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    let path = folder.join(format!("{name}-{sum:016x}"));
    let _ = std::fs::write(&path, input);
    path
}

/// Feeds a parser its seeds, its corpus and mutations of both.
///
/// `FABRIC_FUZZ_FILE` replaces all of them by one file.
///
/// # Panics
/// If the parser panics, or takes longer than 20 s for one input.
pub fn fuzz(name: &str, seeds: &[&[u8]], parser: impl Fn(&[u8])) {
    let mut pool: Vec<Vec<u8>> = seeds.iter().map(|s| s.to_vec()).chain(corpus(name)).collect();
    pool.push(Vec::new());
    let one = |input: &[u8]| {
        let started = Instant::now();
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| parser(input)));
        let took = started.elapsed();
        if ended.is_err() || took > HANG {
            let path = keep(name, input);
            let begin = input.get(..input.len().min(200)).unwrap_or_default().escape_ascii().to_string();
            panic!(
                "{name}: {took:?}, panicked: {}; input of {} bytes in {}: {begin}",
                ended.is_err(),
                input.len(),
                path.display()
            );
        }
    };
    if let Ok(file) = std::env::var("FABRIC_FUZZ_FILE") {
        one(&std::fs::read(&file).unwrap_or_else(|e| panic!("{file}: {e}")));
        return;
    }
    for seed in &pool {
        one(seed);
    }
    let seed = variable("FABRIC_FUZZ_SEED").unwrap_or(1);
    let seconds = variable("FABRIC_FUZZ_SECONDS");
    let (most, time) = seconds.map_or((INPUTS, TIME), |s| (u64::MAX, Duration::from_secs(s)));
    let mut mutator = Mutator::new(seed, name);
    let (started, mut done) = (Instant::now(), 0);
    while done < most && started.elapsed() < time {
        one(&mutator.next(&pool));
        done += 1;
    }
    eprintln!("{name}: {done} inputs from seed {seed} in {:?}", started.elapsed());
}

/// Converts an input to text, because most text parsers are reachable only through valid UTF-8.
#[must_use]
pub fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

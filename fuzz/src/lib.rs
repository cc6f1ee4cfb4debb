//! A bounded fuzz run of the parsers that take hostile bytes, on stable Rust.
//!
//! Each test in `tests/` hands seeds and a parser to [`fuzz`], which feeds it mutations of the seeds and of the files under
//! `corpus/NAME/`. A run is the same every time unless `FABRIC_FUZZ_SEED` says otherwise; `FABRIC_FUZZ_SECONDS` makes it
//! longer. What makes a parser panic or hang is written to a file whose path the failure names; put that file into
//! `corpus/NAME/`, and it stays a test.
#![allow(clippy::panic, clippy::expect_used, clippy::print_stderr, reason = "a test harness: a panic is its verdict")]

mod mutate;

use mutate::Mutator;
use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Inputs of a run that has no time of its own.
const INPUTS: u64 = 4_000;
/// Time after which a run without a time of its own ends early, on a slow machine.
const TIME: Duration = Duration::from_secs(4);
/// Time after which one input counts as a hang: thousands of times what any input takes.
const HANG: Duration = Duration::from_secs(20);
/// Bytes of the longest mutation.
pub const MAX_INPUT: usize = 64 << 10;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}=`{text}` is no number")))
}

/// The files of a target's corpus, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the corpus is readable").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("the corpus is readable")).collect()
}

/// Writes an input down and says where.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join("fabric-fuzz");
    // Without a folder the bytes are in the message all the same.
    let _ = std::fs::create_dir_all(&folder);
    let sum =
        input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    let path = folder.join(format!("{name}-{sum:016x}"));
    let _ = std::fs::write(&path, input);
    path
}

/// Feeds a parser its seeds, its corpus and mutations of both.
///
/// # Panics
/// When the parser panics, or takes longer than 20 s for one input.
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

/// Text out of an input: most parsers of text are reached through valid UTF-8 only.
#[must_use]
pub fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

//! Generator of text for word counts: lines of about 100,000 different words, whose frequency falls with their rank
//! (Zipf). The same seed generates the same bytes.

use std::{
    collections::HashSet,
    io::Write as _,
    path::{Path, PathBuf},
};

const WORDS: usize = 100_000;

/// The generator xorshift64*: fast, and sufficient for text.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// Returns words in the order of their frequency. Frequent words are shorter, as in natural languages.
fn vocabulary(random: &mut Random) -> Vec<Vec<u8>> {
    let mut seen = HashSet::with_capacity(WORDS);
    let mut words = Vec::with_capacity(WORDS);
    for rank in 0..WORDS {
        let shortest = 2 + (rank + 1).ilog2() as usize / 3;
        loop {
            let length = shortest + (random.next() >> 40) as usize % 5;
            let word: Vec<u8> = (0..length).map(|_| b'a' + ((random.next() >> 33) % 26) as u8).collect();
            if seen.insert(word.clone()) {
                words.push(word);
                break;
            }
        }
    }
    words
}

/// Returns the file of `mib` MiB in `folder`. Generates it if it does not exist.
pub fn file(folder: &Path, mib: u64) -> anyhow::Result<PathBuf> {
    let path = folder.join(format!("words-{mib}.txt"));
    let wanted = mib << 20;
    if std::fs::metadata(&path).is_ok_and(|m| m.len() == wanted) {
        return Ok(path);
    }
    let mut random = Random(0x5EED);
    let words = vocabulary(&mut random);
    let mut sum = 0.0;
    let ends: Vec<f64> = (1..=WORDS)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&path)?);
    let mut left = wanted;
    while left > 0 {
        let mut line = Vec::with_capacity(128);
        for _ in 0..8 + random.next() % 9 {
            let at = (random.next() >> 11) as f64 / (1_u64 << 53) as f64 * sum;
            let rank = ends.partition_point(|end| *end < at);
            if let Some(word) = words.get(rank) {
                line.extend_from_slice(word);
                line.push(b' ');
            }
        }
        line.pop();
        line.push(b'\n');
        line.truncate(usize::try_from(left)?.min(line.len()));
        file.write_all(&line)?;
        left -= line.len() as u64;
    }
    file.flush()?;
    Ok(path)
}

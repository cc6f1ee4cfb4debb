//! Mutations of a byte-oriented fuzzer without feedback from the program.

use crate::MAX_INPUT;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Boundary values for lengths and offsets.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];
/// Tokens at which text parsers branch.
const TOKENS: [&str; 24] = [
    "{", "}", "[", "]", "\"", "\\", ":", ",", "\n", "- ", "&a ", "*a", "<<: ", "!t ", "---\n", "%", "..", "/", "\0",
    "\u{feff}", "-1", "1e999", "bytes=", "(a*)*",
];

/// A generator of mutated inputs.
pub(crate) struct Mutator {
    random: ChaCha8Rng,
}

impl Mutator {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let name = name.bytes().fold(0_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        Self { random: ChaCha8Rng::seed_from_u64(seed ^ name.rotate_left(32)) }
    }

    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.random.random_range(0..end) }
    }

    fn pick<'a>(&mut self, pool: &'a [Vec<u8>]) -> &'a [u8] {
        let at = self.below(pool.len());
        pool.get(at).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns a range of an input of `len` bytes, usually a short one.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = (len - start).min(if self.below(4) == 0 { len } else { 16 });
        start..start + self.below(most + 1)
    }

    /// Returns the next input.
    pub(crate) fn next(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.pick(pool).to_vec();
        for _ in 0..=self.below(6) {
            self.change(&mut input, pool);
        }
        input.truncate(MAX_INPUT);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let range = self.range(input.len());
        match self.below(9) {
            0 => {
                let (at, bit) = (self.below(input.len()), self.below(8));
                input.get_mut(at).into_iter().for_each(|b| *b ^= 1 << bit);
            }
            1 => {
                let (at, byte) = (self.below(input.len()), self.random.random::<u8>());
                input.get_mut(at).into_iter().for_each(|b| *b = byte);
            }
            2 => {
                input.drain(range);
            }
            3 => {
                let bytes: Vec<u8> = (0..self.below(16)).map(|_| self.random.random()).collect();
                input.splice(range.start..range.start, bytes);
            }
            // Repeats a part, which creates nesting and long lists.
            4 => {
                let times = 1 << self.below(10);
                let part = input.get(range.clone()).unwrap_or_default().repeat(times);
                if part.len() <= MAX_INPUT {
                    input.splice(range.end..range.end, part);
                }
            }
            5 => {
                let at = self.below(EDGES.len());
                let (number, width) = (EDGES.get(at).copied().unwrap_or(0), 1 << self.below(4));
                let bytes = number.to_le_bytes();
                let bytes = bytes.get(..width).unwrap_or_default();
                let end = (range.start + width).min(input.len());
                let reversed = self.below(2) == 0;
                let bytes: Vec<u8> = if reversed { bytes.iter().rev().copied().collect() } else { bytes.to_vec() };
                input.splice(range.start..end, bytes);
            }
            6 => {
                let at = self.below(TOKENS.len());
                let token = TOKENS.get(at).copied().unwrap_or_default();
                input.splice(range, token.bytes());
            }
            7 => {
                let other = self.pick(pool).to_vec();
                let part = self.range(other.len());
                input.splice(range, other.get(part).unwrap_or_default().to_vec());
            }
            _ => {
                let at = self.below(EDGES.len());
                let number = EDGES.get(at).copied().unwrap_or(0).to_string();
                input.splice(range, number.bytes());
            }
        }
        input.truncate(2 * MAX_INPUT);
    }
}

//! An open-addressing table from words to counts. It copies each word once and makes no allocation per word.
//!
//! Most words of a text are frequent and have at most 8 bytes. Therefore the first 8 bytes of a word are processed as
//! one number: a few instructions find the word's end, and the number is used for hashing and for comparison. A table
//! of 2³² slots would need more memory than a module can have, so `shift` is always above 0.

/// The slot of one word. Count 0 marks a free slot.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// The first 8 bytes, padded with zeros.
    head: u64,
    count: u64,
    hash: u32,
    start: u32,
    length: u32,
}

/// Counts of words.
pub struct Table {
    /// The slots. Their number is a power of two.
    slots: Vec<Slot>,
    /// Right shift from a 32-bit hash to a slot index.
    shift: u32,
    bytes: Vec<u8>,
    used: usize,
    total: u64,
}

/// Bytes that separate words: ASCII white space.
const SEPARATES: [bool; 256] = {
    let mut table = [false; 256];
    table[b' ' as usize] = true;
    table[b'\t' as usize] = true;
    table[b'\n' as usize] = true;
    table[0x0b] = true;
    table[0x0c] = true;
    table[b'\r' as usize] = true;
    table
};

/// Marks the bytes of `eight` that are at most a space. Only the lowest mark is reliable: the subtraction may borrow
/// from the bytes above it.
#[inline]
fn low_bytes(eight: u64) -> u64 {
    eight.wrapping_sub(0x2121_2121_2121_2121) & !eight & 0x8080_8080_8080_8080
}

/// Returns up to 8 bytes as a little-endian number.
#[inline]
fn number(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    }
}

#[inline]
fn mix(hash: u64, piece: u64) -> u64 {
    (hash.rotate_left(5) ^ piece).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// Creates an empty table.
    pub fn new() -> Self {
        Self { slots: vec![Slot::default(); 1 << 12], shift: 32 - 12, bytes: Vec::new(), used: 0, total: 0 }
    }

    /// Returns the number of words added.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Adds the words of a chunk. `straddling` holds the incomplete word at the end of the last chunk, and then that of
    /// this chunk.
    pub fn add_chunk(&mut self, chunk: &[u8], straddling: &mut Vec<u8>) {
        let mut rest = chunk;
        if !straddling.is_empty() {
            let end = word_end(rest);
            straddling.extend_from_slice(&rest[..end]);
            if end == rest.len() {
                return;
            }
            self.add_last(straddling);
            rest = &rest[end..];
        }
        while let Some(eight) = rest.first_chunk::<8>() {
            let (end, hash) = match scan(rest) {
                Some(found) => found,
                None => match word_end(rest) {
                    end if end == rest.len() => break,
                    end => (end, hash_of(&rest[..end])),
                },
            };
            if end > 0 {
                let unused = 64 - 8 * end.min(8) as u32;
                let head = u64::from_le_bytes(*eight) << unused >> unused;
                self.count(&rest[..end], head, hash);
            }
            rest = &rest[end + 1..];
        }
        // Fewer than 8 bytes, or a word that continues in the next chunk.
        let mut words = rest.split(|byte| SEPARATES[usize::from(*byte)]).peekable();
        while let Some(word) = words.next() {
            if words.peek().is_none() {
                straddling.extend_from_slice(word);
            } else if !word.is_empty() {
                self.add(word);
            }
        }
    }

    /// Adds the word in `straddling`, if there is one.
    pub fn add_last(&mut self, straddling: &mut Vec<u8>) {
        if !straddling.is_empty() {
            self.add(straddling);
            straddling.clear();
        }
    }

    /// Adds a word of any length.
    fn add(&mut self, word: &[u8]) {
        self.count(word, number(word), hash_of(word));
    }

    #[inline]
    fn count(&mut self, word: &[u8], head: u64, hash: u64) {
        self.total += 1;
        let mask = self.slots.len() - 1;
        // Only the top bits of a product depend on all bits of the number.
        let hash = (hash >> 32) as u32;
        let mut place = (hash >> self.shift) as usize;
        loop {
            let slot = &mut self.slots[place];
            if slot.count == 0 {
                break;
            }
            if slot.head == head && slot.length as usize == word.len() {
                let start = slot.start as usize;
                if word.len() <= 8 || self.bytes[start + 8..start + word.len()] == word[8..] {
                    slot.count += 1;
                    return;
                }
            }
            place = (place + 1) & mask;
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(word);
        self.slots[place] = Slot { head, count: 1, hash, start, length: word.len() as u32 };
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let mask = self.slots.len() * 4 - 1;
        self.shift -= 2;
        let mut slots = vec![Slot::default(); mask + 1];
        for slot in self.slots.iter().filter(|slot| slot.count > 0) {
            let mut place = (slot.hash >> self.shift) as usize;
            while slots[place].count > 0 {
                place = (place + 1) & mask;
            }
            slots[place] = *slot;
        }
        self.slots = slots;
    }

    /// Returns the words in byte order with their counts. The order makes the result deterministic.
    pub fn into_sorted(self) -> Vec<(Vec<u8>, u64)> {
        let word = |slot: &Slot| self.bytes[slot.start as usize..(slot.start + slot.length) as usize].to_vec();
        let mut words: Vec<_> =
            self.slots.iter().filter(|slot| slot.count > 0).map(|slot| (word(slot), slot.count)).collect();
        words.sort_unstable();
        words
    }
}

/// Returns the hash of a word.
fn hash_of(word: &[u8]) -> u64 {
    word.chunks(8).fold(0, |hash, piece| mix(hash, number(piece)))
}

/// Returns the end and the hash of the first word of `bytes`, reading 8 bytes at a time. Returns `None` at the end of
/// `bytes`, or at a control character that does not separate words.
#[inline]
fn scan(bytes: &[u8]) -> Option<(usize, u64)> {
    let (mut at, mut hash) = (0, 0);
    loop {
        let eight = u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?);
        let low = low_bytes(eight);
        if low == 0 {
            hash = mix(hash, eight);
            at += 8;
            continue;
        }
        let more = low.trailing_zeros() / 8;
        let end = at + more as usize;
        if !SEPARATES[usize::from(bytes[end])] {
            return None;
        }
        if more > 0 {
            let unused = 64 - 8 * more;
            hash = mix(hash, eight << unused >> unused);
        }
        return Some((end, hash));
    }
}

/// Returns the end of the first word of `bytes`.
fn word_end(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| SEPARATES[usize::from(*byte)]).unwrap_or(bytes.len())
}

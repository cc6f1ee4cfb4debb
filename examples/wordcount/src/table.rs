//! An open-addressing table from words to counts that copies a word once and allocates nothing per word.
//!
//! Most words of a text are short and come often, so the whole cost is finding a word's end and one probe.

/// One word's place: where its bytes are, its hash, its count. Count 0 marks a free place.
#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u32,
    start: u32,
    length: u32,
    count: u64,
}

/// Counts of words.
pub struct Table {
    slots: Vec<Slot>,
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

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self { slots: vec![Slot::default(); 1 << 12], bytes: Vec::new(), used: 0, total: 0 }
    }

    /// How many words were added.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Adds the words of a chunk. `straddling` holds the word that the last chunk ended in and takes the next one.
    pub fn add_chunk(&mut self, chunk: &[u8], straddling: &mut Vec<u8>) {
        let mut at = 0;
        if !straddling.is_empty() {
            at = chunk.iter().position(|byte| SEPARATES[usize::from(*byte)]).unwrap_or(chunk.len());
            straddling.extend_from_slice(&chunk[..at]);
            if at == chunk.len() {
                return;
            }
            self.add_last(straddling);
        }
        while at < chunk.len() {
            // Hash while looking for the end: each byte is looked at once.
            let start = at;
            let mut hash = 0_u32;
            while at < chunk.len() && !SEPARATES[usize::from(chunk[at])] {
                hash = (hash.rotate_left(5) ^ u32::from(chunk[at])).wrapping_mul(0x9E37_79B9);
                at += 1;
            }
            if at == chunk.len() {
                straddling.extend_from_slice(&chunk[start..]);
                return;
            }
            if at > start {
                self.add_hashed(&chunk[start..at], hash, 1);
            }
            at += 1;
        }
    }

    /// Adds the word put together from two chunks, if there is one.
    pub fn add_last(&mut self, straddling: &mut Vec<u8>) {
        if !straddling.is_empty() {
            let hash = straddling
                .iter()
                .fold(0_u32, |hash, byte| (hash.rotate_left(5) ^ u32::from(*byte)).wrapping_mul(0x9E37_79B9));
            self.add_hashed(straddling, hash, 1);
            straddling.clear();
        }
    }

    #[inline]
    fn add_hashed(&mut self, word: &[u8], hash: u32, count: u64) {
        self.total += count;
        let mask = self.slots.len() - 1;
        // The multiplication leaves its best bits at the top.
        let mut place = (hash ^ (hash >> 15)) as usize & mask;
        loop {
            let slot = &mut self.slots[place];
            if slot.count == 0 {
                break;
            }
            if slot.hash == hash && slot.length as usize == word.len() {
                let start = slot.start as usize;
                if same(&self.bytes[start..start + word.len()], word) {
                    slot.count += count;
                    return;
                }
            }
            place = (place + 1) & mask;
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(word);
        self.slots[place] = Slot { hash, start, length: word.len() as u32, count };
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let mask = self.slots.len() * 4 - 1;
        let mut slots = vec![Slot::default(); mask + 1];
        for slot in self.slots.iter().filter(|slot| slot.count > 0) {
            let mut place = (slot.hash ^ (slot.hash >> 15)) as usize & mask;
            while slots[place].count > 0 {
                place = (place + 1) & mask;
            }
            slots[place] = *slot;
        }
        self.slots = slots;
    }

    /// The words in byte order with their counts: the same result on every run.
    pub fn into_sorted(self) -> Vec<(Vec<u8>, u64)> {
        let word = |slot: &Slot| self.bytes[slot.start as usize..(slot.start + slot.length) as usize].to_vec();
        let mut words: Vec<_> =
            self.slots.iter().filter(|slot| slot.count > 0).map(|slot| (word(slot), slot.count)).collect();
        words.sort_unstable();
        words
    }
}

/// Compares two slices of one length; for short words a loop beats a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b)
}

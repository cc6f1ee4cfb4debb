//! The table of names and lines. The compile worker builds it, and the server searches it.
//!
//! All numbers are 32 bits, little-endian. The header is the magic number and the number of entries in each section.
//! The sections follow:
//! ```text
//! functions  start end index name module     sorted by start; positions in the file
//! segments   start node                      sorted by start; inlined call of the code from there on, 0 for none
//! nodes      parent name file line           one inlined call: the enclosing one, its name, and the place of the call
//! lines      start file line                 sorted by start; file 0 for no line
//! strings    end                             end of each string in the text; string 0 is none
//! text
//! ```
//! The server does not trust the contents: a wrong number results in a wrong or missing name.

use fabric_types::fault::Frame;
use std::collections::HashMap;

const MAGIC: u32 = 0x3154_5346;
const HEADER: usize = 7;

/// Maximum number of entries in each section. Together a table has at most [`MAX_BYTES`].
const MAX_FUNCTIONS: usize = 300_000;
const MAX_SEGMENTS: usize = 500_000;
const MAX_NODES: usize = 250_000;
const MAX_LINES: usize = 1_000_000;
const MAX_STRINGS: usize = 400_000;
const MAX_TEXT: usize = 8 << 20;

/// Maximum size of a table, in bytes.
pub(crate) const MAX_BYTES: u64 = 40 << 20;

const FUNCTION: usize = 5;
const SEGMENT: usize = 2;
const NODE: usize = 4;
const LINE: usize = 3;

/// A function with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) index: u32,
    pub(crate) name: u32,
    pub(crate) module: u32,
}

/// An inlined call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    /// Number of the enclosing inlined call, counted from 1; 0 for none.
    pub(crate) parent: u32,
    pub(crate) name: u32,
    pub(crate) file: u32,
    pub(crate) line: u32,
}

/// A code range of an inlined call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inlined {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) depth: u32,
    /// Number of its node, counted from 1.
    pub(crate) node: u32,
}

/// The code of one line, up to the start of the next entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) start: u32,
    pub(crate) file: u32,
    pub(crate) line: u32,
}

/// A set of distinct strings.
#[derive(Default)]
pub(crate) struct Strings {
    known: HashMap<Box<str>, u32>,
    ends: Vec<u32>,
    text: Vec<u8>,
}

impl Strings {
    /// Adds a string and returns its number. Returns 0 for an empty string, or if there is no more room.
    pub(crate) fn add(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(id) = self.known.get(text) {
            return *id;
        }
        if self.ends.len() >= MAX_STRINGS || self.text.len() + text.len() > MAX_TEXT {
            return 0;
        }
        self.text.extend_from_slice(text.as_bytes());
        self.ends.push(narrow(self.text.len()));
        let id = narrow(self.ends.len());
        self.known.insert(text.into(), id);
        id
    }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A table under construction.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) strings: Strings,
    functions: Vec<Function>,
    inlined: Vec<Inlined>,
    nodes: Vec<Node>,
    lines: Vec<Line>,
}

impl Draft {
    /// Adds a function. Returns `false` if there is no more room.
    pub(crate) fn add_function(&mut self, function: Function) -> bool {
        let room = self.functions.len() < MAX_FUNCTIONS;
        if room {
            self.functions.push(function);
        }
        room
    }

    /// Returns the function whose body contains a position. Functions must be added in the order of the file.
    pub(crate) fn function_at(&self, position: u32) -> Option<(usize, Function)> {
        let at = self.functions.partition_point(|f| f.start <= position).checked_sub(1)?;
        let function = *self.functions.get(at)?;
        (position < function.end).then_some((at, function))
    }

    /// Sets the name of a function without one.
    pub(crate) fn name_function(&mut self, at: usize, name: u32) {
        if let Some(function) = self.functions.get_mut(at)
            && function.name == 0
        {
            function.name = name;
        }
    }

    /// Adds an inlined call and returns its number, counted from 1. Returns `None` if there is no more room.
    pub(crate) fn add_node(&mut self, node: Node) -> Option<u32> {
        if self.nodes.len() >= MAX_NODES {
            return None;
        }
        self.nodes.push(node);
        Some(narrow(self.nodes.len()))
    }

    /// Sets the name of an inlined call.
    pub(crate) fn name_node(&mut self, number: u32, name: u32) {
        if let Some(node) = (number as usize).checked_sub(1).and_then(|at| self.nodes.get_mut(at)) {
            node.name = name;
        }
    }

    /// Adds a code range of an inlined call. Returns `false` if there is no more room.
    pub(crate) fn add_inlined(&mut self, inlined: Inlined) -> bool {
        // Each range results in at most two segments.
        let room = self.inlined.len() < MAX_SEGMENTS / 2;
        if room {
            self.inlined.push(inlined);
        }
        room
    }

    /// Adds the next line in the order of the file. Returns `false` if there is no more room.
    pub(crate) fn add_line(&mut self, line: Line) -> bool {
        if let Some(last) = self.lines.last_mut() {
            if last.start == line.start {
                *last = line;
                return true;
            }
            if (last.file, last.line) == (line.file, line.line) {
                return true;
            }
        }
        let room = self.lines.len() < MAX_LINES;
        if room {
            self.lines.push(line);
        }
        room
    }

    /// Returns the segments of inlined code, without overlaps: the start of each and its innermost call.
    fn segments(&mut self) -> Vec<(u32, u32)> {
        fn emit(segments: &mut Vec<(u32, u32)>, start: u32, node: u32) {
            match segments.last_mut() {
                Some(last) if last.0 == start => last.1 = node,
                Some(last) if last.1 == node => {}
                _ => segments.push((start, node)),
            }
        }
        self.inlined.sort_by_key(|i| (i.start, i.depth));
        let (mut segments, mut around) = (Vec::new(), Vec::<(u32, u32)>::new());
        let leave = |around: &mut Vec<(u32, u32)>, segments: &mut Vec<_>, until: u32| {
            while let Some((end, _)) = around.last().copied()
                && end <= until
            {
                around.pop();
                emit(segments, end, around.last().map_or(0, |(_, node)| *node));
            }
        };
        for inlined in &self.inlined {
            leave(&mut around, &mut segments, inlined.start);
            let end = around.last().map_or(inlined.end, |(end, _)| inlined.end.min(*end));
            if inlined.start < end {
                around.push((end, inlined.node));
                emit(&mut segments, inlined.start, inlined.node);
            }
        }
        leave(&mut around, &mut segments, u32::MAX);
        segments
    }

    /// Encodes the table.
    pub(crate) fn encode(mut self) -> Vec<u8> {
        let segments = self.segments();
        self.functions.sort_by_key(|f| f.start);
        self.lines.sort_by_key(|l| l.start);
        let (functions, nodes, lines) = (&self.functions, &self.nodes, &self.lines);
        let counts = [functions.len(), segments.len(), nodes.len(), lines.len()];
        let mut words = vec![MAGIC];
        words.extend(counts.map(narrow));
        words.extend([narrow(self.strings.ends.len()), narrow(self.strings.text.len())]);
        words.extend(functions.iter().flat_map(|f| [f.start, f.end, f.index, f.name, f.module]));
        words.extend(segments.iter().flat_map(|(start, node)| [*start, *node]));
        words.extend(nodes.iter().flat_map(|n| [n.parent, n.name, n.file, n.line]));
        words.extend(lines.iter().flat_map(|l| [l.start, l.file, l.line]));
        words.extend(&self.strings.ends);
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.extend_from_slice(&self.strings.text);
        bytes
    }
}

/// A section of a table: its position, its number of entries, and the numbers in each entry.
#[derive(Debug, Clone, Copy, Default)]
struct InputPart {
    at: usize,
    entries: usize,
    words: usize,
}

/// A table to search. The time of a search is logarithmic in the size of the table.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    bytes: Vec<u8>,
    functions: InputPart,
    segments: InputPart,
    nodes: InputPart,
    lines: InputPart,
    ends: InputPart,
    text: usize,
}

impl Symbols {
    /// Parses a table. An incomplete one counts as empty.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self::whole(bytes).unwrap_or_default()
    }

    fn whole(bytes: Vec<u8>) -> Option<Self> {
        let mut all = Self { bytes, ..Self::default() };
        if all.word(0)? != MAGIC {
            return None;
        }
        let mut at = HEADER;
        let mut part = |all: &Self, count: usize, words: usize| {
            let entries = all.word(count)? as usize;
            let part = InputPart { at, entries, words };
            at = at.checked_add(entries.checked_mul(words)?)?;
            Some(part)
        };
        let functions = part(&all, 1, FUNCTION)?;
        let segments = part(&all, 2, SEGMENT)?;
        let nodes = part(&all, 3, NODE)?;
        let lines = part(&all, 4, LINE)?;
        let ends = part(&all, 5, 1)?;
        let text = at.checked_mul(4)?;
        let whole = all.bytes.len() == text.checked_add(all.word(6)? as usize)?;
        all = Self { functions, segments, nodes, lines, ends, text, ..all };
        whole.then_some(all)
    }

    /// Returns the size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn word(&self, at: usize) -> Option<u32> {
        let from = at.checked_mul(4)?;
        self.bytes.get(from..from.checked_add(4)?)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b))
    }

    fn get(&self, part: InputPart, entry: usize, word: usize) -> Option<u32> {
        if entry >= part.entries || word >= part.words {
            return None;
        }
        self.word(part.at + entry * part.words + word)
    }

    /// Returns the last entry whose first number is at most `position`.
    fn last(&self, part: InputPart, position: u32) -> Option<usize> {
        let (mut low, mut high) = (0, part.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(part, middle, 0)? <= position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    fn string(&self, number: u32) -> Option<&str> {
        let at = (number as usize).checked_sub(1)?;
        let end = self.get(self.ends, at, 0)? as usize;
        let start = match at.checked_sub(1) {
            Some(before) => self.get(self.ends, before, 0)? as usize,
            None => 0,
        };
        let text = self.bytes.get(self.text..)?.get(start..end)?;
        std::str::from_utf8(text).ok()
    }

    fn location(&self, file: u32, line: u32) -> Option<String> {
        let file = self.string(file)?;
        Some(if line == 0 { file.to_owned() } else { format!("{file}:{line}") })
    }

    /// Returns the start and the index of each function.
    pub(crate) fn starts(&self) -> impl Iterator<Item = (u32, u32)> {
        let word = |at, word| self.get(self.functions, at, word);
        (0..self.functions.entries).map_while(move |at| Some((word(at, 0)?, word(at, 2)?)))
    }

    /// Returns the frames of a position in the code, innermost first: inlined calls, then the function. `start` is the
    /// start of the function as reported by the engine, and `index` is its number. Returns no frames for an unknown
    /// function.
    pub(crate) fn frames(&self, position: u32, start: u32, index: u32) -> Vec<Frame> {
        let Some(at) = self.last(self.functions, position) else { return Vec::new() };
        let word = |word| self.get(self.functions, at, word).unwrap_or(0);
        // Code that the engine generates to pass values between components has its own positions.
        if position >= word(1) || word(0) != start || word(2) != index {
            return Vec::new();
        }
        let name = |number| self.string(number).map(str::to_owned);
        let module = name(word(4));
        let mut location = self.last(self.lines, position).and_then(|at| {
            let line = |word| self.get(self.lines, at, word).unwrap_or(0);
            self.location(line(1), line(2))
        });
        let mut frames = Vec::new();
        let segment = self.last(self.segments, position);
        let mut number = segment.and_then(|at| self.get(self.segments, at, 1)).unwrap_or(0);
        while let Some(at) = (number as usize).checked_sub(1) {
            let node = |word| self.get(self.nodes, at, word).unwrap_or(0);
            let function = name(node(1)).unwrap_or_else(|| "<inlined>".to_owned());
            frames.push(Frame { function, module: module.clone(), location });
            location = self.location(node(2), node(3));
            // A parent has a lower number than its children, so the loop ends.
            if node(0) >= number || frames.len() >= crate::engine::BACKTRACE_FRAMES {
                break;
            }
            number = node(0);
        }
        frames.push(Frame { function: name(word(3)).unwrap_or_else(|| UNKNOWN.to_owned()), module, location });
        frames
    }
}

/// The name of a function without one.
pub(crate) const UNKNOWN: &str = "<unknown>";

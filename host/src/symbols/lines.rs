//! Source lines and inlined calls from DWARF, read without recursion and within a budget.
//!
//! A module's debug information is untrusted. Every entry, row, range and attribute is charged to the budget before or
//! while it is read, nesting is followed only to [`MAX_NESTING`], and data that contradicts the code is skipped.

use super::{
    Budget, Exhausted,
    modules::CoreModule,
    names::{path_end, readable},
    table::{Draft, Inlined, Line, Node},
};
use gimli::{AttributeValue, DebugInfoOffset, EndianSlice, LittleEndian, SectionId, UnitHeader, constants as dw};
use std::collections::{BTreeMap, HashMap, HashSet};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;
type Unit<'a> = gimli::Unit<Slice<'a>>;

/// Maximum number of units.
const MAX_UNITS: usize = 100_000;

/// Maximum nesting of inlined calls. Deeper ones count as the deepest.
const MAX_NESTING: u32 = 48;

/// Maximum number of enclosing entries that are tracked.
const MAX_AROUND: usize = 4096;

/// Maximum number of rows of one sequence, and of all sequences.
const MAX_ROWS: usize = 2_000_000;

/// Maximum number of ranges of one entry.
const MAX_RANGES: usize = 256;

/// Maximum number of bytes of a name or path.
const MAX_TEXT: usize = 4096;

/// Maximum number of references followed to a name: from an inlined call to its abstract instance, and to its
/// declaration.
const MAX_HOPS: usize = 4;

/// Maximum number of functions and inlined calls with a name to look up.
const MAX_NAMED: usize = 1_000_000;

/// Bytes of a string that cost one step to scan for its end.
const BYTES_PER_STEP: u64 = 64;

/// Adds a module's debug information to a draft.
///
/// # Errors
/// [`Exhausted`] if the budget is used up. Data that was already read stays in the draft.
pub(super) fn add(module: &CoreModule<'_>, draft: &mut Draft, budget: &mut Budget) -> Result<(), Exhausted> {
    if module.debug.is_empty() || module.bodies.is_empty() {
        return Ok(());
    }
    let section = |id: SectionId| {
        let data = module.debug.iter().find(|(name, _)| *name == id.name()).map_or(&[][..], |(_, data)| data);
        Ok::<_, gimli::Error>(Slice::new(data, LittleEndian))
    };
    let Ok(dwarf) = gimli::Dwarf::load(section) else { return Ok(()) };
    let mut reading = Reading {
        dwarf,
        draft,
        budget,
        code_start: module.code_start as u64,
        rows: Vec::new(),
        sequences: Vec::new(),
        programs: HashSet::new(),
        names: BTreeMap::new(),
        named: Vec::new(),
    };
    let outcome = reading.units();
    reading.write_lines();
    reading.write_names();
    outcome
}

/// A row of a line table.
#[derive(Clone, Copy)]
struct Row {
    address: u64,
    file: u64,
    line: u32,
}

/// Rows of contiguous code, by position in the file.
struct Sequence {
    start: u32,
    end: u32,
    rows: std::ops::Range<usize>,
}

/// The name of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Unread,
    /// Number of its string; 0 for none.
    Text(u32),
    /// Position of another entry that has the name.
    At(usize),
}

/// An item that an entry names.
enum Named {
    Function(usize),
    Node(u32),
}

struct Reading<'a, 'd> {
    dwarf: Dwarf<'a>,
    draft: &'d mut Draft,
    budget: &'d mut Budget,
    code_start: u64,
    /// Lines of all sequences.
    rows: Vec<Line>,
    sequences: Vec<Sequence>,
    /// Offsets of line programs that were already read. Many units may share one.
    programs: HashSet<usize>,
    /// Names by the position of their entry in `.debug_info`.
    names: BTreeMap<usize, Name>,
    named: Vec<(Named, usize)>,
}

impl<'a> Reading<'a, '_> {
    fn units(&mut self) -> Result<(), Exhausted> {
        let mut headers = Vec::new();
        let mut units = self.dwarf.units();
        while let Ok(Some(header)) = units.next() {
            self.budget.spend(1)?;
            if headers.len() >= MAX_UNITS {
                break;
            }
            headers.push(header);
        }
        for header in &headers {
            if let Some(unit) = self.unit(header)? {
                let mut files = Files::default();
                self.line_program(&unit, &mut files)?;
                self.entries(&unit, &mut files)?;
            }
        }
        self.read_names(&headers)
    }

    /// Reads a unit with its abbreviations and the header of its line program, which may be as long as the section.
    fn unit(&mut self, header: &UnitHeader<Slice<'a>>) -> Result<Option<Unit<'a>>, Exhausted> {
        self.budget.spend(16)?;
        self.budget.check_clock()?;
        Ok(self.dwarf.unit(*header).ok())
    }

    /// Returns the position in the file of an address, or `None` if it is out of range.
    fn position(&self, address: u64) -> Option<u32> {
        u32::try_from(self.code_start.checked_add(address)?).ok()
    }

    fn line_program(&mut self, unit: &Unit<'a>, files: &mut Files) -> Result<(), Exhausted> {
        let Some(program) = unit.line_program.clone() else { return Ok(()) };
        if !self.programs.insert(program.header().offset().0) {
            return Ok(());
        }
        self.budget.spend(program.header().file_names().len() as u64)?;
        let mut rows = program.rows();
        let mut sequence: Vec<Row> = Vec::new();
        loop {
            self.budget.spend(1)?;
            let row = match rows.next_row() {
                Ok(Some((_, row))) => *row,
                _ => return Ok(()),
            };
            if row.end_sequence() {
                self.sequence(unit, &mut sequence, row.address(), files)?;
                sequence.clear();
            } else if sequence.len() < MAX_ROWS {
                let line = row.line().and_then(|line| u32::try_from(line.get()).ok()).unwrap_or(0);
                sequence.push(Row { address: row.address(), file: row.file_index(), line });
            }
        }
    }

    /// Stores a sequence that lies in the code. Sequences of functions that the linker removed do not.
    fn sequence(&mut self, unit: &Unit<'a>, rows: &mut [Row], end: u64, files: &mut Files) -> Result<(), Exhausted> {
        rows.sort_by_key(|row| row.address);
        let Some(first) = rows.first() else { return Ok(()) };
        let (Some(start), Some(end)) = (self.position(first.address), self.position(end)) else { return Ok(()) };
        if start >= end || self.draft.function_at(start).is_none() || self.rows.len() + rows.len() > MAX_ROWS {
            return Ok(());
        }
        let from = self.rows.len();
        for row in rows.iter() {
            let Some(position) = self.position(row.address).filter(|at| *at < end) else { break };
            let file = self.file(unit, row.file, files)?;
            self.rows.push(Line { start: position, file, line: row.line });
        }
        self.sequences.push(Sequence { start, end, rows: from..self.rows.len() });
        Ok(())
    }

    /// Returns the string number of a file's path.
    fn file(&mut self, unit: &Unit<'a>, index: u64, files: &mut Files) -> Result<u32, Exhausted> {
        if let Some(known) = files.0.get(&index) {
            return Ok(*known);
        }
        let header = unit.line_program.as_ref().map(|program| program.header());
        let number = match header.and_then(|header| Some((header, header.file(index)?))) {
            Some((header, file)) => {
                let mut path = unit.comp_dir.map(|dir| text(dir.slice())).unwrap_or_default();
                if file.directory_index() != 0
                    && let Some(folder) = file.directory(header)
                {
                    push(&mut path, &self.string(unit, folder)?);
                }
                push(&mut path, &self.string(unit, file.path_name())?);
                self.draft.strings.add(&path_end(&path))
            }
            None => 0,
        };
        files.0.insert(index, number);
        Ok(number)
    }

    fn string(&mut self, unit: &Unit<'a>, value: AttributeValue<Slice<'a>>) -> Result<String, Exhausted> {
        let Ok(found) = self.dwarf.attr_string(unit, value) else {
            // The whole section may have been searched for the end of the string.
            self.budget.check_clock()?;
            return Ok(String::new());
        };
        self.budget.spend(1 + found.slice().len() as u64 / BYTES_PER_STEP)?;
        Ok(text(found.slice()))
    }

    /// Reads a unit's entries in order: functions for their names, and inlined calls.
    fn entries(&mut self, unit: &Unit<'a>, files: &mut Files) -> Result<(), Exhausted> {
        let Ok(mut entries) = unit.entries_raw(None) else { return Ok(()) };
        // The enclosing entries: depth, number of the inlined call or 0, and nesting of the inlined calls within it.
        let mut around: Vec<(isize, u32, u32)> = Vec::new();
        while !entries.is_empty() {
            self.budget.spend(1)?;
            let (offset, depth) = (entries.next_offset(), entries.next_depth());
            let abbreviation = match entries.read_abbreviation() {
                Ok(Some(abbreviation)) => abbreviation,
                Ok(None) => continue,
                Err(_) => return Ok(()),
            };
            self.budget.spend(abbreviation.attributes().len() as u64)?;
            while around.last().is_some_and(|(at, ..)| *at >= depth) {
                around.pop();
            }
            let tag = abbreviation.tag();
            if tag != dw::DW_TAG_inlined_subroutine && tag != dw::DW_TAG_subprogram {
                if entries.skip_attributes(abbreviation.attributes()).is_err() {
                    return Ok(());
                }
                continue;
            }
            let mut entry = Entry::default();
            for spec in abbreviation.attributes() {
                let Ok(attribute) = entries.read_attribute(*spec) else { return Ok(()) };
                entry.take(attribute.name(), attribute.value());
            }
            let origin = match entry.origin {
                Some(value) => reference(unit, value),
                None => None,
            };
            let here = offset.to_debug_info_offset(&unit.header).map(|at| at.0);
            let (node, level) = if tag == dw::DW_TAG_subprogram {
                self.function(unit, &entry, here)?;
                (0, 0)
            } else {
                let (parent, level) = around.last().map_or((0, 0), |(_, node, level)| (*node, *level));
                self.inlined(unit, &entry, origin, parent, level, files)?
            };
            if around.len() < MAX_AROUND {
                around.push((depth, node, level));
            }
        }
        Ok(())
    }

    /// Requests the name of a function that the name section lacks.
    fn function(&mut self, unit: &Unit<'a>, entry: &Entry<'a>, here: Option<usize>) -> Result<(), Exhausted> {
        let Some((start, _)) = self.ranges(unit, entry)?.first().copied() else { return Ok(()) };
        if let (Some((at, function)), Some(here)) = (self.draft.function_at(start), here)
            && function.name == 0
        {
            self.wish(Named::Function(at), here);
        }
        Ok(())
    }

    fn wish(&mut self, named: Named, entry: usize) {
        if self.named.len() >= MAX_NAMED {
            return;
        }
        self.names.insert(entry, Name::Unread);
        self.named.push((named, entry));
    }

    /// Adds an inlined call. Returns its number, and the nesting of the inlined calls within it.
    fn inlined(
        &mut self,
        unit: &Unit<'a>,
        entry: &Entry<'a>,
        origin: Option<usize>,
        parent: u32,
        level: u32,
        files: &mut Files,
    ) -> Result<(u32, u32), Exhausted> {
        let ranges = self.ranges(unit, entry)?;
        if ranges.is_empty() || level >= MAX_NESTING {
            return Ok((parent, level));
        }
        let file = match entry.file {
            Some(index) => self.file(unit, index, files)?,
            None => 0,
        };
        let node = Node { parent, name: 0, file, line: entry.line };
        let Some(number) = self.draft.add_node(node) else { return Ok((parent, level)) };
        if let Some(origin) = origin {
            self.wish(Named::Node(number), origin);
        }
        for (start, end) in ranges {
            if !self.draft.add_inlined(Inlined { start, end, depth: level, node: number }) {
                break;
            }
        }
        Ok((number, level + 1))
    }

    /// Returns the code ranges of an entry by position in the file, each within one function.
    fn ranges(&mut self, unit: &Unit<'a>, entry: &Entry<'a>) -> Result<Vec<(u32, u32)>, Exhausted> {
        let mut found = Vec::new();
        let address = |value| self.dwarf.attr_address(unit, value).ok().flatten();
        if let Some(value) = entry.ranges {
            // One step skips any number of empty ranges, so the clock is checked first.
            self.budget.check_clock()?;
            if let Ok(Some(mut ranges)) = self.dwarf.attr_ranges(unit, value) {
                while found.len() < MAX_RANGES
                    && let Ok(Some(range)) = ranges.next()
                {
                    self.budget.spend(1)?;
                    found.push((range.begin, range.end));
                }
            }
        } else if let Some(low) = entry.low.and_then(address) {
            let high = entry.high.and_then(|high| match high {
                AttributeValue::Udata(length) => low.checked_add(length),
                other => address(other),
            });
            found.extend(high.map(|high| (low, high)));
        }
        let within = found.into_iter().filter_map(|(low, high)| {
            let (start, end) = (self.position(low)?, self.position(high)?);
            let (_, function) = self.draft.function_at(start)?;
            let end = end.min(function.end);
            (start < end).then_some((start, end))
        });
        Ok(within.collect())
    }

    /// Reads the requested names, and the names they refer to.
    fn read_names(&mut self, headers: &[UnitHeader<Slice<'a>>]) -> Result<(), Exhausted> {
        for _ in 0..MAX_HOPS {
            let mut unread = self.names.iter().filter(|(_, name)| **name == Name::Unread).map(|(at, _)| *at).peekable();
            if unread.peek().is_none() {
                return Ok(());
            }
            let unread: Vec<usize> = unread.collect();
            let mut next = 0;
            for header in headers {
                let Some(DebugInfoOffset(start)) = header.debug_info_offset() else { continue };
                let end = start.saturating_add(header.length_including_self());
                // Both lists are in the order of the section.
                while unread.get(next).is_some_and(|at| *at < start) {
                    next += 1;
                }
                if unread.get(next).is_none_or(|at| *at >= end) {
                    continue;
                }
                let Some(unit) = self.unit(header)? else { continue };
                while let Some(at) = unread.get(next).copied().filter(|at| *at < end) {
                    next += 1;
                    let name = self.name(&unit, at)?;
                    self.names.insert(at, name);
                    if let Name::At(other) = name {
                        self.names.entry(other).or_insert(Name::Unread);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the name of the entry at a position, or the position of the entry that has it.
    fn name(&mut self, unit: &Unit<'a>, at: usize) -> Result<Name, Exhausted> {
        self.budget.spend(1)?;
        let none = Ok(Name::Text(0));
        let Some(offset) = DebugInfoOffset(at).to_unit_offset(&unit.header) else { return none };
        let Ok(mut entries) = unit.entries_raw(Some(offset)) else { return none };
        let Ok(Some(abbreviation)) = entries.read_abbreviation() else { return none };
        self.budget.spend(abbreviation.attributes().len() as u64)?;
        let mut entry = Entry::default();
        for spec in abbreviation.attributes() {
            let Ok(attribute) = entries.read_attribute(*spec) else { return none };
            entry.take(attribute.name(), attribute.value());
        }
        if let Some(value) = entry.linkage_name.or(entry.name) {
            let name = self.string(unit, value)?;
            return Ok(Name::Text(self.draft.strings.add(&readable(&name))));
        }
        Ok(entry.origin.and_then(|value| reference(unit, value)).map_or(Name::Text(0), Name::At))
    }

    fn write_names(&mut self) {
        for (named, entry) in std::mem::take(&mut self.named) {
            let mut at = entry;
            for _ in 0..=MAX_HOPS {
                match self.names.get(&at) {
                    Some(Name::At(other)) => at = *other,
                    Some(Name::Text(number)) => {
                        match named {
                            Named::Function(function) => self.draft.name_function(function, *number),
                            Named::Node(node) => self.draft.name_node(node, *number),
                        }
                        break;
                    }
                    _ => break,
                }
            }
        }
    }

    /// Writes the sequences in the order of the code. If two overlap, the first one is used.
    fn write_lines(&mut self) {
        self.sequences.sort_by_key(|sequence| (sequence.start, sequence.end));
        let mut from = 0;
        for sequence in &self.sequences {
            if sequence.start < from {
                continue;
            }
            for line in self.rows.get(sequence.rows.clone()).unwrap_or_default() {
                if !self.draft.add_line(*line) {
                    return;
                }
            }
            if !self.draft.add_line(Line { start: sequence.end, file: 0, line: 0 }) {
                return;
            }
            from = sequence.end;
        }
    }
}

/// String numbers of a unit's file paths, by file index.
#[derive(Default)]
struct Files(HashMap<u64, u32>);

/// The relevant attributes of an entry.
#[derive(Default)]
struct Entry<'a> {
    low: Option<AttributeValue<Slice<'a>>>,
    high: Option<AttributeValue<Slice<'a>>>,
    ranges: Option<AttributeValue<Slice<'a>>>,
    /// Entry that this one is an instance or a definition of.
    origin: Option<AttributeValue<Slice<'a>>>,
    name: Option<AttributeValue<Slice<'a>>>,
    linkage_name: Option<AttributeValue<Slice<'a>>>,
    file: Option<u64>,
    line: u32,
}

impl<'a> Entry<'a> {
    fn take(&mut self, name: gimli::DwAt, value: AttributeValue<Slice<'a>>) {
        match name {
            dw::DW_AT_low_pc => self.low = Some(value),
            dw::DW_AT_high_pc => self.high = Some(value),
            dw::DW_AT_ranges => self.ranges = Some(value),
            dw::DW_AT_abstract_origin | dw::DW_AT_specification => self.origin = Some(value),
            dw::DW_AT_name => self.name = Some(value),
            dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => self.linkage_name = Some(value),
            dw::DW_AT_call_file => {
                self.file = match value {
                    AttributeValue::FileIndex(index) => Some(index),
                    other => other.udata_value(),
                }
            }
            dw::DW_AT_call_line => {
                self.line = value.udata_value().and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
            }
            _ => {}
        }
    }
}

/// Returns the position in `.debug_info` of the entry that a value refers to.
fn reference(unit: &Unit<'_>, value: AttributeValue<Slice<'_>>) -> Option<usize> {
    match value {
        AttributeValue::UnitRef(offset) if offset.is_in_bounds(&unit.header) => {
            Some(offset.to_debug_info_offset(&unit.header)?.0)
        }
        AttributeValue::DebugInfoRef(DebugInfoOffset(at)) => Some(at),
        _ => None,
    }
}

/// Converts the last bytes of a string. Invalid UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(MAX_TEXT);
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}

/// Appends a path. An absolute one replaces `path`.
fn push(path: &mut String, more: &str) {
    if more.starts_with(['/', '\\']) || more.get(1..3).is_some_and(|s| s == ":\\" || s == ":/") {
        path.clear();
    } else if !path.is_empty() && !path.ends_with(['/', '\\']) {
        path.push('/');
    }
    path.push_str(more);
}

//! Writes modules with handmade custom sections: names and debug information that no tool would generate.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

/// Encodes a number as LEB128.
pub fn leb(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn read_leb(bytes: &[u8], at: &mut usize) -> usize {
    let (mut n, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        n |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return n;
        }
    }
}

/// Appends a custom section to a core module.
pub fn custom(module: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut section = leb(name.len() as u64);
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data);
    module.push(0);
    module.extend(leb(section.len() as u64));
    module.extend(section);
}

/// Returns the start and end of each function of a core module as DWARF counts them: from the contents of the code
/// section.
pub fn functions(module: &[u8]) -> Vec<(u32, u32)> {
    let mut at = 8;
    while at < module.len() {
        let id = module[at];
        at += 1;
        let len = read_leb(module, &mut at);
        if id != 10 {
            at += len;
            continue;
        }
        let code = at;
        return (0..read_leb(module, &mut at))
            .map(|_| {
                let len = read_leb(module, &mut at);
                at += len;
                ((at - len - code) as u32, (at - code) as u32)
            })
            .collect();
    }
    panic!("there is no code");
}

/// Returns a name section with these function names, which need not be UTF-8.
pub fn names<N: AsRef<[u8]>>(names: impl IntoIterator<Item = (u32, N)>) -> Vec<u8> {
    let (mut count, mut map) = (0, Vec::new());
    for (index, name) in names {
        count += 1;
        map.extend(leb(index.into()));
        map.extend(leb(name.as_ref().len() as u64));
        map.extend_from_slice(name.as_ref());
    }
    let mut map = [leb(count), map].concat();
    let mut section = vec![1];
    section.extend(leb(map.len() as u64));
    section.append(&mut map);
    section
}

/// `.debug_info` and `.debug_abbrev` of one unit, DWARF 4.
pub struct Info(Vec<u8>);

/// Length of a unit header: length, version, abbreviations, address size.
const UNIT_HEAD: usize = 11;

impl Info {
    /// Creates a unit in `/src` that refers to the line program at `lines`.
    pub fn new(lines: u32) -> Self {
        let mut unit = Self(vec![0; UNIT_HEAD]);
        unit.0.push(1);
        unit.0.extend(b"unit.c\0/src\0");
        unit.0.extend(lines.to_le_bytes());
        unit
    }

    /// Returns the position of the next entry.
    pub fn here(&self) -> u32 {
        self.0.len() as u32
    }

    /// Opens a function.
    pub fn function(&mut self, name: &str, (low, high): (u32, u32)) {
        self.0.push(2);
        self.0.extend(name.as_bytes());
        self.0.push(0);
        self.0.extend(low.to_le_bytes());
        self.0.extend((high - low).to_le_bytes());
    }

    /// Opens an inlined call of the function at `origin`.
    pub fn inlined(&mut self, origin: u32, (low, high): (u32, u32), line: u16) {
        self.0.push(3);
        self.0.extend(origin.to_le_bytes());
        self.0.extend(low.to_le_bytes());
        self.0.extend((high - low).to_le_bytes());
        self.0.push(1);
        self.0.extend(line.to_le_bytes());
    }

    /// Closes the entry that was opened last.
    pub fn end(&mut self) {
        self.0.push(0);
    }

    /// Adds a function that is only inlined. Returns its position.
    pub fn abstract_function(&mut self, name: &str) -> u32 {
        let here = self.here();
        self.0.push(4);
        self.0.extend(name.as_bytes());
        self.0.push(0);
        here
    }

    /// Adds an entry whose name is at `origin`. Returns its position.
    pub fn see(&mut self, origin: u32) -> u32 {
        let here = self.here();
        self.0.push(5);
        self.0.extend(origin.to_le_bytes());
        here
    }

    /// Returns the two sections.
    pub fn sections(mut self) -> Vec<(&'static str, Vec<u8>)> {
        self.end();
        let len = self.0.len() as u32 - 4;
        self.0[..4].copy_from_slice(&len.to_le_bytes());
        self.0[4..6].copy_from_slice(&4_u16.to_le_bytes());
        self.0[10] = 4;
        vec![(".debug_info", self.0), (".debug_abbrev", abbreviations(0))]
    }
}

/// Returns the abbreviations that [`Info`] uses, and one with `more` attributes that take no byte.
pub fn abbreviations(more: usize) -> Vec<u8> {
    let mut all = Vec::new();
    // compile_unit: name, comp_dir, stmt_list.
    all.extend([1, 0x11, 1, 0x03, 0x08, 0x1b, 0x08, 0x10, 0x17, 0, 0]);
    // subprogram: name, low_pc, high_pc.
    all.extend([2, 0x2e, 1, 0x03, 0x08, 0x11, 0x01, 0x12, 0x06, 0, 0]);
    // inlined_subroutine: abstract_origin, low_pc, high_pc, call_file, call_line.
    all.extend([3, 0x1d, 1, 0x31, 0x13, 0x11, 0x01, 0x12, 0x06, 0x58, 0x0b, 0x59, 0x05, 0, 0]);
    // subprogram: name.
    all.extend([4, 0x2e, 0, 0x03, 0x08, 0, 0]);
    // subprogram: abstract_origin.
    all.extend([5, 0x2e, 0, 0x31, 0x13, 0, 0]);
    // variable: `external` as a flag without a value, repeated `more` times.
    all.extend([6, 0x34, 0]);
    all.extend([0x3f, 0x19].repeat(more));
    all.extend([0, 0, 0]);
    all
}

/// Returns a `.debug_line` section, DWARF 4: folders, files in them, and rows of address, file and line up to `end`.
pub fn lines(folders: &[&[u8]], files: &[(&[u8], u64)], rows: &[(u32, u64, i64)], end: u32) -> Vec<u8> {
    let mut head = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    for folder in folders {
        head.extend_from_slice(folder);
        head.push(0);
    }
    head.push(0);
    for (name, folder) in files {
        head.extend_from_slice(name);
        head.push(0);
        head.extend(leb(*folder));
        head.extend([0, 0]);
    }
    head.push(0);
    let (mut program, mut line) = (Vec::new(), 1_i64);
    for (address, file, at) in rows {
        program.extend([0, 5, 2]);
        program.extend(address.to_le_bytes());
        program.push(4);
        program.extend(leb(*file));
        program.push(3);
        program.extend(sleb(at - line));
        program.push(1);
        line = *at;
    }
    program.extend([0, 5, 2]);
    program.extend(end.to_le_bytes());
    program.extend([0, 1, 1]);
    let mut section = Vec::new();
    section.extend((2 + 4 + head.len() as u32 + program.len() as u32).to_le_bytes());
    section.extend(4_u16.to_le_bytes());
    section.extend((head.len() as u32).to_le_bytes());
    section.extend(head);
    section.extend(program);
    section
}

fn sleb(mut n: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if (n == 0 && low & 0x40 == 0) || (n == -1 && low & 0x40 != 0) {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Returns a module with these sections appended.
pub fn with(module: &[u8], sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut module = module.to_vec();
    for (name, data) in sections {
        custom(&mut module, name, data);
    }
    module
}

/// Returns copies of `module` with debug information that takes unbounded stack, memory or time if it is read without
/// care. The first function is the one that traps.
pub fn hostile(module: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (low, high) = functions(module)[0];
    let all = (low, high);
    // Without a line the unit has no code, and a reader might skip its entries.
    let plain = |mut sections: Vec<(&'static str, Vec<u8>)>| {
        if !sections.iter().any(|(name, _)| *name == ".debug_line") {
            sections.push((".debug_line", lines(&[], &[(b"f", 0)], &[(low, 1, 7)], high)));
        }
        with(module, &sections)
    };
    let mut modules = Vec::new();

    let mut info = Info::new(0);
    info.function("outer", all);
    for _ in 0..8000 {
        info.inlined(info.here(), all, 1);
    }
    for _ in 0..8001 {
        info.end();
    }
    modules.push(("8,000 calls inlined into each other", plain(info.sections())));

    let mut info = Info::new(0);
    info.function("outer", all);
    for _ in 0..200_000 {
        info.inlined(info.here(), all, 1);
    }
    modules.push(("200,000 open entries", plain(info.sections())));

    let folder = vec![b'd'; 150_000];
    let files: Vec<(&[u8], u64)> = vec![(b"f", 1); 30_000];
    let rows: Vec<_> = (0..30_000).map(|n| (low, n + 1, 7)).collect();
    let mut sections = Info::new(0).sections();
    sections.push((".debug_line", lines(&[&folder], &files, &rows, high)));
    modules.push(("300 KB of file names that make 4.5 GB of paths", plain(sections)));

    let mut info = Info::new(0);
    let first = info.see(0);
    let second = info.see(first);
    info.0[first as usize + 1..][..4].copy_from_slice(&second.to_le_bytes());
    let own = info.here();
    info.see(own);
    info.function("outer", all);
    for origin in [first, second, own, 0, 5, u32::MAX] {
        info.inlined(origin, all, 1);
        info.end();
    }
    info.end();
    modules.push(("names that refer to each other in a circle", plain(info.sections())));

    let mut info = Info::new(0);
    info.0.extend(vec![6; 100_000]);
    let mut sections = info.sections();
    sections[1].1 = abbreviations(100_000);
    modules.push(("100,000 entries of 100,000 attributes each", plain(sections)));

    // Units that share one line program of 100,000 rows.
    let unit = Info::new(0).sections().remove(0).1;
    let rows: Vec<_> = (0..100_000).map(|n| (low, 1, n % 50)).collect();
    modules.push((
        "20,000 units of one line program",
        plain(vec![
            (".debug_info", unit.repeat(20_000)),
            (".debug_abbrev", abbreviations(0)),
            (".debug_line", lines(&[], &[(b"f", 0)], &rows, high)),
        ]),
    ));

    let many = (0..1_000_000).map(|index| (index, "name"));
    modules.push(("a million names", plain(vec![("name", names(many))])));
    let long = "n".repeat(99_999);
    modules.push(("a name of 100 KB", plain(vec![("name", names((0..64).map(|index| (index, &long))))])));
    modules.push(("names that are no text", plain(vec![("name", names((0..9).map(|index| (index, b"\xff\xfe"))))])));

    // Meaningless bytes, identical in each run.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |len: usize| {
        let mut bytes = Vec::with_capacity(len);
        for _ in 0..len {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.push((seed >> 56) as u8);
        }
        bytes
    };
    let sections = [".debug_info", ".debug_abbrev", ".debug_line", ".debug_ranges", ".debug_str", "name"];
    let noisy = sections.map(|name| (name, noise(2000)));
    modules.push(("noise", with(module, &noisy)));
    modules
}

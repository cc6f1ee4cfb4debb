//! Names and debug information of modules, as the compile worker parses them, and the symbol table that the server
//! searches.

#[path = "../../../host/tests/host/support/debug_info.rs"]
mod support;

use fabric_fuzz::fuzz;
use support::{Info, custom, functions, hostile, lines, names, with};

fn bare() -> Vec<u8> {
    let text = r#"(module $guest (import "a" "b" (func))
        (func $first (drop (i32.const 1)) (drop (i32.const 2)) (drop (i32.const 3)))
        (func (drop (i32.const 1))))"#;
    wat::parse_str(text).unwrap()
}

/// Returns a module whose first function has inlined calls and lines.
fn described() -> Vec<u8> {
    let bare = bare();
    let (low, high) = functions(&bare)[0];
    let mut info = Info::new(0);
    let inner = info.abstract_function("inner");
    let middle = info.abstract_function("_ZN5alloc3vec6middle17h0123456789abcdefE");
    let declared = info.see(middle);
    info.function("first", (low, high));
    info.inlined(declared, (low + 4, low + 8), 20);
    info.inlined(inner, (low + 4, low + 6), 30);
    for _ in 0..3 {
        info.end();
    }
    let mut sections = info.sections();
    let rows = [(low, 1, 10), (low + 4, 2, 40), (low + 6, 1, 31)];
    sections.push((".debug_line", lines(&[b"lib", b"/abs"], &[(b"main.c", 0), (b"inner.h", 1)], &rows, high)));
    with(&bare, &sections)
}

#[test]
fn debug_info() {
    let bare = bare();
    let mut named = bare.clone();
    custom(&mut named, "name", &names([(1, "first"), (2, "_ZN1a1b17h0123456789abcdefE")]));
    // Hostile sections of a few kilobytes are enough: their structure matters, not their size.
    let hostile = hostile(&bare).into_iter().map(|(_, module)| module).filter(|m| m.len() < fabric_fuzz::MAX_INPUT);
    let seeds: Vec<_> = [named, described()].into_iter().chain(hostile).collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    fuzz("debug-info", &seeds, fabric_host::fuzzing::debug_info);
}

#[test]
fn symbol_tables() {
    let table = fabric_host::fuzzing::table(&described());
    assert!(!table.is_empty());
    fuzz("symbol-tables", &[&table], |input| fabric_host::fuzzing::symbol_table(input.to_vec()));
}

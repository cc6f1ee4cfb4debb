use super::{table::Symbols, *};
use fabric_types::fault::Frame;

#[path = "../../tests/host/support/debug_info.rs"]
mod debug_info;
use debug_info::{Info, custom, functions, hostile, lines, with};

const STEPS: u64 = 50_000_000;

fn module() -> Vec<u8> {
    let text = r#"(module $guest
        (import "a" "b" (func))
        (func $first (drop (i32.const 1)) (drop (i32.const 2)) (drop (i32.const 3)))
        (func $_ZN5alloc3vec12Vec$LT$T$GT$4push17h0123456789abcdefE (drop (i32.const 1)))
        (func (drop (i32.const 1))))"#;
    wat::parse_str(text).unwrap()
}

/// Returns the start of the code section's contents in the file.
fn code_start(module: &[u8]) -> u32 {
    modules::read(module)[0].code_start as u32
}

/// Returns the frames at an offset from the start of function `n`.
fn frames(module: &[u8], table: Vec<u8>, n: usize, offset: u32) -> Vec<(String, Option<String>)> {
    let start = code_start(module) + functions(module)[n].0;
    let frames = Symbols::new(table).frames(start + offset, start, n as u32 + 1);
    assert!(frames.iter().all(|Frame { module, .. }| module.as_deref() == Some("guest")), "{frames:?}");
    frames.into_iter().map(|frame| (frame.function, frame.location)).collect()
}

fn pair(function: &str, location: &str) -> (String, Option<String>) {
    (function.to_owned(), Some(location.to_owned()).filter(|l| !l.is_empty()))
}

#[test]
fn functions_have_their_own_names_demangled() {
    let module = module();
    for (n, name) in ["first", "alloc::vec::Vec<T>::push", "<unknown>"].into_iter().enumerate() {
        assert_eq!(frames(&module, names(&module), n, 1), [pair(name, "")]);
    }
    let symbols = Symbols::new(names(&module));
    let start = code_start(&module) + functions(&module)[0].0;
    // Code at the position of a function is not that function if its index or start differs.
    assert!(symbols.frames(start + 1, start, 2).is_empty());
    assert!(symbols.frames(start + 1, start + 1, 1).is_empty());
    assert!(symbols.frames(0, 0, 0).is_empty());
    assert!(symbols.frames(u32::MAX, u32::MAX, 1).is_empty());
}

#[test]
fn lines_and_inlined_calls_are_found() {
    let bare = module();
    let (low, high) = functions(&bare)[0];
    let mut info = Info::new(0);
    let inner = info.abstract_function("inner");
    let middle = info.abstract_function("_ZN5alloc3vec6middle17h0123456789abcdefE");
    let declared = info.see(middle);
    info.function("first", (low, high));
    info.inlined(declared, (low + 4, low + 8), 20);
    info.inlined(inner, (low + 4, low + 6), 30);
    info.end();
    info.end();
    info.end();
    let third = functions(&bare)[2];
    info.function("third", third);
    info.end();
    let mut sections = info.sections();
    let rows = [(low, 1, 10), (low + 4, 2, 40), (low + 6, 1, 31)];
    sections.push((".debug_line", lines(&[b"lib", b"/abs"], &[(b"main.c", 0), (b"inner.h", 1)], &rows, high)));
    let module = with(&bare, &sections);
    let table = || read(&module, &mut Budget::new(STEPS, 60));
    let at = |offset| frames(&module, table(), 0, offset);
    assert_eq!(at(0), [pair("first", "/src/main.c:10")]);
    let inlined = [
        pair("inner", "/src/lib/inner.h:40"),
        pair("alloc::vec::middle", "/src/main.c:30"),
        pair("first", "/src/main.c:20"),
    ];
    assert_eq!((at(4), at(5)), (inlined.to_vec(), inlined.to_vec()));
    assert_eq!(at(6), [pair("alloc::vec::middle", "/src/main.c:31"), pair("first", "/src/main.c:20")]);
    assert_eq!(at(8), [pair("first", "/src/main.c:31")]);
    // Debug information supplies the names that the name section lacks.
    assert_eq!(frames(&module, table(), 2, 1), [pair("third", "")]);
    assert_eq!(frames(&module, table(), 1, 1), [pair("alloc::vec::Vec<T>::push", "")]);
}

#[test]
fn hostile_debug_information_gives_a_small_table_within_its_budget() {
    let bare = module();
    for (what, module) in hostile(&bare) {
        let mut budget = Budget::new(STEPS, 60);
        let table = read(&module, &mut budget);
        assert!(table.len() as u64 <= table::MAX_BYTES, "{what}: {} bytes", table.len());
        let start = code_start(&module) + functions(&module)[0].0;
        let frames = Symbols::new(table).frames(start + 2, start, 1);
        assert!((1..=64).contains(&frames.len()), "{what}: {} frames", frames.len());
        for frame in frames {
            assert!(frame.function.len() <= 500 && frame.location.is_none_or(|l| l.len() <= 520), "{what}");
        }
    }
}

#[test]
fn a_spent_budget_leaves_names() {
    let mut info = Info::new(0);
    let bare = module();
    info.function("first", functions(&bare)[0]);
    let module = with(&bare, &info.sections());
    for steps in 0..40 {
        assert_eq!(frames(&module, read(&module, &mut Budget::new(steps, 60)), 0, 1), [pair("first", "")]);
    }
    assert_eq!(frames(&module, read(&module, &mut Budget::new(STEPS, 0)), 0, 1), [pair("first", "")]);
}

#[test]
fn names_are_short_and_have_no_control_characters() {
    assert_eq!(names::readable("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    assert_eq!(names::readable(&"é".repeat(9000)).len(), 500);
    // A mangled name with back references, whose demangled form grows with each step.
    let bomb = format!("_RIC0{}E", "TB0_B0_B0_B0_".repeat(40));
    assert!(names::readable(&bomb).len() <= 500);
    assert_eq!(names::path_end("/a/b.c"), "/a/b.c");
    let end = names::path_end(&format!("/{}/b.c", "é".repeat(900)));
    assert!(end.len() <= 500 && end.starts_with('…') && end.ends_with("/b.c"), "{end}");
}

#[test]
fn the_engine_does_not_see_names_and_debug_information() {
    let mut module = module();
    custom(&mut module, ".debug_info", b"x");
    let hidden = hide(module.clone());
    assert_eq!(hidden.len(), module.len());
    wasmparser::Validator::new().validate_all(&hidden).unwrap();
    assert_eq!(modules::read(&hidden)[0].names, []);
    assert_eq!(modules::read(&hidden)[0].debug, []);
    assert_eq!(functions(&hidden), functions(&module));
}

#[test]
fn modules_of_a_component_are_told_apart_by_their_place_in_the_file() {
    let text = r#"(component
        (core module $a (func $one (drop (i32.const 1))))
        (component (core module $b (func $two (drop (i32.const 1)))))
        (core module (func $three (drop (i32.const 1)))))"#;
    let component = wat::parse_str(text).unwrap();
    let symbols = Symbols::new(names(&component));
    let found: Vec<_> = modules::read(&component)
        .iter()
        .map(|module| {
            let start = module.bodies[0].start as u32;
            let frame = symbols.frames(start + 1, start, 0).remove(0);
            (frame.module, frame.function)
        })
        .collect();
    let one = |module: Option<&str>, function: &str| (module.map(str::to_owned), function.to_owned());
    assert_eq!(found, [one(Some("a"), "one"), one(Some("b"), "two"), one(None, "three")]);
}

#[test]
fn a_broken_table_gives_nothing_and_never_panics() {
    let module = module();
    let whole = read(&module, &mut Budget::new(STEPS, 60));
    let start = code_start(&module) + functions(&module)[0].0;
    for len in 0..whole.len() {
        assert!(Symbols::new(whole[..len].to_vec()).frames(start + 1, start, 1).is_empty());
    }
    for at in 0..whole.len() {
        for bit in [0, 7] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            let _ = Symbols::new(flipped).frames(start + 1, start, 1);
        }
    }
}

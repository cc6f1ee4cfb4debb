//! Valid shaders, and an invalid one for each reason of rejection.

use super::*;
use crate::command::{BindingAccess, BindingShape};
use proptest::prelude::*;

fn source(wgsl: &str) -> Source {
    Source { wgsl: wgsl.to_owned(), entry: "main".to_owned(), constants: Vec::new() }
}

fn checked(wgsl: &str) -> Result<Reflection, Error> {
    // Same stack size as in the checker: the nesting limit was measured with it.
    let source = source(wgsl);
    std::thread::Builder::new()
        .stack_size(crate::worker::checker::STACK_BYTES)
        .spawn(move || check(&source, Extensions::default(), &AdapterLimits::default()))
        .unwrap()
        .join()
        .unwrap()
}

fn body(statements: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read_write> out: array<u32>;\n\
         @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ {statements} }}"
    )
}

fn limit(result: Result<Reflection, Error>) -> (String, u64) {
    match result.unwrap_err() {
        Error::Limit { name, limit, .. } => (name, limit),
        other => panic!("{other:?}"),
    }
}

fn invalid(wgsl: &str) -> String {
    match checked(wgsl).unwrap_err() {
        Error::Invalid(message) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_layout_is_read_from_the_source() {
    let reflection = checked(
        "struct Params { n: u32, scale: f32, row: vec3<f32> }
         @group(0) @binding(2) var<storage, read> params: Params;
         @group(0) @binding(0) var<storage, read_write> out: array<f32>;
         @group(0) @binding(1) var<storage> unused: array<f32>;
         var<workgroup> tile: array<f32, 65>;
         @compute @workgroup_size(8, 4) fn main(@builtin(local_invocation_index) i: u32) {
             tile[i] = params.scale;
             workgroupBarrier();
             out[i] = tile[0];
         }",
    );
    let layout = |binding, access, min_bytes| BindingShape { binding, access, min_bytes };
    assert_eq!(
        reflection.unwrap(),
        Reflection {
            bindings: vec![layout(0, BindingAccess::ReadWrite, 4), layout(2, BindingAccess::Read, 32)],
            workgroup_size: [8, 4, 1],
            workgroup_memory_bytes: 272,
        }
    );
}

#[test]
fn constants_decide_sizes() {
    let wgsl = "override n: u32; override width: u32 = 8;
        var<workgroup> tile: array<u32, n>;
        @group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(width) fn main() { tile[0] = 1u; out[0] = tile[0]; }";
    let with = |constants: &[(&str, f64)]| {
        let constants = constants.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        check(&Source { constants, ..source(wgsl) }, Extensions::default(), &AdapterLimits::default())
    };
    let reflection = with(&[("n", 256.0), ("width", 32.0)]).unwrap();
    assert_eq!(reflection.workgroup_memory_bytes, 1024);
    assert_eq!(reflection.workgroup_size, [32, 1, 1]);
    assert_eq!(limit(with(&[("n", 262_144.0)])), ("workgroup-memory-bytes".into(), 16 << 10));
    assert_eq!(limit(with(&[("n", 1.0), ("width", 512.0)])), ("workgroup-width".into(), 256));
    for (constants, why) in [
        (&[][..], "Missing value"),
        (&[("n", 1.0), ("m", 1.0)][..], "'m' not found"),
        (&[("n", -1.0)][..], "doesn't fit"),
        (&[("n", f64::NAN)][..], "finite number"),
        (&[("n", 1.0), ("n", 2.0)][..], "given twice"),
    ] {
        let error = with(constants).unwrap_err().to_string();
        assert!(error.contains(why), "{constants:?}: {error}");
    }
}

#[test]
fn mistakes_have_a_place() {
    let Error::Shader { message, line, column } = checked("\n  fn main( {}").unwrap_err() else { panic!() };
    assert_eq!((line, column), (2, 12), "{message}");
    let Error::Shader { message, line, .. } = checked(&body("\n\n let x: f32 = 1u;")).unwrap_err() else { panic!() };
    assert_eq!(line, 4, "{message}");
    // Reported by the validator, not by the parser.
    let wgsl = "@group(0) @binding(0) var<storage, read> out: array<u32>;
        @compute @workgroup_size(1) fn main() {
            out[0] = 1u;
        }";
    let Error::Shader { message, line, .. } = checked(wgsl).unwrap_err() else { panic!() };
    assert!(message.contains("read") || message.contains("store") || message.contains("assign"), "{message}");
    assert!(line == 2 || line == 3, "{line}: {message}");
}

#[test]
fn long_sources_are_not_parsed() {
    let long = format!("{}{}", body(""), " ".repeat(64 << 10));
    assert_eq!(limit(checked(&long)), ("shader-bytes".into(), 64 << 10));
    let many = (0..65).map(|n| (format!("c{n}"), 0.0)).collect();
    let many = check(&Source { constants: many, ..source("") }, Extensions::default(), &AdapterLimits::default());
    assert_eq!(limit(many), ("constants".into(), 64));
}

#[test]
fn deep_nesting_of_every_kind_is_refused() {
    let deep = 2000;
    let sources = [
        ("parentheses", body(&format!("out[0] = {}1u{};", "(".repeat(deep), ")".repeat(deep)))),
        ("operators", body(&format!("out[0] = 1u{};", "+1u".repeat(deep)))),
        ("minus", body(&format!("let x = {}1;", "- ".repeat(deep)))),
        ("not", body(&format!("let x = {}true;", "!".repeat(deep)))),
        ("blocks", body(&format!("{}{}", "{".repeat(deep), "}".repeat(deep)))),
        ("ifs", body(&format!("{}{}", "if true {".repeat(deep), "}".repeat(deep)))),
        ("else", body(&format!("if true {{}} {}", "else if true {}".repeat(deep)))),
        ("indices", body(&format!("let x = {}0{};", "out[".repeat(deep), "]".repeat(deep)))),
        ("members", body(&format!("let x = id{};", ".x".repeat(deep)))),
        ("types", format!("alias t = {}u32{};", "array<".repeat(deep), ", 1>".repeat(deep))),
        ("open types", format!("alias t = {}u32;", "ptr<function, ".repeat(deep))),
        ("open brackets", "(".repeat(deep)),
        ("calls", body(&format!("out[0] = {}1u{};", "abs(".repeat(deep), ")".repeat(deep)))),
        ("switch", body(&format!("{}{}", "switch 1 { default: {".repeat(deep), "}}".repeat(deep)))),
        ("attributes", format!("{} fn main() {{}}", "@a(".repeat(deep))),
    ];
    for (what, wgsl) in sources {
        assert_eq!(limit(checked(&wgsl)), ("nesting".into(), 128), "{what}");
    }
}

#[test]
fn nesting_up_to_the_limit_is_parsed() {
    let deep = 100;
    checked(&body(&format!("out[0] = {}1u{};", "(".repeat(deep), ")".repeat(deep)))).unwrap();
    checked(&body(&format!("out[0] = out[1]{};", "+out[2]".repeat(50)))).unwrap();
    checked(&body(&format!("{}{}", "if out[0] > 1u {".repeat(30), "}".repeat(30)))).unwrap();
}

#[test]
fn doubling_functions_are_counted_as_they_expand() {
    let mut wgsl = String::from("fn f0(x: u32) -> u32 { return x * 3u; }\n");
    for n in 1..=40 {
        let last = n - 1;
        wgsl.push_str(&format!("fn f{n}(x: u32) -> u32 {{ return f{last}(x) + f{last}(x + 1u); }}\n"));
    }
    wgsl.push_str(&body("out[0] = f40(id.x);"));
    assert_eq!(limit(checked(&wgsl)), ("operations".into(), 16_384));
    // Seven doublings are a few hundred operations.
    checked(&wgsl.replace("f40(id", "f7(id")).unwrap();
}

#[test]
fn large_values_count_by_their_scalars() {
    let wgsl = body("var a: array<u32, 4000>; var b = a; var c = b; var d = c; out[0] = d[id.x];");
    let name = limit(checked(&wgsl)).0;
    assert!(name == "operations" || name == "private-memory-bytes", "{name}");
    let structs = (1..60).map(|n| format!("struct S{n} {{ a: S{}, b: S{} }}\n", n - 1, n - 1)).collect::<String>();
    let doubling = format!("struct S0 {{ a: u32 }}\n{structs}{}", body("var s: S59; out[0] = 1u;"));
    assert!(checked(&doubling).is_err());
}

#[test]
fn a_mebibyte_of_workgroup_memory_is_refused_in_one_or_in_many() {
    let one = format!("var<workgroup> m: array<u32, 262144>;\n{}", body("m[id.x] = 1u; out[0] = m[0];"));
    assert_eq!(limit(checked(&one)), ("workgroup-memory-bytes".into(), 16 << 10));
    let declared = (0..3).map(|n| format!("var<workgroup> m{n}: array<u32, 2048>;\n")).collect::<String>();
    let many = format!("{declared}{}", body("m0[id.x] = 1u; m1[0] = 1u; out[0] = m0[0] + m1[0] + m2[0];"));
    assert_eq!(limit(checked(&many)), ("workgroup-memory-bytes".into(), 16 << 10));
    // The third variable is unused.
    let two = many.replace(" + m2[0]", "");
    assert_eq!(checked(&two).unwrap().workgroup_memory_bytes, 16 << 10);
    // The third variable is used by a function that `main` calls.
    let called = format!("{declared}fn f() -> u32 {{ return m2[1]; }}\n{}", body("out[0] = m0[0] + m1[0] + f();"));
    assert_eq!(limit(checked(&called)), ("workgroup-memory-bytes".into(), 16 << 10));
}

#[test]
fn private_memory_is_bounded() {
    let private = format!("var<private> p: array<u32, 5000>;\n{}", body("p[id.x] = 1u; out[0] = p[0];"));
    assert_eq!(limit(checked(&private)), ("private-memory-bytes".into(), 16 << 10));
    assert_eq!(
        limit(checked(&body("var p: array<u32, 5000>; p[id.x] = 1u; out[0] = p[0];"))).0,
        "private-memory-bytes"
    );
}

#[test]
fn workgroups_are_bounded() {
    let sized = |size: &str| body("").replace("(64)", &format!("({size})"));
    assert_eq!(limit(checked(&sized("512"))).0, "workgroup-width");
    assert_eq!(limit(checked(&sized("1, 1, 65"))).0, "workgroup-width");
    assert_eq!(limit(checked(&sized("32, 32"))).0, "workgroup-invocations");
    assert!(checked(&sized("0")).is_err());
    checked(&sized("16, 16")).unwrap();
}

#[test]
fn only_storage_buffers_of_group_0_are_bound() {
    let declared = |text: &str| format!("{text}\n{}", body("out[0] = 1u;"));
    assert!(invalid(&declared("@group(0) @binding(1) var<uniform> u: vec4<f32>;")).contains("not a storage buffer"));
    assert!(invalid(&declared("@group(0) @binding(1) var t: texture_2d<f32>;")).contains("not a storage buffer"));
    assert!(invalid(&declared("@group(0) @binding(1) var s: sampler;")).contains("not a storage buffer"));
    assert!(invalid(&declared("@group(1) @binding(0) var<storage> a: array<u32>;")).contains("@group(0)"));
    let many = (1..9).map(|n| format!("@group(0) @binding({n}) var<storage> b{n}: array<u32>;\n")).collect::<String>();
    let sum = (1..9).map(|n| format!(" + b{n}[0]")).collect::<String>();
    assert_eq!(limit(checked(&format!("{many}{}", body(&format!("out[0] = 1u{sum};"))))), ("bindings".into(), 8));
    let far = "@group(0) @binding(4000000000) var<storage> far: array<u32>;";
    assert_eq!(limit(checked(&format!("{far}\n{}", body("out[0] = far[0];")))).0, "bindings");
}

#[test]
fn entry_points_are_looked_up() {
    assert!(invalid("fn f() {}").contains("no @compute function `main`"));
    assert!(invalid("@fragment fn main() {}").contains("no @compute function"));
}

#[test]
fn extensions_are_off_unless_the_adapter_has_them() {
    let f16 = "enable f16; @compute @workgroup_size(1) fn main() { let x = 1.0h; }";
    assert!(matches!(checked(f16), Err(Error::Shader { .. })));
    let on = Extensions { f16: true, subgroups: true };
    check(&source(f16), on, &AdapterLimits::default()).unwrap();
    let subgroups = body("out[0] = subgroupAdd(id.x);");
    assert!(matches!(checked(&subgroups), Err(Error::Shader { .. })));
    check(&source(&subgroups), on, &AdapterLimits::default()).unwrap();
}

#[test]
fn recursion_is_refused() {
    let wgsl = format!("fn a() {{ b(); }} fn b() {{ a(); }}\n{}", body("a();"));
    assert!(matches!(checked(&wgsl), Err(Error::Shader { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any text is accepted or rejected without a panic.
    #[test]
    fn any_text_is_answered(text in "\\PC{0,400}") {
        let _ = check(&source(&text), Extensions::default(), &AdapterLimits::default());
    }

    /// So is any sequence of the language's keywords and tokens.
    #[test]
    fn any_words_are_answered(words in proptest::collection::vec(proptest::sample::select(vec![
        "fn", "main", "(", ")", "{", "}", "[", "]", "<", ">", ",", ";", ":", "->", "=", "var", "let", "array", "u32",
        "@compute", "@workgroup_size(1)", "@group(0)", "@binding(0)", "storage", "if", "else", "loop", "break", "1",
        "0x7fffffff", "4294967295u", "+", "-", "*", "&", "struct", "x", "override", "const", "vec4", "ptr", "return",
    ]), 0..120)) {
        let _ = check(&source(&words.join(" ")), Extensions::default(), &AdapterLimits::default());
    }
}

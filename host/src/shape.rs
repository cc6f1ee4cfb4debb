//! The shape of a module, read from its bytes alone: form, imports, exports and initial memory.

use fabric_types::{Code, Fault};
use wasmparser::{Encoding, ExternalKind, Parser, Payload, Validator, WasmFeatures};

/// The form of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Core,
    Component,
}

/// The shape of a module.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) form: Form,
    /// The names of interfaces for a component, `module` and `name` for a core module.
    pub(crate) imports: Vec<(String, Option<String>)>,
    pub(crate) exports: Vec<String>,
    /// Largest initial memory of any module in the file, in bytes.
    pub(crate) memory: u64,
}

/// Returns the WebAssembly features that validation accepts. The engine may accept fewer.
fn features() -> WasmFeatures {
    WasmFeatures::default() - WasmFeatures::MEMORY64 - WasmFeatures::THREADS
}

/// Distinguishes core modules and components from other files by their first bytes.
///
/// # Errors
/// `not-wasm`.
pub(crate) fn form(bytes: &[u8]) -> Result<Form, Fault> {
    if bytes.first_chunk::<4>() != Some(b"\0asm") {
        let found = if bytes.is_empty() { "there are no bytes".to_owned() } else { describe(bytes) };
        return Err(Fault::new(Code::NotWasm, format!("this is not a WebAssembly module: {found}"))
            .hint("upload the .wasm file that the build produced"));
    }
    if Parser::is_component(bytes) { Ok(Form::Component) } else { Ok(Form::Core) }
}

fn describe(bytes: &[u8]) -> String {
    let head: Vec<String> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
    match bytes {
        [0x7f, b'E', b'L', b'F', ..] => "it is a native program".into(),
        [b'(', ..] => "it looks like the text format; assemble it first".into(),
        [0x1f, 0x8b, ..] => "it is compressed with gzip".into(),
        [b'P', b'K', ..] => "it is a zip archive".into(),
        _ => format!("it begins with {} instead of 00 61 73 6d", head.join(" ")),
    }
}

/// Maximum number of imports, and of exports, of all modules in one file. The server stores them in memory with the
/// machine code.
const MAX_IMPORTS: usize = 20_000;
const MAX_EXPORTS: usize = 200_000;

fn counted(count: &mut usize, more: u32, max: usize, what: &str) -> Result<(), Fault> {
    *count = count.saturating_add(more as usize);
    if *count <= max {
        return Ok(());
    }
    Err(Fault::new(Code::CompileLimit, format!("the module has {count} {what}, at most {max} are accepted"))
        .hint("link with `--gc-sections`, and export only what is called"))
}

/// Validates a module and reads its shape. Runs in the compile worker, since it may take any amount of time and memory.
///
/// # Errors
/// `not-wasm`, `invalid-module`, and `compile-limit` for too many imports or exports.
pub(crate) fn read(bytes: &[u8]) -> Result<Shape, Fault> {
    let form = form(bytes)?;
    let invalid = |e: wasmparser::BinaryReaderError| {
        let cut = if e.message().contains("unexpected end") { "; the file may be cut off" } else { "" };
        Fault::new(
            Code::InvalidModule,
            format!("the module does not validate at byte {}: {}{cut}", e.offset(), e.message()),
        )
    };
    Validator::new_with_features(features()).validate_all(bytes).map_err(invalid)?;
    let mut shape = Shape { form, imports: Vec::new(), exports: Vec::new(), memory: 0 };
    let mut depth = 0_u32;
    let (mut imports, mut exports) = (0, 0);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        match &payload {
            Payload::ImportSection(section) => counted(&mut imports, section.count(), MAX_IMPORTS, "imports")?,
            Payload::ComponentImportSection(section) => {
                counted(&mut imports, section.count(), MAX_IMPORTS, "imports")?;
            }
            Payload::ExportSection(section) => counted(&mut exports, section.count(), MAX_EXPORTS, "exports")?,
            Payload::ComponentExportSection(section) => {
                counted(&mut exports, section.count(), MAX_EXPORTS, "exports")?;
            }
            _ => {}
        }
        match payload {
            Payload::Version { encoding, .. } => {
                if depth == 0 && (encoding == Encoding::Component) != (form == Form::Component) {
                    return Err(Fault::new(Code::InvalidModule, "the module's header contradicts itself"));
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    shape.imports.push((import.map_err(invalid)?.name.name.to_owned(), None));
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    shape.exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) if depth == 1 && form == Form::Core => {
                for import in section.into_imports() {
                    let import = import.map_err(invalid)?;
                    shape.imports.push((import.module.to_owned(), Some(import.name.to_owned())));
                }
            }
            Payload::ExportSection(section) if depth == 1 && form == Form::Core => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    if export.kind == ExternalKind::Func {
                        shape.exports.push(export.name.to_owned());
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.map_err(invalid)?;
                    let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                    shape.memory = shape.memory.max(memory.initial.saturating_mul(page));
                }
            }
            _ => {}
        }
    }
    Ok(shape)
}

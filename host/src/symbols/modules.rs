//! The core modules of a file, as backtraces need them, with positions in the file.

use std::ops::Range;
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// A core module, alone or in a component.
#[derive(Default)]
pub(super) struct CoreModule<'a> {
    /// Name in the name section.
    pub(super) name: Option<&'a str>,
    /// Number of imported functions. The module's own functions are numbered after them.
    pub(super) imported: u32,
    /// Start of the code section's contents, from which DWARF counts.
    pub(super) code_start: usize,
    /// Bodies of the module's own functions, in order.
    pub(super) bodies: Vec<Range<usize>>,
    /// Function indices and names.
    pub(super) names: Vec<(u32, &'a str)>,
    /// DWARF sections by name.
    pub(super) debug: Vec<(&'a str, &'a [u8])>,
}

/// Reads all core modules, including those in nested components. Malformed data ends the reading. The module is already
/// validated, so such data is in a custom section.
pub(super) fn read(bytes: &[u8]) -> Vec<CoreModule<'_>> {
    let (mut done, mut open) = (Vec::new(), Vec::<Option<CoreModule<'_>>>::new());
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        if let Payload::Version { encoding, .. } = &payload {
            open.push((*encoding == wasmparser::Encoding::Module).then(CoreModule::default));
            continue;
        }
        if let Payload::End(_) = &payload {
            done.extend(open.pop().flatten());
            continue;
        }
        if let Some(Some(module)) = open.last_mut() {
            part(module, payload);
        }
    }
    done
}

fn part<'a>(module: &mut CoreModule<'a>, payload: Payload<'a>) {
    match payload {
        Payload::ImportSection(section) => {
            let functions = section
                .into_imports()
                .map_while(Result::ok)
                .filter(|import| matches!(import.ty, wasmparser::TypeRef::Func(_) | wasmparser::TypeRef::FuncExact(_)));
            module.imported = u32::try_from(functions.count()).unwrap_or(u32::MAX);
        }
        Payload::CodeSectionStart { range, .. } => module.code_start = range.start,
        Payload::CodeSectionEntry(body) => module.bodies.push(body.range()),
        Payload::CustomSection(section) => {
            if section.name().starts_with(".debug_") {
                module.debug.push((section.name(), section.data()));
            } else if let KnownCustom::Name(names) = section.as_known() {
                for subsection in names {
                    match subsection {
                        Ok(Name::Module { name, .. }) => module.name = Some(name),
                        Ok(Name::Function(map)) => {
                            let names = map.into_iter().map_while(Result::ok).map(|n| (n.index, n.name));
                            module.names.extend(names);
                        }
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
            }
        }
        _ => {}
    }
}

/// Returns the position of the first byte of the name of each custom section with names or debug information.
pub(super) fn debug_section_names(bytes: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        if let Payload::CustomSection(section) = payload {
            let name = section.name();
            if name == "name" || name == "component-name" || name.starts_with(".debug_") {
                found.push(section.data_offset() - name.len());
            }
        }
    }
    found
}

//! The core modules of a file and what their backtraces need, with positions in the file.

use std::ops::Range;
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// One core module, alone or in a component.
#[derive(Default)]
pub(super) struct CoreModule<'a> {
    /// What it calls itself.
    pub(super) name: Option<&'a str>,
    /// Functions it imports; its own are numbered after them.
    pub(super) imported: u32,
    /// Where the code section's contents begin. DWARF counts from here.
    pub(super) code_start: usize,
    /// The bodies of its functions, in order.
    pub(super) bodies: Vec<Range<usize>>,
    /// Function index and name.
    pub(super) names: Vec<(u32, &'a str)>,
    /// DWARF sections by name.
    pub(super) debug: Vec<(&'a str, &'a [u8])>,
}

/// Reads all core modules, also those in nested components. What is malformed ends the reading: the module was validated
/// before, so that can only be a custom section.
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

/// The position of the first byte of each name of a custom section that holds names or debug information.
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

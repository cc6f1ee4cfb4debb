//! Function names, demangled and shortened.

use super::{
    modules::CoreModule,
    table::{Draft, Function},
};
use std::fmt::{self, Write as _};

/// Maximum length of a stored name, in bytes.
const MAX_NAME: usize = 500;

/// Maximum length of a name to demangle, in bytes.
const MAX_MANGLED: usize = 4096;

/// Adds a module's functions to a draft.
pub(super) fn add(module: &CoreModule<'_>, draft: &mut Draft) {
    let mut names: Vec<_> = module.names.iter().collect();
    names.sort_by_key(|(index, _)| *index);
    let own = module.name.map_or(0, |name| draft.strings.add(&readable(name)));
    for (at, body) in module.bodies.iter().enumerate() {
        let Some(index) = u32::try_from(at).ok().and_then(|at| module.imported.checked_add(at)) else { break };
        let (Ok(start), Ok(end)) = (u32::try_from(body.start), u32::try_from(body.end)) else { break };
        let named = names.binary_search_by_key(&index, |(index, _)| *index).ok().and_then(|at| names.get(at));
        let name = named.map_or(0, |(_, name)| draft.strings.add(&readable(name)));
        if !draft.add_function(Function { start, end, index, name, module: own }) {
            break;
        }
    }
}

/// Demangles a name, replaces control characters, and truncates it to [`MAX_NAME`] bytes.
pub(super) fn readable(name: &str) -> String {
    let mut text = Short(String::new());
    // A name that is too long ends the write with an error. The text written so far stays.
    let _ = if name.len() <= MAX_MANGLED {
        write!(text, "{:#}", rustc_demangle::demangle(name))
    } else {
        text.write_str(name)
    };
    text.0
}

/// A writer that stops at [`MAX_NAME`] bytes, since a short mangled name may have a long demangled form.
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let c = if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
            if self.0.len() + c.len_utf8() > MAX_NAME {
                return Err(fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}

/// Returns the end of a path, at most [`MAX_NAME`] bytes. Control characters are replaced.
pub(super) fn path_end(path: &str) -> String {
    let from = path.len().saturating_sub(MAX_NAME - 8);
    let from = path.ceil_char_boundary(from);
    let cut = if from == 0 { "" } else { "…" };
    let end = path.get(from..).unwrap_or_default();
    let mut text = Short(String::new());
    let _ = text.write_str(cut).and_then(|()| text.write_str(end));
    text.0
}

//! `fabric:task` in a component.

use super::{Keyed, Level, Part, PartKind};
use crate::bindings::imports::fabric::task as wit;

pub(crate) fn next_part() -> Option<Part> {
    wit::input::next_part().map(|part| Part {
        name: part.name,
        offset: part.offset,
        size: part.size,
        kind: match part.kind {
            wit::input::PartKind::Bytes => PartKind::Bytes,
            wit::input::PartKind::Keyed => PartKind::Keyed,
        },
    })
}

pub(crate) fn read(max_bytes: u32) -> Vec<u8> {
    wit::input::read(max_bytes)
}

pub(crate) fn read_keyed(max_bytes: u32) -> Vec<Keyed> {
    wit::input::read_keyed(max_bytes)
}

pub(crate) fn write(bytes: &[u8]) {
    wit::output::write(bytes);
}

pub(crate) fn set_content_type(content_type: &str) {
    wit::output::set_content_type(content_type);
}

pub(crate) fn emit(records: &[Keyed]) {
    wit::emit::emit(records);
}

pub(crate) fn params() -> String {
    wit::params::get()
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => wit::log::Level::Trace,
        Level::Debug => wit::log::Level::Debug,
        Level::Info => wit::log::Level::Info,
        Level::Warn => wit::log::Level::Warn,
        Level::Error => wit::log::Level::Error,
    };
    wit::log::log(level, message);
}

pub(crate) fn progress(completed: u64, total: u64) {
    wit::progress::report(completed, total);
}

pub(crate) fn at(place: &str) {
    wit::progress::at(place);
}

//! Log lines and progress.

use std::fmt;

use crate::sys;
pub use crate::sys::Level;

/// Adds one line to the invocation's log. The macros [`crate::info!`] and its like are shorter.
pub fn log(level: Level, message: impl fmt::Display) {
    sys::log(level, &message.to_string());
}

/// Says how far the task is: `completed` of `total` steps of its own choosing; `total` 0 when it is not known.
pub fn progress(completed: u64, total: u64) {
    sys::progress(completed, total);
}

/// Logs a line for following single steps; takes what `format!` takes.
#[macro_export]
macro_rules! trace {
    ($($arg:tt)*) => { $crate::log($crate::Level::Trace, ::core::format_args!($($arg)*)) };
}

/// Logs a line for finding a fault; takes what `format!` takes.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)*) => { $crate::log($crate::Level::Debug, ::core::format_args!($($arg)*)) };
}

/// Logs what happened; takes what `format!` takes.
#[macro_export]
macro_rules! info {
    ($($arg:tt)*) => { $crate::log($crate::Level::Info, ::core::format_args!($($arg)*)) };
}

/// Logs something odd that leaves the result standing; takes what `format!` takes.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)*) => { $crate::log($crate::Level::Warn, ::core::format_args!($($arg)*)) };
}

/// Logs something wrong; takes what `format!` takes.
#[macro_export]
macro_rules! error {
    ($($arg:tt)*) => { $crate::log($crate::Level::Error, ::core::format_args!($($arg)*)) };
}

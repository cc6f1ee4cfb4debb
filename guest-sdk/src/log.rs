//! Log lines and progress.

use std::fmt;

use crate::sys;
pub use crate::sys::Level;

/// Appends one line to the invocation's log. The macros such as [`crate::info!`] are shorter.
pub fn log(level: Level, message: impl fmt::Display) {
    sys::log(level, &message.to_string());
}

/// Reports the task's progress: `completed` of `total` steps. The task defines a step; `total` is 0 if unknown.
pub fn progress(completed: u64, total: u64) {
    sys::progress(completed, total);
}

/// Names the place that the function has reached, such as a row of its input. An error that ends the call, for example at
/// its fuel limit, contains the last place, of which the host keeps 256 bytes.
pub fn at(place: impl fmt::Display) {
    sys::at(&place.to_string());
}

/// Logs a line at level trace, for single steps. Takes the arguments of `format!`.
#[macro_export]
macro_rules! trace {
    ($($arg:tt)*) => { $crate::log($crate::Level::Trace, ::core::format_args!($($arg)*)) };
}

/// Logs a line at level debug. Takes the arguments of `format!`.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)*) => { $crate::log($crate::Level::Debug, ::core::format_args!($($arg)*)) };
}

/// Logs a line at level info. Takes the arguments of `format!`.
#[macro_export]
macro_rules! info {
    ($($arg:tt)*) => { $crate::log($crate::Level::Info, ::core::format_args!($($arg)*)) };
}

/// Logs a line at level warn, for a problem that does not affect the result. Takes the arguments of `format!`.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)*) => { $crate::log($crate::Level::Warn, ::core::format_args!($($arg)*)) };
}

/// Logs a line at level error. Takes the arguments of `format!`.
#[macro_export]
macro_rules! error {
    ($($arg:tt)*) => { $crate::log($crate::Level::Error, ::core::format_args!($($arg)*)) };
}

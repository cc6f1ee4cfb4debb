//! Log output of a guest: log calls, standard error, and standard output unless it is the result.
//!
//! Long lines are split, invalid UTF-8 is replaced and NUL is removed. A program that displays lines on a terminal must
//! escape other control characters itself. The function's limit bounds the number of bytes.

use crate::failure_output::{self, FailureOutput};
use fabric_types::{Code, Fault};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// Maximum length of a line, in bytes. A longer line continues as the next one.
pub const MAX_LINE_BYTES: usize = 16 << 10;

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// The origin of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogOrigin {
    /// A call of `fabric:task/log`.
    Log,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line of a guest's log output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLogLine {
    /// Severity: `Info` for standard output, `Warn` for standard error.
    pub level: LogLevel,
    /// Origin of the line.
    pub origin: LogOrigin,
    /// Text without the line feed, from at most 16 KiB of output.
    pub text: String,
}

/// A receiver of a call's log lines. It is called from inside the guest's call, so it must be fast and must not block.
pub trait LogSink: Send + Sync {
    /// Receives a line.
    fn line(&self, line: GuestLogLine);
}

/// A sink that stores the lines of a call in memory. The function's log limit bounds its size.
#[derive(Debug, Default)]
pub struct MemoryLog(Mutex<Vec<GuestLogLine>>);

impl MemoryLog {
    /// Returns the lines received so far.
    #[must_use]
    pub fn lines(&self) -> Vec<GuestLogLine> {
        self.0.lock().clone()
    }
}

impl LogSink for MemoryLog {
    fn line(&self, line: GuestLogLine) {
        self.0.lock().push(line);
    }
}

/// Splits the output of a call into lines and forwards them to the sink.
pub(crate) struct Logs {
    sink: Option<Arc<dyn LogSink>>,
    limit: u64,
    used: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Last lines of standard error.
    last: VecDeque<String>,
}

impl Logs {
    pub(crate) fn new(sink: Option<Arc<dyn LogSink>>, limit: u64) -> Self {
        Self { sink, limit, used: 0, stdout: Vec::new(), stderr: Vec::new(), last: VecDeque::new() }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        // `bytes` includes the end of the line, so that an empty line is charged too.
        self.used = self.used.saturating_add(bytes as u64);
        if self.used > self.limit {
            return Err(Fault::new(Code::LogLimit, format!("more than {} bytes were logged", self.limit))
                .hint("log less, or raise `limits.log-bytes` in fabric.toml"));
        }
        Ok(())
    }

    fn emit(&mut self, level: LogLevel, origin: LogOrigin, bytes: &[u8]) {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        text.retain(|c| c != '\0');
        #[cfg(debug_assertions)]
        crate::test_hooks::line(&text);
        if origin == LogOrigin::Stderr {
            if self.last.len() >= failure_output::LINES {
                self.last.pop_front();
            }
            self.last.push_back(text.chars().take(failure_output::LINE_CHARS).collect());
        }
        if let Some(sink) = &self.sink {
            sink.line(GuestLogLine { level, origin, text });
        }
    }

    /// Handles a log call.
    pub(crate) fn log(&mut self, level: LogLevel, message: &str) -> Result<(), Fault> {
        self.charge(message.len() + 1)?;
        for line in message.split('\n') {
            for chunk in line.as_bytes().chunks(MAX_LINE_BYTES) {
                self.emit(level, LogOrigin::Log, chunk);
            }
        }
        Ok(())
    }

    /// Handles bytes that were written to a stream.
    pub(crate) fn write(&mut self, origin: LogOrigin, bytes: &[u8]) -> Result<(), Fault> {
        self.charge(bytes.len())?;
        let stderr = origin == LogOrigin::Stderr;
        let level = if stderr { LogLevel::Warn } else { LogLevel::Info };
        let mut pending = std::mem::take(if stderr { &mut self.stderr } else { &mut self.stdout });
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            pending.extend_from_slice(piece);
            if pending.last() == Some(&b'\n') {
                pending.pop();
                if pending.last() == Some(&b'\r') {
                    pending.pop();
                }
                for chunk in pending.chunks(MAX_LINE_BYTES) {
                    self.emit(level, origin, chunk);
                }
                pending.clear();
            }
            while pending.len() > MAX_LINE_BYTES {
                let rest = pending.split_off(MAX_LINE_BYTES);
                self.emit(level, origin, &pending);
                pending = rest;
            }
        }
        *(if stderr { &mut self.stderr } else { &mut self.stdout }) = pending;
        Ok(())
    }

    /// Forwards lines that are not terminated by a line feed.
    pub(crate) fn flush(&mut self) {
        for origin in [LogOrigin::Stdout, LogOrigin::Stderr] {
            let stderr = origin == LogOrigin::Stderr;
            let pending = std::mem::take(if stderr { &mut self.stderr } else { &mut self.stdout });
            if !pending.is_empty() {
                self.emit(if stderr { LogLevel::Warn } else { LogLevel::Info }, origin, &pending);
            }
        }
    }

    /// Returns the end of standard error, including a line that is not terminated.
    pub(crate) fn failure_output(&mut self) -> FailureOutput {
        self.flush();
        FailureOutput::read(self.last.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_cleaned_and_bounded() {
        let sink = Arc::new(MemoryLog::default());
        let mut logs = Logs::new(Some(sink.clone()), 40_000);
        logs.write(LogOrigin::Stderr, b"one\r\ntw").unwrap();
        logs.write(LogOrigin::Stderr, b"o\xff\0!\nrest").unwrap();
        logs.write(LogOrigin::Stdout, &vec![b'x'; MAX_LINE_BYTES + 5]).unwrap();
        logs.flush();
        let texts: Vec<_> = sink.lines().into_iter().map(|l| l.text).collect();
        assert_eq!(texts.iter().map(String::len).collect::<Vec<_>>(), [3, 7, MAX_LINE_BYTES, 5, 4]);
        assert_eq!(texts.get(1).unwrap(), "two\u{fffd}!");
        assert_eq!(logs.failure_output().lines, ["one", "two\u{fffd}!", "rest"]);
        let fault = logs.log(LogLevel::Info, &"y".repeat(40_000)).unwrap_err();
        assert_eq!(fault.code, Code::LogLimit);
    }
}

//! Output of the process: data to standard output, everything else to standard error, colour only on a terminal.

use crate::{
    failure::Failure,
    table::Table,
    text::{TerminalSanitizer, clean},
};
use fabric_client::Download;
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};

/// The output streams of this process and their format.
pub struct Out {
    /// True if data is written as JSON.
    pub json: bool,
    colour: bool,
    stdout_is_terminal: bool,
    /// True if standard error is a terminal.
    pub stderr_is_terminal: bool,
}

impl Out {
    /// Detects terminals, and reads `NO_COLOR` and `TERM`.
    pub fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let stderr_is_terminal = std::io::stderr().is_terminal();
        Self {
            json,
            colour: stderr_is_terminal && !plain,
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal,
        }
    }

    /// Writes a failure to standard error: as text, or with `--json` as a problem document.
    pub fn failure(&self, failure: &Failure) {
        let text = if self.json { format!("{}\n", failure.json()) } else { failure.render(self.colour) };
        // A closed standard error can't be reported.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Writes a note to standard error.
    pub fn note(&self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr(), "{}", clean(text.as_ref()));
    }

    /// Writes a line to standard output. On a terminal, control characters are removed from it.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        let text = text.as_ref();
        let text = if self.stdout_is_terminal { clean(text) } else { text.into() };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::stdout)
    }

    /// Writes bytes to standard output unchanged.
    pub fn raw(&self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()).map_err(Failure::stdout)
    }

    /// Writes a value as JSON: indented on a terminal, else on one line.
    pub fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text =
            if self.stdout_is_terminal { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        // JSON escapes C0 controls; `line` removes the others.
        self.line(text.map_err(|e| Failure::local("internal", e.to_string()))?)
    }

    /// Writes a table to standard output.
    pub fn table(&self, table: &Table) -> Result<(), Failure> {
        self.raw(table.render())
    }

    /// Writes `value` as JSON with `--json`, else calls `people` to write it.
    pub fn show<T: Serialize>(
        &self,
        value: &T,
        people: impl FnOnce(&Self, &T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.json { self.json(value) } else { people(self, value) }
    }

    /// Streams a body to standard output: unchanged to a file or pipe, as cleaned text to a terminal. Returns its
    /// length.
    pub async fn body(&self, mut body: Download) -> Result<u64, Failure> {
        let mut total = 0;
        let mut cleaner = TerminalSanitizer::default();
        let mut last = b'\n';
        while let Some(chunk) = body.chunk().await? {
            if self.stdout_is_terminal {
                if total == 0 && is_binary(&chunk) {
                    return Err(Failure::usage("the result is binary and standard output is a terminal")
                        .hint("send it to a file: `> FILE` or --output FILE"));
                }
                self.raw(cleaner.feed(&chunk))?;
            } else {
                self.raw(&chunk)?;
            }
            last = chunk.last().copied().unwrap_or(last);
            total += chunk.len() as u64;
        }
        if self.stdout_is_terminal {
            self.raw(cleaner.finish())?;
            if last != b'\n' {
                self.raw("\n")?;
            }
        }
        Ok(total)
    }
}

/// Returns `true` if the first 8 KiB contain a zero byte.
fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(8192).any(|b| *b == 0)
}

//! Where output goes: data to standard output, everything else to standard error, colour only on a terminal.

use crate::{
    failure::Failure,
    table::Table,
    text::{Cleaner, clean},
};
use fabric_client::Download;
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};

/// How this process speaks.
pub struct Out {
    /// Whether data goes out as JSON.
    pub json: bool,
    colour: bool,
    stdout_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
}

impl Out {
    /// Looks at where the streams go and at `NO_COLOR`.
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

    /// A failure to standard error: text, or a problem document where JSON was asked for.
    pub fn failure(&self, failure: &Failure) {
        let text = if self.json { format!("{}\n", failure.json()) } else { failure.render(self.colour) };
        // Nobody is left to tell when standard error is gone.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// A remark to standard error.
    pub fn note(&self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr(), "{}", clean(text.as_ref()));
    }

    /// A line to standard output. What came from a server is cleaned on its way to a terminal.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        let text = text.as_ref();
        let text = if self.stdout_is_terminal { clean(text) } else { text.into() };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::stdout)
    }

    /// Text to standard output as it is; for text of our own.
    pub fn raw(&self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()).map_err(Failure::stdout)
    }

    /// A value as JSON, in lines for people and in one line for programs.
    pub fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text =
            if self.stdout_is_terminal { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        // JSON escapes C0 controls itself; the others go the way of all text.
        self.line(text.map_err(|e| Failure::local("internal", e.to_string()))?)
    }

    /// A table to standard output.
    pub fn table(&self, table: &Table) -> Result<(), Failure> {
        self.raw(table.render())
    }

    /// `value` as JSON where that was asked for, else what `people` makes of it.
    pub fn show<T: Serialize>(
        &self,
        value: &T,
        people: impl FnOnce(&Self, &T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.json { self.json(value) } else { people(self, value) }
    }

    /// A body to standard output as it comes: its very bytes to a file or pipe, cleaned text to a terminal.
    pub async fn body(&self, mut body: Download) -> Result<u64, Failure> {
        let mut total = 0;
        let mut cleaner = Cleaner::default();
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

/// Whether bytes are plainly no text.
fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(8192).any(|b| *b == 0)
}

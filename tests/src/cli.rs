//! The output of one run of the CLI.

/// A finished run of the CLI.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The arguments, for failure messages.
    pub line: String,
    /// The exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Creates the record of a run from its arguments and its output.
    #[must_use]
    pub fn new(args: &[&str], output: std::process::Output) -> Self {
        Self {
            line: args.join(" "),
            status: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Returns standard output as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Returns standard output as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Asserts the exit status.
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "asserting is its use")]
    pub fn status(self, expected: i32) -> Self {
        assert_eq!(
            self.status,
            expected,
            "fabric {}\n{}\n{}",
            self.line,
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        );
        self
    }

    /// Asserts that the exit status is 0.
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "asserting is its use")]
    pub fn ok(self) -> Self {
        self.status(0)
    }
}

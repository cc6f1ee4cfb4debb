//! What a run of the CLI gave.

/// A run of the CLI that has ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What it was asked, for messages.
    pub line: String,
    /// The exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// What a command line came to.
    #[must_use]
    pub fn new(args: &[&str], output: std::process::Output) -> Self {
        Self {
            line: args.join(" "),
            status: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Standard output as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The same; panics unless the status is as expected.
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

    /// The same; panics unless it succeeded.
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "asserting is its use")]
    pub fn ok(self) -> Self {
        self.status(0)
    }
}

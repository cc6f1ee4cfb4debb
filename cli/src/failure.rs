//! The failure of a command: its error message and the exit status of the process.

use crate::text::clean;
use fabric_api::Problem;
use fabric_client::Error;
use fabric_types::{Code, Fault, code::Exit, fault::Frame};
use std::fmt::Write as _;

/// The error of a command.
#[derive(Debug)]
pub struct Failure {
    /// The text of a [`Code`], or a code of the client such as `usage`, `io`, `build-failed` or `config`.
    pub code: String,
    /// Description of the error.
    pub message: String,
    /// Suggested next step.
    pub hint: Option<String>,
    /// The guest's last lines on standard error.
    pub stderr: Vec<String>,
    /// The guest's backtrace.
    pub backtrace: Vec<Frame>,
    /// Id of the affected invocation.
    pub invocation: Option<String>,
    /// Id of the affected job.
    pub job: Option<String>,
    /// Exit status of the process.
    pub exit: Exit,
    problem: Option<Box<Problem>>,
    broken_pipe: bool,
}

impl Failure {
    fn new(code: &str, message: impl Into<String>, exit: Exit) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint: None,
            stderr: Vec::new(),
            backtrace: Vec::new(),
            invocation: None,
            job: None,
            exit,
            problem: None,
            broken_pipe: false,
        }
    }

    /// Creates a failure for a wrong command line, or a wrong file that it names.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message, Exit::Usage)
    }

    /// Creates a failure for a wrong configuration file or variable.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new("config", message, Exit::Usage)
    }

    /// Creates a failure of the client itself.
    pub fn local(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message, Exit::Failed)
    }

    /// Creates a failure with the exit status that belongs to `code`.
    pub fn coded(code: Code, message: impl Into<String>) -> Self {
        Self::new(code.as_str(), message, code.exit())
    }

    /// Creates a failure to read or write `what`.
    pub fn io(what: impl std::fmt::Display, error: std::io::Error) -> Self {
        if fabric_types::disk::is_full(&error) {
            return Self::coded(Code::DiskFull, format!("{what}: the disk is full"))
                .hint("free disk space and try again");
        }
        let broken_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Self { broken_pipe, ..Self::new("io", format!("{what}: {error}"), exit) }
    }

    /// Creates a failure to write to standard output. A closed pipe is not an error: see [`Self::is_broken_pipe`].
    pub fn stdout(error: std::io::Error) -> Self {
        Self::io("standard output", error)
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns `true` if the reader of the output has closed the pipe.
    pub fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// Renders the failure as text: the guest's last lines, the error, the guest's backtrace, the hint.
    pub fn render(&self, colour: bool) -> String {
        let (red, dim, bold, off) =
            if colour { ("\x1b[1;31m", "\x1b[2m", "\x1b[1m", "\x1b[0m") } else { ("", "", "", "") };
        let mut text = String::new();
        for line in &self.stderr {
            let _ = writeln!(text, "{dim}stderr:{off} {}", clean(line));
        }
        let _ = writeln!(text, "{red}error[{}]{off}: {}", clean(&self.code), clean(&self.message));
        for (n, frame) in self.backtrace.iter().enumerate() {
            let _ = write!(text, "{dim}  {n:>2}: {off}{}", clean(&frame.function));
            if let Some(location) = &frame.location {
                let _ = write!(text, "{dim} at {}{off}", clean(location));
            } else if let Some(module) = &frame.module {
                let _ = write!(text, "{dim} in {}{off}", clean(module));
            }
            text.push('\n');
        }
        if let Some(id) = &self.invocation {
            let _ = writeln!(text, "{dim}invocation {} (fabric logs {}){off}", clean(id), clean(id));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{bold}hint{off}: {}", clean(hint));
        }
        text
    }

    /// Returns the failure as JSON: the server's problem document, or one of the same shape.
    pub fn json(&self) -> serde_json::Value {
        if let Some(mut problem) = self.problem.as_deref().and_then(|p| serde_json::to_value(p).ok()) {
            if let (Some(id), Some(object)) = (&self.job, problem.as_object_mut()) {
                object.insert("job_id".to_owned(), id.as_str().into());
            }
            return problem;
        }
        serde_json::json!({
            "type": format!("urn:fabric:error:{}", self.code),
            "title": self.code.replace(['-', ':'], " "),
            "detail": self.message,
            "code": self.code,
            "hint": self.hint,
            "stderr": self.stderr,
            "backtrace": self.backtrace,
            "exit": self.exit as u8,
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let broken_pipe = matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe);
        let code = match &error {
            Error::Setting(_) => "config",
            Error::Io { .. } => "io",
            other => other.code().as_str(),
        };
        let mut failure = Self::new(code, error.to_string(), error.exit());
        failure.hint = error.hint();
        failure.broken_pipe = broken_pipe;
        if let Error::Io { source, .. } = &error
            && source.kind() == std::io::ErrorKind::NotFound
        {
            failure.exit = Exit::NotFound;
        }
        if let Error::Problem(problem) = error {
            if failure.hint.is_none() && problem.code == Code::Unauthenticated {
                failure.hint = Some("give a token: --token, FABRIC_TOKEN or `fabric context set`".to_owned());
            }
            failure.stderr.clone_from(&problem.stderr);
            failure.backtrace.clone_from(&problem.backtrace);
            failure.invocation.clone_from(&problem.invocation_id);
            failure.problem = Some(problem);
        }
        failure
    }
}

impl From<fabric_server::Error> for Failure {
    fn from(error: fabric_server::Error) -> Self {
        Self { hint: error.hint, ..Self::new(error.code, error.message, error.exit) }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Error::Problem(Box::new(fault.into())).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> Fault {
        let mut fault = Fault::new(Code::TrapUnreachable, "the guest panicked: \x1b[2Jindex out of bounds")
            .hint("run it with `cargo test` on this machine")
            .with_fuel(1234);
        let frame = |function: &str, location: Option<&str>| Frame {
            function: function.to_owned(),
            module: Some("weather".to_owned()),
            location: location.map(ToOwned::to_owned),
        };
        fault.stderr = vec!["reading row 7\x07".to_owned()];
        fault.backtrace = vec![frame("weather::parse", Some("src/lib.rs:12")), frame("weather::map\x07", None)];
        fault
    }

    #[test]
    fn errors_as_people_see_them() {
        let guest = Failure::from(fault());
        insta::assert_snapshot!("guest_fault", guest.render(false));
        insta::assert_snapshot!("guest_fault_colour", guest.render(true).replace('\x1b', "ESC"));
        let away = Failure::from(Error::Unreachable {
            url: "http://127.0.0.1:8080".to_owned(),
            reason: "Connection refused (os error 111)".to_owned(),
        });
        insta::assert_snapshot!("unreachable", away.render(false));
        insta::assert_snapshot!("guest_fault_json", serde_json::to_string_pretty(&guest.json()).unwrap());
    }

    #[test]
    fn exits_follow_the_table() {
        assert_eq!(Failure::from(fault()).exit, Exit::GuestFault);
        assert_eq!(Failure::from(Fault::new(Code::OutOfFuel, "x")).exit, Exit::Limit);
        assert_eq!(Failure::from(Fault::new(Code::Denied, "x")).exit, Exit::Denied);
        let away = Error::Timeout { url: "u".to_owned(), seconds: 1 };
        assert_eq!(Failure::from(away).exit, Exit::Unreachable);
        assert_eq!(Failure::usage("x").exit, Exit::Usage);
    }
}

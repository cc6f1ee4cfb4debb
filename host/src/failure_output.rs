//! Extracts the reason for a failure from a guest's standard error: the message of its language runtime, and the lines
//! before it. The guest controls all of this text, so it is used only to inform its developer.

/// Number of stored lines, and of characters in each.
pub(crate) const LINES: usize = 20;
pub(crate) const LINE_CHARS: usize = 500;
/// Number of lines shown in addition to the reason.
const SHOWN: usize = 8;

/// Prefixes of lines with a reason: Go and Zig, C's `assert`, AssemblyScript, C++, Swift.
const REASONS: [&str; 6] =
    ["panic: ", "Assertion failed: ", "abort: ", "libc++abi: ", "terminate called ", "Fatal error: "];

/// Returns `true` for a line of a Rust panic that is general advice.
fn is_advice(line: &str) -> bool {
    line.starts_with("note: run with `RUST_BACKTRACE=") || line.starts_with("note: Some details are omitted")
}

/// The last lines of a guest's standard error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FailureOutput {
    /// Reason for the failure, if a runtime printed one.
    pub(crate) reason: Option<String>,
    /// Other lines, oldest first.
    pub(crate) lines: Vec<String>,
}

impl FailureOutput {
    /// Parses the last lines, oldest first.
    pub(crate) fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let said: Vec<_> = lines.into_iter().filter(|line| !line.trim().is_empty() && !is_advice(line)).collect();
        let (reason, at) = match reason(&said) {
            Some((reason, at)) => (Some(reason), at),
            None => (None, 0..0),
        };
        let others = said.iter().enumerate().filter(|(n, _)| !at.contains(n)).map(|(_, line)| (*line).to_owned());
        let mut lines: Vec<_> = others.collect();
        lines.drain(..lines.len().saturating_sub(SHOWN));
        Self { reason, lines }
    }
}

/// Returns the first reason, and the range of lines it spans. Later reasons are consequences of the first.
fn reason(lines: &[&str]) -> Option<(String, std::ops::Range<usize>)> {
    let (first, line) = lines
        .iter()
        .enumerate()
        .find(|(_, line)| line.contains("panicked at ") || REASONS.iter().any(|start| line.starts_with(start)))?;
    let Some(at) = line.find("panicked at ") else {
        return Some(((*line).to_owned(), first..first + 1));
    };
    let place = line.get(at..)?;
    // Rust prints the message on the following lines, up to a backtrace or the next panic.
    let rest = lines.get(first + 1..).unwrap_or_default();
    let ends = |line: &str| line == "stack backtrace:" || line.contains("panicked at ") || line.starts_with("note: ");
    let message: Vec<_> = match place.ends_with(':') {
        true => rest.iter().take_while(|line| !ends(line)).copied().collect(),
        false => Vec::new(),
    };
    let end = first + 1 + message.len();
    let text = std::iter::once(place).chain(message).collect::<Vec<_>>().join("\n").replacen(":\n", ": ", 1);
    Some((text, first..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<String>, Vec<String>) {
        let words = FailureOutput::read(text.lines());
        (words.reason, words.lines)
    }

    #[test]
    fn a_rust_panic_is_its_message_with_its_place() {
        let (reason, lines) = read(
            "reading row 7\n\nthread 'main' (1) panicked at src/lib.rs:12:5:\nindex out of bounds: the len is 3\nbut\n\
             note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        );
        assert_eq!(reason.unwrap(), "panicked at src/lib.rs:12:5: index out of bounds: the len is 3\nbut");
        assert_eq!(lines, ["reading row 7"]);
        // The format of older versions, followed by a second panic.
        let (reason, lines) = read(
            "thread '<unnamed>' panicked at 'no luck', src/lib.rs:3:9\nthread '<unnamed>' panicked at src/lib.rs:9:1:\nagain\n",
        );
        assert_eq!(reason.unwrap(), "panicked at 'no luck', src/lib.rs:3:9");
        assert_eq!(lines, ["thread '<unnamed>' panicked at src/lib.rs:9:1:", "again"]);
    }

    #[test]
    fn other_runtimes_give_their_reason_in_a_line() {
        for line in [
            "panic: runtime error: index out of range",
            "Assertion failed: n > 0 (main.c: main: 12)",
            "abort: bad in a.ts(1:2)",
            "Fatal error: Index out of range",
        ] {
            assert_eq!(
                read(&format!("before\n{line}\nafter")),
                (Some(line.to_owned()), vec!["before".into(), "after".into()])
            );
        }
    }

    #[test]
    fn words_without_a_reason_are_the_last_ones() {
        assert_eq!(read(""), (None, vec![]));
        let many: String = (0..30).map(|n| format!("line {n}\n")).collect();
        let (reason, lines) = read(&many);
        assert_eq!((reason, lines.len(), lines.last().unwrap().as_str()), (None, SHOWN, "line 29"));
    }
}

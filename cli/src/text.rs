//! Removes characters that could control a terminal from text of a server or a guest.

use std::borrow::Cow;

/// Returns `true` for a character that could control a terminal or reorder the visible text. Tab and line feed are
/// allowed.
fn is_terminal_control(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        // Bidirectional embeddings, overrides and isolates; the line and paragraph separators.
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Removes characters that could control a terminal.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(is_terminal_control) {
        text.chars().filter(|c| !is_terminal_control(*c)).collect::<String>().into()
    } else {
        text.into()
    }
}

/// Returns the cleaned text on one line, for a cell of a table.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).filter(|c| !is_terminal_control(*c)).collect()
}

/// Cleans bytes that arrive in arbitrary pieces, for results that go to a terminal.
#[derive(Debug, Default)]
pub struct TerminalSanitizer {
    rest: Vec<u8>,
}

impl TerminalSanitizer {
    /// Returns the clean text of the next piece. Invalid UTF-8 becomes U+FFFD.
    pub fn feed(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let end = match std::str::from_utf8(&self.rest) {
            // The next piece may complete the character at the end.
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            // An invalid character may precede an incomplete one at the end: keep at most its three bytes.
            Err(_) => self.rest.len() - self.unfinished(),
            Ok(_) => self.rest.len(),
        };
        let tail = self.rest.split_off(end);
        let text = std::mem::replace(&mut self.rest, tail);
        clean(&String::from_utf8_lossy(&text)).into_owned()
    }

    /// Returns the number of bytes at the end that begin a character without completing it.
    fn unfinished(&self) -> usize {
        (1..=3.min(self.rest.len()))
            .find(|n| {
                let tail = self.rest.get(self.rest.len() - n..).unwrap_or_default();
                tail.first().is_some_and(|b| *b >= 0xc0)
                    && matches!(std::str::from_utf8(tail), Err(e) if e.error_len().is_none())
            })
            .unwrap_or(0)
    }

    /// Returns the remaining text.
    pub fn finish(self) -> String {
        clean(&String::from_utf8_lossy(&self.rest)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_never_reach_a_terminal() {
        assert_eq!(clean("a\x1b[31mb\x07\r\u{9b}c\u{202e}d\n\te"), "a[31mbcd\n\te");
        assert_eq!(one_line("a\nb\x1bc"), "a bc");
        assert!(matches!(clean("plain ünïcode"), Cow::Borrowed(_)));
    }

    #[test]
    fn pieces_are_cleaned_wherever_they_are_cut() {
        let text = "gr\u{fc}\u{df}e \u{1f980}\x1b[1m \u{2028}end".as_bytes();
        for size in 1..=text.len() {
            let mut cleaner = TerminalSanitizer::default();
            let mut got: String = text.chunks(size).map(|c| cleaner.feed(c)).collect();
            got += &cleaner.finish();
            assert_eq!(got, "gr\u{fc}\u{df}e \u{1f980}[1m end", "pieces of {size}");
        }
        let mut cleaner = TerminalSanitizer::default();
        assert_eq!(cleaner.feed(b"\xffab\xe2\x82"), "\u{fffd}ab");
        assert_eq!(cleaner.feed(b"\xac"), "\u{20ac}");
    }
}

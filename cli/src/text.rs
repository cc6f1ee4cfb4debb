//! Text from a server or a guest on its way to a terminal: what would steer the terminal is taken out.

use std::borrow::Cow;

/// Whether a character could steer a terminal or reorder what a reader sees. Tab and line feed are harmless.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        // Bidirectional embeddings, overrides and isolates; the line and paragraph separators.
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The text without what could steer a terminal.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(steers) { text.chars().filter(|c| !steers(*c)).collect::<String>().into() } else { text.into() }
}

/// The same in one line, for a cell of a table.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).filter(|c| !steers(*c)).collect()
}

/// Cleans bytes that come in pieces cut anywhere, for results that go to a terminal.
#[derive(Debug, Default)]
pub struct Cleaner {
    rest: Vec<u8>,
}

impl Cleaner {
    /// The clean text of the next piece. Bytes that are no UTF-8 come as U+FFFD.
    pub fn feed(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let end = match std::str::from_utf8(&self.rest) {
            // A character at the end may be whole with the next piece.
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            // One broken character says nothing about the last one: keep at most its three bytes.
            Err(_) => self.rest.len() - self.unfinished(),
            Ok(_) => self.rest.len(),
        };
        let tail = self.rest.split_off(end);
        let text = std::mem::replace(&mut self.rest, tail);
        clean(&String::from_utf8_lossy(&text)).into_owned()
    }

    /// Bytes at the end that begin a character and do not finish it.
    fn unfinished(&self) -> usize {
        (1..=3.min(self.rest.len()))
            .find(|n| {
                let tail = self.rest.get(self.rest.len() - n..).unwrap_or_default();
                tail.first().is_some_and(|b| *b >= 0xc0)
                    && matches!(std::str::from_utf8(tail), Err(e) if e.error_len().is_none())
            })
            .unwrap_or(0)
    }

    /// What is left at the end.
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
            let mut cleaner = Cleaner::default();
            let mut got: String = text.chunks(size).map(|c| cleaner.feed(c)).collect();
            got += &cleaner.finish();
            assert_eq!(got, "gr\u{fc}\u{df}e \u{1f980}[1m end", "pieces of {size}");
        }
        let mut cleaner = Cleaner::default();
        assert_eq!(cleaner.feed(b"\xffab\xe2\x82"), "\u{fffd}ab");
        assert_eq!(cleaner.feed(b"\xac"), "\u{20ac}");
    }
}

//! A parser for server-sent events (WHATWG HTML, section 9.2.6), without I/O and with bounded memory. `follow` has the
//! reconnects.

use std::mem::take;

/// Maximum size of an event. The server never sends longer ones.
const EVENT_LIMIT: usize = 4 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerSentEvent {
    /// Name; `message` if the server sent none.
    pub name: String,
    /// The last id up to and including this event.
    pub id: Option<String>,
    /// Data, with lines joined by line feeds.
    pub data: String,
}

/// An event was longer than 4 MiB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {EVENT_LIMIT} bytes")]
pub struct TooLong;

/// An incremental parser. Chunks may end anywhere in the stream.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    begun: bool,
    name: String,
    data: String,
    has_data: bool,
    id: Option<String>,
    complete_id: Option<String>,
}

impl Parser {
    /// Parses the next bytes and returns the events that they complete.
    ///
    /// # Errors
    /// [`TooLong`]. The parser must not be used afterwards.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<ServerSentEvent>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            // A line ends with CR, LF or CR LF.
            if take(&mut self.after_cr) && byte == b'\n' {
                continue;
            }
            if byte == b'\r' || byte == b'\n' {
                self.after_cr = byte == b'\r';
                let line = take(&mut self.line);
                self.end_of_line(&line, &mut events)?;
            } else {
                if self.line.len() >= EVENT_LIMIT {
                    return Err(TooLong);
                }
                self.line.push(byte);
            }
        }
        Ok(events)
    }

    /// Returns the last id of a complete event, including events without data.
    pub fn last_id(&self) -> Option<&str> {
        self.complete_id.as_deref()
    }

    fn end_of_line(&mut self, line: &[u8], events: &mut Vec<ServerSentEvent>) -> Result<(), TooLong> {
        let line = String::from_utf8_lossy(line);
        let mut line = line.as_ref();
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.complete_id.clone_from(&self.id);
            let name = take(&mut self.name);
            let data = take(&mut self.data);
            if take(&mut self.has_data) {
                let name = if name.is_empty() { "message".to_owned() } else { name };
                events.push(ServerSentEvent { name, id: self.id.clone(), data });
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.data.len() + value.len() > EVENT_LIMIT {
                    return Err(TooLong);
                }
                if take(&mut self.has_data) {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // A comment (an empty field name), `retry`, or a field that this client does not support.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"\xef\xbb\xbf: hello\nevent: started\nid: 1\ndata: {\"a\":1}\n\n: keep alive\n\nid: 2\r\ndata: x\r\ndata:  y\r\n\r\nevent: no-data\n\ndata\n\nevent: cut\ndata: off";

    #[test]
    fn events_are_read_wherever_the_bytes_are_cut() {
        let expected = vec![
            ServerSentEvent { name: "started".into(), id: Some("1".into()), data: "{\"a\":1}".into() },
            ServerSentEvent { name: "message".into(), id: Some("2".into()), data: "x\n y".into() },
            ServerSentEvent { name: "message".into(), id: Some("2".into()), data: String::new() },
        ];
        for size in [1, 2, 3, 7, STREAM.len()] {
            let mut parser = Parser::default();
            let events: Vec<_> = STREAM.chunks(size).flat_map(|c| parser.feed(c).unwrap()).collect();
            assert_eq!(events, expected, "chunks of {size}");
        }
    }

    #[test]
    fn an_id_counts_when_its_event_is_complete() {
        let mut parser = Parser::default();
        assert!(parser.feed(b"id: 7\n\nid: 8\ndata: x\n").unwrap().is_empty());
        assert_eq!(parser.last_id(), Some("7"));
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; EVENT_LIMIT + 1]), Err(TooLong));
    }
}

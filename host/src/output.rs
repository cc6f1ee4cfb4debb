//! The result of a call while it is written: bytes, or keyed records for a shuffle, within their limits.

use crate::keyed;
use bytes::Bytes;
use fabric_types::{
    Code, Fault,
    memory::{Charge, ChargedBuffer, Payer},
};

/// A finished result: its bytes, its media type and its bucket offsets.
pub(crate) type Finished = (Bytes, Option<String>, Vec<u64>);

/// Minimum step in which records are charged, in bytes.
const RECORD_STEP: u64 = 64 << 10;

/// The output of a call so far.
pub(crate) struct Output {
    bytes: ChargedBuffer,
    limit: u64,
    pub(crate) content_type: Option<String>,
    shuffle: Option<keyed::Encoder>,
    emitted: u64,
    /// Charge for the records of a shuffle.
    records: Charge,
    emit_limit: u64,
    /// `true` if written lines are records of a shuffle, as in Hadoop streaming.
    lines: bool,
    line: Vec<u8>,
}

impl Output {
    pub(crate) fn new(limit: u64, emit_limit: u64, buckets: u32, lines: bool) -> Self {
        let nobody = Payer::nobody();
        Self {
            bytes: ChargedBuffer::new(&nobody),
            records: Charge::none(&nobody),
            limit,
            content_type: None,
            shuffle: (buckets > 0).then(|| keyed::Encoder::new(buckets)),
            emitted: 0,
            emit_limit,
            lines: lines && buckets > 0,
            line: Vec::new(),
        }
    }

    /// Creates an output that accepts no bytes.
    pub(crate) fn discard() -> Self {
        Self::new(0, 0, 0, false)
    }

    /// Charges what is written from now on to `payer`. Discards bytes that were already written.
    pub(crate) fn charged_to(self, payer: &Payer) -> Self {
        Self { bytes: ChargedBuffer::new(payer), records: Charge::none(payer), ..self }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.lines {
            return self.write_lines(bytes);
        }
        if (self.bytes.len() + bytes.len()) as u64 > self.limit {
            return Err(Fault::new(Code::OutputLimit, format!("the result is larger than {} bytes", self.limit))
                .hint("write less, or raise `limits.output-bytes` in fabric.toml"));
        }
        self.bytes.extend(bytes)
    }

    /// Replaces the result.
    pub(crate) fn set(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let payer = self.records.payer().clone();
        self.bytes = ChargedBuffer::new(&payer);
        if self.lines || bytes.len() as u64 > self.limit {
            return self.write(&bytes);
        }
        self.bytes = ChargedBuffer::of(&payer, bytes)?;
        Ok(())
    }

    fn write_lines(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(piece);
            if (self.line.len() as u64) > self.emit_limit {
                return Err(self.too_much());
            }
            if self.line.last() == Some(&b'\n') {
                let mut line = std::mem::take(&mut self.line);
                line.pop();
                self.emit_line(&line)?;
                line.clear();
                self.line = line;
            }
        }
        Ok(())
    }

    fn emit_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        match line.iter().position(|b| *b == b'\t') {
            Some(tab) => {
                let (key, value) = line.split_at(tab);
                self.emit(key, value.get(1..).unwrap_or_default())
            }
            None => self.emit(line, b""),
        }
    }

    fn too_much(&self) -> Fault {
        Fault::new(Code::EmitLimit, format!("more than {} bytes of keyed records were emitted", self.emit_limit))
            .hint("combine records in the mapper, use smaller partitions, or raise `limits.emit-bytes` in fabric.toml")
    }

    pub(crate) fn emit(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.emitted = self.emitted.saturating_add((key.len() + value.len() + 8) as u64);
        if self.emitted > self.emit_limit {
            return Err(self.too_much());
        }
        match &mut self.shuffle {
            Some(encoder) => {
                // Twice the size, because buffers double, and twice the 16 bytes of each record's index entry.
                let cost = self.emitted.saturating_mul(2).saturating_add(encoder.records().saturating_mul(32));
                if cost > self.records.bytes() {
                    self.records.grow((cost - self.records.bytes()).max(RECORD_STEP))?;
                }
                encoder.push(key, value);
                Ok(())
            }
            None => {
                let mut line = Vec::with_capacity(key.len() + value.len() + 20);
                line.extend_from_slice(b"{\"key\":");
                json_text(&mut line, key);
                line.extend_from_slice(b",\"value\":");
                json_value(&mut line, value);
                line.extend_from_slice(b"}\n");
                self.content_type.get_or_insert_with(|| "application/jsonl".into());
                self.write(&line)
            }
        }
    }

    /// Returns the bytes, the media type and the bucket offsets of the result.
    pub(crate) fn finish(mut self) -> Result<Finished, Fault> {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.emit_line(&line)?;
        }
        match self.shuffle {
            Some(encoder) => {
                // The block is created while the records still exist, so it is charged in addition.
                let payer = self.records.payer().clone();
                let head = keyed::head_len(encoder.buckets());
                let place = payer.charge(encoder.bytes().saturating_add(head))?;
                let (block, offsets) = encoder.finish();
                Ok((Bytes::from_owner(ChargedBuffer::charged(block, place)), None, offsets))
            }
            None if self.bytes.is_empty() => Ok((Bytes::new(), self.content_type, Vec::new())),
            None => Ok((Bytes::from_owner(self.bytes), self.content_type, Vec::new())),
        }
    }
}

/// Appends bytes as a JSON string if they are UTF-8, otherwise as `{"base64": …}`.
fn json_text(out: &mut Vec<u8>, bytes: &[u8]) {
    use base64::Engine as _;
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::to_vec(text),
        Err(_) => {
            serde_json::to_vec(&serde_json::json!({"base64": base64::engine::general_purpose::STANDARD.encode(bytes)}))
        }
    };
    // Writing a string to a vector does not fail.
    out.extend_from_slice(&text.unwrap_or_default());
}

/// Appends a value unchanged if it is JSON on one line, otherwise as text.
fn json_value(out: &mut Vec<u8>, bytes: &[u8]) {
    let json = !bytes.contains(&b'\n') && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    if json {
        out.extend_from_slice(bytes);
    } else {
        json_text(out, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_a_shuffle_become_json_lines() {
        let mut output = Output::new(1000, 1000, 0, false);
        output.emit(b"a", b"5").unwrap();
        output.emit(b"b\"", b"not json").unwrap();
        output.emit(b"\xff", b"[1,\n2]").unwrap();
        let (bytes, content_type, _) = output.finish().unwrap();
        assert_eq!(
            String::from_utf8(bytes.to_vec()).unwrap(),
            "{\"key\":\"a\",\"value\":5}\n{\"key\":\"b\\\"\",\"value\":\"not json\"}\n\
             {\"key\":{\"base64\":\"/w==\"},\"value\":\"[1,\\n2]\"}\n"
        );
        assert_eq!(content_type.as_deref(), Some("application/jsonl"));
    }

    #[test]
    fn written_lines_become_records_of_a_shuffle() {
        let mut output = Output::new(10, 1000, 1, true);
        output.write(b"b\t1\na").unwrap();
        output.write(b"\t2\nlone").unwrap();
        let (block, _, offsets) = output.finish().unwrap();
        let mut run = block.slice(usize::try_from(*offsets.first().unwrap()).unwrap()..);
        let mut seen = Vec::new();
        while let Some(r) = keyed::read(&mut run).unwrap() {
            seen.push((r.key, r.value));
        }
        assert_eq!(seen, [("a".into(), "2".into()), ("b".into(), "1".into()), ("lone".into(), bytes::Bytes::new())]);
    }

    #[test]
    fn both_limits_hold() {
        let mut output = Output::new(10, 20, 0, false);
        assert_eq!(output.write(b"12345678901").unwrap_err().code, Code::OutputLimit);
        let mut output = Output::new(10, 20, 2, false);
        output.emit(b"123", b"45").unwrap();
        assert_eq!(output.emit(b"1", b"").unwrap_err().code, Code::EmitLimit);
    }
}

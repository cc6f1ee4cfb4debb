//! Refuses objects that line-based splitters would corrupt: text in UTF-16 or UTF-32, and compressed files.

use crate::{Error, input::Source};

/// Bytes of an object's beginning that are checked.
pub(super) const BEGINNING: u64 = 512;

/// The first bytes of compressed files.
const COMPRESSED: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh91AY&SY", "bzip2"),
    (b"PK\x03\x04", "ZIP"),
];

/// Checks the first bytes of an object, [`BEGINNING`] of them or all.
///
/// # Errors
/// [`Error::InvalidInputSpec`] for anything but text with single-byte line ends.
pub(super) fn check(source: &Source, bytes: &[u8]) -> Result<(), Error> {
    let bytes = bytes.get(..BEGINNING as usize).unwrap_or(bytes);
    let path = &source.path;
    if let Some((_, format)) = COMPRESSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(Error::spec(
            format!("`{path}` is compressed as {format}, so it can't be split"),
            "store it decompressed, or use the splitter object",
        ));
    }
    if let Some(encoding) = wide(bytes) {
        return Err(Error::spec(
            format!("`{path}` is {encoding}, which can't be split"),
            format!("store it as UTF-8, as `iconv -f {encoding} -t UTF-8` writes it, or use the splitter object"),
        ));
    }
    Ok(())
}

/// Returns the encoding of text with characters of at least two or four bytes. It is detected by its byte order mark,
/// or by zero bytes that are all on the same side of byte pairs, in at least two and in at least a quarter of them.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some("UTF-16"),
        _ => {}
    }
    let (mut pairs, mut low_only, mut high_only, mut none) = (0_usize, 0_usize, 0_usize, 0_usize);
    for pair in bytes.chunks_exact(2) {
        pairs += 1;
        match pair {
            [0, 0] => none += 1,
            [_, 0] => low_only += 1,
            [0, _] => high_only += 1,
            _ => {}
        }
    }
    let (one_side, other_side) = (low_only.max(high_only), low_only.min(high_only));
    if one_side < 2 || other_side > 0 || one_side * 4 < pairs {
        return None;
    }
    match (none > 0, low_only > 0) {
        (true, true) => Some("UTF-32LE"),
        (true, false) => Some("UTF-32BE"),
        (false, true) => Some("UTF-16LE"),
        (false, false) => Some("UTF-16BE"),
    }
}

#[cfg(test)]
mod tests {
    use super::wide;

    #[test]
    fn wide_text_is_known_with_and_without_a_mark() {
        let utf16 = |text: &str, mark: bool| -> Vec<u8> {
            let mark = mark.then_some(0xfeff);
            mark.into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
        };
        let swapped =
            |bytes: Vec<u8>| -> Vec<u8> { bytes.chunks_exact(2).flat_map(|p| p.iter().rev().copied()).collect() };
        let text = "größe,名前\r\n1,日本\r\n";
        assert_eq!(wide(&utf16(text, true)), Some("UTF-16"));
        assert_eq!(wide(&swapped(utf16(text, true))), Some("UTF-16"));
        assert_eq!(wide(&utf16(text, false)), Some("UTF-16LE"));
        assert_eq!(wide(&swapped(utf16(text, false))), Some("UTF-16BE"));
        let utf32: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        assert_eq!(wide(&utf32), Some("UTF-32LE"));
        for narrow in [text.as_bytes(), b"", b"a\0", b"a,b\0c\n\0\0\n", b"\xef\xbb\xbfa,b\n1,2\n", &[0; 100]] {
            assert_eq!(wide(narrow), None, "{narrow:?}");
        }
    }
}

//! The CSV splitter and the SDK's reader have the same grammar: the rows of the parts, one after the other, are the
//! rows of the whole object, for arbitrary bytes and split positions.

use fabric::{Csv, Input};
use fabric_store::{ObjectPath, Objects, PlanOptions, PutOptions, Store, open, plan};
use fabric_types::{Code, dataset::InputSpec, id::TenantId};
use proptest::prelude::*;

/// The rows as a guest reads them, `None` for an invalid row; an error if the header is invalid.
type Rows = Result<Vec<Option<Vec<String>>>, String>;

fn rows(bytes: &[u8], delimiter: u8) -> Rows {
    let reader = Csv::<Vec<String>>::new(Input::from_bytes(bytes), delimiter).map_err(|e| e.to_string())?;
    Ok(reader.map(Result::ok).collect())
}

fn objects() -> Objects {
    Store::memory().objects(&TenantId::new("acme").unwrap())
}

/// Splits an object with `split` and returns the parts.
async fn cut(objects: &Objects, bytes: &[u8], split: &str) -> Result<Vec<Vec<u8>>, fabric_store::Error> {
    objects.put_bytes(&ObjectPath::new("x").unwrap(), bytes.to_vec().into(), PutOptions::default()).await.unwrap();
    let spec = InputSpec::Objects { path: "x".into(), split: split.parse().unwrap() };
    let mut parts = Vec::new();
    for partition in plan(&spec, objects, &PlanOptions::default()).await?.partitions {
        parts.push(open(&partition, objects).await.unwrap().read_all(u64::MAX).await.unwrap().to_vec());
    }
    Ok(parts)
}

fn cut_now(bytes: &[u8], split: &str) -> Result<Vec<Vec<u8>>, fabric_store::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(cut(&objects(), bytes, split))
}

/// Compares the parts with the whole.
fn check(bytes: &[u8], target: usize, name: &str, delimiter: u8) {
    let whole = rows(bytes, delimiter);
    let parts = match cut_now(bytes, &format!("csv:{target}:{name}")) {
        Ok(parts) => parts,
        Err(error) => {
            assert_eq!(error.code(), Code::InvalidInputSpec);
            assert!(whole.is_err() || whole == Ok(Vec::new()), "{error}: {whole:?}");
            return;
        }
    };
    let Ok(whole) = whole else {
        assert!(parts.iter().all(|part| rows(part, delimiter).is_err()), "the header is an error in every part");
        return;
    };
    let each: Vec<_> = parts.iter().map(|part| rows(part, delimiter).unwrap()).collect();
    assert!(each.iter().all(|rows| !rows.is_empty()), "no part is without a row");
    assert_eq!(each.concat(), whole);
    // Each part is the header and its own rows, at least `target` bytes of them except in the last part.
    let Some(others) = parts.len().checked_sub(1).filter(|n| *n > 0) else {
        assert_eq!(parts, [bytes]);
        return;
    };
    let header = (parts.iter().map(Vec::len).sum::<usize>() - bytes.len()) / others;
    assert!(parts.iter().all(|part| part[..header] == bytes[..header]));
    assert_eq!(parts.iter().flat_map(|part| &part[header..]).copied().collect::<Vec<_>>(), &bytes[header..]);
    assert!(parts[..others].iter().all(|part| part.len() - header >= target));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn rows_of_the_parts_are_rows_of_the_whole(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "a", "1", ",", ",", ";", "\t", "\"", "\"\"", ",\"", "\",", "\"\n", "\r", "\n", "\n", "\r\n", " ", "é",
                "\u{feff}", "\\", "#",
            ]),
            0..60,
        ),
        stray in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        target in 1_usize..40,
        (name, delimiter) in prop::sample::select(vec![("comma", b','), ("semicolon", b';'), ("tab", b'\t')]),
    ) {
        let mut bytes = tokens.concat().into_bytes();
        if let (Some((at, byte)), false) = (stray, bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // Bytes that resemble UTF-16 are refused, see `what_is_not_text_is_refused`.
        bytes.retain(|byte| *byte != 0);
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            bytes.remove(0);
        }
        check(&bytes, target, name, delimiter);
    }
}

#[test]
fn files_that_were_cut_wrong_before() {
    for text in [
        "id,size (\")\n1,2\n3,4\n",
        "id,note\r1,a\r2,b\r3,\"c\rd\"\r",
        "size,text\n3\" pipe,\"two\nlines\"\n4\" pipe,\"two,\nlines\"\n5,x\n6,y\n",
        "\n\nid,note\n1,a\n\n\n2,b\n\r\n",
        "\u{feff}id,note\n1,a\n2,b\n",
        "\u{feff}\nid,note\n1,a\n2,b\n",
        "id,note\n1,\"never closed\n2,b\n",
        "id,note\n1,\"a\"b\"\n2,\"c\n",
        "id\n\"\"\n \n1\n",
    ] {
        for target in 1..text.len() {
            check(text.as_bytes(), target, "comma", b',');
        }
        assert!(!rows(text.as_bytes(), b',').unwrap().is_empty());
    }
    let parts = cut_now(b"id,size (\")\r1,2\r\r\r3,4\r", "csv:1").unwrap();
    assert_eq!(parts, [&b"id,size (\")\r1,2\r\r\r"[..], b"id,size (\")\r3,4\r"]);
}

#[test]
fn rows_that_are_longer_than_a_piece_of_the_scan() {
    let long = "x\n\"\"".repeat(100_000);
    let text = format!("id,text\n1,\"{long}\"\n2,{}\n3,\"{long}\"\n", "y,".repeat(2000));
    check(text.as_bytes(), 1000, "comma", b',');
}

#[test]
fn another_delimiter_is_named() {
    let text = b"id;note\n1;\"a\nb\"\n2;\"c\nd\"\n";
    let error = cut_now(text, "csv:1KiB").unwrap_err();
    assert_eq!(error.code(), Code::InvalidInputSpec);
    let hint = error.hint().unwrap();
    assert!(hint.contains("csv:1KiB:semicolon") && hint.contains("csv:1KiB:comma"), "{error}: {hint}");
    check(text, 1, "semicolon", b';');
    // A header with one column is accepted as it is.
    for text in ["note\na;b\n", "\"a;b\"\n1\n", "a b\n1\n"] {
        assert_eq!(cut_now(text.as_bytes(), "csv:1KiB").unwrap(), [text.as_bytes()]);
    }
    assert_eq!(cut_now(b"a;b\n1\n", "csv:1KiB:comma").unwrap(), [b"a;b\n1\n"]);
}

#[test]
fn what_is_not_text_is_refused() {
    let utf16: Vec<u8> = "\u{feff}id,note\n1,a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let unmarked: Vec<u8> = "id,note\n1,a\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for split in ["csv:1KiB", "lines:4", "items"] {
        for (bytes, says) in [(&utf16[..], "UTF-16"), (&unmarked, "UTF-16BE"), (b"\x1f\x8b\x08\0\n\n", "gzip")] {
            let error = cut_now(bytes, split).unwrap_err();
            assert_eq!(error.code(), Code::InvalidInputSpec);
            assert!(error.to_string().contains(says) && error.hint().is_some(), "{split}: {error}");
        }
    }
    assert_eq!(cut_now(&utf16, "object").unwrap(), [utf16]);
}

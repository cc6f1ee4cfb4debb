//! The attributes in a user's crate. In native builds the functions stay callable, and the types are checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fabric::{
    Bytes, Csv, Deserialize, ErrorKind, Input, JsonSchema, Level, Lines, Records, Result, Serialize, testing,
};

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Params {
    /// Lines shorter than this do not count.
    shortest: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { shortest: 1 }
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    lines: u64,
    bytes: u64,
}

/// Counts lines.
#[fabric::map]
fn count(mut input: Lines, params: Params) -> Result<Counts> {
    let mut counts = Counts::default();
    while let Some(line) = input.next_line() {
        if line.len() >= params.shortest {
            counts.lines += 1;
            counts.bytes += line.len() as u64;
        }
    }
    fabric::info!("{} of {} lines count", counts.lines, input.count());
    fabric::progress(input.count(), 0);
    Ok(counts)
}

#[fabric::reduce(default)]
fn merge(a: Counts, b: Counts) -> Counts {
    Counts { lines: a.lines + b.lines, bytes: a.bytes + b.bytes }
}

// All forms of signatures, in separate modules because a component has one export of each kind.
mod plain {
    #[fabric::map]
    pub fn f(_input: fabric::Input) {}
    #[fabric::reduce]
    pub fn g(a: String, b: String) -> fabric::Result<String> {
        if b == "bad" { Err(fabric::Error::failed("bad")) } else { Ok(a + &b) }
    }
    #[fabric::handler]
    pub fn h(fabric::Json(numbers): fabric::Json<Vec<i64>>) -> i64 {
        numbers.iter().sum()
    }
}

mod own_errors {
    #[fabric::map]
    pub fn f(fabric::Text(text): fabric::Text) -> std::result::Result<u8, std::num::ParseIntError> {
        text.parse()
    }
    #[fabric::handler(nodescribe)]
    pub fn h(request: fabric::Request, params: fabric::schemars::Schema) -> fabric::Result<fabric::Response> {
        drop(params);
        Ok(fabric::Response { content_type: Some("a/b".into()), body: request.body })
    }
    #[fabric::reduce]
    pub fn g(a: u8, b: u8, params: Vec<u8>) -> u8 {
        a + b + params.len() as u8
    }
}

#[test]
fn a_map_function_runs_as_the_host_would_run_it() {
    let outcome = testing::map(|input| count(input, Params { shortest: 2 }), "one\nx\nthree").unwrap();
    assert_eq!(outcome.text(), "{\"lines\":2,\"bytes\":8}");
    assert_eq!(outcome.content_type.as_deref(), Some("application/json"));
    assert_eq!(outcome.logs, [(Level::Info, "2 of 3 lines count".to_owned())]);
    assert_eq!(outcome.progress, [(3, 0)]);
    assert_eq!(testing::take(), testing::Outcome::default(), "the next test starts afresh");
}

#[test]
fn partial_results_are_merged_in_order() {
    let join = |a: String, b: String| Ok(format!("{a}{b}"));
    let outcome = testing::reduce(join, ["\"a\"", "\"b\"", "\"c\""]).unwrap();
    assert_eq!(outcome.text(), "\"abc\"");
    let merged = merge(Counts { lines: 1, bytes: 2 }, Counts { lines: 3, bytes: 4 });
    assert_eq!(merged, Counts { lines: 4, bytes: 6 });
    assert_eq!(plain::g("a".into(), "bad".into()).unwrap_err().kind(), ErrorKind::Failed);
}

#[test]
fn a_broken_partial_and_no_partial_are_told_apart() {
    let add = |a: u64, b: u64| Ok(a + b);
    let broken = testing::reduce(add, ["1", "x"]).unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::InvalidInput);
    assert!(broken.message().starts_with("partial result 2 "), "{broken}");
    let none = testing::reduce(add, [""; 0]).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Failed);
    assert!(none.message().starts_with("there are no partial results"), "{none}");
}

#[test]
fn a_shuffle_groups_keys_across_batches_and_writes_odd_keys_in_base64() {
    for (key, value) in [("b", 1), ("a", 2), ("b", 3), ("b", 4), ("c \"", 5)] {
        fabric::emit(key, value).unwrap();
    }
    fabric::emit(b"\xff\x00", 6).unwrap();
    let records = testing::take().emitted;
    for chunk in [1, 0] {
        testing::set_chunk_bytes(chunk);
        let outcome = testing::reduce_keyed(|a: u64, b: u64| Ok(a * 10 + b), records.clone()).unwrap();
        assert_eq!(
            outcome.text(),
            "{\"key\":\"a\",\"value\":2}\n{\"key\":\"b\",\"value\":134}\n{\"key\":\"c \\\"\",\"value\":5}\n{\"key_base64\":\"/wA=\",\"value\":6}\n"
        );
        assert_eq!(outcome.content_type.as_deref(), Some("application/x-ndjson"));
    }
    assert_eq!(testing::reduce_keyed(|a: u64, _| Ok(a), []).unwrap().text(), "", "no records, no lines");
}

#[test]
fn results_of_every_kind() {
    let unit = testing::map(
        |input: Input| {
            plain::f(input);
            Ok(())
        },
        "x",
    )
    .unwrap();
    assert_eq!((unit.output.len(), unit.content_type), (0, None));
    let bytes = testing::map(|input: Bytes| Ok(input), "x").unwrap();
    assert_eq!((bytes.output, bytes.content_type), (b"x".to_vec(), None));
    let text = testing::map(|input: fabric::Text| Ok(input), "x").unwrap();
    assert_eq!((text.text(), text.content_type), ("x".into(), Some("text/plain; charset=utf-8".into())));
    let null = testing::map(|_: Input| Ok(None::<u8>), "x").unwrap();
    assert_eq!(null.text(), "null", "an absent value is a result; only `()` is none");
    assert_eq!(plain::h(fabric::Json(vec![1, 2])), 3);
    assert!(own_errors::f(fabric::Text("x".into())).is_err());
    assert_eq!(own_errors::g(1, 2, vec![]), 3);
}

#[test]
fn long_results_stream_and_inputs_are_read_through_the_host() {
    let text = "line\n".repeat(100_000);
    for chunk in [7, 4096, 0] {
        testing::set_chunk_bytes(chunk);
        let upper = |mut lines: Lines| {
            use std::io::Write;
            let mut output = fabric::Output::new("text/plain");
            while let Some(line) = lines.next_line() {
                output.write_all(&line.to_ascii_uppercase())?;
                output.write_all(b"\n")?;
            }
            output.finish();
            Ok(())
        };
        let outcome = testing::map(upper, &text).unwrap();
        assert_eq!(outcome.output, text.to_uppercase().as_bytes());
        assert_eq!(outcome.content_type.as_deref(), Some("text/plain"));
        testing::set_chunk_bytes(chunk);
        let outcome = testing::map(
            |mut input: Records<5>| {
                while input.next_record()?.is_some() {}
                Ok(input.count())
            },
            &text,
        )
        .unwrap();
        assert_eq!(outcome.text(), "100000");
    }
}

#[test]
fn csv_through_a_user_type() {
    #[derive(Deserialize)]
    struct Row {
        x: u32,
    }
    let sum = |rows: Csv<Row>| rows.map(|row| Ok(row?.x)).sum::<Result<u32>>();
    assert_eq!(testing::map(sum, "x\n1\n2\n").unwrap().text(), "3");
    assert!(testing::map(sum, "x\n1\ny\n").unwrap_err().message().contains("row 2"));
}

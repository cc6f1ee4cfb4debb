//! Objects as inputs of jobs: every splitter over arbitrary bytes. Partitions of lines and records cover
//! the object in order, without gaps.

use fabric_fuzz::fuzz;
use fabric_store::{ObjectPath, Objects, PlanOptions, PutOptions, Store, open, plan};
use fabric_types::{
    dataset::{InputSpec, Partition},
    id::TenantId,
};
use parquet::{data_type::Int64Type, file::writer::SerializedFileWriter, schema::parser::parse_message_type};
use std::sync::Arc;

fn objects() -> Objects {
    Store::memory().objects(&TenantId::new("t").unwrap())
}

async fn read(partition: &Partition, objects: &Objects) -> Option<Vec<u8>> {
    let mut reader = open(partition, objects).await.ok()?;
    let mut all = Vec::new();
    while let Some(chunk) = reader.next_chunk(1 << 20).await.ok()? {
        all.extend_from_slice(&chunk);
    }
    Some(all)
}

fn run(name: &str, seeds: &[&[u8]], splits: &[&str], check: impl Fn(&str, &[u8], &[Vec<u8>])) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (objects, path) = (objects(), ObjectPath::new("o").unwrap());
    let options = PlanOptions { max_partitions: 10_000, ..PlanOptions::default() };
    fuzz(name, seeds, |input| {
        runtime.block_on(async {
            objects.put_bytes(&path, input.to_vec().into(), PutOptions::default()).await.unwrap();
            for split in splits {
                let spec = InputSpec::Objects { path: "o".to_owned(), split: split.parse().unwrap() };
                let Ok(planned) = plan(&spec, &objects, &options).await else { continue };
                assert!(planned.partitions.len() <= options.max_partitions);
                let mut parts = Vec::new();
                for partition in planned.partitions.iter().take(64) {
                    parts.extend(read(partition, &objects).await);
                }
                if planned.partitions.len() <= 64 {
                    check(split, input, &parts);
                }
            }
        });
    });
}

#[test]
fn lines_and_rows() {
    let csv = b"a,b\n1,\"x\ny\"\n2,\"\"\"\"\n3,z\r\n";
    run(
        "lines-and-rows",
        &[csv, b"one\ntwo\n\nthree", b"\"\n\"\n", b"\n"],
        &["lines:1", "lines:5", "csv:1", "csv:7", "items", "records:1:16"],
        |split, input, parts| {
            if split.starts_with("lines") || split.starts_with("records") {
                assert_eq!(parts.concat(), input, "{split}");
            }
        },
    );
}

/// Returns a Parquet file with two row groups.
fn parquet_file() -> Vec<u8> {
    let schema = Arc::new(parse_message_type("message m { REQUIRED INT64 a; }").unwrap());
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, Default::default()).unwrap();
    for numbers in [[1, 2].as_slice(), &[3]] {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(numbers, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    out
}

#[test]
fn parquet_footers() {
    run("parquet-footers", &[&parquet_file(), b"PAR1PAR1", b"PAR1\0\0\0\0PAR1"], &["parquet"], |_, _, parts| {
        assert!(parts.iter().all(|p| p.starts_with(b"PAR1") && p.ends_with(b"PAR1")));
    });
}

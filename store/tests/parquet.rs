//! A row group handed over as a file of its own reads back as what it was; a hostile footer is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use fabric_store::{ObjectPath, Objects, PlanOptions, PutOptions, Store, open, plan};
use fabric_types::{
    Code,
    dataset::{InputSpec, Partition, Split},
    id::TenantId,
};
use parquet::{
    data_type::{ByteArray, ByteArrayType, Int64Type},
    file::{
        reader::{FileReader as _, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    record::Field,
    schema::parser::parse_message_type,
};
use std::sync::Arc;

/// Three row groups of 100, 1 and 50 rows.
fn file() -> (Bytes, Vec<Vec<(i64, String)>>) {
    let schema = "message weather { REQUIRED INT64 hour; REQUIRED BYTE_ARRAY station (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, Default::default()).unwrap();
    let mut rows = Vec::new();
    for (group, len) in [(0_i64, 100_i64), (1, 1), (2, 50)] {
        let these: Vec<_> = (0..len).map(|i| (group * 1000 + i, format!("station {}", i % 7))).collect();
        let mut groups = writer.next_row_group().unwrap();
        let mut column = groups.next_column().unwrap().unwrap();
        let hours: Vec<_> = these.iter().map(|r| r.0).collect();
        column.typed::<Int64Type>().write_batch(&hours, None, None).unwrap();
        column.close().unwrap();
        let mut column = groups.next_column().unwrap().unwrap();
        let stations: Vec<_> = these.iter().map(|r| ByteArray::from(r.1.as_str())).collect();
        column.typed::<ByteArrayType>().write_batch(&stations, None, None).unwrap();
        column.close().unwrap();
        groups.close().unwrap();
        rows.push(these);
    }
    writer.close().unwrap();
    (out.into(), rows)
}

async fn objects(bytes: Bytes) -> Objects {
    let objects = Store::memory().objects(&TenantId::new("acme").unwrap());
    objects.put_bytes(&ObjectPath::new("x.parquet").unwrap(), bytes, PutOptions::default()).await.unwrap();
    objects
}

async fn planned(objects: &Objects) -> Result<Vec<Partition>, fabric_store::Error> {
    let spec = InputSpec::Objects { path: "x.parquet".into(), split: Split::Parquet };
    plan(&spec, objects, &PlanOptions::default()).await.map(|p| p.partitions)
}

#[tokio::test]
async fn each_row_group_is_a_file_of_its_own() {
    let (bytes, expected) = file();
    let objects = objects(bytes).await;
    let partitions = planned(&objects).await.unwrap();
    assert_eq!(partitions.len(), 3);
    for (partition, expected) in partitions.iter().zip(expected) {
        let mut reader = open(partition, &objects).await.unwrap();
        let size = reader.size();
        let bytes = reader.read_all(1 << 20).await.unwrap();
        assert_eq!(bytes.len() as u64, size);
        let file = SerializedFileReader::new(bytes).unwrap();
        assert_eq!(file.metadata().num_row_groups(), 1);
        assert_eq!(file.metadata().file_metadata().num_rows(), expected.len() as i64);
        let rows: Vec<_> = file
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                let mut fields = row.unwrap().into_columns().into_iter().map(|(_, field)| field);
                match (fields.next(), fields.next()) {
                    (Some(Field::Long(hour)), Some(Field::Str(station))) => (hour, station),
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        assert_eq!(rows, expected);
    }
}

#[tokio::test]
async fn a_damaged_footer_is_an_error_and_never_a_panic() {
    let (good, _) = file();
    let footer = good.len() - 8 - u32::from_le_bytes(good[good.len() - 8..][..4].try_into().unwrap()) as usize;
    for at in footer..good.len() {
        for flip in [0xff, 0x80, 0x01] {
            let mut bytes = good.to_vec();
            bytes[at] ^= flip;
            let objects = objects(bytes.into()).await;
            match planned(&objects).await {
                Ok(partitions) => {
                    for partition in partitions.iter().take(4) {
                        if let Ok(mut reader) = open(partition, &objects).await {
                            assert!(reader.size() <= 3 * good.len() as u64);
                            let _ = reader.read_all(1 << 20).await;
                        }
                    }
                }
                Err(e) => assert!(matches!(e.code(), Code::InvalidInputSpec | Code::TooLarge), "{e}"),
            }
        }
    }
}

//! A row group extracted as a file reads back unchanged, and a hostile footer is refused.

use bytes::Bytes;
use fabric_store::{ObjectPath, Objects, PlanOptions, PutOptions, Store, open, plan};
use fabric_types::{
    Code,
    dataset::{InputSpec, Partition, Split},
    id::TenantId,
};
use parquet::{
    data_type::{ByteArray, ByteArrayType, Int64Type},
    encryption::encrypt::FileEncryptionProperties,
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData},
        properties::WriterProperties,
        reader::{FileReader as _, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    record::Field,
    schema::parser::parse_message_type,
};
use std::sync::Arc;

/// Returns a file with three row groups of 100, 1 and 50 rows.
fn file() -> (Bytes, Vec<Vec<(i64, String)>>) {
    file_with(WriterProperties::default())
}

fn file_with(properties: WriterProperties) -> (Bytes, Vec<Vec<(i64, String)>>) {
    let schema = "message weather { REQUIRED INT64 hour; REQUIRED BYTE_ARRAY station (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, properties.into()).unwrap();
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

/// Returns the rows of a partition's file, which has one row group.
async fn rows(partition: &Partition, objects: &Objects) -> Vec<(i64, String)> {
    let mut reader = open(partition, objects).await.unwrap();
    let size = reader.size();
    let bytes = reader.read_all(1 << 20).await.unwrap();
    assert_eq!(bytes.len() as u64, size);
    let file = SerializedFileReader::new(bytes).unwrap();
    assert_eq!(file.metadata().num_row_groups(), 1);
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
    assert_eq!(file.metadata().file_metadata().num_rows(), rows.len() as i64);
    rows
}

#[tokio::test]
async fn each_row_group_is_a_file_of_its_own() {
    let (bytes, expected) = file();
    let objects = objects(bytes).await;
    let partitions = planned(&objects).await.unwrap();
    assert_eq!(partitions.len(), 3);
    for (partition, expected) in partitions.iter().zip(expected) {
        assert_eq!(rows(partition, &objects).await, expected);
    }
}

/// Returns the file with changed row groups in its footer.
fn with_groups(bytes: &Bytes, change: impl Fn(usize, &RowGroupMetaData) -> RowGroupMetaData) -> Bytes {
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
    let footer = bytes.len() - 8 - length;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes[footer..bytes.len() - 8]).unwrap();
    let groups = metadata.row_groups().iter().enumerate().map(|(at, group)| change(at, group)).collect();
    let mut out = bytes[..footer].to_vec();
    let metadata = ParquetMetaData::new(metadata.file_metadata().clone(), groups);
    ParquetMetaDataWriter::new(&mut out, &metadata).finish().unwrap();
    out.into()
}

/// Returns a row group without rows as pyarrow writes it: with a dictionary page, and a data page offset of 0.
fn without_rows(group: &RowGroupMetaData) -> RowGroupMetaData {
    let columns = group.columns().iter().map(|column| {
        let dictionary = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let column = column.clone().into_builder().set_num_values(0).set_data_page_offset(0);
        column.set_dictionary_page_offset(Some(dictionary)).build().unwrap()
    });
    let columns = columns.collect();
    group.clone().into_builder().set_column_metadata(columns).set_num_rows(0).build().unwrap()
}

#[tokio::test]
async fn a_row_group_without_rows_gives_no_task() {
    let (bytes, expected) = file();
    let only = |empty: &'static [usize]| {
        with_groups(&bytes, |at, group| if empty.contains(&at) { without_rows(group) } else { group.clone() })
    };
    for (empty, full) in [(&[1][..], &[0, 2][..]), (&[0], &[1, 2]), (&[0, 2], &[1])] {
        let objects = objects(only(empty)).await;
        let partitions = planned(&objects).await.unwrap();
        assert_eq!(partitions.len(), full.len());
        for (partition, group) in partitions.iter().zip(full) {
            assert_eq!(rows(partition, &objects).await, expected[*group]);
        }
    }
    let error = planned(&objects(only(&[0, 1, 2])).await).await.unwrap_err();
    assert_eq!(error.to_string(), "`x.parquet` gives no task: the object has no row group with rows");
    // Rows without pages are damage.
    let lost = with_groups(&bytes, |_, group| {
        let columns = group.columns().iter().map(|column| {
            let column = column.clone().into_builder().set_data_page_offset(0).set_dictionary_page_offset(None);
            column.build().unwrap()
        });
        group.clone().into_builder().set_column_metadata(columns.collect()).build().unwrap()
    });
    assert!(planned(&objects(lost).await).await.unwrap_err().to_string().contains("a column has no pages"));
}

#[tokio::test]
async fn encrypted_columns_and_footers_are_refused_as_such() {
    let keys = |plain: bool| FileEncryptionProperties::builder(vec![1; 16]).with_plaintext_footer(plain);
    for (keys, says) in [
        (keys(true).with_column_key("station", vec![2; 16]), "its column `station` is encrypted"),
        (keys(true), "its column `hour` is encrypted"),
        (keys(false), "its footer is encrypted"),
        (keys(false).with_column_key("station", vec![2; 16]), "its footer is encrypted"),
    ] {
        let properties = WriterProperties::builder().with_file_encryption_properties(keys.build().unwrap()).build();
        let error = planned(&objects(file_with(properties).0).await).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidInputSpec);
        assert_eq!(error.to_string(), format!("`x.parquet` can't be split as Parquet: {says}"));
        assert!(error.hint().unwrap().contains("decrypt"));
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

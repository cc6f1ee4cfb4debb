//! Plans and readers together: every byte is read once, and no line, row or record is split.

use bytes::Bytes;
use fabric_store::{ObjectPath, Objects, PlanOptions, PutOptions, Store, StoreOptions, open, plan};
use fabric_types::{
    Code,
    dataset::{InputSpec, Partition, Split},
    id::TenantId,
};
use proptest::prelude::*;

fn spec(path: &str, split: &str) -> InputSpec {
    InputSpec::Objects { path: path.into(), split: split.parse::<Split>().unwrap() }
}

fn memory() -> Objects {
    Store::memory().objects(&TenantId::new("acme").unwrap())
}

async fn put(objects: &Objects, path: &str, bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    objects.put_bytes(&ObjectPath::new(path).unwrap(), bytes, PutOptions::default()).await.unwrap();
}

async fn parts(objects: &Objects, path: &str, split: &str) -> Result<Vec<Partition>, fabric_store::Error> {
    plan(&spec(path, split), objects, &PlanOptions::default()).await.map(|p| p.partitions)
}

async fn read(objects: &Objects, partition: &Partition, max: usize) -> Vec<u8> {
    let mut reader = open(partition, objects).await.unwrap();
    let mut out = Vec::new();
    while let Some(bytes) = reader.next_chunk(max).await.unwrap() {
        assert!(!bytes.is_empty() && bytes.len() <= max);
        out.extend_from_slice(&bytes);
    }
    assert_eq!(out.len() as u64, reader.size());
    let whole = open(partition, objects).await.unwrap().read_all(u64::MAX).await.unwrap();
    assert_eq!(whole, out);
    out
}

/// Returns the partitions' contents, which must be the same over memory and a local directory. Empty if the data set
/// gives no task.
fn contents(bytes: &[u8], split: &str) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let local = Store::open(dir.path().to_str().unwrap(), StoreOptions::default()).unwrap();
        let mut seen = Vec::new();
        for objects in [memory(), local.objects(&TenantId::new("acme").unwrap())] {
            put(&objects, "x", bytes).await;
            let mut all = Vec::new();
            let partitions = match parts(&objects, "x", split).await {
                Err(e) if e.to_string().contains("gives no task") => Vec::new(),
                other => other.unwrap(),
            };
            for partition in partitions {
                all.push(read(&objects, &partition, 7).await);
            }
            seen.push(all);
        }
        assert_eq!(seen[0], seen[1]);
        seen.remove(0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn lines_are_never_cut(text in "([ab\"\r]{0,12}\n|\n\n){0,12}[ab]{0,9}|[ab]{100,200}", target in 1_u64..40) {
        let all = contents(text.as_bytes(), &format!("lines:{target}"));
        prop_assert_eq!(all.concat(), text.as_bytes());
        for (i, part) in all.iter().enumerate() {
            let last = i + 1 == all.len();
            prop_assert!(last || part.ends_with(b"\n"));
            prop_assert!(last || part.len() as u64 >= target);
            // No earlier line feed was possible.
            let before_end = part.get(target as usize - 1..part.len().saturating_sub(1));
            let early = before_end.is_some_and(|b| b.contains(&b'\n'));
            prop_assert!(!early);
        }
    }

    #[test]
    fn records_are_never_cut(count in 0_usize..60, record in 1_usize..9, target in 1_u64..40) {
        let bytes: Vec<u8> = (0..count * record).map(|i| i as u8).collect();
        let all = contents(&bytes, &format!("records:{record}:{target}"));
        prop_assert_eq!(all.concat(), bytes);
        for part in &all {
            prop_assert!(part.len() % record == 0 && (part.len() as u64 <= target || part.len() == record));
        }
    }

    #[test]
    fn items_are_the_lines_that_are_not_empty(text in "([aä ]{0,6}\r?\n){0,12}[aä]{0,3}") {
        let expected: Vec<_> = text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l)).filter(|l| !l.is_empty()).collect();
        let all = contents(text.as_bytes(), "items");
        prop_assert_eq!(all, expected.iter().map(|l| l.as_bytes().to_vec()).collect::<Vec<_>>());
    }
}

#[test]
fn boundaries_far_apart_are_found() {
    // Lines longer than a window, a block and the target.
    let mut bytes = vec![b'x'; 3_000_000];
    for at in [10, 20_000, 1_100_000, 1_100_001, 2_900_000] {
        bytes[at] = b'\n';
    }
    let lengths = |all: Vec<Vec<u8>>| all.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(contents(&bytes, "lines:1000")), [20_001, 1_080_000, 1_800_000, 99_999]);
    assert_eq!(contents(&bytes, "csv:1000").iter().map(|p| p.len() - 11).sum::<usize>(), 3_000_000 - 11);
}

#[tokio::test]
async fn what_can_not_be_planned_says_why() {
    let objects = memory();
    put(&objects, "in/a.csv", b"h\n").await;
    put(&objects, "in/b.csv", b"").await;
    put(&objects, "odd", b"12345").await;
    put(&objects, "blank", b"\n\r\n\n").await;
    assert_eq!(parts(&objects, "in/", "object").await.unwrap().len(), 1);
    for (path, split, says) in [
        ("in", "object", "but there are objects under `in/`"),
        ("out/", "object", "no objects under `out/`"),
        ("none", "object", "no object at `none`"),
        ("in/", "csv", "`in/` gives no task: each of the 2 objects has no row after its header row"),
        ("in/b.csv", "csv", "`in/b.csv` gives no task: the object has no bytes"),
        ("in/b.csv", "object", "`in/b.csv` gives no task: the object has no bytes"),
        ("blank", "csv", "`blank` gives no task: the object has no row after its header row"),
        ("blank", "items", "`blank` gives no task: the object has only empty lines"),
        ("odd", "records:4", "`odd` has 5 bytes, which is not a multiple of the record size 4"),
        ("odd", "parquet", "`odd` can't be split as Parquet: it is too short"),
    ] {
        let error = parts(&objects, path, split).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidInputSpec, "{path}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.hint().is_some());
    }
    let error = plan(&InputSpec::Items(Vec::new()), &objects, &PlanOptions::default()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().contains("the list of items is empty")),
        (Code::InvalidInputSpec, true)
    );
    let few = PlanOptions { max_partitions: 3, ..PlanOptions::default() };
    let error = plan(&spec("odd", "records:1:1"), &objects, &few).await.unwrap_err();
    assert!(error.to_string().contains("more than 3 partitions"), "{error}");
}

#[tokio::test]
async fn a_changed_input_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let local = Store::open(dir.path().to_str().unwrap(), StoreOptions::default()).unwrap();
    for objects in [memory(), local.objects(&TenantId::new("acme").unwrap())] {
        put(&objects, "x", b"one\ntwo\n").await;
        let partition = parts(&objects, "x", "lines:1").await.unwrap().remove(0);
        put(&objects, "x", b"eins\nzwei\n").await;
        let error = match open(&partition, &objects).await {
            Ok(mut reader) => reader.next_chunk(100).await.unwrap_err(),
            Err(e) => e,
        };
        assert_eq!(error.code(), Code::InputChanged);
    }
}

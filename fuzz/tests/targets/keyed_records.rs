//! Keyed records between map and reduce: heads, runs and merges.

use bytes::Bytes;
use fabric_fuzz::fuzz;
use fabric_host::keyed;

#[test]
fn keyed_records() {
    let (block, _) = keyed::encode([(b"a".as_slice(), b"1".as_slice()), (b"b", b"22"), (b"a", b"")], 3);
    let head = usize::try_from(keyed::head_len(3)).unwrap();
    let run = block[head..].to_vec();
    fuzz("keyed-records", &[&block, &run], |input| {
        for bucket in [0, 1, 2, u32::MAX] {
            if let Ok(range) = keyed::bucket_range(input, bucket) {
                assert!(range.start <= range.end);
            }
        }
        let half = input.len() / 2;
        let runs = vec![Bytes::copy_from_slice(&input[..half]), Bytes::copy_from_slice(&input[half..])];
        let Ok(mut merge) = keyed::merge(runs) else { return };
        let mut bytes = 0;
        while let Ok(Some(record)) = merge.next_record() {
            bytes += 8 + record.key.len() + record.value.len();
        }
        assert!(bytes <= input.len(), "records are no longer than what they were read from");
    });
}

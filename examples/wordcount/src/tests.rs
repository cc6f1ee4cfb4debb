use super::*;
use fabric::testing;
use table::Table;

fn naive(text: &[u8]) -> BTreeMap<Vec<u8>, u64> {
    let mut counts = BTreeMap::new();
    for word in text.split(|byte| byte.is_ascii_whitespace() || *byte == 0x0b).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_vec()).or_insert(0) += 1;
    }
    counts
}

#[test]
fn every_chunk_size_counts_the_same() {
    // Short and long words, words of exactly 8 and 16 bytes, common prefixes, and control characters that do not
    // separate words.
    let text = b"  the cat\tthe\r\ndog the-cat  a \xff\xfe \n\n the cat 12345678 1234567 123456789 a\0 a\x01b\x1f \
        long-word-number-1 long-word-number-2 long-word-number-1 1234567812345678 12345678 \x0b\x0c! end";
    let expected = naive(text);
    for size in 1..=text.len() {
        let mut table = Table::new();
        let mut straddling = Vec::new();
        for chunk in text.chunks(size) {
            table.add_chunk(chunk, &mut straddling);
        }
        table.add_last(&mut straddling);
        assert_eq!(table.total(), expected.values().sum::<u64>(), "chunks of {size}");
        assert_eq!(table.into_sorted().into_iter().collect::<BTreeMap<_, _>>(), expected, "chunks of {size}");
    }
}

#[test]
fn many_different_words_survive_growing() {
    let text: String = (0..50_000).map(|i| format!("w{} ", i % 20_000)).collect();
    let counted = count(Input::from_bytes(text.as_bytes()), Params::default()).unwrap();
    let Counted::Table(counts) = counted else { panic!("{counted:?}") };
    assert_eq!(counts.total, 50_000);
    assert_eq!(counts.words.len(), 20_000);
    assert_eq!((counts.words["w0"], counts.words["w19999"]), (3, 2));
}

#[test]
fn merging_two_halves_is_counting_the_whole() {
    let halves = ["a b a ", "b c"];
    let partials: Vec<_> =
        halves.iter().map(|half| testing::map(|i| count(i, Params::default()), half).unwrap().output).collect();
    let merged: Counts = testing::reduce(merge, partials).unwrap().json().unwrap();
    let whole: Counts = testing::map(|i| count(i, Params::default()), halves.concat()).unwrap().json().unwrap();
    assert_eq!(merged, whole);
}

#[test]
fn a_shuffle_gives_one_line_per_word() {
    let emitted = testing::map(|i| count(i, Params { emit: true }), "b a b").unwrap().emitted;
    let again = testing::map(|i| count(i, Params { emit: true }), "a c").unwrap().emitted;
    let result = testing::reduce_keyed(merge, emitted.into_iter().chain(again)).unwrap();
    assert_eq!(
        result.text(),
        "{\"key\":\"a\",\"value\":2}\n{\"key\":\"b\",\"value\":2}\n{\"key\":\"c\",\"value\":1}\n"
    );
}

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use super::*;

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Bench(tempfile::tempdir().expect("a directory"))
    }

    fn open(&self, most_bytes: u64) -> (Spool, Damage) {
        Spool::open(self.0.path(), most_bytes).expect("opened")
    }

    fn last_segment(&self) -> PathBuf {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(self.0.path())
            .expect("listed")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| segment_number(path).is_some())
            .collect();
        paths.sort();
        paths.pop().expect("a segment")
    }
}

fn put(spool: &mut Spool, text: &str) -> u64 {
    spool.push([text.as_bytes()]).expect("pushed")
}

/// Reads and delivers everything.
fn take_all(spool: &mut Spool) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((record, next)) = spool.read(spool.delivered()).expect("read") {
        texts.push(String::from_utf8(record).expect("text"));
        spool.set_delivered(next).expect("remembered");
    }
    texts
}

#[test]
fn records_come_out_in_order_also_after_a_restart() {
    let bench = Bench::new();
    let (mut spool, _) = bench.open(1 << 20);
    assert!(spool.is_empty());
    for text in ["a", "b", "c"] {
        put(&mut spool, text);
    }
    let (first, next) = spool
        .read(spool.delivered())
        .expect("read")
        .expect("a record");
    assert_eq!(first, b"a");
    spool.set_delivered(next).expect("remembered");
    drop(spool);
    let (mut spool, damage) = bench.open(1 << 20);
    assert_eq!((damage.torn_bytes, spool.count()), (0, 2));
    assert_eq!(take_all(&mut spool), ["b", "c"]);
    assert!(spool.is_empty());
    put(&mut spool, "d");
    drop(spool);
    assert_eq!(take_all(&mut bench.open(1 << 20).0), ["d"]);
}

#[test]
fn a_torn_record_is_cut_off_and_the_next_is_whole() {
    let bench = Bench::new();
    put(&mut bench.open(1 << 20).0, "whole");
    let path = bench.last_segment();
    let mut file = OpenOptions::new().append(true).open(path).expect("open");
    file.write_all(&[200, 0, 0, 0, 1]).expect("written");
    let (mut spool, damage) = bench.open(1 << 20);
    assert_eq!(damage.torn_bytes, 5);
    put(&mut spool, "next");
    assert_eq!(take_all(&mut spool), ["whole", "next"]);
}

#[test]
fn damage_in_the_middle_costs_its_segment_only() {
    let bench = Bench::new();
    let (mut spool, _) = bench.open(400);
    for number in 0..4 {
        put(&mut spool, &format!("{number}{}", "x".repeat(99)));
    }
    let first = segment_path(bench.0.path(), spool.segments[0].number);
    let file = OpenOptions::new().write(true).open(first).expect("open");
    file.write_all_at(b"?", 20).expect("written");
    let error = spool.read(spool.delivered()).expect_err("damaged");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let rest = take_all(&mut spool);
    assert!(rest.iter().all(|text| !text.starts_with('0')), "{rest:?}");
    assert!(!rest.is_empty());
}

#[test]
fn a_damaged_position_costs_repetitions_and_no_record() {
    let far = Position {
        segment: u64::MAX,
        offset: 0,
    };
    // Segments count from 2, since an empty spool begins at 1.
    let inside = Position {
        segment: 2,
        offset: 3,
    };
    for damaged in [
        &b"short"[..],
        &[0xff; POSITION],
        &position_bytes(far),
        &position_bytes(inside),
    ] {
        let bench = Bench::new();
        put(&mut bench.open(1 << 20).0, "kept");
        let file = bench.0.path().join("position");
        std::fs::write(file, damaged).expect("written");
        let (mut spool, damage) = bench.open(1 << 20);
        assert!(damage.position);
        put(&mut spool, "next");
        assert_eq!(take_all(&mut spool), ["kept", "next"]);
        drop(spool);
        assert!(!bench.open(1 << 20).1.position);
    }
}

/// Found by fuzzing: what was pushed then counted as delivered.
#[test]
fn a_segment_that_is_cut_off_before_the_position_gets_nothing_new() {
    for delivered in 1..=2 {
        let bench = Bench::new();
        let (mut spool, _) = bench.open(1 << 20);
        put(&mut spool, "first");
        put(&mut spool, "second");
        put(&mut spool, "third");
        let mut at = spool.delivered();
        for _ in 0..delivered {
            let next = spool.read(at).expect("read").expect("a record");
            at = next.1;
        }
        spool.set_delivered(at).expect("written");
        drop(spool);
        let path = bench.last_segment();
        let mut bytes = std::fs::read(&path).expect("a segment");
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let (mut spool, damage) = bench.open(1 << 20);
        assert!(damage.torn_bytes > 0);
        put(&mut spool, "x");
        drop(spool);
        let (mut spool, _) = bench.open(1 << 20);
        assert_eq!(take_all(&mut spool), ["x"]);
    }
}

#[test]
fn at_the_limit_the_oldest_goes_and_is_counted() {
    let bench = Bench::new();
    let (mut spool, _) = bench.open(1000);
    let lost: u64 = (0..100)
        .map(|number| put(&mut spool, &format!("{number:050}")))
        .sum();
    let left = take_all(&mut spool);
    assert_eq!(lost as usize + left.len(), 100);
    assert!(left.len() >= 10, "{}", left.len());
    assert!(left[left.len() - 1].ends_with("99"));
}

#[test]
fn a_segment_that_cannot_be_removed_does_not_have_records_put_twice() {
    let bench = Bench::new();
    let (mut spool, _) = bench.open(400);
    for number in 0..2 {
        put(&mut spool, &format!("{number}{}", "x".repeat(150)));
    }
    let oldest = segment_path(bench.0.path(), spool.segments[0].number);
    std::fs::remove_file(&oldest).expect("a segment");
    std::fs::create_dir(&oldest).expect("in its place");
    put(&mut spool, &format!("2{}", "x".repeat(150)));
    // They are pushed, which the caller must know.
    std::fs::remove_dir(&oldest).expect("made above");
    let numbers: Vec<u64> = spool.segments.iter().map(|one| one.number).collect();
    let last = numbers.last().map(|number| Position {
        segment: *number,
        offset: 0,
    });
    let found = spool.read(last.expect("a segment")).expect("read");
    assert!(found.expect("a record").0.starts_with(b"2"));
}

#[test]
fn a_reader_that_went_astray_costs_no_segment() {
    let bench = Bench::new();
    let (mut spool, _) = bench.open(1 << 20);
    for text in ["a", "b"] {
        put(&mut spool, text);
    }
    let number = spool.segments[0].number;
    let mut file = reading(&Real, &bench.last_segment(), 0).expect("a segment");
    file.seek(SeekFrom::Start(3)).expect("it is longer");
    spool.reader = Some((number, file, 0));
    assert_eq!(take_all(&mut spool), ["a", "b"]);
}

proptest::proptest! {
    // Every step writes to the disk.
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    /// Compares with a queue in memory, with restarts anywhere.
    #[test]
    fn it_is_a_queue(steps in proptest::collection::vec(0_u8..4, 1..60)) {
        let bench = Bench::new();
        let (mut spool, _) = bench.open(200);
        spool.most_bytes = u64::MAX;
        let mut model = VecDeque::new();
        for (number, step) in steps.iter().enumerate() {
            match step {
                0 | 1 => {
                    put(&mut spool, &number.to_string());
                    model.push_back(number.to_string());
                }
                2 => {
                    let read = spool.read(spool.delivered()).expect("read");
                    let expected = model.pop_front();
                    proptest::prop_assert_eq!(
                        read.as_ref().map(|(record, _)| String::from_utf8_lossy(record).into_owned()),
                        expected
                    );
                    if let Some((_, next)) = read {
                        spool.set_delivered(next).expect("remembered");
                    }
                }
                _ => {
                    drop(spool);
                    spool = bench.open(u64::MAX).0;
                }
            }
            proptest::prop_assert_eq!(spool.is_empty(), model.is_empty());
        }
    }
}

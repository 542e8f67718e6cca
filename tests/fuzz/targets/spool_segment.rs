//! A spool with arbitrary files: it opens, returns the whole records, and then works as
//! usual.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use vast_threatbus::state::spool::Spool;

/// In memory, since each run opens a new spool.
static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::tempdir_in(parent).expect("a directory")
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let path = DIRECTORY.path();
    for entry in std::fs::read_dir(path).expect("it is there").flatten() {
        std::fs::remove_file(entry.path()).expect("removed");
    }
    write_files(path, input);
    let (mut spool, _) = Spool::open(path, 1 << 20).expect("opened");
    let read = read_all(&mut spool);
    assert_eq!(spool.push([&b"new"[..]]).expect("put"), 0);
    drop(spool);
    let (mut spool, damage) = Spool::open(path, 1 << 20).expect("opened again");
    assert_eq!(damage.torn_bytes, 0);
    let mut expected = read;
    expected.push(b"new".to_vec());
    assert_eq!(read_all(&mut spool), expected);
});

/// Everything that waits, except for damaged records.
fn read_all(spool: &mut Spool) -> Vec<Vec<u8>> {
    let (mut records, mut at) = (Vec::new(), spool.delivered());
    loop {
        match spool.read(at) {
            Ok(Some((record, next))) => {
                records.push(record);
                at = next;
            }
            Ok(None) => return records,
            // Reported once for each segment; reading continues with the next one.
            Err(_) => {}
        }
    }
}

/// The input is a list of chunks, `LENGTH KIND BYTES`: raw bytes, a whole record,
/// a record that is cut short, the position, or the beginning of another segment.
fn write_files(path: &Path, mut input: &[u8]) {
    let mut segments = vec![Vec::new()];
    while let Some((&[kind, length], rest)) = input.split_first_chunk() {
        let (bytes, rest) = rest.split_at(usize::from(length).min(rest.len()));
        input = rest;
        let last = segments.last_mut().expect("never empty");
        match kind % 5 {
            0 => last.extend_from_slice(bytes),
            1 => last.extend(record(bytes)),
            2 => {
                let record = record(bytes);
                last.extend_from_slice(&record[..record.len() - 1]);
            }
            3 => std::fs::write(path.join("position"), bytes).expect("written"),
            _ if segments.len() < 4 => segments.push(Vec::new()),
            _ => {}
        }
    }
    for (number, content) in (1..).zip(&segments) {
        std::fs::write(path.join(format!("{number:016}.spool")), content).expect("written");
    }
}

fn record(bytes: &[u8]) -> Vec<u8> {
    let mut record = u32::try_from(bytes.len())
        .expect("short")
        .to_le_bytes()
        .to_vec();
    record.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    record.extend_from_slice(bytes);
    record
}

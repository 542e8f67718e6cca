//! Records in append-only files: length, checksum, bytes. A process that is killed leaves
//! at most one torn record, at the end, which the checksum reveals. After a power loss
//! there may be zeros in place of data that was not synced. No record is empty, so that
//! zeros are not a record: the checksum of nothing is 0.

use std::io::{self, Read};

/// The longest record in bytes: a longer one can only be damage.
pub const LONGEST_RECORD: usize = 64 << 20;

/// The bytes before the content: its length and its CRC-32, little-endian.
pub const HEADER: usize = 8;

/// Appends a record, which must not be empty, to a buffer.
pub fn encode(record: &[u8], buffer: &mut Vec<u8>) {
    debug_assert!(!record.is_empty(), "it would read as damage");
    let length = u32::try_from(record.len()).expect("records are shorter than LONGEST_RECORD");
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&crc32fast::hash(record).to_le_bytes());
    buffer.extend_from_slice(record);
}

/// The result of reading a record.
#[derive(Debug, PartialEq, Eq)]
pub enum NextRecord {
    /// A whole record.
    Record(Vec<u8>),
    /// The end of the file, after a whole record.
    End,
    /// Anything but a whole record.
    Torn,
}

/// Reads one record.
///
/// # Errors
/// The file cannot be read.
pub fn read(mut file: impl Read) -> io::Result<NextRecord> {
    let mut header = [0; HEADER];
    match fill(&mut file, &mut header)? {
        0 => return Ok(NextRecord::End),
        HEADER => {}
        _ => return Ok(NextRecord::Torn),
    }
    let [a, b, c, d, e, f, g, h] = header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let checksum = u32::from_le_bytes([e, f, g, h]);
    if length == 0 || length > LONGEST_RECORD {
        return Ok(NextRecord::Torn);
    }
    let mut record = Vec::new();
    file.take(length as u64).read_to_end(&mut record)?;
    if record.len() == length && crc32fast::hash(&record) == checksum {
        Ok(NextRecord::Record(record))
    } else {
        Ok(NextRecord::Torn)
    }
}

/// Reads until the buffer is full or the file ends; returns the number of bytes.
fn fill(mut file: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_no_records() {
        assert_eq!(read(&[0; 64][..]).expect("memory"), NextRecord::Torn);
    }

    proptest::proptest! {
        #[test]
        fn records_read_back_and_a_cut_is_noticed(
            records in proptest::collection::vec(
                proptest::collection::vec(proptest::num::u8::ANY, 1..40), 1..6),
            cut in 0_usize..64,
        ) {
            let mut buffer = Vec::new();
            for record in &records {
                encode(record, &mut buffer);
            }
            let last = HEADER + records.last().map_or(0, Vec::len);
            let cut = cut % last;
            let whole = if cut == 0 { records.len() } else { records.len() - 1 };
            let mut file = &buffer[..buffer.len() - cut];
            for record in &records[..whole] {
                proptest::prop_assert_eq!(read(&mut file).expect("memory"), NextRecord::Record(record.clone()));
            }
            let expected = if cut == 0 { NextRecord::End } else { NextRecord::Torn };
            proptest::prop_assert_eq!(read(&mut file).expect("memory"), expected);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            let _ = read(&bytes[..]);
        }
    }
}

//! The lines of a feed, each of bounded length.

use std::io::{self, BufRead};

/// The longest line and the longest object in bytes.
pub const LONGEST: usize = 16 << 20;

/// The byte order mark that some editors write before UTF-8 text.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Longer than [`LONGEST`], and dropped.
    TooLong,
}

/// Reads a feed line by line.
pub struct Lines<R> {
    reader: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the lines of this reader.
    pub fn new(reader: R) -> Self {
        Lines {
            reader,
            number: 0,
            line: Vec::new(),
        }
    }

    /// The number of the last line, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line, `None` at the end.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut is_there = false;
        let mut is_long = false;
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                break;
            }
            is_there = true;
            let end = memchr::memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            is_long |= self.line.len() + part.len() > LONGEST;
            if is_long {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !is_there {
            return Ok(None);
        }
        self.number += 1;
        if is_long {
            return Ok(Some(Line::TooLong));
        }
        // Files that were put together have one in the middle.
        let line = &self.line[..];
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        Ok(Some(Line::Whole(line.strip_suffix(b"\r").unwrap_or(line))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    fn lines(reader: impl BufRead) -> Vec<Option<String>> {
        let mut lines = Lines::new(reader);
        let mut all = Vec::new();
        while let Some(line) = lines.next().expect("memory can be read") {
            all.push(match line {
                Line::Whole(line) => Some(String::from_utf8_lossy(line).into_owned()),
                Line::TooLong => None,
            });
        }
        assert_eq!(lines.number(), all.len() as u64);
        all
    }

    #[test]
    fn lines_end_in_either_way_and_the_last_one_in_none() {
        let text = "\u{feff}a\r\n\n b\n\u{feff}c";
        for size in 1..8 {
            let reader = BufReader::with_capacity(size, text.as_bytes());
            let expected = ["a", "", " b", "c"].map(|line| Some(line.to_owned()));
            assert_eq!(lines(reader), expected, "{size}");
        }
        assert!(lines(&b""[..]).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_and_the_next_is_read() {
        let long = io::repeat(b'x').take(LONGEST as u64 + 1);
        let reader = BufReader::new((&b"a\n"[..]).chain(long).chain(&b"\nb\n"[..]));
        assert_eq!(lines(reader), [Some("a".into()), None, Some("b".into())]);
        let longest = io::repeat(b'x').take(LONGEST as u64);
        assert!(lines(BufReader::new(longest))[0].is_some());
    }
}

//! Walks through JSON of any length, holding one value at a time.
//!
//! It only finds where values begin and end; their reader validates them.

use std::io::{self, BufRead};

use super::super::lines::LONGEST;

/// Why no value could be read.
#[derive(Debug)]
pub enum Fault {
    /// An I/O error.
    Io(io::Error),
    /// The input is not JSON from here on, for this human-readable reason.
    Syntax(&'static str),
    /// The value has more than [`LONGEST`] bytes, and was skipped.
    TooLong,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

/// The state of the walk.
pub struct Scanner<R> {
    reader: R,
    line: u64,
    /// Whether every value is on one line.
    is_by_line: bool,
}

impl<R: BufRead> Scanner<R> {
    /// Starts at the beginning.
    pub fn new(reader: R) -> Self {
        Scanner {
            reader,
            line: 1,
            is_by_line: false,
        }
    }

    /// The number of the line, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Sets whether a value that continues on the next line is an error.
    pub fn set_by_line(&mut self, is_by_line: bool) {
        self.is_by_line = is_by_line;
    }

    /// Whether the next byte is alone in its line, as far as is buffered: a value begins that
    /// is pretty-printed.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn is_alone(&mut self) -> io::Result<bool> {
        let bytes = self.fill()?;
        Ok(matches!(bytes, [_, b'\n', ..] | [_, b'\r', b'\n', ..]))
    }

    /// Skips to the next line that begins with an object; `false` if there is no other.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn skip_to_object(&mut self) -> io::Result<bool> {
        loop {
            self.skip_line()?;
            if self.fill()?.is_empty() {
                return Ok(false);
            }
            self.reader.consume(1);
            self.line += 1;
            if self.fill()?.first() == Some(&b'{') {
                return Ok(true);
            }
        }
    }

    /// Whether values are lines.
    pub fn is_by_line(&self) -> bool {
        self.is_by_line
    }

    fn fill(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // The buffered bytes are returned again.
        self.reader.fill_buf()
    }

    /// The next byte, after blanks and line ends; `None` at the end.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn peek_outside(&mut self) -> io::Result<Option<u8>> {
        loop {
            let Some(&byte) = self.fill()?.first() else {
                return Ok(None);
            };
            // Truncation by log rotation may leave NUL bytes.
            if !byte.is_ascii_whitespace() && byte != 0 {
                return Ok(Some(byte));
            }
            self.line += u64::from(byte == b'\n');
            self.reader.consume(1);
        }
    }

    /// The same inside a value.
    ///
    /// # Errors
    /// The input ends, or the line does if values are lines.
    pub fn peek(&mut self) -> Result<u8, Fault> {
        loop {
            let is_by_line = self.is_by_line;
            let byte = *self.fill()?.first().ok_or(ENDED)?;
            match byte {
                b'\n' if is_by_line => return Err(BROKEN_OFF),
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.line += u64::from(byte == b'\n');
                    self.reader.consume(1);
                }
                byte => return Ok(byte),
            }
        }
    }

    /// Skips this byte, which was peeked at.
    pub fn step(&mut self) {
        self.reader.consume(1);
    }

    /// Skips this byte, which must be next.
    ///
    /// # Errors
    /// Another byte is next.
    pub fn expect(&mut self, expected: u8, otherwise: &'static str) -> Result<(), Fault> {
        if self.peek()? == expected {
            self.step();
            Ok(())
        } else {
            Err(Fault::Syntax(otherwise))
        }
    }

    /// Skips the comma after an element; `false` if the container ends.
    ///
    /// # Errors
    /// Neither is next.
    pub fn goes_on(&mut self, end: u8) -> Result<bool, Fault> {
        let byte = self.peek()?;
        if byte != b',' && byte != end {
            return Err(Fault::Syntax(
                "`,` or the end of a list or object is missing",
            ));
        }
        self.step();
        Ok(byte == b',')
    }

    /// Skips the rest of the line.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.fill()?;
            let count = bytes.len();
            if let Some(at) = memchr::memchr(b'\n', bytes) {
                self.reader.consume(at);
                return Ok(());
            }
            if count == 0 {
                return Ok(());
            }
            self.reader.consume(count);
        }
    }

    /// Appends the next value to `out`, without blanks between its parts.
    ///
    /// # Errors
    /// It is not terminated, or `out` would exceed [`LONGEST`].
    pub fn copy(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let first = self.peek()?;
        let mut copy = Copy {
            out,
            depth: 0,
            in_string: false,
            is_escaped: false,
            is_scalar: !matches!(first, b'{' | b'[' | b'"'),
            is_long: false,
        };
        loop {
            let is_by_line = self.is_by_line;
            let bytes = self.fill()?;
            if bytes.is_empty() {
                return if copy.is_scalar {
                    copy.end()
                } else {
                    Err(ENDED)
                };
            }
            let taken = copy.take(bytes, is_by_line);
            self.line += taken.lines;
            let used = taken.used;
            self.reader.consume(used);
            match taken.then {
                Then::More => {}
                Then::Ended => return copy.end(),
                Then::BrokenOff => return Err(BROKEN_OFF),
            }
        }
    }
}

/// Why a value whose end is missing is none.
pub const CUT_OFF: &str = "the input ends inside a value";
const ENDED: Fault = Fault::Syntax(CUT_OFF);
const BROKEN_OFF: Fault = Fault::Syntax("the line ends inside a value");

/// A value that is being copied.
struct Copy<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// A number, or one of `true`, `false` and `null`.
    is_scalar: bool,
    is_long: bool,
}

struct Taken {
    used: usize,
    lines: u64,
    then: Then,
}

enum Then {
    More,
    Ended,
    BrokenOff,
}

impl Copy<'_> {
    fn take(&mut self, bytes: &[u8], is_by_line: bool) -> Taken {
        let mut lines = 0;
        let mut at = 0;
        let done = |used, lines, then| Taken { used, lines, then };
        while at < bytes.len() {
            let byte = bytes[at];
            if byte == b'\n' && is_by_line {
                let then = if self.is_scalar {
                    Then::Ended
                } else {
                    Then::BrokenOff
                };
                return done(at, lines, then);
            }
            if self.in_string {
                let rest = &bytes[at..];
                let end = if self.is_escaped {
                    0
                } else {
                    memchr::memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len())
                };
                self.push(&rest[..end]);
                at += end;
                let Some(&byte) = rest.get(end) else {
                    continue;
                };
                if byte == b'\n' && is_by_line {
                    return done(at, lines, Then::BrokenOff);
                }
                lines += u64::from(byte == b'\n');
                self.push(&[byte]);
                at += 1;
                if self.is_escaped {
                    self.is_escaped = false;
                } else if byte == b'\\' {
                    self.is_escaped = true;
                } else if byte == b'"' {
                    self.in_string = false;
                    if self.depth == 0 {
                        return done(at, lines, Then::Ended);
                    }
                }
                continue;
            }
            if self.is_scalar && self.depth == 0 && ends_scalar(byte) {
                return done(at, lines, Then::Ended);
            }
            at += 1;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    lines += u64::from(byte == b'\n');
                    // Two numbers separated by a blank are not a number.
                    if self.out.last().is_some_and(u8::is_ascii_alphanumeric) {
                        self.push(b" ");
                    }
                    continue;
                }
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.push(&[byte]);
            if matches!(byte, b'}' | b']') && self.depth == 0 {
                return done(at, lines, Then::Ended);
            }
        }
        done(at, lines, Then::More)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.is_long |= self.out.len() + bytes.len() > LONGEST;
        if !self.is_long {
            self.out.extend_from_slice(bytes);
        }
    }

    fn end(self) -> Result<(), Fault> {
        if self.is_long {
            Err(Fault::TooLong)
        } else {
            Ok(())
        }
    }
}

fn ends_scalar(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b'}' | b']' | b':' | b'"')
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn copy(text: &str, size: usize) -> Result<String, Fault> {
        let mut scanner = Scanner::new(BufReader::with_capacity(size, text.as_bytes()));
        let mut out = Vec::new();
        scanner.copy(&mut out)?;
        Ok(String::from_utf8(out).expect("UTF-8 in, UTF-8 out"))
    }

    #[test]
    fn a_value_is_copied_without_what_is_between_its_parts() {
        for (text, expected) in [
            ("{ \"a\" : [ 1 , {\n} ] } rest", r#"{"a":[1 ,{}]}"#),
            (r#""a \" b\\" , "#, r#""a \" b\\""#),
            ("-1.5e3]", "-1.5e3"),
            ("null", "null"),
            ("[1 2]", "[1 2]"),
        ] {
            for size in 1..6 {
                assert_eq!(copy(text, size).expect(text), expected);
            }
        }
        for text in ["{", "[1", "\"a", "{\"a\": \"}\""] {
            assert!(matches!(copy(text, 3), Err(Fault::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn where_values_are_lines_none_continues_in_the_next() {
        let mut scanner = Scanner::new(&b"{\"a\":\n1}\n7\n"[..]);
        scanner.set_by_line(true);
        let mut out = Vec::new();
        assert!(matches!(scanner.copy(&mut out), Err(Fault::Syntax(_))));
        scanner.skip_line().expect("memory");
        assert_eq!(scanner.peek_outside().expect("memory"), Some(b'1'));
        scanner.skip_line().expect("memory");
        assert_eq!(scanner.peek_outside().expect("memory"), Some(b'7'));
        out.clear();
        scanner.copy(&mut out).expect("a number");
        assert_eq!((&out[..], scanner.line()), (&b"7"[..], 3));
    }

    #[test]
    fn a_value_too_long_is_passed_over() {
        let long = io::repeat(b'x').take(LONGEST as u64);
        let reader = BufReader::new((&b"[\""[..]).chain(long).chain(&b"\"] 8"[..]));
        let mut scanner = Scanner::new(reader);
        let mut out = Vec::new();
        assert!(matches!(scanner.copy(&mut out), Err(Fault::TooLong)));
        assert_eq!(scanner.peek_outside().expect("memory"), Some(b'8'));
    }

    proptest! {
        #[test]
        fn what_is_copied_means_the_same(
            texts in prop::collection::vec(".{0,12}", 0..6), numbers: Vec<i32>, size in 1usize..9,
        ) {
            let value = serde_json::json!({"a": texts, "b": [numbers, null, {"c": true}]});
            let pretty = format!("{value:#} x");
            let copied = copy(&pretty, size).expect("it is JSON");
            let back: Value = serde_json::from_str(&copied).expect("it is still JSON");
            prop_assert_eq!(back, value);
        }
    }
}

//! The lines printed by a child.

use super::{AnswerItem, EventLine};

/// The longest line in bytes. Real ones have tens of kB.
pub const LONGEST_LINE: usize = 16 << 20;

/// Cuts a stream of bytes into lines.
#[derive(Default)]
pub struct LineCutter {
    partial: Vec<u8>,
    /// Inside a line that is too long.
    skipping: bool,
}

/// What [`LineCutter`] found.
pub enum Piece<'a> {
    /// A whole line, without its end.
    Line(&'a [u8]),
    /// The beginning of a line of more than [`LONGEST_LINE`] bytes. The rest is skipped.
    TooLong(&'a [u8]),
}

/// The bytes shown of a line that is too long.
const LINE_SHOWN: usize = 400;

impl Piece<'_> {
    /// Passes it on, with invalid bytes replaced, as an event without a schema.
    pub fn hand_out<T>(&self, consume: impl FnOnce(AnswerItem<'_>) -> T) -> T {
        match self {
            Piece::Line(line) => consume(AnswerItem::Line(EventLine {
                text: &String::from_utf8_lossy(line),
                ..EventLine::default()
            })),
            Piece::TooLong(start) => {
                let start = &start[..start.len().min(LINE_SHOWN)];
                consume(AnswerItem::TooLong(&String::from_utf8_lossy(start)))
            }
        }
    }
}

impl LineCutter {
    /// Adds bytes and passes on the lines that they complete.
    pub fn push(&mut self, mut bytes: &[u8], mut found: impl FnMut(Piece<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.partial.is_empty() {
                found(Piece::Line(line));
            } else {
                self.partial.extend_from_slice(line);
                found(Piece::Line(&self.partial));
                self.partial.clear();
            }
        }
        if self.skipping {
            return;
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LONGEST_LINE {
            found(Piece::TooLong(&self.partial));
            self.partial = Vec::new();
            self.skipping = true;
        }
    }

    /// What follows the last line end.
    pub fn rest(&self) -> &[u8] {
        &self.partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, usize, Vec<u8>) {
        let (mut lines, mut found, mut too_long) = (LineCutter::default(), Vec::new(), 0);
        for piece in pieces {
            lines.push(piece, |piece| match piece {
                Piece::Line(line) => found.push(line.to_vec()),
                Piece::TooLong(_) => too_long += 1,
            });
        }
        (found, too_long, lines.rest().to_vec())
    }

    #[test]
    fn lines_are_put_together_across_reads() {
        let (lines, _, rest) = lines_of(&[b"a\nb", b"c\n\nd", b"", b"e"]);
        assert_eq!(lines, [&b"a"[..], b"bc", b""]);
        assert_eq!(rest, b"de");
    }

    #[test]
    fn an_endless_line_is_cut_once_and_the_next_is_read() {
        let long = vec![b'x'; LONGEST_LINE / 2 + 1];
        let (lines, too_long, rest) = lines_of(&[&long, &long, &long, b"y\nz\n"]);
        assert_eq!((lines, too_long), (vec![b"z".to_vec()], 1));
        assert!(rest.is_empty());
    }
}

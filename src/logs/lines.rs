//! Splits a stream of bytes into blocks of whole lines, so that the lines of one file can
//! be searched by several threads.

use std::io::{self, Read};

/// The size of a block in bytes, unless a line is longer.
pub const BLOCK: usize = 1 << 20;

/// The longest line in bytes. The longest event seen, a Suricata alert with its payload
/// and packet, has about 200 kB.
pub const LONGEST_LINE: usize = 16 << 20;

/// The memory of a block, and how much of it is used.
#[derive(Debug, Default)]
pub struct Block {
    buffer: Vec<u8>,
    filled: usize,
}

impl Block {
    /// The lines; the last one may lack its end.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Removes what is behind a place, and returns it.
    pub fn cut_off(&mut self, at: usize) -> Vec<u8> {
        let rest = self.bytes()[at..].to_vec();
        self.filled = at;
        rest
    }

    /// Whether the memory is worth reusing.
    pub fn is_reusable(&self) -> bool {
        self.buffer.len() == BLOCK
    }
}

/// What the end of the input means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// Nothing follows: the last line is complete even without its end.
    Finish,
    /// More may be written: a partial line is kept.
    Keep,
}

/// When a block is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// When it is full.
    Full,
    /// As soon as it has a line: for pipes, where the next line may take long.
    Eager,
}

/// The state between two blocks of one input.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end was not read yet.
    carry: Vec<u8>,
    /// Inside a line that is too long, which is dropped.
    skipping: bool,
    too_long: u64,
}

impl Lines {
    /// The number of lines longer than [`LONGEST_LINE`] since the last call.
    pub fn take_too_long(&mut self) -> u64 {
        std::mem::take(&mut self.too_long)
    }

    /// The same, without resetting it.
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Removes the beginning of a line whose end was not read yet, and returns it; `None` inside a
    /// line that is too long.
    pub fn take_carry(&mut self) -> Option<Vec<u8>> {
        (!self.skipping).then(|| std::mem::take(&mut self.carry))
    }

    /// Reads the next block into `block`, whose content is lost; `false` if there is no
    /// whole line before the end.
    ///
    /// # Errors
    /// Those of the reader. What was read before is kept for the next call.
    pub fn next(
        &mut self,
        reader: &mut impl Read,
        block: &mut Block,
        fill: Fill,
        at_end: AtEnd,
    ) -> io::Result<bool> {
        let buffer = &mut block.buffer;
        let mut filled = self.carry.len();
        buffer.resize(buffer.len().max(BLOCK).max(2 * filled), 0);
        buffer[..filled].copy_from_slice(&self.carry);
        self.carry.clear();
        // The end of the last whole line.
        let mut cut = 0;
        loop {
            let read = match reader.read(&mut buffer[filled..]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.carry.extend_from_slice(&buffer[..filled]);
                    return Err(error);
                }
            };
            if read == 0 {
                if at_end == AtEnd::Finish {
                    cut = filled;
                    self.skipping = false;
                }
                break;
            }
            let fresh = filled;
            let kept = self.skip(&mut buffer[fresh..fresh + read]);
            filled += without_nul(&mut buffer[fresh..fresh + kept]);
            if let Some(at) = memchr::memrchr(b'\n', &buffer[fresh..filled]) {
                cut = fresh + at + 1;
                if fill == Fill::Eager {
                    break;
                }
            }
            if filled < buffer.len() {
                continue;
            }
            if cut > 0 {
                break;
            }
            if filled >= LONGEST_LINE {
                self.too_long += 1;
                self.skipping = true;
                filled = 0;
            } else {
                buffer.resize((2 * filled).min(LONGEST_LINE), 0);
            }
        }
        self.carry.extend_from_slice(&buffer[cut..filled]);
        block.filled = cut;
        Ok(cut > 0)
    }

    /// Removes the part of a line that is too long from new bytes; returns how many are
    /// left, at the front.
    fn skip(&mut self, fresh: &mut [u8]) -> usize {
        if !self.skipping {
            return fresh.len();
        }
        match memchr::memchr(b'\n', fresh) {
            Some(at) => {
                self.skipping = false;
                fresh.copy_within(at + 1.., 0);
                fresh.len() - at - 1
            }
            None => 0,
        }
    }
}

/// Removes NUL bytes, which neither JSON nor Zeek's logs have: a writer that keeps its
/// position after its file was truncated leaves any number of them before its next line.
/// Returns how many bytes are left, at the front.
pub fn without_nul(fresh: &mut [u8]) -> usize {
    let Some(first) = memchr::memchr(0, fresh) else {
        return fresh.len();
    };
    let mut kept = first;
    for at in first..fresh.len() {
        if fresh[at] != 0 {
            fresh[kept] = fresh[at];
            kept += 1;
        }
    }
    kept
}

#[cfg(test)]
/// Shared with the tests of `format`.
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns its bytes in pieces of these sizes, the last first, and then the rest.
    pub struct Pieces<'a>(pub &'a [u8], pub Vec<usize>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.1.pop().unwrap_or(usize::MAX).max(1);
            let count = size.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn blocks(reader: &mut impl Read, fill: Fill) -> Vec<Vec<u8>> {
        let (mut lines, mut block) = (Lines::default(), Block::default());
        let mut all = Vec::new();
        while lines
            .next(reader, &mut block, fill, AtEnd::Finish)
            .expect("memory does not fail")
        {
            all.push(block.bytes().to_vec());
        }
        all
    }

    proptest! {
        #[test]
        fn every_byte_comes_and_blocks_end_with_lines(
            text in "[a\n]{0,60}",
            sizes in prop::collection::vec(1usize..9, 0..30),
            eager: bool,
        ) {
            let fill = if eager { Fill::Eager } else { Fill::Full };
            let blocks = blocks(&mut Pieces(text.as_bytes(), sizes), fill);
            prop_assert_eq!(blocks.concat(), text.as_bytes());
            for block in blocks.iter().rev().skip(1) {
                prop_assert_eq!(block.last(), Some(&b'\n'));
            }
            prop_assert!(blocks.iter().all(|block| !block.is_empty()));
        }
    }

    #[test]
    fn lines_longer_than_a_block_stay_whole() {
        let line = [vec![b'x'; 3 * BLOCK], vec![b'\n']].concat();
        let text = [&line[..], b"short\n", &line].concat();
        let blocks = blocks(&mut &text[..], Fill::Full);
        assert_eq!(blocks.concat(), text);
        assert!(blocks.iter().all(|block| block.ends_with(b"\n")));
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_counted() {
        let mut text = b"first\n".to_vec();
        text.resize(text.len() + 2 * LONGEST_LINE, b'x');
        text.extend_from_slice(b"\nlast\n");
        let (mut lines, mut block) = (Lines::default(), Block::default());
        let mut reader = &text[..];
        let mut all = Vec::new();
        while lines
            .next(&mut reader, &mut block, Fill::Full, AtEnd::Finish)
            .expect("memory does not fail")
        {
            all.extend_from_slice(block.bytes());
        }
        assert_eq!(all, b"first\nlast\n");
        assert_eq!((lines.take_too_long(), lines.take_too_long()), (1, 0));
    }

    #[test]
    fn nul_bytes_are_no_part_of_a_line() {
        let text = b"\0\0a\0b\n\0\nc\0";
        assert_eq!(blocks(&mut &text[..], Fill::Full).concat(), b"ab\n\nc");
    }

    #[test]
    fn the_beginning_of_a_line_waits_for_its_end() {
        let (mut lines, mut block) = (Lines::default(), Block::default());
        let mut next = |text: &[u8], at_end| {
            let mut reader = text;
            let found = lines.next(&mut reader, &mut block, Fill::Eager, at_end);
            found
                .expect("memory does not fail")
                .then(|| block.bytes().to_vec())
        };
        assert_eq!(next(b"a\nb", AtEnd::Keep), Some(b"a\n".to_vec()));
        assert_eq!(next(b"", AtEnd::Keep), None);
        assert_eq!(next(b"c", AtEnd::Keep), None);
        assert_eq!(next(b"\nd", AtEnd::Keep), Some(b"bc\n".to_vec()));
        assert_eq!(next(b"", AtEnd::Finish), Some(b"d".to_vec()));
    }
}

//! Contexts on their way into a sink command that keeps running, and which of them it has
//! certainly accepted. A pure state machine: no process, no clock.
//!
//! A line that was read from the pipe may still be in a buffer of the command when it
//! dies. So a line is only settled when the command has kept running for [`ACCEPTANCE_TIME`]
//! after reading it, or has read [`READ_AHEAD`] more bytes after it, or has exited
//! successfully. Unsettled lines are sent again to the next process: at least once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a command has to keep running after reading a line for the line to count as
/// accepted.
pub const ACCEPTANCE_TIME: Duration = Duration::from_secs(2);

/// How much a command may have read ahead, in bytes: what it read before that counts as
/// accepted. Readers read 4 or 8 KiB at once, and no more than a pipe holds.
pub const READ_AHEAD: u64 = 64 * 1024;

/// A line or a mark, in order of arrival.
#[derive(Debug)]
enum Entry<L, T> {
    /// A line, with its end.
    Line {
        bytes: Vec<u8>,
        /// What it belongs to.
        of: L,
        /// When it was found that the command had read it.
        read: Option<Instant>,
    },
    /// A mark for when every line before it is settled.
    Mark(T),
}

/// The newly settled lines and marks.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled<T> {
    /// The number of lines.
    pub lines: u64,
    /// The marks after them.
    pub marks: Vec<T>,
}

/// The lines that are given up.
#[derive(Debug, PartialEq, Eq)]
pub struct GivenUp<L, T> {
    /// Their number, and the marks after them.
    pub settled: Settled<T>,
    /// What they belong to.
    pub lines: Vec<L>,
}

/// The lines and marks that are not settled.
#[derive(Debug)]
pub struct Handing<L, T> {
    entries: VecDeque<Entry<L, T>>,
    /// The bytes of the lines in `entries`.
    held: u64,
    /// The bytes of lines in `entries` that were written to the pipe of the current
    /// process.
    written: u64,
}

impl<L, T> Handing<L, T> {
    /// Nothing is on its way.
    pub fn new() -> Self {
        Handing {
            entries: VecDeque::new(),
            held: 0,
            written: 0,
        }
    }

    /// Adds a line, with its end, and what it belongs to.
    pub fn push(&mut self, line: Vec<u8>, of: L) {
        self.held += line.len() as u64;
        self.entries.push_back(Entry::Line {
            bytes: line,
            of,
            read: None,
        });
    }

    /// Adds a mark.
    pub fn push_mark(&mut self, mark: T) {
        self.entries.push_back(Entry::Mark(mark));
    }

    /// The number of bytes held.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether nothing is held, not even a mark.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of bytes still to be written.
    pub fn unwritten(&self) -> u64 {
        self.held - self.written
    }

    /// The next bytes to write, up to about this many.
    pub fn next(&self, most: usize) -> Vec<u8> {
        let mut skip = self.written;
        let mut next = Vec::new();
        for bytes in self.lines() {
            let length = bytes.len() as u64;
            if skip >= length {
                skip -= length;
                continue;
            }
            let from = usize::try_from(skip).unwrap_or(bytes.len());
            next.extend_from_slice(&bytes[from..]);
            skip = 0;
            if next.len() >= most {
                break;
            }
        }
        next
    }

    /// The unwritten bytes of the first lines.
    pub fn next_of(&self, lines: usize) -> Vec<u8> {
        let first: Vec<&[u8]> = self.lines().take(lines).collect();
        let from = usize::try_from(self.written).unwrap_or(usize::MAX);
        let mut bytes = first.concat();
        bytes.drain(..from.min(bytes.len()));
        bytes
    }

    /// Records that this many bytes were written to the pipe.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    /// Records that this many bytes in the pipe are unread.
    pub fn look(&mut self, unread: usize, now: Instant) -> Settled<T> {
        let taken = self.written.saturating_sub(unread as u64);
        let mut end = 0;
        for entry in &mut self.entries {
            if let Entry::Line { bytes, read, .. } = entry {
                end += bytes.len() as u64;
                if end > taken {
                    break;
                }
                read.get_or_insert(now);
            }
        }
        let mut end = 0;
        self.settle(|line, read| {
            end += line.len() as u64;
            let is_old = |read: Instant| now.saturating_duration_since(read) >= ACCEPTANCE_TIME;
            read.is_some_and(is_old) || (end <= taken && taken - end >= READ_AHEAD)
        })
    }

    /// The process exited successfully after reading everything that was written.
    pub fn ended_well(&mut self) -> Settled<T> {
        let mut end = 0;
        let written = self.written;
        let settled = self.settle(|line, _| {
            end += line.len() as u64;
            end <= written
        });
        self.died();
        settled
    }

    /// The process is gone: everything that is not settled has to be written again.
    pub fn died(&mut self) {
        self.written = 0;
        for entry in &mut self.entries {
            if let Entry::Line { read, .. } = entry {
                *read = None;
            }
        }
    }

    /// Gives up this many of the oldest lines, written or not. Call it instead of
    /// [`Handing::died`].
    pub fn give_up(&mut self, lines: u64) -> GivenUp<L, T> {
        let mut left = lines;
        let given_up = self.take_off(|_, _| {
            let is_in = left > 0;
            left = left.saturating_sub(1);
            is_in
        });
        self.died();
        given_up
    }

    fn settle(&mut self, is_settled: impl FnMut(&[u8], Option<Instant>) -> bool) -> Settled<T> {
        self.take_off(is_settled).settled
    }

    /// Removes the leading lines for which this is true, and the marks between them.
    fn take_off(
        &mut self,
        mut is_settled: impl FnMut(&[u8], Option<Instant>) -> bool,
    ) -> GivenUp<L, T> {
        let mut lines = Vec::new();
        let mut settled = Settled {
            lines: 0,
            marks: Vec::new(),
        };
        while let Some(entry) = self.entries.pop_front() {
            match entry {
                Entry::Mark(mark) => settled.marks.push(mark),
                Entry::Line { bytes, of, read } if is_settled(&bytes, read) => {
                    lines.push(of);
                    settled.lines += 1;
                    self.held -= bytes.len() as u64;
                    self.written = self.written.saturating_sub(bytes.len() as u64);
                }
                line @ Entry::Line { .. } => {
                    self.entries.push_front(line);
                    break;
                }
            }
        }
        GivenUp { settled, lines }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Line { bytes, .. } => Some(&bytes[..]),
            Entry::Mark(_) => None,
        })
    }

    /// The number of lines held.
    pub fn count(&self) -> u64 {
        self.lines().count() as u64
    }
}

impl<L, T> Default for Handing<L, T> {
    fn default() -> Self {
        Handing::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn settled(lines: u64, marks: &[u8]) -> Settled<u8> {
        Settled {
            lines,
            marks: marks.to_vec(),
        }
    }

    #[test]
    fn a_line_is_settled_a_while_after_it_was_read() {
        let mut handing = Handing::new();
        let start = Instant::now();
        for line in ["ab\n", "cd\n"] {
            handing.push(line.into(), ());
        }
        handing.push_mark(1);
        assert_eq!(handing.next(100), b"ab\ncd\n");
        assert_eq!(handing.next(1), b"ab\n");
        handing.wrote(4);
        assert_eq!(handing.next(100), b"d\n");
        assert_eq!(handing.look(0, start), settled(0, &[]));
        handing.wrote(2);
        assert_eq!(
            handing.look(2, start + ACCEPTANCE_TIME / 2),
            settled(0, &[])
        );
        assert_eq!(handing.look(0, start + ACCEPTANCE_TIME), settled(1, &[]));
        assert_eq!(
            handing.look(0, start + 2 * ACCEPTANCE_TIME),
            settled(1, &[1])
        );
        assert!(handing.is_empty() && handing.held() == 0);
    }

    #[test]
    fn what_is_not_settled_is_handed_over_again() {
        let mut handing: Handing<(), u8> = Handing::new();
        handing.push(b"1\n".to_vec(), ());
        handing.push(b"2\n".to_vec(), ());
        handing.wrote(4);
        handing.look(0, Instant::now());
        handing.died();
        assert_eq!(handing.next(100), b"1\n2\n");
        handing.wrote(2);
        assert_eq!(handing.ended_well(), settled(1, &[]));
        assert_eq!(handing.next(100), b"2\n");
        handing.push(b"3\n".to_vec(), ());
        handing.wrote(1);
        assert_eq!(handing.next_of(1), b"\n");
        assert_eq!(handing.next_of(2), b"\n3\n");
        assert_eq!(handing.give_up(1).settled, settled(1, &[]));
        assert_eq!(handing.next_of(1), b"3\n");
        handing.push_mark(7);
        assert_eq!(handing.give_up(9).settled, settled(1, &[7]));
        assert!(handing.is_empty() && handing.next_of(1).is_empty());
    }

    #[test]
    fn what_a_process_has_read_far_behind_is_settled_at_once() {
        let mut handing: Handing<(), u8> = Handing::new();
        let line = vec![b'x'; 30_000];
        for _ in 0..4 {
            handing.push(line.clone(), ());
        }
        handing.wrote(120_000);
        let now = Instant::now();
        assert_eq!(handing.look(30_000, now), settled(0, &[]));
        assert_eq!(handing.look(0, now), settled(1, &[]));
    }

    proptest! {
        /// A command that reads what it is given, keeps some of it in its buffer, and
        /// dies now and then, gets every line at least once, in order within each
        /// life, and marks come behind their lines.
        #[test]
        fn every_line_is_handled_at_least_once(
            steps in vec((0..6_u8, 1..50_usize), 1..120),
        ) {
            let mut handing = Handing::new();
            let start = Instant::now();
            let mut now = start;
            // In the pipe; read and in the buffer since when; handled.
            let (mut pipe, mut buffer, mut handled) = (Vec::<u8>::new(), Vec::new(), Vec::new());
            let (mut pushed, mut done) = (0_u32, Vec::<u32>::new());
            let check = |settled: Settled<u32>, handled: &[u8], done: &mut Vec<u32>| {
                let text = String::from_utf8_lossy(handled);
                for mark in settled.marks {
                    // Everything before the mark was handled by then.
                    assert!((1..=mark).all(|n| text.contains(&format!("<{n}>\n"))), "{mark}: {text}");
                    done.push(mark);
                }
            };
            for (step, size) in steps {
                match step {
                    0 | 1 => {
                        pushed += 1;
                        handing.push(format!("<{pushed}>\n").into_bytes(), ());
                        handing.push_mark(pushed);
                    }
                    2 => {
                        let next = handing.next(size);
                        let count = next.len().min(size);
                        pipe.extend_from_slice(&next[..count]);
                        handing.wrote(count);
                    }
                    3 => {
                        let count = size.min(pipe.len());
                        buffer.extend(pipe.drain(..count));
                        check(handing.look(pipe.len(), now), &handled, &mut done);
                    }
                    4 => {
                        // It handles what it has read well before the time is over.
                        check(handing.look(pipe.len(), now), &handled, &mut done);
                        handled.append(&mut buffer);
                        now += ACCEPTANCE_TIME;
                        check(handing.look(pipe.len(), now), &handled, &mut done);
                    }
                    _ => {
                        pipe.clear();
                        buffer.clear();
                        handled.push(b'|');
                        handing.died();
                    }
                }
            }
            // A last life that goes well.
            pipe.clear();
            buffer.clear();
            handing.died();
            handled.push(b'|');
            let rest = handing.next(usize::MAX);
            handled.extend_from_slice(&rest);
            handing.wrote(rest.len());
            check(handing.ended_well(), &handled, &mut done);
            prop_assert!(handing.is_empty());
            prop_assert_eq!(done, (1..=pushed).collect::<Vec<_>>());
        }
    }
}

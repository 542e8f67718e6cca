//! Contexts on their way into a sink command that stays: which of them it has
//! certainly taken. A pure machine: no process, no clock.
//!
//! A line that has been read from the pipe may still be in a buffer of the command
//! when that dies. So a line is settled only when the command has lived on for
//! [`SETTLING`] after it read it, or has read [`WINDOW`] more bytes behind it, or has
//! ended with success. What is not settled is handed over again to the next process:
//! at least once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a command lives on after it read a line that counts as taken.
pub const SETTLING: Duration = Duration::from_secs(2);

/// How much a command may have read ahead, in bytes: what it read before counts as
/// taken. Readers read 4 or 8 KiB at once, and no more than a pipe holds.
pub const WINDOW: u64 = 64 * 1024;

/// Something in the order in which it came.
#[derive(Debug)]
enum Entry<L, T> {
    /// A line, with its end.
    Line {
        bytes: Vec<u8>,
        /// What it is of.
        of: L,
        /// When it was seen that the command had read it.
        read: Option<Instant>,
    },
    /// Something to be done when every line before it is settled.
    Mark(T),
}

/// What has come of the lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled<T> {
    /// How many lines are settled now.
    pub lines: u64,
    /// The marks behind them.
    pub marks: Vec<T>,
}

/// What has come of lines that are given up.
#[derive(Debug, PartialEq, Eq)]
pub struct GivenUp<L, T> {
    /// How many they are, and the marks behind them.
    pub settled: Settled<T>,
    /// What they are of.
    pub lines: Vec<L>,
}

/// The lines and marks that are not settled.
#[derive(Debug)]
pub struct Handing<L, T> {
    entries: VecDeque<Entry<L, T>>,
    /// Bytes of the lines in `entries`.
    held: u64,
    /// Bytes that went into the pipe of the present process, of lines that are in
    /// `entries`.
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

    /// A line comes, with its end, and what it is of.
    pub fn push(&mut self, line: Vec<u8>, of: L) {
        self.held += line.len() as u64;
        self.entries.push_back(Entry::Line {
            bytes: line,
            of,
            read: None,
        });
    }

    /// A mark comes.
    pub fn push_mark(&mut self, mark: T) {
        self.entries.push_back(Entry::Mark(mark));
    }

    /// How many bytes are held.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether nothing is held, not even a mark.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes are still to be written.
    pub fn unwritten(&self) -> u64 {
        self.held - self.written
    }

    /// The next bytes to be written, up to about so many.
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

    /// What is still to be written of the first lines.
    pub fn next_of(&self, lines: usize) -> Vec<u8> {
        let first: Vec<&[u8]> = self.lines().take(lines).collect();
        let from = usize::try_from(self.written).unwrap_or(usize::MAX);
        let mut bytes = first.concat();
        bytes.drain(..from.min(bytes.len()));
        bytes
    }

    /// So many bytes went into the pipe.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    /// So many bytes in the pipe are not read yet.
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
            let is_old = |read: Instant| now.saturating_duration_since(read) >= SETTLING;
            read.is_some_and(is_old) || (end <= taken && taken - end >= WINDOW)
        })
    }

    /// The process has ended with success, and had read all that was written.
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

    /// The process is gone: all that is not settled is to be written again.
    pub fn died(&mut self) {
        self.written = 0;
        for entry in &mut self.entries {
            if let Entry::Line { read, .. } = entry {
                *read = None;
            }
        }
    }

    /// Gives up so many lines, the oldest, whatever was written of them. Call it in place
    /// of [`Handing::died`].
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

    /// Takes off the lines from the front for which this holds, and marks between.
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

    /// How many lines are held.
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
        assert_eq!(handing.look(2, start + SETTLING / 2), settled(0, &[]));
        assert_eq!(handing.look(0, start + SETTLING), settled(1, &[]));
        assert_eq!(handing.look(0, start + 2 * SETTLING), settled(1, &[1]));
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
                        now += SETTLING;
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

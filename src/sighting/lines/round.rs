//! One round with a process that keeps running: a number of contexts is sent, one per line,
//! and the same number of results is read, one per line. Anything else makes all of them
//! void, since it is no longer clear which result belongs to which context.

use thiserror::Error;

use crate::process::text::printable;
use crate::protocol::Context;

/// The most bytes of the results of one round.
const MOST_BYTES: usize = 32 << 20;

/// What is wrong with the results of a round.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RoundFault {
    /// There are more lines than contexts.
    #[error("it printed more than one line for each of {expected}")]
    More {
        /// The number of contexts.
        expected: usize,
    },
    /// The output ended early.
    #[error("it printed {printed} line(s) for {expected}")]
    Less {
        /// The number of lines.
        printed: usize,
        /// The number of contexts.
        expected: usize,
    },
    /// A line is not JSON.
    #[error("{0}")]
    NoJson(String),
    /// The lines are too long.
    #[error("it printed more than {MOST_BYTES} bytes")]
    TooMuch,
}

/// The results of one round so far.
#[derive(Debug)]
pub struct Round {
    expected: usize,
    results: Vec<Context<'static>>,
    /// The last line, which is not complete yet.
    rest: Vec<u8>,
    bytes: usize,
}

impl Round {
    /// Starts a round of this many contexts.
    pub fn new(expected: usize) -> Self {
        Round {
            expected,
            results: Vec::with_capacity(expected),
            rest: Vec::new(),
            bytes: 0,
        }
    }

    /// Processes a piece of output.
    ///
    /// # Errors
    /// The round is void.
    pub fn take(&mut self, output: &[u8]) -> Result<(), RoundFault> {
        self.bytes += output.len();
        if self.bytes > MOST_BYTES {
            return Err(RoundFault::TooMuch);
        }
        let mut output = output;
        while let Some(end) = memchr::memchr(b'\n', output) {
            self.rest.extend_from_slice(&output[..end]);
            output = &output[end + 1..];
            let line = std::mem::take(&mut self.rest);
            self.push_line(line)?;
        }
        self.rest.extend_from_slice(output);
        if self.results.len() == self.expected && !self.rest.is_empty() {
            Err(RoundFault::More {
                expected: self.expected,
            })
        } else {
            Ok(())
        }
    }

    fn push_line(&mut self, line: Vec<u8>) -> Result<(), RoundFault> {
        if self.results.len() == self.expected {
            return Err(RoundFault::More {
                expected: self.expected,
            });
        }
        let result = Context::from_command(line).map_err(|error| {
            let reason = error.to_string();
            RoundFault::NoJson(printable(&reason, 300).to_string())
        })?;
        self.results.push(result);
        Ok(())
    }

    /// Whether every context has a result.
    pub fn is_full(&self) -> bool {
        self.results.len() == self.expected
    }

    /// The number of results.
    pub fn count(&self) -> usize {
        self.results.len()
    }

    /// The results in the order of the contexts, after the end of the output.
    ///
    /// # Errors
    /// The round is void.
    pub fn finish(mut self) -> Result<Vec<Context<'static>>, RoundFault> {
        if !self.rest.is_empty() {
            // The last line may lack its line end.
            let line = std::mem::take(&mut self.rest);
            self.push_line(line)?;
        }
        if self.is_full() {
            Ok(self.results)
        } else {
            Err(RoundFault::Less {
                printed: self.results.len(),
                expected: self.expected,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn play(expected: usize, pieces: &[&[u8]]) -> Result<Vec<String>, RoundFault> {
        let mut round = Round::new(expected);
        for piece in pieces {
            round.take(piece)?;
        }
        let results = round.finish()?;
        Ok(results.iter().map(|one| one.as_str().to_owned()).collect())
    }

    #[test]
    fn as_many_lines_as_contexts_are_their_answers() {
        let pieces: &[&[u8]] = &[b"{\"a\"", b": 1}\n[]", b"\n\"x\""];
        let expected = ["{\"a\":1}", "[]", "\"x\""].map(str::to_owned);
        assert_eq!(play(3, pieces), Ok(expected.to_vec()));
        assert_eq!(play(0, &[]), Ok(Vec::new()));
    }

    #[test]
    fn anything_else_makes_all_void() {
        let less = |printed, expected| Err(RoundFault::Less { printed, expected });
        assert_eq!(play(2, &[b"1\n"]), less(1, 2));
        assert_eq!(play(1, &[b""]), less(0, 1));
        assert_eq!(play(1, &[b"1\n2\n"]), Err(RoundFault::More { expected: 1 }));
        // The first byte after the last line is already too much.
        assert_eq!(
            play(1, &[b"1\n", b"2"]),
            Err(RoundFault::More { expected: 1 })
        );
        for line in [&b"{\n"[..], b"\n", b"1 2\n", b"\xff\n", b"x\n"] {
            assert!(
                matches!(play(1, &[line]), Err(RoundFault::NoJson(_))),
                "{line:?}"
            );
        }
        let long = vec![b'1'; MOST_BYTES + 1];
        assert_eq!(play(1, &[&long]), Err(RoundFault::TooMuch));
    }

    proptest! {
        #[test]
        fn the_cuts_between_pieces_do_not_matter(
            results in vec("[a-z\u{e4}\\\\n]{0,8}", 0..12),
            surplus in 0..3_usize,
            cuts in vec(0..200_usize, 0..8),
        ) {
            let lines: Vec<String> = results
                .iter()
                .map(|text| serde_json::to_string(text).expect("a string"))
                .collect();
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let mut pieces = Vec::new();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.sort_unstable();
            let mut rest = text.as_bytes();
            for cut in cuts.into_iter().rev() {
                let (head, tail) = rest.split_at(cut);
                pieces.insert(0, tail);
                rest = head;
            }
            pieces.insert(0, rest);
            let expected = (results.len() + 1).saturating_sub(surplus);
            let result = play(expected, &pieces);
            match expected.cmp(&results.len()) {
                std::cmp::Ordering::Equal => prop_assert_eq!(result, Ok(lines)),
                std::cmp::Ordering::Less => prop_assert_eq!(result, Err(RoundFault::More { expected })),
                std::cmp::Ordering::Greater => prop_assert_eq!(
                    result,
                    Err(RoundFault::Less { printed: results.len(), expected })
                ),
            }
        }
    }
}

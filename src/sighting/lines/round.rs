//! One round with a process that stays: so many contexts go in, one a line, and
//! as many answers come out, one a line. Anything else makes all of them void,
//! since nobody can say any more which answer belongs to which context.

use std::fmt;

use crate::process::text::printable;
use crate::protocol::Context;

/// The most that the answers of one round may take together, in bytes.
const MOST_BYTES: usize = 32 << 20;

/// What is wrong with the answers of a round.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// More lines came than contexts went in.
    More {
        /// How many went in.
        asked: usize,
    },
    /// The output ended early.
    Less {
        /// How many lines came.
        answered: usize,
        /// How many contexts went in.
        asked: usize,
    },
    /// A line is no JSON.
    NoJson(String),
    /// The lines are longer than is taken.
    TooMuch,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::More { asked } => {
                write!(f, "it printed more than one line for each of {asked}")
            }
            Fault::Less { answered, asked } => {
                write!(f, "it printed {answered} line(s) for {asked}")
            }
            Fault::NoJson(reason) => f.write_str(reason),
            Fault::TooMuch => write!(f, "it printed more than {MOST_BYTES} bytes"),
        }
    }
}

/// The answers of one round so far.
#[derive(Debug)]
pub struct Round {
    asked: usize,
    answers: Vec<Context<'static>>,
    /// The line that has no end yet.
    rest: Vec<u8>,
    bytes: usize,
}

impl Round {
    /// Nothing has been answered yet of so many contexts.
    pub fn new(asked: usize) -> Self {
        Round {
            asked,
            answers: Vec::with_capacity(asked),
            rest: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes a piece of output.
    ///
    /// # Errors
    /// The round is void.
    pub fn take(&mut self, output: &[u8]) -> Result<(), Fault> {
        self.bytes += output.len();
        if self.bytes > MOST_BYTES {
            return Err(Fault::TooMuch);
        }
        let mut output = output;
        while let Some(end) = memchr::memchr(b'\n', output) {
            self.rest.extend_from_slice(&output[..end]);
            output = &output[end + 1..];
            let line = std::mem::take(&mut self.rest);
            self.answer(line)?;
        }
        self.rest.extend_from_slice(output);
        if self.answers.len() == self.asked && !self.rest.is_empty() {
            Err(Fault::More { asked: self.asked })
        } else {
            Ok(())
        }
    }

    fn answer(&mut self, line: Vec<u8>) -> Result<(), Fault> {
        if self.answers.len() == self.asked {
            return Err(Fault::More { asked: self.asked });
        }
        let answer = Context::from_command(line).map_err(|error| {
            let reason = error.to_string();
            Fault::NoJson(printable(&reason, 300).to_string())
        })?;
        self.answers.push(answer);
        Ok(())
    }

    /// Whether there is an answer for every context.
    pub fn is_full(&self) -> bool {
        self.answers.len() == self.asked
    }

    /// How many answers there are.
    pub fn answered(&self) -> usize {
        self.answers.len()
    }

    /// The answers in the order of the contexts, when no more come.
    ///
    /// # Errors
    /// The round is void.
    pub fn finish(mut self) -> Result<Vec<Context<'static>>, Fault> {
        if !self.rest.is_empty() {
            // The last line need not have an end.
            let line = std::mem::take(&mut self.rest);
            self.answer(line)?;
        }
        if self.is_full() {
            Ok(self.answers)
        } else {
            Err(Fault::Less {
                answered: self.answers.len(),
                asked: self.asked,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn play(asked: usize, pieces: &[&[u8]]) -> Result<Vec<String>, Fault> {
        let mut round = Round::new(asked);
        for piece in pieces {
            round.take(piece)?;
        }
        let answers = round.finish()?;
        Ok(answers.iter().map(|one| one.as_str().to_owned()).collect())
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
        let less = |answered, asked| Err(Fault::Less { answered, asked });
        assert_eq!(play(2, &[b"1\n"]), less(1, 2));
        assert_eq!(play(1, &[b""]), less(0, 1));
        assert_eq!(play(1, &[b"1\n2\n"]), Err(Fault::More { asked: 1 }));
        // Already by the first byte behind the last line.
        assert_eq!(play(1, &[b"1\n", b"2"]), Err(Fault::More { asked: 1 }));
        for line in [&b"{\n"[..], b"\n", b"1 2\n", b"\xff\n", b"x\n"] {
            assert!(
                matches!(play(1, &[line]), Err(Fault::NoJson(_))),
                "{line:?}"
            );
        }
        let long = vec![b'1'; MOST_BYTES + 1];
        assert_eq!(play(1, &[&long]), Err(Fault::TooMuch));
    }

    proptest! {
        #[test]
        fn the_cuts_between_pieces_do_not_matter(
            answers in vec("[a-z\u{e4}\\\\n]{0,8}", 0..12),
            surplus in 0..3_usize,
            cuts in vec(0..200_usize, 0..8),
        ) {
            let lines: Vec<String> = answers
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
            let asked = (answers.len() + 1).saturating_sub(surplus);
            let result = play(asked, &pieces);
            match asked.cmp(&answers.len()) {
                std::cmp::Ordering::Equal => prop_assert_eq!(result, Ok(lines)),
                std::cmp::Ordering::Less => prop_assert_eq!(result, Err(Fault::More { asked })),
                std::cmp::Ordering::Greater => prop_assert_eq!(
                    result,
                    Err(Fault::Less { answered: answers.len(), asked })
                ),
            }
        }
    }
}

//! Errors in a pattern, with their position.

use std::fmt;

use thiserror::Error;

use super::{MAX_DEPTH, MAX_LENGTH};

/// The position of a part of a pattern in its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatternPosition {
    /// The number of bytes before it.
    pub offset: u32,
    /// Its length in bytes.
    pub length: u32,
    /// The line, from 1. Lines end with a line feed.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for PatternPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The error of a text that is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{position}: {reason}")]
pub struct PatternError {
    /// Where the error is.
    pub position: PatternPosition,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// The grammar expects something else here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What is expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// The same qualifier twice on one observation, which STIX 2.1 forbids.
    #[error(
        "a second {0} on one observation (STIX 2.1 allows one of each; parentheses around the \
         first would make it two levels)"
    )]
    RepeatedQualifier(&'static str),
    /// `WITHIN 0` or `REPEATS 0`.
    #[error("{0} 0, which has to be more than 0")]
    Nothing(&'static str),
    /// Longer than [`MAX_LENGTH`] bytes.
    #[error("the pattern is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Parentheses nested deeper than [`MAX_DEPTH`].
    #[error("parentheses are nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

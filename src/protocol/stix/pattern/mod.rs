//! The STIX patterning language, versions 2.1 and 2.0 (OASIS STIX 2.1, part 9; STIX 2.0,
//! part 5).
//!
//! [`parse`] reads a pattern according to the grammar, and rejects what the grammar
//! allows although it is meaningless: `WITHIN 0`, `REPEATS 0`.

mod error;
mod lexer;
mod literal;
mod parser;
mod tree;

use std::fmt;

pub use error::{PatternError, PatternPosition, Reason};
pub use literal::LiteralValue;
pub use tree::{
    Comparison, Literal, ObjectPath, Observation, Pattern, PatternText, PropertyCondition,
    Qualifier, QualifierKind, Relation, Step, Test, TextOperator,
};

/// The longest accepted pattern in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

/// The deepest nesting of parentheses, around observations and around comparisons
/// together.
pub const MAX_DEPTH: usize = 64;

/// A version of the patterning language.
///
/// They differ in `EXISTS` (2.1 only, a plain name in 2.0), in the times of
/// `START … STOP` (`t'…'` in 2.1, `'…'` in 2.0) and in that 2.1 allows one
/// qualifier of each kind on an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// STIX 2.1.
    Stix21,
    /// STIX 2.0.
    Stix20,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Stix21 => "2.1",
            Version::Stix20 => "2.0",
        })
    }
}

/// Parses a pattern as STIX 2.1, or else as 2.0.
///
/// # Errors
///
/// The text is neither. The error is that of the version that could read more of it. The
/// older version is not tried if the newer one understands the text but forbids it (the
/// same qualifier twice).
pub fn parse(text: &str) -> Result<Pattern, PatternError> {
    parse_as(text, Version::Stix21).or_else(|newer| {
        if matches!(newer.reason, Reason::RepeatedQualifier(_)) {
            return Err(newer);
        }
        parse_as(text, Version::Stix20).map_err(|older| {
            if older.position.offset > newer.position.offset {
                older
            } else {
                newer
            }
        })
    })
}

/// Parses a pattern of one version.
///
/// # Errors
///
/// The first position at which the text violates the grammar, or the limit that it
/// exceeds.
pub fn parse_as(text: &str, version: Version) -> Result<Pattern, PatternError> {
    parser::parse(text, version)
}

#[cfg(test)]
mod tests;

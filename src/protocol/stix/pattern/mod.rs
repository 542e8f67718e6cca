//! The STIX patterning language, versions 2.1 and 2.0
//! (OASIS STIX 2.1, part 9; STIX 2.0, part 5).
//!
//! [`parse`] reads a pattern as the grammar has it, and refuses what the grammar lets
//! through although it means nothing: `WITHIN 0`, `REPEATS 0`.

mod error;
mod lexer;
mod literal;
mod parser;
mod tree;

use std::fmt;

pub use error::{PatternError, Position, Reason};
pub use literal::Value;
pub use tree::{
    Comparison, Condition, Literal, ObjectPath, Observation, Pattern, Qualifier, QualifierKind,
    Relation, Step, Test, Text, TextOperator,
};

/// The longest pattern that is read, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

/// How deeply parentheses may be nested, those around observations and those
/// around comparisons counted together.
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

/// Parses a pattern of STIX 2.1, or else of 2.0.
///
/// # Errors
///
/// Where it is neither: that of the version in which more of it could be read. The older
/// one is not tried where the newer forbids what it could read, the same qualifier twice.
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
/// The first place at which the text leaves the grammar, or a limit that it
/// passes.
pub fn parse_as(text: &str, version: Version) -> Result<Pattern, PatternError> {
    parser::parse(text, version)
}

#[cfg(test)]
mod tests;

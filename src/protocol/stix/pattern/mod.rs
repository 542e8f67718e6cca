//! The STIX patterning language, versions 2.1 and 2.0
//! (OASIS STIX 2.1, part 9; STIX 2.0, part 5).
//!
//! [`parse`] reads a pattern as the grammar has it. [`validate`] adds what the
//! official validator refuses beyond the grammar, so that its verdict is the
//! validator's on every text.

mod error;
mod lexer;
mod literal;
mod parser;
mod tree;
mod verdict;

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
/// Where it is neither: that of the version in which more of it could be read.
pub fn parse(text: &str) -> Result<Pattern, PatternError> {
    either(|version| parse_as(text, version))
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

/// Parses a pattern of STIX 2.1, or else of 2.0, that the official validator
/// takes as well.
///
/// # Errors
///
/// As [`parse`], and [`Reason::Refused`].
pub fn validate(text: &str) -> Result<Pattern, PatternError> {
    either(|version| validate_as(text, version))
}

/// Parses a pattern of one version that the official validator takes as well.
///
/// # Errors
///
/// As [`parse_as`], and [`Reason::Refused`].
pub fn validate_as(text: &str, version: Version) -> Result<Pattern, PatternError> {
    let pattern = parse_as(text, version)?;
    match verdict::objection(text, &pattern) {
        Some(error) => Err(error),
        None => Ok(pattern),
    }
}

fn either(
    read: impl Fn(Version) -> Result<Pattern, PatternError>,
) -> Result<Pattern, PatternError> {
    read(Version::Stix21).or_else(|newer| {
        read(Version::Stix20).map_err(|older| {
            if older.position.offset > newer.position.offset {
                older
            } else {
                newer
            }
        })
    })
}

#[cfg(test)]
mod tests;

//! Why a text is no value of a kind.

use std::fmt;

/// So many characters of a text are shown.
const SHOWN: usize = 200;

/// A text that is no value of the kind that it was taken for, with the reason, for a
/// person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAValue(String);

impl NotAValue {
    /// `text` is no such thing, and this is why.
    pub(super) fn because(text: &str, what: &str, why: impl fmt::Display) -> Self {
        NotAValue(format!("{} is no {what}: {why}", Shown(text)))
    }

    /// `text` is no such thing, which says all.
    pub(super) fn plainly(text: &str, what: &str) -> Self {
        NotAValue(format!("{} is no {what}", Shown(text)))
    }
}

impl fmt::Display for NotAValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAValue {}

/// A text in quotation marks, cut where it is long.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

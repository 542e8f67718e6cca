//! Why a text is no value of a kind.

use std::fmt;

/// So many characters of a text are shown.
const SHOWN: usize = 200;

/// A text that is no value of the kind that it was taken for, with the reason, for a
/// person. A line of a list is none of most kinds, so that the words are put together
/// only where somebody reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAValue {
    /// One character more than is shown, at the most.
    text: Box<str>,
    what: &'static str,
    why: Option<Box<str>>,
}

impl NotAValue {
    /// `text` is no such thing, and this is why.
    pub(super) fn because(text: &str, what: &'static str, why: impl ToString) -> Self {
        NotAValue {
            why: Some(why.to_string().into()),
            ..NotAValue::plainly(text, what)
        }
    }

    /// `text` is no such thing, which says all.
    pub(super) fn plainly(text: &str, what: &'static str) -> Self {
        let is_long = text.len() > SHOWN;
        let end = is_long
            .then(|| text.char_indices().nth(SHOWN + 1))
            .flatten();
        NotAValue {
            text: text[..end.map_or(text.len(), |(end, _)| end)].into(),
            what,
            why: None,
        }
    }
}

impl fmt::Display for NotAValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no {}", Shown(&self.text), self.what)?;
        match &self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
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

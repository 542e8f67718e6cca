//! Why a text is not a value of a kind.

use std::fmt;

/// The number of characters shown of a text.
const TEXT_SHOWN: usize = 200;

/// Says why a text is not a value of the expected kind; human-readable. Most lines of a
/// list are of one kind only, so the message is formatted only when it is displayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAValue {
    /// At most one character more than is shown.
    text: Box<str>,
    what: &'static str,
    why: Option<Box<str>>,
}

impl NotAValue {
    /// `text` is not a `what`, for this reason.
    pub(super) fn because(text: &str, what: &'static str, why: impl ToString) -> Self {
        NotAValue {
            why: Some(why.to_string().into()),
            ..NotAValue::plainly(text, what)
        }
    }

    /// `text` is not a `what`; there is no more to say.
    pub(super) fn plainly(text: &str, what: &'static str) -> Self {
        let is_long = text.len() > TEXT_SHOWN;
        let end = is_long
            .then(|| text.char_indices().nth(TEXT_SHOWN + 1))
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

/// A text in quotation marks, truncated if it is long.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(TEXT_SHOWN) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

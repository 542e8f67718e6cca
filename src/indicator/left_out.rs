//! The parts of an indicator that are not searched for although the rest is.

use std::fmt;

use log::{debug, warn};

use crate::observe::logging::printable;

/// The number of characters shown of a part.
const PART_SHOWN: usize = 120;

/// A part of an indicator that is not searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The part as the indicator writes it, truncated if it is long.
    pub what: String,
    /// The human-readable reason.
    pub why: String,
    /// Whether it is an invalid value, which its author should know about.
    pub is_wrong: bool,
}

impl LeftOut {
    /// Makes one of a part and the reason.
    pub fn new(part: &impl fmt::Display, why: &str, is_wrong: bool) -> Self {
        let text = part.to_string();
        let what = match text.char_indices().nth(PART_SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        LeftOut {
            what,
            why: why.to_owned(),
            is_wrong,
        }
    }
}

/// Logs what is left out of an indicator; invalid values with a warning.
pub fn tell_of_left_out(id: &str, left_out: &[LeftOut]) {
    for one in left_out {
        let (id, text) = (printable(id, 200), one.to_string());
        let text = printable(&text, 500);
        if one.is_wrong {
            warn!(indicator:% = id, reason:% = text; "indicator {id}: a value is left out, and the rest is searched: {text}")
        } else {
            debug!(indicator:% = id, reason:% = text; "indicator {id}: a part is left out, and the rest is searched: {text}")
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

//! The events that an engine is queried for if no list of values selects them.

use time::OffsetDateTime;

use crate::matching::condition::{Field, Operator};
use crate::observable::{Kind, Observable};

/// A query, independent of an engine's language. It selects every event that an indicator
/// means, and possibly others, which the indicator's condition rejects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selection {
    /// All events: nothing narrows the indicator.
    Everything,
    /// Events with one of these values; never empty.
    Values(Vec<Observable>),
    /// Events with a text of this kind that contains this one. The kind is not one of
    /// addresses; the text is not empty and has no control character.
    Contains(Kind, String),
    /// Events with a number in this field that compares so with this one.
    Number(Field, Operator, u64),
    /// Events from the first time on and before the second.
    During(OffsetDateTime, OffsetDateTime),
    /// Events that all of these select; never empty.
    All(Vec<Selection>),
    /// Events that any of these selects; never empty.
    Any(Vec<Selection>),
}

impl Selection {
    /// Whether it selects by more than a time span, which may cover everything stored.
    pub fn is_narrow(&self) -> bool {
        match self {
            Selection::Values(_) | Selection::Contains(..) | Selection::Number(..) => true,
            Selection::Everything | Selection::During(..) => false,
            Selection::All(parts) => parts.iter().any(Selection::is_narrow),
            Selection::Any(parts) => parts.iter().all(Selection::is_narrow),
        }
    }

    /// Whether any part of it passes this test.
    pub fn has(&self, is: &impl Fn(&Selection) -> bool) -> bool {
        match self {
            Selection::All(parts) | Selection::Any(parts) => parts.iter().any(|one| one.has(is)),
            leaf => is(leaf),
        }
    }

    /// Its approximate size in bytes.
    pub fn size(&self) -> usize {
        let parts = match self {
            Selection::Values(values) => values.iter().map(size_of_value).sum(),
            Selection::Contains(_, text) => text.len(),
            Selection::Everything | Selection::Number(..) | Selection::During(..) => 0,
            Selection::All(parts) | Selection::Any(parts) => parts.iter().map(Self::size).sum(),
        };
        size_of::<Self>() + parts
    }
}

fn size_of_value(value: &Observable) -> usize {
    let text = value.spelled().map_or(0, |text| text.len());
    size_of::<Observable>() + text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_alone_is_not_narrow() {
        let time = OffsetDateTime::UNIX_EPOCH;
        let during = || Selection::During(time, time);
        let port = || Selection::Number(Field::SourcePort, Operator::Equal, 80);
        assert!(!during().is_narrow() && port().is_narrow());
        assert!(Selection::All(vec![during(), port()]).is_narrow());
        assert!(!Selection::Any(vec![during(), port()]).is_narrow());
        let nested = Selection::Any(vec![port(), Selection::All(vec![during(), port()])]);
        assert!(nested.is_narrow());
        let is_time = |one: &Selection| matches!(one, Selection::During(..));
        assert!(nested.has(&is_time) && !port().has(&is_time));
        assert!(nested.size() > 3 * port().size());
    }
}

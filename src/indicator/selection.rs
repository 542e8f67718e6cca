//! Which events an engine is asked for, where no list of values tells.

use time::OffsetDateTime;

use crate::matching::condition::{Field, Order};
use crate::observable::{Kind, Observable};

/// Which events an engine is asked for, in no engine's language. Every event that
/// an indicator means is among them, and others may be: its condition tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selection {
    /// All of them: nothing narrows what is meant.
    Everything,
    /// Those that hold one of these values; never empty.
    Values(Vec<Observable>),
    /// Those with a text of this kind that holds this one somewhere; the kind is
    /// none of addresses, the text is not empty and has no control character.
    Contains(Kind, String),
    /// Those with a number in this field that compares like this with this one.
    Number(Field, Order, u64),
    /// Those that happened not before the first and before the second time.
    During(OffsetDateTime, OffsetDateTime),
    /// Those that all of these select; never empty.
    All(Vec<Selection>),
    /// Those that any of these selects; never empty.
    Any(Vec<Selection>),
}

impl Selection {
    /// Whether it asks for more than a span of time, which can be all that is
    /// stored.
    pub fn is_narrow(&self) -> bool {
        match self {
            Selection::Values(_) | Selection::Contains(..) | Selection::Number(..) => true,
            Selection::Everything | Selection::During(..) => false,
            Selection::All(parts) => parts.iter().any(Selection::is_narrow),
            Selection::Any(parts) => parts.iter().all(Selection::is_narrow),
        }
    }

    /// Whether any part of it is this.
    pub fn has(&self, is: &impl Fn(&Selection) -> bool) -> bool {
        match self {
            Selection::All(parts) | Selection::Any(parts) => parts.iter().any(|one| one.has(is)),
            leaf => is(leaf),
        }
    }

    /// About how much memory it takes, in bytes.
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
        let port = || Selection::Number(Field::SourcePort, Order::Equal, 80);
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

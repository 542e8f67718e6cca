//! In which fields of an event does an engine find a value?

use std::fmt;
use std::sync::Arc;

use super::concepts::Concepts;
use crate::observable::Kind;

/// Which fields an engine looks into, for each kind of value.
pub trait FieldScope: fmt::Debug + Send + Sync {
    /// Whether a query for this value finds it in this field.
    fn reaches(&self, place: &Place<'_>) -> Reached;

    /// How the engine finds a URL that its events hold in two fields; `None` where
    /// it does not.
    fn url_parts(&self) -> Option<UrlParts> {
        None
    }
}

/// A value in a field of an event, outside lists.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The name of the event's schema; empty where the engine does not tell.
    pub schema: &'a str,
    /// The event's own text in `event_type`, which Suricata events have.
    pub event_type: Option<&'a str>,
    /// The keys down to the field, joined by dots.
    pub path: &'a str,
    /// What the value is looked for as.
    pub kind: Kind,
    /// The value, where it is a text.
    pub text: &'a str,
}

/// Whether a value is found in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// Nothing is known of such a field yet.
    Unknown,
}

/// A URL that events hold in two fields side by side: the host in one, the rest in
/// the other.
#[derive(Clone, Copy, Debug)]
pub struct UrlParts {
    /// The names of such fields: of the host's, and of the one beside it.
    pub names: &'static [(&'static str, &'static str)],
    /// Parts a URL in this way, where it can be.
    pub split: fn(&str) -> Option<(&str, &str)>,
}

/// A text is found in the fields of its concepts, an address in every field but
/// those. What a field is goes by its path, and for Suricata events by their type.
impl FieldScope for Concepts {
    fn reaches(&self, place: &Place<'_>) -> Reached {
        let uses = self.uses(place.path, place.event_type);
        let counts = if place.kind.is_of_addresses() {
            !uses.is_text()
        } else {
            uses.holds(place.kind)
        };
        if counts { Reached::Yes } else { Reached::No }
    }
}

/// The same table for more than one.
impl FieldScope for Arc<Concepts> {
    fn reaches(&self, place: &Place<'_>) -> Reached {
        Concepts::reaches(self, place)
    }
}

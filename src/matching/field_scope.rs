//! The fields of an event in which an engine finds a value.

use std::fmt;
use std::sync::Arc;

use super::concepts::Concepts;
use crate::observable::Kind;

/// The fields that an engine searches for each kind of value.
pub trait FieldScope: fmt::Debug + Send + Sync {
    /// Whether a query for this value finds it in this field.
    fn reaches(&self, place: &FieldValue<'_>) -> Reached;

    /// How the engine finds a URL that its events hold in two fields; `None` if it does
    /// not.
    fn url_parts(&self) -> Option<UrlParts>;
}

/// A value in a field of an event, outside lists.
#[derive(Clone, Copy, Debug)]
pub struct FieldValue<'a> {
    /// The name of the event's schema; empty if the engine does not print it.
    pub schema: &'a str,
    /// The value of `event_type`, which Suricata events have.
    pub event_type: Option<&'a str>,
    /// The keys of the field, joined by dots.
    pub path: &'a str,
    /// How the value is searched for.
    pub kind: Kind,
    /// The value, if it is a text.
    pub text: &'a str,
}

/// Whether a value is found in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It is found.
    Yes,
    /// It is not found.
    No,
    /// The field is not known yet.
    Unknown,
}

/// A URL that events hold in two adjacent fields: the host in one, the rest in the other.
#[derive(Clone, Copy, Debug)]
pub struct UrlParts {
    /// The names of such fields: that of the host, and that of the rest.
    pub names: &'static [(&'static str, &'static str)],
    /// Splits a URL in this way, if possible.
    pub split: fn(&str) -> Option<(&str, &str)>,
}

/// A text is found in the fields of its concepts, an address in all others. Fields are
/// known by their path, and those of Suricata events also by their type.
impl FieldScope for Concepts {
    fn reaches(&self, place: &FieldValue<'_>) -> Reached {
        let uses = self.uses(place.path, place.event_type);
        let counts = if place.kind.is_of_addresses() {
            !uses.is_text()
        } else {
            uses.holds(place.kind)
        };
        if counts { Reached::Yes } else { Reached::No }
    }

    fn url_parts(&self) -> Option<UrlParts> {
        None
    }
}

/// The same table, shared.
impl FieldScope for Arc<Concepts> {
    fn reaches(&self, place: &FieldValue<'_>) -> Reached {
        Concepts::reaches(self, place)
    }

    fn url_parts(&self) -> Option<UrlParts> {
        Concepts::url_parts(self)
    }
}

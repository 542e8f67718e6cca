//! What counts as a match, and the matcher for it.

use std::fmt;

use super::concepts::Concepts;
use super::exact::{Clarity, ExactMatcher};
use super::field_scope::{FieldScope, FieldValue, Reached};
use super::index::{Index, IndexHits, Slot};
use super::json::ScanError;
use super::matcher::{Fields, Matcher, Scan, Scratch};
use crate::observable::Observable;

/// How far a match goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Whole fields of the engine's concepts are equal, as in the original:
    /// case-sensitive, and without lists.
    Exact,
    /// The event contains the thing that an indicator names, as far as an engine can
    /// answer that at a cost that does not grow with the stored data.
    #[default]
    Standard,
    /// The same at any cost.
    Thorough,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Exact => "exact",
            Mode::Standard => "standard",
            Mode::Thorough => "thorough",
        })
    }
}

/// What counts as a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// How far a match goes.
    pub mode: Mode,
    /// Whether DNS answers count as the names and addresses that they are.
    pub answers: bool,
}

impl Default for Meaning {
    fn default() -> Self {
        Meaning {
            mode: Mode::Standard,
            answers: true,
        }
    }
}

impl Meaning {
    /// The behaviour of the original.
    pub const EXACT: Meaning = Meaning {
        mode: Mode::Exact,
        answers: false,
    };
}

/// The matcher of a mode, which finds the observables that an event holds.
#[derive(Debug)]
pub enum EventMatcher {
    /// By the equality of whole fields.
    Exact(ExactMatcher),
    /// By meaning. For fields that the table does not know, the engine's scope says
    /// whether they hold addresses.
    Meaning(Matcher, Option<Box<dyn FieldScope>>),
}

/// What one thread needs to match events. Reused for all events.
#[derive(Debug, Default)]
pub struct EventScratch {
    found: IndexHits,
    scratch: Scratch,
}

impl EventScratch {
    /// Whether a string of the last JSON event may be written with escapes, as a text with another
    /// event in it is.
    pub fn has_escapes(&self) -> bool {
        self.scratch.has_escapes
    }
}

impl EventMatcher {
    /// Makes a matcher without observables for log files.
    pub fn new(meaning: Meaning) -> Self {
        match meaning.mode {
            Mode::Exact => EventMatcher::Exact(ExactMatcher::new(Concepts::shared())),
            Mode::Standard | Mode::Thorough => {
                EventMatcher::Meaning(Matcher::new(Fields::Named, meaning.answers), None)
            }
        }
    }

    /// Makes one for an engine's events. `scope` says in which fields the engine finds
    /// equal values.
    pub fn with_scope(meaning: Meaning, scope: Box<dyn FieldScope>) -> Self {
        match meaning.mode {
            Mode::Exact => EventMatcher::Exact(ExactMatcher::of(scope)),
            Mode::Standard | Mode::Thorough => {
                let matcher = Matcher::new(Fields::OfAnyName, meaning.answers);
                EventMatcher::Meaning(matcher, Some(scope))
            }
        }
    }

    /// Adds an observable, which is matched from the next event on; see
    /// [`Index::insert`].
    pub fn insert(&mut self, observable: &Observable) -> Slot {
        match self {
            EventMatcher::Exact(matcher) => matcher.insert(observable),
            EventMatcher::Meaning(matcher, _) => matcher.insert(observable),
        }
    }

    /// Removes an observable; see [`Index::remove`].
    pub fn remove(&mut self, observable: &Observable) -> Option<Slot> {
        match self {
            EventMatcher::Exact(matcher) => matcher.remove(observable),
            EventMatcher::Meaning(matcher, _) => matcher.remove(observable),
        }
    }

    /// The observables that are matched.
    pub fn index(&self) -> &Index {
        match self {
            EventMatcher::Exact(matcher) => matcher.index(),
            EventMatcher::Meaning(matcher, _) => matcher.index(),
        }
    }

    /// The scan for events other than JSON; `None` if only JSON is matched.
    pub fn scan<'a>(&'a self, scratch: &'a mut EventScratch) -> Option<Scan<'a>> {
        match self {
            EventMatcher::Exact(_) => None,
            EventMatcher::Meaning(matcher, _) => Some(matcher.scan(&mut scratch.scratch)),
        }
    }

    /// Puts the slots of all observables that an event of this schema holds into `out`,
    /// each once. `out` is cleared first.
    ///
    /// # Errors
    /// The line is not one JSON object; `out` is empty then.
    pub fn matches(
        &self,
        schema: &str,
        line: &str,
        scratch: &mut EventScratch,
        out: &mut Vec<Slot>,
    ) -> Result<Clarity, ScanError> {
        match self {
            EventMatcher::Exact(matcher) => {
                scratch.scratch.has_escapes = true;
                matcher.matches_with(schema, line, &mut scratch.found, out)
            }
            EventMatcher::Meaning(matcher, scope) => {
                matcher.matches(line, &mut scratch.scratch, out)?;
                Ok(match scope {
                    Some(scope) if !out.is_empty() => {
                        keep_in_scope(matcher, &**scope, schema, &scratch.scratch, out)
                    }
                    _ => Clarity::Clear,
                })
            }
        }
    }
}

/// Removes slots found only in fields that the table does not know and that, according to
/// the engine, hold no addresses. A field unknown to both counts.
fn keep_in_scope(
    matcher: &Matcher,
    scope: &dyn FieldScope,
    schema: &str,
    scratch: &Scratch,
    out: &mut Vec<Slot>,
) -> Clarity {
    let (unknown, mut known) = scratch.by_knowledge();
    if unknown.is_empty() {
        return Clarity::Clear;
    }
    let mut clarity = Clarity::Clear;
    for (slot, path) in &unknown {
        let place = FieldValue {
            schema,
            event_type: None,
            path,
            kind: matcher.index().kind(*slot),
            text: "",
        };
        match scope.reaches(&place) {
            Reached::Yes => known.push(*slot),
            Reached::No => {}
            Reached::Unknown => {
                clarity = Clarity::Unclear;
                known.push(*slot);
            }
        }
    }
    out.retain(|slot| known.contains(slot));
    clarity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::field_scope::UrlParts;
    use crate::observable::of_line;

    /// Knows one field with addresses and one without.
    #[derive(Debug)]
    struct Typed;

    impl FieldScope for Typed {
        fn reaches(&self, place: &FieldValue<'_>) -> Reached {
            match place.path {
                "peer" => Reached::Yes,
                "version" => Reached::No,
                _ => Reached::Unknown,
            }
        }

        fn url_parts(&self) -> Option<UrlParts> {
            None
        }
    }

    #[test]
    fn an_engine_knows_the_types_of_its_fields() {
        let mut matcher = EventMatcher::with_scope(Meaning::default(), Box::new(Typed));
        let value = of_line("124.0.0.0").expect("an address").remove(0);
        let slot = matcher.insert(&value);
        let (mut scratch, mut out) = (EventScratch::default(), Vec::new());
        for (line, expected, clarity) in [
            (r#"{"peer": "124.0.0.0"}"#, true, Clarity::Clear),
            (r#"{"version": "124.0.0.0"}"#, false, Clarity::Clear),
            (r#"{"new": "124.0.0.0"}"#, true, Clarity::Unclear),
            (
                r#"{"version": "124.0.0.0", "src_ip": "124.0.0.0"}"#,
                true,
                Clarity::Clear,
            ),
        ] {
            let seen = matcher.matches("s", line, &mut scratch, &mut out);
            assert_eq!(seen.expect("an event"), clarity, "{line}");
            assert_eq!(out, if expected { vec![slot] } else { vec![] }, "{line}");
        }
    }
}

//! Live matching without help from the engine: which observables does a new
//! event match?

use super::concepts::Concepts;
use super::index::{Found, Index, Slot};
use super::json::ScanError;
use crate::indicator::Observable;

/// All live observables and the knowledge of where they count.
///
/// * A domain matches in the fields of `net.domain` and `net.hostname`, a URL in
///   those of `net.uri`, other text in those of its property. A printed event does not tell its type, so a field of
///   the same path in another type matches too; Suricata events tell theirs in
///   `event_type`, and there only that type's fields match.
/// * An address matches wherever the whole of a string value is that address (or
///   one of that network),
///   but not in a field that the concepts say holds text (a name, a URL, a hash,
///   a file name). So an address in a text field that no concept knows matches,
///   which a query would not; and one in `host` does not match although in one
///   type (`zeek.software`) that field is an address.
/// * Nothing matches inside a list, as in the engine.
#[derive(Debug)]
pub struct LiveMatcher {
    index: Index,
    concepts: Concepts,
    found: Found,
}

impl LiveMatcher {
    /// A matcher without observables.
    pub fn new(concepts: Concepts) -> Self {
        LiveMatcher {
            index: Index::default(),
            concepts,
            found: Found::default(),
        }
    }

    /// Matches an observable from the next event on; see [`Index::insert`].
    pub fn insert(&mut self, observable: &Observable) -> Slot {
        self.index.insert(observable)
    }

    /// Matches it no more; see [`Index::remove`].
    pub fn remove(&mut self, observable: &Observable) -> Option<Slot> {
        self.index.remove(observable)
    }

    /// The observables that are matched.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Puts the slots of all observables that the event matches into `out`, each
    /// once; what was there goes.
    ///
    /// # Errors
    ///
    /// The line is not one JSON object; `out` is empty then.
    pub fn matches(&mut self, line: &str, out: &mut Vec<Slot>) -> Result<(), ScanError> {
        let mut found = std::mem::take(&mut self.found);
        let matched = self.matches_with(line, &mut found, out);
        self.found = found;
        matched
    }

    /// The same for several threads at once, each with a `found` of its own.
    ///
    /// # Errors
    ///
    /// As for [`LiveMatcher::matches`].
    pub fn matches_with(
        &self,
        line: &str,
        found: &mut Found,
        out: &mut Vec<Slot>,
    ) -> Result<(), ScanError> {
        out.clear();
        self.index.scan(line, found)?;
        let event_type = found.event_type();
        for hit in found.hits().filter(|hit| !hit.in_list) {
            let uses = self.concepts.uses(hit.path, event_type);
            let kind = self.index.kind(hit.slot);
            let counts = match kind.is_of_addresses() {
                true => !uses.is_text(),
                false => uses.holds(kind),
            };
            if counts {
                out.push(hit.slot);
            }
        }
        out.sort_unstable();
        out.dedup();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::indicator::Kind;
    use crate::matching::reference::{self, CONCEPTS};

    fn matcher(observables: &[Observable]) -> LiveMatcher {
        let mut matcher = LiveMatcher::new(Concepts::built_in());
        for observable in observables {
            matcher.insert(observable);
        }
        matcher
    }

    /// Indexes into the observables, which are distinct.
    fn matches(observables: &[Observable], line: &str) -> Vec<usize> {
        let mut slots = Vec::new();
        let scanned = matcher(observables).matches(line, &mut slots);
        scanned.expect("an event");
        slots.into_iter().map(Slot::index).collect()
    }

    #[test]
    fn names_and_urls_match_in_the_fields_of_their_concepts() {
        let observables = [Observable::domain("x"), Observable::Url("x".into())];
        assert_eq!(matches(&observables, r#"{"host": "x"}"#), [0]);
        assert_eq!(matches(&observables, r#"{"uri": "x"}"#), [1]);
        assert_eq!(
            matches(&observables, r#"{"host": "x", "uri": "x"}"#),
            [0, 1]
        );
        assert!(matches(&observables, r#"{"user_agent": "x"}"#).is_empty());
        assert!(matches(&observables, r#"{"answers": ["x"]}"#).is_empty());
        assert!(matches(&observables, r#"{"query": ["x"]}"#).is_empty());
    }

    #[test]
    fn a_suricata_event_has_only_the_fields_of_its_type() {
        let observables = [Observable::domain("x")];
        let http = r#"{"http": {"hostname": "x"}, "event_type": "http"}"#;
        assert_eq!(matches(&observables, http), [0]);
        let alert = r#"{"http": {"hostname": "x"}, "event_type": "alert"}"#;
        assert!(matches(&observables, alert).is_empty());
        let flat = r#"{"event_type": "dns", "dns.rrname": "x"}"#;
        assert_eq!(matches(&observables, flat), [0]);
        let elsewhere = r#"{"a": {"event_type": "alert"}, "http.hostname": "x"}"#;
        assert_eq!(matches(&observables, elsewhere), [0]);
        // An `event_type` of an earlier line is forgotten.
        let mut matcher = matcher(&observables);
        let mut slots = Vec::new();
        matcher.matches(alert, &mut slots).expect("an event");
        let untyped = r#"{"http.hostname": "x"}"#;
        matcher.matches(untyped, &mut slots).expect("an event");
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn addresses_match_but_in_text_and_lists() {
        let observables = [Observable::address("192.0.2.1".parse().expect("valid"))];
        assert_eq!(matches(&observables, r#"{"id.orig_h": "192.0.2.1"}"#), [0]);
        let mapped = r#"{"a": {"b": "::FFFF:192.0.2.1"}}"#;
        assert_eq!(matches(&observables, mapped), [0]);
        assert!(matches(&observables, r#"{"host": "192.0.2.1"}"#).is_empty());
        assert!(matches(&observables, r#"{"tunnels": ["192.0.2.1"]}"#).is_empty());
        assert!(matches(&observables, r#"{"a": "192.0.2.1 "}"#).is_empty());
    }

    #[test]
    fn changes_count_from_the_next_event_on() {
        let observables = [Observable::domain("x"), Observable::domain("y")];
        let mut matcher = matcher(&observables);
        let mut slots = Vec::new();
        let line = r#"{"host": "x", "query": "y"}"#;
        assert!(matcher.remove(&observables[0]).is_some());
        matcher.matches(line, &mut slots).expect("an event");
        assert_eq!(
            slots,
            [matcher.index().slot(&observables[1]).expect("there")]
        );
        matcher.insert(&observables[0]);
        matcher.matches(line, &mut slots).expect("an event");
        assert_eq!(slots.len(), 2);
        assert!(matcher.matches("{", &mut slots).is_err());
        assert!(slots.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_the_reference(
            observables in prop::collection::vec(reference::observable(), 1..8),
            events in prop::collection::vec((reference::event(), reference::style()), 8),
        ) {
            let mut matcher = LiveMatcher::new(Concepts::parse(CONCEPTS).expect("a table"));
            let slots: Vec<Slot> = observables.iter().map(|one| matcher.insert(one)).collect();
            let mut out = Vec::new();
            for (event, style) in &events {
                let line = event.print(*style);
                matcher.matches(&line, &mut out).expect("an event");
                for (observable, slot) in observables.iter().zip(&slots) {
                    let live = out.contains(slot);
                    prop_assert_eq!(live, event.matches_live(observable), "{:?} {}", observable, line);
                    // The one thing less than the engine: an address in a path
                    // that holds text in another type.
                    if event.matches(observable) && !live {
                        let is_address = Kind::of(observable).is_of_addresses();
                        prop_assert!(is_address && line.contains("\"host\""), "{}", line);
                    }
                }
            }
        }
    }
}

//! The matcher of `--match exact`, for new events and for log files: finds the observables
//! that equal whole fields of an event.

mod split_url;

use super::field_scope::{FieldScope, FieldValue, Reached};
use super::index::{Index, IndexHits, Slot};
use super::json::ScanError;
use crate::observable::{Kind, Observable};

use split_url::{Parts, SplitUrl};

/// All observables that are matched, and the fields in which they count according to the engine's
/// [`FieldScope`].
///
/// With VAST's concepts:
///
/// * A domain matches in the fields of `net.domain` and `net.hostname`, a URL in those of
///   `net.uri`, other text in those of its property. A printed event does not tell its
///   type, so a field with the same path in another type matches too. Suricata events
///   tell their type in `event_type`, and only the fields of that type match.
/// * An address matches wherever a whole string value is that address (or one of that
///   network), except in a field that the concepts say holds text (a name, a URL, a hash,
///   a file name). So an address in a text field that no concept knows matches, which a
///   query would not find; and one in `host` does not match, although that field is an
///   address in one type (`zeek.software`).
///
/// Nothing matches inside a list, as in the engines, except a DNS answer, which only
/// matches there.
#[derive(Debug)]
pub struct ExactMatcher {
    index: Index,
    scope: Box<dyn FieldScope>,
    /// URLs by their parts, if the engine finds them so.
    split_url: Option<SplitUrl>,
    found: IndexHits,
}

/// Whether the types of all fields that hold a value are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Clarity {
    /// They are.
    Clear,
    /// Some are not; the values in those count as matches.
    Unclear,
}

impl ExactMatcher {
    /// A matcher without observables.
    pub fn new(scope: impl FieldScope + 'static) -> Self {
        Self::of(Box::new(scope))
    }

    /// Like [`ExactMatcher::new`], for an engine chosen at run time.
    pub fn of(scope: Box<dyn FieldScope>) -> Self {
        ExactMatcher {
            index: Index::default(),
            split_url: scope.url_parts().map(SplitUrl::new),
            scope,
            found: IndexHits::default(),
        }
    }

    /// Adds an observable, which is matched from the next event on; see
    /// [`Index::insert`].
    pub fn insert(&mut self, observable: &Observable) -> Slot {
        let slot = self.index.insert(observable);
        if let (Observable::Url(_), Some(split_url)) = (observable, &mut self.split_url) {
            split_url.insert(slot, &self.index);
        }
        slot
    }

    /// Removes an observable; see [`Index::remove`].
    pub fn remove(&mut self, observable: &Observable) -> Option<Slot> {
        if let (Observable::Url(url), Some(split_url)) = (observable, &mut self.split_url) {
            if let Some(slot) = self.index.slot(observable) {
                split_url.remove(slot, url);
            }
        }
        self.index.remove(observable)
    }

    /// The observables that are matched.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Puts the slots of all observables that the event matches into `out`, each once.
    /// `out` is cleared first. The event's schema is unnamed.
    ///
    /// # Errors
    ///
    /// The line is not one JSON object; `out` is empty then.
    pub fn matches(&mut self, line: &str, out: &mut Vec<Slot>) -> Result<(), ScanError> {
        self.matches_in("", line, out).map(|_| ())
    }

    /// Like [`ExactMatcher::matches`], for an event of this schema.
    ///
    /// # Errors
    ///
    /// The same as for [`ExactMatcher::matches`].
    pub fn matches_in(
        &mut self,
        schema: &str,
        line: &str,
        out: &mut Vec<Slot>,
    ) -> Result<Clarity, ScanError> {
        let mut found = std::mem::take(&mut self.found);
        let matched = self.matches_with(schema, line, &mut found, out);
        self.found = found;
        matched
    }

    /// Like [`ExactMatcher::matches_in`], for several threads at once, each with its own
    /// `found`.
    ///
    /// # Errors
    ///
    /// The same as for [`ExactMatcher::matches`].
    pub fn matches_with(
        &self,
        schema: &str,
        line: &str,
        found: &mut IndexHits,
        out: &mut Vec<Slot>,
    ) -> Result<Clarity, ScanError> {
        out.clear();
        let mut parts = Parts::default();
        match self
            .split_url
            .as_ref()
            .filter(|split_url| !split_url.is_empty())
        {
            None => self.index.scan(line, found)?,
            Some(split_url) => self.index.scan_and(line, found, |text, path, in_list| {
                if !in_list {
                    split_url.collect(text, path, &mut parts);
                }
            })?,
        }
        let mut clarity = Clarity::Clear;
        let event_type = found.event_type();
        let mut counts = |path: &str, kind: Kind, text: &str| {
            let place = FieldValue {
                schema,
                event_type,
                path,
                kind,
                text,
            };
            let reached = self.scope.reaches(&place);
            if reached == Reached::Unknown {
                clarity = Clarity::Unclear;
            }
            reached != Reached::No
        };
        for hit in found.hits() {
            let kind = self.index.kind(hit.slot);
            if hit.in_list == kind.is_in_lists()
                && counts(hit.path, kind, self.index.text(hit.slot))
            {
                out.push(hit.slot);
            }
        }
        if let Some(split_url) = &self.split_url {
            split_url.find(&parts, &self.index, |slot, (host, path)| {
                if counts(&host.path, Kind::Url, &host.text)
                    && counts(&path.path, Kind::Url, &path.text)
                {
                    out.push(slot);
                }
            });
        }
        out.sort_unstable();
        out.dedup();
        Ok(clarity)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matching::reference::{self, CONCEPTS};
    use crate::matching::{Concepts, UrlParts};

    fn matcher(observables: &[Observable]) -> ExactMatcher {
        let mut matcher = ExactMatcher::new(Concepts::shared());
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
        // The `event_type` of an earlier line no longer applies.
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

    /// Also finds URLs in two fields, and does not know the schema "new".
    #[derive(Debug)]
    struct InParts;

    impl FieldScope for InParts {
        fn reaches(&self, place: &FieldValue<'_>) -> Reached {
            match (place.schema, place.path) {
                ("new", _) => Reached::Unknown,
                (_, "number") => Reached::No,
                _ => Reached::Yes,
            }
        }

        fn url_parts(&self) -> Option<UrlParts> {
            Some(UrlParts {
                names: &[("host", "uri"), ("name", "number")],
                split: |url| url.strip_prefix("http://")?.split_once('|'),
            })
        }
    }

    #[test]
    fn a_url_matches_in_two_fields_side_by_side() {
        let mut matcher = ExactMatcher::new(InParts);
        let url = |text: &str| Observable::Url(text.into());
        let slots = ["http://a|b", "http://a|c", "a|b"].map(|text| matcher.insert(&url(text)));
        assert_eq!(matcher.insert(&url("http://a|b")), slots[0]);
        let mut out = Vec::new();
        let mut matched = |matcher: &mut ExactMatcher, schema: &str, line: &str| {
            let clarity = matcher.matches_in(schema, line, &mut out);
            (clarity.expect("an event"), out.clone())
        };
        use Clarity::{Clear, Unclear};
        for (line, expected) in [
            (r#"{"host": "a", "uri": "b"}"#, &slots[..1]),
            (r#"{"x": {"uri": "c", "host": "a"}}"#, &slots[1..2]),
            (r#"{"x.host": "a", "x.uri": "b"}"#, &slots[..1]),
            (r#"{"host": "a", "x": {"uri": "b"}}"#, &[]),
            (r#"{"host": ["a"], "uri": "b"}"#, &[]),
            (r#"{"name": "a", "uri": "b"}"#, &[]),
            (r#"{"name": "a", "number": "b"}"#, &[]),
            (
                r#"{"host": "http://a|b", "uri": "a|b"}"#,
                &[slots[0], slots[2]],
            ),
        ] {
            assert_eq!(
                matched(&mut matcher, "s", line),
                (Clear, expected.to_vec()),
                "{line}"
            );
        }
        let line = r#"{"host": "a", "uri": "b"}"#;
        assert_eq!(
            matched(&mut matcher, "new", line),
            (Unclear, vec![slots[0]])
        );
        assert_eq!(
            matched(&mut matcher, "new", r#"{"host": "a"}"#),
            (Clear, vec![])
        );
        matcher.remove(&url("http://a|b"));
        assert_eq!(matched(&mut matcher, "s", line), (Clear, vec![]));
        let other = r#"{"host": "a", "uri": "c"}"#;
        assert_eq!(matched(&mut matcher, "s", other), (Clear, vec![slots[1]]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_the_reference(
            observables in prop::collection::vec(reference::observable(), 1..8),
            events in prop::collection::vec((reference::event(), reference::style()), 8),
        ) {
            let mut matcher = ExactMatcher::new(Concepts::parse(CONCEPTS).expect("a table"));
            let slots: Vec<Slot> = observables.iter().map(|one| matcher.insert(one)).collect();
            let mut out = Vec::new();
            for (event, style) in &events {
                let line = event.print(*style);
                matcher.matches(&line, &mut out).expect("an event");
                for (observable, slot) in observables.iter().zip(&slots) {
                    let live = out.contains(slot);
                    prop_assert_eq!(live, event.matches_live(observable), "{:?} {}", observable, line);
                    // Less than the engine finds: an address in a path that holds text in
                    // another type, and a name that contains a domain but does not end
                    // with it.
                    let is_part = matches!(observable, Observable::Subdomain(_));
                    if event.matches(observable) && !live && !is_part {
                        let is_address = Kind::of(observable).is_of_addresses();
                        prop_assert!(is_address && line.contains("\"host\""), "{}", line);
                    }
                }
            }
        }
    }
}

//! Finds the entries of a query that an event matches, whatever the engine was queried
//! for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::{Attribute, EventLine};
use crate::matching::places::Places;
use crate::matching::{Matcher, ScanError, Scratch, Slot, Verdict};
use crate::observable::Observable;

/// The entries of one query, prepared for its events.
pub struct Judge {
    matcher: Matcher,
    owners: HashMap<Slot, Vec<usize>>,
    memory: RefCell<(Scratch, Vec<Slot>)>,
}

impl Judge {
    /// Prepares these entries, with an engine's places. `answers`: whether DNS answers
    /// count like other names and addresses.
    pub fn new(entries: &[&[Observable]], answers: bool, places: Arc<Places>) -> Self {
        let mut matcher = Matcher::of_engine(places, answers);
        let mut owners: HashMap<Slot, Vec<usize>> = HashMap::new();
        for (entry, observables) in entries.iter().enumerate() {
            for observable in *observables {
                let owners = owners.entry(matcher.insert(observable)).or_default();
                if owners.last() != Some(&entry) {
                    owners.push(entry);
                }
            }
        }
        Judge {
            matcher,
            owners,
            memory: RefCell::default(),
        }
    }
}

impl Attribute for Judge {
    /// Nothing is ambiguous; an event in which nothing is found matches no entry.
    fn attribute(&self, event: &EventLine<'_>, verdict: &mut Verdict) -> Result<(), ScanError> {
        verdict.certain.clear();
        verdict.doubtful.clear();
        verdict.nothing_found = false;
        let mut memory = self.memory.borrow_mut();
        let (scratch, slots) = &mut *memory;
        self.matcher.matches(event.judged(), scratch, slots)?;
        let owners = slots.iter().filter_map(|slot| self.owners.get(slot));
        verdict.certain.extend(owners.flatten());
        verdict.certain.sort_unstable();
        verdict.certain.dedup();
        verdict.nothing_found = verdict.certain.is_empty();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_of_those_that_it_holds() {
        let domain = |text| Observable::of_domain(text).expect("a name");
        let entries = [
            vec![domain("evil.example"), domain("other.example")],
            vec![domain("evil.example")],
            vec![Observable::of_url("http://evil.example/x").expect("a URL")],
        ];
        let entries: Vec<&[Observable]> = entries.iter().map(Vec::as_slice).collect();
        let judge = Judge::new(&entries, true, Places::shared().clone());
        let judged = |text: &str| {
            let mut verdict = Verdict::default();
            let line = EventLine {
                text,
                ..EventLine::default()
            };
            let result = judge.attribute(&line, &mut verdict);
            result.map(|()| (verdict.certain, verdict.nothing_found))
        };
        let request = r#"{"http": {"hostname": "Evil.Example:8080", "url": "/x"}}"#;
        assert_eq!(judged(request).ok(), Some((vec![0, 1, 2], false)));
        let other = r#"{"tls": {"sni": "other.example."}}"#;
        assert_eq!(judged(other).ok(), Some((vec![0], false)));
        let none = r#"{"http": {"hostname": "evil.example.org", "url": "/x"}}"#;
        assert_eq!(judged(none).ok(), Some((vec![], true)));
        assert!(judged("[]").is_err());
    }
}

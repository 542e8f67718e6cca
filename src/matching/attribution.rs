//! Attributes an event that a batched query returned to the indicators that it matched.

use std::sync::Arc;

use super::concepts::Concepts;
use super::index::{Hit, Index, IndexHits, Slot};
use super::json::ScanError;
use crate::observable::Observable;

/// The entries of one batched query. For each event that the query returned, it finds the
/// entries that the event matched.
///
/// An entry is one indicator: it matches an event that holds any of its observables in a
/// field that the query reaches. Entries are identified by their position in the batch.
#[derive(Debug)]
pub struct Attribution {
    index: Index,
    /// The entries of a slot are `owners[starts[slot]..starts[slot + 1]]`.
    starts: Vec<usize>,
    owners: Vec<usize>,
    entries: usize,
    /// Domains with a leading dot, which the engine finds as substrings of names, and
    /// other names.
    parts: Vec<(Slot, String)>,
    concepts: Option<Arc<Concepts>>,
}

/// The entries of a batch that an event matched. Reused for all events.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Entries that matched, in order.
    pub certain: Vec<usize>,
    /// Entries that may have matched, in order: only the engine can tell.
    pub doubtful: Vec<usize>,
    /// The event shows no value of the batch, so every entry may have matched; the two
    /// lists are empty then.
    pub nothing_found: bool,
    found: IndexHits,
    /// Texts outside lists that contain such a part, by their paths.
    with_part: Vec<(Slot, String)>,
    slots: Vec<Slot>,
    /// The owners of the found slots, repeated for each of their slots.
    owners: Vec<usize>,
}

impl Attribution {
    /// Prepares a batch. Entries may share observables; an entry without observables
    /// never matches.
    pub fn new<E: AsRef<[Observable]>>(entries: &[E]) -> Self {
        let observables = entries.iter().flat_map(AsRef::as_ref);
        let index = Index::new(observables);
        let mut pairs: Vec<(Slot, usize)> = Vec::new();
        for (entry, observables) in entries.iter().enumerate() {
            for observable in observables.as_ref() {
                let slot = index.slot(observable).expect("it was just put in");
                pairs.push((slot, entry));
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut parts = Vec::new();
        for (slot, _) in &pairs {
            if let Observable::Subdomain(domain) = index.observable(*slot) {
                parts.push((*slot, format!(".{domain}")));
            }
        }
        parts.dedup();
        let mut starts = vec![0; index.len() + 1];
        for (slot, _) in &pairs {
            starts[slot.index() + 1] += 1;
        }
        for slot in 1..starts.len() {
            starts[slot] += starts[slot - 1];
        }
        Attribution {
            index,
            starts,
            owners: pairs.into_iter().map(|(_, entry)| entry).collect(),
            entries: entries.len(),
            parts,
            concepts: None,
        }
    }

    /// Uses the engine's own table: a domain in a field that the table does not reach
    /// makes no entry ambiguous. Only for a query that uses these concepts, on the engine
    /// that printed this table.
    pub fn with_concepts(mut self, concepts: Arc<Concepts>) -> Self {
        self.concepts = Some(concepts);
        self
    }

    /// Finds the entries that an event from this batch's results matched.
    ///
    /// The event is known to match an observable of the batch, in a place that a query
    /// can reach: not in a list (the engine's equalities and lists of values never match
    /// an element of a list, except that an answer only matches there), nor, if the
    /// concepts are known, in a field outside the observable's concept. Let S be the
    /// observables in such places:
    ///
    /// * an entry that has all of S matched;
    /// * an entry that has a part of S may have matched;
    /// * if S is empty but the event holds values of the batch elsewhere, the owners of
    ///   those may have matched;
    /// * if there are none either, any entry may have matched
    ///   ([`Verdict::nothing_found`]).
    ///
    /// In a batch of one entry that entry matched; the line is not read.
    ///
    /// # Errors
    ///
    /// The line is not one JSON object; the verdict is empty then.
    pub fn attribute(&self, line: &str, verdict: &mut Verdict) -> Result<(), ScanError> {
        verdict.certain.clear();
        verdict.doubtful.clear();
        verdict.nothing_found = false;
        if self.entries == 1 {
            verdict.certain.push(0);
            return Ok(());
        }
        self.scan(line, verdict)?;
        if verdict.found.is_empty() && verdict.with_part.is_empty() {
            verdict.nothing_found = true;
            return Ok(());
        }
        let hits = || verdict.found.hits().chain(hits_of(&verdict.with_part));
        let reachable = hits().filter(|hit| self.is_reachable(hit));
        collect_slots(reachable, &mut verdict.slots);
        let needed = match verdict.slots.len() {
            0 => {
                collect_slots(hits(), &mut verdict.slots);
                // More than any entry can have: no entry is certain.
                usize::MAX
            }
            all => all,
        };
        self.judge(needed, verdict);
        Ok(())
    }

    fn scan(&self, line: &str, verdict: &mut Verdict) -> Result<(), ScanError> {
        let Verdict {
            found, with_part, ..
        } = verdict;
        with_part.clear();
        if self.parts.is_empty() {
            return self.index.scan(line, found);
        }
        self.index.scan_and(line, found, |text, path, in_list| {
            let held = self.parts.iter().filter(|(_, part)| text.contains(part));
            for (slot, _) in held.filter(|_| !in_list) {
                let mut at = String::new();
                path.push_to(&mut at);
                with_part.push((*slot, at));
            }
        })
    }

    fn is_reachable(&self, hit: &Hit<'_>) -> bool {
        if hit.in_list != self.index.kind(hit.slot).is_in_lists() {
            return false;
        }
        let Some(concepts) = &self.concepts else {
            return true;
        };
        // `:addr` reaches every field of that type, which a printed event does not tell.
        let kind = self.index.kind(hit.slot);
        kind.is_of_addresses() || concepts.possible_uses(hit.path).holds(kind)
    }

    /// Sorts the owners of the verdict's slots into those that have `needed` of them and
    /// those that have fewer.
    fn judge(&self, needed: usize, verdict: &mut Verdict) {
        verdict.owners.clear();
        for slot in &verdict.slots {
            let owners = self.starts[slot.index()]..self.starts[slot.index() + 1];
            verdict.owners.extend_from_slice(&self.owners[owners]);
        }
        verdict.owners.sort_unstable();
        for same in verdict.owners.chunk_by(|one, next| one == next) {
            if same.len() == needed {
                verdict.certain.push(same[0]);
            } else {
                verdict.doubtful.push(same[0]);
            }
        }
    }
}

fn hits_of(with_part: &[(Slot, String)]) -> impl Iterator<Item = Hit<'_>> {
    with_part.iter().map(|(slot, path)| Hit {
        slot: *slot,
        path,
        in_list: false,
    })
}

/// The distinct slots of these hits.
fn collect_slots<'a>(hits: impl Iterator<Item = Hit<'a>>, slots: &mut Vec<Slot>) {
    slots.clear();
    slots.extend(hits.map(|hit| hit.slot));
    slots.sort_unstable();
    slots.dedup();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matching::reference::{self, CONCEPTS};

    fn domain(name: &str) -> Observable {
        Observable::domain(name)
    }

    fn address(text: &str) -> Observable {
        Observable::address(text.parse().expect("an address"))
    }

    /// The certain and the ambiguous entries; `None` if nothing was found.
    fn judge(attribution: &Attribution, line: &str) -> Option<(Vec<usize>, Vec<usize>)> {
        let mut verdict = Verdict::default();
        let attributed = attribution.attribute(line, &mut verdict);
        attributed.expect("an event");
        (!verdict.nothing_found).then_some((verdict.certain, verdict.doubtful))
    }

    #[test]
    fn one_value_found_is_a_match_of_all_that_share_it() {
        let batch = Attribution::new(&[
            vec![domain("a.example")],
            vec![domain("b.example"), domain("a.example")],
            vec![domain("c.example")],
            vec![],
        ]);
        let line = r#"{"host": "a.example", "id": {"orig_h": "192.0.2.1"}}"#;
        assert_eq!(judge(&batch, line), Some((vec![0, 1], vec![])));
    }

    #[test]
    fn an_entry_with_all_values_is_certain_and_one_with_some_is_doubtful() {
        let batch = Attribution::new(&[
            vec![domain("a.example")],
            vec![domain("a.example"), address("192.0.2.1")],
            vec![domain("c.example")],
        ]);
        let line = r#"{"host": "a.example", "id.orig_h": "::ffff:192.0.2.1"}"#;
        assert_eq!(judge(&batch, line), Some((vec![1], vec![0])));
    }

    #[test]
    fn a_text_as_domain_and_as_url_is_two_values() {
        let batch = Attribution::new(&[vec![domain("a")], vec![Observable::Url("a".into())]]);
        assert_eq!(
            judge(&batch, r#"{"host": "a"}"#),
            Some((vec![], vec![0, 1]))
        );
    }

    #[test]
    fn a_value_in_a_list_raises_no_doubt_beside_one_outside() {
        let batch = Attribution::new(&[
            vec![domain("a.example")],
            vec![address("192.0.2.1")],
            vec![domain("c.example")],
        ]);
        let line = r#"{"query": "a.example", "answers": ["192.0.2.1", {"x": "c.example"}]}"#;
        assert_eq!(judge(&batch, line), Some((vec![0], vec![])));
        let line = r#"{"query": "x", "answers": ["a.example"]}"#;
        assert_eq!(judge(&batch, line), Some((vec![], vec![0])));
    }

    #[test]
    fn that_nothing_was_found_is_said() {
        let batch = Attribution::new(&[vec![domain("a.example")], vec![domain("b.example")]]);
        // A key is not a value, and a number is not a text.
        assert_eq!(judge(&batch, r#"{"a.example": 1}"#), None);
    }

    #[test]
    fn a_batch_of_one_needs_no_look_at_the_event() {
        let batch = Attribution::new(&[[domain("a.example")]]);
        assert_eq!(judge(&batch, "not looked at"), Some((vec![0], vec![])));
    }

    #[test]
    fn the_concepts_clear_doubts_about_names_but_not_about_addresses() {
        let concepts = Arc::new(Concepts::built_in());
        let entries = [
            vec![domain("a.example")],
            vec![domain("b.example")],
            vec![address("192.0.2.1")],
        ];
        let batch = Attribution::new(&entries).with_concepts(concepts);
        let line = r#"{"host": "a.example", "user_agent": "b.example"}"#;
        assert_eq!(judge(&batch, line), Some((vec![0], vec![])));
        let line = r#"{"host": "a.example", "user_agent": "192.0.2.1"}"#;
        assert_eq!(judge(&batch, line), Some((vec![], vec![0, 2])));
        let line = r#"{"comment": "a.example", "user_agent": "b.example"}"#;
        assert_eq!(judge(&batch, line), Some((vec![], vec![0, 1])));
    }

    #[test]
    fn a_bad_line_is_an_error_and_leaves_nothing() {
        let batch = Attribution::new(&[vec![domain("a")], vec![domain("b")]]);
        let mut verdict = Verdict::default();
        batch
            .attribute(r#"{"host": "a"}"#, &mut verdict)
            .expect("an event");
        assert_eq!(verdict.certain, [0]);
        let error = batch.attribute(r#"{"host": "a""#, &mut verdict);
        assert!(error.is_err());
        assert!(verdict.certain.is_empty() && verdict.doubtful.is_empty());
        assert!(!verdict.nothing_found);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_one_query_for_each_indicator(
            entries in prop::collection::vec(
                prop::collection::vec(reference::observable(), 1..4), 1..8),
            events in prop::collection::vec((reference::event(), reference::style()), 8),
            with_concepts: bool,
        ) {
            let mut batch = Attribution::new(&entries);
            if with_concepts {
                let concepts = Concepts::parse(CONCEPTS).expect("a table");
                batch = batch.with_concepts(Arc::new(concepts));
            }
            let mut verdict = Verdict::default();
            for (event, style) in &events {
                let matched: Vec<usize> = (0..entries.len())
                    .filter(|&entry| entries[entry].iter().any(|one| event.matches(one)))
                    .collect();
                if matched.is_empty() {
                    continue;
                }
                let line = event.print(*style);
                batch.attribute(&line, &mut verdict).expect("an event");
                prop_assert!(!verdict.nothing_found, "{}", line);
                for entry in &verdict.certain {
                    prop_assert!(matched.contains(entry), "{} did not match {}", entry, line);
                }
                for entry in &matched {
                    let known = verdict.certain.contains(entry) || verdict.doubtful.contains(entry);
                    prop_assert!(known, "{} did match {}", entry, line);
                }
                if entries.len() == 1 {
                    prop_assert_eq!(&verdict.certain, &[0]);
                }
            }
        }
    }
}

//! The indicators that are looked for, and which of them an event matches.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::indicator::Indicator;
use crate::intake::{Ending, NoRoom, Put, Table};
use crate::matching::condition::{LazyEvent, MOST_UNLISTED};
use crate::matching::{Concepts, EventMatcher, EventScratch, Meaning, ScanError, Slot};
use crate::state::journal::Ticket;

/// The most memory that indicators take, in bytes, for a run that goes on.
const MOST_BYTES: usize = 1 << 30;

/// An indicator that is looked for.
#[derive(Debug)]
pub struct Watched {
    /// What it is.
    pub indicator: Indicator,
    reported: AtomicU64,
}

impl Watched {
    /// Takes one of the sightings that it may have; `false` where there is none
    /// left.
    pub fn claim(&self, limit: Option<NonZeroU64>) -> bool {
        let before = self.reported.fetch_add(1, Ordering::Relaxed);
        limit.is_none_or(|limit| before < limit.get())
    }
}

/// An indicator in the list, with what only the list needs.
struct Held {
    watched: Arc<Watched>,
    /// Its entry in the journal, where it has one.
    ticket: Option<Ticket>,
    /// When its validity ends.
    end: Option<Ending>,
}

/// What one thread needs to match events, made once and used for all.
#[derive(Debug, Default)]
pub struct Scratch {
    events: EventScratch,
    slots: Vec<Slot>,
}

/// All indicators that are looked for.
pub struct Watchlist {
    matcher: EventMatcher,
    concepts: Arc<Concepts>,
    by_slot: Vec<Vec<Arc<Watched>>>,
    by_id: HashMap<Arc<str>, Held>,
    /// Those that no value leads to: they are checked in every event.
    unlisted: Vec<Arc<Watched>>,
    bytes: usize,
    most_bytes: usize,
}

impl Watchlist {
    /// A list without indicators, bounded or, for a file that someone names,
    /// not.
    pub fn new(bounded: bool, meaning: Meaning) -> Self {
        Watchlist {
            matcher: EventMatcher::new(meaning),
            concepts: Concepts::shared(),
            by_slot: Vec::new(),
            by_id: HashMap::new(),
            unlisted: Vec::new(),
            bytes: 0,
            most_bytes: if bounded { MOST_BYTES } else { usize::MAX },
        }
    }
}

impl Table for Watchlist {
    fn put(&mut self, indicator: Indicator, ticket: Option<Ticket>, end: Option<Ending>) -> Put {
        let known = self.by_id.get_mut(&indicator.id);
        if let Some(known) = known.filter(|known| known.is_same(&indicator)) {
            // What came last counts; the one that is there has a ticket of its own.
            known.end = end;
            return Put::Repeated;
        }
        self.remove(&indicator.id);
        let bytes = self.bytes.saturating_add(indicator.size());
        if bytes > self.most_bytes {
            return Put::Full(NoRoom::Memory);
        }
        if indicator.selection.is_some() && self.unlisted.len() >= MOST_UNLISTED {
            return Put::Full(NoRoom::Checks);
        }
        self.bytes = bytes;
        let watched = Arc::new(Watched {
            indicator,
            reported: AtomicU64::new(0),
        });
        self.lead_to(&watched);
        let held = Held {
            watched: watched.clone(),
            ticket,
            end,
        };
        self.by_id.insert(watched.indicator.id.clone(), held);
        Put::Added
    }

    fn remove(&mut self, id: &str) -> bool {
        let Some(Held { watched, .. }) = self.by_id.remove(id) else {
            return false;
        };
        self.bytes -= watched.indicator.size();
        self.unlisted.retain(|other| !Arc::ptr_eq(other, &watched));
        for observable in &watched.indicator.observables {
            let Some(slot) = self.matcher.index().slot(observable) else {
                continue;
            };
            let holders = &mut self.by_slot[slot.index()];
            holders.retain(|holder| !Arc::ptr_eq(holder, &watched));
            if holders.is_empty() {
                self.matcher.remove(observable);
            }
        }
        true
    }

    fn end(&self, id: &str) -> Option<Ending> {
        self.by_id.get(id)?.end
    }

    fn len(&self) -> usize {
        self.by_id.len()
    }
}

impl Held {
    /// Whether an indicator with the same id asks for the same, in the same words.
    fn is_same(&self, other: &Indicator) -> bool {
        let own = &self.watched.indicator;
        own.asks_the_same(other) && own.protocol == other.protocol
    }
}

impl Watchlist {
    /// Has its values, or every event, lead to an indicator.
    fn lead_to(&mut self, watched: &Arc<Watched>) {
        for observable in &watched.indicator.observables {
            let slot = self.matcher.insert(observable).index();
            if slot >= self.by_slot.len() {
                self.by_slot.resize_with(slot + 1, Vec::new);
            }
            let holders = &mut self.by_slot[slot];
            if !holders.iter().any(|holder| Arc::ptr_eq(holder, watched)) {
                holders.push(watched.clone());
            }
        }
        if watched.indicator.selection.is_some() {
            self.unlisted.push(watched.clone());
        }
    }

    /// The tickets of all of them.
    pub fn into_tickets(self) -> impl Iterator<Item = Option<Ticket>> {
        self.by_id.into_values().map(|held| held.ticket)
    }

    /// Shows every indicator that the event in `line` matches, each once.
    ///
    /// # Errors
    /// The line is not one JSON object.
    pub fn matches<'a>(
        &'a self,
        line: &str,
        scratch: &mut Scratch,
        mut show: impl FnMut(&'a Arc<Watched>),
    ) -> Result<(), ScanError> {
        let Scratch { events, slots } = scratch;
        let _ = self.matcher.matches("", line, events, slots)?;
        let event = LazyEvent::new(line, &self.concepts);
        let mut show = |one: &'a Arc<Watched>| {
            if one.indicator.holds(&event) {
                show(one);
            }
        };
        self.unlisted.iter().for_each(&mut show);
        match slots[..] {
            [] => {}
            [slot] => self.by_slot[slot.index()].iter().for_each(&mut show),
            _ => {
                let holders = slots.iter().flat_map(|slot| &self.by_slot[slot.index()]);
                let mut all: Vec<&Arc<Watched>> = holders.collect();
                all.sort_unstable_by_key(|one| Arc::as_ptr(one));
                all.dedup_by(|one, other| Arc::ptr_eq(one, other));
                all.into_iter().for_each(show);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::{Protocol, Validity};
    use crate::observable::Observable;

    fn indicator(id: &str, values: &[&str]) -> Indicator {
        Indicator {
            id: id.into(),
            protocol: Protocol::Legacy,
            observables: values.iter().map(|name| Observable::domain(name)).collect(),
            selection: None,
            condition: None,
            validity: Validity::ALWAYS,
            ioc: values.iter().map(|&value| value.to_owned()).collect(),
            original: None,
        }
    }

    fn add(list: &mut Watchlist, indicator: Indicator) -> Put {
        list.put(indicator, None, None)
    }

    fn matches(list: &Watchlist, line: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let shown = list.matches(line, &mut Scratch::default(), |watched| {
            ids.push(watched.indicator.id.to_string());
        });
        shown.expect("an event");
        ids.sort();
        ids
    }

    #[test]
    fn an_event_matches_an_indicator_once() {
        let mut list = Watchlist::new(true, Meaning::default());
        assert_eq!(add(&mut list, indicator("1", &["a", "b"])), Put::Added);
        assert_eq!(add(&mut list, indicator("2", &["b", "b"])), Put::Added);
        assert_eq!(add(&mut list, indicator("1", &["a", "b"])), Put::Repeated);
        assert_eq!(matches(&list, r#"{"host": "a", "query": "b"}"#), ["1", "2"]);
        assert_eq!(matches(&list, r#"{"host": "a"}"#), ["1"]);
        assert!(matches(&list, r#"{"uri": "a"}"#).is_empty());
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn what_is_withdrawn_matches_no_more() {
        let mut list = Watchlist::new(true, Meaning::default());
        add(&mut list, indicator("1", &["a", "b"]));
        add(&mut list, indicator("2", &["b"]));
        assert_eq!((list.remove("1"), list.remove("1")), (true, false));
        assert!(matches(&list, r#"{"host": "a", "query": "c"}"#).is_empty());
        assert_eq!(matches(&list, r#"{"host": "b"}"#), ["2"]);
        // The slots are given to others.
        add(&mut list, indicator("3", &["d"]));
        assert_eq!(matches(&list, r#"{"host": "d", "query": "a"}"#), ["3"]);
        list.remove("2");
        list.remove("3");
        assert_eq!((list.len(), list.bytes), (0, 0));
    }

    #[test]
    fn what_came_last_counts() {
        let mut list = Watchlist::new(true, Meaning::default());
        add(&mut list, indicator("1", &["a", "b"]));
        assert_eq!(add(&mut list, indicator("1", &["b", "c"])), Put::Added);
        assert!(matches(&list, r#"{"host": "a"}"#).is_empty());
        for value in ["b", "c"] {
            assert_eq!(matches(&list, &format!("{{\"host\": \"{value}\"}}")), ["1"]);
        }
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn what_no_value_leads_to_is_checked_in_every_event() {
        use crate::indicator::Selection;
        use crate::matching::condition::{Check, Condition, Place, Test};
        use crate::observable::Kind;
        let own = |id: &str| Indicator {
            selection: Some(Arc::new(Selection::Contains(Kind::Domain, ".evil".into()))),
            condition: Some(Arc::new(Condition::Test(Test {
                place: Place::Kind(Kind::Domain),
                negated: false,
                check: Check::Like("%.evil".into()),
            }))),
            ..indicator(id, &[])
        };
        let mut list = Watchlist::new(true, Meaning::default());
        assert_eq!(add(&mut list, own("1")), Put::Added);
        assert_eq!(add(&mut list, own("1")), Put::Repeated);
        add(&mut list, indicator("2", &["b.evil"]));
        assert_eq!(matches(&list, r#"{"host": "a.evil"}"#), ["1"]);
        assert_eq!(matches(&list, r#"{"host": "b.evil"}"#), ["1", "2"]);
        assert!(matches(&list, r#"{"host": "evil"}"#).is_empty());
        assert!(list.remove("1"));
        assert_eq!(matches(&list, r#"{"host": "b.evil"}"#), ["2"]);
        for number in 0..MOST_UNLISTED {
            assert_eq!(add(&mut list, own(&number.to_string())), Put::Added);
        }
        assert_eq!(add(&mut list, own("x")), Put::Full(NoRoom::Checks));
    }

    #[test]
    fn a_full_list_takes_no_more() {
        let mut list = Watchlist::new(true, Meaning::default());
        list.most_bytes = 0;
        assert_eq!(
            add(&mut list, indicator("1", &["a"])),
            Put::Full(NoRoom::Memory)
        );
        assert!(matches(&list, r#"{"host": "a"}"#).is_empty());
    }

    #[test]
    fn sightings_are_claimed_up_to_the_limit() {
        let watched = Watched {
            indicator: indicator("1", &["a"]),
            reported: AtomicU64::new(0),
        };
        let limit = NonZeroU64::new(2);
        assert!(watched.claim(limit) && watched.claim(limit) && !watched.claim(limit));
        assert!(watched.claim(None));
    }
}

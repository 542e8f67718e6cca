//! The indicators that are looked for, and which of them an event matches.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::indicator::Indicator;
use crate::matching::condition::{LazyEvent, MOST_UNLISTED};
use crate::matching::{Concepts, Found, LiveMatcher, ScanError, Slot};
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

/// What became of an indicator that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is looked for.
    Added,
    /// The same one is looked for already.
    Repeated,
    /// There is no room for it.
    Full,
    /// No value leads to it, and there are enough of those.
    TooMany,
}

/// What one thread needs to match events, made once and used for all.
#[derive(Debug, Default)]
pub struct Scratch {
    found: Found,
    slots: Vec<Slot>,
}

/// All indicators that are looked for.
pub struct Watchlist {
    matcher: LiveMatcher,
    concepts: Arc<Concepts>,
    by_slot: Vec<Vec<Arc<Watched>>>,
    by_id: HashMap<Arc<str>, Vec<Arc<Watched>>>,
    /// Those that no value leads to: they are checked in every event.
    unlisted: Vec<Arc<Watched>>,
    bytes: usize,
    most_bytes: usize,
}

impl Watchlist {
    /// A list without indicators, bounded or, for a file that someone names,
    /// not.
    pub fn new(bounded: bool) -> Self {
        Watchlist {
            matcher: LiveMatcher::new(Concepts::shared()),
            concepts: Concepts::shared(),
            by_slot: Vec::new(),
            by_id: HashMap::new(),
            unlisted: Vec::new(),
            bytes: 0,
            most_bytes: if bounded { MOST_BYTES } else { usize::MAX },
        }
    }

    /// Looks for an indicator from now on.
    pub fn add(&mut self, indicator: Indicator) -> Put {
        let known = self.by_id.get(&indicator.id);
        let same = |watched: &Arc<Watched>| {
            watched.indicator.asks_the_same(&indicator)
                && watched.indicator.protocol == indicator.protocol
        };
        if known.is_some_and(|known| known.iter().any(same)) {
            // The one that is there has a ticket of its own.
            indicator.ticket.into_iter().for_each(Ticket::finish);
            return Put::Repeated;
        }
        let bytes = self.bytes.saturating_add(indicator.size());
        if bytes > self.most_bytes {
            return Put::Full;
        }
        let is_unlisted = indicator.selection.is_some();
        if is_unlisted && self.unlisted.len() >= MOST_UNLISTED {
            return Put::TooMany;
        }
        self.bytes = bytes;
        let watched = Arc::new(Watched {
            indicator,
            reported: AtomicU64::new(0),
        });
        for observable in &watched.indicator.observables {
            let slot = self.matcher.insert(observable).index();
            if slot >= self.by_slot.len() {
                self.by_slot.resize_with(slot + 1, Vec::new);
            }
            let holders = &mut self.by_slot[slot];
            if !holders.iter().any(|holder| Arc::ptr_eq(holder, &watched)) {
                holders.push(watched.clone());
            }
        }
        if is_unlisted {
            self.unlisted.push(watched.clone());
        }
        let id = watched.indicator.id.clone();
        self.by_id.entry(id).or_default().push(watched);
        Put::Added
    }

    /// Looks no more for any indicator with this id; gives how many there were.
    pub fn remove(&mut self, id: &str) -> usize {
        let removed = self.by_id.remove(id).unwrap_or_default();
        for watched in &removed {
            self.bytes -= watched.indicator.size();
            self.unlisted.retain(|other| !Arc::ptr_eq(other, watched));
            watched
                .indicator
                .ticket
                .clone()
                .into_iter()
                .for_each(Ticket::finish);
            for observable in &watched.indicator.observables {
                let Some(slot) = self.matcher.index().slot(observable) else {
                    continue;
                };
                let holders = &mut self.by_slot[slot.index()];
                holders.retain(|holder| !Arc::ptr_eq(holder, watched));
                if holders.is_empty() {
                    self.matcher.remove(observable);
                }
            }
        }
        removed.len()
    }

    /// All indicators that are looked for.
    pub fn iter(&self) -> impl Iterator<Item = &Indicator> {
        self.by_id
            .values()
            .flatten()
            .map(|watched| &watched.indicator)
    }

    /// How many indicators are looked for.
    pub fn len(&self) -> usize {
        self.by_id.values().map(Vec::len).sum()
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
        let Scratch { found, slots } = scratch;
        self.matcher.matches_with(line, found, slots)?;
        let event = LazyEvent::new(line, &self.concepts);
        let mut show = |one: &'a Arc<Watched>| {
            if one.indicator.holds(&event) {
                show(one);
            }
        };
        self.unlisted.iter().for_each(|one| show(one));
        match slots[..] {
            [] => {}
            [slot] => self.by_slot[slot.index()].iter().for_each(|one| show(one)),
            _ => {
                let holders = slots.iter().flat_map(|slot| &self.by_slot[slot.index()]);
                let mut all: Vec<&Arc<Watched>> = holders.collect();
                all.sort_unstable_by_key(|one| Arc::as_ptr(one));
                all.dedup_by(|one, other| Arc::ptr_eq(one, other));
                all.into_iter().for_each(|one| show(one));
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
            ticket: None,
        }
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
        let mut list = Watchlist::new(true);
        assert_eq!(list.add(indicator("1", &["a", "b"])), Put::Added);
        assert_eq!(list.add(indicator("2", &["b", "b"])), Put::Added);
        assert_eq!(list.add(indicator("1", &["a", "b"])), Put::Repeated);
        assert_eq!(matches(&list, r#"{"host": "a", "query": "b"}"#), ["1", "2"]);
        assert_eq!(matches(&list, r#"{"host": "a"}"#), ["1"]);
        assert!(matches(&list, r#"{"uri": "a"}"#).is_empty());
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn what_is_withdrawn_matches_no_more() {
        let mut list = Watchlist::new(true);
        list.add(indicator("1", &["a", "b"]));
        list.add(indicator("1", &["c"]));
        list.add(indicator("2", &["b"]));
        assert_eq!((list.remove("1"), list.remove("1")), (2, 0));
        assert!(matches(&list, r#"{"host": "a", "query": "c"}"#).is_empty());
        assert_eq!(matches(&list, r#"{"host": "b"}"#), ["2"]);
        // The slots are given to others.
        list.add(indicator("3", &["d"]));
        assert_eq!(matches(&list, r#"{"host": "d", "query": "a"}"#), ["3"]);
        list.remove("2");
        list.remove("3");
        assert_eq!((list.len(), list.bytes), (0, 0));
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
        let mut list = Watchlist::new(true);
        assert_eq!(list.add(own("1")), Put::Added);
        assert_eq!(list.add(own("1")), Put::Repeated);
        list.add(indicator("2", &["b.evil"]));
        assert_eq!(matches(&list, r#"{"host": "a.evil"}"#), ["1"]);
        assert_eq!(matches(&list, r#"{"host": "b.evil"}"#), ["1", "2"]);
        assert!(matches(&list, r#"{"host": "evil"}"#).is_empty());
        assert_eq!(list.remove("1"), 1);
        assert_eq!(matches(&list, r#"{"host": "b.evil"}"#), ["2"]);
        for number in 0..MOST_UNLISTED {
            assert_eq!(list.add(own(&number.to_string())), Put::Added);
        }
        assert_eq!(list.add(own("x")), Put::TooMany);
    }

    #[test]
    fn a_full_list_takes_no_more() {
        let mut list = Watchlist::new(true);
        list.most_bytes = 0;
        assert_eq!(list.add(indicator("1", &["a"])), Put::Full);
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

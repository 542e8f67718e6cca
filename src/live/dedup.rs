//! Recently reported sightings, so that the query for a gap and the stream of new events
//! report nothing twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;

/// The most sightings that are stored: about 10 MB when full.
const MOST_SIGHTINGS: usize = 1 << 18;

/// Sightings by indicator, or part of one, and event, each with how often it was seen in the
/// stream and in queries. The same event printed twice is two events.
#[derive(Debug, Default)]
pub struct Dedup {
    seen: HashMap<u64, SeenEvents>,
    order: VecDeque<u64>,
    /// The number of the query whose output is being read.
    query: u32,
    /// Seeded at random in each run, so that an attacker cannot prepare collisions.
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
struct SeenEvents {
    live: u32,
    queried: u32,
    reported: u32,
    query: u32,
}

/// What identifies an event.
#[derive(Clone, Copy, Debug, Hash)]
pub enum EventKey<'a> {
    /// Its text.
    Text(&'a str),
    /// Its time in nanoseconds, if the text is not known.
    Time(i128),
}

impl Dedup {
    /// Records an event of the stream; returns whether to report it.
    pub fn live(&mut self, found: impl Hash, mark: EventKey<'_>) -> bool {
        let seen = self.entry(found, mark);
        seen.live = seen.live.saturating_add(1);
        let is_new = seen.live > seen.reported;
        seen.reported = seen.reported.max(seen.live);
        is_new
    }

    /// Starts a query, whose output may repeat everything.
    pub fn begin_query(&mut self) {
        self.query = self.query.wrapping_add(1);
    }

    /// Records an event in the output of a query; returns whether to report it.
    pub fn queried(&mut self, found: impl Hash, mark: EventKey<'_>) -> bool {
        let query = self.query;
        let seen = self.entry(found, mark);
        if seen.query != query {
            (seen.query, seen.queried) = (query, 0);
        }
        seen.queried = seen.queried.saturating_add(1);
        let is_new = seen.queried > seen.reported;
        seen.reported = seen.reported.max(seen.queried);
        is_new
    }

    fn entry(&mut self, found: impl Hash, mark: EventKey<'_>) -> &mut SeenEvents {
        let key = self.hasher.hash_one((found, mark));
        if !self.seen.contains_key(&key) {
            if self.order.len() == MOST_SIGHTINGS {
                if let Some(oldest) = self.order.pop_front() {
                    self.seen.remove(&oldest);
                }
            }
            self.order.push_back(key);
        }
        self.seen.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_on_one_way_is_not_reported_on_the_other() {
        let mut recent = Dedup::default();
        let (a, b) = (EventKey::Text("a"), EventKey::Text("b"));
        assert!(recent.live("1", a) && recent.live("1", a));
        recent.begin_query();
        assert!(!recent.queried("1", a) && !recent.queried("1", a));
        // A third event with the same text, and others.
        assert!(recent.queried("1", a) && recent.queried("2", a) && recent.queried("1", b));
        // Printed late by the stream.
        assert!(!recent.live("1", b) && recent.live("1", b));
        // Queried again.
        recent.begin_query();
        for _ in 0..3 {
            assert!(!recent.queried("1", a));
        }
        assert!(recent.queried("1", a));
        assert!(recent.live("1", EventKey::Time(7)) && !recent.queried("1", EventKey::Time(7)));
    }

    #[test]
    fn it_does_not_grow_without_a_bound() {
        let mut recent = Dedup::default();
        for n in 0..MOST_SIGHTINGS as i128 + 10 {
            assert!(recent.live("1", EventKey::Time(n)));
        }
        assert_eq!(
            (recent.seen.len(), recent.order.len()),
            (MOST_SIGHTINGS, MOST_SIGHTINGS)
        );
    }
}

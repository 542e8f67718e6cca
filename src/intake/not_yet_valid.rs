//! Indicators whose `valid_from` is still to come: a value, like [`super::Life`], which it is
//! a part of.
//!
//! | | put: it has a time, and there is room | put otherwise | removed | its time has come |
//! |---|---|---|---|---|
//! | *not there* | waits | not there | | |
//! | *waits* | waits, as it is now | not there | not there | taken out, the earliest first |

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use crate::indicator::Indicator;
use crate::state::journal::Ticket;

/// The most indicators.
pub(super) const MOST_NOT_YET_VALID: usize = 10_000;

/// The approximate limit of their memory in bytes.
const MOST_BYTES: usize = 64 << 20;

/// A waiting indicator, with its entry in the journal.
type WaitingIndicator = (Arc<Indicator>, Option<Ticket>);

/// The waiting indicators by time, one per id.
#[derive(Debug, Default)]
pub(super) struct NotYetValid {
    by_time: BTreeMap<(SystemTime, u64), WaitingIndicator>,
    by_id: HashMap<Arc<str>, (SystemTime, u64)>,
    number: u64,
    bytes: usize,
}

impl NotYetValid {
    /// Stores an indicator until it is valid, replacing the one with the same id; `false`
    /// if it has no such time, or if there is no room.
    pub(super) fn put(&mut self, indicator: Arc<Indicator>, ticket: Option<Ticket>) -> bool {
        self.remove(&indicator.id);
        let bytes = self.bytes + indicator.size();
        let has_room = self.by_time.len() < MOST_NOT_YET_VALID && bytes <= MOST_BYTES;
        let Some(from) = indicator.validity.from().filter(|_| has_room) else {
            return false;
        };
        self.bytes = bytes;
        self.number += 1;
        let key = (from.into(), self.number);
        self.by_id.insert(indicator.id.clone(), key);
        self.by_time.insert(key, (indicator, ticket));
        true
    }

    /// Removes the one with this id; returns whether there was one.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        // Usually none waits, and a million come.
        if self.by_id.is_empty() {
            return false;
        }
        let key = self.by_id.remove(id);
        let removed = key.and_then(|key| self.by_time.remove(&key));
        if let Some((indicator, _)) = &removed {
            self.bytes -= indicator.size();
        }
        removed.is_some()
    }

    /// Removes and returns the next one that is valid.
    pub(super) fn take_due(&mut self, now: SystemTime) -> Option<WaitingIndicator> {
        let first = self.by_time.first_entry()?;
        let due = (first.key().0 <= now).then(|| first.remove())?;
        self.bytes -= due.0.size();
        self.by_id.remove(&due.0.id);
        Some(due)
    }

    /// When the next one becomes valid.
    pub(super) fn next(&self) -> Option<SystemTime> {
        self.by_time.keys().next().map(|(time, _)| *time)
    }

    /// The number of waiting indicators.
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::indicator::{Protocol, Validity};
    use crate::observable::Observable;

    fn indicator(id: &str, from: Option<SystemTime>) -> Arc<Indicator> {
        Arc::new(Indicator {
            validity: Validity::between(from.map(Into::into), None),
            ioc: vec!["a".to_owned()],
            ..Indicator::new(id.into(), Protocol::Stix2, vec![Observable::domain("a")])
        })
    }

    #[test]
    fn indicators_wait_for_their_time_in_its_order() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut later = NotYetValid::default();
        assert!(!later.put(indicator("always", None), None));
        for (id, seconds) in [("2", 20), ("1", 10), ("3", 10), ("4", 5), ("4", 7)] {
            assert!(later.put(indicator(id, Some(at(seconds))), None));
        }
        assert_eq!(later.len(), 4);
        assert!(later.remove("4") && !later.remove("4"));
        assert_eq!(later.next(), Some(at(10)));
        assert!(later.take_due(at(9)).is_none());
        let mut due = |now| later.take_due(now).map(|(one, _)| one.id.to_string());
        assert_eq!(due(at(10)).as_deref(), Some("1"));
        assert_eq!(due(at(10)).as_deref(), Some("3"));
        assert_eq!(due(at(10)), None);
        assert_eq!(due(at(30)).as_deref(), Some("2"));
        assert_eq!((later.next(), later.bytes, later.len()), (None, 0, 0));
    }

    #[test]
    fn only_so_many_wait() {
        let far = SystemTime::now() + Duration::from_secs(1_000_000);
        let mut later = NotYetValid::default();
        for number in 0..MOST_NOT_YET_VALID {
            assert!(later.put(indicator(&number.to_string(), Some(far)), None));
        }
        assert!(!later.put(indicator("x", Some(far)), None));
        let mut large = indicator("0", Some(far));
        Arc::make_mut(&mut large).ioc = vec!["a".repeat(MOST_BYTES)];
        assert!(!later.put(large, None));
        // Its earlier version is outdated.
        assert_eq!(later.len(), MOST_NOT_YET_VALID - 1);
        assert!(later.put(indicator("x", Some(far)), None));
    }
}

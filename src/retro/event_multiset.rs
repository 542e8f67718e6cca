//! Which events have been reported for an indicator, so that asking again
//! reports nothing twice. Events are known by a hash of their text; the same
//! text printed twice is two events.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use crate::sighting::instances;

/// Seeded anew in each run: what an attacker prepares meets no known hash.
static HASHER: LazyLock<foldhash::quality::RandomState> =
    LazyLock::new(foldhash::quality::RandomState::default);

/// The hash that stands for an event.
pub fn fingerprint(line: &str) -> u64 {
    HASHER.hash_one(line)
}

/// What all ledgers of a run may remember together: what is resident does not
/// depend on how many events match.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Room for events that were reported.
    pub reported: Budget,
    /// Room for events that may or may not be an indicator's.
    pub ambiguous: Budget,
    /// Room for events that are to be joined with others.
    pub joined: instances::Room,
}

impl Default for Memory {
    /// 24 MiB, once it is full, without what is joined.
    fn default() -> Self {
        Memory {
            reported: Budget::new(2 << 20),
            ambiguous: Budget::new(1 << 20),
            joined: instances::Room::default(),
        }
    }
}

/// Room for so many more events.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// Room for this many events.
    pub fn new(events: usize) -> Self {
        Budget(Arc::new(AtomicUsize::new(events)))
    }

    fn take(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    fn give_back(&self, events: usize) {
        self.0.fetch_add(events, Ordering::Relaxed);
    }
}

/// Events with multiplicity, of which those that a query prints again can be
/// ticked off. It takes 8 bytes an event.
#[derive(Debug, Default)]
pub struct EventMultiset {
    /// Sorted up to `known`; the rest came after the last [`EventMultiset::begin`].
    events: Vec<u64>,
    known: usize,
    /// A bit for each of the known events. Of equal ones the first are ticked
    /// off first.
    met: Vec<u64>,
    /// Where its room comes from; none before the first event.
    room: Option<Budget>,
}

impl EventMultiset {
    /// Adds one event; says whether there was room for it.
    pub fn add(&mut self, event: u64, room: &Budget) -> bool {
        if !room.take() {
            return false;
        }
        self.room.get_or_insert_with(|| room.clone());
        self.events.push(event);
        true
    }

    /// A query begins that can print all of these events once more.
    pub fn begin(&mut self) {
        self.events.sort_unstable();
        self.known = self.events.len();
        self.met.clear();
        self.met.resize(self.known.div_ceil(64), 0);
    }

    /// Ticks one such event off, if there was one when the query began.
    pub fn meet(&mut self, event: u64) -> bool {
        let Some(position) = self.unmet(event) else {
            return false;
        };
        self.met[position / 64] |= 1 << (position % 64);
        true
    }

    /// Whether one such event is not ticked off.
    pub fn awaits(&self, event: u64) -> bool {
        self.unmet(event).is_some()
    }

    /// Keeps only what is not ticked off.
    pub fn keep_unmet(&mut self) {
        let mut position = 0;
        let (known, met) = (self.known, &self.met);
        let before = self.events.len();
        self.events.retain(|_| {
            let keep = position >= known || met[position / 64] >> (position % 64) & 1 == 0;
            position += 1;
            keep
        });
        if let Some(room) = &self.room {
            room.give_back(before - self.events.len());
        }
        self.begin();
    }

    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn unmet(&self, event: u64) -> Option<usize> {
        let known = &self.events[..self.known];
        let first = known.partition_point(|&one| one < event);
        let same = &known[first..];
        if same.first() != Some(&event) {
            return None;
        }
        let end = first + same.partition_point(|&one| one == event);
        let is_met = |position: usize| self.met[position / 64] >> (position % 64) & 1 == 1;
        let (mut low, mut high) = (first, end);
        while low < high {
            let middle = low.midpoint(high);
            if is_met(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < end).then_some(low)
    }
}

impl Drop for EventMultiset {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.give_back(self.events.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_count_with_multiplicity() {
        let (a, b) = (fingerprint("a"), fingerprint("b"));
        let room = Budget::new(9);
        let mut ledger = EventMultiset::default();
        for event in [a, b, a] {
            assert!(ledger.add(event, &room));
        }
        assert!(!ledger.meet(a), "it came after the query began");
        ledger.begin();
        assert!(ledger.meet(a) && ledger.awaits(a) && ledger.meet(a));
        assert!(!ledger.awaits(a) && !ledger.meet(a) && ledger.meet(b));
        ledger.begin();
        assert!(ledger.meet(b));
        ledger.keep_unmet();
        assert!(ledger.meet(a) && ledger.meet(a) && !ledger.meet(b));
    }

    #[test]
    fn memory_is_shared_and_comes_back() {
        let room = Budget::new(3);
        let (mut one, mut other) = (EventMultiset::default(), EventMultiset::default());
        assert!(one.add(1, &room) && one.add(1, &room) && other.add(1, &room));
        assert!(!other.add(2, &room));
        one.begin();
        assert!(one.meet(1));
        one.keep_unmet();
        assert!(other.add(2, &room) && !other.add(3, &room));
        drop(one);
        assert!(other.add(3, &room) && !other.add(4, &room));
    }

    proptest! {
        #[test]
        fn agrees_with_counting(
            rounds in prop::collection::vec(prop::collection::vec((0u64..6, any::<bool>()), 0..40), 1..4),
        ) {
            let room = Budget::new(1000);
            let mut ledger = EventMultiset::default();
            let mut all = [0u32; 6];
            for round in rounds {
                ledger.begin();
                let mut left = all;
                for (event, adds) in round {
                    let count = &mut left[event as usize];
                    if adds {
                        prop_assert!(ledger.add(event, &room));
                        all[event as usize] += 1;
                    } else {
                        prop_assert_eq!(ledger.awaits(event), *count > 0);
                        prop_assert_eq!(ledger.meet(event), *count > 0);
                        *count = count.saturating_sub(1);
                    }
                }
            }
        }
    }
}

//! The events that have been reported for an indicator, so that repeated queries report
//! nothing twice. Events are identified by a hash of their text; the same text printed
//! twice is two events.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use crate::sighting::instances;

/// Seeded at random in each run, so that an attacker cannot prepare collisions.
static HASHER: LazyLock<foldhash::quality::RandomState> =
    LazyLock::new(foldhash::quality::RandomState::default);

/// The hash that identifies an event.
pub fn fingerprint(line: &str) -> u64 {
    HASHER.hash_one(line)
}

/// The memory limits shared by all sets of a run, so that memory does not grow with the
/// number of matching events.
#[derive(Clone, Debug)]
pub struct Memory {
    /// For reported events.
    pub reported: EventBudget,
    /// For ambiguous events.
    pub ambiguous: EventBudget,
    /// For events that are joined with others.
    pub joined: instances::Room,
}

impl Default for Memory {
    /// 24 MiB when full, without joined events.
    fn default() -> Self {
        Memory {
            reported: EventBudget::new(2 << 20),
            ambiguous: EventBudget::new(1 << 20),
            joined: instances::Room::default(),
        }
    }
}

/// A budget of events.
#[derive(Clone, Debug)]
pub struct EventBudget(Arc<AtomicUsize>);

impl EventBudget {
    /// A budget of this many events.
    pub fn new(events: usize) -> Self {
        EventBudget(Arc::new(AtomicUsize::new(events)))
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

/// A multiset of events in which those that a query prints again can be ticked off. It
/// takes 8 bytes per event.
#[derive(Debug, Default)]
pub struct EventMultiset {
    /// Sorted up to `known`; the rest was added after the last [`EventMultiset::begin`].
    events: Vec<u64>,
    known: usize,
    /// One bit for each known event. Of equal events, the first ones are ticked off
    /// first.
    met: Vec<u64>,
    /// The budget it uses; `None` before the first event.
    room: Option<EventBudget>,
}

impl EventMultiset {
    /// Adds an event; returns whether there was room for it.
    pub fn add(&mut self, event: u64, room: &EventBudget) -> bool {
        if !room.take() {
            return false;
        }
        self.room.get_or_insert_with(|| room.clone());
        self.events.push(event);
        true
    }

    /// Starts a query that may print all these events again.
    pub fn begin(&mut self) {
        self.events.sort_unstable();
        self.known = self.events.len();
        self.met.clear();
        self.met.resize(self.known.div_ceil(64), 0);
    }

    /// Ticks off such an event, if there was one when the query began.
    pub fn meet(&mut self, event: u64) -> bool {
        let Some(position) = self.unmet(event) else {
            return false;
        };
        self.met[position / 64] |= 1 << (position % 64);
        true
    }

    /// Whether such an event is not ticked off.
    pub fn awaits(&self, event: u64) -> bool {
        self.unmet(event).is_some()
    }

    /// Keeps only the events that are not ticked off.
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

    /// Whether it is empty.
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
        let room = EventBudget::new(9);
        let mut events = EventMultiset::default();
        for event in [a, b, a] {
            assert!(events.add(event, &room));
        }
        assert!(!events.meet(a), "it came after the query began");
        events.begin();
        assert!(events.meet(a) && events.awaits(a) && events.meet(a));
        assert!(!events.awaits(a) && !events.meet(a) && events.meet(b));
        events.begin();
        assert!(events.meet(b));
        events.keep_unmet();
        assert!(events.meet(a) && events.meet(a) && !events.meet(b));
    }

    #[test]
    fn memory_is_shared_and_comes_back() {
        let room = EventBudget::new(3);
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
            let room = EventBudget::new(1000);
            let mut events = EventMultiset::default();
            let mut all = [0u32; 6];
            for round in rounds {
                events.begin();
                let mut left = all;
                for (event, adds) in round {
                    let count = &mut left[event as usize];
                    if adds {
                        prop_assert!(events.add(event, &room));
                        all[event as usize] += 1;
                    } else {
                        prop_assert_eq!(events.awaits(event), *count > 0);
                        prop_assert_eq!(events.meet(event), *count > 0);
                        *count = count.saturating_sub(1);
                    }
                }
            }
        }
    }
}

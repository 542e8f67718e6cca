//! Rate limits: which sightings are sent at once, and which are only counted until their
//! time is over. A pure state machine: the time comes with each step.
//!
//! A window opens for a key with its first sighting and closes after a fixed time. A
//! limited number passes at once; the rest is held, counted, and reported as one when the
//! window closes, represented by one stored sighting. So memory is bounded by the number
//! of keys.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// What happens to a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowOutcome {
    /// It is sent at once.
    Passes,
    /// It is counted.
    Held,
    /// It is counted, since the limit is reached.
    TooMany,
}

/// A closed window that held something.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed<V> {
    /// The value that represents all.
    pub kept: V,
    /// The number it stands for.
    pub count: u64,
    /// When the first of them happened.
    pub first_seen: OffsetDateTime,
    /// When the last of them did.
    pub last_seen: OffsetDateTime,
}

/// Which sightings a window reports when it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    /// All of the window, including those sent at once.
    All,
    /// Those that were held.
    Held,
}

#[derive(Debug)]
struct OpenWindow<V> {
    until: Instant,
    passed: u64,
    held: u64,
    reported: Option<(V, u64, OffsetDateTime, OffsetDateTime)>,
}

/// The windows of one kind.
#[derive(Debug)]
pub struct Windows<K, V> {
    length: Duration,
    most: u64,
    reports: Reports,
    open: HashMap<K, OpenWindow<V>>,
    /// In the order in which they close, which is the order in which they opened.
    order: VecDeque<(Instant, K)>,
}

impl<K: Clone + Eq + Hash, V> Windows<K, V> {
    /// Windows of this length, in each of which this many pass at once.
    pub fn new(length: Duration, most: u64, reports: Reports) -> Self {
        Windows {
            length,
            most,
            reports,
            open: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Records a sighting. `keep` returns the value that represents all, for the first
    /// one that is reported later; `hold` is called for each held one with the count and
    /// the first and last time. Windows that are over have to be closed before
    /// ([`Windows::close`]).
    pub fn meet(
        &mut self,
        now: Instant,
        key: &K,
        seen: OffsetDateTime,
        keep: impl FnOnce() -> V,
        hold: impl FnOnce(&mut V, u64, [OffsetDateTime; 2]),
    ) -> WindowOutcome {
        let open = self.open.entry(key.clone()).or_insert_with(|| {
            // If the clock cannot go that far, the window never closes.
            let until = now.checked_add(self.length).unwrap_or(now);
            self.order.push_back((until, key.clone()));
            OpenWindow {
                until,
                passed: 0,
                held: 0,
                reported: None,
            }
        });
        let met = if open.passed < self.most {
            WindowOutcome::Passes
        } else {
            WindowOutcome::Held
        };
        match met {
            WindowOutcome::Passes => open.passed += 1,
            WindowOutcome::Held | WindowOutcome::TooMany => open.held += 1,
        }
        if met == WindowOutcome::Held || self.reports == Reports::All {
            let reported = open.reported.get_or_insert_with(|| (keep(), 0, seen, seen));
            let (kept, count, first, last) = reported;
            *count += 1;
            *first = seen.min(*first);
            *last = seen.max(*last);
            if met == WindowOutcome::Held {
                hold(kept, *count, [*first, *last]);
            }
        }
        met
    }

    /// Closes the windows that are over; returns those that held something.
    pub fn close(&mut self, now: Instant) -> Vec<Closed<V>> {
        let mut closed = Vec::new();
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            closed.extend(self.close_first());
        }
        closed
    }

    /// Closes all windows.
    pub fn close_all(&mut self) -> Vec<Closed<V>> {
        let mut closed = Vec::new();
        while !self.order.is_empty() {
            closed.extend(self.close_first());
        }
        closed
    }

    fn close_first(&mut self) -> Option<Closed<V>> {
        let (until, key) = self.order.pop_front()?;
        let open = self.open.remove(&key)?;
        debug_assert_eq!(open.until, until, "a window stands in the order once");
        let (kept, count, first_seen, last_seen) = open.reported?;
        (open.held > 0).then_some(Closed {
            kept,
            count,
            first_seen,
            last_seen,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(second).expect("a moment")
    }

    fn closed(kept: u32, count: u64, first: i64, last: i64) -> Closed<u32> {
        Closed {
            kept,
            count,
            first_seen: at(first),
            last_seen: at(last),
        }
    }

    fn meet(
        windows: &mut Windows<&'static str, u32>,
        now: Instant,
        key: &'static str,
        second: i64,
        kept: u32,
    ) -> WindowOutcome {
        windows.meet(now, &key, at(second), || kept, |_, _, _| {})
    }

    #[test]
    fn the_first_goes_out_at_once_and_the_rest_as_one() {
        let mut windows = Windows::new(MINUTE, 1, Reports::All);
        let start = Instant::now();
        assert_eq!(meet(&mut windows, start, "a", 5, 1), WindowOutcome::Passes);
        assert_eq!(meet(&mut windows, start, "a", 3, 2), WindowOutcome::Held);
        assert_eq!(
            meet(&mut windows, start + MINUTE / 2, "a", 9, 3),
            WindowOutcome::Held
        );
        assert_eq!(meet(&mut windows, start, "b", 1, 4), WindowOutcome::Passes);
        assert_eq!(windows.close(start + MINUTE / 2), []);
        assert_eq!(windows.close(start + MINUTE), [closed(1, 3, 3, 9)]);
        assert!(windows.open.is_empty());
        // A new window.
        assert_eq!(
            meet(&mut windows, start + MINUTE, "a", 70, 5),
            WindowOutcome::Passes
        );
        assert_eq!(windows.close_all(), []);
    }

    #[test]
    fn what_is_too_much_a_minute_is_counted() {
        let mut windows = Windows::new(MINUTE, 2, Reports::Held);
        let start = Instant::now();
        let met: Vec<WindowOutcome> = (0..5)
            .map(|n| meet(&mut windows, start, "a", n, n as u32))
            .collect();
        assert_eq!(
            met,
            [
                WindowOutcome::Passes,
                WindowOutcome::Passes,
                WindowOutcome::Held,
                WindowOutcome::Held,
                WindowOutcome::Held
            ]
        );
        assert_eq!(windows.close(start + MINUTE), [closed(2, 3, 2, 4)]);
    }

    proptest! {
        /// Every sighting is reported: at once, or in the count of a window that closes.
        /// Nothing is reported later than a window's length, and no more windows are open
        /// than there are keys.
        #[test]
        fn every_sighting_is_told_of(
            most in 1..4_u64,
            all in any::<bool>(),
            steps in vec((0..4_u8, 0..40_u64), 1..200),
        ) {
            let reports = if all { Reports::All } else { Reports::Held };
            let mut windows = Windows::new(MINUTE, most, reports);
            let start = Instant::now();
            let (mut now, mut passed, mut reported, mut repeated) = (start, 0_u64, 0_u64, 0_u64);
            let mut met_at = std::collections::HashMap::<u8, Vec<Instant>>::new();
            let mut take = |closed: Vec<Closed<(u8, Instant)>>, now: Instant| {
                for one in closed {
                    reported += one.count;
                    if all {
                        repeated += most;
                    }
                    assert!(one.first_seen <= one.last_seen);
                    assert!(now - one.kept.1 <= MINUTE + Duration::from_secs(40));
                }
            };
            for (key, seconds) in &steps {
                now += Duration::from_secs(*seconds);
                take(windows.close(now), now);
                let seen = at(i64::try_from((now - start).as_secs()).expect("small"));
                met_at.entry(*key).or_default().push(now);
                let mut is_held = false;
                let met = windows.meet(now, key, seen, || (*key, now), |kept, count, span| {
                    is_held = true;
                    assert!(kept.0 == *key && count > 0 && span[0] <= span[1]);
                });
                prop_assert_eq!(is_held, met == WindowOutcome::Held);
                if met == WindowOutcome::Passes {
                    passed += 1;
                }
                prop_assert!(windows.open.len() <= 4);
            }
            take(windows.close_all(), now);
            prop_assert_eq!(passed + reported - repeated, steps.len() as u64);
        }
    }
}

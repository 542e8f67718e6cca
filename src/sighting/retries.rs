//! What to try again, and when: a state machine without a clock.

use std::time::{Duration, Instant};

use crate::process::stop::Backoff;

/// The number of retries, with growing pauses: about 15 s in all.
pub const MOST_RETRIES: u32 = 5;

/// The most that may wait to be tried again. Beyond that nothing new is begun: so many
/// failures are the command's, and not those of single sightings.
const MOST_PENDING: usize = 1000;

/// Something that failed, and its number of failures.
#[derive(Debug)]
pub struct Failed<T> {
    /// Its number among everything that was begun.
    pub number: u64,
    /// The item itself.
    pub what: T,
    retries: u32,
    backoff: Backoff,
}

/// The failed items that wait.
#[derive(Debug)]
pub struct Retries<T> {
    waiting: Vec<(Instant, Failed<T>)>,
    begun: u64,
}

impl<T> Retries<T> {
    /// Nothing was begun.
    pub fn new() -> Self {
        Retries {
            waiting: Vec::new(),
            begun: 0,
        }
    }

    /// Begins a new item.
    pub fn begin(&mut self, what: T) -> Failed<T> {
        self.begun += 1;
        Failed {
            number: self.begun,
            what,
            retries: 0,
            backoff: Backoff::new(),
        }
    }

    /// The number of items begun.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Records a failure; returns the pause before the next try, or the item if it was
    /// tried often enough.
    pub fn failed(&mut self, mut failed: Failed<T>, now: Instant) -> Result<Duration, T> {
        if failed.retries == MOST_RETRIES {
            return Err(failed.what);
        }
        failed.retries += 1;
        let pause = failed.backoff.pause();
        self.waiting.push((now + pause, failed));
        Ok(pause)
    }

    /// The next item to try again now, the one that has waited longest.
    pub fn due(&mut self, now: Instant) -> Option<Failed<T>> {
        let next = self.waiting.iter().enumerate();
        let (place, _) = next.min_by_key(|(_, (due, _))| *due)?;
        let is_due = self.waiting[place].0 <= now;
        is_due.then(|| self.waiting.swap_remove(place).1)
    }

    /// How long nothing is due, if anything waits.
    pub fn sleep(&self, now: Instant) -> Option<Duration> {
        let next = self.waiting.iter().map(|(due, _)| *due).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Whether new items may be begun.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MOST_PENDING
    }

    /// The number up to which nothing waits any more.
    pub fn settled(&self) -> u64 {
        let open = self.waiting.iter().map(|(_, failed)| failed.number).min();
        open.map_or(self.begun, |open| open - 1)
    }

    /// All waiting items, in the order in which they were begun.
    pub fn give_up(&mut self) -> Vec<T> {
        let mut all = std::mem::take(&mut self.waiting);
        all.sort_by_key(|(_, failed)| failed.number);
        all.into_iter().map(|(_, failed)| failed.what).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_the_fifth_retry_is_the_last() {
        let mut retries = Retries::new();
        let mut now = Instant::now();
        let mut one = retries.begin("a");
        let mut last = Duration::ZERO;
        for _ in 0..MOST_RETRIES {
            let pause = retries.failed(one, now).expect("it is tried again");
            // A pause is at most a quarter shorter than twice the last.
            assert!(pause > last, "{pause:?} after {last:?}");
            last = pause;
            assert!(retries.due(now).is_none());
            assert_eq!(retries.sleep(now), Some(pause));
            now += pause;
            one = retries.due(now).expect("it is due");
        }
        assert_eq!(retries.failed(one, now), Err("a"));
        assert!(retries.sleep(now).is_none());
    }

    #[test]
    fn what_waits_holds_nothing_else_back_but_what_is_told_behind_it() {
        let mut retries = Retries::new();
        let now = Instant::now();
        let first = retries.begin(1);
        assert!(retries.failed(first, now).is_ok());
        let _second = retries.begin(2);
        let third = retries.begin(3);
        assert!(retries.failed(third, now + Duration::from_secs(1)).is_ok());
        // An item that was begun and does not wait is running, and settled at the next
        // check.
        assert_eq!((retries.begun(), retries.settled()), (3, 0));
        let again = retries.due(now + Duration::from_secs(60)).expect("due");
        assert_eq!(again.what, 1);
        assert_eq!(retries.settled(), 2);
        assert_eq!(retries.give_up(), [3]);
        assert_eq!(retries.settled(), 3);
    }

    #[test]
    fn there_is_an_end_to_what_waits() {
        let mut retries = Retries::new();
        for n in 0..MOST_PENDING {
            assert!(retries.has_room());
            let failed = retries.begin(n);
            assert!(retries.failed(failed, Instant::now()).is_ok());
        }
        assert!(!retries.has_room());
    }
}

//! What is to be tried again, and when: a machine without a clock.

use std::time::{Duration, Instant};

use crate::process::stop::Backoff;

/// How often something is tried again, with growing pauses: some 15 s in all.
pub const MOST_RETRIES: u32 = 5;

/// So many wait to be tried again at once, and no others are begun: that many failures
/// are the command's, and not those of single sightings.
const MOST_WAITING: usize = 1000;

/// Something that failed, and how often.
#[derive(Debug)]
pub struct Failed<T> {
    /// Counted from the start, over all that was begun.
    pub number: u64,
    /// What it is.
    pub what: T,
    retries: u32,
    backoff: Backoff,
}

/// What failed and waits.
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

    /// Begins something new.
    pub fn begin(&mut self, what: T) -> Failed<T> {
        self.begun += 1;
        Failed {
            number: self.begun,
            what,
            retries: 0,
            backoff: Backoff::new(),
        }
    }

    /// How much was begun.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// It failed, once more or for the first time; gives the pause before it is tried
    /// again, or itself where it was tried often enough.
    pub fn failed(&mut self, mut failed: Failed<T>, now: Instant) -> Result<Duration, T> {
        if failed.retries == MOST_RETRIES {
            return Err(failed.what);
        }
        failed.retries += 1;
        let pause = failed.backoff.pause();
        self.waiting.push((now + pause, failed));
        Ok(pause)
    }

    /// What is to be tried again now, the one that waits longest first.
    pub fn due(&mut self, now: Instant) -> Option<Failed<T>> {
        let next = self.waiting.iter().enumerate();
        let (place, _) = next.min_by_key(|(_, (due, _))| *due)?;
        let is_due = self.waiting[place].0 <= now;
        is_due.then(|| self.waiting.swap_remove(place).1)
    }

    /// How long nothing is due, where something waits.
    pub fn sleep(&self, now: Instant) -> Option<Duration> {
        let next = self.waiting.iter().map(|(due, _)| *due).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Whether others may be begun.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// The number up to which nothing waits any more.
    pub fn settled(&self) -> u64 {
        let open = self.waiting.iter().map(|(_, failed)| failed.number).min();
        open.map_or(self.begun, |open| open - 1)
    }

    /// All that waits, in the order in which it was begun.
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
            // A pause is at the most a quarter shorter than twice the last.
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
        // What is begun and does not wait is in work, and settled with the next look.
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
        for n in 0..MOST_WAITING {
            assert!(retries.has_room());
            let failed = retries.begin(n);
            assert!(retries.failed(failed, Instant::now()).is_ok());
        }
        assert!(!retries.has_room());
    }
}

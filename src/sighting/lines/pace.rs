//! How to use a command that keeps running: how many contexts it gets at once, whether it
//! answers only after its input ends, and whether it is trusted at all.

use std::time::{Duration, Instant};

use crate::process::stop::Backoff;

/// The most contexts that are sent at once.
pub const MOST_CONTEXTS: usize = 1000;

/// The most bytes of contexts that are sent at once. A single context may be longer.
pub const MOST_BYTES: usize = 1 << 20;

/// The number of contexts that are sent at first.
const FIRST_LINES: usize = 16;

/// A round that was faster than this is followed by a larger one.
const FAST: Duration = Duration::from_millis(250);

/// A round that was slower than this is followed by a smaller one: its first result waits
/// for its last.
const SLOW: Duration = Duration::from_secs(2);

/// The first and the longest time for which every context gets its own process, after two
/// failures in a row. A single failure may be a process that somebody killed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The experience with a command.
#[derive(Debug)]
pub struct LinesPace {
    lines: usize,
    waits_for_end: bool,
    failed_before: bool,
    pauses: Backoff,
    paused_until: Option<Instant>,
}

impl LinesPace {
    /// Starts without experience.
    pub fn new() -> Self {
        LinesPace {
            lines: FIRST_LINES,
            waits_for_end: false,
            failed_before: false,
            pauses: Backoff::between(FIRST_PAUSE, LONGEST_PAUSE),
            paused_until: None,
        }
    }

    /// How many contexts are sent at once.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Whether the command answers only after its input has ended.
    pub fn waits_for_end(&self) -> bool {
        self.waits_for_end
    }

    /// Whether every context gets its own process for now.
    pub fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Records that the command printed nothing until its input was closed.
    pub fn kept_silent(&mut self) {
        self.waits_for_end = true;
    }

    /// Records a successful round of this many contexts.
    pub fn went_well(&mut self, lines: usize, took: Duration) {
        self.failed_before = false;
        self.pauses.reset();
        if took > SLOW {
            self.lines = (lines / 2).clamp(1, MOST_CONTEXTS);
        } else if took < FAST && lines >= self.lines {
            self.lines = (self.lines * 4).min(MOST_CONTEXTS);
        }
    }

    /// Records a void round.
    pub fn failed(&mut self, now: Instant) {
        self.lines = FIRST_LINES;
        if std::mem::replace(&mut self.failed_before, true) {
            self.paused_until = Some(now + self.pauses.pause());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_grow_while_they_are_fast_and_shrink_when_they_are_slow() {
        let mut pace = LinesPace::new();
        let mut sizes = Vec::new();
        for _ in 0..5 {
            sizes.push(pace.lines());
            pace.went_well(pace.lines(), Duration::from_millis(1));
        }
        assert_eq!(sizes, [16, 64, 256, 1000, 1000]);
        // A small round says nothing about large ones.
        pace.went_well(100, Duration::from_secs(3));
        assert_eq!(pace.lines(), 50);
        pace.went_well(3, Duration::ZERO);
        assert_eq!(pace.lines(), 50);
        pace.went_well(1, Duration::from_secs(29));
        assert_eq!(pace.lines(), 1);
    }

    #[test]
    fn a_command_that_fails_is_asked_one_by_one_for_growing_times() {
        let mut pace = LinesPace::new();
        let now = Instant::now();
        pace.failed(now);
        assert!(!pace.is_paused(now));
        pace.failed(now);
        assert!(pace.is_paused(now) && !pace.is_paused(now + FIRST_PAUSE));
        pace.failed(now);
        assert!(pace.is_paused(now + FIRST_PAUSE) && !pace.is_paused(now + 2 * FIRST_PAUSE));
        for _ in 0..20 {
            pace.failed(now);
        }
        assert!(!pace.is_paused(now + LONGEST_PAUSE));
        pace.went_well(1, Duration::ZERO);
        pace.failed(now);
        pace.failed(now);
        assert!(!pace.is_paused(now + FIRST_PAUSE));
    }
}

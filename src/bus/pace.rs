//! How many sightings may be with the broker at once, by the pace of its echoes: a
//! machine without a clock.
//!
//! A broker works off one sighting after the other, so the age of an echo tells how much
//! waits inside it. There is to be about a second's worth at the most:
//!
//! | the echo came | and as many as may be were with the broker | fewer were |
//! |---|---|---|
//! | within [`SHORT`] | one more may be | |
//! | within [`LONG`] | | |
//! | later | as many as come back in [`LONG`], once in the time that an echo takes | the same |
//! | not yet, and the first that is awaited was sent longer than [`LONG`] ago: each time that its age has doubled | the same | the same |
//!
//! So the number doubles with each round until there are between half a second's and a
//! second's worth, whether the broker passes on 600 a second or 6,000.

use std::time::{Duration, Instant};

/// An echo within this time says that there is room for more.
pub const SHORT: Duration = Duration::from_millis(500);

/// The most that is to wait inside the broker.
pub const LONG: Duration = Duration::from_secs(1);

/// How many may be with the broker in any case: a tenth of what the slowest passes on
/// in a second.
pub const LEAST_IN_FLIGHT: usize = 64;

/// And never more than this.
pub const MOST_IN_FLIGHT: usize = 10_000;

/// The number of sightings that may be with the broker.
#[derive(Debug)]
pub struct Pace {
    limit: usize,
    lowered_at: Option<Instant>,
}

impl Pace {
    /// Of a broker that nothing is known of.
    pub fn new() -> Self {
        Pace {
            limit: LEAST_IN_FLIGHT,
            lowered_at: None,
        }
    }

    /// How many may be with the broker.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A sighting came back after this time, and `with_broker` were there before it did.
    pub fn echo(&mut self, now: Instant, age: Duration, with_broker: usize) {
        if age <= SHORT {
            if with_broker >= self.limit {
                self.limit = (self.limit + 1).min(MOST_IN_FLIGHT);
            }
        } else if self.may_lower(now, age) {
            self.lower(now, age);
        }
    }

    /// The first sighting whose echo is awaited was sent this long ago.
    pub fn awaited(&mut self, now: Instant, age: Duration) {
        // Again each time that the age has doubled.
        if self.may_lower(now, age / 2) {
            self.lower(now, age);
        }
    }

    fn lower(&mut self, now: Instant, age: Duration) {
        if age > LONG {
            self.lowered_at = Some(now);
            let share = LONG.as_secs_f64() / age.as_secs_f64();
            self.limit = ((self.limit as f64 * share) as usize).max(LEAST_IN_FLIGHT);
        }
    }

    /// What was sent before the number was lowered comes back late as well.
    fn may_lower(&self, now: Instant, age: Duration) -> bool {
        self.lowered_at
            .is_none_or(|at| now.saturating_duration_since(at) >= age)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Pace::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What a broker of this pace, with an echo that takes so long beside, passes on in
    /// `seconds`, and the most that is inside it in the second half of that time.
    fn run(a_second: u64, latency: Duration, seconds: u64) -> (u64, usize) {
        let start = Instant::now();
        let step = Duration::from_secs(1) / u32::try_from(a_second).expect("a small number");
        let (mut pace, mut inside, mut passed, mut most) = (Pace::new(), VecDeque::new(), 0, 0);
        let mut now = start;
        let mut ready: Option<Instant> = None;
        while now < start + Duration::from_secs(seconds) {
            while inside.len() < pace.limit() {
                inside.push_back(now);
            }
            if now > start + Duration::from_secs(seconds / 2) {
                most = most.max(inside.len());
            }
            let sent = *inside.front().expect("there is always room for one");
            let done = ready.map_or(sent, |ready| ready.max(sent)) + step;
            ready = Some(done);
            now = now.max(done + latency);
            let with_broker = inside.len();
            inside.pop_front();
            passed += 1;
            pace.echo(now, now - sent, with_broker);
        }
        (passed, most)
    }

    #[test]
    fn neither_is_a_slow_broker_flooded_nor_a_fast_one_held_back() {
        for a_second in [100, 600, 1_700, 5_500, 9_000] {
            let (passed, most) = run(a_second, Duration::from_millis(2), 20);
            let share = passed as f64 / (20 * a_second) as f64;
            assert!(share > 0.95, "{a_second}: {share}");
            let seconds = most as f64 / a_second as f64;
            assert!((0.2..=1.1).contains(&seconds), "{a_second}: {most}");
        }
    }

    #[test]
    fn a_broker_that_becomes_slow_gets_less() {
        let now = Instant::now();
        let mut pace = Pace::new();
        for _ in 0..5_000 {
            pace.echo(now, Duration::from_millis(10), usize::MAX);
        }
        let before = pace.limit();
        assert!(before > 5_000);
        pace.echo(now, Duration::from_secs(10), before);
        assert_eq!(pace.limit(), before / 10);
        // Sent before that.
        pace.echo(now + LONG, Duration::from_secs(10), before);
        assert_eq!(pace.limit(), before / 10);
        for round in 2..20 {
            let later = now + round * Duration::from_secs(10);
            pace.echo(later, Duration::from_secs(10), before);
        }
        assert_eq!(pace.limit(), LEAST_IN_FLIGHT);
    }

    #[test]
    fn a_broker_that_sends_nothing_back_gets_less() {
        let now = Instant::now();
        let mut pace = Pace::new();
        for _ in 0..1_000 {
            pace.echo(now, Duration::from_millis(10), usize::MAX);
        }
        let before = pace.limit();
        for seconds in 1..=30 {
            pace.awaited(now + seconds * LONG, seconds * LONG);
        }
        assert!(
            before > 1_000 && pace.limit() == LEAST_IN_FLIGHT,
            "{}",
            pace.limit()
        );
    }

    #[test]
    fn who_does_not_use_the_room_gets_no_more() {
        let mut pace = Pace::new();
        for _ in 0..1_000 {
            pace.echo(
                Instant::now(),
                Duration::from_millis(1),
                LEAST_IN_FLIGHT - 1,
            );
        }
        assert_eq!(pace.limit(), LEAST_IN_FLIGHT);
    }
}

//! How many sightings may be with the broker at once, by the pace of its echoes: a
//! machine without a clock.
//!
//! A broker works off one sighting after the other, so the age of an echo tells how much
//! waits inside it. There is to be about a second's worth at the most. Where as many as may be
//! are with the broker, it is *full*, and gets the next ones when half of them have come back:
//! a broker that receives and passes on at the same time is slower at both.
//!
//! | what happened | then as many may be |
//! |---|---|
//! | the broker was full, and the echo with which half have come back took [`SHORT`] at the most | half as many more |
//! | an echo took no longer than [`LONG`] | the same |
//! | an echo took longer | as come back in [`LONG`], once in the time that an echo takes |
//! | the first one that is awaited was sent longer than [`LONG`] ago, each time that its age has doubled | the same |
//! | the broker was not full for longer than [`PROVEN`] | [`LEAST_IN_FLIGHT`]: it may have become slow |
//! | the broker was restarted | [`LEAST_IN_FLIGHT`] |
//!
//! So the number grows by half with each round until there are between a quarter of a second's
//! and a second's worth, whether the broker passes on 600 a second or 6,000.

use std::time::{Duration, Instant};

/// Half of them within this time say that there is room for more.
pub const SHORT: Duration = Duration::from_millis(250);

/// The most that is to wait inside the broker.
pub const LONG: Duration = Duration::from_secs(1);

/// How long the number holds that the broker was last full with.
pub const PROVEN: Duration = Duration::from_secs(30);

/// How many may be with the broker in any case: a tenth of what the slowest passes on
/// in a second.
pub const LEAST_IN_FLIGHT: usize = 64;

/// And never more than this.
pub const MOST_IN_FLIGHT: usize = 10_000;

/// The number of sightings that may be with the broker.
#[derive(Debug)]
pub struct Pace {
    limit: usize,
    /// As many as may be are with the broker, or were, and not yet half of them came back.
    is_full: bool,
    /// When the broker was last full.
    full_at: Option<Instant>,
    lowered_at: Option<Instant>,
}

impl Pace {
    /// Of a broker that nothing is known of.
    pub fn new() -> Self {
        Pace {
            limit: LEAST_IN_FLIGHT,
            is_full: false,
            full_at: None,
            lowered_at: None,
        }
    }

    /// How many may be with the broker.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the broker may get another one while so many are with it.
    pub fn has_room(&self, with_broker: usize) -> bool {
        !self.is_full && with_broker < self.limit
    }

    /// So many are with the broker from now on.
    pub fn with_broker(&mut self, now: Instant, count: usize) {
        if self.is_full {
            self.full_at = Some(now);
        }
        let is_proven = |at| now.saturating_duration_since(at) <= PROVEN;
        if !self.full_at.is_some_and(is_proven) {
            self.limit = LEAST_IN_FLIGHT;
        }
        if count >= self.limit {
            self.is_full = true;
            self.full_at = Some(now);
        } else if count <= self.limit / 2 {
            self.is_full = false;
        }
    }

    /// A sighting came back after this time, and so many others are with the broker.
    pub fn echo(&mut self, now: Instant, age: Duration, others: usize) {
        if age > SHORT {
            if self.may_lower(now, age) {
                self.lower(now, age);
            }
        } else if self.is_full && others <= self.limit / 2 {
            self.limit = (self.limit + self.limit / 2).min(MOST_IN_FLIGHT);
        }
        self.with_broker(now, others);
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
            while pace.has_room(inside.len()) {
                inside.push_back(now);
                pace.with_broker(now, inside.len());
            }
            if now > start + Duration::from_secs(seconds / 2) {
                most = most.max(inside.len());
            }
            let sent = inside.pop_front().expect("there is always room for one");
            let done = ready.map_or(sent, |ready| ready.max(sent)) + step;
            ready = Some(done);
            now = now.max(done + latency);
            passed += 1;
            pace.echo(now, now - sent, inside.len());
        }
        (passed, most)
    }

    /// Of a broker that passes on all that is sent at once, so many rounds after another.
    fn grown(start: Instant, rounds: usize) -> Pace {
        let mut pace = Pace::new();
        for _ in 0..rounds {
            pace.with_broker(start, pace.limit());
            for others in (0..pace.limit()).rev() {
                pace.echo(start, Duration::from_millis(10), others);
            }
        }
        pace
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
        let mut pace = grown(now, 12);
        let before = pace.limit();
        assert!(before > 5_000);
        pace.with_broker(now, before);
        pace.echo(now, Duration::from_secs(10), before - 1);
        assert_eq!(pace.limit(), before / 10);
        // Sent before that.
        pace.echo(now + LONG, Duration::from_secs(10), before - 2);
        assert_eq!(pace.limit(), before / 10);
        for round in 2..20 {
            let later = now + round * Duration::from_secs(10);
            pace.echo(later, Duration::from_secs(10), before - 2);
        }
        assert_eq!(pace.limit(), LEAST_IN_FLIGHT);
    }

    #[test]
    fn a_broker_that_sends_nothing_back_gets_less() {
        let now = Instant::now();
        let mut pace = grown(now, 8);
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
    fn a_full_broker_gets_the_next_ones_when_half_have_come_back() {
        let now = Instant::now();
        let mut pace = Pace::new();
        pace.with_broker(now, LEAST_IN_FLIGHT);
        let half = LEAST_IN_FLIGHT / 2;
        for others in (half + 1..LEAST_IN_FLIGHT).rev() {
            pace.echo(now, LONG, others);
            assert!(!pace.has_room(others));
        }
        pace.echo(now, LONG, half);
        assert!(pace.has_room(half) && pace.has_room(LEAST_IN_FLIGHT - 1));
        assert!(!pace.has_room(LEAST_IN_FLIGHT));
    }

    #[test]
    fn who_does_not_use_the_room_gets_no_more() {
        let mut pace = Pace::new();
        for _ in 0..1_000 {
            pace.with_broker(Instant::now(), LEAST_IN_FLIGHT - 1);
            pace.echo(
                Instant::now(),
                Duration::from_millis(1),
                LEAST_IN_FLIGHT / 2,
            );
        }
        assert_eq!(pace.limit(), LEAST_IN_FLIGHT);
    }

    #[test]
    fn a_number_that_was_not_reached_for_long_begins_anew() {
        let now = Instant::now();
        let mut pace = grown(now, 8);
        let before = pace.limit();
        pace.with_broker(now + PROVEN, 1);
        assert_eq!(pace.limit(), before);
        pace.with_broker(now + PROVEN + LONG, 1);
        assert_eq!(pace.limit(), LEAST_IN_FLIGHT);
    }
}

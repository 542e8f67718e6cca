//! When the subscription was last known to be alive.

use std::time::{Duration, Instant, SystemTime};

/// A moment on both clocks: one stops while the machine sleeps, the other can be set
/// back.
#[derive(Clone, Copy, Debug)]
pub struct ClockTimes {
    /// By the monotonic clock.
    pub monotonic: Instant,
    /// By the wall clock.
    pub wall: SystemTime,
}

impl ClockTimes {
    /// This moment.
    pub fn now() -> Self {
        ClockTimes {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// The time from this moment until `now`.
    pub fn ago(&self, now: ClockTimes) -> Duration {
        let by_wall = now.wall.duration_since(self.wall).unwrap_or_default();
        now.monotonic
            .saturating_duration_since(self.monotonic)
            .max(by_wall)
    }

    /// The snapshot in whole days that covers the time since.
    pub fn days_ago(&self, now: ClockTimes) -> u32 {
        let days = self.ago(now).as_secs() / 86_400 + 1;
        u32::try_from(days).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_covered_by_whole_days() {
        let now = ClockTimes::now();
        let mut alive = now;
        assert_eq!(alive.days_ago(now), 1);
        alive.wall = now.wall - Duration::from_secs(86_400 * 2 + 10);
        assert_eq!(alive.days_ago(now), 3);
        alive.wall = now.wall + Duration::from_secs(3600);
        assert_eq!(alive.days_ago(now), 1);
    }
}

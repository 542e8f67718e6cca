//! How long the subscription has not been known to work.

use std::time::{Duration, Instant, SystemTime};

/// The last moment at which the subscription was known to work, on both clocks:
/// one stands still while the machine sleeps, the other can be set back.
pub struct LastAlive {
    /// By the clock that is never set.
    pub monotonic: Instant,
    wall: SystemTime,
}

impl LastAlive {
    /// This moment.
    pub fn now() -> Self {
        LastAlive {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// How long ago it was.
    pub fn elapsed(&self) -> Duration {
        self.monotonic
            .elapsed()
            .max(self.wall.elapsed().unwrap_or_default())
    }

    /// The snapshot that covers the time since, in whole days.
    pub fn days_ago(&self) -> u32 {
        let days = self.elapsed().as_secs() / 86_400 + 1;
        u32::try_from(days).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_covered_by_whole_days() {
        let mut alive = LastAlive::now();
        assert_eq!(alive.days_ago(), 1);
        alive.wall = SystemTime::now() - Duration::from_secs(86_400 * 2 + 10);
        assert_eq!(alive.days_ago(), 3);
        alive.wall = SystemTime::now() + Duration::from_secs(3600);
        assert_eq!(alive.days_ago(), 1);
    }
}

//! Which indicators this run has seen, and through which subscription.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Which indicators this run has seen, so that neither the snapshot after an
/// outage nor two subscriptions side by side have them matched twice. An
/// indicator that the bus publishes again by itself is matched again, as ever.
pub struct Remembered {
    /// Remember for the whole run, not only while subscriptions change.
    always: bool,
    handing_over: bool,
    hasher: RandomState,
    /// Those that came last.
    seen: Seen,
    /// Those that came before them, as many as may be remembered without growing; when
    /// as many more have come they make room.
    before: Seen,
}

/// By hash of the id: hash of the content, and the subscription in which it was last
/// seen.
type Seen = HashMap<u64, (u64, u64)>;

impl Remembered {
    /// The most indicators that are remembered: some 20 MB. Beyond it the oldest are
    /// forgotten, and what comes again of them is matched again.
    const MOST: usize = 500_000;

    /// Remembers `always`, or only while subscriptions change.
    pub fn new(always: bool) -> Self {
        Remembered {
            always,
            handing_over: false,
            hasher: RandomState::new(),
            seen: Seen::new(),
            before: Seen::new(),
        }
    }

    /// A subscription is to take the place of another.
    pub fn hand_over(&mut self) {
        self.handing_over = true;
    }

    /// There is only one subscription again.
    pub fn settle(&mut self) {
        self.handing_over = false;
        if !self.always {
            (self.seen, self.before) = (Seen::new(), Seen::new());
        }
    }

    /// Was this message seen last in another subscription than this?
    pub fn is_repeated(&mut self, id: &str, content: &[u8], subscription: u64) -> bool {
        if !self.always && !self.handing_over {
            return false;
        }
        let id = self.hasher.hash_one(id);
        let now = (self.hasher.hash_one(content), subscription);
        let former = self.before.remove(&id);
        let former = self.seen.insert(id, now).or(former);
        if self.seen.len() >= Self::MOST / 2 {
            self.before = std::mem::take(&mut self.seen);
        }
        match former {
            Some((content, subscription)) => content == now.0 && subscription != now.1,
            None => false,
        }
    }

    /// The indicator is withdrawn, and a new one if it comes again.
    pub fn forget(&mut self, id: &str) {
        let id = self.hasher.hash_one(id);
        self.seen.remove(&id);
        self.before.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_after_an_outage_repeats_nothing() {
        let mut remembered = Remembered::new(true);
        assert!(!remembered.is_repeated("1", b"intel {1}", 1));
        assert!(!remembered.is_repeated("2", b"intel {2}", 1));
        // Published again by the bus itself: matched again.
        assert!(!remembered.is_repeated("1", b"intel {1}", 1));
        remembered.hand_over();
        remembered.settle();
        assert!(remembered.is_repeated("1", b"intel {1}", 2));
        assert!(!remembered.is_repeated("1", b"intel {1}", 2));
        assert!(!remembered.is_repeated("2", b"intel {changed}", 2));
        remembered.forget("1");
        assert!(!remembered.is_repeated("1", b"intel {1}", 3));
    }

    #[test]
    fn without_a_snapshot_only_a_change_of_subscription_is_watched() {
        let mut remembered = Remembered::new(false);
        assert!(!remembered.is_repeated("1", b"intel {1}", 1));
        remembered.hand_over();
        assert!(!remembered.is_repeated("1", b"intel {1}", 2));
        // In either order.
        assert!(remembered.is_repeated("1", b"intel {1}", 1));
        assert!(!remembered.is_repeated("2", b"intel {2}", 1));
        assert!(remembered.is_repeated("2", b"intel {2}", 2));
        remembered.settle();
        assert!(!remembered.is_repeated("2", b"intel {2}", 1));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut remembered = Remembered::new(true);
        let most = Remembered::MOST;
        for n in 0..2 * most {
            assert!(!remembered.is_repeated(&n.to_string(), b"intel", 1));
        }
        assert!(remembered.seen.len() + remembered.before.len() <= most);
        assert!(remembered.is_repeated(&(2 * most - 1).to_string(), b"intel", 2));
        assert!(remembered.is_repeated(&(2 * most - most / 2).to_string(), b"intel", 2));
        assert!(!remembered.is_repeated("1", b"intel", 2));
    }
}

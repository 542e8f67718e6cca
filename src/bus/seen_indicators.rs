//! Which indicators this run has received, and by which subscription.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// The indicators that this run has received, so that neither the snapshot after an outage
/// nor two simultaneous subscriptions match them twice. An indicator that the bus publishes
/// again on its own is matched again.
pub struct Remembered {
    /// Whether to remember them for the whole run, not only while subscriptions change.
    always: bool,
    handing_over: bool,
    hasher: RandomState,
    /// The newest ones.
    seen: Seen,
    /// The older ones. When the newest fill half of the limit, they replace these.
    before: Seen,
}

/// By the hash of the id: the hash of the content, and the subscription that received it
/// last.
type Seen = HashMap<u64, (u64, u64)>;

impl Remembered {
    /// The most remembered indicators: about 20 MB. Beyond that the oldest are forgotten,
    /// and matched again if they are received again.
    const MOST_REMEMBERED: usize = 500_000;

    /// `always`: for the whole run, not only while subscriptions change.
    pub fn new(always: bool) -> Self {
        Remembered {
            always,
            handing_over: false,
            hasher: RandomState::new(),
            seen: Seen::new(),
            before: Seen::new(),
        }
    }

    /// A new subscription is about to replace the current one.
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

    /// Whether this message was last received by another subscription.
    pub fn is_repeated(&mut self, id: &str, content: &[u8], subscription: u64) -> bool {
        if !self.always && !self.handing_over {
            return false;
        }
        let id = self.hasher.hash_one(id);
        let now = (self.hasher.hash_one(content), subscription);
        let former = self.before.remove(&id);
        let former = self.seen.insert(id, now).or(former);
        if self.seen.len() >= Self::MOST_REMEMBERED / 2 {
            self.before = std::mem::take(&mut self.seen);
        }
        match former {
            Some((content, subscription)) => content == now.0 && subscription != now.1,
            None => false,
        }
    }

    /// The indicator is withdrawn. If it is received again, it counts as new.
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
        // The bus itself published it again: it is matched again.
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
        // The order does not matter.
        assert!(remembered.is_repeated("1", b"intel {1}", 1));
        assert!(!remembered.is_repeated("2", b"intel {2}", 1));
        assert!(remembered.is_repeated("2", b"intel {2}", 2));
        remembered.settle();
        assert!(!remembered.is_repeated("2", b"intel {2}", 1));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut remembered = Remembered::new(true);
        let most = Remembered::MOST_REMEMBERED;
        for n in 0..2 * most {
            assert!(!remembered.is_repeated(&n.to_string(), b"intel", 1));
        }
        assert!(remembered.seen.len() + remembered.before.len() <= most);
        assert!(remembered.is_repeated(&(2 * most - 1).to_string(), b"intel", 2));
        assert!(remembered.is_repeated(&(2 * most - most / 2).to_string(), b"intel", 2));
        assert!(!remembered.is_repeated("1", b"intel", 2));
    }
}

//! Counts the indicators that wait, on one lane and on all lanes together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::fates::Fates;
use crate::indicator::Indicator;

/// The memory limit in bytes for indicators that wait on a lane. The receiver never
/// blocks, so this is the one queue that grows while the engine is away or slow.
pub const QUEUE_BYTES: usize = 256 << 20;

/// The cost in bytes of an indicator on one more lane.
const ONE_MORE: usize = 256;

/// The shared limit of the lanes of several engines. An indicator is in memory once, no
/// matter on how many lanes it waits. Each lane has its own share, so that a node that is
/// away does not cost another one its indicators.
#[derive(Debug)]
pub struct Budget {
    lanes: usize,
    /// The waiting indicators by address; unused for a single lane.
    waiting: Mutex<HashMap<usize, SharedIndicator>>,
    bytes: AtomicUsize,
}

/// An indicator, with the number of lanes on which it waits.
#[derive(Clone, Copy, Debug)]
struct SharedIndicator {
    lanes: usize,
    bytes: usize,
}

impl Budget {
    /// Makes a budget for this many lanes.
    pub fn new(lanes: usize) -> Arc<Self> {
        Arc::new(Budget {
            lanes: lanes.max(1),
            waiting: Mutex::default(),
            bytes: AtomicUsize::new(0),
        })
    }

    /// The size in bytes of what waits.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    fn add(&self, key: usize, bytes: usize) {
        let mut more = bytes;
        if self.lanes > 1 {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            match waiting.entry(key) {
                Entry::Occupied(mut held) => {
                    held.get_mut().lanes += 1;
                    more = ONE_MORE;
                }
                Entry::Vacant(vacant) => {
                    vacant.insert(SharedIndicator { lanes: 1, bytes });
                }
            }
        }
        self.bytes.fetch_add(more, Ordering::AcqRel);
    }

    fn remove(&self, key: usize, bytes: usize) {
        let mut less = bytes;
        if self.lanes > 1 {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Entry::Occupied(mut held) = waiting.entry(key) {
                held.get_mut().lanes -= 1;
                less = match held.get().lanes {
                    0 => held.remove().bytes,
                    _ => ONE_MORE,
                };
            }
        }
        self.bytes.fetch_sub(less, Ordering::AcqRel);
    }
}

/// Counts the indicators that wait on a lane or are being processed.
#[derive(Debug)]
pub struct Account {
    /// The size of the waiting ones in bytes.
    bytes: AtomicUsize,
    /// The number of waiting and processed ones.
    count: AtomicUsize,
    /// Live matching has no end that could be waited for.
    is_live: bool,
    budget: Arc<Budget>,
    fates: Arc<Fates>,
}

impl Account {
    /// Makes an empty account.
    pub fn new(fates: Arc<Fates>, is_live: bool, budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Account {
            bytes: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            is_live,
            budget: budget.clone(),
            fates,
        })
    }

    /// Adds a waiting indicator.
    pub fn place(self: &Arc<Self>, indicator: &Arc<Indicator>) -> LanePlace {
        self.count.fetch_add(1, Ordering::AcqRel);
        let came = Instant::now();
        if !self.is_live {
            self.fates.begin_waiting();
            self.fates.metrics().waiting.begin(came);
        }
        let mut place = LanePlace {
            account: self.clone(),
            waiting: None,
            came,
        };
        place.wait(indicator);
        place
    }

    /// Whether this many bytes do not fit.
    pub(super) fn is_full(&self, size: usize) -> bool {
        let share = QUEUE_BYTES / self.budget.lanes;
        self.budget.bytes() + size > QUEUE_BYTES && self.bytes() + size > share
    }

    /// The size in bytes of what waits.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// The size in bytes of what waits on all lanes of this kind.
    pub(super) fn bytes_of_all(&self) -> usize {
        self.budget.bytes()
    }

    /// What becomes of the indicators of the lane's engine.
    pub(super) fn fates(&self) -> &Fates {
        &self.fates
    }

    /// Whether the lane is for live matching.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// Whether anything waits or is being processed.
    pub(super) fn is_busy(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }
}

/// The place of one indicator in an [`Account`], freed when dropped.
#[derive(Debug)]
pub struct LanePlace {
    account: Arc<Account>,
    /// While it waits: the indicator, and its size in bytes.
    waiting: Option<(Arc<Indicator>, usize)>,
    came: Instant,
}

impl LanePlace {
    /// The time since the indicator was added.
    pub fn age(&self) -> Duration {
        self.came.elapsed()
    }

    /// Changes from waiting to being processed.
    pub fn begin(&mut self) {
        if let Some((indicator, bytes)) = self.waiting.take() {
            self.account.bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.account.budget.remove(key(&indicator), bytes);
        }
    }

    /// Changes back to waiting.
    pub fn wait(&mut self, indicator: &Arc<Indicator>) {
        self.begin();
        let bytes = indicator.size();
        self.account.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.account.budget.add(key(indicator), bytes);
        self.waiting = Some((indicator.clone(), bytes));
    }
}

impl Drop for LanePlace {
    fn drop(&mut self) {
        self.begin();
        self.account.count.fetch_sub(1, Ordering::AcqRel);
        if !self.account.is_live {
            self.account.fates.end_waiting();
            self.account.fates.metrics().waiting.end(self.came);
        }
    }
}

/// A key that identifies an indicator while it is held.
fn key(indicator: &Arc<Indicator>) -> usize {
    Arc::as_ptr(indicator).addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::Protocol;

    fn indicator(id: &str, length: usize) -> Arc<Indicator> {
        Arc::new(Indicator {
            ioc: vec!["a".repeat(length)],
            ..Indicator::new(id.into(), Protocol::Legacy, Vec::new())
        })
    }

    fn accounts(count: usize) -> (Arc<Budget>, Vec<Arc<Account>>) {
        let budget = Budget::new(count);
        let account = |_| Account::new(Arc::default(), false, &budget);
        let accounts = (0..count).map(account).collect();
        (budget, accounts)
    }

    #[test]
    fn what_waits_on_several_lanes_is_in_memory_once() {
        let (budget, accounts) = accounts(3);
        let one = indicator("1", 1000);
        let mut places: Vec<LanePlace> =
            accounts.iter().map(|account| account.place(&one)).collect();
        let size = one.size();
        assert_eq!(budget.bytes(), size + 2 * ONE_MORE);
        assert!(accounts.iter().all(|account| account.bytes() == size));
        places[0].begin();
        drop(places.pop());
        assert_eq!(budget.bytes(), size);
        places[0].wait(&one);
        assert_eq!(budget.bytes(), size + ONE_MORE);
        drop(places);
        assert_eq!(budget.bytes(), 0);
        assert!(
            accounts
                .iter()
                .all(|account| account.bytes() == 0 && !account.is_busy())
        );
    }

    #[test]
    fn a_lane_that_fills_all_leaves_the_others_their_share() {
        let (_, accounts) = accounts(2);
        let large: Vec<_> = (0..5).map(|_| indicator("1", QUEUE_BYTES / 10)).collect();
        let held: Vec<_> = large.iter().map(|one| accounts[0].place(one)).collect();
        let size = large[0].size();
        assert!(accounts[0].is_full(size) && !accounts[1].is_full(size));
        let more: Vec<_> = (0..2)
            .map(|_| accounts[1].place(&indicator("2", QUEUE_BYTES / 10)))
            .collect();
        assert!(accounts[1].is_full(size));
        drop(held);
        assert!(!accounts[0].is_full(size) && !accounts[1].is_full(size));
        drop(more);
    }
}

//! What became of the indicators of an engine, or of the log files: what a run came to is
//! decided from these numbers. The metrics count the same, and only show it.

use std::iter::Sum;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::observe::metrics::Metrics;

/// What becomes of an indicator that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its query, or its pass over log files, is finished.
    Queried,
    /// It was known already.
    Repeated,
    /// It is expired, revoked or not yet valid.
    Inactive,
    /// Its query was ended by its time limit.
    TimedOut,
    /// The engine refused its query, or failed at it.
    Failed,
    /// It found no room, or still waited at the end.
    Dropped,
}

/// How many indicators had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FateCounts {
    /// See [`Fate::Queried`].
    pub queried: u64,
    /// See [`Fate::Repeated`].
    pub repeated: u64,
    /// See [`Fate::Inactive`].
    pub inactive: u64,
    /// See [`Fate::TimedOut`].
    pub timed_out: u64,
    /// See [`Fate::Failed`].
    pub failed: u64,
    /// See [`Fate::Dropped`].
    pub dropped: u64,
    /// Those that wait for a query or are in a running one.
    pub waiting: u64,
}

impl FateCounts {
    /// The number of indicators that were not searched completely.
    pub fn left(&self) -> u64 {
        // What the workers returned at the end waits.
        self.dropped.max(self.waiting)
    }

    fn of(&mut self, fate: Fate) -> &mut u64 {
        match fate {
            Fate::Queried => &mut self.queried,
            Fate::Repeated => &mut self.repeated,
            Fate::Inactive => &mut self.inactive,
            Fate::TimedOut => &mut self.timed_out,
            Fate::Failed => &mut self.failed,
            Fate::Dropped => &mut self.dropped,
        }
    }
}

impl Sum for FateCounts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(FateCounts::default(), |sum, one| FateCounts {
            queried: sum.queried + one.queried,
            repeated: sum.repeated + one.repeated,
            inactive: sum.inactive + one.inactive,
            timed_out: sum.timed_out + one.timed_out,
            failed: sum.failed + one.failed,
            dropped: sum.dropped + one.dropped,
            waiting: sum.waiting + one.waiting,
        })
    }
}

/// The fates of the indicators of one engine, shared by its threads.
#[derive(Debug, Default)]
pub struct Fates {
    counts: Mutex<FateCounts>,
    metrics: Arc<Metrics>,
}

impl Fates {
    /// No indicator yet; these metrics show what comes.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Fates {
            counts: Mutex::default(),
            metrics,
        })
    }

    /// The metrics of this engine.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// How many there are of each by now.
    pub fn counts(&self) -> FateCounts {
        *self.lock()
    }

    /// This is what becomes of so many indicators.
    pub fn settle(&self, fate: Fate, count: u64) {
        *self.lock().of(fate) += count;
        let metrics = &self.metrics;
        let shown = match fate {
            Fate::Queried => &metrics.indicators_queried,
            Fate::Repeated => &metrics.indicators_repeated,
            Fate::Inactive => &metrics.indicators_inactive,
            Fate::TimedOut => &metrics.indicators_timed_out,
            Fate::Failed => &metrics.indicators_failed,
            Fate::Dropped => &metrics.indicators_dropped,
        };
        shown.add(count);
    }

    /// One more waits.
    pub(super) fn begin_waiting(&self) {
        self.lock().waiting += 1;
        self.metrics.backlog.add(1);
    }

    /// One of those that wait is done with.
    pub(super) fn end_waiting(&self) {
        self.lock().waiting -= 1;
        self.metrics.backlog.remove(1);
    }

    fn lock(&self) -> MutexGuard<'_, FateCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fate_counts_by_itself_and_the_metrics_show_it() {
        let metrics = Arc::new(Metrics::default());
        let fates = Fates::new(metrics.clone());
        let all = [
            Fate::Queried,
            Fate::Repeated,
            Fate::Inactive,
            Fate::TimedOut,
            Fate::Failed,
            Fate::Dropped,
        ];
        for (count, fate) in (1..).zip(all) {
            fates.settle(fate, count);
        }
        fates.begin_waiting();
        fates.begin_waiting();
        fates.end_waiting();
        let counts = FateCounts {
            queried: 1,
            repeated: 2,
            inactive: 3,
            timed_out: 4,
            failed: 5,
            dropped: 6,
            waiting: 1,
        };
        assert_eq!(fates.counts(), counts);
        assert_eq!(counts.left(), 6);
        assert_eq!(
            metrics.to_string(),
            "indicators_inactive=3 indicators_repeated=2 indicators_dropped=6 \
             indicators_queried=1 indicators_timed_out=4 indicators_failed=5"
        );
        assert_eq!(metrics.backlog.get(), 1);
        let both: FateCounts = [counts, counts].into_iter().sum();
        assert_eq!((both.queried, both.waiting), (2, 2));
    }
}

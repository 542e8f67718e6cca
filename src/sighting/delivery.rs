//! What became of the sightings of a run: what it came to is decided from these numbers.
//! The metrics count the same, and only show it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::observe::metrics::Metrics;

/// Why a sighting did not reach the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// A sink command failed at it, or it cannot be written.
    Failed,
    /// It was not delivered when the program ended.
    Lost,
    /// Its context was not transformed.
    Withheld,
}

/// How many sightings there were, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Matches.
    pub found: u64,
    /// See [`Undelivered::Failed`].
    pub failed: u64,
    /// See [`Undelivered::Lost`].
    pub lost: u64,
    /// See [`Undelivered::Withheld`].
    pub withheld: u64,
    /// The bytes of sightings that wait in the spool.
    pub spooled_bytes: u64,
}

/// The same while the run lasts, shared by those who report and the writer.
#[derive(Debug, Default)]
pub struct Delivery {
    found: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    withheld: AtomicU64,
    spooled_bytes: AtomicU64,
}

impl Delivery {
    /// What became of them by now.
    pub fn counts(&self) -> DeliveryCounts {
        let of = |number: &AtomicU64| number.load(Ordering::Acquire);
        DeliveryCounts {
            found: of(&self.found),
            failed: of(&self.failed),
            lost: of(&self.lost),
            withheld: of(&self.withheld),
            spooled_bytes: of(&self.spooled_bytes),
        }
    }

    /// There is a match.
    pub(super) fn found(&self, metrics: &Metrics) {
        self.found.fetch_add(1, Ordering::AcqRel);
        metrics.sightings_found.add(1);
    }

    /// So many do not reach the sink.
    pub fn miss(&self, why: Undelivered, count: u64, metrics: &Metrics) {
        let (number, shown) = match why {
            Undelivered::Failed => (&self.failed, &metrics.sightings_failed),
            Undelivered::Lost => (&self.lost, &metrics.sightings_lost),
            Undelivered::Withheld => (&self.withheld, &metrics.sightings_withheld),
        };
        number.fetch_add(count, Ordering::AcqRel);
        shown.add(count);
    }

    /// So much waits in the spool now.
    pub fn spool(&self, bytes: u64, metrics: &Metrics) {
        self.spooled_bytes.store(bytes, Ordering::Release);
        metrics.spooled_bytes.set(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_counts_by_itself_and_the_metrics_show_it() {
        let (delivery, metrics) = (Delivery::default(), Metrics::default());
        delivery.found(&metrics);
        delivery.miss(Undelivered::Failed, 2, &metrics);
        delivery.miss(Undelivered::Lost, 3, &metrics);
        delivery.miss(Undelivered::Withheld, 4, &metrics);
        delivery.spool(6, &metrics);
        delivery.spool(5, &metrics);
        let counts = DeliveryCounts {
            found: 1,
            failed: 2,
            lost: 3,
            withheld: 4,
            spooled_bytes: 5,
        };
        assert_eq!(delivery.counts(), counts);
        assert_eq!(
            metrics.to_string(),
            "sightings_found=1 sightings_withheld=4 sightings_failed=2 sightings_lost=3"
        );
        assert_eq!(metrics.spooled_bytes.get(), 5);
    }
}

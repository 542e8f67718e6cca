//! What a run came to, where the bus has a part in it. Its session and its writer tell
//! that by what they count and nothing else: this is the one place where a number of the
//! metrics becomes a value that is decided from.

use std::sync::Arc;

use super::end::Received;
use crate::intake::FateCounts;
use crate::observe::metrics::Metrics;
use crate::sighting::delivery::{Delivery, DeliveryCounts};

impl Received {
    /// What came from the bus, whose session has ended; that was the fate of what was
    /// taken in.
    pub fn from_bus(metrics: &Metrics, fates: &FateCounts) -> Self {
        Received {
            new: metrics.indicators_received.get(),
            // Those that a lane knew already are among them.
            repeated: metrics
                .indicators_repeated
                .get()
                .saturating_sub(fates.repeated),
            withdrawn: metrics.indicators_withdrawn.get(),
            files_failed: 0,
            is_unread: false,
        }
    }
}

/// What becomes of the sightings, on their way to any sink.
pub struct Delivered {
    delivery: Arc<Delivery>,
    /// Where the writer of the bus counts.
    bus: Option<Arc<Metrics>>,
}

impl Delivered {
    /// Takes the numbers of the bus from these metrics, if sightings go there.
    pub fn new(delivery: Arc<Delivery>, bus: Option<Arc<Metrics>>) -> Self {
        Delivered { delivery, bus }
    }

    /// What became of them by now.
    pub fn counts(&self) -> DeliveryCounts {
        let counts = self.delivery.counts();
        let Some(metrics) = &self.bus else {
            return counts;
        };
        DeliveryCounts {
            failed: metrics.sightings_failed.get(),
            lost: metrics.sightings_lost.get(),
            spooled_bytes: metrics.spooled_bytes.get(),
            ..counts
        }
    }
}

//! Partial instances as several threads share them, with what is told of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{error, warn};

use super::partial::{Bounds, Instance, Partial};
use super::{Observed, now, untimed};
use crate::indicator::Indicator;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;

/// What waits for others of its pattern.
#[derive(Debug)]
pub struct Waiting {
    partial: Mutex<Partial>,
    metrics: Arc<Metrics>,
}

impl Waiting {
    /// Nothing waits yet.
    pub fn new(bounds: Bounds, metrics: Arc<Metrics>) -> Self {
        Waiting {
            partial: Mutex::new(Partial::new(bounds)),
            metrics,
        }
    }

    /// Whether the events of a gap are to come: until they have, nothing is too old.
    pub fn hold(&self, is_held: bool) {
        self.partial().hold(is_held);
    }

    /// Takes an event that these parts of an indicator match; gives the instances that
    /// are whole with it.
    pub fn meet(
        &self,
        indicator: &Indicator,
        parts: &[u16],
        event: &str,
        source: &Arc<str>,
    ) -> Vec<Instance> {
        let Some(sequence) = &indicator.sequence else {
            return Vec::new();
        };
        let Some(observed) = Observed::new(event, source) else {
            untimed(indicator, &self.metrics);
            return Vec::new();
        };
        let mut partial = self.partial();
        let met = partial.meet(&indicator.id, sequence, parts, observed, now());
        self.metrics.partial_instances.set(partial.len() as u64);
        drop(partial);
        if met.is_too_much {
            error!(
                "indicator {}: there are too many ways to join an event with those before it, and \
                 it is taken for none that ends what the pattern asks for",
                printable(&indicator.id, 200)
            );
        }
        if met.dropped > 0 {
            self.metrics.partial_instances_dropped.add(met.dropped);
            warn!(
                "more events wait for others of their patterns than there is room for (10,000, or \
                 64 MiB): the oldest are dropped, and what they would have been part of is not found"
            );
        }
        met.instances
    }

    fn partial(&self) -> MutexGuard<'_, Partial> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

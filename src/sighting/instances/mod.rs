//! Indicators of several events: stores the events that match parts of each, until they
//! make an instance.
//!
//! A run that ends stores all of them and searches at the end ([`Collected`]), since its
//! events are not in order. A run without an end processes each event as it arrives
//! ([`Waiting`]), and stores it as long as the others may follow.

mod collected;
mod partial;
mod waiting;

use std::cmp::Ordering;
use std::sync::Arc;

pub use collected::{ArrivalOrder, Collected, Incomplete, Room};
pub use partial::{EventOutcome, Instance, InstanceBounds, Partial};
pub use waiting::Waiting;

use log::warn;
use time::OffsetDateTime;

use crate::indicator::Indicator;
use crate::matching::sequence::Time;
use crate::observable::EventTime;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::protocol::Context;

/// An event that a part of an indicator matches.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The event as it was printed.
    pub event: Arc<str>,
    /// The log or the engine that it came from.
    pub source: Arc<str>,
    /// When it happened.
    pub time: EventTime,
    /// When it arrived, in nanoseconds since 1970.
    pub arrived: Time,
}

/// The current time, in nanoseconds since 1970.
pub fn now() -> Time {
    OffsetDateTime::now_utc().unix_timestamp_nanos()
}

impl Observed {
    /// An event that arrives now; `None` if it has no time.
    pub fn new(event: &str, source: &Arc<str>) -> Option<Self> {
        let time = Context::already_checked(event).time()?;
        Some(Observed {
            event: event.into(),
            source: source.clone(),
            time,
            arrived: now(),
        })
    }

    /// When it happened, in nanoseconds since 1970.
    pub fn nanoseconds(&self) -> Time {
        self.time.utc().unix_timestamp_nanos()
    }

    /// Its approximate memory in bytes, including the entries that refer to it.
    pub fn size(&self) -> usize {
        // The entries in the order and in the lists of two parts, and the header of the
        // text.
        const BESIDE: usize = 160;
        BESIDE + self.event.len()
    }
}

/// Logs that an event cannot be joined with others.
pub fn untimed(indicator: &Indicator, metrics: &Metrics) {
    metrics.events_without_time.add(1);
    warn!(
        "indicator {}: an event that a part of its pattern matches has no time that can be read in \
         `ts`, `timestamp` or `@timestamp`, and cannot be joined with others",
        printable(&indicator.id, 200)
    );
}

/// Events of the same time are ordered by their texts, so that every run has the same
/// order.
impl Ord for Observed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.event.cmp(&other.event)
    }
}

impl PartialOrd for Observed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Observed {
    fn eq(&self, other: &Self) -> bool {
        self.event == other.event
    }
}

impl Eq for Observed {}

#[cfg(test)]
mod tests;

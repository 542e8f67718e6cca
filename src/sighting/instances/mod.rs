//! Indicators that mean several events: what was met of each, until it makes an instance.
//!
//! A run that ends keeps all that it meets of an indicator and looks at the end
//! ([`Collected`]): events come in no order there. Where there is no end, each event is looked
//! at as it comes ([`Waiting`]), and waits for others as long as they may come.

mod collected;
mod partial;
mod waiting;

use std::cmp::Ordering;
use std::sync::Arc;

pub use collected::{Collected, Incomplete, Order, Room};
pub use partial::{Bounds, Instance, Met, Partial};
pub use waiting::Waiting;

use log::warn;
use time::OffsetDateTime;

use crate::indicator::Indicator;
use crate::matching::event::Event;
use crate::matching::sequence::Time;
use crate::observable::EventTime;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::protocol::Context;

/// An event that a part of an indicator matches.
#[derive(Clone, Debug)]
pub struct Observed {
    /// As it was printed.
    pub event: Arc<str>,
    /// The log or the engine that it is from.
    pub source: Arc<str>,
    /// When it happened.
    pub time: EventTime,
    /// When it came, in nanoseconds since 1970.
    pub arrived: Time,
}

/// The present moment, in nanoseconds since 1970.
pub fn now() -> Time {
    OffsetDateTime::now_utc().unix_timestamp_nanos()
}

impl Observed {
    /// An event that comes now, with its own time; `None` where it tells none.
    pub fn new(event: &str, source: &Arc<str>) -> Option<Self> {
        let own = Context::already_checked(event).time();
        let time = own.or_else(|| Event::read(event)?.time().copied())?;
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

    /// About how much memory it takes, in bytes, with its place among others.
    pub fn size(&self) -> usize {
        // Its place in the order, in the lists of two parts, and the text's head.
        const BESIDE: usize = 160;
        BESIDE + self.event.len()
    }
}

/// Says that an event cannot be joined with others.
pub fn untimed(indicator: &Indicator, metrics: &Metrics) {
    metrics.events_without_time.add(1);
    warn!(
        "indicator {}: an event that a part of its pattern matches has no time that can be read in \
         `ts`, `timestamp` or `@timestamp`, and cannot be joined with others",
        printable(&indicator.id, 200)
    );
}

/// Events that happened at the same time are in the order of their texts, so that it is the
/// same in every run.
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

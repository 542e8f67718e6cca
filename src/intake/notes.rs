//! Logs and counts what happens to indicators.

use std::sync::Arc;

use log::{debug, error, info, warn};

use super::fates::{Fate, Fates};
use super::life::{NoRoom, Output};
use crate::indicator::{Indicator, ValidityState};
use crate::matching::condition::MOST_UNLISTED;
use crate::observe::metrics::Metrics;
use crate::process::text::printable;

/// The matcher of indicators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Queries over stored events.
    Stored,
    /// New events of an engine. If there are other matchers for the same indicators,
    /// these report what is not searched.
    Live {
        /// There is no other matcher.
        is_alone: bool,
    },
    /// Log files, in one pass for each set of indicators.
    Files,
    /// Log files as they grow.
    Following,
}

impl Way {
    fn is_live(self) -> bool {
        matches!(self, Way::Live { .. })
    }

    /// Whether an indicator remains until it ends.
    fn stays(self) -> bool {
        matches!(self, Way::Live { .. } | Way::Following)
    }

    /// The verb for what is done with an indicator.
    fn verb(self) -> &'static str {
        match self {
            Way::Stored => "queried",
            Way::Live { .. } => "matched",
            Way::Files | Way::Following => "searched",
        }
    }
}

/// Logs and counts results.
pub fn note(outputs: Vec<Output>, way: Way, fates: &Fates) {
    for output in outputs {
        note_one(output, way, fates);
    }
}

fn note_one(output: Output, way: Way, fates: &Fates) {
    let shown = |id: &str| printable(id, 200).to_string();
    match output {
        Output::Searched(id) if way.is_live() => {
            debug!("indicator {} is matched live", shown(&id));
        }
        Output::Searched(id) if way == Way::Following => {
            debug!("indicator {} is searched from now on", shown(&id));
        }
        Output::Searched(_) | Output::Refused(_) => {}
        Output::Repeated(id) if way.is_live() => {
            debug!("indicator {} is live already", shown(&id));
        }
        Output::Repeated(_) => fates.settle(Fate::Repeated, 1),
        Output::NotYetValid(id) if way == (Way::Live { is_alone: false }) => {
            debug!("indicator {} is matched live when it is valid", shown(&id));
        }
        Output::NotYetValid(id) => info!(
            "indicator {} is not yet valid: it is searched once it is, while the program runs",
            shown(&id)
        ),
        Output::Inactive(id, state) => {
            if way != (Way::Live { is_alone: false }) {
                note_inactive(&id, state, fates);
            }
        }
        Output::Withdrawn(id) => debug!(
            "indicator {} is withdrawn and no longer {}",
            shown(&id),
            way.verb()
        ),
        Output::Expired(id) => {
            if way.stays() {
                fates.metrics().indicators_expired.add(1);
            } else {
                fates.settle(Fate::Inactive, 1);
            }
            debug!(
                "indicator {} has expired and is no longer {}",
                shown(&id),
                way.verb()
            );
        }
        Output::Dropped(id, why) => {
            fates.settle(Fate::Dropped, 1);
            let engine = fates.metrics().engine_name();
            let (id, reason) = (shown(&id), because(why));
            error!(
                indicator = id.as_str(), engine = engine, reason = reason.as_str();
                "indicator {id} is dropped: {reason}"
            );
        }
    }
}

fn because(why: NoRoom) -> String {
    match why {
        NoRoom::Memory => "those that are searched fill the memory that they may use".to_owned(),
        NoRoom::Checks => format!(
            "nothing in it is a value to look up, and {MOST_UNLISTED} such indicators, the most \
             there can be, are checked in every event already"
        ),
        NoRoom::NotYetValid => {
            "it is not yet valid, and those that wait for their time fill the room that they may \
             use"
            .to_owned()
        }
    }
}

fn note_inactive(id: &Arc<str>, state: ValidityState, fates: &Fates) {
    fates.settle(Fate::Inactive, 1);
    let id = printable(id, 200);
    info!(
        indicator:% = id, reason:% = state;
        "indicator {id} is {state}: it is not searched"
    );
}

/// Counts the indicators that were not valid yet when the run ended.
pub fn note_left(count: usize, way: Way, fates: &Fates) {
    if way != (Way::Live { is_alone: false }) {
        fates.settle(Fate::Inactive, count as u64);
    }
}

/// Counts and logs an indicator that the engine does not support.
pub fn note_unsupported(indicator: &Indicator, reason: &str, metrics: &Metrics) {
    metrics.indicators_unsupported.add(1);
    metrics.unsupported.count(reason);
    let id = printable(&indicator.id, 200);
    warn!(
        indicator:% = id,
        kind = indicator.kind(),
        engine = metrics.engine_name(),
        reason = reason;
        "indicator {id} is unsupported: {reason}"
    );
}

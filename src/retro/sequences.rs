//! Indicators of several events: each part is queried like a separate indicator, and the
//! events of all parts are joined when all are answered.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use log::{debug, error};

use super::queue::RetroRequest;
use crate::indicator::Sequence;
use crate::intake::{Fate, Fates};
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::protocol::MatchType;
use crate::sighting::instances::{ArrivalOrder, Collected, Incomplete, Observed, Room, untimed};
use crate::sighting::report::Reporter;

/// The state shared by the parts of one indicator.
#[derive(Debug)]
pub struct SequenceState {
    collected: Collected,
    has_failed: AtomicBool,
}

/// Marks a request as a part.
#[derive(Clone, Debug)]
pub struct QueriedPart {
    number: u16,
    of: Arc<SequenceState>,
}

/// An indicator whose parts are queried.
#[derive(Debug)]
pub(super) struct QueriedSequence {
    pub(super) request: RetroRequest,
    state: Arc<SequenceState>,
    started: Instant,
}

impl QueriedPart {
    /// Adds an event that matches the part.
    pub(super) fn add(
        &self,
        request: &RetroRequest,
        event: &str,
        source: &Arc<str>,
        metrics: &Metrics,
    ) {
        let Some(observed) = Observed::new(event, source) else {
            return untimed(&request.indicator, metrics);
        };
        // Nothing is reported before the end.
        let parts = [self.number];
        self.of.collected.add(observed, &parts, &mut |_| ());
    }

    /// Gives up the indicator, since not all events of the part are known.
    pub(super) fn fail(&self, why: Incomplete) {
        self.of.collected.give_up(why);
    }

    /// Records that the part failed; returns whether it is the first of its indicator that
    /// did.
    pub(super) fn is_first_failure(&self) -> bool {
        !self.of.has_failed.swap(true, Ordering::Relaxed)
    }
}

/// Replaces indicators of several events by their parts.
pub(super) fn expand(
    requests: Vec<RetroRequest>,
    room: &Room,
) -> (Vec<QueriedSequence>, Vec<RetroRequest>) {
    let (mut wholes, mut expanded) = (Vec::new(), Vec::with_capacity(requests.len()));
    for request in requests {
        let Some(sequence) = request.indicator.sequence.clone() else {
            expanded.push(request);
            continue;
        };
        let state = Arc::new(SequenceState {
            collected: Collected::new(sequence.clone(), room.clone(), ArrivalOrder::Any),
            has_failed: AtomicBool::new(false),
        });
        expanded.extend(parts(&sequence, &state));
        wholes.push(QueriedSequence {
            request,
            state,
            started: Instant::now(),
        });
    }
    (wholes, expanded)
}

fn parts<'a>(
    sequence: &'a Sequence,
    state: &'a Arc<SequenceState>,
) -> impl Iterator<Item = RetroRequest> + 'a {
    (0..).zip(&sequence.parts).map(|(number, part)| {
        let mut request = RetroRequest::new(part.clone());
        request.part = Some(QueriedPart {
            number,
            of: state.clone(),
        });
        request
    })
}

impl QueriedSequence {
    /// Reports the instances, once all parts are answered.
    pub(super) fn finish(
        mut self,
        reporter: &mut Reporter,
        fates: &Fates,
        most: Option<NonZeroU64>,
    ) {
        let id = printable(&self.request.indicator.id, 200);
        if !self.state.has_failed.load(Ordering::Relaxed) {
            let mut count = 0;
            let finished = self.state.collected.finish(&mut |instance| {
                if most.is_none_or(|most| count < most.get()) {
                    count += 1;
                    reporter.report_instance(&self.request.indicator, instance, MatchType::Retro);
                }
            });
            match finished {
                Ok(()) => fates.settle(Fate::Queried, 1),
                Err(why) => {
                    fates.settle(Fate::Failed, 1);
                    error!("indicator {id} is not matched completely: {why}");
                }
            }
            let metrics = fates.metrics();
            metrics.indicators_matched.add(u64::from(count > 0));
            metrics.matches_per_indicator.record(count as f64);
            let seconds = self.started.elapsed().as_secs_f64();
            metrics.query_time_per_indicator.record(seconds);
            debug!("indicator {id}: {count} sighting(s)");
        }
        reporter.finish(self.request.ticket.take());
    }
}

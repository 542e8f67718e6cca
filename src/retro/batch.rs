//! The state of a batch between two queries: the progress of each indicator, and the
//! queries that are still to be run.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;

use super::event_multiset::{EventMultiset, Memory};
use super::queue::RetroRequest;
use super::sequences::QueriedPart;
use crate::indicator::Indicator;
use crate::intake::{Fate, Fates};
use crate::matching::condition::LazyEvent;
use crate::observable::Observable;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::protocol::{Context, MatchType};
use crate::sighting::instances::Incomplete;
use crate::sighting::report::Reporter;
use crate::state::journal::Ticket;

/// One indicator and its progress.
pub(super) struct BatchEntry {
    pub(super) request: RetroRequest,
    pub(super) open: bool,
    started: Instant,
}

impl BatchEntry {
    fn new(request: RetroRequest) -> Self {
        BatchEntry {
            request,
            open: true,
            started: Instant::now(),
        }
    }

    /// The indicator's id, for the log.
    pub(super) fn id(&self) -> impl std::fmt::Display + '_ {
        printable(&self.request.indicator.id, 200)
    }

    /// The number of its sightings.
    pub(super) fn count(&self) -> u64 {
        self.request.count
    }

    /// Reports an event, unless an earlier query did.
    fn report(
        &mut self,
        event: u64,
        context: &Context<'_>,
        out: &mut BatchOutput<'_>,
        max_events: Option<NonZeroU64>,
    ) {
        if !self.open || self.request.reported.meet(event) {
            return;
        }
        if let Some(part) = &self.request.part {
            let source = out.reporter.source();
            part.add(&self.request, context.as_str(), &source, out.metrics);
            if !self.request.reported.add(event, &out.memory.reported) {
                // It may be printed again, and would count as another event.
                part.fail(Incomplete::Memory);
            }
            return;
        }
        let indicator = &self.request.indicator;
        out.reporter.report(indicator, context, MatchType::Retro);
        self.request.count += 1;
        if self.request.count == 1 {
            out.metrics.indicators_matched.add(1);
        }
        if !self.request.reported.add(event, &out.memory.reported) {
            self.request.forgotten += 1;
        }
        // The limit of sightings may be reached.
        if max_events.is_some_and(|most| self.request.count >= most.get()) {
            self.close(Fate::Queried, out.fates);
        }
    }

    /// Whether to count a failure of this entry: of the parts of one indicator, only the
    /// first failure counts.
    pub(super) fn counts_failure(&self) -> bool {
        let part = self.request.part.as_ref();
        part.is_none_or(QueriedPart::is_first_failure)
    }

    /// Marks the indicator as answered.
    fn close(&mut self, fate: Fate, fates: &Fates) {
        if self.request.part.is_some() {
            self.open = false;
            self.request.reported = EventMultiset::default();
        }
        if std::mem::replace(&mut self.open, false) {
            fates.settle(fate, 1);
            let metrics = fates.metrics();
            metrics.matches_per_indicator.record(self.count() as f64);
            let seconds = self.started.elapsed().as_secs_f64();
            metrics.query_time_per_indicator.record(seconds);
            if let Some(place) = &self.request.place {
                metrics.answer_time.record(place.age().as_secs_f64());
            }
            debug!(
                indicator:% = self.id(),
                kind = self.request.indicator.kind(),
                engine = metrics.engine_name();
                "indicator {}: {} sighting(s)", self.id(), self.count()
            );
            self.request.reported = EventMultiset::default();
        }
    }
}

/// Where results are sent.
pub(super) struct BatchOutput<'a> {
    pub(super) reporter: &'a mut Reporter,
    pub(super) metrics: &'a Metrics,
    pub(super) fates: &'a Fates,
    pub(super) memory: &'a Memory,
}

/// One query to the engine, for all indicators with the same values.
pub(super) struct BatchQuery {
    indicator: Arc<Indicator>,
    pub(super) entries: Vec<BatchEntry>,
    /// Events of the last query that may or may not match it.
    pub(super) ambiguous: EventMultiset,
    /// There were more ambiguous events than can be stored: it has to be queried alone,
    /// for everything.
    pub(super) alone: bool,
    /// The number of unanswered queries into which its observables were divided because
    /// the engine rejects them together.
    pub(super) parts: usize,
    /// The number of its observables that the engine rejects.
    pub(super) refused: usize,
}

impl BatchQuery {
    fn new(first: RetroRequest) -> Self {
        BatchQuery {
            indicator: first.indicator.clone(),
            entries: vec![BatchEntry::new(first)],
            ambiguous: EventMultiset::default(),
            alone: false,
            parts: 1,
            refused: 0,
        }
    }

    /// The observables to query.
    pub(super) fn observables(&self) -> &[Observable] {
        &self.indicator.observables
    }

    /// Whether an event that the engine returned for it is a match.
    pub(super) fn holds(&self, event: &LazyEvent<'_>) -> bool {
        self.indicator.condition_holds(event)
    }

    /// The indicator that represents all of them.
    pub(super) fn indicator(&self) -> &Arc<Indicator> {
        &self.indicator
    }

    /// Whether any of its indicators is a part of another.
    pub(super) fn has_parts(&self) -> bool {
        self.entries.iter().any(|one| one.request.part.is_some())
    }

    /// Whether any of its indicators is still unanswered.
    pub(super) fn is_open(&self) -> bool {
        self.entries.iter().any(|entry| entry.open)
    }

    /// Starts a query that may print reported events again.
    pub(super) fn begin(&mut self, purpose: Purpose) {
        for entry in &mut self.entries {
            entry.request.reported.begin();
        }
        match purpose {
            Purpose::AllEvents => {
                self.ambiguous = EventMultiset::default();
                self.alone = false;
            }
            Purpose::Doubts => self.ambiguous.begin(),
        }
    }

    /// Reports an event that matched.
    pub(super) fn report(
        &mut self,
        event: u64,
        context: &Context<'_>,
        out: &mut BatchOutput<'_>,
        max_events: Option<NonZeroU64>,
    ) {
        for entry in &mut self.entries {
            entry.report(event, context, out, max_events);
        }
    }

    /// Marks the query as answered, or the part that was queried.
    pub(super) fn close(&mut self, fates: &Fates) {
        self.parts = self.parts.saturating_sub(1);
        if self.parts == 0 {
            // A selection has no observables to reject.
            let refused = self.refused > 0 && self.refused == self.observables().len();
            for entry in &mut self.entries {
                if refused && entry.request.part.is_some() && entry.counts_failure() {
                    fates.settle(Fate::Failed, 1);
                }
                let fate = if refused { Fate::Failed } else { Fate::Queried };
                entry.close(fate, fates);
            }
        }
    }
}

/// A query that is still to be run.
pub(super) struct PlannedQuery {
    pub(super) queries: Vec<usize>,
    /// The range of observables, if it is a part of one query.
    pub(super) part: Option<Range<usize>>,
    pub(super) time: Option<Duration>,
    pub(super) purpose: Purpose,
    pub(super) failures: u32,
}

impl PlannedQuery {
    /// Queries everything that matches.
    pub(super) fn all_events(queries: Vec<usize>, time: Option<Duration>) -> Self {
        PlannedQuery {
            queries,
            part: None,
            time,
            purpose: Purpose::AllEvents,
            failures: 0,
        }
    }

    /// Queries the ambiguous events.
    pub(super) fn ambiguous(queries: Vec<usize>, time: Option<Duration>) -> Self {
        PlannedQuery {
            purpose: Purpose::Doubts,
            ..PlannedQuery::all_events(queries, time)
        }
    }

    /// Whether every event of the result matches the same query.
    pub(super) fn is_single(&self) -> bool {
        self.queries.len() == 1
    }
}

/// The purpose of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// All events.
    AllEvents,
    /// Only the ambiguous events.
    Doubts,
}

/// The state of the batch between queries.
pub(super) struct Batch {
    pub(super) queries: Vec<BatchQuery>,
    /// The last one is the next.
    pub(super) groups: Vec<PlannedQuery>,
}

impl Batch {
    /// A batch that was not queried yet.
    pub(super) fn new(requests: Vec<RetroRequest>, time: Option<Duration>) -> Self {
        let numbers = number(&requests);
        let mut queries: Vec<BatchQuery> = Vec::with_capacity(requests.len());
        for (request, number) in requests.into_iter().zip(numbers) {
            match queries.get_mut(number) {
                Some(query) => query.entries.push(BatchEntry::new(request)),
                None => queries.push(BatchQuery::new(request)),
            }
        }
        // A selection is queried alone.
        let is_alone = |number: &usize| {
            let indicator: &Indicator = queries[*number].indicator();
            indicator.selection.is_some()
        };
        let (alone, listed): (Vec<usize>, Vec<usize>) = (0..queries.len()).partition(is_alone);
        let alone = alone.into_iter().map(|number| vec![number]);
        let groups = alone.chain([listed]).filter(|group| !group.is_empty());
        let groups = groups
            .map(|group| PlannedQuery::all_events(group, time))
            .collect();
        Batch { queries, groups }
    }

    /// Plans the open queries of a group again for all events, in two halves.
    pub(super) fn split(&mut self, group: &PlannedQuery, time: Option<Duration>, failures: u32) {
        let open: Vec<usize> = self.open(group).collect();
        let (first, second) = open.split_at(open.len().div_ceil(2));
        for half in [second, first] {
            self.groups.push(PlannedQuery {
                failures: if half.len() > 1 { failures } else { 0 },
                ..PlannedQuery::all_events(half.to_vec(), time)
            });
        }
    }

    /// The tickets of the indicators that are answered.
    pub(super) fn answered(&mut self) -> impl Iterator<Item = Option<Ticket>> {
        let entries = self.queries.iter_mut().flat_map(|one| &mut one.entries);
        let closed = entries.filter(|entry| !entry.open);
        closed.map(|entry| entry.request.ticket.take())
    }

    /// The queries of a group that are still unanswered.
    pub(super) fn open(&self, group: &PlannedQuery) -> impl Iterator<Item = usize> {
        let queries = group.queries.iter().copied();
        queries.filter(|&query| self.queries[query].is_open())
    }

    /// The unanswered requests, without parts.
    pub(super) fn into_open(self) -> impl Iterator<Item = RetroRequest> {
        let entries = self.queries.into_iter().flat_map(|one| one.entries);
        let open = entries.filter(|entry| entry.open && entry.request.part.is_none());
        open.map(|entry| entry.request)
    }
}

/// The number of each request's query, in order of first appearance.
#[allow(
    clippy::mutable_key_type,
    reason = "what is mutable is the cache of a regular expression, and it is hashed by its text"
)]
fn number(requests: &[RetroRequest]) -> Vec<usize> {
    let mut numbers: HashMap<_, usize> = HashMap::with_capacity(requests.len());
    let keys = requests.iter().map(|request| {
        let indicator = &request.indicator;
        (
            &*indicator.observables,
            &indicator.selection,
            &indicator.condition,
        )
    });
    keys.map(|key| {
        let next = numbers.len();
        *numbers.entry(key).or_insert(next)
    })
    .collect()
}

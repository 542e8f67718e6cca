//! Runs one batch of indicators, from the first query to the last result.
//!
//! A query for many indicators returns the events of all of them, and
//! [`crate::matching::Attribution`] tells them apart. If it cannot (an event with values
//! of several indicators may have matched only one of them), those indicators are queried
//! again, in queries without two of them that met in one event: then the engine's own
//! result tells. A query that reaches its limit, its timeout, or is rejected is split
//! into halves, down to single indicators with the engine's own limit. The sightings are
//! exactly those of one query for each indicator, and none is reported twice.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, error, warn};

use super::answer_reader::{AnswerReader, Findings};
use super::batch::{Batch, BatchEntry, BatchOutput, PlannedQuery, Purpose};
use super::event_multiset::Memory;
use super::queue::RetroRequest;
use super::sequences;
use crate::engine::{Engine, QueryBounds, QueryOutcome, QueryTarget};
use crate::indicator::Indicator;
use crate::intake::{Fate, Fates};
use crate::observable::Observable;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::stop::{Backoff, Stop};
use crate::sighting::report::Reporter;

/// How often a query that fails for an unknown reason is run, before it is split or given
/// up.
const TRIES: u32 = 3;

/// The least limit on the events of a batched query: below it, splitting costs more than
/// reading.
const LEAST_BOUND: u64 = 1000;

/// The shortest time limit after splitting, unless the limit itself is shorter: a query
/// that finds nothing takes 0.8 s.
const LEAST_TIME: Duration = Duration::from_secs(2);

/// Everything that is needed to run a batch.
pub struct BatchRunner<'a, E: ?Sized> {
    /// The engine.
    pub engine: &'a E,
    /// Where matches are reported.
    pub reporter: &'a mut Reporter,
    /// The metrics.
    pub metrics: &'a Metrics,
    /// What becomes of the indicators.
    pub fates: &'a Fates,
    /// The memory for events.
    pub memory: &'a Memory,
    /// The program's stop.
    pub stop: &'a Stop,
    /// The most sightings per indicator.
    pub max_events: Option<NonZeroU64>,
    /// The time limit per indicator.
    pub timeout: Option<Duration>,
}

/// Why a batch was interrupted.
#[derive(Debug)]
pub enum Interruption {
    /// The engine is unreachable: the rest can be queried again later.
    Unreachable(String),
    /// The program stops.
    Stopped,
}

impl<E: Engine + ?Sized> BatchRunner<'_, E> {
    /// Queries a whole batch. Returns the requests that were interrupted.
    pub fn run(
        &mut self,
        requests: Vec<RetroRequest>,
    ) -> Result<(), (Vec<RetroRequest>, Interruption)> {
        let (wholes, requests) = sequences::expand(requests, &self.memory.joined);
        let mut batch = Batch::new(requests, self.timeout);
        self.log_unsupported_values(&batch);
        let mut result = Ok(());
        while let Some(group) = batch.groups.pop() {
            result = self.run_group(&mut batch, group);
            if result.is_err() {
                break;
            }
        }
        // What is found is sent before the journal's entries are closed.
        for ticket in batch.answered() {
            self.reporter.finish(ticket);
        }
        let Err(interruption) = result else {
            for whole in wholes {
                whole.finish(self.reporter, self.fates, self.max_events);
            }
            self.reporter.flush();
            return Ok(());
        };
        self.reporter.flush();
        // Nothing was reported yet of those that are joined.
        let wholes = wholes.into_iter().map(|whole| whole.request);
        Err((batch.into_open().chain(wholes).collect(), interruption))
    }

    fn run_group(
        &mut self,
        batch: &mut Batch,
        mut group: PlannedQuery,
    ) -> Result<(), Interruption> {
        group.queries = batch.open(&group).collect();
        if group.queries.is_empty() {
            return Ok(());
        }
        if group.is_single() {
            // It cannot be split further: it gets the time limit of a single query.
            group.time = self.timeout;
        }
        self.warn_of_repetitions(batch, &group);
        let bounds = QueryBounds {
            events: self.bound(batch, &group),
            time: group.time,
            since: None,
        };
        let indicators: Vec<Arc<Indicator>> = group
            .queries
            .iter()
            .map(|&query| batch.queries[query].indicator().clone())
            .collect();
        let observables = observables(&indicators, group.part.clone());
        let target = match &*indicators {
            // It has nothing else to query, and the queue passes it on alone.
            [one] => one.selection.as_deref().map(QueryTarget::Selection),
            _ => None,
        };
        let target = target.unwrap_or(QueryTarget::Values(&observables));
        self.metrics.queries.add(1);
        self.metrics.batch_size.record(indicators.len() as f64);
        let out = BatchOutput {
            reporter: &mut *self.reporter,
            metrics: self.metrics,
            fates: self.fates,
            memory: self.memory,
        };
        let mut reading = AnswerReader::new(batch, &group, self.engine, self.max_events, out);
        let answer = self
            .engine
            .export(target, bounds, self.stop, &mut |event| reading.take(&event));
        let findings = reading.finish();
        self.metrics.query_outcomes.count(answer.outcome());
        self.conclude(batch, group, &findings, bounds, answer)
    }

    /// The limit on events for a query: exactly the configured limit for a single query,
    /// the sum of them in a batch, and none if there is no limit, if only ambiguous
    /// events are needed, or if the output for a single query includes other events.
    fn bound(&self, batch: &Batch, group: &PlannedQuery) -> Option<u64> {
        let limit = self.max_events?.get();
        let is_checked_here = |number: &usize| {
            let indicator = batch.queries[*number].indicator();
            indicator.condition.is_some()
        };
        let has_parts = |number: &usize| batch.queries[*number].has_parts();
        if group.queries.iter().any(has_parts) {
            // It is unknown which of them form an instance together.
            return None;
        }
        match (group.purpose, group.queries.len()) {
            (Purpose::Doubts, _) => None,
            (Purpose::AllEvents, 1) if self.engine.returns_superset() => None,
            (Purpose::AllEvents, 1) if group.queries.iter().any(is_checked_here) => None,
            (Purpose::AllEvents, 1) => Some(limit),
            (Purpose::AllEvents, queries) => {
                Some(limit.saturating_mul(queries as u64).max(LEAST_BOUND))
            }
        }
    }

    fn conclude(
        &mut self,
        batch: &mut Batch,
        group: PlannedQuery,
        findings: &Findings,
        bounds: QueryBounds,
        answer: QueryOutcome,
    ) -> Result<(), Interruption> {
        let single = group.is_single();
        match answer {
            QueryOutcome::Complete | QueryOutcome::Enough => {
                let filled = bounds.events.is_some_and(|bound| findings.lines >= bound);
                if !single && (filled || findings.unattributed) {
                    batch.split(&group, group.time, 0);
                } else {
                    self.settle(batch, &group, findings);
                }
            }
            QueryOutcome::TimedOut if single => self.give_up_in_time(batch, &group),
            QueryOutcome::TimedOut => {
                debug!(
                    "a query for {} indicators timed out: split",
                    group.queries.len()
                );
                let least = self.timeout.map_or(LEAST_TIME, |all| all.min(LEAST_TIME));
                let time = group.time.map(|time| (time / 2).max(least));
                batch.split(&group, time, 0);
            }
            QueryOutcome::Refused(reason) if single => self.refuse(batch, group, &reason),
            QueryOutcome::Outdated => batch.groups.push(PlannedQuery {
                purpose: Purpose::AllEvents,
                ..group
            }),
            QueryOutcome::Refused(_) => batch.split(&group, group.time, 0),
            QueryOutcome::Broken(reason) => return self.retry(batch, group, &reason),
            QueryOutcome::Unreachable(reason) => {
                self.metrics.queries_interrupted.add(1);
                return Err(Interruption::Unreachable(reason));
            }
            QueryOutcome::Stopped => return Err(Interruption::Stopped),
            // The engine's client resolves this into one of the others.
            QueryOutcome::Unconfirmed => self.settle(batch, &group, findings),
        }
        Ok(())
    }

    /// The group is answered; its ambiguous queries are run again.
    fn settle(&self, batch: &mut Batch, group: &PlannedQuery, findings: &Findings) {
        let mut doubtful = Vec::new();
        let mut again = Vec::new();
        for number in batch.open(group).collect::<Vec<usize>>() {
            let query = &mut batch.queries[number];
            match group.purpose {
                Purpose::AllEvents if query.alone => {
                    again.push(PlannedQuery::all_events(vec![number], self.timeout));
                }
                Purpose::AllEvents if !query.ambiguous.is_empty() => doubtful.push(number),
                // Even a selected group was ambiguous.
                Purpose::Doubts if findings.still_doubtful.contains(&number) => {
                    query.ambiguous.keep_unmet();
                    again.push(PlannedQuery::ambiguous(vec![number], self.timeout));
                }
                Purpose::AllEvents | Purpose::Doubts => query.close(self.fates),
            }
        }
        for queries in findings.independent_groups(&doubtful) {
            again.push(PlannedQuery::ambiguous(queries, self.timeout));
        }
        batch.groups.append(&mut again);
    }

    fn give_up_in_time(&self, batch: &mut Batch, group: &PlannedQuery) {
        for &query in &group.queries {
            for entry in &mut batch.queries[query].entries {
                if std::mem::replace(&mut entry.open, false) {
                    if entry.counts_failure() {
                        self.fates.settle(Fate::TimedOut, 1);
                    }
                    warn!(
                        indicator:% = entry.id(),
                        kind = entry.request.indicator.kind(),
                        engine = self.metrics.engine_name(),
                        reason = "timed out";
                        "indicator {}: its query took longer than {:.1} s (--retro-match-timeout) \
                         and was ended; {} sighting(s) until then",
                        entry.id(),
                        group.time.unwrap_or_default().as_secs_f64(),
                        entry.count()
                    );
                }
            }
        }
    }

    fn fail(&self, batch: &mut Batch, group: &PlannedQuery, reason: &str) {
        for &query in &group.queries {
            for entry in &mut batch.queries[query].entries {
                if std::mem::replace(&mut entry.open, false) {
                    if entry.counts_failure() {
                        self.fates.settle(Fate::Failed, 1);
                    }
                    let reason = printable(reason, 500);
                    error!(
                        indicator:% = entry.id(),
                        kind = entry.request.indicator.kind(),
                        engine = self.metrics.engine_name(),
                        reason:% = reason;
                        "indicator {} is not matched: {reason}; {} sighting(s) until then",
                        entry.id(),
                        entry.count()
                    );
                }
            }
        }
    }

    /// The engine rejects a single query: of several observables, it may accept some.
    fn refuse(&self, batch: &mut Batch, group: PlannedQuery, reason: &str) {
        let reason = format!("{} refuses the query: {reason}", self.engine.title());
        let number = group.queries[0];
        let query = &mut batch.queries[number];
        let part = group.part.clone();
        let part = part.unwrap_or(0..query.observables().len());
        match part.len() {
            2.. => {
                let middle = part.start + part.len() / 2;
                query.parts += 1;
                for half in [middle..part.end, part.start..middle] {
                    batch.groups.push(PlannedQuery {
                        part: Some(half),
                        ..PlannedQuery::all_events(vec![number], group.time)
                    });
                }
            }
            _ if query.observables().len() > 1 => {
                let refused = query.observables()[part.start].to_string();
                self.leave_out(batch, number, &refused, &reason);
            }
            _ => self.fail(batch, &group, &reason),
        }
    }

    /// Logs the values that are left out of every query, since no query can contain them.
    fn log_unsupported_values(&self, batch: &Batch) {
        for query in &batch.queries {
            for observable in query.observables() {
                let Some(reason) = self.engine.why_unsupported(observable) else {
                    continue;
                };
                for entry in &query.entries {
                    self.value_is_refused(entry, &observable.to_string(), reason);
                }
            }
        }
    }

    /// One observable of a query cannot be queried; the others can.
    fn leave_out(&self, batch: &mut Batch, number: usize, observable: &str, reason: &str) {
        let query = &mut batch.queries[number];
        for entry in query.entries.iter().filter(|entry| entry.open) {
            self.value_is_refused(entry, observable, reason);
        }
        query.refused += 1;
        query.close(self.fates);
    }

    /// Counts and logs a value of an indicator that no query of this engine can contain.
    fn value_is_refused(&self, entry: &BatchEntry, value: &str, reason: &str) {
        self.metrics.observables_refused.add(1);
        let reason = printable(reason, 500);
        error!(
            indicator:% = entry.id(),
            kind = entry.request.indicator.kind(),
            engine = self.metrics.engine_name(),
            reason:% = reason;
            "indicator {}: its value {} is not matched: {reason}",
            entry.id(),
            printable(value, 200)
        );
    }

    /// A query failed while the engine responds: run it again, then split it, and give up
    /// on an indicator only if it fails alone.
    fn retry(
        &self,
        batch: &mut Batch,
        mut group: PlannedQuery,
        reason: &str,
    ) -> Result<(), Interruption> {
        self.metrics.queries_interrupted.add(1);
        group.failures += 1;
        if group.failures >= TRIES {
            if group.is_single() {
                self.fail(batch, &group, reason);
            } else {
                // A half that fails as well is split at once.
                batch.split(&group, group.time, TRIES - 1);
            }
            return Ok(());
        }
        let reason = printable(reason, 500);
        warn!(
            engine = self.metrics.engine_name(), reason:% = reason;
            "a query for {} indicator(s) failed: {reason}; repeating it",
            group.queries.len()
        );
        let mut backoff = Backoff::new();
        let pause = (0..group.failures).map(|_| backoff.pause()).last();
        if self.stop.sleep(pause.unwrap_or_default()) {
            return Err(Interruption::Stopped);
        }
        group.purpose = Purpose::AllEvents;
        batch.groups.push(group);
        Ok(())
    }

    /// More was reported than can be stored, and it may be reported again.
    fn warn_of_repetitions(&self, batch: &mut Batch, group: &PlannedQuery) {
        if group.purpose == Purpose::Doubts {
            return;
        }
        for &query in &group.queries {
            for entry in &mut batch.queries[query].entries {
                let forgotten = std::mem::take(&mut entry.request.forgotten);
                if forgotten > 0 {
                    warn!(
                        "indicator {}: it is queried again, and up to {forgotten} of its {} \
                         sighting(s) are reported again",
                        entry.id(),
                        entry.count()
                    );
                }
            }
        }
    }
}

/// The observables of a query.
fn observables(indicators: &[Arc<Indicator>], part: Option<Range<usize>>) -> Vec<&Observable> {
    match (indicators, part) {
        ([one], Some(part)) => one.observables[part].iter().collect(),
        _ => indicators
            .iter()
            .flat_map(|indicator| &indicator.observables)
            .collect(),
    }
}

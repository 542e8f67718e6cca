//! After an outage: restores the values of an engine's matcher that has lost them, and
//! searches the events of the gap.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, after, never, select};
use log::{error, info, log, warn};
use time::OffsetDateTime;

use super::matcher_updates::ChangeSender;
use super::{Matched, SharedLive};
use crate::engine::{AnswerItem, Engine, EventLine, QueryBounds, QueryOutcome, QueryTarget};
use crate::intake::{Change, TableScratch};
use crate::observable::Observable;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::child::Flow;
use crate::process::stop::{Backoff, Stop};
use crate::protocol::Context;
use crate::sighting::report::Reporter;

/// The most values per query, if the engine supports as many: 100,000 take about 20 s
/// (measured).
const VALUES_AT_ONCE: usize = 100_000;

/// How often a query that fails while the engine responds is run.
const TRIES: u32 = 3;

/// The engine's child is up.
pub struct Gap {
    /// Since when it was down, if it was up before.
    pub since: Option<SystemTime>,
}

/// The state of the thread.
pub struct Backfill {
    /// The engine to query about the gap.
    pub engine: Arc<dyn Engine + Send + Sync>,
    /// The live indicators.
    pub shared: Arc<SharedLive>,
    /// The sender of changes to a matcher that loses its values.
    pub forgetful: Option<ChangeSender>,
    /// Where matches are reported.
    pub reporter: Reporter,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The time limit of a query.
    pub timeout: Option<Duration>,
    /// The end of live matching.
    pub ending: Stop,
    /// The end of the program.
    pub stop: Stop,
}

/// Why a gap was not searched.
enum Uncovered {
    /// The engine is away: it is queried again until it is back.
    Away(String),
    /// It cannot be searched.
    Failed(String),
    Stopped,
}

impl Backfill {
    /// Runs until there can be no more gaps.
    pub fn run(mut self, gaps: &Receiver<Gap>) {
        let mut open: Option<SystemTime> = None;
        let mut backoff = Backoff::new();
        loop {
            let again = match open {
                Some(_) => after(backoff.pause()),
                None => never(),
            };
            select! {
                recv(gaps) -> gap => match gap {
                    Ok(gap) => {
                        self.remind();
                        open = open.into_iter().chain(gap.since).min();
                        backoff = Backoff::new();
                    }
                    Err(_) => return self.leave(open),
                },
                recv(again) -> _ => {}
                recv(self.ending.now_channel()) -> _ => return self.leave(open),
            }
            let Some(since) = open else {
                continue;
            };
            // Events stored before the matcher has its values back belong to the gap.
            if let Some(sender) = &self.forgetful {
                sender.wait_until_settled();
            }
            match self.cover(since) {
                Ok(()) => {
                    open = None;
                    self.metrics.live_gap.clear();
                    self.shared.waiting.hold(false);
                }
                Err(Uncovered::Away(reason)) => warn!(
                    engine = self.metrics.engine_name(), reason:% = printable(&reason, 500);
                    "the events since {} that were not seen live cannot be queried now; they will \
                     be when {} answers: {}",
                    shown(since),
                    self.engine.title(),
                    printable(&reason, 500)
                ),
                Err(Uncovered::Failed(reason)) => {
                    open = None;
                    self.metrics.live_gap.clear();
                    self.metrics.live_gaps_failed.add(1);
                    self.shared.waiting.hold(false);
                    self.metrics.queries_interrupted.add(1);
                    error!(
                        engine = self.metrics.engine_name(), reason:% = printable(&reason, 500);
                        "the events since {} that were not seen live could not be searched: {}",
                        shown(since),
                        printable(&reason, 500)
                    );
                }
                Err(Uncovered::Stopped) => return self.leave(open),
            }
        }
    }

    fn leave(&self, open: Option<SystemTime>) {
        if let Some(since) = open {
            log!(
                self.stop.level_of_rest(),
                "stopping: the events since {} that were not seen live are not searched",
                shown(since)
            );
        }
    }

    /// Sends all values again to an engine that has lost them.
    fn remind(&self) {
        let Some(sender) = &self.forgetful else {
            return;
        };
        let mut next = Some(0);
        while let Some(from) = next.filter(|_| !self.ending.is_now()) {
            let values;
            (values, next) = self.shared.table().values(from, 1000);
            for (value, id) in values {
                if !sender.send(Change::Add(value, id)) {
                    return;
                }
            }
        }
    }

    /// Searches the events since then for all live indicators.
    fn cover(&mut self, since: SystemTime) -> Result<(), Uncovered> {
        let most = self.engine.most_observables();
        let most = most.unwrap_or(VALUES_AT_ONCE).min(VALUES_AT_ONCE);
        let before = self.metrics.sightings_found.get();
        let (mut next, mut any) = (Some(0), false);
        while let Some(from) = next {
            let values;
            (values, next) = self.shared.table().values(from, most);
            let values: Vec<Observable> = values.into_iter().map(|(value, _)| value).collect();
            any |= !values.is_empty();
            self.ask_until_answered(&values, since)?;
        }
        let selections = self.shared.table().selections();
        any |= !selections.is_empty();
        for (selection, id) in &selections {
            let target = QueryTarget::Selection(selection);
            if let Err(reason) = self.put_until_answered(target, since)? {
                self.metrics.observables_refused.add(1);
                warn!(
                    "indicator {} is not searched in the gap: {} refuses the query: {}",
                    printable(id, 200),
                    self.engine.title(),
                    printable(&reason, 500)
                );
            }
        }
        if any {
            let found = self.metrics.sightings_found.get() - before;
            info!(
                "searched the events since {}: {found} sighting(s) meanwhile",
                shown(since)
            );
        }
        Ok(())
    }

    fn ask_until_answered(
        &mut self,
        values: &[Observable],
        since: SystemTime,
    ) -> Result<(), Uncovered> {
        let all: Vec<&Observable> = values.iter().collect();
        match self.put_until_answered(QueryTarget::Values(&all), since)? {
            Ok(()) => Ok(()),
            Err(reason) => self.halve(values, since, reason),
        }
    }

    /// Runs a query until it succeeds, or until the engine rejects it, for the returned
    /// reason.
    fn put_until_answered(
        &mut self,
        target: QueryTarget<'_>,
        since: SystemTime,
    ) -> Result<Result<(), String>, Uncovered> {
        let mut backoff = Backoff::new();
        let mut failures = 0;
        loop {
            let reason = match self.run_query(target, since) {
                QueryOutcome::Complete | QueryOutcome::Enough | QueryOutcome::Unconfirmed => {
                    return Ok(Ok(()));
                }
                QueryOutcome::Stopped => return Err(Uncovered::Stopped),
                QueryOutcome::Unreachable(reason) => return Err(Uncovered::Away(reason)),
                QueryOutcome::Refused(reason) => return Ok(Err(reason)),
                QueryOutcome::TimedOut => "it took too long (--retro-match-timeout)".to_owned(),
                QueryOutcome::Broken(reason) => reason,
                QueryOutcome::Outdated => {
                    "the engine has learned of new fields meanwhile".to_owned()
                }
            };
            failures += 1;
            if failures == TRIES {
                return Err(Uncovered::Failed(reason));
            }
            if self.ending.sleep(backoff.pause()) {
                return Err(Uncovered::Stopped);
            }
        }
    }

    /// One of several values may be the one that the engine rejects.
    fn halve(
        &mut self,
        values: &[Observable],
        since: SystemTime,
        reason: String,
    ) -> Result<(), Uncovered> {
        match values {
            [] => Ok(()),
            [value] => {
                self.metrics.observables_refused.add(1);
                warn!(
                    "the value {} is not searched in the gap: {} refuses the query: {}",
                    printable(&value.to_string(), 200),
                    self.engine.title(),
                    printable(&reason, 500)
                );
                Ok(())
            }
            _ => {
                let (first, second) = values.split_at(values.len() / 2);
                self.ask_until_answered(first, since)?;
                self.ask_until_answered(second, since)
            }
        }
    }

    fn run_query(&mut self, target: QueryTarget<'_>, since: SystemTime) -> QueryOutcome {
        let since = OffsetDateTime::from(since);
        let bounds = QueryBounds {
            events: None,
            time: self.timeout,
            since: Some(since),
        };
        self.metrics.queries.add(1);
        self.shared.recent().begin_query();
        let Backfill {
            engine,
            shared,
            reporter,
            metrics,
            ending,
            ..
        } = self;
        let mut buffers = (TableScratch::default(), Vec::new());
        let mut take = |event: AnswerItem<'_>| {
            match event {
                AnswerItem::Line(line) => {
                    if !take(&line, since, shared, reporter, &mut buffers) {
                        metrics.lines_rejected.add(1);
                    }
                }
                AnswerItem::TooLong(_) => metrics.lines_rejected.add(1),
                AnswerItem::Pause => reporter.flush(),
            }
            Flow::Continue
        };
        let answer = engine.export(target, bounds, ending, &mut take);
        metrics.query_outcomes.count(answer.outcome());
        self.reporter.flush();
        answer
    }
}

/// Reports an event of the gap; returns whether the line is an event.
fn take(
    event: &EventLine<'_>,
    since: OffsetDateTime,
    shared: &SharedLive,
    reporter: &mut Reporter,
    (scratch, matched): &mut (TableScratch, Vec<Matched>),
) -> bool {
    let line = event.text.trim_ascii();
    let scanned = shared.matches(event.schema, line, scratch, matched);
    if scanned.is_err() {
        return false;
    }
    let context = Context::already_checked(line);
    let time = context.time();
    // Without a time it is unknown whether it belongs to the gap.
    let came = event.stored.or(time.map(|time| time.utc()));
    let Some(came) = came.filter(|came| *came > since) else {
        return true;
    };
    // Live by then; otherwise it is up to retro matching.
    let known = matched
        .iter()
        .filter(|one| came >= OffsetDateTime::from(one.since));
    let mark = shared.mark(line, time);
    let is_new = |one: &&Matched| shared.recent().queried(one.key(), mark);
    let new: Vec<&Matched> = known.filter(is_new).collect();
    shared.report(&new, line, reporter);
    true
}

fn shown(time: SystemTime) -> String {
    crate::observable::stix_time(OffsetDateTime::from(time))
}

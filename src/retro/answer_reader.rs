//! Reads the output of one query and attributes its events.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;

use log::{error, warn};

use super::batch::{Batch, BatchOutput, BatchQuery, PlannedQuery, Purpose};
use super::event_multiset::fingerprint;
use crate::engine::{AnswerItem, Attribute, Engine, EventLine};
use crate::matching::condition::LazyEvent;
use crate::matching::{Fields, Verdict};
use crate::observe::logging::printable;
use crate::process::child::Flow;
use crate::protocol::Context;

/// What was found in the output of a query.
#[derive(Default)]
pub(super) struct Findings {
    /// The lines that the engine printed.
    pub(super) lines: u64,
    /// Whether some event showed no value of the group.
    pub(super) unattributed: bool,
    /// Queries whose follow-up query was ambiguous again.
    pub(super) still_doubtful: HashSet<usize>,
    /// Pairs of queries that matched in one ambiguous event.
    met: HashMap<usize, HashSet<usize>>,
    pairs: usize,
}

impl Findings {
    /// The largest set of queries in one event that is recorded pair by pair, and the
    /// most pairs. Unrecorded pairs may meet again in a follow-up query, and are then
    /// queried alone.
    const LARGEST_MEETING: usize = 64;
    const MOST_PAIRS: usize = 100_000;

    fn note_meeting(&mut self, queries: &[usize]) {
        let queries = &queries[..queries.len().min(Self::LARGEST_MEETING)];
        for &one in queries {
            for &other in queries.iter().filter(|&&other| other != one) {
                if self.pairs < Self::MOST_PAIRS && self.met.entry(one).or_default().insert(other) {
                    self.pairs += 1;
                }
            }
        }
    }

    /// Divides queries into groups in which no two have met.
    pub(super) fn independent_groups(&self, queries: &[usize]) -> Vec<Vec<usize>> {
        let mut groups: Vec<(Vec<usize>, HashSet<usize>)> = Vec::new();
        let none = HashSet::new();
        for &query in queries {
            let met = self.met.get(&query).unwrap_or(&none);
            let fitting = groups.iter_mut().find(|(_, set)| met.is_disjoint(set));
            match fitting {
                Some((group, set)) => {
                    group.push(query);
                    set.insert(query);
                }
                None => groups.push((vec![query], HashSet::from([query]))),
            }
        }
        groups.into_iter().map(|(group, _)| group).collect()
    }
}

/// The output of one query as it is read.
pub(super) struct AnswerReader<'a> {
    queries: &'a mut [BatchQuery],
    /// The queries in it, by their position in the attribution.
    group: &'a [usize],
    purpose: Purpose,
    max_events: Option<NonZeroU64>,
    title: &'static str,
    returns_superset: bool,
    answers: bool,
    /// `None` if every event matches.
    attribution: Option<Box<dyn Attribute>>,
    verdict: Verdict,
    out: BatchOutput<'a>,
    open: usize,
    findings: Findings,
}

impl<'a> AnswerReader<'a> {
    /// Prepares for the output of the query for `group`.
    pub(super) fn new(
        batch: &'a mut Batch,
        group: &'a PlannedQuery,
        engine: &(impl Engine + ?Sized),
        max_events: Option<NonZeroU64>,
        out: BatchOutput<'a>,
    ) -> Self {
        for &query in &group.queries {
            batch.queries[query].begin(group.purpose);
        }
        let queries = group.queries.iter();
        let observables: Vec<_> = queries
            .map(|&query| batch.queries[query].observables())
            .collect();
        AnswerReader {
            title: engine.title(),
            returns_superset: engine.returns_superset(),
            answers: engine.counts_answers(),
            // A selection is queried alone, and its condition decides.
            attribution: match &*observables {
                [[]] => None,
                entries => engine.attribution(entries),
            },
            queries: &mut batch.queries,
            group: &group.queries,
            purpose: group.purpose,
            max_events,
            verdict: Verdict::default(),
            out,
            open: group.queries.len(),
            findings: Findings::default(),
        }
    }

    /// The findings at the end of the output.
    pub(super) fn finish(self) -> Findings {
        self.findings
    }

    /// Processes the next piece of output.
    pub(super) fn take(&mut self, event: &AnswerItem<'_>) -> Flow {
        match event {
            AnswerItem::Line(line) => self.take_line(line),
            AnswerItem::TooLong(start) => {
                self.findings.lines += 1;
                self.out.metrics.lines_rejected.add(1);
                error!(
                    "{} printed a line that is too long to read; it begins with {}",
                    self.title,
                    printable(start, 200)
                );
            }
            AnswerItem::Pause => self.out.reporter.flush(),
        }
        if self.open == 0 {
            Flow::Enough
        } else {
            Flow::Continue
        }
    }

    fn take_line(&mut self, line: &EventLine<'_>) {
        self.findings.lines += 1;
        let mut verdict = std::mem::take(&mut self.verdict);
        match self.attribute(line, &mut verdict) {
            Ok(context) => {
                let event = LazyEvent::new(line.judged(), Fields::OfAnyName, self.answers);
                self.take_event(line.text, &event, &context, &verdict);
            }
            Err(reason) => {
                self.out.metrics.lines_rejected.add(1);
                warn!(
                    "{} printed a line that is not an event ({reason}): {}",
                    self.title,
                    printable(line.text, 200)
                );
            }
        }
        self.verdict = verdict;
    }

    /// Finds the event's owners, and validates the line.
    fn attribute<'l>(
        &self,
        line: &EventLine<'l>,
        verdict: &mut Verdict,
    ) -> Result<Context<'l>, String> {
        let Some(attribution) = &self.attribution else {
            return Context::new(line.text).map_err(|error| error.to_string());
        };
        attribution
            .attribute(line, verdict)
            .map_err(|error| error.to_string())?;
        Ok(Context::already_checked(line.text))
    }

    fn take_event(
        &mut self,
        line: &str,
        event: &LazyEvent<'_>,
        context: &Context<'_>,
        verdict: &Verdict,
    ) {
        let number = fingerprint(line);
        if self.attribution.is_none() {
            return self.certain(self.group[0], event, number, context);
        }
        for &position in &verdict.certain {
            self.certain(self.group[position], event, number, context);
        }
        if !verdict.doubtful.is_empty() {
            let group = self.group;
            let doubtful = verdict.doubtful.iter().map(|&position| group[position]);
            // What fails its condition is not a match, ambiguous or not.
            let doubtful = doubtful.filter(|&query| self.queries[query].holds(event));
            self.doubtful(&doubtful.collect::<Vec<usize>>(), number);
        }
        if verdict.nothing_found && self.returns_superset {
            self.out.metrics.events_unmatched.add(1);
        } else {
            self.findings.unattributed |= verdict.nothing_found;
        }
    }

    fn certain(&mut self, query: usize, event: &LazyEvent<'_>, number: u64, context: &Context<'_>) {
        let query = &mut self.queries[query];
        if !query.holds(event) {
            return;
        }
        if !query.is_open() || self.purpose == Purpose::Doubts && !query.ambiguous.meet(number) {
            return;
        }
        query.report(number, context, &mut self.out, self.max_events);
        if !query.is_open() {
            self.open -= 1;
        }
    }

    fn doubtful(&mut self, queries: &[usize], event: u64) {
        for &number in queries {
            let query = &mut self.queries[number];
            if !query.is_open() {
                continue;
            }
            match self.purpose {
                Purpose::AllEvents => {
                    query.alone |= !query.ambiguous.add(event, &self.out.memory.ambiguous)
                }
                Purpose::Doubts => {
                    if query.ambiguous.awaits(event) {
                        self.findings.still_doubtful.insert(number);
                    }
                }
            }
        }
        if self.purpose == Purpose::AllEvents {
            self.findings.note_meeting(queries);
        }
    }
}

//! Running the `vast` command.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::{Level, debug, info, log, warn};
use serde::de::IgnoredAny;

use super::answer::judge;
use super::literal::{restored, why_not};
use super::query::Query;
use super::version::VastVersion;
use super::{check, live};
use crate::engine::Finding;
use crate::engine::choice::QueryScope;
use crate::engine::connect::ANSWER_TIME;
use crate::engine::judge::Judge;
use crate::engine::lines::LineCutter;
use crate::engine::live::LiveSource;
use crate::engine::once;
use crate::engine::{
    AnswerItem, Attribute, Engine, EventLine, LiveOptions, NotReady, QueryBounds, QueryOutcome,
    QueryTarget,
};
use crate::indicator::Selection;
use crate::matching::places::Places;
use crate::matching::{Attribution, Concepts, Mode};
use crate::observable::Observable;
use crate::observe::logging::printable;
use crate::process::child::{self, ChildEnd, ChildOutcome, Flow, Limits};
use crate::process::endpoint::Endpoint;
use crate::process::stop::Stop;

/// The default port of a node.
const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(42_000).expect("it is not 0");

/// The time limit of `vast status` and `vast version`.
const STATUS_TIME: Duration = ANSWER_TIME;

/// A `vast` program and the node that it queries.
#[derive(Clone, Debug)]
pub struct Client {
    binary: PathBuf,
    endpoint: Endpoint,
    version: VastVersion,
    /// Why the version is unknown.
    unversioned: Option<String>,
    low_priority: bool,
    reach: QueryScope,
    habit: Arc<Habit>,
    /// The node's own table of concepts, once it was needed.
    known_concepts: Arc<OnceLock<Arc<Concepts>>>,
}

/// Whether this `vast` reports at the end of a query how many events it sent. A node that
/// is stopped ends queries silently, and may be back before it can be probed.
#[derive(Debug, Default)]
struct Habit {
    reports: AtomicBool,
    silent_in_a_row: AtomicU32,
}

impl Habit {
    /// How many silent ends are queried again before a `vast` that has never reported
    /// anything (or not recently) is believed to be a silent one.
    const DOUBTED: [u32; 2] = [2, 100];

    fn reported(&self) {
        self.reports.store(true, Ordering::Relaxed);
        self.silent_in_a_row.store(0, Ordering::Relaxed);
    }

    /// Records a silent end; returns whether to believe it.
    fn believes_silence(&self) -> bool {
        let count = self
            .silent_in_a_row
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        count > Self::DOUBTED[usize::from(self.reports.load(Ordering::Relaxed))]
    }
}

impl Client {
    /// Makes a client for the program with this version.
    pub fn new(
        binary: PathBuf,
        endpoint: Option<Endpoint>,
        version: Result<VastVersion, String>,
        stop: &Stop,
    ) -> Self {
        let (version, unversioned) = match version {
            Ok(version) => (version, None),
            Err(reason) => {
                warn!("{reason}; assuming a version before 3.0");
                (VastVersion::unknown(), Some(reason))
            }
        };
        let mut client = Client {
            binary,
            endpoint: endpoint.unwrap_or_else(|| Endpoint::local(DEFAULT_PORT)),
            version,
            unversioned,
            low_priority: false,
            reach: QueryScope::default(),
            habit: Arc::default(),
            known_concepts: Arc::default(),
        };
        client.learn_options(stop);
        client
    }

    /// The same, with this scope of queries.
    pub fn going(self, reach: QueryScope) -> Self {
        Client { reach, ..self }
    }

    /// Finds out which options this `vast` has, without a node.
    fn learn_options(&mut self, stop: &Stop) {
        self.low_priority = self
            .version
            .has_low_priority()
            .unwrap_or_else(|| self.help_lists_low_priority(stop));
        debug!(
            "vast {}: low priority {}, addresses are {}",
            self.version,
            self.low_priority,
            self.version.address_extractor()
        );
    }

    fn help_lists_low_priority(&self, stop: &Stop) -> bool {
        let mut command = child::command(&self.binary);
        command.args(["export", "help"]);
        let limits = Limits {
            time: Some(STATUS_TIME),
            stop,
        };
        child::run_to_end(&mut command, std::io::empty(), limits, 1 << 20).is_ok_and(
            |(outcome, output)| {
                let sign = b"low-priority";
                memchr::memmem::find(&output, sign).is_some()
                    || memchr::memmem::find(&outcome.stderr, sign).is_some()
            },
        )
    }

    /// Checks that the node responds.
    ///
    /// # Errors
    /// The human-readable reason why it does not.
    fn status(&self, time: Duration, stop: &Stop) -> Result<(), String> {
        let mut command = self.node_command();
        command.arg("status");
        let limits = Limits {
            time: Some(time),
            stop,
        };
        let outcome = child::run(&mut command, std::io::empty(), limits, |_| Flow::Continue)
            .map_err(|error| format!("it cannot be run: {error}"))?;
        match outcome.end {
            ChildEnd::Exited(status) if status.success() => Ok(()),
            ChildEnd::Exited(status) => Err(format!(
                "{}: {}",
                child::describe(status),
                printable(&outcome.last_words(), 300)
            )),
            ChildEnd::TimedOut => Err(format!("no answer in {:.1} s", time.as_secs_f64())),
            ChildEnd::Stopped | ChildEnd::Enough => Err("the program stops".to_owned()),
        }
    }

    /// Checks that the node responds, with the usual time limit.
    ///
    /// # Errors
    /// The human-readable reason why it does not.
    pub fn ping(&self, stop: &Stop) -> Result<(), String> {
        self.status(STATUS_TIME, stop)
    }

    /// The program, as it was given.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The program's version.
    ///
    /// # Errors
    /// The human-readable reason why it is unknown.
    pub(super) fn release(&self) -> Result<&VastVersion, &str> {
        match &self.unversioned {
            Some(reason) => Err(reason),
            None => Ok(&self.version),
        }
    }

    /// The node's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The command `vast` without arguments.
    pub(super) fn command(&self) -> Command {
        child::command(&self.binary)
    }

    /// The command `vast` with the node's endpoint.
    pub(super) fn node_command(&self) -> Command {
        let mut command = self.command();
        command.args(["-e", &self.endpoint.to_string()]);
        command
    }

    /// Resolves an ambiguous outcome by probing the node.
    fn confirm(&self, answer: QueryOutcome, stop: &Stop) -> QueryOutcome {
        match answer {
            QueryOutcome::Complete => {
                self.habit.reported();
                QueryOutcome::Complete
            }
            QueryOutcome::Unconfirmed => match self.ping(stop) {
                Ok(()) if self.habit.believes_silence() => QueryOutcome::Complete,
                Ok(()) => QueryOutcome::Broken(
                    "it ended without saying how many events it shipped, as it does when the \
                     node is stopped"
                        .to_owned(),
                ),
                Err(reason) => QueryOutcome::Unreachable(format!("the node went away ({reason})")),
            },
            QueryOutcome::Broken(reason) => match self.ping(stop) {
                Ok(()) => QueryOutcome::Broken(reason),
                Err(why) => {
                    QueryOutcome::Unreachable(format!("{reason}; the node does not answer: {why}"))
                }
            },
            // With a node that hangs, every query reaches its time limit.
            QueryOutcome::TimedOut => match self.ping(stop) {
                Ok(()) => QueryOutcome::TimedOut,
                Err(why) => QueryOutcome::Unreachable(format!(
                    "a query ran out of time; the node does not answer: {why}"
                )),
            },
            other => other,
        }
    }
}

/// The version of a `vast` program, which needs no node for that.
///
/// # Errors
/// The human-readable reason: it does not report one, or it cannot be run.
pub(in super::super) fn version(binary: &Path, stop: &Stop) -> Result<VastVersion, String> {
    let mut command = child::command(binary);
    command.arg("version");
    let limits = Limits {
        time: Some(STATUS_TIME),
        stop,
    };
    let name = binary.display();
    match child::run_to_end(&mut command, std::io::empty(), limits, 1 << 20) {
        Ok((_, output)) => VastVersion::read(&output)
            .ok_or_else(|| format!("`{name} version` does not report a version")),
        Err(error) => Err(format!("`{name} version` cannot be run: {error}")),
    }
}

impl Engine for Client {
    fn title(&self) -> &'static str {
        "VAST"
    }

    fn name(&self) -> String {
        format!("VAST at {}", self.endpoint)
    }

    fn version(&self) -> String {
        self.version.to_string()
    }

    fn ready(&self, time: Duration, stop: &Stop) -> Result<(), NotReady> {
        self.status(time, stop).map_err(NotReady::now)
    }

    fn probe_command(&self) -> String {
        format!("{} -e {} status", self.binary.display(), self.endpoint)
    }

    fn findings(&self, options: Option<&LiveOptions>, stop: &Stop) -> Vec<Finding> {
        check::findings(self, options.is_some(), stop)
    }

    fn live(&self, options: &LiveOptions, stop: &Stop) -> Result<LiveSource, String> {
        live::source(self, options, stop)
    }

    fn attribution(&self, entries: &[&[Observable]]) -> Option<Box<dyn Attribute>> {
        match self.reach.mode {
            Mode::Exact if entries.len() > 1 => Some(Box::new(Attribution::new(entries))),
            Mode::Exact => None,
            Mode::Standard | Mode::Thorough => {
                let known = self.known_concepts.get();
                let places = match known {
                    Some(concepts) => Places::with_concepts(concepts),
                    None => Places::shared().clone(),
                };
                Some(Box::new(Judge::new(entries, self.reach.answers, places)))
            }
        }
    }

    fn returns_superset(&self) -> bool {
        self.reach.mode != Mode::Exact
    }

    fn counts_answers(&self) -> bool {
        self.reach.answers
    }

    fn why_unsupported(&self, observable: &Observable) -> Option<&'static str> {
        why_not(observable.spelled()?.as_written())
    }

    fn supports_selections(&self) -> bool {
        true
    }

    fn concepts(&self, stop: &Stop) -> Arc<Concepts> {
        let read = || match self.read_concepts(stop) {
            Ok(concepts) => Arc::new(concepts),
            Err(reason) => {
                info!(
                    "VAST has no table of concepts that can be used ({reason}); using the built-in \
                     one"
                );
                Concepts::shared()
            }
        };
        self.known_concepts.get_or_init(read).clone()
    }

    /// The query is sent over standard input: its length is unlimited, and no indicator
    /// is in the process list.
    fn export(
        &self,
        target: QueryTarget<'_>,
        bounds: QueryBounds,
        stop: &Stop,
        consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
    ) -> QueryOutcome {
        let is_time = |one: &Selection| matches!(one, Selection::During(..));
        let has_time = bounds.since.is_some()
            || matches!(target, QueryTarget::Selection(selection) if selection.has(&is_time));
        if !has_time {
            return self.ask(target, bounds, None, stop, consume);
        }
        // It is not known for certain which time extractors a release has.
        let mut answer = QueryOutcome::Complete;
        for extractor in self.version.time_extractors() {
            answer = self.ask(target, bounds, Some(extractor), stop, consume);
            if !matches!(answer, QueryOutcome::Refused(_)) {
                return answer;
            }
        }
        debug!("vast refuses a bound on the time of events: {answer:?}; querying without it");
        self.ask(target, bounds, None, stop, consume)
    }
}

impl Client {
    /// Runs the query once, with bounds on event times if there is an extractor.
    fn ask(
        &self,
        target: QueryTarget<'_>,
        bounds: QueryBounds,
        times: Option<&str>,
        stop: &Stop,
        consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
    ) -> QueryOutcome {
        let mut queries = match target {
            QueryTarget::Values(values) if self.reach.mode == Mode::Exact => {
                Vec::from_iter(Query::any_of(values.iter().copied(), &self.version))
            }
            QueryTarget::Values(values) => Query::superset(values, &self.version, self.reach.mode),
            QueryTarget::Selection(selection) => {
                match Query::selecting(selection, &self.version, times, self.reach.mode) {
                    Some(query) => vec![query],
                    None => {
                        return QueryOutcome::Refused(
                            "no condition that this VAST understands narrows the query".to_owned(),
                        );
                    }
                }
            }
        };
        if let Some((extractor, since)) = times.zip(bounds.since) {
            queries
                .iter_mut()
                .for_each(|query| *query = query.since(extractor, since));
        }
        match &*queries {
            [query] => self.put(query, bounds, stop, consume),
            _ => once::put_all(&queries, bounds, consume, |query, bounds, consume| {
                self.put(query, bounds, stop, consume)
            }),
        }
    }

    /// Runs one query.
    fn put(
        &self,
        query: &Query,
        bounds: QueryBounds,
        stop: &Stop,
        consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
    ) -> QueryOutcome {
        let mut command = self.node_command();
        command.arg("export");
        if self.low_priority {
            command.arg("--low-priority");
        }
        // Half the CPU time for the child (measured: 60 → 30 ms).
        command.arg("--caf.scheduler.max-threads=1");
        if let Some(most) = bounds.events {
            command.arg(format!("--max-events={most}"));
        }
        command.args(["--read=-", "json"]);
        let limits = Limits {
            time: bounds.time,
            stop,
        };
        let mut lines = LineCutter::default();
        let mut count = 0;
        let result = child::run(&mut command, query.reader(), limits, |bytes| {
            let mut flow = Flow::Continue;
            lines.push(bytes, |piece| {
                if flow == Flow::Enough {
                    return;
                }
                count += 1;
                flow = piece.hand_out(|event| hand_out_restored(event, consume));
            });
            if flow == Flow::Continue {
                flow = consume(AnswerItem::Pause);
            }
            flow
        });
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                return QueryOutcome::Unreachable(format!(
                    "`{}` cannot be run: {error}",
                    self.binary.display()
                ));
            }
        };
        let answer = judge(&outcome, count);
        log_failure(&outcome, &answer);
        let whole = lines.rest().is_empty();
        let answer = match answer {
            QueryOutcome::Complete | QueryOutcome::Unconfirmed if !whole => {
                QueryOutcome::Broken("its last line has no end".to_owned())
            }
            answer => answer,
        };
        self.confirm(answer, stop)
    }
}

/// Passes on an event, restored to what the sensor wrote if VAST has kept its escapes.
fn hand_out_restored(
    event: AnswerItem<'_>,
    consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
) -> Flow {
    let AnswerItem::Line(line) = event else {
        return consume(event);
    };
    let sent = restored(line.text);
    let sent = sent.as_deref().filter(|text| {
        // Half of a surrogate pair, say: then the printed text has to do.
        serde_json::from_str::<IgnoredAny>(text).is_ok()
    });
    consume(AnswerItem::Line(EventLine { sent, ..line }))
}

/// Logs what a failed child left on standard error, for the case that the reason is
/// unknown.
fn log_failure(outcome: &ChildOutcome, answer: &QueryOutcome) {
    let ChildEnd::Exited(status) = &outcome.end else {
        return;
    };
    if status.success() || outcome.stderr.is_empty() {
        return;
    }
    let level = match answer {
        QueryOutcome::Broken(_) => Level::Warn,
        _ => Level::Debug,
    };
    let text = String::from_utf8_lossy(&outcome.stderr);
    log!(
        level,
        "`vast export` ended with {}; the last of it on standard error: {}",
        child::describe(*status),
        printable(text.trim(), child::STDERR_KEPT)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_doubted_longer_where_it_is_unusual() {
        let habit = Habit::default();
        let doubted = |habit: &Habit| (0..1000).take_while(|_| !habit.believes_silence()).count();
        assert_eq!(doubted(&habit), 2);
        assert!(habit.believes_silence());
        habit.reported();
        assert_eq!(doubted(&habit), 100);
    }
}

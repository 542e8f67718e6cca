//! Engines that can be searched. Nothing outside this folder knows their query languages
//! or command lines.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::indicator::Selection;
use crate::matching::{Attribution, Concepts, ScanError, Verdict};
use crate::observable::Observable;
use crate::process::child::Flow;
use crate::process::stop::Stop;

mod choice;
pub mod connect;
pub mod connection;
pub mod finding;
mod judge;
pub mod lines;
pub mod live;
mod once;
pub mod tenzir;
pub mod vast;
mod wanted;

pub use choice::{
    EngineChoice, EngineTarget, LOG_FILES, LiveEngine, Program, QueryScope, SharedEngine,
};
pub use connect::{ANSWER_TIME, findings, open_all};
pub use connection::{Connection, Patience};
pub use finding::Finding;
use live::LiveSource;
use wanted::Wanted;

/// All engines. A new one is a folder, a row here and a variant of [`choice::EngineChoice`].
const ENGINES: [&choice::EngineRow; 2] = [&vast::ROW, &tenzir::ROW];

/// A store of events that can be queried.
pub trait Engine {
    /// Its human-readable name.
    fn title(&self) -> &'static str;

    /// What it is and where, for logs: `VAST at localhost:42000`.
    fn name(&self) -> String;

    /// The version of its program.
    fn version(&self) -> String;

    /// Checks that it responds within this time.
    ///
    /// # Errors
    /// It does not respond, or it cannot be used.
    fn ready(&self, time: Duration, stop: &Stop) -> Result<(), NotReady>;

    /// The command that shows whether it responds, for users to try.
    fn probe_command(&self) -> String;

    /// The findings of `--check`: about its program, its node, and live matching if
    /// requested.
    fn findings(&self, _wish: Option<&LiveOptions>, stop: &Stop) -> Vec<Finding> {
        vec![match self.ready(ANSWER_TIME, stop) {
            Ok(()) => Finding::good("engine", format!("{} answers", self.name())),
            Err(error) => Finding::bad("engine", format!("{}: {}", self.name(), error.reason)),
        }]
    }

    /// The source of live matches. Starts nothing that keeps running.
    ///
    /// # Errors
    /// The human-readable reason why the engine does not support these options.
    fn live(&self, _wish: &LiveOptions, _stop: &Stop) -> Result<LiveSource, String> {
        Err(format!("{} does not report new events", self.title()))
    }

    /// The most observables per query; `None` = unlimited.
    fn most_observables(&self) -> Option<usize> {
        None
    }

    /// Whether its queries return more than the events with a value, so that each event
    /// is checked here.
    fn returns_superset(&self) -> bool {
        false
    }

    /// Whether DNS answers count like other names and addresses.
    fn counts_answers(&self) -> bool {
        true
    }

    /// Why no query can contain a value. Such a value is left out of all queries.
    fn why_unsupported(&self, _observable: &Observable) -> Option<&'static str> {
        None
    }

    /// Whether it supports queries other than for values.
    fn supports_selections(&self) -> bool {
        false
    }

    /// What the fields of its events hold, for the checks here.
    fn concepts(&self, _stop: &Stop) -> Arc<Concepts> {
        Concepts::shared()
    }

    /// Attributes the events of a query to these entries; `None` if every event of the
    /// result matches every entry.
    fn attribution(&self, entries: &[&[Observable]]) -> Option<Box<dyn Attribute>> {
        (entries.len() > 1).then(|| Box::new(Attribution::new(entries)) as Box<dyn Attribute>)
    }

    /// Runs one query for stored events, and passes on the lines of its output as they
    /// arrive.
    fn export(
        &self,
        target: QueryTarget<'_>,
        bounds: QueryBounds,
        stop: &Stop,
        consume: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
    ) -> QueryOutcome;
}

/// The stored events that a query is for.
#[derive(Clone, Copy, Debug)]
pub enum QueryTarget<'a> {
    /// Events with any of these values.
    Values(&'a [&'a Observable]),
    /// These events and possibly others, for an engine that [supports
    /// selections](Engine::supports_selections).
    Selection(&'a Selection),
}

/// Finds the entries of a query that an event of its result matched.
pub trait Attribute {
    /// Attributes one event.
    ///
    /// # Errors
    /// The line is not one JSON object; the verdict is empty then.
    fn attribute(&self, event: &EventLine<'_>, verdict: &mut Verdict) -> Result<(), ScanError>;
}

impl Attribute for Attribution {
    fn attribute(&self, event: &EventLine<'_>, verdict: &mut Verdict) -> Result<(), ScanError> {
        Attribution::attribute(self, event.judged(), verdict)
    }
}

/// The options of live matching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveOptions {
    /// The way to get matches.
    pub way: LiveEngine,
    /// The engine's own matcher.
    pub matcher_name: Option<String>,
}

/// An event in the output of a query.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventLine<'a> {
    /// The event as the engine printed it, with invalid bytes replaced.
    pub text: &'a str,
    /// The event as the sensor wrote it, if the engine changed its text. This is what is
    /// matched.
    pub sent: Option<&'a str>,
    /// The name of its schema; empty if the engine does not print it.
    pub schema: &'a str,
    /// When the engine stored it, if known.
    pub stored: Option<OffsetDateTime>,
}

impl<'a> EventLine<'a> {
    /// The text of the event to match.
    pub fn judged(&self) -> &'a str {
        self.sent.unwrap_or(self.text)
    }
}

/// The input of a query's consumer.
pub enum AnswerItem<'a> {
    /// One event.
    Line(EventLine<'a>),
    /// The beginning of a line that was too long.
    TooLong(&'a str),
    /// Everything that has arrived was passed on; more may come.
    Pause,
}

/// The limits of one query.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryBounds {
    /// The most events to return.
    pub events: Option<u64>,
    /// The time limit.
    pub time: Option<Duration>,
    /// Only events that happened (or were stored) after this time, to the second, if the
    /// engine supports that.
    pub since: Option<OffsetDateTime>,
}

/// The outcome of a query.
#[derive(Debug, PartialEq, Eq)]
pub enum QueryOutcome {
    /// Every matching event was printed, or the requested number.
    Complete,
    /// The engine ended without an error but did not report how many events it had sent.
    /// A node that is shut down ends queries in the same way.
    Unconfirmed,
    /// The engine has new fields that the query did not cover, so it has to be repeated.
    Outdated,
    /// The engine rejects the query, for this reason in its words.
    Refused(String),
    /// The node is unreachable, or was lost during the query.
    Unreachable(String),
    /// It failed otherwise; what is missing is unknown.
    Broken(String),
    /// It reached its time limit.
    TimedOut,
    /// The program stops.
    Stopped,
    /// The consumer requested no more.
    Enough,
}

impl QueryOutcome {
    /// The outcome in one word, for statistics.
    pub fn outcome(&self) -> &'static str {
        match self {
            QueryOutcome::Complete => "complete",
            QueryOutcome::Unconfirmed => "unconfirmed",
            QueryOutcome::Outdated => "outdated",
            QueryOutcome::Refused(_) => "refused",
            QueryOutcome::Unreachable(_) => "unreachable",
            QueryOutcome::Broken(_) => "broken",
            QueryOutcome::TimedOut => "timed_out",
            QueryOutcome::Stopped => "stopped",
            QueryOutcome::Enough => "enough",
        }
    }
}

/// Why an engine cannot be queried.
#[derive(Debug)]
pub struct NotReady {
    /// Human-readable.
    pub reason: String,
    /// Waiting does not help.
    pub is_final: bool,
}

impl NotReady {
    /// The engine may respond later.
    pub fn now(reason: String) -> Self {
        NotReady {
            reason,
            is_final: false,
        }
    }
}

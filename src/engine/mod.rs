//! What can answer. Only this folder knows a query language or a command line
//! of an engine.

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

pub use choice::{EngineChoice, LOG_FILES, LiveEngine, Program, QueryScope, SharedEngine, Target};
pub use connect::{ANSWER_TIME, findings, open_all};
pub use connection::{Connection, Patience};
pub use finding::Finding;
use live::Source;
use wanted::Wanted;

/// The engines that can be searched: a new one is a folder, and its row here.
const ENGINES: [&choice::Row; 2] = [&vast::ROW, &tenzir::ROW];

/// Something that holds events and can be asked for them.
pub trait Engine {
    /// What people call it.
    fn title(&self) -> &'static str;

    /// What it is and where, as logs name it: `VAST at localhost:42000`.
    fn name(&self) -> String;

    /// The version of its program.
    fn version(&self) -> String;

    /// Whether it answers, within this time.
    ///
    /// # Errors
    /// It does not, or it cannot be used.
    fn ready(&self, time: Duration, stop: &Stop) -> Result<(), NotReady>;

    /// The command that shows whether it answers, for a person to try.
    fn probe_command(&self) -> String;

    /// What `--check` says about it: about its program, its node, and live matching
    /// where that is asked for.
    fn findings(&self, _wish: Option<&LiveOptions>, stop: &Stop) -> Vec<Finding> {
        vec![match self.ready(ANSWER_TIME, stop) {
            Ok(()) => Finding::good("engine", format!("{} answers", self.name())),
            Err(error) => Finding::bad("engine", format!("{}: {}", self.name(), error.reason)),
        }]
    }

    /// Where matches in new events come from. It runs nothing yet that stays.
    ///
    /// # Errors
    /// The engine cannot do what is asked for: why, for a person.
    fn live(&self, _wish: &LiveOptions, _stop: &Stop) -> Result<Source, String> {
        Err(format!("{} tells nothing of new events", self.title()))
    }

    /// The most observables in one query; `None` = as many as there are.
    fn most_observables(&self) -> Option<usize> {
        None
    }

    /// Whether it gives more events than those that hold a value, so that each is
    /// judged here.
    fn gives_more(&self) -> bool {
        false
    }

    /// Whether answers of DNS count like any other name and address.
    fn counts_answers(&self) -> bool {
        true
    }

    /// Why no query can hold a value; it is left out of all queries.
    fn cannot_ask(&self, _observable: &Observable) -> Option<&'static str> {
        None
    }

    /// Whether it can be asked for anything but values.
    fn takes_selections(&self) -> bool {
        false
    }

    /// What the fields of its events hold, for what is checked here.
    fn concepts(&self, _stop: &Stop) -> Arc<Concepts> {
        Concepts::shared()
    }

    /// Whose are the events of a query for these entries? `None` where every
    /// event of the answer matches every entry.
    fn attribution(&self, entries: &[&[Observable]]) -> Option<Box<dyn Attribute>> {
        (entries.len() > 1).then(|| Box::new(Attribution::new(entries)) as Box<dyn Attribute>)
    }

    /// Asks once for every stored event of this kind, and hands out the lines of the
    /// answer as they come.
    fn export(
        &self,
        asked: QueryTarget<'_>,
        bounds: Bounds,
        stop: &Stop,
        consume: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> QueryOutcome;
}

/// Which stored events a query asks for.
#[derive(Clone, Copy, Debug)]
pub enum QueryTarget<'a> {
    /// Those that hold any of these.
    Values(&'a [&'a Observable]),
    /// These and perhaps others, of an engine that
    /// [takes selections](Engine::takes_selections).
    Selection(&'a Selection),
}

/// Tells which entries of a query an event of its answer matched.
pub trait Attribute {
    /// Judges one event.
    ///
    /// # Errors
    /// The line is not one JSON object; the verdict is empty then.
    fn attribute(&self, event: &Line<'_>, verdict: &mut Verdict) -> Result<(), ScanError>;
}

impl Attribute for Attribution {
    fn attribute(&self, event: &Line<'_>, verdict: &mut Verdict) -> Result<(), ScanError> {
        Attribution::attribute(self, event.judged(), verdict)
    }
}

/// How live matches are to be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveOptions {
    /// Which of the ways that there are.
    pub way: LiveEngine,
    /// The engine's own matcher.
    pub matcher_name: Option<String>,
}

/// One event of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line<'a> {
    /// The event as the engine printed it, bad bytes replaced.
    pub text: &'a str,
    /// The event as the sensor wrote it, where the engine made another text of that:
    /// what is judged.
    pub sent: Option<&'a str>,
    /// The name of its schema; empty where the engine does not tell.
    pub schema: &'a str,
    /// When the engine stored it, where it tells.
    pub stored: Option<OffsetDateTime>,
}

impl<'a> Line<'a> {
    /// What is judged of the event.
    pub fn judged(&self) -> &'a str {
        self.sent.unwrap_or(self.text)
    }
}

/// What a query's consumer gets.
pub enum Event<'a> {
    /// One event.
    Line(Line<'a>),
    /// A line that was too long; this is how it begins.
    TooLong(&'a str),
    /// All that has arrived has been handed out; more may come.
    Pause,
}

/// The bounds of one query.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// The most events that it need give.
    pub events: Option<u64>,
    /// The longest that it may take.
    pub time: Option<Duration>,
    /// Only events that happened, or were stored, later, to the second, where the
    /// engine can tell.
    pub since: Option<OffsetDateTime>,
}

/// How one query ended.
#[derive(Debug, PartialEq, Eq)]
pub enum QueryOutcome {
    /// Every event that matches was printed, or as many as were asked for.
    Complete,
    /// The engine ended without an error and without saying how many events it
    /// had sent. A node that is shut down ends queries in just this way.
    Unconfirmed,
    /// The engine has learned meanwhile of fields that the query left out: it is
    /// to be put again.
    Outdated,
    /// The engine does not take the query: the reason in its words.
    Refused(String),
    /// The node is not there, or went away in the middle.
    Unreachable(String),
    /// Something else went wrong: what is missing is not known.
    Broken(String),
    /// Its time was over.
    TimedOut,
    /// The program stops.
    Stopped,
    /// We wanted no more.
    Enough,
}

impl QueryOutcome {
    /// How the query ended, in one word for statistics.
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

/// Why an engine cannot be asked.
#[derive(Debug)]
pub struct NotReady {
    /// For a person.
    pub reason: String,
    /// Waiting does not help.
    pub is_final: bool,
}

impl NotReady {
    /// It may answer later.
    pub fn now(reason: String) -> Self {
        NotReady {
            reason,
            is_final: false,
        }
    }
}

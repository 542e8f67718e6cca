//! What live matching needs of any engine: lines as they arrive, and, if the engine
//! matches by itself, a way to update what it matches.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::engine::{AnswerItem, EventLine};
use crate::matching::{Concepts, FieldScope};
use crate::observable::EventTime;
use crate::observable::Observable;
use crate::process::stop::Stop;

/// How long the loss of a node may go unnoticed if the engine's child ends with it; that
/// time belongs to the gap.
pub const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// The source of live matches of one engine.
pub struct LiveSource {
    /// The stream of lines.
    pub stream: Box<dyn EventStream>,
    /// The remote matcher to update, if the engine matches by itself.
    pub matcher: Option<Arc<dyn RemoteMatcher>>,
    /// The fields in which a match counts, if it is found here.
    pub scope: Box<dyn FieldScope>,
    /// What the fields of events hold, for the checks here.
    pub concepts: Arc<Concepts>,
    /// Whether the engine prints whole events.
    pub knows_events: bool,
}

/// A child of an engine that prints a line for each new event or each match as it
/// happens.
pub trait EventStream: Send {
    /// Runs the child until it ends, or until `stop` is "now".
    fn run(&self, stop: &Stop, consume: &mut dyn FnMut(AnswerItem<'_>)) -> Ended;

    /// Parses one of its lines.
    ///
    /// # Errors
    /// The human-readable reason why the line is invalid.
    fn read<'a>(&self, line: &EventLine<'a>) -> Result<StreamItem<'a>, String>;

    /// Its description for the log: "matcher NAME", say.
    fn name(&self) -> String;

    /// Whether a connected child prints something even without events; otherwise a child
    /// that keeps running is considered connected.
    fn greets(&self) -> bool {
        false
    }

    /// Reloads the engine's fields after an event of this schema with an unknown field;
    /// returns whether to match the event again.
    fn learn(&self, _schema: &str, _stop: &Stop) -> bool {
        false
    }
}

/// How a stream ended.
#[derive(Debug)]
pub enum Ended {
    /// It was stopped.
    Stopped,
    /// It ended on its own, or because it was silent for too long.
    Lost {
        /// The human-readable reason.
        reason: String,
        /// The time from which new events may be missing.
        since: SystemTime,
    },
    /// The engine responds, but rejects the command, for this human-readable reason.
    Refused(String),
}

impl Ended {
    /// Lost just now.
    pub fn lost(reason: String) -> Self {
        Ended::Lost {
            reason,
            since: SystemTime::now() - NOTICED_WITHIN,
        }
    }
}

/// The content of a line.
#[derive(Debug)]
pub enum StreamItem<'a> {
    /// An event to match here.
    Event(&'a str),
    /// A match that the engine found.
    Match(Match<'a>),
}

/// A match as an engine's matcher prints it.
#[derive(Debug)]
pub struct Match<'a> {
    /// The value that matched.
    pub value: Option<Cow<'a, str>>,
    /// The id of the indicator, if the matcher reports it.
    pub id: Option<Arc<str>>,
    /// The event, or other facts about the match: a JSON object.
    pub context: Cow<'a, str>,
    /// When the event happened, if the context does not tell.
    pub time: Option<EventTime>,
}

/// Updates an engine's matcher. Each call runs one process.
pub trait RemoteMatcher: Send + Sync {
    /// The most values for one [`RemoteMatcher::add`].
    fn most_at_once(&self) -> usize;

    /// Matches these values from now on, each with the id of its indicator.
    fn add(&self, values: &[(Observable, Arc<str>)], stop: &Stop) -> UpdateOutcome;

    /// Removes this value.
    fn remove(&self, value: &Observable, stop: &Stop) -> UpdateOutcome;

    /// Whether the engine's matcher supports this value.
    ///
    /// # Errors
    /// The human-readable reason why not.
    fn check(&self, value: &Observable, id: &str) -> Result<(), String>;

    /// Whether the engine responds; called until it does.
    fn is_there(&self, stop: &Stop) -> bool;

    /// Whether an engine that was away has lost all its values.
    fn forgets(&self) -> bool;
}

/// The result of an update.
#[derive(Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// It succeeded.
    Done,
    /// The engine is away: to be repeated.
    Unreachable(String),
    /// The engine rejects it.
    Refused(String),
    /// The program stops.
    Stopped,
}

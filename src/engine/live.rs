//! What live matching needs of an engine, whichever it is: lines as they come,
//! and, where the engine matches by itself, a way to tell it for what.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::engine::{Event, Line};
use crate::matching::{Concepts, FieldScope};
use crate::observable::EventTime;
use crate::observable::Observable;
use crate::process::stop::Stop;

/// How long a loss may take to be noticed where the engine's child ends with it;
/// what happened in that time belongs to the gap.
pub const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// Where live matches come from, on one engine.
pub struct Source {
    /// What prints.
    pub feed: Box<dyn EventStream>,
    /// Who is told, where the engine matches by itself.
    pub registrar: Option<Arc<dyn RemoteMatcher>>,
    /// Where a match can be, where it is found here.
    pub reach: Box<dyn FieldScope>,
    /// What the fields of events hold, for what is checked here.
    pub concepts: Arc<Concepts>,
    /// Whether the engine prints whole events.
    pub knows_events: bool,
}

/// A child of an engine that prints a line for each new event, or for each
/// match, as they come.
pub trait EventStream: Send {
    /// Runs the child until it ends, or until `stop` says now.
    fn run(&self, stop: &Stop, consume: &mut dyn FnMut(Event<'_>)) -> Ended;

    /// Understands one of its lines.
    ///
    /// # Errors
    /// What is wrong with the line, for a person.
    fn read<'a>(&self, line: &Line<'a>) -> Result<StreamItem<'a>, String>;

    /// What it does, for the log: "matcher NAME", say.
    fn name(&self) -> String;

    /// Whether a child that is connected gives a sign of life without an event;
    /// else one that stays is taken to be connected.
    fn greets(&self) -> bool {
        false
    }

    /// Asks the engine anew which fields there are, after an event of this schema
    /// with a field that is not known; says whether to look at that event again.
    fn learn(&self, _schema: &str, _stop: &Stop) -> bool {
        false
    }
}

/// How a feed ended.
#[derive(Debug)]
pub enum Ended {
    /// As it was told to.
    Stopped,
    /// By itself, or because it gave no sign of life any more.
    Lost {
        /// Why, for a person.
        reason: String,
        /// Since when new events may be missing.
        since: SystemTime,
    },
    /// The engine answers, but does not take the command: why, for a person.
    Refused(String),
}

impl Ended {
    /// It was lost a moment ago.
    pub fn lost(reason: String) -> Self {
        Ended::Lost {
            reason,
            since: SystemTime::now() - NOTICED_WITHIN,
        }
    }
}

/// What a line is.
#[derive(Debug)]
pub enum StreamItem<'a> {
    /// An event, to be matched here.
    Event(&'a str),
    /// A match that the engine found.
    Match(Match<'a>),
}

/// A match as an engine's matcher prints it.
#[derive(Debug)]
pub struct Match<'a> {
    /// The value that matched.
    pub value: Option<Cow<'a, str>>,
    /// The id of the indicator, where the matcher knows it.
    pub id: Option<Arc<str>>,
    /// The event, or what else is known of the match: a JSON object.
    pub context: Cow<'a, str>,
    /// When the event happened, where the context does not tell.
    pub time: Option<EventTime>,
}

/// The way to tell an engine's matcher what to match. Each call runs one process.
pub trait RemoteMatcher: Send + Sync {
    /// The most values that [`RemoteMatcher::add`] takes.
    fn most_at_once(&self) -> usize;

    /// Matches these values from now on, each with the id of its indicator.
    fn add(&self, values: &[(Observable, Arc<str>)], stop: &Stop) -> UpdateOutcome;

    /// Matches this value no more.
    fn remove(&self, value: &Observable, stop: &Stop) -> UpdateOutcome;

    /// Whether the engine's matcher can have this value.
    ///
    /// # Errors
    /// Why not, for a person.
    fn check(&self, value: &Observable, id: &str) -> Result<(), String>;

    /// Whether the engine answers; asked until it does.
    fn is_there(&self, stop: &Stop) -> bool;

    /// Whether an engine that was away has forgotten all that it was told.
    fn forgets(&self) -> bool;
}

/// What became of something that the engine was told.
#[derive(Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// It knows.
    Done,
    /// It is away: to be told again.
    Unreachable(String),
    /// It does not take that.
    Refused(String),
    /// The program stops.
    Stopped,
}

//! The available engines, and the options for the one to search.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ENGINES, Engine};
use crate::indicator::Indicator;
use crate::matching::Mode;
use crate::process::endpoint::Endpoint;
use crate::process::stop::Stop;

/// An engine shared by several threads.
pub type SharedEngine = Arc<dyn Engine + Send + Sync>;

/// One engine in the table of engines.
pub struct EngineRow {
    /// The choice that stands for it.
    pub choice: EngineChoice,
    /// The word for it: the value of `--engine`, and the scheme of its nodes.
    pub word: &'static str,
    /// The word's meaning, for the help.
    pub meaning: &'static str,
    /// Its human-readable name.
    pub title: &'static str,
    /// Its default program.
    pub program: &'static str,
    /// Runs a program to find out whether it is this engine's, and its version.
    pub identify: fn(&Path, &Stop) -> Identified,
    /// The queries for a single indicator if nothing is known about the node; empty if it
    /// cannot be queried.
    pub queries: fn(&Indicator, Mode) -> Vec<String>,
}

/// What a program reported about itself.
pub struct Identified {
    /// Whether it is the program of this engine.
    pub is_it: bool,
    /// Makes an engine from the program and a node.
    pub open: Box<OpenEngine>,
}

/// Takes the program, the node to query, and the scope of queries.
type OpenEngine = dyn Fn(PathBuf, Option<Endpoint>, QueryScope, &Stop) -> SharedEngine;

/// The scope of an engine's queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryScope {
    /// How far a match goes.
    pub mode: Mode,
    /// Whether DNS answers count like other names and addresses.
    pub answers: bool,
}

/// The engine to query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// As the program reports.
    #[default]
    Auto,
    /// VAST.
    Vast,
    /// Tenzir.
    Tenzir,
    /// None: log files are read.
    Files,
}

impl EngineChoice {
    /// All choices: the word for each, and its meaning.
    fn all() -> impl Iterator<Item = (EngineChoice, &'static str, &'static str)> {
        let engines = ENGINES.into_iter();
        let engines = engines.map(|row| (row.choice, row.word, row.meaning));
        let by_program = "files with --events, else by the version of the program";
        std::iter::once((EngineChoice::Auto, "auto", by_program))
            .chain(engines)
            .chain([(EngineChoice::Files, "files", "the log files of --events")])
    }

    /// The words for the choices, each with its meaning.
    pub fn words() -> Vec<(&'static str, &'static str)> {
        Self::all()
            .map(|(_, word, meaning)| (word, meaning))
            .collect()
    }

    /// The choice that a word stands for, in any case.
    pub fn named(text: &str) -> Option<Self> {
        let mut all = Self::all();
        let found = all.find(|(_, word, _)| word.eq_ignore_ascii_case(text));
        found.map(|(choice, ..)| choice)
    }

    /// The engine whose nodes have this scheme, in any case.
    pub fn with_scheme(scheme: &str) -> Option<Self> {
        Self::named(scheme).filter(|choice| choice.row().is_some())
    }

    /// The schemes of all engines, for messages.
    pub fn schemes() -> String {
        ENGINES.map(|row| format!("{}://", row.word)).join(" and ")
    }

    /// The engine's row; `None` if the program decides, or if files are read.
    pub(super) fn row(self) -> Option<&'static EngineRow> {
        ENGINES.into_iter().find(|row| row.choice == self)
    }

    /// The engine's row, or the first one if the engine is not known.
    fn row_or_first(self) -> &'static EngineRow {
        self.row().unwrap_or(ENGINES[0])
    }

    /// Its default program.
    pub fn program(self) -> &'static str {
        self.row_or_first().program
    }

    /// Its human-readable name.
    pub fn title(self) -> &'static str {
        self.row_or_first().title
    }

    /// The queries for a single indicator, as far as they are known without a node: in
    /// the engine's language, the cheaper ones first. Empty if nothing narrows the query,
    /// or if the engine cannot be queried for it.
    pub fn queries(self, indicator: &Indicator, mode: Mode) -> Vec<String> {
        (self.row_or_first().queries)(indicator, mode)
    }
}

/// A program, and the node that it queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name or path; `None` = the engine's own.
    pub path: Option<PathBuf>,
    /// The node's address; `None` = the default of the engine.
    pub endpoint: Option<Endpoint>,
    /// The scope of queries.
    pub scope: QueryScope,
}

/// The name of log files among engines.
pub const LOG_FILES: &str = "files";

/// An engine to query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineTarget {
    /// Its name.
    pub name: Arc<str>,
    /// The kind of engine.
    pub choice: EngineChoice,
    /// Its program and node.
    pub program: Program,
}

/// How live matching gets its matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LiveEngine {
    /// The best way that this VAST supports.
    #[default]
    Auto,
    /// A matcher that the node runs, 2021.08 to 3.x.
    Attach,
    /// A matcher that this program starts, 2020.
    Start,
    /// Every new event is matched here.
    Continuous,
}

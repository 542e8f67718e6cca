//! Which engines there are, and what is said of the one to search.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ENGINES, Engine};
use crate::indicator::Indicator;
use crate::matching::Mode;
use crate::process::endpoint::Endpoint;
use crate::process::stop::Stop;

/// An engine that several threads use.
pub type SharedEngine = Arc<dyn Engine + Send + Sync>;

/// One engine in the table of them.
pub struct Row {
    /// The choice that names it.
    pub choice: EngineChoice,
    /// What people call it.
    pub title: &'static str,
    /// The program that it is asked with where none is named.
    pub program: &'static str,
    /// Asks a program whether it is this engine's, and for its version.
    pub identify: fn(&Path, &Stop) -> Identified,
    /// What is asked for an indicator alone, where nothing is known of the node: none
    /// where it cannot be asked for.
    pub queries: fn(&Indicator, Mode) -> Vec<String>,
}

/// What a program said of itself.
pub struct Identified {
    /// Whether it said that it is the program of this engine.
    pub is_it: bool,
    /// Makes an engine of the program and a node that it is to ask.
    pub open: Box<Open>,
}

/// Of a program, the node that it is to ask, and how far its queries go.
type Open = dyn Fn(PathBuf, Option<Endpoint>, QueryScope, &Stop) -> SharedEngine;

/// How far the queries of an engine go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryScope {
    /// How far.
    pub mode: Mode,
    /// Whether answers of DNS count like any other name and address.
    pub answers: bool,
}

/// Which engine to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// What the program says that it is.
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
    /// The engine's row; `None` where the program tells, or files are read.
    pub(super) fn row(self) -> Option<&'static Row> {
        ENGINES.into_iter().find(|row| row.choice == self)
    }

    /// The row of the engine that is meant where nothing is known of it.
    fn row_or_first(self) -> &'static Row {
        self.row().unwrap_or(ENGINES[0])
    }

    /// The program that it is asked with where none is named.
    pub fn program(self) -> &'static str {
        self.row_or_first().program
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        self.row_or_first().title
    }

    /// What the engine is asked for to find an indicator alone, as far as that is known
    /// without a node: in the engine's language, the cheaper queries first. None where
    /// nothing narrows the query, or the engine cannot be asked.
    pub fn queries(self, indicator: &Indicator, mode: Mode) -> Vec<String> {
        (self.row_or_first().queries)(indicator, mode)
    }
}

/// A program, and the node that it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name or path; `None` = the engine's own.
    pub path: Option<PathBuf>,
    /// Where the node listens; `None` = where the engine's nodes do.
    pub endpoint: Option<Endpoint>,
    /// How far queries go.
    pub reach: QueryScope,
}

/// What log files are called among engines.
pub const LOG_FILES: &str = "files";

/// An engine that is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is called.
    pub name: Arc<str>,
    /// Which engine it is.
    pub choice: EngineChoice,
    /// Its program and node.
    pub program: Program,
}

/// How live matching learns of matches in new events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LiveEngine {
    /// Whatever this VAST knows.
    #[default]
    Auto,
    /// A matcher that the node runs, 2021.08 to 3.x.
    Attach,
    /// A matcher of one's own, 2020.
    Start,
    /// Every new event is matched here.
    Continuous,
}

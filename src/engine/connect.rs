//! Which engine is it, and does it answer?

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::tenzir::client::Client as Tenzir;
use super::vast::client::{self as vast, Client as Vast};
use super::vast::version::Version;
use super::{Engine, LiveWish, NotReady, tenzir};
use crate::engine::Finding;
use crate::process::endpoint::Endpoint;
use crate::process::stop::{Backoff, Stop};

/// How long a node, or a program asked for its version, may take to answer. They
/// take 25 ms; with a frozen node some never answer (measured).
pub const ANSWER_TIME: Duration = Duration::from_secs(10);

/// How long the last try at start gets at the least, so that its answer, and not
/// the lack of time for one, is what is told.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// Which engine to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
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

impl Choice {
    /// The program that it is asked with where none is named.
    pub fn program(self) -> &'static str {
        match self {
            Choice::Tenzir => "tenzir",
            Choice::Auto | Choice::Vast | Choice::Files => "vast",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Choice::Tenzir => "Tenzir",
            Choice::Auto | Choice::Vast | Choice::Files => "VAST",
        }
    }
}

/// A program, and the node that it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name or path; `None` = the engine's own.
    pub path: Option<PathBuf>,
    /// Where the node listens; `None` = where the engine's nodes do.
    pub endpoint: Option<Endpoint>,
}

/// The engine did not answer when the program started, or cannot be used.
#[derive(Debug)]
pub struct Unreachable {
    title: &'static str,
    name: String,
    question: String,
    tried_for: Option<Duration>,
    last: String,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unreachable {
            title,
            name,
            question,
            last,
            ..
        } = self;
        match self.tried_for {
            Some(time) => write!(
                f,
                "cannot reach {name}: tried `{question}` for {:.0} s, at last {last}; is the {title} \
                 node running there (--vast)?",
                time.as_secs_f64()
            ),
            None => write!(f, "cannot use {name}: {last}"),
        }
    }
}

/// Finds out which engine the program is and waits until its node answers, for
/// at most `timeout`. `None` where the program is stopped meanwhile.
///
/// # Errors
/// The node did not answer in time, or cannot be used.
pub fn connect(
    choice: Choice,
    program: &Program,
    timeout: Option<Duration>,
    stop: &Stop,
) -> Result<Option<Arc<dyn Engine + Send + Sync>>, Unreachable> {
    let started = Instant::now();
    let engine = open(choice, program, stop);
    let name = engine.name();
    let unreachable = |tried_for, last| Unreachable {
        title: engine.title(),
        name: name.clone(),
        question: engine.question(),
        tried_for,
        last,
    };
    let mut backoff = Backoff::new();
    loop {
        let spent = started.elapsed();
        let left = timeout.map(|limit| limit.saturating_sub(spent));
        let answer_time = left.map_or(ANSWER_TIME, |left| left.clamp(LEAST_TIME, ANSWER_TIME));
        let NotReady { reason, is_final } = match engine.ready(answer_time, stop) {
            Ok(()) => {
                let place = name.strip_prefix(engine.title()).unwrap_or_default();
                info!("{} {} answers{place}", engine.title(), engine.version());
                return Ok(Some(engine));
            }
            Err(error) => error,
        };
        if is_final {
            return Err(unreachable(None, reason));
        }
        let pause = backoff.pause();
        let left = timeout.map(|limit| limit.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(unreachable(Some(started.elapsed()), reason));
        }
        if stop.is_draining() {
            return Ok(None);
        }
        warn!("{name} is not ready: {reason}; trying again");
        if stop.sleep(left.map_or(pause, |left| left.min(pause))) {
            return Ok(None);
        }
    }
}

/// What `--check` says about the engine.
pub fn findings(
    choice: Choice,
    program: &Program,
    wish: Option<&LiveWish>,
    stop: &Stop,
) -> Vec<Finding> {
    open(choice, program, stop).findings(wish, stop)
}

fn open(choice: Choice, program: &Program, stop: &Stop) -> Arc<dyn Engine + Send + Sync> {
    let path = program.path.clone();
    let path = path.unwrap_or_else(|| Path::new(choice.program()).to_owned());
    let endpoint = program.endpoint.clone();
    let kind = match choice {
        Choice::Tenzir => Kind::Tenzir(tenzir::client::version(&path, stop)),
        Choice::Auto => recognise(&path, stop),
        Choice::Vast | Choice::Files => Kind::Vast(vast::version(&path, stop)),
    };
    match kind {
        Kind::Tenzir(version) => Arc::new(Tenzir::new(path, endpoint, version)),
        Kind::Vast(version) => Arc::new(Vast::new(path, endpoint, version, stop)),
    }
}

/// Which of the two a program is, with the version that it names: it is asked for
/// that once.
enum Kind {
    Vast(Result<Version, String>),
    Tenzir(Option<String>),
}

/// Its name only tells how it is asked first: a `tenzir` that is asked as one is
/// asked a `vast` would open a port.
fn recognise(path: &Path, stop: &Stop) -> Kind {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let as_tenzir = || tenzir::client::version(path, stop);
    let as_vast = || vast::version(path, stop);
    if name.contains("tenzir") {
        return match as_tenzir() {
            Some(version) => Kind::Tenzir(Some(version)),
            None => as_vast().map_or(Kind::Tenzir(None), |version| Kind::Vast(Ok(version))),
        };
    }
    match as_vast() {
        Ok(version) => Kind::Vast(Ok(version)),
        Err(reason) => match as_tenzir() {
            Some(version) => Kind::Tenzir(Some(version)),
            None => Kind::Vast(Err(reason)),
        },
    }
}

//! Which engine is it, and does it answer?

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::choice::{Choice, Identified, Program, Row, SharedEngine};
use super::{ENGINES, Finding, LiveWish, NotReady};
use crate::process::stop::{Backoff, Stop};

/// How long a node, or a program asked for its version, may take to answer. They
/// take 25 ms; with a frozen node some never answer (measured).
pub const ANSWER_TIME: Duration = Duration::from_secs(10);

/// How long the last try at start gets at the least, so that its answer, and not
/// the lack of time for one, is what is told.
const LEAST_TIME: Duration = Duration::from_secs(1);

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
                 node running there ({})?",
                time.as_secs_f64(),
                endpoint_option(title)
            ),
            None => write!(f, "cannot use {name}: {last}"),
        }
    }
}

/// The option that says where the node of this engine listens, as its users know it.
fn endpoint_option(title: &str) -> &'static str {
    if title == super::vast::ROW.title {
        "--vast"
    } else {
        "--engine-endpoint"
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
) -> Result<Option<SharedEngine>, Unreachable> {
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
        warn!(engine:% = name, reason:% = reason; "{name} is not ready: {reason}; trying again");
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

fn open(choice: Choice, program: &Program, stop: &Stop) -> SharedEngine {
    let path = program.path.clone();
    let path = path.unwrap_or_else(|| Path::new(choice.program()).to_owned());
    let identified = match choice.row() {
        Some(row) => (row.identify)(&path, stop),
        None => recognise(&path, stop),
    };
    (identified.open)(path, program.endpoint.clone(), program.reach, stop)
}

/// Which of the engines a program is. Its name only tells how it is asked first: a
/// `tenzir` that is asked as a `vast` would open a port. Where it says of none that it
/// is that one, it counts as the first that was asked.
fn recognise(path: &Path, stop: &Stop) -> Identified {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_named = |row: &&&Row| name.contains(row.program);
    // A name with both is a Tenzir that took the other's place.
    let named = ENGINES.iter().filter(is_named).rev();
    let others = ENGINES.iter().filter(|row| !is_named(row));
    let mut first = None;
    for row in named.chain(others) {
        let identified = (row.identify)(path, stop);
        if identified.is_it {
            return identified;
        }
        first.get_or_insert(identified);
    }
    first.expect("the table of engines is not empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_reached_is_named_with_the_option_of_the_engine() {
        let of = |title| Unreachable {
            title,
            name: format!("{title} at localhost:1"),
            question: "vast status".to_owned(),
            tried_for: Some(Duration::from_secs(3)),
            last: "refused".to_owned(),
        };
        let vast = of("VAST").to_string();
        assert!(
            vast.ends_with("is the VAST node running there (--vast)?"),
            "{vast}"
        );
        let tenzir = of("Tenzir").to_string();
        assert!(
            tenzir.ends_with("node running there (--engine-endpoint)?"),
            "{tenzir}"
        );
    }
}

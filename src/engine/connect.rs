//! Which engine is it, and does it answer?

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{debug, info, warn};

use super::choice::{EngineChoice, Identified, Program, Row, SharedEngine, Target};
use super::connection::{Connection, Patience};
use super::{ENGINES, Finding, LiveOptions, NotReady};
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

/// Finds out which engine each of these is: of the same program, once. No node is asked.
pub fn open_all(targets: &[Target], stop: &Stop) -> Vec<SharedEngine> {
    let mut known: Vec<(EngineChoice, &Option<PathBuf>, Identified)> = Vec::new();
    let mut engines = Vec::new();
    for Target {
        choice, program, ..
    } in targets
    {
        let is_it = |(of, path, _): &(EngineChoice, &Option<PathBuf>, _)| {
            of == choice && *path == &program.path
        };
        let number = known.iter().position(is_it).unwrap_or_else(|| {
            known.push((*choice, &program.path, identify(*choice, program, stop)));
            known.len() - 1
        });
        let identified = &known[number].2;
        engines.push((identified.open)(
            path_of(*choice, program),
            program.endpoint.clone(),
            program.reach,
            stop,
        ));
    }
    engines
}

/// Waits until a node answers; `false` where the program is stopped meanwhile.
pub(super) fn connect_to(
    connection: &Connection,
    patience: Patience,
    stop: &Stop,
) -> Result<bool, Unreachable> {
    let started = Instant::now();
    let engine = connection.engine();
    let name = connection.title();
    let unreachable = |tried_for, last| Unreachable {
        title: engine.title(),
        name: name.clone(),
        question: engine.probe_command(),
        tried_for,
        last,
    };
    let timeout = match patience {
        Patience::Limited(timeout) => timeout,
        Patience::ForEver => None,
    };
    let mut backoff = Backoff::new();
    let mut told = None;
    loop {
        let spent = started.elapsed();
        let left = timeout.map(|limit| limit.saturating_sub(spent));
        let answer_time = left.map_or(ANSWER_TIME, |left| left.clamp(LEAST_TIME, ANSWER_TIME));
        let NotReady { reason, is_final } = match engine.ready(answer_time, stop) {
            Ok(()) => {
                let place = name.strip_prefix(engine.title());
                let place = place.map_or_else(|| format!(", {name},"), str::to_owned);
                info!("{} {} answers{place}", engine.title(), engine.version());
                return Ok(true);
            }
            Err(error) => error,
        };
        if is_final && patience != Patience::ForEver {
            return Err(unreachable(None, reason));
        }
        let pause = backoff.pause();
        let left = timeout.map(|limit| limit.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(unreachable(Some(started.elapsed()), reason));
        }
        if stop.is_draining() {
            return Ok(false);
        }
        let engine = connection.called();
        match patience {
            Patience::Limited(_) => {
                warn!(engine, reason:% = reason; "{name} is not ready: {reason}; trying again");
            }
            // Once for each reason: this may go on for days.
            Patience::ForEver if told.as_ref() != Some(&reason) => {
                warn!(engine, reason:% = reason; "{name} is not ready: {reason}; tried until it is");
            }
            Patience::ForEver => debug!("{name} is still not ready: {reason}"),
        }
        told = Some(reason);
        if stop.sleep(left.map_or(pause, |left| left.min(pause))) {
            return Ok(false);
        }
    }
}

/// What `--check` says about the engines, each with its number among them.
pub fn findings(
    targets: &[Target],
    wish: Option<&LiveOptions>,
    stop: &Stop,
) -> Vec<(usize, Finding)> {
    let engines = open_all(targets, stop);
    // Each may wait for a node that does not answer.
    let ask = |engine: &SharedEngine| engine.findings(wish, stop);
    let found: Vec<Vec<Finding>> = std::thread::scope(|scope| {
        let asking: Vec<_> = engines
            .iter()
            .map(|engine| scope.spawn(move || ask(engine)))
            .collect();
        let defect = |_| vec![Finding::bad("engine", "a defect of this program")];
        let found = asking
            .into_iter()
            .map(|one| one.join().unwrap_or_else(defect));
        found.collect()
    });
    let numbered = found.into_iter().enumerate();
    numbered
        .flat_map(|(number, all)| all.into_iter().map(move |one| (number, one)))
        .collect()
}

fn path_of(choice: EngineChoice, program: &Program) -> PathBuf {
    let path = program.path.clone();
    path.unwrap_or_else(|| Path::new(choice.program()).to_owned())
}

fn identify(choice: EngineChoice, program: &Program, stop: &Stop) -> Identified {
    let path = path_of(choice, program);
    match choice.row() {
        Some(row) => (row.identify)(&path, stop),
        None => recognise(&path, stop),
    }
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

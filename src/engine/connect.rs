//! Identifies engines and connects to them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{debug, info, warn};

use super::choice::{EngineChoice, EngineRow, EngineTarget, Identified, Program, SharedEngine};
use super::connection::{Connection, Patience};
use super::{ENGINES, Finding, LiveOptions, NotReady};
use crate::process::stop::{Backoff, Stop};

/// How long a node may take to respond, or a program to report its version. They take 25
/// ms; with a frozen node some never respond (measured).
pub const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The shortest time for the last try at start, so that its result is reported and not
/// the lack of time.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// The engine did not respond at start, or cannot be used.
#[derive(Debug)]
pub struct EngineUnreachable {
    title: &'static str,
    name: String,
    probe: String,
    tried_for: Option<Duration>,
    last: String,
}

impl fmt::Display for EngineUnreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EngineUnreachable {
            title,
            name,
            probe,
            last,
            ..
        } = self;
        match self.tried_for {
            Some(time) => write!(
                f,
                "cannot reach {name}: tried `{probe}` for {:.0} s, at last {last}; is the {title} \
                 node running there ({})?",
                time.as_secs_f64(),
                endpoint_option(title)
            ),
            None => write!(f, "cannot use {name}: {last}"),
        }
    }
}

/// The option for the node of this engine, as its users know it.
fn endpoint_option(title: &str) -> &'static str {
    if title == super::vast::ROW.title {
        "--vast"
    } else {
        "--engine-endpoint"
    }
}

/// Identifies each of these engines, running each program only once. No node is queried.
pub fn open_all(targets: &[EngineTarget], stop: &Stop) -> Vec<SharedEngine> {
    let mut known: Vec<(EngineChoice, &Option<PathBuf>, Identified)> = Vec::new();
    let mut engines = Vec::new();
    for EngineTarget {
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
            program.scope,
            stop,
        ));
    }
    engines
}

/// Waits until a node responds; `false` if the program stops first.
pub(super) fn connect_to(
    connection: &Connection,
    patience: Patience,
    stop: &Stop,
) -> Result<bool, EngineUnreachable> {
    let started = Instant::now();
    let engine = connection.engine();
    let name = connection.title();
    let unreachable = |tried_for, last| EngineUnreachable {
        title: engine.title(),
        name: name.clone(),
        probe: engine.probe_command(),
        tried_for,
        last,
    };
    let timeout = match patience {
        Patience::Limited(timeout) => timeout,
        Patience::ForEver => None,
    };
    let mut backoff = Backoff::new();
    let mut logged = None;
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
            // Logged once for each reason, since this may go on for days.
            Patience::ForEver if logged.as_ref() != Some(&reason) => {
                warn!(engine, reason:% = reason; "{name} is not ready: {reason}; trying until it is");
            }
            Patience::ForEver => debug!("{name} is still not ready: {reason}"),
        }
        logged = Some(reason);
        if stop.sleep(left.map_or(pause, |left| left.min(pause))) {
            return Ok(false);
        }
    }
}

/// The findings of `--check` about the engines, each with the engine's number.
pub fn findings(
    targets: &[EngineTarget],
    options: Option<&LiveOptions>,
    stop: &Stop,
) -> Vec<(usize, Finding)> {
    let engines = open_all(targets, stop);
    // In parallel, since each may wait for a node that does not respond.
    let ask = |engine: &SharedEngine| engine.findings(options, stop);
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

/// Identifies the engine of a program. The name only decides which is tried first: a
/// `tenzir` that is run like a `vast` would open a port. If the program is of no known engine, the
/// first one tried is assumed.
fn recognise(path: &Path, stop: &Stop) -> Identified {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_named = |row: &&&EngineRow| name.contains(row.program);
    // A name with both is a Tenzir in place of the other.
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
    fn an_unreachable_engine_is_named_with_its_option() {
        let of = |title| EngineUnreachable {
            title,
            name: format!("{title} at localhost:1"),
            probe: "vast status".to_owned(),
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

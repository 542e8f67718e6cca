//! The thread of one place, which owns the process in it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::{debug, warn};

use super::pace::{MOST_BYTES, MOST_CONTEXTS};
use super::round::{Round, RoundFault};
use super::schedule::Begun;
use super::{CommandKey, SharedPool, TransformInput, TransformJob, TransformOutput, lock};
use crate::observe::logging::printable;
use crate::process::child;
use crate::process::child::resident::Resident;
use crate::protocol::Context;
use crate::sighting::transform::TransformError;

/// The process in the place.
struct Tenant {
    key: CommandKey,
    process: Resident,
    rounds: u64,
}

/// Why a round has no results.
enum Trouble {
    /// The program stops.
    Stopped,
    /// The command made a mistake.
    Misbehaved(String),
}

impl From<RoundFault> for Trouble {
    fn from(fault: RoundFault) -> Self {
        Trouble::Misbehaved(fault.to_string())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Trouble::Misbehaved(format!("it cannot be run: {error}"))
    }
}

/// The state of a place's thread.
pub(super) struct TransformWorker {
    shared: Arc<SharedPool>,
    place: usize,
    tenant: Option<Tenant>,
}

impl TransformWorker {
    pub(super) fn new(shared: Arc<SharedPool>, place: usize) -> Self {
        TransformWorker {
            shared,
            place,
            tenant: None,
        }
    }

    /// Works until no more jobs arrive.
    pub(super) fn run(mut self, jobs: &Receiver<Begun<TransformJob>>) {
        for Begun {
            jobs, is_pressed, ..
        } in jobs
        {
            let inputs: Vec<&TransformInput> = jobs.iter().flat_map(|job| &job.inputs).collect();
            let mut outputs = self.answer(&jobs[0].key, &inputs, is_pressed).into_iter();
            for job in jobs {
                let own = outputs.by_ref().take(job.inputs.len()).collect();
                job.reply(own);
            }
            self.shared.done(self.place, self.tenant.is_some());
        }
        self.evict();
    }

    fn answer(
        &mut self,
        key: &CommandKey,
        inputs: &[&TransformInput],
        is_pressed: bool,
    ) -> Vec<TransformOutput> {
        let mut outputs = Vec::with_capacity(inputs.len());
        while let Some(rest) = inputs.get(outputs.len()..).filter(|rest| !rest.is_empty()) {
            let (is_paused, waits_for_end, lines) = {
                let pace = lock(&self.shared.pace);
                (
                    pace.is_paused(Instant::now()),
                    pace.waits_for_end(),
                    pace.lines(),
                )
            };
            if is_paused {
                outputs.push(self.shared.transform_alone(rest[0]));
                continue;
            }
            let count = fitting(rest, lines);
            let closes = waits_for_end || (is_pressed && count == rest.len());
            self.transform(key, &rest[..count], closes, &mut outputs);
        }
        outputs
    }

    /// Transforms these at once or, if that fails, one by one.
    fn transform(
        &mut self,
        key: &CommandKey,
        inputs: &[&TransformInput],
        closes: bool,
        outputs: &mut Vec<TransformOutput>,
    ) {
        let started = Instant::now();
        match self.round(key, inputs, closes) {
            Ok(contexts) => {
                lock(&self.shared.pace).went_well(inputs.len(), started.elapsed());
                outputs.extend(contexts.into_iter().map(Ok));
            }
            Err(Trouble::Stopped) => {
                self.tenant = None;
                let stopped = || Err(TransformError::new("the program was stopped"));
                outputs.extend(inputs.iter().map(|_| stopped()));
            }
            Err(Trouble::Misbehaved(reason)) => {
                self.tenant = None;
                let count = inputs.len();
                self.shared.metrics.transforms_repeated.add(count as u64);
                self.shared.metrics.child_restarts.count("transform");
                warn!(
                    "--transform-context, which stays{}: {reason}; its {count} context(s) are \
                     transformed once more, one by one",
                    about(key)
                );
                lock(&self.shared.pace).failed(Instant::now());
                outputs.extend(inputs.iter().map(|one| self.shared.transform_alone(one)));
            }
        }
    }

    fn round(
        &mut self,
        key: &CommandKey,
        inputs: &[&TransformInput],
        closes: bool,
    ) -> Result<Vec<Context<'static>>, Trouble> {
        self.settle_in(key, inputs[0])?;
        let shared = self.shared.clone();
        let mut tenant = self.tenant.take().expect("it has just moved in");
        let text = lines_of(inputs);
        let mut exchange = Exchange {
            shared: &shared,
            process: &mut tenant.process,
            unsent: &text,
            round: Round::new(inputs.len()),
            closes,
            was_silent: false,
            heard: Instant::now(),
            has_read: false,
        };
        let has_ended = exchange.run(tenant.rounds == 0)?;
        let round = exchange.round;
        if !has_ended {
            tenant.rounds += 1;
            self.tenant = Some(tenant);
        }
        Ok(round.finish()?)
    }

    /// Ensures that the place has a process for this key that waits for input.
    fn settle_in(&mut self, key: &CommandKey, input: &TransformInput) -> Result<(), Trouble> {
        if self
            .tenant
            .as_ref()
            .is_some_and(|tenant| tenant.key != *key)
        {
            self.evict();
        }
        if let Some(tenant) = &mut self.tenant {
            let turn = tenant
                .process
                .turn(b"", Duration::ZERO, &self.shared.stop)?;
            if !turn.output.is_empty() {
                let reason = "it printed a line behind its outputs";
                return Err(Trouble::Misbehaved(reason.to_owned()));
            }
            if turn.ended || tenant.process.has_exited() {
                debug!("--transform-context ended between two contexts; it is started again");
                self.tenant = None;
            }
        }
        if self.tenant.is_none() {
            let template = &self.shared.template;
            let mut command = child::command(Path::new(template.program()));
            command.args(template.arguments(&input.ioc, input.match_type.as_str()));
            self.tenant = Some(Tenant {
                key: key.clone(),
                process: Resident::start(&mut command)?,
                rounds: 0,
            });
        }
        Ok(())
    }

    /// Ends the process of the place.
    fn evict(&mut self) {
        if let Some(tenant) = self.tenant.take() {
            let grace = if self.shared.stop.is_now() {
                Duration::ZERO
            } else {
                self.shared.times.exit
            };
            tenant.process.retire(grace);
        }
    }
}

/// A round in progress.
struct Exchange<'a> {
    shared: &'a SharedPool,
    process: &'a mut Resident,
    unsent: &'a [u8],
    round: Round,
    /// Whether the input is closed after the last context.
    closes: bool,
    /// Whether it was closed because no result arrived.
    was_silent: bool,
    /// When the process last read or printed something.
    heard: Instant,
    has_read: bool,
}

/// How often to check whether a process has read its input: there is no event for this.
const INPUT_CHECK_INTERVAL: Duration = Duration::from_millis(20);

impl Exchange<'_> {
    /// Sends the input and reads the output; returns whether the process has ended.
    fn run(&mut self, is_first: bool) -> Result<bool, Trouble> {
        loop {
            if self.unsent.is_empty() && self.closes {
                self.process.close_input();
            }
            if self.unsent.is_empty() && self.round.is_full() && self.process.takes_input() {
                return self.settle(is_first);
            }
            let limit = self.time_left()?;
            if self.turn(limit)? {
                return self.end().map(|()| true);
            }
        }
    }

    /// One turn; returns whether the output has ended.
    fn turn(&mut self, limit: Duration) -> Result<bool, Trouble> {
        let stop = &self.shared.stop;
        let turn = self.process.turn(self.unsent, limit, stop)?;
        self.unsent = &self.unsent[turn.written..];
        if turn.written > 0 || !turn.output.is_empty() {
            self.heard = Instant::now();
        }
        let ended = turn.ended;
        self.round.take(turn.output)?;
        if !self.unsent.is_empty() && !self.process.takes_input() {
            // It no longer reads, but its output still counts.
            self.unsent = &[];
        }
        Ok(ended)
    }

    /// How long the next result may take. If the command prints nothing, its input is
    /// closed first: it may wait for that.
    fn time_left(&mut self) -> Result<Duration, Trouble> {
        let stop = &self.shared.stop;
        let now = Instant::now();
        let grace = stop
            .drained_by()
            .map(|by| by.saturating_duration_since(now));
        if stop.is_now() || grace.is_some_and(|grace| grace.is_zero()) {
            return Err(Trouble::Stopped);
        }
        let times = &self.shared.times;
        if !self.has_read && self.unsent.is_empty() && self.process.unread() == 0 {
            self.has_read = true;
            self.heard = now;
        }
        let silent = now.saturating_duration_since(self.heard);
        let patience = if self.has_read {
            times.patience
        } else {
            times.start
        };
        if !self.closes && silent >= patience {
            self.closes = true;
            self.was_silent = true;
            self.heard = now;
            return Ok(Duration::ZERO);
        }
        let limit = if self.closes { times.limit } else { patience };
        let left = limit.saturating_sub(silent);
        if left.is_zero() {
            let reason = format!(
                "it printed nothing for {:.1} s and {} line(s) before",
                limit.as_secs_f64(),
                self.round.count()
            );
            return Err(Trouble::Misbehaved(reason));
        }
        let left = if self.has_read || self.closes {
            left
        } else {
            left.min(INPUT_CHECK_INTERVAL)
        };
        Ok(grace.map_or(left, |grace| left.min(grace)))
    }

    /// All results are there and the process still runs: it must have read all its input,
    /// and print nothing more.
    fn settle(&mut self, is_first: bool) -> Result<bool, Trouble> {
        let times = &self.shared.times;
        let limit = if is_first {
            times.first_settling
        } else {
            times.settling
        };
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let ended = self.turn(left)?;
            if self.process.unread() > 0 {
                let reason = "it printed a line for each context before it had read all of them";
                return Err(Trouble::Misbehaved(reason.to_owned()));
            }
            if ended {
                return self.end().map(|()| true);
            }
            if left.is_zero() || self.shared.stop.is_now() {
                return Ok(false);
            }
        }
    }

    /// The output has ended: the exit status counts as for a single context.
    fn end(&mut self) -> Result<(), Trouble> {
        let limit = self.shared.times.limit;
        self.process.close_input();
        let status = match self.process.exit(limit)? {
            Some(status) if status.success() => {
                if self.was_silent && self.round.is_full() {
                    lock(&self.shared.pace).kept_silent();
                }
                return Ok(());
            }
            Some(status) => child::describe(status),
            None => format!("it did not end within {:.1} s", limit.as_secs_f64()),
        };
        let words = self.process.last_words();
        Err(Trouble::Misbehaved(format!(
            "{status}, {}",
            printable(&words, 500)
        )))
    }
}

/// How many of these are sent at once.
fn fitting(inputs: &[&TransformInput], lines: usize) -> usize {
    let mut bytes = 0;
    let fits = |input: &&&TransformInput| {
        bytes += input.context.as_str().len() + 1;
        bytes <= MOST_BYTES
    };
    let count = inputs
        .iter()
        .take(lines.min(MOST_CONTEXTS))
        .take_while(fits);
    count.count().max(1)
}

/// The contexts, one per line.
fn lines_of(inputs: &[&TransformInput]) -> Vec<u8> {
    let mut text = Vec::new();
    for input in inputs {
        input.context.write_line(&mut text);
    }
    text
}

/// The values that a process was started with, for the log.
fn about(key: &CommandKey) -> String {
    if key.ioc.is_empty() {
        String::new()
    } else {
        format!(" for {}", printable(&key.ioc, 200))
    }
}

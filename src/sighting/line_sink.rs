//! The sink command that keeps running (`--sink-mode lines`): one process that gets a
//! context per line on its standard input. When it dies it is restarted with growing
//! pauses, and what it may not have read is sent again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use log::{error, info, warn};

use super::delivery::Undelivered;
use super::handing::{ACCEPTANCE_TIME, GivenUp, Handing, Settled};
use super::message::{CommandRun, WriterMessage};
use super::retries::MOST_RETRIES;
use super::transform::TIME_LIMIT;
use super::untaken::{RetryPlace, Untaken};
use super::writer::SinkResult;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::child;
use crate::process::child::resident::Resident;
use crate::process::command::CommandTemplate;
use crate::process::stop::{Backoff, Stop};
use crate::state::journal::Ticket;

/// The most bytes that are received from the workers before the command has accepted
/// them.
const MOST_HELD: u64 = 1 << 20;

/// The bytes that are written at once: the capacity of a pipe.
const PIECE: usize = 64 * 1024;

/// How often stored sightings are checked for being due.
const STORED_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How long one turn waits for the command to read.
const TURN: Duration = Duration::from_secs(1);

/// After this many processes in a row that died before a line was certainly accepted,
/// their lines are given up.
const MOST_DEATHS: u32 = MOST_RETRIES + 1;

/// After this many, the next process gets one line, and twice as many once it has
/// accepted them, so that the sighting that kills them is found and given up alone.
const CAREFUL: u32 = 3;

/// A process that has accepted this many at once gets everything there is.
const TRUSTED_WITH: usize = 1024;

/// A process that ran for this long is restarted after the first pause.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// The command and the lines on their way to it.
pub(super) struct LineSink {
    template: CommandTemplate,
    metrics: Arc<Metrics>,
    stop: Stop,
    untaken: Untaken,
    handing: Handing<Option<CommandRun>, SinkMark>,
    process: Option<(Resident, Instant)>,
    backoff: Backoff,
    /// The number of processes in a row that died without a line that was certainly
    /// accepted.
    deaths: u32,
    /// The number of lines that are sent before the first of them is accepted, if
    /// limited.
    window: Option<usize>,
    /// The number of lines that are given up next time. It doubles until one is accepted,
    /// so that a command that accepts nothing comes to an end.
    giving_up: u64,
}

/// What to do when every line before it is settled.
enum SinkMark {
    /// These are finished.
    Finished(Vec<Ticket>),
    /// This stored sighting is done.
    Done(RetryPlace),
}

impl LineSink {
    pub(super) fn new(
        template: CommandTemplate,
        untaken: Untaken,
        metrics: Arc<Metrics>,
        stop: Stop,
    ) -> Self {
        LineSink {
            template,
            metrics,
            stop,
            untaken,
            handing: Handing::new(),
            process: None,
            backoff: Backoff::new(),
            deaths: 0,
            window: None,
            giving_up: 1,
        }
    }

    /// Feeds the command until the workers are gone and everything is accepted.
    pub(super) fn run(mut self, messages: &Receiver<WriterMessage>) -> SinkResult {
        let mut more = true;
        while more || !self.handing.is_empty() {
            if self.stop.is_now() {
                return self.stopped(messages);
            }
            more = more && self.gather(messages);
            if let Err(reason) = self.turn() {
                self.died(&reason);
                continue;
            }
            if !more && self.handing.unwritten() == 0 && self.unread() == 0 {
                self.finish();
            }
        }
        // Nothing is on its way to it any more.
        if let Some((process, _)) = self.process.take() {
            process.retire(TIME_LIMIT);
        }
        self.untaken.end();
        SinkResult::Complete
    }

    /// Receives from the workers, waiting if there is nothing to write. Returns whether
    /// more can arrive.
    fn gather(&mut self, messages: &Receiver<WriterMessage>) -> bool {
        while self.handing.held() < MOST_HELD {
            if self.take_earlier() {
                continue;
            }
            match messages.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => break,
            }
        }
        if self.handing.unwritten() > 0 {
            return true;
        }
        let next = if self.handing.is_empty() {
            messages.recv_timeout(STORED_CHECK_INTERVAL)
        } else {
            messages.recv_timeout(ACCEPTANCE_TIME / 4)
        };
        match next {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn take(&mut self, message: WriterMessage) {
        match message {
            WriterMessage::Command(run) => self.push(run),
            WriterMessage::Finished(tickets) => self.handing.push_mark(SinkMark::Finished(tickets)),
            WriterMessage::Lines { .. } | WriterMessage::Messages(_) => {}
        }
    }

    /// Takes a sighting from an earlier try; returns whether there was one.
    fn take_earlier(&mut self) -> bool {
        if self.stop.is_draining() {
            return false;
        }
        let Some((run, place)) = self.untaken.next(Instant::now()) else {
            return false;
        };
        self.push(run);
        self.handing.push_mark(SinkMark::Done(place));
        true
    }

    fn push(&mut self, run: CommandRun) {
        let mut line = Vec::with_capacity(run.context.as_str().len() + 1);
        run.context.write_line(&mut line);
        let run = self.untaken.keeps().then_some(run);
        self.handing.push(line, run);
    }

    /// Writes as much as the command reads, and checks its progress.
    fn turn(&mut self) -> Result<(), String> {
        let next = match self.window {
            Some(lines) => self.handing.next_of(lines),
            None => self.handing.next(PIECE),
        };
        if self.process.is_none() {
            if next.is_empty() {
                // Marks alone need no command.
                let settled = self.handing.look(0, Instant::now());
                self.settle(settled);
                return Ok(());
            }
            let process = start(&self.template).map_err(|error| format!("cannot be run: {error}"));
            self.process = Some((process?, Instant::now()));
        }
        let (process, _) = self.process.as_mut().expect("it has just been started");
        let limit = if !next.is_empty() {
            TURN
        } else if self.handing.unwritten() > 0 {
            // The next lines wait for these to be accepted.
            ACCEPTANCE_TIME / 4
        } else {
            Duration::ZERO
        };
        let turn = process.turn(&next, limit, &self.stop);
        let turn = turn.map_err(|error| format!("cannot be written to: {error}"))?;
        // Its output is ignored, even if it is closed.
        self.handing.wrote(turn.written);
        let is_gone = !process.takes_input() || process.has_exited();
        let unread = process.unread();
        let settled = self.handing.look(unread, Instant::now());
        self.settle(settled);
        if is_gone {
            Err(self.last_words())
        } else {
            Ok(())
        }
    }

    fn unread(&self) -> usize {
        self.process
            .as_ref()
            .map_or(0, |(process, _)| process.unread())
    }

    fn settle(&mut self, settled: Settled<SinkMark>) {
        self.metrics.sightings_sent.add(settled.lines);
        if settled.lines > 0 {
            self.deaths = 0;
            self.giving_up = 1;
            if let Some(lines) = self.window {
                self.window = Some(2 * lines).filter(|lines| *lines <= TRUSTED_WITH);
                self.backoff = Backoff::new();
            }
        }
        self.meet(settled.marks);
    }

    fn meet(&mut self, marks: Vec<SinkMark>) {
        for mark in marks {
            match mark {
                SinkMark::Finished(tickets) => tickets.into_iter().for_each(Ticket::finish),
                SinkMark::Done(place) => self.untaken.done(place),
            }
        }
    }

    /// The human-readable reason why the process ended.
    fn last_words(&mut self) -> String {
        let Some((process, _)) = &mut self.process else {
            return "ended".to_owned();
        };
        let status = match process.exit(TURN) {
            Ok(Some(status)) => format!("ended, {}", child::describe(status)),
            Ok(None) => "reads no more".to_owned(),
            Err(error) => error.to_string(),
        };
        let words = process.last_words();
        format!("{status}, {}", printable(&words, 500))
    }

    /// The process is gone, or failed to start: after a pause, the next one gets what it
    /// may not have read.
    fn died(&mut self, reason: &str) {
        self.metrics.sink_restarts.add(1);
        self.metrics.child_restarts.count("sink");
        if self.lived_long() {
            self.backoff = Backoff::new();
        }
        self.process = None;
        self.deaths += 1;
        if self.deaths >= CAREFUL || self.window.is_some() {
            self.window = Some(1);
        }
        if self.deaths >= MOST_DEATHS {
            self.give_up(reason);
        } else {
            self.handing.died();
            warn!(
                "the sink command {reason}; starting it again, with {} sighting(s) that it may \
                 not have read",
                self.handing.count()
            );
        }
        // Also while the program drains, which ends with "now".
        let pause = self.backoff.pause();
        let _ = self.stop.now_channel().recv_timeout(pause);
    }

    /// Gives up the line at which the last processes died, and more if none was accepted
    /// since the last time. Later lines had been sent as well.
    fn give_up(&mut self, reason: &str) {
        self.deaths = CAREFUL;
        self.backoff = Backoff::new();
        let given_up = self.handing.give_up(self.giving_up);
        self.giving_up = self.giving_up.saturating_mul(2);
        error!(
            "the sink command {reason}; {} sighting(s) that {MOST_DEATHS} processes in a row did \
             not accept are {}",
            given_up.settled.lines,
            if self.untaken.keeps() {
                "kept for a later try"
            } else {
                "given up"
            }
        );
        self.put_away(given_up);
    }

    /// Stores what was given up, or counts it.
    fn put_away(&mut self, given_up: GivenUp<Option<CommandRun>, SinkMark>) {
        let GivenUp { settled, lines } = given_up;
        if self.untaken.keeps() {
            let runs: Vec<CommandRun> = lines.into_iter().flatten().collect();
            self.untaken.put(&runs, Undelivered::Failed);
        } else {
            self.untaken.miss(Undelivered::Failed, settled.lines);
        }
        self.meet(settled.marks);
    }

    fn lived_long(&self) -> bool {
        let age = self.process.as_ref().map(|(_, since)| since.elapsed());
        age.is_some_and(|age| age >= LONG_LIFE)
    }

    /// Everything has been read: closes the input and waits for the end.
    fn finish(&mut self) {
        let Some((mut process, _)) = self.process.take() else {
            return;
        };
        process.close_input();
        let until = Instant::now() + TIME_LIMIT;
        while !process.has_exited() && Instant::now() < until && !self.stop.is_now() {
            // Only its output, or its exit, ends this earlier.
            let turn = process.turn(b"", TURN, &self.stop);
            if turn.is_err() {
                break;
            }
        }
        let status = process.exit(Duration::ZERO).ok().flatten();
        let words = process.last_words();
        drop(process);
        let reason = match status {
            Some(status) if status.success() => {
                let settled = self.handing.ended_well();
                return self.settle(settled);
            }
            Some(status) => child::describe(status),
            None if self.stop.is_now() => return,
            None => format!("it did not end within {} s", TIME_LIMIT.as_secs()),
        };
        self.died(&format!("failed, {reason}, {}", printable(&words, 500)));
    }

    /// The program ends at once: what is not accepted is stored, or lost.
    fn stopped(mut self, messages: &Receiver<WriterMessage>) -> SinkResult {
        for message in messages.try_iter() {
            self.take(message);
        }
        let left = self.handing.count();
        if left > 0 {
            info!("the sink command may not have read {left} sighting(s)");
        }
        if self.untaken.keeps() {
            let given_up = self.handing.give_up(left);
            self.put_away(given_up);
        } else {
            self.untaken.miss(Undelivered::Lost, left);
        }
        self.untaken.end();
        SinkResult::Complete
    }
}

fn start(template: &CommandTemplate) -> std::io::Result<Resident> {
    let mut command = child::command(Path::new(template.program()));
    // The configuration ensures that it has no placeholders.
    command.args(template.arguments("", ""));
    Resident::start(&mut command)
}

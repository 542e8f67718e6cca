//! The sink command that stays (`--sink-mode lines`): one process, a context a line
//! on its standard input. When it dies it is started again with growing pauses, and
//! what it may not have read is handed over again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use log::{error, info, warn};

use super::handing::{Handing, SETTLING, Settled};
use super::report::Parcel;
use super::transform::TIME_LIMIT;
use super::writer::Ended;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::child;
use crate::process::child::resident::Resident;
use crate::process::command::CommandTemplate;
use crate::process::stop::{Backoff, Stop};
use crate::state::journal::Ticket;

/// How many bytes are taken from the workers before the command has taken them.
const MOST_HELD: u64 = 1 << 20;

/// How much is written at once, in bytes: a pipe holds this much.
const PIECE: usize = 64 * 1024;

/// How long one turn waits for the command to read.
const TURN: Duration = Duration::from_secs(1);

/// So many processes in a row that die before one line is certainly taken, and what
/// they were given counts as failed.
const MOST_DEATHS: u32 = 5;

/// A process that lived so long is started again after the first pause.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// The command and what is on its way to it.
pub(super) struct Feed {
    template: CommandTemplate,
    metrics: Arc<Metrics>,
    stop: Stop,
    handing: Handing<Vec<Ticket>>,
    process: Option<(Resident, Instant)>,
    backoff: Backoff,
    /// Processes in a row that died without a line that is certainly taken.
    deaths: u32,
}

impl Feed {
    pub(super) fn new(template: CommandTemplate, metrics: Arc<Metrics>, stop: Stop) -> Self {
        Feed {
            template,
            metrics,
            stop,
            handing: Handing::new(),
            process: None,
            backoff: Backoff::new(),
            deaths: 0,
        }
    }

    /// Feeds the command until the workers are gone and all is taken.
    pub(super) fn run(mut self, parcels: &Receiver<Parcel>) -> Ended {
        let mut more = true;
        while more || !self.handing.is_empty() {
            if self.stop.is_now() {
                return self.stopped(parcels);
            }
            more = more && self.gather(parcels);
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
        Ended::Done
    }

    /// Takes what the workers have; waits where there is nothing to write. Says
    /// whether more can come.
    fn gather(&mut self, parcels: &Receiver<Parcel>) -> bool {
        while self.handing.held() < MOST_HELD {
            match parcels.try_recv() {
                Ok(parcel) => self.take(parcel),
                Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => break,
            }
        }
        if self.handing.unwritten() > 0 {
            return true;
        }
        let next = match self.handing.is_empty() {
            true => parcels.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => parcels.recv_timeout(SETTLING / 4),
        };
        match next {
            Ok(parcel) => self.take(parcel),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn take(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Command { context, .. } => {
                let mut line = Vec::with_capacity(context.as_str().len() + 1);
                context.write_line(&mut line);
                self.handing.push(line);
            }
            Parcel::Finished(tickets) => self.handing.push_mark(tickets),
            Parcel::Lines { .. } | Parcel::Messages(_) => {}
        }
    }

    /// Writes what the command takes now, and looks how far it is.
    fn turn(&mut self) -> Result<(), String> {
        let next = self.handing.next(PIECE);
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
        let limit = match next.is_empty() {
            true => Duration::ZERO,
            false => TURN,
        };
        let turn = process.turn(&next, limit, &self.stop);
        let turn = turn.map_err(|error| format!("cannot be fed: {error}"))?;
        // What it prints is nobody's; an output that is closed is none.
        self.handing.wrote(turn.written);
        let is_gone = !process.takes_input() || process.has_exited();
        let unread = process.unread();
        let settled = self.handing.look(unread, Instant::now());
        self.settle(settled);
        match is_gone {
            true => Err(self.last_words()),
            false => Ok(()),
        }
    }

    fn unread(&self) -> usize {
        self.process
            .as_ref()
            .map_or(0, |(process, _)| process.unread())
    }

    fn settle(&mut self, settled: Settled<Vec<Ticket>>) {
        self.metrics.sightings_sent.add(settled.lines);
        if settled.lines > 0 {
            self.deaths = 0;
        }
        let tickets = settled.marks.into_iter().flatten();
        tickets.for_each(Ticket::finish);
    }

    /// How the process ended, for a person.
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

    /// The process is gone, or never came: the next one gets what it may not have
    /// read, after a pause.
    fn died(&mut self, reason: &str) {
        self.metrics.sink_restarts.add(1);
        if self.lived_long() {
            self.backoff = Backoff::new();
        }
        self.process = None;
        self.deaths += 1;
        if self.deaths >= MOST_DEATHS {
            self.deaths = 0;
            let settled = self.handing.give_up();
            self.metrics.sightings_failed.add(settled.lines);
            error!(
                "the sink command {reason}; {} sighting(s) that {MOST_DEATHS} processes in a row \
                 did not take are given up",
                settled.lines
            );
            settled.marks.into_iter().flatten().for_each(Ticket::finish);
        } else {
            self.handing.died();
            warn!(
                "the sink command {reason}; starting it again, with {} sighting(s) that it may \
                 not have read",
                self.handing.count()
            );
        }
        // Also while the program drains: that ends with "now".
        let pause = self.backoff.pause();
        let _ = self.stop.now_channel().recv_timeout(pause);
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
            // Only what it prints, or its end, ends this earlier.
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

    /// The program ends at once: what is not taken is lost.
    fn stopped(&mut self, parcels: &Receiver<Parcel>) -> Ended {
        let waiting: u64 = parcels.try_iter().map(|parcel| parcel.count()).sum();
        let lost = self.handing.count() + waiting;
        if lost > 0 {
            info!("the sink command may not have read {lost} sighting(s)");
        }
        self.metrics.sightings_lost.add(lost);
        Ended::Done
    }
}

fn start(template: &CommandTemplate) -> std::io::Result<Resident> {
    let mut command = child::command(Path::new(template.program()));
    // It has no placeholders: the configuration sees to that.
    command.args(template.arguments("", ""));
    Resident::start(&mut command)
}

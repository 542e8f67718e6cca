//! The sink command that is run for each sighting (`--sink-mode each`). A sighting that
//! fails is tried again later, and the others continue in the meantime.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use log::{error, info, warn};

use super::delivery::Undelivered;
use super::message::{CommandRun, WriterMessage};
use super::retries::{Failed, MOST_RETRIES, Retries};
use super::transform::run_command;
use super::untaken::{RetryPlace, Untaken};
use super::writer::SinkResult;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::command::CommandTemplate;
use crate::process::stop::Stop;
use crate::state::journal::Ticket;

/// How often stored sightings are checked for being due.
const STORED_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// A sighting, and its place if it was stored.
type HandedRun = (CommandRun, Option<RetryPlace>);

/// The command and the sightings on their way to it.
pub(super) struct Command {
    template: CommandTemplate,
    metrics: Arc<Metrics>,
    stop: Stop,
    untaken: Untaken,
    retries: Retries<HandedRun>,
    /// The tickets that are finished once this many sightings are settled.
    marks: VecDeque<(u64, Vec<Ticket>)>,
}

impl Command {
    pub(super) fn new(
        template: CommandTemplate,
        untaken: Untaken,
        metrics: Arc<Metrics>,
        stop: Stop,
    ) -> Self {
        Command {
            template,
            metrics,
            stop,
            untaken,
            retries: Retries::new(),
            marks: VecDeque::new(),
        }
    }

    /// Runs the command until the workers are gone and everything is settled.
    pub(super) fn run(mut self, messages: &Receiver<WriterMessage>) -> SinkResult {
        let mut more = true;
        while !self.stop.is_now() {
            let now = Instant::now();
            if let Some(again) = self.retries.due(now) {
                self.hand_over(again);
            } else if let Some((run, place)) = self.earlier(now) {
                let begun = self.retries.begin((run, Some(place)));
                self.hand_over(begun);
            } else if more && self.retries.has_room() {
                more = self.take(messages, now);
            } else if let Some(pause) = self.retries.sleep(now) {
                // Also while the program drains, which ends with "now".
                let _ = self.stop.now_channel().recv_timeout(pause);
            } else {
                break;
            }
        }
        self.end(messages)
    }

    /// The next sighting from an earlier try, if there is time for it.
    fn earlier(&mut self, now: Instant) -> Option<(CommandRun, RetryPlace)> {
        if self.stop.is_draining() || !self.retries.has_room() {
            return None;
        }
        self.untaken.next(now)
    }

    /// Waits for a message and processes it; returns whether more can arrive.
    fn take(&mut self, messages: &Receiver<WriterMessage>, now: Instant) -> bool {
        let limit = self
            .retries
            .sleep(now)
            .map_or(STORED_CHECK_INTERVAL, |pause| {
                pause.min(STORED_CHECK_INTERVAL)
            });
        match messages.recv_timeout(limit) {
            Ok(WriterMessage::Command(run)) => {
                let begun = self.retries.begin((run, None));
                self.hand_over(begun);
            }
            Ok(WriterMessage::Finished(tickets)) => {
                self.marks.push_back((self.retries.begun(), tickets));
                self.finish_marks();
            }
            Ok(WriterMessage::Lines { .. } | WriterMessage::Messages(_)) => {}
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn hand_over(&mut self, handed: Failed<HandedRun>) {
        let (run, _) = &handed.what;
        let result = run_command(
            &self.template,
            &run.context,
            &run.ioc,
            run.match_type,
            &self.stop,
        );
        match result {
            Ok(_) => {
                self.metrics.sightings_sent.add(1);
                self.settle(handed.what.1);
            }
            Err(reason) => self.failed(handed, &reason.to_string()),
        }
    }

    fn failed(&mut self, handed: Failed<HandedRun>, reason: &str) {
        let id = handed.what.0.indicator.clone();
        let id = printable(&id, 200);
        match self.retries.failed(handed, Instant::now()) {
            Ok(pause) => warn!(
                "indicator {id}: the sink command failed, and is run again in {:.1} s: {reason}",
                pause.as_secs_f64()
            ),
            Err((run, place)) => {
                error!(
                    "indicator {id}: the sink command failed {} times{}: {reason}",
                    MOST_RETRIES + 1,
                    if self.untaken.keeps() {
                        ", and the sighting is kept for a later try"
                    } else {
                        ""
                    }
                );
                self.untaken.put(&[run], Undelivered::Failed);
                self.settle(place);
            }
        }
    }

    /// A sighting was accepted or given up.
    fn settle(&mut self, place: Option<RetryPlace>) {
        place.into_iter().for_each(|place| self.untaken.done(place));
        self.finish_marks();
    }

    fn finish_marks(&mut self) {
        let settled = self.retries.settled();
        while self
            .marks
            .front()
            .is_some_and(|(after, _)| *after <= settled)
        {
            let tickets = self.marks.pop_front().into_iter();
            tickets.flat_map(|(_, all)| all).for_each(Ticket::finish);
        }
    }

    /// Sightings not accepted at the end are stored, or lost. Those stored before remain.
    fn end(mut self, messages: &Receiver<WriterMessage>) -> SinkResult {
        let waiting = self.retries.give_up().into_iter();
        let mut left: Vec<CommandRun> = waiting
            .filter_map(|(run, place)| place.is_none().then_some(run))
            .collect();
        for message in messages.try_iter() {
            match message {
                WriterMessage::Command(run) => left.push(run),
                WriterMessage::Finished(tickets) => self.marks.push_back((0, tickets)),
                WriterMessage::Lines { .. } | WriterMessage::Messages(_) => {}
            }
        }
        if !left.is_empty() {
            info!(
                "the sink command has not accepted {} sighting(s)",
                left.len()
            );
            self.untaken.put(&left, Undelivered::Lost);
        }
        if self.untaken.keeps() {
            let tickets = self.marks.drain(..).flat_map(|(_, all)| all);
            tickets.for_each(Ticket::finish);
        }
        self.untaken.end();
        SinkResult::Complete
    }
}

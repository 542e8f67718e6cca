//! Workers: each takes a batch, asks, and reports. That of an engine waits while its
//! engine is away.

use std::sync::Arc;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::RetroSettings;
use super::batch_runner::{BatchRunner, Interruption};
use super::batcher::{Done, Handed};
use super::event_multiset::Memory;
use crate::engine::Connection;
use crate::intake::Fates;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::sighting::message::WriterMessage;
use crate::sighting::report::{ReportSettings, Reporter};

/// What one engine is asked with, by whichever worker.
pub struct Desk {
    /// How it is asked.
    pub settings: RetroSettings,
    /// The engine.
    pub connection: Arc<Connection>,
    /// How matches are reported.
    pub report: Arc<ReportSettings>,
    /// Where they go.
    pub writer: Sender<WriterMessage>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What becomes of the indicators.
    pub fates: Arc<Fates>,
    /// What is remembered of events.
    pub memory: Memory,
    /// The program's end.
    pub stop: Stop,
    /// Where it is told what is answered.
    pub done: Sender<Done>,
}

/// A batch for a worker that is no engine's own.
pub struct Job {
    /// Whom to ask.
    pub desk: Arc<Desk>,
    /// For what.
    pub handed: Handed,
}

/// Works for whichever engine has a batch, until there are no more of them.
pub fn help(jobs: &Receiver<Job>) {
    while let Ok(Job { desk, handed }) = jobs.recv() {
        let mut reporter = desk.reporter();
        desk.ask(&mut reporter, handed);
    }
}

impl Desk {
    /// Works as the engine's own worker, until there are no more batches, or the engine
    /// was given up.
    pub fn work(&self, batches: &Receiver<Handed>) {
        if !self.connection.wait_for_first(&self.stop) {
            return;
        }
        let mut reporter = self.reporter();
        loop {
            match batches.recv_timeout(self.connection.until_look()) {
                Ok(handed) if self.connection.is_up() => self.ask(&mut reporter, handed),
                // While it waits, a batch can grow, and lose what is withdrawn.
                Ok(handed) => self.give_back(handed),
                Err(RecvTimeoutError::Timeout) => self.connection.look(&self.stop),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.connection.wait_until_back(&self.stop);
        }
    }

    fn give_back(&self, handed: Handed) {
        // Gone only where it ended by a defect.
        let _ = self.done.send(Done {
            number: handed.number,
            unanswered: handed.requests,
        });
    }

    fn reporter(&self) -> Reporter {
        Reporter::new(
            self.report.clone(),
            self.metrics.clone(),
            self.writer.clone(),
            self.stop.clone(),
        )
    }

    fn ask(&self, reporter: &mut Reporter, handed: Handed) {
        let Handed { number, requests } = handed;
        let mut asker = BatchRunner {
            engine: &**self.connection.engine(),
            reporter,
            metrics: &self.metrics,
            fates: &self.fates,
            memory: &self.memory,
            stop: &self.stop,
            max_events: self.settings.max_events,
            timeout: self.settings.timeout,
        };
        let requests = match asker.ask(requests) {
            Ok(()) => {
                self.connection.has_answered();
                Vec::new()
            }
            Err((unanswered, interruption)) => {
                if let Interruption::Unreachable(reason) = interruption {
                    // Before the batch is back, which is not for just anybody then.
                    self.connection.is_lost(&reason);
                }
                unanswered
            }
        };
        self.give_back(Handed { number, requests });
    }
}

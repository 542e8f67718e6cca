//! Workers: each runs queries for batches and reports the matches. An engine's own worker
//! waits while the engine is away.

use std::sync::Arc;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::RetroSettings;
use super::batch_runner::{BatchRunner, Interruption};
use super::batcher::{Done, HandedBatch};
use super::event_multiset::Memory;
use crate::engine::Connection;
use crate::intake::Fates;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::sighting::message::WriterMessage;
use crate::sighting::report::{ReportSettings, Reporter};

/// What any worker needs to query one engine.
pub struct Desk {
    /// The settings of its queries.
    pub settings: RetroSettings,
    /// The engine.
    pub connection: Arc<Connection>,
    /// How matches are reported.
    pub report: Arc<ReportSettings>,
    /// Where sightings are sent.
    pub writer: Sender<WriterMessage>,
    /// The engine's metrics.
    pub metrics: Arc<Metrics>,
    /// What becomes of the indicators.
    pub fates: Arc<Fates>,
    /// What is remembered of events.
    pub memory: Memory,
    /// The program's stop.
    pub stop: Stop,
    /// Where finished batches are reported.
    pub done: Sender<Done>,
}

/// A batch for a shared worker.
pub struct BatchJob {
    /// The engine to query.
    pub desk: Arc<Desk>,
    /// The batch.
    pub handed: HandedBatch,
}

/// Runs batches of any engine until no more arrive.
pub fn help(jobs: &Receiver<BatchJob>) {
    while let Ok(BatchJob { desk, handed }) = jobs.recv() {
        let mut reporter = desk.reporter();
        desk.run_batch(&mut reporter, handed);
    }
}

impl Desk {
    /// Runs batches as the engine's own worker, until no more arrive or the engine is given
    /// up.
    pub fn work(&self, batches: &Receiver<HandedBatch>) {
        if !self.connection.wait_for_first(&self.stop) {
            return;
        }
        let mut reporter = self.reporter();
        loop {
            match batches.recv_timeout(self.connection.until_look()) {
                Ok(handed) if self.connection.is_up() => self.run_batch(&mut reporter, handed),
                // In the queue the batch can grow, and withdrawn indicators are removed.
                Ok(handed) => self.give_back(handed),
                Err(RecvTimeoutError::Timeout) => self.connection.look(&self.stop),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.connection.wait_until_back(&self.stop);
        }
    }

    fn give_back(&self, handed: HandedBatch) {
        // The receiver is gone only if its thread panicked.
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

    fn run_batch(&self, reporter: &mut Reporter, handed: HandedBatch) {
        let HandedBatch { number, requests } = handed;
        let mut runner = BatchRunner {
            engine: &**self.connection.engine(),
            reporter,
            metrics: &self.metrics,
            fates: &self.fates,
            memory: &self.memory,
            stop: &self.stop,
            max_events: self.settings.max_events,
            timeout: self.settings.timeout,
        };
        let requests = match runner.run(requests) {
            Ok(()) => {
                self.connection.has_answered();
                Vec::new()
            }
            Err((unanswered, interruption)) => {
                if let Interruption::Unreachable(reason) = interruption {
                    // This is recorded before the batch is returned, so that only the
                    // engine's own worker gets it again.
                    self.connection.is_lost(&reason);
                }
                unanswered
            }
        };
        self.give_back(HandedBatch { number, requests });
    }
}

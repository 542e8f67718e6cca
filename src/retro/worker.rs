//! A worker: takes a batch, asks, reports, and waits while the engine is away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use log::{info, warn};

use super::Settings;
use super::asking::{Asker, Interruption};
use super::batcher::{Done, Handed};
use super::ledger::Memory;
use super::queue::Request;
use crate::engine::Engine;
use crate::engine::connect::ANSWER_TIME;
use crate::observe::logging::printable;
use crate::observe::metrics::{Metrics, Peer};
use crate::process::stop::{Backoff, Stop};
use crate::sighting::report::Reporter;

/// After so long without a query the engine is asked whether it is there: who reads
/// metrics is to know it before the next indicator comes.
const LOOK_AFTER: Duration = Duration::from_secs(60);

/// Whether the engine answers, as far as the workers know. While it is away one of
/// them asks from time to time and the others wait for that one.
pub struct Availability {
    engine: Arc<dyn Engine + Send + Sync>,
    /// When it was last seen to answer after an outage.
    back: Mutex<Option<Instant>>,
    /// When it was last asked for anything.
    asked: Mutex<Instant>,
}

impl Availability {
    /// Starts with an engine that answers.
    pub fn new(engine: Arc<dyn Engine + Send + Sync>) -> Self {
        Availability {
            engine,
            back: Mutex::new(None),
            asked: Mutex::new(Instant::now()),
        }
    }

    /// Something was asked; says whether that was long ago the last time.
    fn note(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *asked, Instant::now());
        before.elapsed() >= LOOK_AFTER
    }

    /// Why the engine does not answer, if it was not asked lately and does not.
    fn look(&self, stop: &Stop) -> Option<String> {
        let is_due = !stop.is_draining() && self.note();
        let ready = is_due.then(|| self.engine.ready(ANSWER_TIME, stop));
        let away = ready.and_then(Result::err);
        away.filter(|_| !stop.is_draining())
            .map(|error| error.reason)
    }

    /// Waits until the engine answers again, or the program stops.
    fn wait(&self, failed_at: Instant, engine: &str, reason: &str, stop: &Stop) {
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        if back.is_some_and(|back| back > failed_at) {
            return;
        }
        let reason = printable(reason, 500);
        warn!(
            engine = engine, reason:% = reason;
            "{} is away: {reason}; asking until it is back",
            self.engine.name()
        );
        let mut backoff = Backoff::new();
        while !stop.sleep(backoff.pause()) {
            if self.engine.ready(ANSWER_TIME, stop).is_ok() {
                info!(
                    engine = engine;
                    "{} is back after {:.1} s",
                    self.engine.name(),
                    failed_at.elapsed().as_secs_f64()
                );
                *back = Some(Instant::now());
                return;
            }
        }
    }
}

/// A worker's own things.
pub struct Worker {
    settings: Settings,
    engine: Arc<dyn Engine + Send + Sync>,
    availability: Arc<Availability>,
    reporter: Reporter,
    metrics: Arc<Metrics>,
    memory: Memory,
    stop: Stop,
}

impl Worker {
    /// Prepares a worker.
    pub fn new(
        settings: Settings,
        engine: Arc<dyn Engine + Send + Sync>,
        availability: Arc<Availability>,
        reporter: Reporter,
        metrics: Arc<Metrics>,
        memory: Memory,
        stop: Stop,
    ) -> Self {
        Worker {
            settings,
            engine,
            availability,
            reporter,
            metrics,
            memory,
            stop,
        }
    }

    /// Works until there are no more batches.
    pub fn run(mut self, batches: &Receiver<Handed>, done: &Sender<Done>) {
        loop {
            let Handed { number, requests } = match batches.recv_timeout(LOOK_AFTER) {
                Ok(handed) => handed,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(reason) = self.availability.look(&self.stop) {
                        self.wait(&reason);
                    }
                    continue;
                }
            };
            let (unanswered, interruption) = match self.ask(requests) {
                Ok(()) => (Vec::new(), None),
                Err((unanswered, interruption)) => (unanswered, Some(interruption)),
            };
            self.availability.note();
            // Gone only where it ended by a defect.
            let _ = done.send(Done { number, unanswered });
            if let Some(Interruption::Unreachable(reason)) = interruption {
                self.wait(&reason);
            }
        }
    }

    /// Waits until the engine answers again.
    fn wait(&self, reason: &str) {
        self.metrics.engine_up.set(Peer::Down);
        let engine = self.metrics.engine_name();
        self.availability
            .wait(Instant::now(), engine, reason, &self.stop);
        if !self.stop.is_draining() {
            self.metrics.engine_up.set(Peer::Up);
        }
    }

    fn ask(&mut self, batch: Vec<Request>) -> Result<(), (Vec<Request>, Interruption)> {
        Asker {
            engine: &*self.engine,
            reporter: &mut self.reporter,
            metrics: &self.metrics,
            memory: &self.memory,
            stop: &self.stop,
            max_events: self.settings.max_events,
            timeout: self.settings.timeout,
        }
        .ask(batch)
    }
}

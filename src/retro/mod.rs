//! Retro matching: indicators are put to the engine as queries over all stored
//! events.
//!
//! [`Intake`] → batcher (owns the [`queue`]) → workers → writer. Workers hand
//! back what the engine could not answer.

mod asking;
mod batch;
mod batcher;
#[cfg(test)]
#[path = "../../tests/oracles/exactness.rs"]
mod exactness;
mod ledger;
mod queue;
mod reading;
mod worker;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded, unbounded};
use log::error;

use crate::engine::Engine;
use crate::intake::Intake;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::sighting::report::{Parcel, Reporter, Settings as ReportSettings};

/// How retro matching asks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many queries run at once.
    pub workers: usize,
    /// The most observables in one query.
    pub batch_size: usize,
    /// The most sightings for an indicator.
    pub max_events: Option<NonZeroU64>,
    /// The longest that the query for an indicator may take.
    pub timeout: Option<Duration>,
}

/// The threads of retro matching.
pub struct Retro {
    batcher: JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
}

impl Retro {
    /// Starts the batcher and the workers. They end when every [`Intake`] is
    /// dropped.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        settings: Settings,
        engine: Arc<dyn Engine + Send + Sync>,
        report: Arc<ReportSettings>,
        writer: &Sender<Parcel>,
        metrics: &Arc<Metrics>,
        stop: &Stop,
    ) -> std::io::Result<(Self, Intake)> {
        let mut settings = settings;
        if let Some(most) = engine.most_observables() {
            settings.batch_size = settings.batch_size.min(most);
        }
        let lists_only = (!engine.takes_selections()).then(|| {
            let title = engine.title();
            format!("nothing in it is a value to look up, and {title} is asked for values alone")
        });
        let (intake, arrivals, account) = Intake::stored(metrics.clone());
        // A batch is handed over only when a worker is free to take it: until
        // then it can still grow, and lose what is withdrawn.
        let (batches_sender, batches) = bounded(0);
        let (done_sender, done) = unbounded();
        let availability = Arc::new(worker::Availability::new(engine.clone()));
        let memory = ledger::Memory::default();
        let mut workers = Vec::with_capacity(settings.workers);
        for number in 1..=settings.workers {
            let worker = worker::Worker::new(
                settings.clone(),
                engine.clone(),
                availability.clone(),
                Reporter::new(
                    report.clone(),
                    metrics.clone(),
                    writer.clone(),
                    stop.clone(),
                ),
                metrics.clone(),
                memory.clone(),
                stop.clone(),
            );
            let (batches, done) = (batches.clone(), done_sender.clone());
            let thread = std::thread::Builder::new()
                .name(format!("retro-{number}"))
                .spawn(move || worker.run(&batches, &done))?;
            workers.push(thread);
        }
        // Only the workers tell what is done.
        drop(done_sender);
        let queue = queue::Queue::new(lists_only, account, metrics.clone());
        let batcher = batcher::Batcher::new(settings.batch_size, queue, metrics, stop);
        let batcher = std::thread::Builder::new()
            .name("batcher".to_owned())
            .spawn(move || batcher.run(&arrivals, &done, batches_sender))?;
        Ok((Retro { batcher, workers }, intake))
    }

    /// Waits for the threads, from left to right. A thread that panicked is
    /// reported; the others' work counts all the same.
    pub fn join(self) {
        for thread in std::iter::once(self.batcher).chain(self.workers) {
            let name = thread.thread().name().unwrap_or("a thread").to_owned();
            if thread.join().is_err() {
                error!("{name} ended by a defect of this program");
            }
        }
    }
}

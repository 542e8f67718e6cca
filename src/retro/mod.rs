//! Retro matching: indicators are queried in all stored events.
//!
//! [`Intake`](crate::intake::Intake) → batcher (owns the `queue`) → workers → writer.
//! Workers return the requests that the engine could not answer. Each engine has its own
//! batcher and worker; the other workers serve any engine that has a batch.

mod answer_reader;
mod batch;
mod batch_runner;
mod batcher;
mod event_multiset;
#[cfg(test)]
#[path = "../../tests/oracles/exactness.rs"]
mod exactness;
mod queue;
mod sequences;
mod worker;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::engine::Connection;
use crate::intake::{Account, Arrival, Fates};
use crate::process::stop::Stop;
use crate::process::thread;
use crate::sighting::message::WriterMessage;
use crate::sighting::report::ReportSettings;

use batcher::{Batcher, Workers};
use queue::Queue;
use worker::{BatchJob, Desk};

/// The settings of retro matching.
#[derive(Clone, Debug)]
pub struct RetroSettings {
    /// The most observables in one query.
    pub batch_size: usize,
    /// The most sightings for an indicator.
    pub max_events: Option<NonZeroU64>,
    /// The time limit of the query for an indicator.
    pub timeout: Option<Duration>,
}

/// An engine and its incoming indicators.
pub struct RetroEngine {
    /// Its number among the engines, from 1.
    pub number: usize,
    /// The engine.
    pub connection: Arc<Connection>,
    /// The incoming indicators.
    pub arrivals: Receiver<Arrival>,
    /// The account of what waits.
    pub account: Arc<Account>,
    /// How matches are reported.
    pub report: Arc<ReportSettings>,
    /// What becomes of the indicators.
    pub fates: Arc<Fates>,
}

/// The threads of retro matching.
#[derive(Default)]
pub struct Retro {
    threads: Vec<JoinHandle<()>>,
}

impl Retro {
    /// Starts a batcher and a worker for each engine. If `workers` is greater than the
    /// number of engines, starts workers that are shared by all engines, up to this number
    /// in total. They end when every [`crate::intake::Intake`] is dropped.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        settings: &RetroSettings,
        workers: usize,
        engines: Vec<RetroEngine>,
        writer: &Sender<WriterMessage>,
        stop: &Stop,
    ) -> std::io::Result<Self> {
        let mut retro = Retro::default();
        // A batch is passed on only when a worker is free. Until then it can still grow,
        // and withdrawn indicators are removed.
        let (jobs_sender, jobs) = bounded::<BatchJob>(0);
        let own = engines.len();
        let all = match own {
            0 => 0,
            _ => workers.max(own),
        };
        let helpers = (all > own).then_some(jobs_sender);
        let memory = event_multiset::Memory::default();
        for engine in engines {
            retro.start_engine(settings.clone(), engine, &memory, &helpers, writer, stop)?;
        }
        for number in own + 1..=all {
            let jobs = jobs.clone();
            retro.spawn(format!("retro-{number}"), move || worker::help(&jobs))?;
        }
        Ok(retro)
    }

    fn start_engine(
        &mut self,
        mut settings: RetroSettings,
        target: RetroEngine,
        memory: &event_multiset::Memory,
        helpers: &Option<Sender<BatchJob>>,
        writer: &Sender<WriterMessage>,
        stop: &Stop,
    ) -> std::io::Result<()> {
        let engine = target.connection.engine();
        if let Some(most) = engine.most_observables() {
            settings.batch_size = settings.batch_size.min(most);
        }
        let lists_only = (!engine.supports_selections()).then(|| {
            let title = engine.title();
            format!("nothing in it is a value to search, and {title} is searched by values alone")
        });
        let (batches_sender, batches) = bounded(0);
        let (done_sender, done) = unbounded();
        let queue = Queue::new(lists_only, target.account, target.fates.metrics().clone());
        let desk = Arc::new(Desk {
            settings,
            connection: target.connection,
            report: target.report,
            writer: writer.clone(),
            metrics: target.fates.metrics().clone(),
            fates: target.fates,
            memory: memory.clone(),
            stop: stop.clone(),
            done: done_sender,
        });
        let batcher = Batcher::new(queue, &desk);
        let workers = Workers {
            own: batches_sender,
            helpers: helpers.clone(),
            desk: desk.clone(),
        };
        self.spawn(format!("retro-{}", target.number), move || {
            desk.work(&batches)
        })?;
        let name = match target.number {
            1 => "batcher".to_owned(),
            number => format!("batcher-{number}"),
        };
        self.spawn(name, move || {
            batcher.run(&target.arrivals, &done, workers);
        })
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(name).spawn(run)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Waits for the threads.
    pub fn join(self) {
        for thread in self.threads {
            thread::join(thread);
        }
    }
}

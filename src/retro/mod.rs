//! Retro matching: indicators are put to the engine as queries over all stored
//! events.
//!
//! [`Intake`] → batcher (owns the [`queue`]) → workers → writer. Workers hand
//! back what the engine could not answer.

mod asking;
mod batch;
mod batcher;
#[cfg(test)]
mod exactness;
mod ledger;
mod queue;
mod reading;
mod worker;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use log::{error, info};

use crate::engine::vast::client::Client;
use crate::indicator::{Indicator, Message, Standing};
use crate::logging::printable;
use crate::metrics::Metrics;
use crate::report::{Parcel, Reporter, Settings as ReportSettings};
use crate::stop::Stop;

/// How much memory waiting indicators may take, in bytes. The receiver never
/// blocks, so this is the one queue that grows; it grows while the engine is
/// away or slow.
pub const QUEUE_BYTES: usize = 256 << 20;

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

/// Where indicators are put in. It never blocks.
#[derive(Clone)]
pub struct Intake {
    sender: Sender<Message>,
    waiting: Arc<Waiting>,
    metrics: Arc<Metrics>,
}

/// How much waits, in bytes.
#[derive(Debug, Default)]
struct Waiting(AtomicUsize);

impl Waiting {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Counts and logs an indicator that does not count now, and is not asked for.
pub fn note_inactive(indicator: &Indicator, standing: Standing, metrics: &Metrics) {
    metrics.indicators_inactive.add(1);
    info!(
        "indicator {} is {standing}: it is not asked for",
        printable(&indicator.id, 200)
    );
}

/// The other side of an [`Intake`]: says what is done with.
pub struct Account {
    waiting: Arc<Waiting>,
    metrics: Arc<Metrics>,
}

impl Account {
    /// An indicator waits no more, and is not in work.
    pub fn finished(&self, indicator: &Indicator) {
        self.waiting.remove(indicator.size());
        self.metrics.backlog.remove(1);
    }
}

impl Intake {
    /// A way for messages from the one who receives them to the one who looks
    /// for them.
    pub fn channel(metrics: Arc<Metrics>) -> (Self, Receiver<Message>, Account) {
        let (sender, messages) = unbounded();
        let waiting = Arc::new(Waiting::default());
        let account = Account {
            waiting: waiting.clone(),
            metrics: metrics.clone(),
        };
        let intake = Intake {
            sender,
            waiting,
            metrics,
        };
        (intake, messages, account)
    }

    /// Waits until there is room for more indicators, or the program stops; for
    /// a source that can wait.
    pub fn wait_for_room(&self, stop: &Stop) {
        while self.waiting.0.load(Ordering::Relaxed) > QUEUE_BYTES / 2 {
            // Nobody is woken for each that leaves; this source only has to be
            // faster than the queries.
            if stop.sleep(Duration::from_millis(20)) {
                return;
            }
        }
    }

    /// Queues one message. An indicator that finds the queue full is dropped,
    /// counted and logged.
    pub fn put(&self, message: Message) {
        if let Message::Match { indicator, .. } = &message {
            let size = indicator.size();
            if self.waiting.0.load(Ordering::Relaxed) + size > QUEUE_BYTES {
                self.metrics.indicators_dropped.add(1);
                error!(
                    "indicator {} is dropped: indicators that wait take {} MiB, the most they may",
                    printable(&indicator.id, 200),
                    QUEUE_BYTES >> 20
                );
                return;
            }
            self.waiting.add(size);
            self.metrics.backlog.add(1);
        }
        // The batcher is gone only when the program ends.
        let _ = self.sender.send(message);
    }
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
        client: Client,
        report: Arc<ReportSettings>,
        writer: &Sender<Parcel>,
        metrics: &Arc<Metrics>,
        stop: &Stop,
    ) -> std::io::Result<(Self, Intake)> {
        let (intake, messages, account) = Intake::channel(metrics.clone());
        // A batch is handed over only when a worker is free to take it: until
        // then it can still grow, and lose what is withdrawn.
        let (batches_sender, batches) = bounded(0);
        let (done_sender, done) = unbounded();
        let availability = Arc::new(worker::Availability::new(client.clone()));
        let memory = ledger::Memory::default();
        let mut workers = Vec::with_capacity(settings.workers);
        for number in 1..=settings.workers {
            let worker = worker::Worker::new(
                settings.clone(),
                client.clone(),
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
        let batcher = batcher::Batcher::new(
            settings.batch_size,
            account.waiting,
            metrics.clone(),
            stop.clone(),
        );
        let batcher = std::thread::Builder::new()
            .name("batcher".to_owned())
            .spawn(move || batcher.run(&messages, &done, batches_sender))?;
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

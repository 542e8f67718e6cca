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
use log::{error, info, warn};

use crate::engine::Engine;
use crate::indicator::{Indicator, Message, Standing, Wider};
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::sighting::report::{Parcel, Reporter, Settings as ReportSettings};

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
    lanes: Vec<Lane>,
    metrics: Arc<Metrics>,
}

/// One way for indicators.
#[derive(Clone)]
struct Lane {
    sender: Sender<Message>,
    waiting: Arc<Waiting>,
    is_live: bool,
    wider: Wider,
}

/// How much waits, in bytes.
#[derive(Debug, Default)]
pub struct Waiting(AtomicUsize);

impl Waiting {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much waits no more.
    pub fn remove(&self, bytes: usize) {
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

/// Logs that an indicator waits until it counts.
pub fn note_later(id: &str) {
    info!(
        "indicator {} is not yet valid: it is asked for when it is, while the program runs",
        printable(id, 200)
    );
}

/// Counts and logs an indicator that the engine at hand cannot be asked about.
pub fn note_unsupported(indicator: &Indicator, reason: &str, metrics: &Metrics) {
    metrics.indicators_unsupported.add(1);
    metrics.unsupported.count(reason);
    warn!(
        "indicator {} is unsupported: {reason}",
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
        let (intake, messages, waiting) = Intake::with_lane(metrics.clone(), false);
        (intake, messages, Account { waiting, metrics })
    }

    /// The same to live matching, which gets indicators without the message that
    /// they came in, and has no end that the journal would wait for.
    pub fn live(metrics: Arc<Metrics>) -> (Self, Receiver<Message>, Arc<Waiting>) {
        Intake::with_lane(metrics, true)
    }

    fn with_lane(metrics: Arc<Metrics>, is_live: bool) -> (Self, Receiver<Message>, Arc<Waiting>) {
        let (sender, messages) = unbounded();
        let waiting = Arc::new(Waiting::default());
        let lane = Lane {
            sender,
            waiting: waiting.clone(),
            is_live,
            wider: Wider::default(),
        };
        let intake = Intake {
            lanes: vec![lane],
            metrics,
        };
        (intake, messages, waiting)
    }

    /// Indicators on these ways are made wider.
    pub fn widened(mut self, wider: Wider) -> Self {
        self.lanes.iter_mut().for_each(|lane| lane.wider = wider);
        self
    }

    /// Every message goes both ways.
    pub fn and(mut self, other: Intake) -> Self {
        self.lanes.extend(other.lanes);
        // The message itself goes last, the other way gets a copy.
        self.lanes.sort_by_key(|lane| !lane.is_live);
        self
    }

    /// Waits until there is room for more indicators, or the program stops; for
    /// a source that can wait.
    pub fn wait_for_room(&self, stop: &Stop) {
        let is_full = |lane: &Lane| lane.waiting.0.load(Ordering::Relaxed) > QUEUE_BYTES / 2;
        while self.lanes.iter().any(is_full) {
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
        let Some((last, others)) = self.lanes.split_last() else {
            return;
        };
        for lane in others {
            self.put_in(lane, message.for_live());
        }
        match last.is_live {
            true => {
                let copy = message.for_live();
                message.finish();
                self.put_in(last, copy);
            }
            false => self.put_in(last, message),
        }
    }

    fn put_in(&self, lane: &Lane, mut message: Message) {
        if let Message::Match { indicator, .. } = &mut message {
            lane.wider.widen(indicator);
            let size = indicator.size();
            if lane.waiting.0.load(Ordering::Relaxed) + size > QUEUE_BYTES {
                self.metrics.indicators_dropped.add(1);
                error!(
                    "indicator {} is dropped: indicators that wait take {} MiB, the most they may",
                    printable(&indicator.id, 200),
                    QUEUE_BYTES >> 20
                );
                return;
            }
            lane.waiting.add(size);
            if !lane.is_live {
                self.metrics.backlog.add(1);
            }
        }
        // The other side is gone only when the program ends.
        let _ = lane.sender.send(message);
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
        let (intake, messages, account) = Intake::channel(metrics.clone());
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
        let batcher = batcher::Batcher::new(
            settings.batch_size,
            lists_only,
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

//! Gathers indicators and hands them to workers: what waits while all workers
//! are busy goes together to the first that becomes free.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Select, SelectedOperation, Sender};
use log::{debug, log};

use super::queue::{Queue, Request};
use crate::intake::{Arrival, Input, Life, Output, Table, Way, note, note_left};
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;

/// How long an indicator waits for company at the most, with a worker free.
const LONGEST_DELAY: Duration = Duration::from_millis(100);

/// A pause in the stream of indicators after which no company is expected: at
/// 600 messages a second, the slowest broker measured, one comes every 2 ms.
const QUIET: Duration = Duration::from_millis(20);

/// A batch on its way to a worker.
pub struct Handed {
    /// Tells it from the others.
    pub number: u64,
    /// What to ask for.
    pub requests: Vec<Request>,
}

/// What a worker says when it is done with a batch: the requests that have to
/// be asked again.
pub struct Done {
    /// Which batch.
    pub number: u64,
    /// Unanswered requests.
    pub unanswered: Vec<Request>,
}

/// The batcher's state; [`Batcher::run`] is its thread.
pub struct Batcher {
    batch_size: usize,
    metrics: Arc<Metrics>,
    stop: Stop,
    queue: Queue,
    life: Life,
    oldest: Instant,
    newest: Instant,
}

impl Batcher {
    /// A batcher of this queue.
    pub fn new(batch_size: usize, queue: Queue, metrics: &Arc<Metrics>, stop: &Stop) -> Self {
        Batcher {
            batch_size,
            metrics: metrics.clone(),
            stop: stop.clone(),
            queue,
            life: Life::new(SystemTime::now()),
            oldest: Instant::now(),
            newest: Instant::now(),
        }
    }

    /// Runs until the intake is closed and everything is answered, or the
    /// program stops; then until the workers, which end with `batches`, have given
    /// back what they have.
    pub fn run(
        mut self,
        arrivals: &Receiver<Arrival>,
        done: &Receiver<Done>,
        batches: Sender<Handed>,
    ) {
        let mut open = Some(arrivals);
        while open.is_some() || self.queue.is_running() || !self.queue.is_empty() {
            if self.stop.is_draining() {
                break;
            }
            self.happened(Input::Time);
            open = self.step(open, done, &batches);
        }
        drop(batches);
        for done in done {
            self.queue.take_back(done.number, done.unanswered);
        }
        for arrival in arrivals.try_iter() {
            self.take(arrival);
        }
        self.leave();
    }

    /// Waits for one thing to happen and does it.
    fn step<'a>(
        &mut self,
        arrivals: Option<&'a Receiver<Arrival>>,
        done: &Receiver<Done>,
        batches: &Sender<Handed>,
    ) -> Option<&'a Receiver<Arrival>> {
        let due = self.due();
        let is_due = due.is_some_and(|due| due <= Instant::now());
        let stop = self.stop.clone();
        let mut select = Select::new();
        let done_at = select.recv(done);
        let stop_at = select.recv(stop.drain_channel());
        let arrivals_at = arrivals.map(|arrivals| select.recv(arrivals));
        let batch_at = is_due.then(|| select.send(batches));
        let change = Instant::now() + self.life.sleep(SystemTime::now());
        let wake = due
            .filter(|_| !is_due)
            .map_or(change, |due| due.min(change));
        let Ok(operation) = select.select_deadline(wake) else {
            return arrivals;
        };
        let index = operation.index();
        if index == done_at {
            if let Ok(done) = operation.recv(done) {
                self.queue.take_back(done.number, done.unanswered);
            }
        } else if index == stop_at {
            // Closed: the loop's condition sees it.
            let _ = operation.recv(stop.drain_channel());
        } else if Some(index) == batch_at {
            self.hand_over(operation, batches);
        } else if let Some(receiver) = arrivals.filter(|_| Some(index) == arrivals_at) {
            let Ok(arrival) = operation.recv(receiver) else {
                return None;
            };
            self.take(arrival);
            // A burst is taken in one go.
            for arrival in receiver.try_iter() {
                self.take(arrival);
            }
        }
        arrivals
    }

    /// When the waiting indicators are to be handed over; `None` where none
    /// waits.
    fn due(&self) -> Option<Instant> {
        if self.queue.is_empty() {
            None
        } else if self.queue.observables() >= self.batch_size {
            Some(self.oldest)
        } else {
            Some((self.newest + QUIET).min(self.oldest + LONGEST_DELAY))
        }
    }

    fn hand_over(&mut self, operation: SelectedOperation<'_>, batches: &Sender<Handed>) {
        let (number, requests) = self.queue.hand_out(self.batch_size);
        debug!(
            "a batch of {} indicator(s), {} wait",
            requests.len(),
            self.queue.len()
        );
        let handed = Handed { number, requests };
        if let Err(refused) = operation.send(batches, handed) {
            self.queue.take_back(number, refused.0.requests);
        }
    }

    fn take(&mut self, arrival: Arrival) {
        let (input, _place) = arrival.into_input();
        self.happened(input);
    }

    fn happened(&mut self, input: Input) {
        let was_empty = self.queue.is_empty();
        let outputs = self.life.step(SystemTime::now(), input, &mut self.queue);
        if outputs.iter().any(|one| matches!(one, Output::Sought(_))) {
            self.newest = Instant::now();
            if was_empty {
                self.oldest = self.newest;
            }
        }
        note(outputs, Way::Stored, &self.metrics);
    }

    /// At the end: says how many indicators nobody asked for. Where the program is
    /// stopped, the journal keeps them for the next run.
    fn leave(&self) {
        note_left(self.life.later(), Way::Stored, &self.metrics);
        let count = self.queue.len();
        if count > 0 {
            self.metrics.indicators_dropped.add(count as u64);
            log!(
                self.stop.level_of_rest(),
                "stopping: the queries for {count} indicator(s) were not finished, or not begun"
            );
        }
    }
}

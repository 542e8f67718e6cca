//! Collects indicators and passes them to workers. Indicators that wait while all workers
//! are busy go together to the first worker that becomes free.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Select, Sender};
use log::{debug, error, log};

use super::queue::{Queue, RetroRequest};
use super::worker::{BatchJob, Desk};
use crate::engine::Connection;
use crate::intake::{Arrival, Fate, Fates, Input, Life, Output, Table, Way, note, note_left};
use crate::process::stop::Stop;
use crate::state::journal::Ticket;

/// The longest time an indicator waits for others while a worker is free, and the shortest between
/// two batches that are not full. A query occupies its worker for 0.75 s at the least: at this
/// distance one of eight is always free, so that a burst that arrives in jerks does not wait for
/// the first of them.
const LONGEST_DELAY: Duration = Duration::from_millis(100);

/// A pause in the stream of indicators after which no more are expected: at 600 messages
/// a second, the slowest broker measured, one arrives every 2 ms.
const ARRIVAL_PAUSE: Duration = Duration::from_millis(20);

/// A batch for a worker.
pub struct HandedBatch {
    /// Its unique number.
    pub number: u64,
    /// The indicators to query.
    pub requests: Vec<RetroRequest>,
}

/// A worker's report on a finished batch: the requests that have to be queried again.
pub struct Done {
    /// The batch.
    pub number: u64,
    /// Unanswered requests.
    pub unanswered: Vec<RetroRequest>,
}

/// The workers for the batches of an engine.
pub struct Workers {
    /// The engine's own worker.
    pub own: Sender<HandedBatch>,
    /// The workers shared by all engines, if there are any.
    pub helpers: Option<Sender<BatchJob>>,
    /// What they need to query the engine.
    pub desk: Arc<Desk>,
}

/// The batcher's state; [`Batcher::run`] is its thread.
pub struct Batcher {
    batch_size: usize,
    fates: Arc<Fates>,
    stop: Stop,
    connection: Arc<Connection>,
    queue: Queue,
    life: Life,
    oldest: Instant,
    newest: Instant,
    /// When the last batch was passed on.
    handed: Option<Instant>,
}

impl Batcher {
    /// A batcher of this queue, for the workers of this desk.
    pub fn new(queue: Queue, desk: &Desk) -> Self {
        Batcher {
            batch_size: desk.settings.batch_size,
            fates: desk.fates.clone(),
            stop: desk.stop.clone(),
            connection: desk.connection.clone(),
            queue,
            life: Life::new(SystemTime::now()),
            oldest: Instant::now(),
            newest: Instant::now(),
            handed: None,
        }
    }

    /// Runs until the intake is closed and everything is answered, or the engine is given
    /// up, or the program stops; then until the workers have returned their requests.
    pub fn run(mut self, arrivals: &Receiver<Arrival>, done: &Receiver<Done>, workers: Workers) {
        let mut open = Some(arrivals);
        while open.is_some() || self.queue.is_running() || !self.queue.is_empty() {
            if self.stop.is_draining() {
                break;
            }
            if let Some(reason) = self.connection.given_up() {
                return self.give_up(&reason, arrivals);
            }
            self.happened(Input::Time);
            open = self.step(open, done, &workers);
        }
        // The channel closes with the last of them.
        drop(workers);
        for done in done {
            self.queue.take_back(done.number, done.unanswered);
        }
        for arrival in arrivals.try_iter() {
            self.take(arrival);
        }
        self.leave();
    }

    /// Waits for one event and processes it.
    fn step<'a>(
        &mut self,
        arrivals: Option<&'a Receiver<Arrival>>,
        done: &Receiver<Done>,
        workers: &Workers,
    ) -> Option<&'a Receiver<Arrival>> {
        let due = self.due();
        let is_due = due.is_some_and(|due| due <= Instant::now());
        let (stop, connection) = (self.stop.clone(), self.connection.clone());
        let mut select = Select::new();
        let done_at = select.recv(done);
        let stop_at = select.recv(stop.drain_channel());
        let arrivals_at = arrivals.map(|arrivals| select.recv(arrivals));
        let decided_at = (!connection.is_decided()).then(|| select.recv(connection.decided()));
        let own_at = is_due.then(|| select.send(&workers.own));
        // The shared workers do not wait for an engine that is away.
        let helpers = workers.helpers.as_ref();
        let helpers = helpers.filter(|_| is_due && connection.is_up());
        let helpers_at = helpers.map(|helpers| select.send(helpers));
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
            // If the channel is closed, the loop's condition sees it.
            let _ = operation.recv(stop.drain_channel());
        } else if Some(index) == decided_at {
            // The same if this one is closed: the next check sees the decision.
            let _ = operation.recv(connection.decided());
        } else if Some(index) == own_at {
            let handed = self.hand_out();
            if let Err(refused) = operation.send(&workers.own, handed) {
                let HandedBatch { number, requests } = refused.0;
                self.queue.take_back(number, requests);
            }
        } else if let Some(helpers) = helpers.filter(|_| Some(index) == helpers_at) {
            let handed = self.hand_out();
            let desk = workers.desk.clone();
            if let Err(refused) = operation.send(helpers, BatchJob { desk, handed }) {
                let HandedBatch { number, requests } = refused.0.handed;
                self.queue.take_back(number, requests);
            }
        } else if let Some(receiver) = arrivals.filter(|_| Some(index) == arrivals_at) {
            let Ok(arrival) = operation.recv(receiver) else {
                return None;
            };
            self.take(arrival);
            // A burst is processed in one go.
            for arrival in receiver.try_iter() {
                self.take(arrival);
            }
        }
        arrivals
    }

    /// When the waiting indicators are passed on; `None` if none waits.
    fn due(&self) -> Option<Instant> {
        if self.queue.is_empty() {
            None
        } else if self.queue.observables() >= self.batch_size {
            Some(self.oldest)
        } else {
            let quiet = self.newest + ARRIVAL_PAUSE;
            let spaced = self
                .handed
                .map_or(quiet, |handed| quiet.max(handed + LONGEST_DELAY));
            Some(spaced.min(self.oldest + LONGEST_DELAY))
        }
    }

    fn hand_out(&mut self) -> HandedBatch {
        self.handed = Some(Instant::now());
        let (number, requests) = self.queue.hand_out(self.batch_size);
        debug!(
            "a batch of {} indicator(s), {} wait",
            requests.len(),
            self.queue.len()
        );
        HandedBatch { number, requests }
    }

    /// The engine is not queried in this run: its indicators stay in the journal.
    fn give_up(mut self, reason: &str, arrivals: &Receiver<Arrival>) {
        error!("{reason}; it is not queried in this run");
        let waiting = self.queue.len() + self.life.not_yet_valid();
        let mut count = waiting as u64;
        self.queue.leave_to_journal();
        for arrival in arrivals {
            if let Arrival::Indicator { ticket, .. } = arrival {
                count += 1;
                ticket.into_iter().for_each(Ticket::keep);
            }
        }
        self.fates.settle(Fate::Dropped, count);
    }

    fn take(&mut self, arrival: Arrival) {
        let (input, _place) = arrival.into_input();
        self.happened(input);
    }

    fn happened(&mut self, input: Input) {
        let was_empty = self.queue.is_empty();
        let outputs = self.life.step(SystemTime::now(), input, &mut self.queue);
        if outputs.iter().any(|one| matches!(one, Output::Searched(_))) {
            self.newest = Instant::now();
            if was_empty {
                self.oldest = self.newest;
            }
        }
        note(outputs, Way::Stored, &self.fates);
    }

    /// Logs at the end how many indicators were not queried. If the program was stopped,
    /// the journal keeps them for the next run.
    fn leave(&self) {
        note_left(self.life.not_yet_valid(), Way::Stored, &self.fates);
        let count = self.queue.len();
        if count > 0 {
            self.fates.settle(Fate::Dropped, count as u64);
            log!(
                self.stop.level_of_rest(),
                "stopping: the queries for {count} indicator(s) were not finished, or not begun"
            );
        }
    }
}

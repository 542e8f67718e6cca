//! Gathers indicators and hands them to workers: what waits while all workers
//! are busy goes together to the first that becomes free.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Select, Sender};
use log::{debug, log};

use super::queue::{Put, Queue, Request};
use super::{Waiting, note_inactive, note_later, note_unsupported};
use crate::indicator::{Indicator, Later, Message, Standing};
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::state::journal::Ticket;

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
    /// How many requests it held.
    pub asked: usize,
    /// Unanswered requests.
    pub unanswered: Vec<Request>,
}

/// The batcher's state; [`Batcher::run`] is its thread.
pub struct Batcher {
    batch_size: usize,
    /// Why the engine cannot be asked for anything but values, if it cannot.
    lists_only: Option<String>,
    waiting: Arc<Waiting>,
    metrics: Arc<Metrics>,
    stop: Stop,
    queue: Queue,
    /// Indicators that do not count yet.
    later: Later,
    /// The batches that are with workers, each with the ids that were not
    /// withdrawn meanwhile.
    running: HashMap<u64, HashSet<Arc<str>>>,
    handed: u64,
    oldest: Instant,
    newest: Instant,
}

impl Batcher {
    /// A batcher with an empty queue.
    pub fn new(
        batch_size: usize,
        lists_only: Option<String>,
        waiting: Arc<Waiting>,
        metrics: Arc<Metrics>,
        stop: Stop,
    ) -> Self {
        Batcher {
            batch_size,
            lists_only,
            waiting,
            metrics,
            stop,
            queue: Queue::default(),
            later: Later::default(),
            running: HashMap::new(),
            handed: 0,
            oldest: Instant::now(),
            newest: Instant::now(),
        }
    }

    /// Runs until the intake is closed and everything is answered, or the
    /// program stops. Dropping `batches` then ends the workers.
    pub fn run(
        mut self,
        intake: &Receiver<Message>,
        done: &Receiver<Done>,
        batches: Sender<Handed>,
    ) {
        let mut intake = Some(intake);
        while intake.is_some() || !self.running.is_empty() || !self.queue.is_empty() {
            if self.stop.is_draining() {
                break;
            }
            self.take_due();
            intake = self.step(intake, done, &batches);
        }
        self.drop_waiting(intake, done);
        self.leave_later();
    }

    /// Waits for one thing to happen and does it.
    fn step<'a>(
        &mut self,
        intake: Option<&'a Receiver<Message>>,
        done: &Receiver<Done>,
        batches: &Sender<Handed>,
    ) -> Option<&'a Receiver<Message>> {
        let due = self.due();
        let is_due = due.is_some_and(|due| due <= Instant::now());
        let stop = self.stop.clone();
        let mut select = Select::new();
        let done_at = select.recv(done);
        let stop_at = select.recv(stop.drain_channel());
        let intake_at = intake.map(|intake| select.recv(intake));
        let batch_at = is_due.then(|| select.send(batches));
        let later = self.later.sleep().map(|sleep| Instant::now() + sleep);
        let wake = due.filter(|_| !is_due).into_iter().chain(later).min();
        let selected = match wake {
            Some(wake) => select.select_deadline(wake),
            None => Ok(select.select()),
        };
        let Ok(operation) = selected else {
            return intake;
        };
        let index = operation.index();
        if index == done_at {
            if let Ok(done) = operation.recv(done) {
                self.take_back(done);
            }
        } else if index == stop_at {
            // Closed: the loop's condition sees it.
            let _ = operation.recv(stop.drain_channel());
        } else if Some(index) == batch_at {
            self.hand_over(operation, batches);
        } else if let Some(receiver) = intake.filter(|_| Some(index) == intake_at) {
            let Ok(message) = operation.recv(receiver) else {
                return None;
            };
            self.take(message);
            // A burst is taken in one go.
            for message in receiver.try_iter() {
                self.take(message);
            }
        }
        intake
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

    fn hand_over(
        &mut self,
        operation: crossbeam_channel::SelectedOperation<'_>,
        batches: &Sender<Handed>,
    ) {
        let requests = self.queue.take(self.batch_size);
        for request in &requests {
            self.waiting.remove(request.indicator.size());
        }
        debug!(
            "a batch of {} indicator(s), {} wait",
            requests.len(),
            self.queue.len()
        );
        let ids = requests.iter().map(|request| request.indicator.id.clone());
        let (number, ids) = (self.handed, ids.collect());
        self.handed += 1;
        if operation.send(batches, Handed { number, requests }).is_ok() {
            self.running.insert(number, ids);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Match {
                indicator,
                replaces,
            } => {
                let standing = indicator.validity.now();
                if replaces || standing == Standing::Revoked {
                    self.withdraw(&indicator.id);
                }
                self.sort_in(indicator, standing);
            }
            Message::Withdraw(id) => self.withdraw(&id),
            // Counted and logged where it was read.
            Message::Unsupported { .. } => {}
        }
    }

    /// Puts an indicator where it belongs by its standing.
    fn sort_in(&mut self, indicator: Indicator, standing: Standing) {
        match (standing, &self.lists_only) {
            (Standing::Active, Some(reason)) if indicator.selection.is_some() => {
                note_unsupported(&indicator, reason, &self.metrics);
                self.leave_out(indicator);
            }
            (Standing::Active, _) => self.push(indicator),
            (Standing::NotYetValid, _) => self.put_off(indicator),
            (Standing::Expired | Standing::Revoked, _) => {
                note_inactive(&indicator, standing, &self.metrics);
                self.leave_out(indicator);
            }
        }
    }

    /// An indicator that begins to count later is no work until then.
    fn put_off(&mut self, indicator: Indicator) {
        let (id, size) = (indicator.id.clone(), indicator.size());
        match self.later.put(indicator) {
            Ok(()) => {
                self.waiting.remove(size);
                self.metrics.backlog.remove(1);
                note_later(&id);
            }
            Err(indicator) => {
                note_inactive(&indicator, Standing::NotYetValid, &self.metrics);
                self.leave_out(*indicator);
            }
        }
    }

    /// Takes up those whose time has come.
    fn take_due(&mut self) {
        while let Some(indicator) = self.later.take_due(SystemTime::now()) {
            self.waiting.add(indicator.size());
            self.metrics.backlog.add(1);
            let standing = indicator.validity.now();
            self.sort_in(indicator, standing);
        }
    }

    /// At the end: what does not count yet is not asked for by this run. Where the
    /// program is stopped, the journal keeps it for the next one.
    fn leave_later(&mut self) {
        for indicator in self.later.take_all() {
            self.metrics.indicators_inactive.add(1);
            if !self.stop.is_draining() {
                indicator.ticket.into_iter().for_each(Ticket::finish);
            }
        }
    }

    fn push(&mut self, indicator: Indicator) {
        let size = indicator.size();
        self.newest = Instant::now();
        if self.queue.is_empty() {
            self.oldest = self.newest;
        }
        let ticket = indicator.ticket.clone();
        if self.queue.push(Request::new(indicator)) == Put::Folded {
            // The one that waits has a ticket of its own.
            ticket.into_iter().for_each(Ticket::finish);
            self.waiting.remove(size);
            self.metrics.backlog.remove(1);
            self.metrics.indicators_repeated.add(1);
        }
    }

    /// An indicator that is not asked for.
    fn leave_out(&self, indicator: Indicator) {
        self.waiting.remove(indicator.size());
        self.metrics.backlog.remove(1);
        indicator.ticket.into_iter().for_each(Ticket::finish);
    }

    /// What is being asked for goes on, but is not asked for once more.
    fn withdraw(&mut self, id: &str) {
        for ids in self.running.values_mut() {
            ids.remove(id);
        }
        for indicator in self.later.remove(id) {
            indicator.ticket.into_iter().for_each(Ticket::finish);
        }
        for request in self.queue.remove(id) {
            self.waiting.remove(request.indicator.size());
            self.metrics.backlog.remove(1);
            request.abandon();
            debug!(
                "indicator {} is withdrawn before it was asked for",
                printable(id, 200)
            );
        }
    }

    fn take_back(&mut self, done: Done) {
        let wanted = self.running.remove(&done.number).unwrap_or_default();
        let answered = done.asked - done.unanswered.len();
        for request in done.unanswered {
            if !wanted.contains(&request.indicator.id) {
                debug!(
                    "indicator {} was withdrawn while it was asked for",
                    printable(&request.indicator.id, 200)
                );
                self.metrics.backlog.remove(1);
                request.abandon();
                continue;
            }
            let size = request.indicator.size();
            match self.queue.push(request) {
                Put::Queued => self.waiting.add(size),
                Put::Folded => self.metrics.backlog.remove(1),
            }
        }
        self.metrics.backlog.remove(answered as u64);
    }

    /// At the end: says how many indicators nobody asked for.
    fn drop_waiting(&mut self, intake: Option<&Receiver<Message>>, done: &Receiver<Done>) {
        for done in done.try_iter() {
            self.take_back(done);
        }
        if let Some(intake) = intake {
            for message in intake.try_iter() {
                self.take(message);
            }
        }
        let count = self.queue.len();
        if count > 0 {
            self.metrics.indicators_dropped.add(count as u64);
            log!(
                self.stop.level_of_rest(),
                "stopping: {count} indicator(s) still waited for an answer and were not matched"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::{Protocol, Selection, Validity};
    use crate::matching::condition::{Field, Order};

    #[test]
    fn what_the_engine_cannot_be_asked_is_counted_and_not_kept() {
        let port = Selection::Number(Field::DestinationPort, Order::Equal, 80);
        let indicator = || Indicator {
            id: "1".into(),
            protocol: Protocol::Stix2,
            observables: vec![],
            selection: Some(Arc::new(port.clone())),
            condition: None,
            validity: Validity::ALWAYS,
            ioc: vec!["80".to_owned()],
            original: None,
            ticket: None,
        };
        for (lists_only, unsupported, waits) in [(Some("why".to_owned()), 1, 0), (None, 0, 1)] {
            let (metrics, waiting) = (Arc::new(Metrics::default()), Arc::new(Waiting::default()));
            let indicator = indicator();
            waiting.add(indicator.size());
            metrics.backlog.add(1);
            let stop = Stop::new().expect("two socket pairs");
            let mut batcher = Batcher::new(10, lists_only, waiting.clone(), metrics.clone(), stop);
            batcher.take(Message::Match {
                indicator,
                replaces: false,
            });
            assert_eq!(metrics.indicators_unsupported.get(), unsupported);
            assert_eq!(metrics.backlog.get(), waits);
            assert_eq!(batcher.queue.len() as u64, waits);
        }
    }
}

//! Sends updates to an engine's matcher: a few threads, each of which runs one process at
//! a time. Updates of one value go through one thread, in order; if a value changes again
//! before it was sent, only the last change counts.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{Level, debug, error, info, log, log_enabled, warn};

use crate::engine::live::{RemoteMatcher, UpdateOutcome};
use crate::intake::Change;
use crate::observable::Observable;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::process::thread;

/// The number of processes that run at once.
const WORKERS: usize = 4;

/// The most changes that wait for each of them; beyond that the sender waits.
const WAITING: usize = 4096;

/// How long a change waits for others if one process can send many: a process takes
/// longer.
const COMPANY: Duration = Duration::from_millis(100);

/// The most changes that one thread holds to combine them.
const GATHERED: usize = 10_000;

/// What a thread receives.
enum MatcherMessage {
    Change(Change),
    /// Drop this when everything before it has been sent.
    Report(Sender<Infallible>),
}

/// The threads, and their queues.
pub struct MatcherUpdates {
    queues: Vec<Sender<MatcherMessage>>,
    threads: Vec<JoinHandle<()>>,
    hasher: RandomState,
    ending: Stop,
    stop: Stop,
}

/// Sends changes to the threads.
#[derive(Clone)]
pub struct ChangeSender {
    queues: Vec<Sender<MatcherMessage>>,
    hasher: RandomState,
    ending: Stop,
    stop: Stop,
}

impl MatcherUpdates {
    /// Starts the threads. They end when every [`ChangeSender`] is dropped, or with `ending`.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        matcher: &Arc<dyn RemoteMatcher>,
        metrics: &Arc<Metrics>,
        ending: &Stop,
        stop: &Stop,
    ) -> std::io::Result<Self> {
        let mut pool = MatcherUpdates {
            queues: Vec::new(),
            threads: Vec::new(),
            hasher: RandomState::new(),
            ending: ending.clone(),
            stop: stop.clone(),
        };
        for number in 1..=WORKERS {
            let (queue, orders) = bounded(WAITING);
            let worker = UpdateWorker {
                matcher: matcher.clone(),
                metrics: metrics.clone(),
                ending: ending.clone(),
                stop: stop.clone(),
                waiting: PendingChanges::default(),
                reports: VecDeque::new(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("matcher-{number}"))
                .spawn(move || worker.run(&orders))?;
            pool.queues.push(queue);
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Another sender of changes.
    pub fn change_sender(&self) -> ChangeSender {
        ChangeSender {
            queues: self.queues.clone(),
            hasher: self.hasher.clone(),
            ending: self.ending.clone(),
            stop: self.stop.clone(),
        }
    }

    /// Waits for the threads to end.
    pub fn join(self) {
        drop(self.queues);
        for thread in self.threads {
            thread::join(thread);
        }
    }
}

impl ChangeSender {
    /// Sends a change, waiting while too many wait, but not beyond the end; returns
    /// whether it was sent.
    pub fn send(&self, change: Change) -> bool {
        let value = match &change {
            Change::Add(value, _) | Change::Remove(value) => value,
        };
        let worker = self.hasher.hash_one(value) as usize % self.queues.len();
        self.send_to(worker, MatcherMessage::Change(change))
    }

    /// Waits until all earlier changes are sent or rejected, or until the end.
    pub fn wait_until_settled(&self) {
        let (report, reported) = bounded(0);
        for worker in 0..self.queues.len() {
            self.send_to(worker, MatcherMessage::Report(report.clone()));
        }
        drop(report);
        select! {
            // All of them are dropped.
            recv(reported) -> _ => {}
            recv(self.ending.now_channel()) -> _ => {}
            recv(self.stop.drain_channel()) -> _ => {}
        }
    }

    /// The end of live matching may be caused by the very thread that waits here, so the
    /// end of the program counts too.
    fn send_to(&self, worker: usize, order: MatcherMessage) -> bool {
        select! {
            // The thread only goes away when the program ends.
            send(self.queues[worker], order) -> sent => sent.is_ok(),
            recv(self.ending.now_channel()) -> _ => false,
            recv(self.stop.drain_channel()) -> _ => false,
        }
    }
}

/// The pending changes of a thread, each value once.
#[derive(Default)]
struct PendingChanges {
    order: VecDeque<Observable>,
    /// The id to add a value with; `None` to remove it.
    wanted: HashMap<Observable, Option<Arc<str>>>,
}

/// The next update.
#[derive(Debug, PartialEq, Eq)]
enum UpdateStep {
    Add(Vec<(Observable, Arc<str>)>),
    Remove(Observable),
}

impl UpdateStep {
    /// The number of values in it.
    fn len(&self) -> usize {
        match self {
            UpdateStep::Add(values) => values.len(),
            UpdateStep::Remove(_) => 1,
        }
    }
}

impl PendingChanges {
    fn put(&mut self, change: Change) {
        let (value, wanted) = match change {
            Change::Add(value, id) => (value, Some(id)),
            Change::Remove(value) => (value, None),
        };
        if self.wanted.insert(value.clone(), wanted).is_none() {
            self.order.push_back(value);
        }
    }

    /// Undoes [`PendingChanges::next`], except for what has changed since.
    fn put_back(&mut self, step: UpdateStep) {
        let entries: Vec<(Observable, Option<Arc<str>>)> = match step {
            UpdateStep::Add(values) => values.into_iter().map(|(v, id)| (v, Some(id))).collect(),
            UpdateStep::Remove(value) => vec![(value, None)],
        };
        for (value, wanted) in entries.into_iter().rev() {
            if !self.wanted.contains_key(&value) {
                self.wanted.insert(value.clone(), wanted);
                self.order.push_front(value);
            }
        }
    }

    /// Removes up to `most` consecutive additions, or one removal, and returns them.
    fn next(&mut self, most: usize) -> Option<UpdateStep> {
        let mut additions = Vec::new();
        while let Some(value) = self.order.pop_front() {
            match self.wanted.remove(&value) {
                Some(Some(id)) => additions.push((value, id)),
                Some(None) if additions.is_empty() => return Some(UpdateStep::Remove(value)),
                Some(None) => {
                    self.wanted.insert(value.clone(), None);
                    self.order.push_front(value);
                    break;
                }
                None => {}
            }
            if additions.len() == most {
                break;
            }
        }
        (!additions.is_empty()).then_some(UpdateStep::Add(additions))
    }

    fn len(&self) -> usize {
        self.order.len()
    }
}

struct UpdateWorker {
    matcher: Arc<dyn RemoteMatcher>,
    metrics: Arc<Metrics>,
    ending: Stop,
    stop: Stop,
    waiting: PendingChanges,
    /// Whom to notify after how many more updates.
    reports: VecDeque<(usize, Sender<Infallible>)>,
}

impl UpdateWorker {
    fn run(mut self, orders: &Receiver<MatcherMessage>) {
        let most = self.matcher.most_at_once();
        loop {
            if self.waiting.len() == 0 {
                select! {
                    recv(orders) -> order => match order {
                        Ok(order) => self.take(order),
                        Err(_) => return,
                    },
                    recv(self.ending.now_channel()) -> _ => return,
                }
            }
            self.gather(orders, most);
            if self.ending.is_now() {
                return self.drop_waiting(orders);
            }
            if let Some(step) = self.waiting.next(most) {
                self.apply(step);
            }
        }
    }

    fn take(&mut self, order: MatcherMessage) {
        match order {
            MatcherMessage::Change(change) => self.waiting.put(change),
            MatcherMessage::Report(report) => {
                self.reports.push_back((self.waiting.len(), report));
                self.count_settled(0);
            }
        }
    }

    /// Counts this many of the oldest updates as sent.
    fn count_settled(&mut self, count: usize) {
        for (left, _) in &mut self.reports {
            *left = left.saturating_sub(count);
        }
        while self.reports.front().is_some_and(|(left, _)| *left == 0) {
            self.reports.pop_front();
        }
    }

    /// Receives what waits, and, if one process can send many, what arrives within a
    /// moment. More than the thread can hold stays in the bounded channel.
    fn gather(&mut self, orders: &Receiver<MatcherMessage>, most: usize) {
        let until = Instant::now() + if most > 1 { COMPANY } else { Duration::ZERO };
        while self.waiting.len() < GATHERED && !self.ending.is_now() {
            match orders.recv_deadline(until) {
                Ok(order) => self.take(order),
                Err(_) => return,
            }
        }
    }

    fn apply(&mut self, step: UpdateStep) {
        let outcome = match &step {
            UpdateStep::Add(values) => self.matcher.add(values, &self.ending),
            UpdateStep::Remove(value) => self.matcher.remove(value, &self.ending),
        };
        match outcome {
            UpdateOutcome::Done => {
                note(&step);
                self.count_settled(step.len());
            }
            UpdateOutcome::Stopped => self.waiting.put_back(step),
            UpdateOutcome::Unreachable(reason) => {
                self.waiting.put_back(step);
                self.wait(&reason);
            }
            UpdateOutcome::Refused(reason) => self.refused(step, &reason),
        }
    }

    /// Waits until the engine is back, or the program ends.
    fn wait(&self, reason: &str) {
        warn!(
            "the matcher cannot be updated: {}; trying again",
            printable(reason, 500)
        );
        if self.ending.retry(|| self.matcher.is_there(&self.ending)) {
            info!("the matcher can be updated again");
        }
    }

    /// One of several may be the one that the engine rejects.
    fn refused(&mut self, step: UpdateStep, reason: &str) {
        match step {
            UpdateStep::Add(mut values) if values.len() > 1 => {
                let second = values.split_off(values.len() / 2);
                self.apply(UpdateStep::Add(values));
                self.apply(UpdateStep::Add(second));
            }
            step => {
                self.metrics.live_changes_failed.add(1);
                self.count_settled(step.len());
                error!(
                    "the matcher does not accept {}: {}",
                    describe(&step).join(", "),
                    printable(reason, 500)
                );
            }
        }
    }

    fn drop_waiting(&self, orders: &Receiver<MatcherMessage>) {
        let orders = orders.try_iter();
        let changes = orders.filter(|order| matches!(order, MatcherMessage::Change(_)));
        let count = self.waiting.len() + changes.count();
        if count > 0 {
            log!(
                self.stop.level_of_rest(),
                "stopping: the matcher was not sent {count} value(s)"
            );
        }
    }
}

/// Logs an update of the matcher.
fn note(step: &UpdateStep) {
    if !log_enabled!(Level::Debug) {
        return;
    }
    for what in describe(step) {
        debug!("the matcher knows {what}");
    }
}

fn describe(step: &UpdateStep) -> Vec<String> {
    let shown = |value: &Observable| printable(&value.to_string(), 200).to_string();
    match step {
        UpdateStep::Add(values) => values
            .iter()
            .map(|(value, id)| {
                let id = printable(id, 200);
                format!("the value {} of indicator {id}", shown(value))
            })
            .collect(),
        UpdateStep::Remove(value) => vec![format!("the removal of the value {}", shown(value))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(value: &str, id: &str) -> Change {
        Change::Add(Observable::domain(value), id.into())
    }

    fn remove(value: &str) -> Change {
        Change::Remove(Observable::domain(value))
    }

    fn added(values: &[(&str, &str)]) -> Option<UpdateStep> {
        let values = values.iter();
        let values = values.map(|(value, id)| (Observable::domain(value), Arc::from(*id)));
        Some(UpdateStep::Add(values.collect()))
    }

    /// A matcher whose calls last until live matching ends.
    struct Away;

    impl RemoteMatcher for Away {
        fn most_at_once(&self) -> usize {
            1
        }

        fn add(&self, _: &[(Observable, Arc<str>)], stop: &Stop) -> UpdateOutcome {
            // The channel is only closed, never used.
            let _ = stop.now_channel().recv();
            UpdateOutcome::Stopped
        }

        fn remove(&self, _: &Observable, _: &Stop) -> UpdateOutcome {
            UpdateOutcome::Stopped
        }

        fn check(&self, _: &Observable, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn is_there(&self, _: &Stop) -> bool {
            false
        }

        fn forgets(&self) -> bool {
            false
        }
    }

    /// The sender of changes ends live matching, and once waited for that end itself.
    #[test]
    fn a_caller_with_more_changes_than_can_wait_is_free_at_the_stop() {
        let new = || Stop::new().expect("two socket pairs");
        let (ending, stop) = (new(), new());
        let matcher: Arc<dyn RemoteMatcher> = Arc::new(Away);
        let metrics = Arc::new(Metrics::default());
        let pool = MatcherUpdates::start(&matcher, &metrics, &ending, &stop).expect("threads");
        let sender = pool.change_sender();
        let send = move || (0..200_000).all(|n| sender.send(add(&format!("{n}.example"), "1")));
        let bringing = std::thread::spawn(send);
        while !pool.queues.iter().any(Sender::is_full) {
            std::thread::yield_now();
        }
        stop.drain(Duration::ZERO);
        assert!(!bringing.join().expect("no defect"), "it cannot take all");
        ending.now();
        pool.join();
    }

    #[test]
    fn additions_are_gathered_up_to_a_removal() {
        let mut waiting = PendingChanges::default();
        for change in [
            add("a", "1"),
            add("b", "2"),
            remove("c"),
            add("d", "4"),
            add("e", "5"),
        ] {
            waiting.put(change);
        }
        assert_eq!(waiting.next(9), added(&[("a", "1"), ("b", "2")]));
        let removal = Some(UpdateStep::Remove(Observable::domain("c")));
        assert_eq!(waiting.next(9), removal);
        assert_eq!(waiting.next(1), added(&[("d", "4")]));
        assert_eq!(waiting.next(1), added(&[("e", "5")]));
        assert_eq!(waiting.next(1), None);
    }

    #[test]
    fn the_last_change_of_a_value_counts() {
        let mut waiting = PendingChanges::default();
        for change in [add("a", "1"), remove("a"), add("b", "2"), add("a", "3")] {
            waiting.put(change);
        }
        let step = waiting.next(9);
        assert_eq!(step, added(&[("a", "3"), ("b", "2")]));
        // It failed, and in the meantime one of them changed again.
        waiting.put(remove("a"));
        waiting.put_back(step.expect("some"));
        assert_eq!(waiting.next(9), added(&[("b", "2")]));
        assert_eq!(
            waiting.next(9),
            Some(UpdateStep::Remove(Observable::domain("a")))
        );
        assert_eq!(waiting.next(9), None);
    }

    /// A slow engine that rejects one value.
    #[derive(Default)]
    struct Slow(std::sync::Mutex<Vec<Observable>>);

    impl RemoteMatcher for Slow {
        fn most_at_once(&self) -> usize {
            7
        }

        fn add(&self, values: &[(Observable, Arc<str>)], _: &Stop) -> UpdateOutcome {
            std::thread::sleep(Duration::from_millis(2));
            let refused = Observable::domain("refused");
            if values.iter().any(|(value, _)| *value == refused) {
                return UpdateOutcome::Refused("it is refused".to_owned());
            }
            let mut known = self.0.lock().expect("nobody panicked");
            known.extend(values.iter().map(|(value, _)| value.clone()));
            UpdateOutcome::Done
        }

        fn remove(&self, _: &Observable, _: &Stop) -> UpdateOutcome {
            UpdateOutcome::Done
        }

        fn check(&self, _: &Observable, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn is_there(&self, _: &Stop) -> bool {
            true
        }

        fn forgets(&self) -> bool {
            true
        }
    }

    #[test]
    fn waiting_for_all_changes_ends_with_the_last_one() {
        let stop = Stop::new().expect("two socket pairs");
        let slow = Arc::new(Slow::default());
        let matcher: Arc<dyn RemoteMatcher> = slow.clone();
        let metrics = Arc::new(Metrics::default());
        let pool = MatcherUpdates::start(&matcher, &metrics, &stop, &stop).expect("threads");
        let sender = pool.change_sender();
        sender.wait_until_settled();
        for round in 1..=3 {
            for n in 0..100 {
                sender.send(add(&format!("{round}-{n}"), "x"));
            }
            sender.send(add("refused", "x"));
            sender.send(remove("0-0"));
            sender.wait_until_settled();
            let known = slow.0.lock().expect("nobody panicked").len();
            assert_eq!(known, round * 100);
        }
        drop(sender);
        pool.join();
    }
}

//! Whether an engine answers, as far as those who ask it know.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{info, warn};

use super::choice::SharedEngine;
use super::connect::{ANSWER_TIME, Unreachable, connect_to};
use crate::observe::logging::printable;
use crate::observe::metrics::{Metrics, Peer};
use crate::process::stop::{Backoff, Stop};

/// After so long without a query the engine is asked whether it is there: who reads
/// metrics is to know it before the next indicator comes.
const LOOK_AFTER: Duration = Duration::from_secs(60);

/// How long an engine is tried at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until it answers.
    ForEver,
    /// This long; `None` = until it answers.
    Limited(Option<Duration>),
}

/// How it stands with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionState {
    /// It has not answered yet.
    New,
    /// It answered when it was last asked.
    Up,
    /// It went away at this time, or later.
    Away(Instant),
    /// It did not answer in time, and is not asked any more.
    GivenUp,
}

/// An engine that several threads ask. While it is away one of them looks from time to
/// time whether it is back.
pub struct Connection {
    engine: SharedEngine,
    /// What it is called where there are several.
    name: Option<Arc<str>>,
    metrics: Arc<Metrics>,
    standing: Mutex<ConnectionState>,
    /// When it was last asked for anything.
    asked: Mutex<Instant>,
    /// Why it was given up.
    reason: Mutex<Option<String>>,
    /// Closed when it has answered for the first time, or was given up.
    decided: Receiver<()>,
    decide: Mutex<Option<Sender<()>>>,
}

impl Connection {
    /// A connection to an engine that has not answered yet, called like this where there
    /// are several.
    pub fn new(engine: SharedEngine, name: Option<Arc<str>>, metrics: Arc<Metrics>) -> Self {
        let (decide, decided) = bounded(0);
        metrics.engine_up.set(Peer::Down);
        Connection {
            engine,
            name,
            metrics,
            standing: Mutex::new(ConnectionState::New),
            asked: Mutex::new(Instant::now()),
            reason: Mutex::default(),
            decided,
            decide: Mutex::new(Some(decide)),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &SharedEngine {
        &self.engine
    }

    /// How logs name it.
    pub fn title(&self) -> String {
        let engine = self.engine.name();
        match &self.name {
            Some(name) if !engine.ends_with(&**name) => {
                format!("{} ({engine})", printable(name, 200))
            }
            _ => engine,
        }
    }

    /// What the metrics call it.
    pub(super) fn called(&self) -> &str {
        self.metrics.engine_name()
    }

    /// Waits until it answers for the first time, which is what `None` says, or for as
    /// long as there is patience.
    ///
    /// # Errors
    /// It was given up: it did not answer in time, or cannot be used.
    pub fn open(&self, patience: Patience, stop: &Stop) -> Result<(), Unreachable> {
        let opened = connect_to(self, patience, stop);
        let standing = match &opened {
            Ok(true) => {
                if let Some(named) = &self.metrics.engine {
                    named.version.get_or_init(|| self.engine.version());
                }
                ConnectionState::Up
            }
            Ok(false) => return Ok(()),
            Err(error) => {
                *self.reason.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(error.to_string());
                ConnectionState::GivenUp
            }
        };
        self.set(standing);
        *self.decide.lock().unwrap_or_else(PoisonError::into_inner) = None;
        opened.map(|_| ())
    }

    /// Whether it has answered, once that is known; `false` where the program stops
    /// meanwhile, or it was given up.
    pub fn wait_for_first(&self, stop: &Stop) -> bool {
        select! {
            recv(self.decided) -> _ => self.get() != ConnectionState::GivenUp,
            recv(stop.drain_channel()) -> _ => false,
        }
    }

    /// Closed when it is known whether it answers at all.
    pub fn decided(&self) -> &Receiver<()> {
        &self.decided
    }

    /// Whether that is known.
    pub fn is_decided(&self) -> bool {
        self.get() != ConnectionState::New
    }

    /// Why it was given up, where it was.
    pub fn given_up(&self) -> Option<String> {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone()
    }

    /// Whether it makes sense to ask it now.
    pub fn is_up(&self) -> bool {
        self.get() == ConnectionState::Up
    }

    /// Asks whether it is there, where nothing was asked lately.
    pub fn look(&self, stop: &Stop) {
        if !self.until_look().is_zero() {
            return;
        }
        self.note_asked();
        if stop.is_draining() {
            return;
        }
        if let Err(error) = self.engine.ready(ANSWER_TIME, stop) {
            if !stop.is_draining() {
                self.is_lost(&error.reason);
            }
        }
    }

    /// Something is asked.
    fn note_asked(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long it is until [`look`](Self::look) asks, where nothing else is asked.
    pub fn until_look(&self) -> Duration {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        LOOK_AFTER.saturating_sub(asked.elapsed())
    }

    /// A query was answered.
    pub fn has_answered(&self) {
        self.note_asked();
        let mut standing = self.lock();
        if matches!(*standing, ConnectionState::Away(_)) {
            *standing = ConnectionState::Up;
            self.metrics.engine_up.set(Peer::Up);
        }
    }

    /// A query was not answered, as it went away: why, for a person.
    pub fn is_lost(&self, reason: &str) {
        let mut standing = self.lock();
        if *standing == ConnectionState::Up {
            *standing = ConnectionState::Away(Instant::now());
            self.metrics.engine_up.set(Peer::Down);
            let (engine, reason) = (self.called(), printable(reason, 500));
            warn!(
                engine, reason:% = reason;
                "{} is away: {reason}; asking until it is back",
                self.title()
            );
        }
    }

    /// Waits until it is back, where it is away, or until the program stops; for the one
    /// thread that looks.
    pub fn wait_until_back(&self, stop: &Stop) {
        let mut backoff = Backoff::new();
        loop {
            let ConnectionState::Away(since) = self.get() else {
                return;
            };
            if stop.sleep(backoff.pause()) {
                return;
            }
            if self.engine.ready(ANSWER_TIME, stop).is_ok() {
                self.has_answered();
                info!(
                    engine = self.called();
                    "{} is back after {:.1} s",
                    self.title(),
                    since.elapsed().as_secs_f64()
                );
            }
        }
    }

    fn get(&self) -> ConnectionState {
        *self.lock()
    }

    fn set(&self, standing: ConnectionState) {
        *self.lock() = standing;
        self.metrics.engine_up.set(match standing {
            ConnectionState::Up => Peer::Up,
            _ => Peer::Down,
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ConnectionState> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::engine::{Bounds, Engine, Event, NotReady, QueryOutcome, QueryTarget};
    use crate::process::child::Flow;

    /// Counts how often it is asked whether it is there.
    #[derive(Default)]
    struct Node(AtomicUsize);

    impl Engine for Node {
        fn title(&self) -> &'static str {
            "Node"
        }

        fn name(&self) -> String {
            "Node".to_owned()
        }

        fn version(&self) -> String {
            "1".to_owned()
        }

        fn ready(&self, _: Duration, _: &Stop) -> Result<(), NotReady> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn probe_command(&self) -> String {
            "node".to_owned()
        }

        fn export(
            &self,
            _: QueryTarget<'_>,
            _: Bounds,
            _: &Stop,
            _: &mut dyn FnMut(Event<'_>) -> Flow,
        ) -> QueryOutcome {
            QueryOutcome::Complete
        }
    }

    #[test]
    fn an_engine_is_looked_at_a_minute_after_it_was_asked_the_last_time() {
        let (node, stop) = (Arc::new(Node::default()), Stop::new().expect("two sockets"));
        let connection = Connection::new(node.clone(), None, Arc::default());
        let asked_before = |seconds| {
            let before = Instant::now().checked_sub(Duration::from_secs(seconds));
            *connection.asked.lock().expect("nobody else") = before.expect("the clock runs");
        };
        asked_before(50);
        connection.look(&stop);
        // A look that came too early puts nothing off.
        assert!(connection.until_look() <= Duration::from_secs(10));
        assert_eq!(node.0.load(Ordering::Relaxed), 0);
        asked_before(60);
        connection.look(&stop);
        assert_eq!(node.0.load(Ordering::Relaxed), 1);
        assert!(connection.until_look() > Duration::from_secs(50));
        asked_before(60);
        stop.now();
        connection.look(&stop);
        assert_eq!(node.0.load(Ordering::Relaxed), 1);
        assert!(
            !connection.until_look().is_zero(),
            "nobody looks at once again"
        );
    }
}

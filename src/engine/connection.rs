//! The connection to an engine, and whether it is up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{info, warn};

use super::choice::SharedEngine;
use super::connect::{ANSWER_TIME, EngineUnreachable, connect_to};
use crate::observe::logging::printable;
use crate::observe::metrics::{Metrics, Peer};
use crate::process::stop::Stop;

/// After this time without a query the engine is probed, so that metrics are current
/// before the next indicator arrives.
const LOOK_AFTER: Duration = Duration::from_secs(60);

/// How long to try to reach an engine at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until it responds.
    ForEver,
    /// This long; `None` = until it responds.
    Limited(Option<Duration>),
}

/// The state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionState {
    /// The engine has not responded yet.
    New,
    /// It responded to the last request.
    Up,
    /// It became unreachable at this time, or later.
    Away(Instant),
    /// It did not respond in time, and is no longer tried.
    GivenUp,
}

/// An engine shared by several threads. While it is away, one of them checks at intervals
/// whether it is back.
pub struct Connection {
    engine: SharedEngine,
    /// Its name, if there are several engines.
    name: Option<Arc<str>>,
    metrics: Arc<Metrics>,
    state: Mutex<ConnectionState>,
    /// When it was last queried.
    last_query: Mutex<Instant>,
    /// Why it was given up.
    reason: Mutex<Option<String>>,
    /// Closed once it has responded for the first time, or was given up.
    decided: Receiver<()>,
    decide: Mutex<Option<Sender<()>>>,
}

impl Connection {
    /// Makes a connection to an engine that has not responded yet. `name`: if there are
    /// several engines.
    pub fn new(engine: SharedEngine, name: Option<Arc<str>>, metrics: Arc<Metrics>) -> Self {
        let (decide, decided) = bounded(0);
        metrics.engine_up.set(Peer::Down);
        Connection {
            engine,
            name,
            metrics,
            state: Mutex::new(ConnectionState::New),
            last_query: Mutex::new(Instant::now()),
            reason: Mutex::default(),
            decided,
            decide: Mutex::new(Some(decide)),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &SharedEngine {
        &self.engine
    }

    /// Its name in logs.
    pub fn title(&self) -> String {
        let engine = self.engine.name();
        match &self.name {
            Some(name) if !engine.ends_with(&**name) => {
                format!("{} ({engine})", printable(name, 200))
            }
            _ => engine,
        }
    }

    /// Its name in metrics.
    pub(super) fn called(&self) -> &str {
        self.metrics.engine_name()
    }

    /// Waits until the engine responds for the first time, within the given patience.
    ///
    /// # Errors
    /// It was given up: it did not respond in time, or cannot be used.
    pub fn open(&self, patience: Patience, stop: &Stop) -> Result<(), EngineUnreachable> {
        let opened = connect_to(self, patience, stop);
        let state = match &opened {
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
        self.set(state);
        *self.decide.lock().unwrap_or_else(PoisonError::into_inner) = None;
        opened.map(|_| ())
    }

    /// Waits until it is known whether the engine responds; `false` if it was given up,
    /// or if the program stops first.
    pub fn wait_for_first(&self, stop: &Stop) -> bool {
        select! {
            recv(self.decided) -> _ => self.get() != ConnectionState::GivenUp,
            recv(stop.drain_channel()) -> _ => false,
        }
    }

    /// Closed once it is known whether the engine responds.
    pub fn decided(&self) -> &Receiver<()> {
        &self.decided
    }

    /// Whether that is known.
    pub fn is_decided(&self) -> bool {
        self.get() != ConnectionState::New
    }

    /// Why it was given up, if it was.
    pub fn given_up(&self) -> Option<String> {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone()
    }

    /// Whether it can be queried now.
    pub fn is_up(&self) -> bool {
        self.get() == ConnectionState::Up
    }

    /// Probes the engine, unless it was queried recently.
    pub fn look(&self, stop: &Stop) {
        if !self.until_look().is_zero() {
            return;
        }
        self.note_query();
        if stop.is_draining() {
            return;
        }
        if let Err(error) = self.engine.ready(ANSWER_TIME, stop) {
            if !stop.is_draining() {
                self.is_lost(&error.reason);
            }
        }
    }

    /// Records a query.
    fn note_query(&self) {
        *self
            .last_query
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The time until [`look`](Self::look) probes the engine if there are no queries.
    pub fn until_look(&self) -> Duration {
        let last_query = self
            .last_query
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        LOOK_AFTER.saturating_sub(last_query.elapsed())
    }

    /// Records that a query succeeded.
    pub fn has_answered(&self) {
        self.note_query();
        let mut state = self.lock();
        if matches!(*state, ConnectionState::Away(_)) {
            *state = ConnectionState::Up;
            self.metrics.engine_up.set(Peer::Up);
        }
    }

    /// Records that the engine became unreachable during a query, with the human-readable
    /// reason.
    pub fn is_lost(&self, reason: &str) {
        let mut state = self.lock();
        if *state == ConnectionState::Up {
            *state = ConnectionState::Away(Instant::now());
            self.metrics.engine_up.set(Peer::Down);
            let (engine, reason) = (self.called(), printable(reason, 500));
            warn!(
                engine, reason:% = reason;
                "{} is away: {reason}; trying until it is back",
                self.title()
            );
        }
    }

    /// Waits until the engine is back, if it is away, or until the program stops; for the
    /// one thread that checks.
    pub fn wait_until_back(&self, stop: &Stop) {
        let ConnectionState::Away(since) = self.get() else {
            return;
        };
        stop.retry(|| {
            if self.engine.ready(ANSWER_TIME, stop).is_err() {
                // A query may have succeeded in the meantime.
                return !matches!(self.get(), ConnectionState::Away(_));
            }
            self.has_answered();
            info!(
                engine = self.called();
                "{} is back after {:.1} s",
                self.title(),
                since.elapsed().as_secs_f64()
            );
            true
        });
    }

    fn get(&self) -> ConnectionState {
        *self.lock()
    }

    fn set(&self, state: ConnectionState) {
        *self.lock() = state;
        self.metrics.engine_up.set(match state {
            ConnectionState::Up => Peer::Up,
            _ => Peer::Down,
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::engine::{AnswerItem, Engine, NotReady, QueryBounds, QueryOutcome, QueryTarget};
    use crate::process::child::Flow;

    /// Counts how often it is probed.
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
            _: QueryBounds,
            _: &Stop,
            _: &mut dyn FnMut(AnswerItem<'_>) -> Flow,
        ) -> QueryOutcome {
            QueryOutcome::Complete
        }
    }

    #[test]
    fn an_engine_is_probed_a_minute_after_its_last_query() {
        let (node, stop) = (Arc::new(Node::default()), Stop::new().expect("two sockets"));
        let connection = Connection::new(node.clone(), None, Arc::default());
        let queried_before = |seconds| {
            let before = Instant::now().checked_sub(Duration::from_secs(seconds));
            *connection.last_query.lock().expect("nobody else") = before.expect("the clock runs");
        };
        queried_before(50);
        connection.look(&stop);
        // A probe that is not due does not postpone the next one.
        assert!(connection.until_look() <= Duration::from_secs(10));
        assert_eq!(node.0.load(Ordering::Relaxed), 0);
        queried_before(60);
        connection.look(&stop);
        assert_eq!(node.0.load(Ordering::Relaxed), 1);
        assert!(connection.until_look() > Duration::from_secs(50));
        queried_before(60);
        stop.now();
        connection.look(&stop);
        assert_eq!(node.0.load(Ordering::Relaxed), 1);
        assert!(
            !connection.until_look().is_zero(),
            "it is not probed again at once"
        );
    }
}

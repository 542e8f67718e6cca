//! The thread that takes indicators in, and out when they are withdrawn or
//! expire.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, select};
use log::{debug, error, log, warn};

use super::Shared;
use super::pool::Way;
use super::roster::{Change, Put};
use crate::engine::live::Registrar;
use crate::indicator::{Indicator, LONGEST_SLEEP, Later, Message, Standing};
use crate::matching::condition::MOST_UNLISTED;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::retro::{Waiting, note_inactive};

/// The thread's own things.
pub struct Keeper {
    /// What is matched.
    pub shared: Arc<Shared>,
    /// Who says what the engine's own matcher takes, where it has one.
    pub registrar: Option<Arc<dyn Registrar>>,
    /// Where that matcher is told.
    pub way: Option<Way>,
    /// How much waits to be taken in.
    pub waiting: Arc<Waiting>,
    /// Whether live matching is all that is done.
    pub is_alone: bool,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The end of live matching, which this thread brings about.
    pub ending: Stop,
    /// The end of the program.
    pub stop: Stop,
}

impl Keeper {
    /// Runs until no more messages come, or the program stops; then ends live
    /// matching.
    pub fn run(self, messages: &Receiver<Message>) {
        let (mut changes, mut later) = (Vec::new(), Later::default());
        loop {
            let sleep = self.until_change(&later);
            select! {
                recv(messages) -> message => match message {
                    Ok(message) => self.take(message, &mut later, &mut changes),
                    Err(_) => break,
                },
                recv(self.stop.drain_channel()) -> _ => break,
                default(sleep) => {}
            }
            while let Some(indicator) = later.take_due(SystemTime::now()) {
                self.add(indicator, &mut changes);
            }
            self.expire(&mut changes);
            let count = self.shared.roster().len() as u64;
            self.metrics.live_indicators.set(count);
            self.tell(&mut changes);
        }
        self.ending.now();
    }

    /// How long until an indicator expires, or begins to count.
    fn until_change(&self, later: &Later) -> Duration {
        let expiry = self.shared.roster().next_expiry();
        let next = expiry.into_iter().chain(later.next()).min();
        let left = |time: SystemTime| time.duration_since(SystemTime::now()).unwrap_or_default();
        next.map_or(LONGEST_SLEEP, |time| left(time).min(LONGEST_SLEEP))
    }

    fn take(&self, message: Message, later: &mut Later, changes: &mut Vec<Change>) {
        match message {
            Message::Match {
                indicator,
                replaces,
            } => {
                self.waiting.remove(indicator.size());
                let standing = indicator.validity.now();
                if replaces || standing != Standing::Active {
                    self.shared.roster().remove(&indicator.id, changes);
                    later.remove(&indicator.id);
                }
                match standing {
                    Standing::Active => self.add(indicator, changes),
                    Standing::NotYetValid => self.wait_for(indicator, later),
                    Standing::Expired | Standing::Revoked => self.leave(&indicator, standing),
                }
            }
            Message::Withdraw(id) => {
                later.remove(&id);
                let count = self.shared.roster().remove(&id, changes);
                if count > 0 {
                    debug!(
                        "indicator {} is withdrawn and matched no more",
                        printable(&id, 200)
                    );
                }
            }
            // Counted and logged where it was read.
            Message::Unsupported { .. } => {}
        }
    }

    fn add(&self, mut indicator: Indicator, changes: &mut Vec<Change>) {
        let id = indicator.id.clone();
        if self.registrar.is_some() && indicator.condition.is_some() {
            self.metrics.live_values_rejected.add(1);
            warn!(
                "indicator {} is rejected for live matching: a part of it has to be checked here, \
                 and the engine's matcher knows values alone",
                printable(&id, 200)
            );
            return;
        }
        self.leave_out(&mut indicator);
        if indicator.observables.is_empty() && indicator.selection.is_none() {
            return;
        }
        let now = SystemTime::now();
        let until = indicator.validity.until().map(SystemTime::from);
        let put = self.shared.roster().add(&indicator, until, now, changes);
        match put {
            Put::Added => debug!("indicator {} is matched live", printable(&id, 200)),
            Put::Repeated => debug!("indicator {} is live already", printable(&id, 200)),
            Put::Full => {
                self.metrics.indicators_dropped.add(1);
                error!(
                    "indicator {} is dropped: those that are live take all the memory that they \
                     may",
                    printable(&id, 200)
                );
            }
            Put::TooMany => {
                self.metrics.indicators_dropped.add(1);
                error!(
                    "indicator {} is not matched live: nothing in it is a value to look up, and \
                     {MOST_UNLISTED} such indicators, the most there can be, are checked in every \
                     event already",
                    printable(&id, 200)
                );
            }
        }
    }

    /// An indicator that begins to count later.
    fn wait_for(&self, indicator: Indicator, later: &mut Later) {
        let id = indicator.id.clone();
        match later.put(indicator) {
            Ok(()) => debug!(
                "indicator {} is matched live when its time comes",
                printable(&id, 200)
            ),
            Err(indicator) => self.leave(&indicator, Standing::NotYetValid),
        }
    }

    fn leave(&self, indicator: &Indicator, standing: Standing) {
        // Else retro matching says so.
        if self.is_alone {
            note_inactive(indicator, standing, &self.metrics);
        }
    }

    /// Drops the values that the engine's matcher cannot have.
    fn leave_out(&self, indicator: &mut Indicator) {
        let Some(registrar) = &self.registrar else {
            return;
        };
        let id = indicator.id.clone();
        indicator.observables.retain(|value| {
            let checked = registrar.check(value, &id);
            if let Err(reason) = &checked {
                self.metrics.live_values_rejected.add(1);
                warn!(
                    "indicator {}: its value {} is rejected for live matching: {}",
                    printable(&id, 200),
                    printable(&value.to_string(), 200),
                    printable(reason, 500)
                );
            }
            checked.is_ok()
        });
    }

    fn expire(&self, changes: &mut Vec<Change>) {
        for id in self.shared.roster().expire(SystemTime::now(), changes) {
            self.metrics.indicators_expired.add(1);
            debug!(
                "indicator {} has expired and is matched no more",
                printable(&id, 200)
            );
        }
    }

    /// Hands on what the engine's matcher has to know.
    fn tell(&self, changes: &mut Vec<Change>) {
        let Some(way) = &self.way else {
            return changes.clear();
        };
        let mut untold = 0;
        for change in changes.drain(..) {
            if untold > 0 || !way.bring(change) {
                untold += 1;
            }
        }
        if untold > 0 {
            log!(
                self.stop.level_of_rest(),
                "stopping: the matcher was not told of {untold} value(s)"
            );
        }
    }
}

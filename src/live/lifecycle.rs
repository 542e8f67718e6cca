//! The thread that adds indicators, and removes them when they are withdrawn or expire.

use std::sync::{Arc, MutexGuard};
use std::time::SystemTime;

use crossbeam_channel::{Receiver, select};
use log::{log, warn};

use super::SharedLive;
use super::matcher_updates::ChangeSender;
use crate::engine::live::RemoteMatcher;
use crate::indicator::{Indicator, MatchExpansion};
use crate::intake::{
    self, Arrival, Change, Expiry, Fates, IndicatorTable, Input, Life, PutOutcome, Table,
};
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::process::text::printable;
use crate::state::journal::Ticket;

/// The state of the thread.
pub struct Lifecycle {
    /// The live indicators.
    pub shared: Arc<SharedLive>,
    /// The engine's own matcher, if it has one, which tells what it supports.
    pub matcher: Option<Arc<dyn RemoteMatcher>>,
    /// The sender of changes to that matcher.
    pub change_sender: Option<ChangeSender>,
    /// Whether live matching is the only matching.
    pub is_alone: bool,
    /// How far the search for indicators goes beyond equality.
    pub wider: MatchExpansion,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// What becomes of the indicators.
    pub fates: Arc<Fates>,
    /// The end of live matching, which this thread causes.
    pub ending: Stop,
    /// The end of the program.
    pub stop: Stop,
}

impl Lifecycle {
    /// Runs until the lane is closed or the program stops; then ends live matching. The
    /// arrivals from before it started are processed first.
    pub fn run(self, first: Vec<Arrival>, arrivals: &Receiver<Arrival>) {
        let mut first = first.into_iter();
        let mut life = Life::new(SystemTime::now());
        let way = intake::Way::Live {
            is_alone: self.is_alone,
        };
        loop {
            let (mut input, place) = match first.next() {
                Some(arrival) => arrival.into_input(),
                None => select! {
                    recv(arrivals) -> arrival => match arrival {
                        Ok(arrival) => arrival.into_input(),
                        Err(_) => break,
                    },
                    recv(self.stop.drain_channel()) -> _ => break,
                    default(life.sleep(SystemTime::now())) => (Input::Time, None),
                },
            };
            if let Input::Came(indicator, _) = &mut input {
                if !self.wider.is_nothing() {
                    self.wider.expand(Arc::make_mut(indicator));
                }
            }
            let now = SystemTime::now();
            let mut table = LockedTable {
                table: self.shared.table(),
                matcher: self.matcher.as_deref(),
                metrics: &self.metrics,
                now,
            };
            let outputs = life.step(now, input, &mut table);
            let (count, changes) = (table.table.value_count(), table.table.take_changes());
            drop((table, place));
            self.metrics.live_indicators.set(count as u64);
            intake::note(outputs, way, &self.fates);
            self.send_changes(changes);
        }
        intake::note_left(life.not_yet_valid(), way, &self.fates);
        self.ending.now();
    }

    /// Sends the changes to the engine's matcher.
    fn send_changes(&self, changes: Vec<Change>) {
        let Some(sender) = &self.change_sender else {
            return;
        };
        let mut unsent = 0;
        for change in changes {
            if unsent > 0 || !sender.send(change) {
                unsent += 1;
            }
        }
        if unsent > 0 {
            log!(
                self.stop.level_of_rest(),
                "stopping: the matcher was not sent {unsent} value(s)"
            );
        }
    }
}

/// The table during one step, with what belongs to it.
struct LockedTable<'a> {
    table: MutexGuard<'a, IndicatorTable>,
    matcher: Option<&'a dyn RemoteMatcher>,
    metrics: &'a Metrics,
    now: SystemTime,
}

impl Table for LockedTable<'_> {
    fn put(
        &mut self,
        mut indicator: Arc<Indicator>,
        _: Option<Ticket>,
        end: Option<Expiry>,
    ) -> PutOutcome {
        if !self.is_taken(&mut indicator) {
            return PutOutcome::Refused;
        }
        self.table.put(indicator, end, self.now)
    }

    fn remove(&mut self, id: &str) -> bool {
        self.table.remove(id)
    }

    fn expiry_of(&self, id: &str) -> Option<Expiry> {
        self.table.expiry_of(id)
    }

    fn len(&self) -> usize {
        self.table.len()
    }
}

impl LockedTable<'_> {
    /// Drops the values that the engine's own matcher does not support, if there is one;
    /// returns whether any are left.
    fn is_taken(&self, indicator: &mut Arc<Indicator>) -> bool {
        let Some(matcher) = self.matcher else {
            return true;
        };
        let id = indicator.id.clone();
        if indicator.condition.is_some() || indicator.sequence.is_some() {
            self.metrics.live_values_rejected.add(1);
            warn!(
                "indicator {} is rejected for live matching: a part of it has to be checked here, \
                 and the engine's matcher supports only values",
                printable(&id, 200)
            );
            return false;
        }
        Arc::make_mut(indicator).observables.retain(|value| {
            let checked = matcher.check(value, &id);
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
        !indicator.observables.is_empty() || indicator.selection.is_some()
    }
}

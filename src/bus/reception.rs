//! Reads and counts the messages of the subscription, and passes their indicators on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info, warn};

use super::receive::{self, Incoming, Unreadable};
use super::seen_indicators::Remembered;
use crate::indicator::{Indicator, Message, Rejection, Versions, tell_of_left_out};
use crate::intake::{Intake, Received};
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::state::journal::Journal;

/// How often a run that is about to end checks whether the last query is answered.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Receives indicators.
pub struct Reception {
    metrics: Arc<Metrics>,
    /// `None` once the program stops.
    indicators: Option<Intake>,
    journal: Option<Journal>,
    /// Whether indicators without any narrowing are accepted too.
    takes_everything: bool,
    remembered: Remembered,
    versions: Versions,
    /// When the last message arrived, or the subscription was made.
    last_message: Instant,
    received: Received,
}

impl Reception {
    /// Passes indicators to `indicators`. `with_snapshots`: repeated indicators in
    /// snapshots are recognised during the whole run.
    pub fn new(
        metrics: Arc<Metrics>,
        indicators: Intake,
        journal: Option<Journal>,
        takes_everything: bool,
        with_snapshots: bool,
    ) -> Self {
        Reception {
            metrics,
            indicators: Some(indicators),
            journal,
            takes_everything,
            remembered: Remembered::new(with_snapshots),
            versions: Versions::default(),
            last_message: Instant::now(),
            received: Received::default(),
        }
    }

    /// What has arrived by now.
    pub fn received(&self) -> Received {
        self.received
    }

    /// Accepts nothing more.
    pub fn close(&mut self) {
        self.indicators = None;
    }

    /// A new subscription is about to replace the current one.
    pub fn hand_over(&mut self) {
        self.remembered.hand_over();
    }

    /// There is only one subscription again.
    pub fn settle(&mut self) {
        self.remembered.settle();
    }

    /// A subscription has begun.
    pub fn begin(&mut self) {
        self.last_message = Instant::now();
    }

    /// The earliest time until it has been idle for this long; zero if it has been, and
    /// nothing waits or is being matched.
    pub fn idle_in(&self, idle: Duration) -> Duration {
        let left = idle.saturating_sub(self.last_message.elapsed());
        // The last query may take hours, and its end does not wake this thread.
        let is_busy = left.is_zero() && self.indicators.as_ref().is_some_and(Intake::is_busy);
        if is_busy { LOOK_AGAIN } else { left }
    }

    /// Processes a frame that arrived on the topic `own_topic` of the subscription with
    /// this number.
    pub fn take(&mut self, frame: &[u8], own_topic: &str, subscription: u64) {
        self.metrics.messages_received.add(1);
        let incoming = receive::read(frame, own_topic);
        if !matches!(incoming, Ok(Incoming::Other(_))) {
            self.last_message = Instant::now();
        }
        match incoming {
            Ok(Incoming::Indicator(message)) => {
                let message = if self.takes_everything {
                    message
                } else {
                    message.narrow()
                };
                // The topic differs for each subscription, so only the rest is compared.
                self.take_message(message, &frame[own_topic.len()..], subscription);
            }
            Ok(Incoming::Other(kind)) => {
                self.metrics.messages_ignored.add(1);
                debug!(
                    "ignoring a message of type {:?}",
                    printable(kind, 64).to_string()
                );
            }
            Err(error) => self.reject(frame, &error),
        }
    }

    fn reject(&mut self, frame: &[u8], error: &Unreadable) {
        self.metrics.indicators_rejected.add(1);
        self.metrics.rejected.count(&error.to_string());
        let start = &frame[..frame.len().min(256)];
        let reason = error.to_string();
        let reason = printable(&reason, 500);
        warn!(
            reason:% = reason;
            "rejected a message from the bus: {reason}: {}",
            printable(&String::from_utf8_lossy(start), 200)
        );
        if let Unreadable::Indicator(Rejection {
            id: Some(id),
            replaces: true,
            ..
        }) = error
        {
            self.withdraw(id);
        }
    }

    /// Indicators with this id are outdated.
    fn withdraw(&mut self, id: &Arc<str>) {
        self.remembered.forget(id);
        // `None` while the program stops: nothing more is accepted.
        if let Some(indicators) = &self.indicators {
            indicators.withdraw(id);
        }
    }

    fn take_message(&mut self, message: Message, content: &[u8], subscription: u64) {
        let Some(message) = self.versions.newest(message) else {
            self.received.count_repeated(&self.metrics);
            return;
        };
        match message {
            Message::Match {
                indicator,
                left_out,
                ..
            } => {
                tell_of_left_out(&indicator.id, &left_out);
                self.take_indicator(indicator, content, subscription);
            }
            Message::Withdraw(id) => {
                self.received.count_withdrawn(&self.metrics);
                self.withdraw(&id);
            }
            Message::Unsupported {
                id,
                reason,
                replaces,
                ..
            } => {
                self.metrics.indicators_unsupported.add(1);
                self.metrics.unsupported.count(&reason);
                let (shown, reason) = (printable(&id, 200), printable(&reason, 500));
                info!(
                    indicator:% = shown, reason:% = reason;
                    "indicator {shown} is unsupported: {reason}"
                );
                if replaces {
                    self.withdraw(&id);
                }
            }
        }
    }

    fn take_indicator(&mut self, indicator: Indicator, content: &[u8], subscription: u64) {
        let id = &indicator.id;
        if self.remembered.is_repeated(id, content, subscription) {
            self.received.count_repeated(&self.metrics);
            let id = printable(id, 200);
            debug!(indicator:% = id, kind = indicator.kind(); "indicator {id} is known already");
            return;
        }
        self.received.count_new(&indicator, &self.metrics);
        // `None` while the program stops: nothing more is accepted.
        if let Some(indicators) = &self.indicators {
            let journal = self.journal.as_ref();
            let ticket = journal.map(|journal| journal.begin(content));
            if !indicators.add(indicator, ticket) {
                self.received.count_allowed();
            }
        }
    }
}

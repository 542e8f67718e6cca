//! Whether a sighting may be sent to the broker now, by what the broker subscribes to:
//! a state machine without a clock or a socket.
//!
//! | | the broker subscribes | it cancels, or its connection ends | time |
//! |---|---|---|---|
//! | *unheard* | open; settling if the broker may have just been started | | |
//! | *open* | open | away: what was sent last is in doubt | |
//! | *away* | settling | | |
//! | *settling* | settling | away | open after [`SETTLING`], or at the end of the program if sightings wait in memory |
//!
//! A sighting is sent through an open gate if the broker subscribes to its topic. A broker
//! that only subscribes to the topics of the other generation never gets it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::indicator::Protocol;
use crate::protocol::{legacy, stix};

/// How long sightings wait for the other apps after the broker was away. A restarted
/// broker knows no subscriber, and forwards nothing until they have reconnected: 4 to 9 s
/// (measured on the originals).
pub const SETTLING: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GateState {
    /// Since when.
    Unheard(Instant),
    Open,
    Away,
    Settling(Instant),
}

/// A broker that did not respond at once may have just been started. One that is running
/// is heard within 6 ms (measured, all three kinds of broker).
const LATE_ANSWER: Duration = Duration::from_secs(1);

/// The gate to one broker.
#[derive(Debug)]
pub struct Gate {
    state: GateState,
    subscriptions: HashSet<Vec<u8>>,
    /// Whether the connection ended since the last call of [`Gate::take_loss`].
    loss: bool,
}

/// Whether a sighting may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaySend {
    /// Now.
    Yes,
    /// The broker does not subscribe, or not yet.
    Unheard,
    /// After this time, when the other apps have noticed that the broker is back.
    Settling(Duration),
    /// The broker only subscribes to the sightings of the other generation.
    Never,
}

impl Gate {
    /// Before the broker subscribes to anything. `may_be_new`: it may have just been
    /// started, without its apps.
    pub fn new(may_be_new: bool, now: Instant) -> Self {
        Gate {
            state: if may_be_new {
                GateState::Away
            } else {
                GateState::Unheard(now)
            },
            subscriptions: HashSet::new(),
            loss: false,
        }
    }

    /// Whether the broker, which was not heard yet, may still respond at once.
    pub fn is_young(&self, now: Instant) -> bool {
        let GateState::Unheard(since) = self.state else {
            return false;
        };
        now.saturating_duration_since(since) <= LATE_ANSWER
    }

    /// Whether sightings wait for the broker's other apps.
    pub fn is_settling(&self, now: Instant) -> bool {
        matches!(self.state, GateState::Settling(until) if until > now)
    }

    /// The broker was restarted: its apps may not be connected when it is first heard.
    pub fn may_be_new(&mut self) {
        if matches!(self.state, GateState::Unheard(_)) {
            self.state = GateState::Away;
        }
    }

    /// Processes a message of an XPUB socket, a subscription or a cancellation. Returns
    /// whether it means that the broker is back.
    pub fn heard(&mut self, message: &[u8], now: Instant) -> bool {
        match message.split_first() {
            Some((1, topic)) => self.subscribed(topic, now),
            Some((0, topic)) => {
                self.subscriptions.remove(topic);
                self.loss |= self.state != GateState::Away;
                self.state = GateState::Away;
                false
            }
            _ => false,
        }
    }

    fn subscribed(&mut self, topic: &[u8], now: Instant) -> bool {
        self.subscriptions.insert(topic.to_vec());
        let is_back = match self.state {
            GateState::Unheard(since) => now.saturating_duration_since(since) > LATE_ANSWER,
            state => state == GateState::Away,
        };
        self.state = match self.state {
            _ if is_back => GateState::Settling(now + SETTLING),
            GateState::Unheard(_) | GateState::Away | GateState::Open => GateState::Open,
            GateState::Settling(until) => GateState::Settling(until),
        };
        is_back
    }

    /// Whether a sighting on this topic may be sent. With `now_or_never` it is sent early
    /// rather than never.
    pub fn may_send(&mut self, topic: &[u8], now: Instant, now_or_never: bool) -> MaySend {
        if !self.listens_to(topic) {
            return match self.generation() {
                Some(_) => MaySend::Never,
                None => MaySend::Unheard,
            };
        }
        if let GateState::Settling(until) = self.state {
            let left = until.saturating_duration_since(now);
            if !left.is_zero() && !now_or_never {
                return MaySend::Settling(left);
            }
            self.state = GateState::Open;
        }
        MaySend::Yes
    }

    /// Whether the connection was lost since the last call.
    pub fn take_loss(&mut self) -> bool {
        std::mem::take(&mut self.loss)
    }

    /// Whether the broker subscribes to this topic.
    fn listens_to(&self, topic: &[u8]) -> bool {
        self.subscriptions
            .iter()
            .any(|prefix| topic.starts_with(prefix))
    }

    /// The broker's generation, judging by its subscriptions.
    pub fn generation(&self) -> Option<Protocol> {
        // The legacy broker subscribes to each topic, the STIX-2 broker to the
        // root; both to the snapshot envelopes.
        if self.listens_to(stix::message::SIGHTING_TOPIC.as_bytes()) {
            Some(Protocol::Stix2)
        } else if self.listens_to(legacy::SIGHTING_TOPIC.as_bytes()) {
            Some(Protocol::Legacy)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STIX: &[u8] = b"stix2/sighting";

    #[test]
    fn a_sighting_waits_for_the_broker_and_then_for_its_apps() {
        let now = Instant::now();
        let mut gate = Gate::new(false, now);
        assert_eq!(gate.may_send(STIX, now, false), MaySend::Unheard);
        assert!(!gate.heard(b"\x01stix2/", now));
        assert_eq!(gate.may_send(STIX, now, false), MaySend::Yes);
        assert!(!gate.take_loss());
        assert!(!gate.heard(b"\x00stix2/", now));
        assert!(gate.take_loss());
        assert!(!gate.take_loss());
        assert_eq!(gate.may_send(STIX, now, false), MaySend::Unheard);
        assert!(gate.heard(b"\x01stix2/", now));
        assert_eq!(gate.may_send(STIX, now, false), MaySend::Settling(SETTLING));
        assert_eq!(gate.may_send(STIX, now + SETTLING, false), MaySend::Yes);
        assert_eq!(gate.may_send(STIX, now, false), MaySend::Yes);
    }

    #[test]
    fn the_apps_of_a_broker_that_may_be_new_are_waited_for() {
        let now = Instant::now();
        let mut gate = Gate::new(true, now);
        assert!(gate.heard(b"\x01stix2/", now));
        assert_eq!(gate.may_send(STIX, now, false), MaySend::Settling(SETTLING));
        assert!(!gate.take_loss());
    }

    #[test]
    fn at_the_end_a_broker_that_is_back_gets_them_at_once() {
        let now = Instant::now();
        let mut gate = Gate::new(false, now);
        for message in [b"\x01stix2/", b"\x00stix2/", b"\x01stix2/"] {
            gate.heard(message, now);
        }
        assert_eq!(gate.may_send(STIX, now, true), MaySend::Yes);
    }

    #[test]
    fn the_other_generation_is_never_listened_to() {
        let now = Instant::now();
        let mut gate = Gate::new(false, now);
        gate.heard(b"\x01threatbus/snapshotenvelope", now);
        assert_eq!(gate.may_send(STIX, now, false), MaySend::Unheard);
        gate.heard(b"\x01threatbus/sighting", now);
        assert_eq!(gate.may_send(STIX, now, false), MaySend::Never);
        assert_eq!(gate.generation(), Some(Protocol::Legacy));
    }
}

//! The sightings in flight: sent, and not yet to be forgotten. One queue in the order of
//! the first sending: a state machine without a clock or a socket.
//!
//! | | sent | echo | time | connection lost | broker restarted | broker alive |
//! |---|---|---|---|---|---|---|
//! | *new* | sent; where no echo is awaited, trusted; where its echo would not be recognised, unrecognised | | | | | |
//! | *sent* | | confirmed | in doubt when its echo is overdue; done when it was sent [`MOST_SENDINGS`] times; trusted when the broker is mute | in doubt | in doubt | |
//! | *trusted* | | confirmed | done after [`RISK`]; one of the last `LAST` after `QUEUE_RISK` | in doubt, in the same time | | |
//! | *unrecognised* | | confirmed by the echo of one that was sent later | confirmed after [`LONGEST`] | in doubt, as *trusted* | in doubt | |
//! | *confirmed* | | | | | in doubt, where the echo came less than [`LAG`] before the last sign of life | done, where it came [`LAG`] before that |
//! | *in doubt* | as *new* | confirmed | | | | |
//! | *done* | | | | | | |
//!
//! *Confirmed* is not the end: a broker that dies may have sent this subscriber its copy
//! and another not. So what is trusted, unrecognised or confirmed is *kept*: it stays in memory,
//! and may have to be sent again. What is done leaves at the front, and only then is it
//! forgotten on disk.
//!
//! An echo is overdue when [`CONFIRMATION_TIME`] went by since the sending and a sighting
//! that was sent later has come back (a broker keeps the order), or nothing at all came
//! back in that time; and in any case after [`LONGEST`]. A broker that is behind with the
//! sightings of others is waited for. One from which nothing of ours comes back, sent twice, is
//! *mute*: its echoes are not awaited until there is one, or a new subscription.

mod queue;

use std::time::{Duration, Instant};

use super::pace::Pace;
use crate::state::spool::Position;
use queue::{FlightEntry, FlightQueue};

/// How long the broker's echo of a sighting may take before the sighting is sent again.
pub const CONFIRMATION_TIME: Duration = Duration::from_secs(30);

/// How long it may take while the broker echoes the sightings of others.
pub const LONGEST: Duration = Duration::from_secs(120);

/// The most times that one sighting is sent, not counting lost connections. An echo that is
/// not recognised will not be recognised the next time either.
pub const MOST_SENDINGS: u32 = 3;

/// An echo that came in this time before the broker's last sign of life proves nothing if it
/// dies: the copies for other apps may still have been in its queues. An overloaded machine
/// was seen to have a subscriber more than two seconds behind.
pub const LAG: Duration = Duration::from_secs(10);

/// What was sent this shortly before the connection was lost is sent again. A broker that dies
/// loses what it has not passed on: 10,000 sightings are with the STIX-2 one within two seconds,
/// and it passes on 1,700 a second. And the library accepts messages for a connection that has
/// just ended while its threads notify each other (up to 86 of them were seen), and drops them.
pub const RISK: Duration = Duration::from_secs(10);

/// The capacity of the library's queue in messages.
pub const QUEUE: usize = 64;

/// The number of last messages that are in doubt for longer, since a broker may hang
/// before it dies: the library's queue, and what it accepted after that (see [`RISK`]).
const LAST: usize = 3 * QUEUE;

/// How long that is. A connection to a broker that hangs is given up after 65 s.
const QUEUE_RISK: Duration = Duration::from_secs(90);

/// The most bytes of sightings that are stored without awaiting their echo.
const TRUSTED_BYTES: usize = 16 << 20;

/// The time between two checks for overdue sightings.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A queued message: the whole frame.
pub type Frame = Vec<u8>;

/// What identifies a sighting in its echo.
pub type Key = u64;

/// Computes the key of a frame; `None` if its echo would not be recognised.
pub type KeyOf = fn(&[u8]) -> Option<Key>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryState {
    /// Its echo is awaited.
    Sent,
    /// Its echo is not awaited.
    Trusted,
    /// Its echo would not be recognised. It counts as echoed once a later one is.
    Unrecognised,
    /// Its echo was received.
    Confirmed,
    /// It has to be sent again.
    Doubt,
    /// It can be dropped.
    Done,
}

/// A message that is given up.
#[derive(Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The whole frame.
    pub frame: Frame,
    /// How often it was sent.
    pub sendings: u32,
}

/// The sightings in flight.
#[derive(Debug)]
pub struct Flight {
    queue: FlightQueue,
    /// The number of sendings of all sightings.
    total_sendings: u64,
    confirm: Option<KeyOf>,
    is_mute: bool,
    /// The broker does not respond, so overdue echoes mean nothing.
    is_away: bool,
    /// When it was last known to be alive.
    alive_at: Option<Instant>,
    pace: Pace,
    /// When any echo was last received, or the subscription was made.
    last_sign: Option<Instant>,
    /// When the subscription was made.
    subscribed_at: Option<Instant>,
    /// When the latest of those sightings was sent whose echo was received.
    latest_echoed_sending: Option<Instant>,
    /// When to check next what is overdue or was kept for long enough, if anything may be.
    check_at: Option<Instant>,
    most_bytes: usize,
}

impl Flight {
    /// Nothing is in flight. With `confirm`, echoes are awaited, for at most
    /// `most_bytes`; half as many bytes are stored for a broker that dies: beyond that
    /// nothing new is sent.
    pub fn new(most_bytes: usize, confirm: Option<KeyOf>) -> Self {
        Flight {
            queue: FlightQueue::default(),
            total_sendings: 0,
            confirm,
            is_mute: false,
            is_away: false,
            alive_at: None,
            pace: Pace::new(),
            last_sign: None,
            subscribed_at: None,
            latest_echoed_sending: None,
            check_at: None,
            most_bytes,
        }
    }

    /// Whether delivery is to be confirmed in general.
    pub fn confirms(&self) -> bool {
        self.confirm.is_some()
    }

    /// Whether echoes are awaited.
    pub fn awaits(&self) -> bool {
        self.confirm.is_some() && !self.is_mute
    }

    /// Whether the broker may get another one now, new or again.
    pub fn may_send(&self) -> bool {
        !self.awaits() || self.pace.has_room(self.queue.sent())
    }

    /// Whether there is memory for a new one: for what is sent or in doubt, and for what is
    /// kept.
    pub fn has_memory_for_new(&self) -> bool {
        !self.awaits()
            || self.queue.open_bytes() < self.most_bytes
                && self.queue.kept_bytes() < self.most_kept()
    }

    /// The most bytes that are kept.
    fn most_kept(&self) -> usize {
        self.most_bytes / 2
    }

    /// The number of those sent or in doubt.
    pub fn open(&self) -> usize {
        self.queue.sent() + self.queue.doubted()
    }

    /// The bytes of everything in flight.
    pub fn bytes(&self) -> usize {
        self.queue.open_bytes() + self.queue.kept_bytes()
    }

    /// The number of them that would be lost with this process.
    pub fn open_unsafe(&self) -> usize {
        let open = |entry: &&FlightEntry| {
            matches!(entry.state, DeliveryState::Sent | DeliveryState::Doubt)
        };
        let entries = self.queue.entries().filter(open);
        entries.filter(|entry| entry.spool_end.is_none()).count()
    }

    /// The bytes of those sent or in doubt.
    pub fn open_bytes(&self) -> usize {
        self.queue.open_bytes()
    }

    /// Whether any is in doubt.
    pub fn has_doubts(&self) -> bool {
        self.queue.doubted() > 0
    }

    /// The first one in doubt, with its number.
    pub fn next_doubt(&mut self) -> Option<(u64, &Frame)> {
        let number = self.queue.first_doubt()?;
        Some((number, &self.queue[number].frame))
    }

    /// When to call [`Flight::time`] next, if that matters.
    pub fn deadline(&self) -> Option<Instant> {
        self.check_at
    }

    /// A new message was passed to the library.
    pub fn sent(&mut self, frame: Frame, spool_end: Option<Position>, now: Instant) {
        let key = self.confirm.and_then(|key_of| key_of(&frame));
        let number = self.queue.push(frame, key, spool_end, now);
        self.after_sending(number, now);
    }

    /// A message in doubt was passed to the library again.
    pub fn sent_again(&mut self, number: u64, now: Instant) {
        if let Some(entry) = self.queue.get_mut(number) {
            entry.is_first = false;
            self.after_sending(number, now);
        }
    }

    /// Whether it may still be in the library's queue: no more than that holds was sent
    /// after it. The order of the sendings counts, not that of the first ones.
    fn is_among_last(&self, entry: &FlightEntry) -> bool {
        self.total_sendings - entry.turn < LAST as u64
    }

    fn after_sending(&mut self, number: u64, now: Instant) {
        self.total_sendings += 1;
        let entry = &mut self.queue[number];
        entry.sendings += 1;
        entry.turn = self.total_sendings;
        let has_key = entry.key.is_some();
        let state = match (self.confirm, has_key && self.awaits()) {
            (_, true) => DeliveryState::Sent,
            (None, false) => DeliveryState::Trusted,
            (Some(_), false) if !self.is_mute => DeliveryState::Unrecognised,
            (Some(_), false) => DeliveryState::Trusted,
        };
        self.change(number, state, now);
    }

    /// A new message will never be sent.
    pub fn never_sent(&mut self, frame: Frame, spool_end: Option<Position>, now: Instant) {
        self.queue.push(frame, None, spool_end, now);
    }

    /// A message in doubt will never be sent again.
    pub fn gave_up_resending(&mut self, number: u64, now: Instant) {
        self.queue.stop_awaiting(number);
        self.change(number, DeliveryState::Done, now);
    }

    /// An echo was received; returns whether it is of a sighting in flight.
    pub fn echo(&mut self, key: Key, now: Instant) -> bool {
        self.last_sign = Some(now);
        let Some(number) = self.queue.take_awaited(key) else {
            return false;
        };
        let FlightEntry {
            state,
            at,
            is_first,
            ..
        } = self.queue[number];
        self.is_mute = false;
        // The echo of one that was sent again may be of an earlier sending: it does not tell
        // how far the broker is.
        if state == DeliveryState::Sent && is_first {
            self.latest_echoed_sending = self.latest_echoed_sending.max(Some(at));
            let age = now.saturating_duration_since(at);
            self.pace.echo(now, age, self.queue.sent() - 1);
            self.confirm_unrecognised(at, now);
        }
        if matches!(
            state,
            DeliveryState::Sent | DeliveryState::Doubt | DeliveryState::Trusted
        ) {
            self.change(number, DeliveryState::Confirmed, now);
        }
        true
    }

    /// What was sent before this moment has come back.
    fn confirm_unrecognised(&mut self, sent_before: Instant, now: Instant) {
        while let Some(number) = self.queue.first_unrecognised() {
            if self.queue[number].at >= sent_before {
                return;
            }
            self.change(number, DeliveryState::Confirmed, now);
        }
    }

    /// The connection to the broker was lost: what may have been on its way is in doubt.
    pub fn lost(&mut self, now: Instant) {
        for number in self.queue.numbers() {
            let entry = &self.queue[number];
            let age = now.saturating_duration_since(entry.at);
            let may_be_in_library_queue = self.is_among_last(entry) && age <= QUEUE_RISK;
            let at_risk = age <= RISK || may_be_in_library_queue;
            let in_doubt = match entry.state {
                DeliveryState::Sent => true,
                DeliveryState::Trusted | DeliveryState::Unrecognised => at_risk,
                DeliveryState::Confirmed | DeliveryState::Doubt | DeliveryState::Done => false,
            };
            if in_doubt {
                // A lost connection says nothing about the message.
                self.queue[number].sendings = 0;
                self.change(number, DeliveryState::Doubt, now);
            }
        }
        self.queue.sort_doubts();
    }

    /// The subscription is lost: nothing is overdue until there is a new one.
    pub fn away(&mut self) {
        self.is_away = true;
    }

    /// There is a new subscription at the same broker, which may have hung.
    pub fn subscribed(&mut self, now: Instant) {
        self.is_away = false;
        self.alive_at = Some(now);
        self.subscribed_at = Some(now);
        self.last_sign = Some(now);
        self.is_mute = false;
    }

    /// The broker was restarted, and was last known to be alive at `alive`: what was not
    /// confirmed is sent again, and so is what was confirmed about that time.
    pub fn restarted(&mut self, now: Instant, alive: Instant) {
        self.subscribed(now);
        self.pace = Pace::new();
        self.latest_echoed_sending = None;
        for number in self.queue.numbers() {
            let entry = &mut self.queue[number];
            let in_doubt = match entry.state {
                DeliveryState::Sent | DeliveryState::Unrecognised => true,
                DeliveryState::Confirmed => entry.at + LAG >= alive,
                DeliveryState::Trusted | DeliveryState::Doubt | DeliveryState::Done => false,
            };
            if in_doubt {
                // A broker that died says nothing about the message.
                entry.sendings = 0;
                self.queue.await_echo_of(number);
                self.change(number, DeliveryState::Doubt, now);
            }
        }
        self.queue.sort_doubts();
    }

    /// The broker was alive at this moment.
    pub fn alive(&mut self, at: Instant) {
        self.alive_at = Some(at);
        if self.confirm.is_none() {
            return;
        }
        while let Some(number) = self.queue.first_kept() {
            let entry = &self.queue[number];
            match entry.state {
                DeliveryState::Confirmed if entry.at + LAG <= at => {
                    self.change(number, DeliveryState::Done, at);
                }
                _ => return,
            }
        }
    }

    /// Time has passed. Returns what is given up, and whether the broker was found to be
    /// mute.
    pub fn time(&mut self, now: Instant) -> (Vec<Unconfirmed>, bool) {
        self.drop_old_kept(now);
        if self.check_at.is_none_or(|at| now < at) {
            return (Vec::new(), false);
        }
        if let Some(before) = now.checked_sub(LONGEST) {
            self.confirm_unrecognised(before, now);
        }
        let is_needed =
            self.queue.sent() > 0 || self.queue.has_trusted() || self.queue.has_unrecognised();
        self.check_at = is_needed.then_some(now + CHECK_INTERVAL);
        self.slow_down(now);
        let mut given_up = Vec::new();
        let mut went_mute = false;
        for number in self.queue.numbers() {
            let entry = &self.queue[number];
            if entry.state != DeliveryState::Sent || !self.is_overdue(entry, now) {
                continue;
            }
            let never_later = self
                .latest_echoed_sending
                .is_none_or(|echoed| echoed < entry.at);
            if entry.sendings > 1 && never_later {
                went_mute = true;
                break;
            }
            if entry.sendings < MOST_SENDINGS {
                self.change(number, DeliveryState::Doubt, now);
                continue;
            }
            given_up.push(Unconfirmed {
                frame: entry.frame.clone(),
                sendings: entry.sendings,
            });
            self.queue.stop_awaiting(number);
            self.change(number, DeliveryState::Done, now);
        }
        if went_mute {
            self.become_mute(now);
        }
        self.queue.sort_doubts();
        (given_up, went_mute)
    }

    /// A broker that is behind gets fewer before its echoes show it: that may take long.
    fn slow_down(&mut self, now: Instant) {
        let first = self
            .queue
            .entries()
            .find(|one| one.state == DeliveryState::Sent);
        if let Some(first) = first.filter(|_| !self.is_away) {
            let age = now.saturating_duration_since(first.at);
            self.pace.awaited(now, age);
        }
    }

    fn is_overdue(&self, entry: &FlightEntry, now: Instant) -> bool {
        if self.is_away {
            return false;
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let is_silent = self
            .last_sign
            .is_none_or(|sign| since(sign) >= CONFIRMATION_TIME);
        let is_passed = self
            .latest_echoed_sending
            .is_some_and(|echoed| echoed > entry.at);
        // The time while the broker hung does not count.
        let age = since(self.subscribed_at.map_or(entry.at, |at| at.max(entry.at)));
        age >= LONGEST || age >= CONFIRMATION_TIME && (is_silent || is_passed)
    }

    /// The broker is mute: what was sent to it counts as delivered. What is in doubt is sent
    /// once more.
    fn become_mute(&mut self, now: Instant) {
        self.is_mute = true;
        for number in self.queue.numbers() {
            if self.queue[number].state == DeliveryState::Sent {
                self.change(number, DeliveryState::Trusted, now);
            }
        }
    }

    /// Drops what was kept as trusted for long enough, and what exceeds the memory.
    fn drop_old_kept(&mut self, now: Instant) {
        while let Some(number) = self.queue.first_kept() {
            let entry = &self.queue[number];
            let goes = if entry.state == DeliveryState::Trusted {
                let risk = if self.is_among_last(entry) {
                    QUEUE_RISK
                } else {
                    RISK
                };
                let is_old = now.saturating_duration_since(entry.at) > risk;
                is_old || self.queue.kept_bytes() > TRUSTED_BYTES.min(self.most_kept())
            } else {
                // Nothing new is sent before there is room again, but to a mute broker.
                self.is_mute && self.queue.kept_bytes() > self.most_kept()
            };
            if !goes {
                return;
            }
            self.queue.stop_awaiting(number);
            self.change(number, DeliveryState::Done, now);
        }
    }

    /// Removes what is done from the front; returns the position after it, if it has one.
    pub fn take_done(&mut self) -> Option<Position> {
        self.queue.take_done()
    }

    /// The program ends: what was echoed or is trusted is done, except for echoes of a
    /// broker that may have died shortly afterwards.
    pub fn at_program_end(&mut self, now: Instant) {
        let alive_at = self.alive_at.filter(|_| self.is_away);
        for number in self.queue.numbers() {
            let entry = &self.queue[number];
            let state = match entry.state {
                DeliveryState::Trusted => DeliveryState::Done,
                DeliveryState::Unrecognised if alive_at.is_none() => DeliveryState::Done,
                DeliveryState::Confirmed if alive_at.is_none_or(|alive| entry.at + LAG < alive) => {
                    DeliveryState::Done
                }
                DeliveryState::Unrecognised | DeliveryState::Confirmed => DeliveryState::Doubt,
                DeliveryState::Sent | DeliveryState::Doubt | DeliveryState::Done => continue,
            };
            self.change(number, state, now);
        }
    }

    /// Removes those in doubt that are not on disk.
    pub fn take_unsafe_doubts(&mut self, now: Instant) -> Vec<Frame> {
        let mut frames = Vec::new();
        for number in self.queue.numbers() {
            let entry = &self.queue[number];
            if entry.state == DeliveryState::Doubt && entry.spool_end.is_none() {
                frames.push(entry.frame.clone());
                self.gave_up_resending(number, now);
            }
        }
        frames
    }

    /// Appends messages that are in doubt.
    pub fn doubt(&mut self, frames: Vec<Frame>, now: Instant) {
        for frame in frames {
            self.sent(frame, None, now);
            let number = self.queue.numbers().end - 1;
            self.change(number, DeliveryState::Doubt, now);
        }
    }

    /// Changes a state, and plans a check if the sighting may become overdue.
    fn change(&mut self, number: u64, state: DeliveryState, now: Instant) {
        self.queue.change(number, state, now);
        self.pace.with_broker(now, self.queue.sent());
        let waits = matches!(
            state,
            DeliveryState::Sent | DeliveryState::Trusted | DeliveryState::Unrecognised
        );
        if waits && self.check_at.is_none() {
            self.check_at = Some(now + CHECK_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests;

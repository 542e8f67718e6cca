//! The sightings in flight: sent, and not yet to be forgotten. One queue in the order of
//! the first sending, a machine without a clock or a socket.
//!
//! | | sent | echo | time | connection lost | broker restarted | broker alive |
//! |---|---|---|---|---|---|---|
//! | *new* | sent; where no echo is awaited, trusted; where its echo would not be recognised, unrecognised | | | | | |
//! | *sent* | | confirmed | in doubt when its echo is overdue; done when it was sent [`MOST_SENDINGS`] times | in doubt | in doubt | |
//! | *trusted* | | done | done after [`RISK`], the last `LAST` after `QUEUE_RISK` | in doubt | | |
//! | *unrecognised* | | confirmed by the echo of one that was sent later | confirmed after [`LONGEST`] | in doubt, as *trusted* | in doubt | |
//! | *confirmed* | | | | | in doubt, where the echo came less than [`LAG`] before the last sign of life | done, where it came [`LAG`] before that |
//! | *in doubt* | as *new* | confirmed | | | | |
//! | *done* | | | | | | |
//!
//! *Confirmed* is not the end: a broker that dies may have sent this subscriber its copy
//! and another not. What is done leaves at the front, and only then is it forgotten on disk.
//!
//! An echo is overdue when [`CONFIRMATION_TIME`] went by since the sending and a sighting
//! that was sent later has come back (a broker keeps the order), or nothing at all came
//! back in that time; and in any case after [`LONGEST`]. A broker that is behind with the
//! sightings of others is waited for. One from which nothing of ours comes back, sent twice, is
//! *mute*: its echoes are not awaited until there is one, or a new subscription.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::pace::Pace;
use crate::state::spool::Position;

/// How long the broker's echo of a sighting may take before the sighting is sent again.
pub const CONFIRMATION_TIME: Duration = Duration::from_secs(30);

/// How long it may take while the broker echoes the sightings of others.
pub const LONGEST: Duration = Duration::from_secs(120);

/// How often a sighting is sent at most, not counting lost connections. An echo that is
/// not recognised will not be recognised the next time either.
pub const MOST_SENDINGS: u32 = 3;

/// How long before the last sign of life a broker may have sent an echo whose
/// other copies were still in its queues when it died. An overloaded machine was
/// seen to have a subscriber more than two seconds behind.
pub const LAG: Duration = Duration::from_secs(10);

/// What was sent this shortly before the connection was lost is sent again. The library
/// accepts messages for a connection that has just ended while its threads notify each
/// other (up to 86 of them were seen), and drops them.
pub const RISK: Duration = Duration::from_secs(2);

/// The capacity of the library's queue in messages.
pub const QUEUE: usize = 64;

/// The number of last messages that are in doubt for longer, since a broker may hang
/// before it dies: the library's queue, and what it accepted after that (see [`RISK`]).
const LAST: usize = 3 * QUEUE;

/// How long that is. A connection to a broker that hangs is given up after 65 s.
const QUEUE_RISK: Duration = Duration::from_secs(90);

/// The most bytes of sightings that are stored without awaiting their echo.
const TRUSTED_BYTES: usize = 4 << 20;

/// How often overdue sightings are checked for.
const LOOK: Duration = Duration::from_secs(1);

/// A queued message: the whole frame.
pub type Frame = Vec<u8>;

/// What identifies a sighting in its echo.
pub type Key = u64;

/// Computes the key of a frame; `None` if its echo would not be recognized.
pub type KeyOf = fn(&[u8]) -> Option<Key>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
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

#[derive(Debug)]
struct Entry {
    frame: Frame,
    key: Option<Key>,
    state: State,
    /// When it entered this state.
    at: Instant,
    sendings: u32,
    /// The number of its last sending, among all sendings.
    turn: u64,
    /// It was sent only once, so its echo is of the last sending.
    is_first: bool,
    /// The spool's position after it.
    end: Option<Position>,
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
    entries: VecDeque<Entry>,
    /// The number of the first entry, counted from the start.
    first: u64,
    /// By key: the entries that wait for this echo.
    awaited: HashMap<Key, VecDeque<u64>>,
    /// The entries that are confirmed or trusted, in the order in which they became so.
    kept: VecDeque<u64>,
    kept_bytes: usize,
    /// How many sendings there were.
    sendings: u64,
    /// Those whose echo would not be recognised, possibly with some that no longer are, in
    /// the order of their sending.
    unrecognised: VecDeque<u64>,
    /// Those in doubt, possibly with some that no longer are.
    doubts: VecDeque<u64>,
    /// The number of those sent, and of those in doubt.
    sent: usize,
    doubted: usize,
    /// The bytes of both.
    open_bytes: usize,
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
    returned: Option<Instant>,
    /// The latest sending whose echo was received.
    echoed: Option<Instant>,
    look_at: Option<Instant>,
    most_bytes: usize,
}

impl Flight {
    /// Nothing is in flight. With `confirm`, echoes are awaited, for at most
    /// `most_bytes`; half as many bytes are stored for a broker that dies: beyond that
    /// nothing new is sent.
    pub fn new(most_bytes: usize, confirm: Option<KeyOf>) -> Self {
        Flight {
            entries: VecDeque::new(),
            first: 0,
            awaited: HashMap::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            sendings: 0,
            unrecognised: VecDeque::new(),
            doubts: VecDeque::new(),
            sent: 0,
            doubted: 0,
            open_bytes: 0,
            confirm,
            is_mute: false,
            is_away: false,
            alive_at: None,
            pace: Pace::new(),
            last_sign: None,
            returned: None,
            echoed: None,
            look_at: None,
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

    /// Whether another one may be sent.
    pub fn has_room(&self) -> bool {
        !self.awaits() || self.sent < self.pace.limit()
    }

    /// Whether one more may be in flight: there is memory for it, and for those that came
    /// back until the broker is known to have passed them on.
    pub fn takes_new(&self) -> bool {
        !self.awaits() || self.open_bytes < self.most_bytes && self.kept_bytes < self.most_kept()
    }

    /// How many bytes are kept of what is confirmed or trusted.
    fn most_kept(&self) -> usize {
        self.most_bytes / 2
    }

    /// The number of those sent or in doubt.
    pub fn open(&self) -> usize {
        self.sent + self.doubted
    }

    /// The bytes of everything in flight.
    pub fn bytes(&self) -> usize {
        self.open_bytes + self.kept_bytes
    }

    /// The number of them that would be lost with this process.
    pub fn open_unsafe(&self) -> usize {
        let open = |entry: &&Entry| matches!(entry.state, State::Sent | State::Doubt);
        let entries = self.entries.iter().filter(open);
        entries.filter(|entry| entry.end.is_none()).count()
    }

    /// The bytes of those sent or in doubt.
    pub fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    /// Whether any is in doubt.
    pub fn has_doubts(&self) -> bool {
        self.doubted > 0
    }

    /// The first one in doubt, with its number.
    pub fn next_doubt(&mut self) -> Option<(u64, &Frame)> {
        while let Some(&number) = self.doubts.front() {
            if self.state(number) == Some(State::Doubt) {
                break;
            }
            self.doubts.pop_front();
        }
        let number = *self.doubts.front()?;
        let place = self.place(number)?;
        Some((number, &self.entries[place].frame))
    }

    /// When to call [`Flight::time`] next, if that matters.
    pub fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// A new message was passed to the library.
    pub fn sent(&mut self, frame: Frame, end: Option<Position>, now: Instant) {
        let key = self.confirm.and_then(|key_of| key_of(&frame));
        let number = self.first + self.entries.len() as u64;
        if let Some(key) = key {
            self.awaited.entry(key).or_default().push_back(number);
        }
        self.entries.push_back(Entry {
            frame,
            key,
            state: State::Done,
            at: now,
            sendings: 1,
            turn: 0,
            is_first: true,
            end,
        });
        self.after_sending(number, now);
    }

    /// A message in doubt was passed to the library again.
    pub fn sent_again(&mut self, number: u64, now: Instant) {
        if let Some(place) = self.place(number) {
            self.entries[place].sendings += 1;
            self.entries[place].is_first = false;
            self.after_sending(number, now);
        }
    }

    /// Whether it may still be in the library's queue: no more than that holds was sent
    /// after it. The order of the sendings counts, not that of the first ones.
    fn is_among_last(&self, entry: &Entry) -> bool {
        self.sendings - entry.turn < LAST as u64
    }

    fn after_sending(&mut self, number: u64, now: Instant) {
        let Some(place) = self.place(number) else {
            return;
        };
        self.sendings += 1;
        self.entries[place].turn = self.sendings;
        let has_key = self.entries[place].key.is_some();
        let state = match (self.confirm, has_key && self.awaits()) {
            (_, true) => State::Sent,
            (None, false) => State::Trusted,
            (Some(_), false) if !self.is_mute => State::Unrecognised,
            (Some(_), false) => State::Trusted,
        };
        self.change(number, state, now);
    }

    /// A new message will never be sent.
    pub fn skipped(&mut self, frame: Frame, end: Option<Position>, now: Instant) {
        self.entries.push_back(Entry {
            frame,
            key: None,
            state: State::Done,
            at: now,
            sendings: 0,
            turn: 0,
            is_first: true,
            end,
        });
    }

    /// A message in doubt will never be sent again.
    pub fn dropped(&mut self, number: u64, now: Instant) {
        self.await_no_more(number);
        self.change(number, State::Done, now);
    }

    /// An echo was received; returns whether it is of a sighting in flight.
    pub fn echo(&mut self, key: Key, now: Instant) -> bool {
        self.last_sign = Some(now);
        let Some(numbers) = self.awaited.get_mut(&key) else {
            return false;
        };
        let number = numbers.pop_front();
        if numbers.is_empty() {
            self.awaited.remove(&key);
        }
        let Some(place) = number.and_then(|number| self.place(number)) else {
            return false;
        };
        let (state, at) = (self.entries[place].state, self.entries[place].at);
        self.is_mute = false;
        // The echo of one that was sent again may be of an earlier sending: it does not tell
        // how far the broker is.
        if state == State::Sent && self.entries[place].is_first {
            self.echoed = self.echoed.max(Some(at));
            let age = now.saturating_duration_since(at);
            self.pace.echo(now, age, self.sent);
            self.confirm_unrecognised(at, now);
        }
        if matches!(state, State::Sent | State::Doubt | State::Trusted) {
            self.change(self.first + place as u64, State::Confirmed, now);
        }
        true
    }

    /// What was sent before this moment has come back.
    fn confirm_unrecognised(&mut self, sent_before: Instant, now: Instant) {
        while let Some(&number) = self.unrecognised.front() {
            if let Some(place) = self.place(number) {
                let entry = &self.entries[place];
                if entry.state == State::Unrecognised {
                    if entry.at >= sent_before {
                        return;
                    }
                    self.change(number, State::Confirmed, now);
                }
            }
            self.unrecognised.pop_front();
        }
    }

    /// The connection to the broker was lost: what may have been on its way is in doubt.
    pub fn lost(&mut self, now: Instant) {
        for place in 0..self.entries.len() {
            let entry = &self.entries[place];
            let age = now.saturating_duration_since(entry.at);
            let may_stand_there = self.is_among_last(entry) && age <= QUEUE_RISK;
            let at_risk = age <= RISK || may_stand_there;
            let in_doubt = match entry.state {
                State::Sent => true,
                State::Trusted | State::Unrecognised => at_risk,
                State::Confirmed | State::Doubt | State::Done => false,
            };
            if in_doubt {
                // A lost connection says nothing about the message.
                self.entries[place].sendings = 0;
                self.change(self.first + place as u64, State::Doubt, now);
            }
        }
        self.sort_doubts();
    }

    /// The subscription is lost: nothing is overdue until there is a new one.
    pub fn away(&mut self) {
        self.is_away = true;
    }

    /// There is a new subscription at the same broker, which may have hung.
    pub fn subscribed(&mut self, now: Instant) {
        self.is_away = false;
        self.alive_at = Some(now);
        self.returned = Some(now);
        self.last_sign = Some(now);
        self.is_mute = false;
    }

    /// The broker was restarted, and was last known to be alive at `alive`: what was not
    /// confirmed is sent again, and so is what was confirmed about that time.
    pub fn restarted(&mut self, now: Instant, alive: Instant) {
        self.subscribed(now);
        self.pace = Pace::new();
        self.echoed = None;
        for place in 0..self.entries.len() {
            let entry = &mut self.entries[place];
            let in_doubt = match entry.state {
                State::Sent | State::Unrecognised => true,
                State::Confirmed => entry.at + LAG >= alive,
                State::Trusted | State::Doubt | State::Done => false,
            };
            if in_doubt {
                // A broker that died says nothing about the message.
                entry.sendings = 0;
                let number = self.first + place as u64;
                self.await_echo_of(number);
                self.change(number, State::Doubt, now);
            }
        }
        self.sort_doubts();
    }

    /// The broker was alive at this moment.
    pub fn alive(&mut self, at: Instant) {
        self.alive_at = Some(at);
        if self.confirm.is_none() {
            return;
        }
        while let Some(&number) = self.kept.front() {
            if let Some(place) = self.place(number) {
                let entry = &self.entries[place];
                match entry.state {
                    State::Confirmed if entry.at + LAG <= at => {
                        self.change(number, State::Done, at);
                    }
                    State::Confirmed | State::Trusted => return,
                    State::Sent | State::Unrecognised | State::Doubt | State::Done => {}
                }
            }
            self.kept.pop_front();
        }
    }

    /// Time has passed. Returns what is given up, and whether the broker was found to be
    /// mute.
    pub fn time(&mut self, now: Instant) -> (Vec<Unconfirmed>, bool) {
        self.let_go(now);
        if self.look_at.is_none_or(|at| now < at) {
            return (Vec::new(), false);
        }
        if let Some(before) = now.checked_sub(LONGEST) {
            self.confirm_unrecognised(before, now);
        }
        let is_needed = self.sent > 0 || self.has_trusted() || !self.unrecognised.is_empty();
        self.look_at = is_needed.then_some(now + LOOK);
        self.slow_down(now);
        let mut given_up = Vec::new();
        let mut went_mute = false;
        for place in 0..self.entries.len() {
            let entry = &self.entries[place];
            if entry.state != State::Sent || !self.is_overdue(entry, now) {
                continue;
            }
            let number = self.first + place as u64;
            let never_later = self.echoed.is_none_or(|echoed| echoed < entry.at);
            if entry.sendings > 1 && never_later {
                went_mute = true;
                break;
            }
            if entry.sendings < MOST_SENDINGS {
                self.change(number, State::Doubt, now);
                continue;
            }
            given_up.push(Unconfirmed {
                frame: entry.frame.clone(),
                sendings: entry.sendings,
            });
            self.await_no_more(number);
            self.change(number, State::Done, now);
        }
        if went_mute {
            self.wait_no_more(now);
        }
        self.sort_doubts();
        (given_up, went_mute)
    }

    /// A broker that is behind gets fewer before its echoes show it: that may take long.
    fn slow_down(&mut self, now: Instant) {
        let first = self.entries.iter().find(|one| one.state == State::Sent);
        if let Some(first) = first.filter(|_| !self.is_away) {
            let age = now.saturating_duration_since(first.at);
            self.pace.awaited(now, age);
        }
    }

    fn is_overdue(&self, entry: &Entry, now: Instant) -> bool {
        if self.is_away {
            return false;
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let is_silent = self
            .last_sign
            .is_none_or(|sign| since(sign) >= CONFIRMATION_TIME);
        let is_passed = self.echoed.is_some_and(|echoed| echoed > entry.at);
        // The time while the broker hung does not count.
        let age = since(self.returned.map_or(entry.at, |at| at.max(entry.at)));
        age >= LONGEST || age >= CONFIRMATION_TIME && (is_silent || is_passed)
    }

    /// The broker is mute: what was sent to it counts as delivered. What is in doubt is sent
    /// once more.
    fn wait_no_more(&mut self, now: Instant) {
        self.is_mute = true;
        for place in 0..self.entries.len() {
            if self.entries[place].state == State::Sent {
                self.change(self.first + place as u64, State::Trusted, now);
            }
        }
    }

    fn has_trusted(&self) -> bool {
        let last = self.kept.back().and_then(|number| self.state(*number));
        last == Some(State::Trusted)
    }

    /// Drops what was trusted for long enough, and what exceeds the memory.
    fn let_go(&mut self, now: Instant) {
        while let Some(&number) = self.kept.front() {
            if let Some(place) = self.place(number) {
                let entry = &self.entries[place];
                let risk = if self.is_among_last(entry) {
                    QUEUE_RISK
                } else {
                    RISK
                };
                let is_old = now.saturating_duration_since(entry.at) > risk;
                let goes = match entry.state {
                    State::Trusted => {
                        is_old || self.kept_bytes > TRUSTED_BYTES.min(self.most_kept())
                    }
                    // Nothing new is sent before there is room again, but to a mute broker.
                    State::Confirmed => self.is_mute && self.kept_bytes > self.most_kept(),
                    State::Sent | State::Unrecognised | State::Doubt | State::Done => true,
                };
                if !goes {
                    return;
                }
                if matches!(entry.state, State::Trusted | State::Confirmed) {
                    self.await_no_more(number);
                    self.change(number, State::Done, now);
                }
            }
            self.kept.pop_front();
        }
    }

    /// Removes what is done from the front; returns the position after it, if it has one.
    pub fn take_done(&mut self) -> Option<Position> {
        let mut end = None;
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.state == State::Done)
        {
            if let Some(entry) = self.entries.pop_front() {
                self.first += 1;
                end = entry.end.or(end);
            }
        }
        end
    }

    /// The program ends: what was echoed or is trusted is done, except for echoes of a
    /// broker that may have died shortly afterwards.
    pub fn end(&mut self, now: Instant) {
        let alive_at = self.alive_at.filter(|_| self.is_away);
        for place in 0..self.entries.len() {
            let entry = &self.entries[place];
            let state = match entry.state {
                State::Trusted => State::Done,
                State::Unrecognised if alive_at.is_none() => State::Done,
                State::Confirmed if alive_at.is_none_or(|alive| entry.at + LAG < alive) => {
                    State::Done
                }
                State::Unrecognised | State::Confirmed => State::Doubt,
                State::Sent | State::Doubt | State::Done => continue,
            };
            self.change(self.first + place as u64, state, now);
        }
    }

    /// Removes those in doubt that are not on disk.
    pub fn take_unsafe_doubts(&mut self, now: Instant) -> Vec<Frame> {
        let mut frames = Vec::new();
        for place in 0..self.entries.len() {
            let entry = &mut self.entries[place];
            if entry.state == State::Doubt && entry.end.is_none() {
                frames.push(entry.frame.clone());
                self.dropped(self.first + place as u64, now);
            }
        }
        frames
    }

    /// Appends messages that are in doubt.
    pub fn doubt(&mut self, frames: Vec<Frame>, now: Instant) {
        for frame in frames {
            self.sent(frame, None, now);
            let number = self.first + self.entries.len() as u64 - 1;
            self.change(number, State::Doubt, now);
        }
    }

    fn place(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (place < self.entries.len()).then_some(place)
    }

    fn state(&self, number: u64) -> Option<State> {
        self.place(number).map(|place| self.entries[place].state)
    }

    /// Awaits its echo, once.
    fn await_echo_of(&mut self, number: u64) {
        let key = self.place(number).and_then(|place| self.entries[place].key);
        if let Some(key) = key {
            let numbers = self.awaited.entry(key).or_default();
            if !numbers.contains(&number) {
                numbers.push_back(number);
            }
        }
    }

    /// Stops waiting for its echo: the next one with its key belongs to another.
    fn await_no_more(&mut self, number: u64) {
        let key = self.place(number).and_then(|place| self.entries[place].key);
        let Some(key) = key else {
            return;
        };
        if let Some(numbers) = self.awaited.get_mut(&key) {
            numbers.retain(|awaited| *awaited != number);
            if numbers.is_empty() {
                self.awaited.remove(&key);
            }
        }
    }

    /// Changes a state, and everything counted by state.
    fn change(&mut self, number: u64, state: State, now: Instant) {
        let Some(place) = self.place(number) else {
            return;
        };
        let entry = &mut self.entries[place];
        let bytes = entry.frame.len();
        let former = std::mem::replace(&mut entry.state, state);
        entry.at = now;
        if state == State::Done {
            entry.frame = Frame::new();
        }
        match former {
            State::Sent => (self.sent, self.open_bytes) = (self.sent - 1, self.open_bytes - bytes),
            State::Doubt => {
                (self.doubted, self.open_bytes) = (self.doubted - 1, self.open_bytes - bytes);
            }
            State::Trusted | State::Unrecognised | State::Confirmed => self.kept_bytes -= bytes,
            State::Done => {}
        }
        match state {
            State::Sent => (self.sent, self.open_bytes) = (self.sent + 1, self.open_bytes + bytes),
            State::Doubt => {
                (self.doubted, self.open_bytes) = (self.doubted + 1, self.open_bytes + bytes);
                self.doubts.push_back(number);
            }
            State::Trusted | State::Confirmed => {
                self.kept_bytes += bytes;
                self.kept.push_back(number);
            }
            State::Unrecognised => {
                self.kept_bytes += bytes;
                self.unrecognised.push_back(number);
            }
            State::Done => {}
        }
        let waits = matches!(state, State::Sent | State::Trusted | State::Unrecognised);
        if waits && self.look_at.is_none() {
            self.look_at = Some(now + LOOK);
        }
    }

    /// They are sent in the order of their first sending.
    fn sort_doubts(&mut self) {
        self.doubts.make_contiguous().sort_unstable();
        let mut last = None;
        self.doubts
            .retain(|number| last.replace(*number) != Some(*number));
    }
}

#[cfg(test)]
mod tests;

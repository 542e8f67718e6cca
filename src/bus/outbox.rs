//! Sightings on their way to the bus: in order, until they are delivered.
//!
//! Without a state directory they wait in memory, and a full outbox takes no
//! more, which holds the workers back. With one, what cannot go now waits in
//! the spool. With `--confirm-delivery` a sighting is delivered when the broker
//! has sent it back; until then it is kept, and sent again.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use crate::state::spool::{Position, Spool};

/// How long the broker's echo of a sighting may take before it is sent again.
pub const CONFIRMATION_TIME: Duration = Duration::from_secs(30);

/// How often a sighting is sent at the most. A broker rewrites some contexts on
/// the way (one that looks like a sighting itself), and their echo is never
/// recognised.
const MOST_SENDINGS: u32 = 5;

/// How many sightings may be sent and not confirmed. Broker and echo take some
/// milliseconds; this is seconds' worth of them.
const WINDOW: usize = 10_000;

/// How long a confirmed sighting is remembered. A broker that dies may have sent
/// one subscriber its copy and another not: what was confirmed shortly before
/// the connection was lost goes once more.
const DOUBT: Duration = Duration::from_secs(30);

/// How long before the last sign of life a broker may have sent an echo whose
/// other copies were still in its queues when it died. An overloaded machine was
/// seen to have a subscriber more than two seconds behind.
const LAG: Duration = Duration::from_secs(10);

/// A message as it waits: the whole frame.
pub type Frame = Vec<u8>;

/// What identifies a sighting in its echo.
pub type Key = u64;

/// Where messages wait that are not sent yet.
pub enum Store {
    /// In memory, up to a number of bytes.
    Memory {
        /// The messages.
        frames: VecDeque<Frame>,
        /// Their size.
        bytes: usize,
    },
    /// On disk.
    Disk {
        /// The segment files.
        spool: Spool,
        /// The next one to send.
        next: Position,
    },
}

struct Sent {
    frame: Frame,
    key: Key,
    at: Instant,
    sendings: u32,
    confirmed: bool,
    /// Where the spool goes on behind it.
    end: Option<Position>,
}

/// The messages between the workers and the broker.
pub struct Outbox {
    store: Store,
    /// Sent and waiting for their echo; empty without `--confirm-delivery`.
    window: VecDeque<Sent>,
    window_bytes: usize,
    /// The number of the window's first message, counted from the start.
    first: u64,
    /// By key: which messages of the window wait for this echo.
    awaited: HashMap<Key, VecDeque<u64>>,
    /// Confirmed, not long before the newest of them.
    recent: VecDeque<(Instant, Frame)>,
    recent_bytes: usize,
    /// In the hands of a broker, or on the way to it, when it died: to be sent once
    /// more.
    again: VecDeque<Frame>,
    confirm: Option<fn(&[u8]) -> Key>,
    /// No echo is overdue before this moment.
    check_at: Instant,
    most_bytes: usize,
}

/// A message to send now.
pub enum Next {
    /// One that has not been sent yet.
    New(Frame, Option<Position>),
    /// The message with this number in the window, once more.
    Again(Frame, u64),
    /// One that was with a broker, or on the way to it, when it died.
    Doubted(Frame),
}

impl Next {
    /// The message.
    pub fn frame(&self) -> &Frame {
        let (Next::New(frame, _) | Next::Again(frame, _) | Next::Doubted(frame)) = self;
        frame
    }
}

/// What became of a message that is given up.
#[derive(Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The whole frame.
    pub frame: Frame,
    /// How often it was sent.
    pub sendings: u32,
}

impl Outbox {
    /// An empty outbox in memory that takes `most_bytes`. `confirm` makes the
    /// key of a frame where delivery is to be confirmed.
    pub fn in_memory(most_bytes: usize, confirm: Option<fn(&[u8]) -> Key>) -> Self {
        Outbox::new(
            Store::Memory {
                frames: VecDeque::new(),
                bytes: 0,
            },
            most_bytes,
            confirm,
        )
    }

    /// An outbox with what waits on disk.
    pub fn on_disk(spool: Spool, most_bytes: usize, confirm: Option<fn(&[u8]) -> Key>) -> Self {
        let next = spool.delivered();
        Outbox::new(Store::Disk { spool, next }, most_bytes, confirm)
    }

    fn new(store: Store, most_bytes: usize, confirm: Option<fn(&[u8]) -> Key>) -> Self {
        Outbox {
            store,
            window: VecDeque::new(),
            window_bytes: 0,
            first: 0,
            awaited: HashMap::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
            again: VecDeque::new(),
            confirm,
            check_at: Instant::now(),
            most_bytes,
        }
    }

    /// Whether it takes more.
    pub fn has_room(&self) -> bool {
        match &self.store {
            Store::Memory { bytes, .. } => bytes + self.window_bytes < self.most_bytes,
            Store::Disk { .. } => true,
        }
    }

    /// Puts frames at the end; gives the number of messages that a full spool
    /// lost for them.
    ///
    /// # Errors
    /// The disk is full: the frames come back.
    pub fn push(&mut self, mut new: Vec<Frame>) -> Result<u64, (Vec<Frame>, io::Error)> {
        match &mut self.store {
            Store::Memory { frames, bytes } => {
                *bytes += new.iter().map(Vec::len).sum::<usize>();
                frames.extend(new.drain(..));
                Ok(0)
            }
            Store::Disk { spool, .. } => spool
                .push(new.iter().map(Vec::as_slice))
                .map_err(|error| (new, error)),
        }
    }

    /// The next message to send, if there is one and the window has room.
    ///
    /// # Errors
    /// The spool is damaged; what is lost is in the error, the rest goes on.
    pub fn next(&mut self, now: Instant) -> io::Result<Option<Next>> {
        if let Some(again) = self.overdue(now) {
            return Ok(Some(again));
        }
        let window_full = self.window.len() >= WINDOW || self.window_bytes >= self.most_bytes;
        if self.confirm.is_some() && window_full {
            return Ok(None);
        }
        if let Some(frame) = self.again.front() {
            return Ok(Some(Next::Doubted(frame.clone())));
        }
        match &mut self.store {
            Store::Memory { frames, .. } => {
                Ok(frames.front().cloned().map(|frame| Next::New(frame, None)))
            }
            Store::Disk { spool, next } => {
                let found = spool.read(*next)?;
                Ok(found.map(|(frame, end)| Next::New(frame, Some(end))))
            }
        }
    }

    /// A message in the window whose echo is overdue.
    fn overdue(&mut self, now: Instant) -> Option<Next> {
        if now < self.check_at {
            return None;
        }
        let Some(position) = self.window.iter().position(|sent| {
            !sent.confirmed
                && sent.sendings < MOST_SENDINGS
                && now.saturating_duration_since(sent.at) >= CONFIRMATION_TIME
        }) else {
            let oldest = self
                .window
                .iter()
                .filter(|sent| !sent.confirmed)
                .map(|sent| sent.at)
                .min();
            self.check_at = oldest.unwrap_or(now) + CONFIRMATION_TIME;
            return None;
        };
        let frame = self.window[position].frame.clone();
        Some(Next::Again(frame, self.first + position as u64))
    }

    /// The message is in ZeroMQ's hands.
    ///
    /// # Errors
    /// The spool's position cannot be written.
    pub fn sent(&mut self, message: Next, now: Instant) -> io::Result<()> {
        match message {
            Next::Again(_, number) => {
                if let Some(sent) = self.at(number) {
                    sent.at = now;
                    sent.sendings += 1;
                }
                Ok(())
            }
            Next::New(frame, end) => {
                self.leave_store(&frame, end);
                match self.confirm {
                    Some(key_of) => {
                        self.await_echo(key_of(&frame), frame, now, end);
                        Ok(())
                    }
                    None => self.delivered(end),
                }
            }
            Next::Doubted(frame) => {
                self.again.pop_front();
                if let Some(key_of) = self.confirm {
                    self.await_echo(key_of(&frame), frame, now, None);
                }
                Ok(())
            }
        }
    }

    fn await_echo(&mut self, key: Key, frame: Frame, at: Instant, end: Option<Position>) {
        let number = self.first + self.window.len() as u64;
        self.awaited.entry(key).or_default().push_back(number);
        self.window_bytes += frame.len();
        self.window.push_back(Sent {
            frame,
            key,
            at,
            sendings: 1,
            confirmed: false,
            end,
        });
    }

    /// The message is given up, and the next one is due.
    ///
    /// # Errors
    /// The spool's position cannot be written.
    pub fn dropped(&mut self, message: Next) -> io::Result<()> {
        match message {
            Next::Again(_, number) => {
                if let Some(sent) = self.at(number) {
                    sent.confirmed = true;
                    let key = sent.key;
                    self.await_no_more(key, number);
                }
            }
            Next::Doubted(_) => {
                self.again.pop_front();
            }
            Next::New(frame, end) => {
                self.leave_store(&frame, end);
                if self.window.is_empty() {
                    return self.delivered(end);
                }
                // Those before it still wait for their echo.
                self.window_bytes += frame.len();
                self.window.push_back(Sent {
                    frame,
                    key: 0,
                    at: Instant::now(),
                    sendings: 0,
                    confirmed: true,
                    end,
                });
            }
        }
        self.close_front()
    }

    /// No echo is for the message with this number any more: the next one with its key is
    /// for another.
    fn await_no_more(&mut self, key: Key, number: u64) {
        if let Some(numbers) = self.awaited.get_mut(&key) {
            numbers.retain(|awaited| *awaited != number);
            if numbers.is_empty() {
                self.awaited.remove(&key);
            }
        }
    }

    fn leave_store(&mut self, frame: &Frame, end: Option<Position>) {
        match (&mut self.store, end) {
            (Store::Memory { frames, bytes }, _) => {
                frames.pop_front();
                *bytes -= frame.len();
            }
            (Store::Disk { next, .. }, Some(end)) => *next = end,
            (Store::Disk { .. }, None) => {}
        }
    }

    fn delivered(&mut self, end: Option<Position>) -> io::Result<()> {
        match (&mut self.store, end) {
            (Store::Disk { spool, .. }, Some(end)) => spool.set_delivered(end),
            _ => Ok(()),
        }
    }

    fn at(&mut self, number: u64) -> Option<&mut Sent> {
        let position = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.window.get_mut(position)
    }

    /// The broker has sent this sighting back.
    ///
    /// # Errors
    /// The spool's position cannot be written.
    pub fn confirmed(&mut self, key: Key) -> io::Result<()> {
        let Some(numbers) = self.awaited.get_mut(&key) else {
            // An echo of another bridge's sighting, or a second one of ours.
            return Ok(());
        };
        let number = numbers.pop_front();
        if numbers.is_empty() {
            self.awaited.remove(&key);
        }
        if let Some(sent) = number.and_then(|number| self.at(number)) {
            sent.confirmed = true;
        }
        self.close_front()
    }

    /// Takes the confirmed messages off the front of the window.
    fn close_front(&mut self) -> io::Result<()> {
        let mut end = None;
        while self.window.front().is_some_and(|sent| sent.confirmed) {
            if let Some(sent) = self.window.pop_front() {
                self.first += 1;
                self.window_bytes -= sent.frame.len();
                end = sent.end.or(end);
                self.remember(sent.frame);
            }
        }
        self.delivered(end)
    }

    fn remember(&mut self, frame: Frame) {
        let now = Instant::now();
        self.recent_bytes += frame.len();
        self.recent.push_back((now, frame));
        while let Some((at, frame)) = self.recent.front() {
            let old = now.saturating_duration_since(*at) > DOUBT;
            if !old && self.recent_bytes <= self.most_bytes / 4 {
                break;
            }
            self.recent_bytes -= frame.len();
            self.recent.pop_front();
        }
    }

    /// Gives up messages that were sent as often as makes sense, and whose echo
    /// is still overdue.
    ///
    /// # Errors
    /// The spool's position cannot be written.
    pub fn give_up(&mut self, now: Instant) -> io::Result<Vec<Unconfirmed>> {
        let mut given_up = Vec::new();
        for position in 0..self.window.len() {
            let sent = &mut self.window[position];
            let overdue = now.saturating_duration_since(sent.at) >= CONFIRMATION_TIME;
            if sent.confirmed || sent.sendings < MOST_SENDINGS || !overdue {
                continue;
            }
            sent.confirmed = true;
            given_up.push(Unconfirmed {
                frame: sent.frame.clone(),
                sendings: sent.sendings,
            });
            let (key, number) = (sent.key, self.first + position as u64);
            self.await_no_more(key, number);
        }
        if !given_up.is_empty() {
            self.close_front()?;
        }
        Ok(given_up)
    }

    /// The connection is a new one, and the old one was last seen to work at
    /// `alive`: what was not confirmed goes again, at once, and what was
    /// confirmed about then, too.
    pub fn reconnected(&mut self, now: Instant, alive: Instant) {
        self.recent_bytes = 0;
        for (at, frame) in self.recent.drain(..) {
            if at + LAG >= alive {
                self.again.push_back(frame);
            }
        }
        let long_ago = now.checked_sub(CONFIRMATION_TIME);
        self.check_at = now;
        for sent in self.window.iter_mut().filter(|sent| !sent.confirmed) {
            sent.at = long_ago.unwrap_or(sent.at);
            // A lost connection says nothing about the message.
            sent.sendings = sent.sendings.min(MOST_SENDINGS - 1);
        }
    }

    /// These may not have reached the broker: they go once more, before the others, or,
    /// where there is a spool, safe on disk at its end. Where echoes are awaited, those
    /// tell. Gives the number of messages that a full spool lost for them.
    pub fn doubt(&mut self, frames: Vec<Frame>) -> u64 {
        if self.confirm.is_some() || frames.is_empty() {
            return 0;
        }
        if let Store::Disk { spool, .. } = &mut self.store {
            if let Ok(lost) = spool.push(frames.iter().map(Vec::as_slice)) {
                return lost;
            }
        }
        self.again.extend(frames);
        0
    }

    /// When an echo may be overdue; `None` where none is awaited.
    pub fn next_deadline(&self) -> Option<Instant> {
        (!self.window.is_empty()).then_some(self.check_at)
    }

    /// How many messages are neither sent nor safe on disk, or, where delivery
    /// is confirmed, not confirmed.
    pub fn at_risk(&self) -> u64 {
        let doubted = match self.confirm {
            Some(_) => 0,
            None => self.again.len() as u64,
        };
        doubted + self.not_safe()
    }

    fn not_safe(&self) -> u64 {
        match &self.store {
            Store::Memory { frames, .. } => {
                let unconfirmed = self.window.iter().filter(|sent| !sent.confirmed).count();
                (frames.len() + unconfirmed) as u64
            }
            Store::Disk { .. } => 0,
        }
    }

    /// Whether a message may go out at once, past the outbox: nothing waits
    /// before it, and nothing has to be kept of it.
    pub fn is_bypassed(&self) -> bool {
        self.confirm.is_none() && self.is_empty()
    }

    /// Whether every message is delivered.
    pub fn is_empty(&self) -> bool {
        let store_empty = match &self.store {
            Store::Memory { frames, .. } => frames.is_empty(),
            Store::Disk { spool, .. } => spool.is_empty(),
        };
        store_empty && self.window.is_empty() && self.again.is_empty()
    }

    /// How many bytes wait on disk; 0 without a state directory.
    pub fn spooled_bytes(&self) -> u64 {
        match &self.store {
            Store::Memory { .. } => 0,
            Store::Disk { spool, .. } => spool.bytes(),
        }
    }
}

#[cfg(test)]
mod tests;

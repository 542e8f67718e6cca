//! Sightings on their way to the bus: in order, until they are delivered. A state
//! machine: the caller supplies events and the time.
//!
//! Without a state directory they wait in memory, and a full outbox accepts no more,
//! which holds back the workers. With one, what cannot be sent now waits in the spool.
//! Sent messages are in flight, see `flight.rs`.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use super::flight::{Flight, Frame, Key, KeyOf, Unconfirmed};
use super::share::{Mostly, Share};
use crate::state::spool::{Position, Spool};

/// Where unsent messages wait.
enum Store {
    /// In memory, up to a number of bytes.
    Memory {
        frames: VecDeque<Frame>,
        bytes: usize,
    },
    /// On disk.
    Disk {
        spool: Spool,
        /// The next one to send.
        next: Position,
    },
}

/// The messages between the workers and the broker.
pub struct Outbox {
    store: Store,
    flight: Flight,
    share: Share,
    most_bytes: usize,
}

/// A message to be sent now.
#[derive(Debug)]
pub struct NextMessage {
    /// The whole frame.
    pub frame: Frame,
    origin: MessageOrigin,
}

#[derive(Debug)]
enum MessageOrigin {
    /// It has not been sent yet.
    Store(Option<Position>),
    /// It is in flight, with this number.
    Flight(u64),
}

impl NextMessage {
    /// Whether it was sent before.
    pub fn is_repeated(&self) -> bool {
        matches!(self.origin, MessageOrigin::Flight(_))
    }
}

/// The result of time passing.
#[derive(Debug, Default)]
pub struct Overdue {
    /// Messages that are given up.
    pub given_up: Vec<Unconfirmed>,
    /// The broker echoes nothing, so its echoes are no longer awaited.
    pub is_mute: bool,
}

impl Outbox {
    /// An empty outbox in memory with at most `most_bytes`. `confirm` computes the key of
    /// a frame if delivery is to be confirmed.
    pub fn in_memory(most_bytes: usize, confirm: Option<KeyOf>) -> Self {
        let (frames, bytes) = (VecDeque::new(), 0);
        Outbox::new(Store::Memory { frames, bytes }, most_bytes, confirm)
    }

    /// An outbox whose messages wait on disk.
    pub fn on_disk(spool: Spool, most_bytes: usize, confirm: Option<KeyOf>) -> Self {
        let next = spool.delivered();
        Outbox::new(Store::Disk { spool, next }, most_bytes, confirm)
    }

    fn new(store: Store, most_bytes: usize, confirm: Option<KeyOf>) -> Self {
        Outbox {
            store,
            flight: Flight::new(most_bytes, confirm),
            share: Share::default(),
            most_bytes,
        }
    }

    /// Whether it accepts more.
    pub fn has_room(&self) -> bool {
        match &self.store {
            Store::Memory { bytes, .. } => bytes + self.flight.open_bytes() < self.most_bytes,
            Store::Disk { .. } => true,
        }
    }

    /// Appends frames; returns the number of messages that a full spool dropped for them.
    ///
    /// # Errors
    /// The disk is full: the frames are returned.
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

    /// The next message to send, if there is one and the broker may get one now.
    ///
    /// # Errors
    /// The spool is damaged; the error says what is lost, and the rest is still sent.
    pub fn next_to_send(&mut self) -> io::Result<Option<NextMessage>> {
        if !self.flight.may_send() {
            return Ok(None);
        }
        if let Some((number, frame)) = self.flight.next_doubt() {
            let (frame, origin) = (frame.clone(), MessageOrigin::Flight(number));
            return Ok(Some(NextMessage { frame, origin }));
        }
        if !self.flight.has_memory_for_new() {
            return Ok(None);
        }
        let found = match &mut self.store {
            Store::Memory { frames, .. } => frames.front().cloned().map(|frame| (frame, None)),
            Store::Disk { spool, next } => {
                let found = spool.read(*next)?;
                found.map(|(frame, end)| (frame, Some(end)))
            }
        };
        Ok(found.map(|(frame, end)| NextMessage {
            frame,
            origin: MessageOrigin::Store(end),
        }))
    }

    /// The message was passed to ZeroMQ.
    ///
    /// # Errors
    /// The spool's position cannot be written.
    pub fn sent(&mut self, message: NextMessage, now: Instant) -> io::Result<()> {
        match message.origin {
            MessageOrigin::Flight(number) => self.flight.sent_again(number, now),
            MessageOrigin::Store(end) => {
                self.leave_store(&message.frame, end);
                self.flight.sent(message.frame, end, now);
            }
        }
        self.forget_done()
    }

    /// A message was sent without being stored.
    pub fn sent_at_once(&mut self, frame: Frame, now: Instant) {
        self.flight.sent(frame, None, now);
    }

    /// The message is given up, and the next one is due.
    ///
    /// # Errors
    /// The spool's position cannot be written.
    pub fn dropped(&mut self, message: NextMessage, now: Instant) -> io::Result<()> {
        match message.origin {
            MessageOrigin::Flight(number) => self.flight.gave_up_resending(number, now),
            MessageOrigin::Store(end) => {
                self.leave_store(&message.frame, end);
                self.flight.never_sent(message.frame, end, now);
            }
        }
        self.forget_done()
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

    /// Marks on disk what is done.
    fn forget_done(&mut self) -> io::Result<()> {
        match (&mut self.store, self.flight.take_done()) {
            (Store::Disk { spool, .. }, Some(end)) => spool.set_delivered(end),
            _ => Ok(()),
        }
    }

    /// The broker has echoed this sighting, which may be another app's. Returns what to
    /// log about those.
    pub fn echo(&mut self, key: Option<Key>, now: Instant) -> Option<Mostly> {
        let is_own = key.is_some_and(|key| self.flight.echo(key, now));
        self.share.echo(is_own, now)
    }

    /// The broker was alive at this moment.
    ///
    /// # Errors
    /// The spool's position cannot be written.
    pub fn alive(&mut self, at: Instant) -> io::Result<()> {
        self.flight.alive(at);
        self.forget_done()
    }

    /// The subscription is lost.
    pub fn away(&mut self) {
        self.flight.away();
    }

    /// There is a new subscription. If the broker was restarted (`restarted`: when it was
    /// last known to be alive), what was not confirmed is sent again, and so is what was
    /// confirmed about that time.
    pub fn subscribed(&mut self, now: Instant, restarted: Option<Instant>) {
        match restarted {
            Some(alive) => self.flight.restarted(now, alive),
            None => self.flight.subscribed(now),
        }
    }

    /// The connection for sightings was lost: what may not have reached the broker is
    /// sent again. With a spool, messages that are not on disk are appended to it.
    /// Returns the number of messages that a full spool dropped for them.
    pub fn lost(&mut self, now: Instant) -> u64 {
        self.flight.lost(now);
        self.keep_doubts(now)
    }

    fn keep_doubts(&mut self, now: Instant) -> u64 {
        let Store::Disk { spool, .. } = &mut self.store else {
            return 0;
        };
        let frames = self.flight.take_unsafe_doubts(now);
        match spool.push(frames.iter().map(Vec::as_slice)) {
            Ok(lost) => lost,
            // They are sent from memory then.
            Err(_) => {
                self.flight.doubt(frames, now);
                0
            }
        }
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The spool's position cannot be written.
    pub fn time(&mut self, now: Instant) -> (Overdue, io::Result<()>) {
        let (given_up, is_mute) = self.flight.time(now);
        (Overdue { given_up, is_mute }, self.forget_done())
    }

    /// When something may become overdue.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.flight.deadline()
    }

    /// Whether echoes are awaited for sent messages.
    pub fn awaits_echoes(&self) -> bool {
        self.flight.awaits() && self.flight.open() > 0
    }

    /// The number of messages that would be lost with this process: neither on disk nor
    /// sent, or, if delivery is confirmed, not confirmed.
    pub fn at_risk(&self) -> u64 {
        let waiting = match &self.store {
            Store::Memory { frames, .. } => frames.len(),
            Store::Disk { .. } => 0,
        };
        (waiting + self.flight.open_unsafe()) as u64
    }

    /// Whether a message may be sent directly, without the outbox: no message waits
    /// before it, and it need not be stored.
    pub fn is_bypassed(&self) -> bool {
        !self.flight.confirms() && !self.waits() && !self.flight.has_doubts()
    }

    /// Whether any message waits to be sent for the first time.
    fn waits(&self) -> bool {
        match &self.store {
            Store::Memory { frames, .. } => !frames.is_empty(),
            Store::Disk { spool, next } => spool.bytes_behind(*next) > 0,
        }
    }

    /// Whether every message is delivered, as far as that is known.
    pub fn is_empty(&self) -> bool {
        !self.waits() && self.flight.open() == 0
    }

    /// The bytes in memory.
    pub fn bytes_in_memory(&self) -> usize {
        let waiting = match &self.store {
            Store::Memory { bytes, .. } => *bytes,
            Store::Disk { .. } => 0,
        };
        waiting + self.flight.bytes()
    }

    /// Whether waiting messages survive the process.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.store, Store::Disk { .. })
    }

    /// The bytes that wait on disk; 0 without a state directory.
    pub fn spooled_bytes(&self) -> u64 {
        match &self.store {
            Store::Memory { .. } => 0,
            Store::Disk { spool, .. } => spool.bytes(),
        }
    }

    /// The program ends: what the broker has echoed is not repeated by the next run.
    ///
    /// # Errors
    /// The spool's position cannot be written.
    pub fn end(&mut self, now: Instant) -> io::Result<()> {
        self.keep_doubts(now);
        self.flight.at_program_end(now);
        self.forget_done()
    }
}

#[cfg(test)]
mod tests;

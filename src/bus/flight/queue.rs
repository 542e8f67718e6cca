//! The sightings in flight in the order of their first sending, with everything that is
//! counted or found by their state.

use std::collections::{HashMap, VecDeque};
use std::ops::{Index, IndexMut, Range};
use std::time::Instant;

use super::{DeliveryState, Frame, Key};
use crate::state::spool::Position;

/// A sighting in flight.
#[derive(Debug)]
pub struct FlightEntry {
    /// The whole frame; empty once it is done.
    pub frame: Frame,
    /// What identifies its echo, if that is recognised.
    pub key: Option<Key>,
    /// Changed by [`FlightQueue::change`] alone.
    pub state: DeliveryState,
    /// When it entered this state.
    pub at: Instant,
    /// How often it was sent.
    pub sendings: u32,
    /// The number of its last sending, among all sendings.
    pub turn: u64,
    /// It was sent only once, so its echo is of the last sending.
    pub is_first: bool,
    /// The spool's position after it.
    pub spool_end: Option<Position>,
}

/// The sightings in flight. Each has a number, counted from the start of the run.
#[derive(Debug, Default)]
pub struct FlightQueue {
    entries: VecDeque<FlightEntry>,
    /// The number of the first entry.
    first: u64,
    /// By key: the entries that wait for this echo.
    awaited: HashMap<Key, VecDeque<u64>>,
    /// Those that are confirmed or trusted, possibly with some that no longer are, in the
    /// order in which they became so.
    kept: VecDeque<u64>,
    kept_bytes: usize,
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
}

impl FlightQueue {
    /// The number of those whose echo is awaited.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// The number of those in doubt.
    pub fn doubted(&self) -> usize {
        self.doubted
    }

    /// The bytes of those sent or in doubt.
    pub fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    /// The bytes of all others that are not done.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// All of them, in the order of their first sending.
    pub fn entries(&self) -> impl Iterator<Item = &FlightEntry> {
        self.entries.iter()
    }

    /// The numbers of all of them.
    pub fn numbers(&self) -> Range<u64> {
        self.first..self.first + self.entries.len() as u64
    }

    /// The number of keys whose echoes are awaited.
    #[cfg(test)]
    pub fn awaited_keys(&self) -> usize {
        self.awaited.len()
    }

    /// Appends one that is done as long as it is not sent; returns its number. Its echo is
    /// awaited if it has a key.
    pub fn push(
        &mut self,
        frame: Frame,
        key: Option<Key>,
        spool_end: Option<Position>,
        now: Instant,
    ) -> u64 {
        let number = self.numbers().end;
        if let Some(key) = key {
            self.awaited.entry(key).or_default().push_back(number);
        }
        self.entries.push_back(FlightEntry {
            frame,
            key,
            state: DeliveryState::Done,
            at: now,
            sendings: 0,
            turn: 0,
            is_first: true,
            spool_end,
        });
        number
    }

    /// Removes what is done from the front; returns the position after it, if it has one.
    pub fn take_done(&mut self) -> Option<Position> {
        let mut end = None;
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.state == DeliveryState::Done)
        {
            if let Some(entry) = self.entries.pop_front() {
                self.first += 1;
                end = entry.spool_end.or(end);
            }
        }
        end
    }

    /// The first one that is confirmed or trusted.
    pub fn first_kept(&mut self) -> Option<u64> {
        while let Some(&number) = self.kept.front() {
            if let Some(DeliveryState::Confirmed | DeliveryState::Trusted) = self.state(number) {
                return Some(number);
            }
            self.kept.pop_front();
        }
        None
    }

    /// Whether the one that was confirmed or trusted last is trusted.
    pub fn has_trusted(&self) -> bool {
        let last = self.kept.back().and_then(|number| self.state(*number));
        last == Some(DeliveryState::Trusted)
    }

    /// The first one whose echo would not be recognised.
    pub fn first_unrecognised(&mut self) -> Option<u64> {
        while let Some(&number) = self.unrecognised.front() {
            if self.state(number) == Some(DeliveryState::Unrecognised) {
                return Some(number);
            }
            self.unrecognised.pop_front();
        }
        None
    }

    /// Whether the echo of any may not be recognised.
    pub fn has_unrecognised(&self) -> bool {
        !self.unrecognised.is_empty()
    }

    /// The first one in doubt.
    pub fn first_doubt(&mut self) -> Option<u64> {
        while let Some(&number) = self.doubts.front() {
            if self.state(number) == Some(DeliveryState::Doubt) {
                return Some(number);
            }
            self.doubts.pop_front();
        }
        None
    }

    /// Those in doubt are sent in the order of their first sending.
    pub fn sort_doubts(&mut self) {
        self.doubts.make_contiguous().sort_unstable();
        let mut last = None;
        self.doubts
            .retain(|number| last.replace(*number) != Some(*number));
    }

    /// The first one that awaits this echo. It awaits none after that.
    pub fn take_awaited(&mut self, key: Key) -> Option<u64> {
        let numbers = self.awaited.get_mut(&key)?;
        let number = numbers.pop_front();
        if numbers.is_empty() {
            self.awaited.remove(&key);
        }
        number.filter(|number| self.get(*number).is_some())
    }

    /// Awaits its echo, if it does not already.
    pub fn await_echo_of(&mut self, number: u64) {
        if let Some(key) = self.get(number).and_then(|entry| entry.key) {
            let numbers = self.awaited.entry(key).or_default();
            if !numbers.contains(&number) {
                numbers.push_back(number);
            }
        }
    }

    /// Stops waiting for its echo: the next one with its key belongs to another.
    pub fn stop_awaiting(&mut self, number: u64) {
        let Some(key) = self.get(number).and_then(|entry| entry.key) else {
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
    pub fn change(&mut self, number: u64, state: DeliveryState, now: Instant) {
        let Some(entry) = self.get_mut(number) else {
            return;
        };
        let bytes = entry.frame.len();
        let former = std::mem::replace(&mut entry.state, state);
        entry.at = now;
        if state == DeliveryState::Done {
            entry.frame = Frame::new();
        }
        match former {
            DeliveryState::Sent => {
                (self.sent, self.open_bytes) = (self.sent - 1, self.open_bytes - bytes)
            }
            DeliveryState::Doubt => {
                (self.doubted, self.open_bytes) = (self.doubted - 1, self.open_bytes - bytes);
            }
            DeliveryState::Trusted | DeliveryState::Unrecognised | DeliveryState::Confirmed => {
                self.kept_bytes -= bytes
            }
            DeliveryState::Done => {}
        }
        match state {
            DeliveryState::Sent => {
                (self.sent, self.open_bytes) = (self.sent + 1, self.open_bytes + bytes)
            }
            DeliveryState::Doubt => {
                (self.doubted, self.open_bytes) = (self.doubted + 1, self.open_bytes + bytes);
                self.doubts.push_back(number);
            }
            DeliveryState::Trusted | DeliveryState::Confirmed => {
                self.kept_bytes += bytes;
                self.kept.push_back(number);
            }
            DeliveryState::Unrecognised => {
                self.kept_bytes += bytes;
                self.unrecognised.push_back(number);
            }
            DeliveryState::Done => {}
        }
    }

    /// The one with this number, unless it was removed.
    pub fn get(&self, number: u64) -> Option<&FlightEntry> {
        self.entries.get(self.place(number)?)
    }

    /// The same, to change anything but its state.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut FlightEntry> {
        let place = self.place(number)?;
        self.entries.get_mut(place)
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    fn state(&self, number: u64) -> Option<DeliveryState> {
        self.get(number).map(|entry| entry.state)
    }
}

/// For numbers that the queue gave, before anything else is removed.
impl Index<u64> for FlightQueue {
    type Output = FlightEntry;

    fn index(&self, number: u64) -> &FlightEntry {
        self.get(number).expect("it has not been removed")
    }
}

impl IndexMut<u64> for FlightQueue {
    fn index_mut(&mut self, number: u64) -> &mut FlightEntry {
        self.get_mut(number).expect("it has not been removed")
    }
}

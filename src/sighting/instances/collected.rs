//! Collects the events that match parts of one indicator, in a run that ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use super::Observed;
use crate::indicator::Sequence;
use crate::matching::sequence::Time;
use crate::matching::sequence::track::Track;

/// The most memory for the events of one indicator, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// The most memory for the events of all indicators.
const MOST_BYTES_OF_ALL: usize = 1 << 30;

/// The memory that is shared by the indicators of a run.
#[derive(Clone, Debug)]
pub struct Room {
    used: Arc<AtomicUsize>,
    most: usize,
    most_of_all: usize,
}

impl Default for Room {
    fn default() -> Self {
        Room::new(MOST_BYTES, MOST_BYTES_OF_ALL)
    }
}

impl Room {
    /// Sets the limits in bytes: for one indicator, and for all.
    pub fn new(most: usize, most_of_all: usize) -> Self {
        Room {
            used: Arc::default(),
            most,
            most_of_all,
        }
    }
}

/// Why an indicator is not matched completely.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Incomplete {
    /// Its events take too much memory.
    #[error(
        "the events that parts of its pattern match need more memory than they may use (64 MiB for \
         each indicator, 1 GiB for all)"
    )]
    Memory,
    /// Its events take too much memory, and the oldest cannot be dropped, since events do
    /// not arrive in order of time.
    #[error("{}, and come in no order of time", Incomplete::Memory)]
    Disorder,
    /// There are too many ways to join its events.
    #[error("there are too many ways to join the events that its parts match")]
    TooMany,
}

/// The order in which events arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalOrder {
    /// Roughly by time. If the pattern has a `WITHIN`, the oldest events can be dropped.
    Time,
    /// Any order. All events are kept to the end.
    Any,
}

/// The collected events of one indicator.
#[derive(Debug)]
pub struct Collected {
    sequence: Arc<Sequence>,
    room: Room,
    order: ArrivalOrder,
    held: Mutex<CollectedEvents>,
}

#[derive(Debug)]
struct CollectedEvents {
    /// The processed events, in order of time.
    track: Track<Observed>,
    /// Events that are not processed yet.
    pending: Vec<(Observed, Box<[u16]>)>,
    bytes: usize,
    /// Events before this time are processed, and may be dropped.
    settled: Time,
    incomplete: Option<Incomplete>,
}

impl Collected {
    /// Starts without events.
    pub fn new(sequence: Arc<Sequence>, room: Room, order: ArrivalOrder) -> Self {
        let held = CollectedEvents {
            track: Track::new(sequence.shape.clone()),
            pending: Vec::new(),
            bytes: 0,
            settled: Time::MIN,
            incomplete: None,
        };
        Collected {
            sequence,
            room,
            order,
            held: Mutex::new(held),
        }
    }

    /// Adds an event that matches these parts. If memory is full, reports the instances in
    /// the older half of the events, and drops the events that `WITHIN` no longer needs.
    pub fn add(&self, observed: Observed, parts: &[u16], show: &mut impl FnMut(&[Observed])) {
        let mut held = self.held();
        if held.incomplete.is_some() {
            return;
        }
        if observed.nanoseconds() < held.settled {
            return self.fail(&mut held, Incomplete::Disorder);
        }
        let size = observed.size();
        held.bytes += size;
        held.pending.push((observed, parts.into()));
        let used = self.room.used.fetch_add(size, Ordering::Relaxed) + size;
        if held.bytes > self.room.most || used > self.room.most_of_all {
            self.make_room(&mut held, show);
        }
    }

    /// Reports the remaining instances.
    ///
    /// # Errors
    /// The indicator was not matched completely.
    pub fn finish(&self, show: &mut impl FnMut(&[Observed])) -> Result<(), Incomplete> {
        let mut held = self.held();
        if held.incomplete.is_none() {
            held.sort();
            let looked = held.track.endings(0, &mut |instance| show(&instance));
            if looked.is_err() {
                self.fail(&mut held, Incomplete::TooMany);
            }
        }
        held.incomplete.map_or(Ok(()), Err)
    }

    /// Stops matching this indicator, for this reason.
    pub fn give_up(&self, why: Incomplete) {
        self.fail(&mut self.held(), why);
    }

    fn held(&self) -> MutexGuard<'_, CollectedEvents> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, held: &mut CollectedEvents, why: Incomplete) {
        held.incomplete = Some(why);
        held.pending = Vec::new();
        held.track = Track::new(self.sequence.shape.clone());
        self.free(held, held.bytes);
    }

    fn free(&self, held: &mut CollectedEvents, bytes: usize) {
        held.bytes -= bytes;
        self.room.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn make_room(&self, held: &mut CollectedEvents, show: &mut impl FnMut(&[Observed])) {
        let span = held
            .track
            .span()
            .filter(|_| self.order == ArrivalOrder::Time);
        let Some(span) = span else {
            return self.fail(held, Incomplete::Memory);
        };
        held.sort();
        let middle = held.track.len() / 2;
        let border = held.track.each().nth(middle).map(|(time, ..)| time);
        let border = border.unwrap_or(Time::MIN);
        let before = held.bytes;
        let looked = held
            .track
            .endings_before(border, &mut |instance| show(&instance));
        if looked.is_err() {
            return self.fail(held, Incomplete::TooMany);
        }
        held.settled = border;
        let mut freed = 0;
        held.track
            .forget_before(border.saturating_sub(span), &mut |one: Observed| {
                freed += one.size();
            });
        self.free(held, freed);
        // If almost nothing can be dropped, every further event would repeat this.
        if freed < before / 8 {
            self.fail(held, Incomplete::Memory);
        }
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        let bytes = self.held().bytes;
        self.room.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl CollectedEvents {
    /// Moves pending events to the track, in order of time.
    fn sort(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        let time = |one: &Observed| one.nanoseconds();
        pending.sort_by(|(one, _), (other, _)| (time(one), one).cmp(&(time(other), other)));
        let same = pending.chunk_by(|(one, _), (other, _)| one == other);
        let merged = same.flat_map(|same| {
            let parts = merged(same.iter().map(|(_, parts)| &**parts));
            let events = same.iter().zip(parts);
            events.map(|((one, _), parts)| (time(one), parts, one.clone()))
        });
        self.track.insert_all(merged.collect());
    }
}

/// The parts matched by each of several equal events. Each event was added either once with
/// all its parts, or once for each part.
fn merged<'a>(all: impl Iterator<Item = &'a [u16]>) -> Vec<Box<[u16]>> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for part in all.flatten() {
        *counts.entry(*part).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let parts = (0..most).map(|number| {
        let has = counts.iter().filter(|(_, count)| **count > number);
        has.map(|(part, _)| *part).collect()
    });
    parts.collect()
}

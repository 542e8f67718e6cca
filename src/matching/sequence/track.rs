//! The events of one pattern: their order, the events that end an instance, and the
//! events that can be dropped.

use std::ops::Range;
use std::sync::Arc;

use super::Time;
use super::search::{Events, TooMany, ending_at};
use super::shape::Shape;

/// The events that satisfy parts of one pattern.
///
/// They are ordered by time, then by their own order (which must not depend on when they
/// arrive), then by arrival.
#[derive(Clone, Debug)]
pub struct Track<E> {
    shape: Arc<Shape>,
    events: Events,
    kept: Vec<TrackedEvent<E>>,
    /// The position of the first event that was not dropped.
    start: usize,
}

#[derive(Clone, Debug)]
struct TrackedEvent<E> {
    /// Whether it has ended an instance.
    has_ended: bool,
    /// `None` once it is dropped.
    event: Option<E>,
}

/// The events of an instance, in order.
pub type Instance<E> = Vec<E>;

impl<E: Clone + Ord> Track<E> {
    /// Makes a track without events.
    pub fn new(shape: Arc<Shape>) -> Self {
        Track {
            events: Events::new(shape.parts()),
            shape,
            kept: Vec::new(),
            start: 0,
        }
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.kept.len() - self.start
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The longest span of an instance, if it is bounded.
    pub fn span(&self) -> Option<Time> {
        self.shape.span()
    }

    /// The time of the first event.
    pub fn oldest(&self) -> Option<Time> {
        (!self.is_empty()).then(|| self.events.time(self.start))
    }

    /// The first event and its time.
    pub fn first(&self) -> Option<(Time, &E)> {
        let event = self.kept.get(self.start)?.event.as_ref()?;
        Some((self.events.time(self.start), event))
    }

    /// The time of the last event.
    pub fn newest(&self) -> Option<Time> {
        (!self.is_empty()).then(|| self.events.time(self.kept.len() - 1))
    }

    /// Adds an event that satisfies these parts (at least one), and returns its number.
    pub fn insert(&mut self, time: Time, parts: &[u16], event: E) -> usize {
        let is_before = |at: usize| {
            let known = (self.events.time(at), self.kept[at].event.as_ref());
            known <= (time, Some(&event))
        };
        let mut at = self.kept.len();
        // New events are usually the latest.
        if at > self.start && !is_before(at - 1) {
            let (mut low, mut high) = (self.start, at);
            while low < high {
                let middle = low.midpoint(high);
                if is_before(middle) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            at = low;
        }
        self.events.insert(at, time, parts.into());
        let kept = TrackedEvent {
            has_ended: false,
            event: Some(event),
        };
        self.kept.insert(at, kept);
        at
    }

    /// Marks an event as one that has ended an instance.
    pub fn mark_ended(&mut self, number: usize) {
        self.kept[number].has_ended = true;
    }

    /// Adds many events, in any order.
    pub fn insert_all(&mut self, new: Vec<(Time, Box<[u16]>, E)>) {
        let (known, start) = (
            std::mem::take(&mut self.kept),
            std::mem::take(&mut self.start),
        );
        let events = std::mem::replace(&mut self.events, Events::new(self.shape.parts()));
        let known = known.into_iter().enumerate().skip(start);
        let mut all: Vec<(Time, Box<[u16]>, TrackedEvent<E>)> = known
            .map(|(at, kept)| (events.time(at), events.parts(at).into(), kept))
            .collect();
        all.extend(new.into_iter().map(|(time, parts, event)| {
            let kept = TrackedEvent {
                has_ended: false,
                event: Some(event),
            };
            (time, parts, kept)
        }));
        // Equal events keep the order of their arrival.
        all.sort_by(|(time, _, kept), (other, _, beside)| {
            (time, &kept.event).cmp(&(other, &beside.event))
        });
        for (at, (time, parts, kept)) in all.into_iter().enumerate() {
            self.events.insert(at, time, parts);
            self.kept.push(kept);
        }
    }

    /// The instances that end with this event, or with a later one that has not ended one
    /// yet: one for each such event, in order.
    ///
    /// # Errors
    /// There are too many ways to examine for an event. It is marked as having ended an
    /// instance, and the events after it are not examined.
    pub fn endings(
        &mut self,
        from: usize,
        show: &mut impl FnMut(Instance<E>),
    ) -> Result<(), TooMany> {
        self.endings_of(from.max(self.start)..self.kept.len(), show)
    }

    fn endings_of(
        &mut self,
        range: Range<usize>,
        show: &mut impl FnMut(Instance<E>),
    ) -> Result<(), TooMany> {
        for last in range {
            if self.kept[last].has_ended {
                continue;
            }
            let found = ending_at(&self.shape, &self.events, last, self.start);
            self.kept[last].has_ended = !matches!(found, Ok(None));
            if let Some(numbers) = found? {
                let events = numbers.iter().map(|&number| &self.kept[number].event);
                show(events.flatten().cloned().collect());
            }
        }
        Ok(())
    }

    /// The same for all events that happened before this time.
    ///
    /// # Errors
    /// The same as for [`Track::endings`].
    pub fn endings_before(
        &mut self,
        time: Time,
        show: &mut impl FnMut(Instance<E>),
    ) -> Result<(), TooMany> {
        let end = (self.start..self.kept.len()).find(|&at| self.events.time(at) >= time);
        self.endings_of(self.start..end.unwrap_or(self.kept.len()), show)
    }

    /// Drops the events before this time and shows them.
    pub fn forget_before(&mut self, time: Time, show: &mut impl FnMut(E)) {
        while self.oldest().is_some_and(|oldest| oldest < time) {
            self.forget_oldest().into_iter().for_each(&mut *show);
        }
    }

    /// Drops the first event, if there is one.
    pub fn forget_oldest(&mut self) -> Option<E> {
        if self.is_empty() {
            return None;
        }
        let event = self.kept[self.start].event.take();
        self.start += 1;
        if self.start > self.kept.len() / 2 {
            self.events.forget(self.start);
            self.kept.drain(..self.start);
            self.start = 0;
        }
        event
    }

    /// All events in order: the time, the parts, and whether it has ended an instance.
    pub fn each(&self) -> impl Iterator<Item = (Time, &[u16], bool, &E)> {
        let kept = self.kept.iter().enumerate().skip(self.start);
        kept.filter_map(|(number, kept)| {
            let (time, parts) = (self.events.time(number), self.events.parts(number));
            let event = kept.event.as_ref()?;
            Some((time, parts, kept.has_ended, event))
        })
    }
}

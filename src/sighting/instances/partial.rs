//! The events that match parts of indicators of several events, in live matching and with
//! `--follow`. Each is stored until it completes an instance or is too old for one.
//!
//! An event that waits for others is a partial instance. Limits apply to all of them
//! together, since whoever can create events could create any number of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Observed;
use crate::indicator::Sequence;
use crate::matching::sequence::Time;
use crate::matching::sequence::track::Track;
use crate::state::waiting::Saved;

/// The most partial instances.
const MOST_INSTANCES: usize = 10_000;

/// The most memory for them, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// How long an event is stored after its arrival, no matter when it happened: other logs
/// may be read more slowly.
const ARRIVAL_GRACE: Time = 60 * 1_000_000_000;

/// The limits of partial instances.
#[derive(Clone, Copy, Debug)]
pub struct InstanceBounds {
    /// How long an event waits if the pattern has no `WITHIN`.
    pub memory: Duration,
    /// The most partial instances.
    pub most: usize,
    /// The most memory for them, in bytes.
    pub most_bytes: usize,
}

impl InstanceBounds {
    /// The default limits, with this time to wait.
    pub fn waiting(memory: Duration) -> Self {
        InstanceBounds {
            memory,
            most: MOST_INSTANCES,
            most_bytes: MOST_BYTES,
        }
    }
}

/// An instance: its events in order.
pub type Instance = Vec<Observed>;

/// The result of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EventOutcome {
    /// The instances that it completes, including those that end with a later event.
    pub instances: Vec<Instance>,
    /// The number of partial instances that were dropped for lack of room.
    pub dropped: u64,
    /// Whether there are too many ways to join it with others.
    pub is_too_much: bool,
}

/// The partial instances of all indicators.
#[derive(Debug)]
pub struct Partial {
    bounds: InstanceBounds,
    by_id: HashMap<Arc<str>, Tracked>,
    /// The time of the first event of each indicator, in order.
    by_oldest: BTreeSet<(Time, Arc<str>)>,
    count: usize,
    bytes: usize,
    /// The time of the newest event, at most the time of its arrival.
    newest: Time,
    /// Whether the events of a gap are still expected. Until then, nothing is too old.
    is_held: bool,
    /// Events of an earlier run, whose indicators have not matched in this run yet.
    left_over: HashMap<String, Vec<Saved>>,
    /// Counts the changes.
    version: u64,
}

#[derive(Debug)]
struct Tracked {
    /// The pattern. It is dropped with its indicator.
    sequence: Weak<Sequence>,
    /// The pattern in words, which identifies it in the next run.
    target: Arc<str>,
    track: Track<Observed>,
    bytes: usize,
}

impl Partial {
    /// Starts without events.
    pub fn new(bounds: InstanceBounds) -> Self {
        Partial {
            bounds,
            by_id: HashMap::new(),
            by_oldest: BTreeSet::new(),
            count: 0,
            bytes: 0,
            newest: Time::MIN,
            is_held: false,
            left_over: HashMap::new(),
            version: 0,
        }
    }

    /// Adds the events of an earlier run.
    pub fn take_up(&mut self, left_over: Vec<Saved>) {
        for one in left_over {
            self.left_over.entry(one.id.clone()).or_default().push(one);
        }
    }

    /// A number that changes with every event.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All waiting events, as they are stored.
    pub fn saved(&self, now: Time) -> Vec<Saved> {
        let memory = i64::try_from(self.bounds.memory.as_secs()).unwrap_or(i64::MAX);
        let is_young = |one: &&Saved| seconds(now).saturating_sub(one.arrived) <= memory;
        let left_over = self.left_over.values().flatten().filter(is_young).cloned();
        // At the end of a run the indicators are dropped before this is saved.
        let tracked = self.by_id.iter().flat_map(|(id, tracked)| {
            let each = tracked.track.each();
            each.map(move |(_, parts, has_ended, one)| Saved {
                id: id.to_string(),
                target: tracked.target.to_string(),
                parts: parts.to_vec(),
                has_ended,
                arrived: seconds(one.arrived),
                source: one.source.to_string(),
                event: one.event.to_string(),
            })
        });
        left_over.chain(tracked).collect()
    }

    /// The number of partial instances.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no partial instances.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their approximate memory in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets whether the events of a gap are still expected. Until then, nothing is too old.
    pub fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Adds an event that matches these parts of the indicator with this id.
    pub fn meet(
        &mut self,
        id: &Arc<str>,
        sequence: &Arc<Sequence>,
        parts: &[u16],
        observed: Observed,
        now: Time,
    ) -> EventOutcome {
        self.newest = self.newest.max(observed.nanoseconds().min(now));
        let known = self.take_out(id).filter(|known| known.is_of(sequence));
        let mut tracked = known.unwrap_or_else(|| self.begin(id, sequence));
        self.version += 1;
        self.expire(&mut tracked, now);
        tracked.bytes += observed.size();
        let at = tracked
            .track
            .insert(observed.nanoseconds(), parts, observed);
        let mut met = EventOutcome::default();
        let looked = tracked
            .track
            .endings(at, &mut |instance| met.instances.push(instance));
        met.is_too_much = looked.is_err();
        self.put_back(id.clone(), tracked);
        met.dropped = self.make_room(now);
        met
    }

    /// Starts tracking an indicator, with its events of an earlier run.
    fn begin(&mut self, id: &str, sequence: &Arc<Sequence>) -> Tracked {
        let target = sequence.target();
        let mut tracked = Tracked {
            sequence: Arc::downgrade(sequence),
            target: target.clone(),
            track: Track::new(sequence.shape.clone()),
            bytes: 0,
        };
        let left_over = self.left_over.remove(id).into_iter().flatten();
        for one in left_over.filter(|one| *one.target == *target) {
            let Some(observed) = Observed::new(&one.event, &one.source.into()) else {
                continue;
            };
            let observed = Observed {
                arrived: Time::from(one.arrived) * 1_000_000_000,
                ..observed
            };
            tracked.bytes += observed.size();
            let at = tracked
                .track
                .insert(observed.nanoseconds(), &one.parts, observed);
            if one.has_ended {
                tracked.track.mark_ended(at);
            }
        }
        tracked
    }

    /// Removes an indicator with its events, and subtracts them from the counts.
    fn take_out(&mut self, id: &str) -> Option<Tracked> {
        let (id, tracked) = self.by_id.remove_entry(id)?;
        self.count -= tracked.track.len();
        self.bytes -= tracked.bytes;
        if let Some(oldest) = tracked.track.oldest() {
            self.by_oldest.remove(&(oldest, id));
        }
        Some(tracked)
    }

    fn put_back(&mut self, id: Arc<str>, tracked: Tracked) {
        let Some(oldest) = tracked.track.oldest() else {
            return;
        };
        self.count += tracked.track.len();
        self.bytes += tracked.bytes;
        self.by_oldest.insert((oldest, id.clone()));
        self.by_id.insert(id, tracked);
    }

    /// Drops the events that are too old for an instance.
    fn expire(&self, tracked: &mut Tracked, now: Time) {
        if self.is_held {
            return;
        }
        let memory = Time::try_from(self.bounds.memory.as_nanos()).unwrap_or(Time::MAX);
        let longest = tracked.track.span().unwrap_or(memory);
        let border = self.newest.saturating_sub(longest);
        let is_old = |time: Time, one: &Observed| {
            time < border && one.arrived.saturating_add(ARRIVAL_GRACE) < now
        };
        let track = &mut tracked.track;
        while track.first().is_some_and(|(time, one)| is_old(time, one)) {
            tracked.bytes -= track.forget_oldest().map_or(0, |one| one.size());
        }
    }

    /// Drops events that are too old or have no indicator any more. If that is not enough,
    /// drops the oldest; returns the number of these.
    fn make_room(&mut self, now: Time) -> u64 {
        if !self.is_full() {
            return 0;
        }
        self.tidy(now);
        let mut dropped = 0;
        while self.is_full() {
            let Some((_, id)) = self.by_oldest.first().cloned() else {
                break;
            };
            let mut tracked = self.take_out(&id).expect("what is listed is there");
            tracked.bytes -= tracked.track.forget_oldest().map_or(0, |one| one.size());
            dropped += 1;
            self.put_back(id, tracked);
        }
        dropped
    }

    fn is_full(&self) -> bool {
        self.count > self.bounds.most || self.bytes > self.bounds.most_bytes
    }

    /// Drops events that are too old or have no indicator any more.
    pub fn tidy(&mut self, now: Time) {
        let ids: Vec<Arc<str>> = self.by_id.keys().cloned().collect();
        for id in ids {
            let Some(mut tracked) = self.take_out(&id) else {
                continue;
            };
            if tracked.sequence.strong_count() > 0 {
                self.expire(&mut tracked, now);
                self.put_back(id, tracked);
            }
        }
    }
}

/// Seconds since 1970.
fn seconds(time: Time) -> i64 {
    i64::try_from(time / 1_000_000_000).unwrap_or(i64::MAX)
}

impl Tracked {
    /// Whether it belongs to exactly this version of the indicator.
    fn is_of(&self, sequence: &Arc<Sequence>) -> bool {
        self.sequence.ptr_eq(&Arc::downgrade(sequence))
    }
}

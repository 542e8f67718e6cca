//! Finds the first instance that ends with an event.
//!
//! Events are tried from the earliest on. For each event taken, all the ways to use it
//! are kept as [`PartialInstance`]s, so that the first instance is found whatever observations its
//! events are bound to. Dead ends are left at once, and failed states are not tried
//! again.

use std::collections::HashMap;

use super::Time;
use super::shape::{Lists, PartialInstance, Shape};

/// The most ways examined for one event. An attacker who can write patterns, and events
/// for them, could make the search endless; a normal pattern needs a few for each of its
/// events.
const MOST_WAYS: usize = 200_000;

/// There are too many ways to join the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The events in their order.
#[derive(Clone, Debug, Default)]
pub struct Events {
    times: Vec<Time>,
    parts: Vec<Box<[u16]>>,
    /// The numbers of the events of each part.
    lists: Vec<Vec<usize>>,
}

impl Events {
    /// Makes an empty list for a pattern with this many parts.
    pub fn new(parts: usize) -> Self {
        Events {
            times: Vec::new(),
            parts: Vec::new(),
            lists: vec![Vec::new(); parts],
        }
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// When an event happened.
    pub fn time(&self, number: usize) -> Time {
        self.times[number]
    }

    /// The parts of the pattern that an event satisfies.
    pub fn parts(&self, number: usize) -> &[u16] {
        &self.parts[number]
    }

    /// Inserts an event at this position.
    pub fn insert(&mut self, at: usize, time: Time, parts: Box<[u16]>) {
        let is_newest = at == self.len();
        self.times.insert(at, time);
        if is_newest {
            self.list_one(at, &parts);
        }
        self.parts.insert(at, parts);
        if !is_newest {
            self.list();
        }
    }

    /// Drops this many events from the front.
    pub fn forget(&mut self, count: usize) {
        self.times.drain(..count);
        self.parts.drain(..count);
        self.list();
    }

    fn list(&mut self) {
        self.lists.iter_mut().for_each(Vec::clear);
        let all = std::mem::take(&mut self.parts);
        for (number, parts) in all.iter().enumerate() {
            self.list_one(number, parts);
        }
        self.parts = all;
    }

    fn list_one(&mut self, number: usize, parts: &[u16]) {
        for part in parts {
            // A part that the expression does not name is never needed.
            if let Some(list) = self.lists.get_mut(usize::from(*part)) {
                list.push(number);
            }
        }
    }

    /// Only these events.
    fn only(&self, numbers: &[usize]) -> Self {
        let mut events = Events::new(self.lists.len());
        for (at, &number) in numbers.iter().enumerate() {
            events.insert(at, self.times[number], self.parts[number].clone());
        }
        events
    }
}

/// The events before the last one of an instance, from a start on.
struct Before<'a> {
    events: &'a Events,
    start: usize,
    last: usize,
}

impl Before<'_> {
    /// The events of a part within a time span, as a range of the part's list.
    fn range(&self, part: u16, behind: Option<usize>, (from, until): (Time, Time)) -> &[usize] {
        let list = &self.events.lists[usize::from(part)];
        let least = behind.map_or(self.start, |behind| behind + 1);
        let time = |number: usize| self.events.times[number];
        let start = list.partition_point(|&number| number < least || time(number) < from);
        let end = list.partition_point(|&number| number < self.last && time(number) <= until);
        list.get(start..end).unwrap_or_default()
    }
}

impl Lists for Before<'_> {
    fn len(&self, behind: Option<usize>) -> usize {
        let least = behind.map_or(self.start, |behind| behind + 1);
        self.last.saturating_sub(least)
    }

    fn count(&self, part: u16, behind: Option<usize>, span: (Time, Time)) -> usize {
        self.range(part, behind, span).len()
    }

    fn first(&self, part: u16, behind: Option<usize>, span: (Time, Time)) -> Option<usize> {
        self.range(part, behind, span).first().copied()
    }
}

/// The first instance that ends with this event and has no event before `start`: the
/// numbers of its events in order. Instances are compared by their other events, from the
/// earliest on. Events that the found instance does not need are removed, the latest
/// first.
///
/// # Errors
/// There are too many ways to examine.
pub fn ending_at(
    shape: &Shape,
    events: &Events,
    last: usize,
    start: usize,
) -> Result<Option<Vec<usize>>, TooMany> {
    let Some(mut found) = first(shape, events, last, start)? else {
        return Ok(None);
    };
    while shape.has_choice() && found.len() > 1 {
        let Some(smaller) = smaller(shape, events, &found)? else {
            break;
        };
        found = smaller;
    }
    Ok(Some(found))
}

/// An instance with the same end but without the latest event that is not needed, if
/// there is one.
fn smaller(shape: &Shape, events: &Events, found: &[usize]) -> Result<Option<Vec<usize>>, TooMany> {
    for without in (0..found.len() - 1).rev() {
        let mut rest = found.to_vec();
        rest.remove(without);
        let some = first(shape, &events.only(&rest), rest.len() - 1, 0)?;
        if let Some(some) = some {
            return Ok(Some(some.into_iter().map(|at| rest[at]).collect()));
        }
    }
    Ok(None)
}

/// An event that was taken, and the states after it.
struct SearchLevel {
    states: Vec<PartialInstance>,
    /// The event.
    taken: Option<usize>,
    /// The last event tried after it.
    tried: Option<usize>,
}

fn first(
    shape: &Shape,
    events: &Events,
    last: usize,
    start: usize,
) -> Result<Option<Vec<usize>>, TooMany> {
    let end = events.times[last];
    let before = Before {
        events,
        start,
        last,
    };
    let states = sorted(shape.ended_by(&events.parts[last]));
    if states.iter().any(|state| shape.is_complete(state)) {
        return Ok(Some(vec![last]));
    }
    let mut levels = vec![SearchLevel {
        states,
        taken: None,
        tried: None,
    }];
    // States that fail, each with the position from which on it does.
    let mut failed: HashMap<Vec<PartialInstance>, Option<usize>> = HashMap::new();
    let mut ways = 0;
    while let Some(level) = levels.last_mut() {
        let from = level.tried;
        ways += level.states.len();
        if ways > MOST_WAYS {
            return Err(TooMany);
        }
        let is_possible = |state: &PartialInstance, from: Option<usize>| {
            shape.may_complete(state, &before, from, end)
        };
        let is_open = level.states.iter().any(|state| is_possible(state, from));
        let next = is_open.then(|| shape.next(&level.states, &before, from, end));
        let Some(next) = next.flatten() else {
            let level = levels.pop().expect("it was there");
            if !levels.is_empty() {
                failed.insert(level.states, level.taken);
            }
            continue;
        };
        level.tried = Some(next);
        let (parts, time) = (&events.parts[next], events.times[next]);
        let after = level.states.iter();
        let after = after.flat_map(|state| shape.after(state, parts, time, end));
        let states = sorted(after.collect());
        ways += states.len();
        if states.iter().any(|state| shape.is_complete(state)) {
            let taken = levels.iter().filter_map(|level| level.taken);
            return Ok(Some(taken.chain([next, last]).collect()));
        }
        let mut states = states;
        states.retain(|state| is_possible(state, Some(next)));
        let has_failed = failed
            .get(&states)
            .is_some_and(|behind| *behind <= Some(next));
        if !states.is_empty() && !has_failed {
            levels.push(SearchLevel {
                states,
                taken: Some(next),
                tried: Some(next),
            });
        }
    }
    Ok(None)
}

/// Each way once, in one order.
fn sorted(mut states: Vec<PartialInstance>) -> Vec<PartialInstance> {
    states.sort_unstable();
    states.dedup();
    states
}

//! The life cycle of an indicator, shared by all three ways of matching. A state machine
//! without a thread, a clock or a disk: the caller supplies what happened, the time, and the
//! table of what is searched.
//!
//! | | comes, valid | comes, not yet valid | comes, expired or revoked | withdrawn | its time begins | its time is over |
//! |---|---|---|---|---|---|---|
//! | *unknown* | searched | not yet valid | unknown | unknown | | |
//! | *not yet valid* | searched | not yet valid, as it is now | unknown | unknown | searched | unknown |
//! | *searched* | searched, as it is now | not yet valid | unknown | unknown | | unknown |
//!
//! An indicator that the table refuses, or for which there is no room, in the table or among
//! those not yet valid, becomes *unknown*. What came last under an id counts, also where nothing marks it as an edit. A
//! ticket of the journal belongs to its indicator: it is dropped, and so finished, wherever that
//! becomes unknown.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

use super::id::ShortId;
use super::not_yet_valid::NotYetValid;
use crate::indicator::{Indicator, ValidityState};
use crate::state::journal::Ticket;

/// The longest sleep until something is due, since the system clock may be set in the
/// meantime.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The end of an indicator's validity: tenths of a second since the program started, rounded
/// up, plus one, so that an `Option` of it has 4 bytes too. The largest is 13 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(NonZeroU32);

const TICKS_A_SECOND: u32 = 10;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// An indicator arrived, with its entry in the journal if it has one.
    Came(Arc<Indicator>, Option<Ticket>),
    /// The indicator with this id is withdrawn.
    Withdrawn(Arc<str>),
    /// Time has passed.
    Time,
}

/// The results, each with the id of the indicator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// It is searched, and replaces its earlier version if there is one.
    Searched(Arc<str>),
    /// It was searched in the same way already.
    Repeated(Arc<str>),
    /// It will be searched when its time comes.
    NotYetValid(Arc<str>),
    /// It is not valid now, and is not searched.
    Inactive(Arc<str>, ValidityState),
    /// It was searched, or was to be, and is withdrawn.
    Withdrawn(Arc<str>),
    /// It was searched, and has expired.
    Expired(Arc<str>),
    /// It is not searched, since there is no room for it.
    Dropped(Arc<str>, NoRoom),
    /// It is not searched; the table has logged why.
    Refused(Arc<str>),
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The memory for indicators.
    Memory,
    /// The number of indicators without a value, which are checked against every event.
    Checks,
    /// The number or the memory of those that are not yet valid.
    NotYetValid,
}

/// The result of adding an indicator to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is searched from now on.
    Added,
    /// It was present with the same values. It has the new end.
    Repeated,
    /// There is no room for it.
    Full(NoRoom),
    /// It cannot be searched here; the table has logged why.
    Refused,
}

/// The indicators that a matcher searches.
pub trait Table {
    /// Adds an indicator until its end, replacing the one with the same id. A table that
    /// does not need the ticket drops it.
    fn put(
        &mut self,
        indicator: Arc<Indicator>,
        ticket: Option<Ticket>,
        end: Option<Expiry>,
    ) -> PutOutcome;

    /// Removes the indicator with this id; returns whether it was present.
    fn remove(&mut self, id: &str) -> bool;

    /// When the indicator with this id ends, if it is present and has an end.
    fn expiry_of(&self, id: &str) -> Option<Expiry>;

    /// The approximate number of indicators.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The state of all indicators, except for the table of those that are searched.
#[derive(Debug)]
pub struct Life {
    start: SystemTime,
    not_yet_valid: NotYetValid,
    /// When searched indicators end. Some of these are outdated: the indicator was
    /// removed or has another end by now, which the table tells.
    ends: BinaryHeap<Reverse<(Expiry, StoredId)>>,
}

/// An id in as little memory as possible.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StoredId {
    Short(ShortId),
    Long(Arc<str>),
}

impl StoredId {
    fn of(id: &Arc<str>) -> Self {
        ShortId::of(id).map_or_else(|| StoredId::Long(id.clone()), StoredId::Short)
    }

    fn text(&self) -> Arc<str> {
        match self {
            StoredId::Short(short) => short.text().expect("it was made of a text"),
            StoredId::Long(text) => text.clone(),
        }
    }
}

impl Life {
    /// Starts without indicators. Later times are stored relative to `now`.
    pub fn new(now: SystemTime) -> Self {
        Life {
            start: now,
            not_yet_valid: NotYetValid::default(),
            ends: BinaryHeap::new(),
        }
    }

    /// Processes everything that is due, and then the input; returns the results.
    pub fn step(&mut self, now: SystemTime, input: Input, table: &mut impl Table) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.expire(now, table, &mut outputs);
        while let Some((indicator, ticket)) = self.not_yet_valid.take_due(now) {
            outputs.push(self.place_by_validity(now, indicator, ticket, table));
        }
        match input {
            Input::Came(indicator, ticket) => {
                self.not_yet_valid.remove(&indicator.id);
                outputs.push(self.place_by_validity(now, indicator, ticket, table));
            }
            Input::Withdrawn(id) => {
                let waited = self.not_yet_valid.remove(&id);
                if table.remove(&id) || waited {
                    outputs.push(Output::Withdrawn(id));
                }
            }
            Input::Time => {}
        }
        outputs
    }

    /// The longest time for which nothing is due.
    pub fn sleep(&self, now: SystemTime) -> Duration {
        let end = self.ends.peek().map(|Reverse((end, _))| self.time(*end));
        let next = self.not_yet_valid.next().into_iter().chain(end).min();
        let left = |time: SystemTime| time.duration_since(now).unwrap_or_default();
        next.map_or(LONGEST_SLEEP, |time| left(time).min(LONGEST_SLEEP))
    }

    /// The number of indicators that are not valid yet.
    pub fn not_yet_valid(&self) -> usize {
        self.not_yet_valid.len()
    }

    /// Adds an indicator according to its validity.
    fn place_by_validity(
        &mut self,
        now: SystemTime,
        indicator: Arc<Indicator>,
        ticket: Option<Ticket>,
        table: &mut impl Table,
    ) -> Output {
        let id = indicator.id.clone();
        let state = indicator.validity.at(OffsetDateTime::from(now));
        let output = match state {
            ValidityState::Active => return self.start_searching(indicator, ticket, table),
            ValidityState::NotYetValid if self.not_yet_valid.put(indicator, ticket) => {
                Output::NotYetValid(id.clone())
            }
            ValidityState::NotYetValid => Output::Dropped(id.clone(), NoRoom::NotYetValid),
            state => Output::Inactive(id.clone(), state),
        };
        // Its earlier version is outdated in any case.
        table.remove(&id);
        output
    }

    fn start_searching(
        &mut self,
        indicator: Arc<Indicator>,
        ticket: Option<Ticket>,
        table: &mut impl Table,
    ) -> Output {
        let id = indicator.id.clone();
        let until = indicator.validity.until();
        let end = until.map(|until| self.expiry(until.into()));
        let put = table.put(indicator, ticket, end);
        match put {
            PutOutcome::Added | PutOutcome::Repeated => {
                if let Some(end) = end {
                    self.ends.push(Reverse((end, StoredId::of(&id))));
                    self.drop_outdated_ends(table);
                }
            }
            // Its earlier version is outdated in any case.
            PutOutcome::Full(_) | PutOutcome::Refused => {
                table.remove(&id);
            }
        }
        match put {
            PutOutcome::Added => Output::Searched(id),
            PutOutcome::Repeated => Output::Repeated(id),
            PutOutcome::Full(what) => Output::Dropped(id, what),
            PutOutcome::Refused => Output::Refused(id),
        }
    }

    fn expire(&mut self, now: SystemTime, table: &mut impl Table, outputs: &mut Vec<Output>) {
        while let Some(Reverse((end, _))) = self.ends.peek() {
            if self.time(*end) > now {
                return;
            }
            let Some(Reverse((end, id))) = self.ends.pop() else {
                return;
            };
            let id = id.text();
            if table.expiry_of(&id) == Some(end) {
                table.remove(&id);
                outputs.push(Output::Expired(id));
            }
        }
    }

    /// The ends of removed indicators would otherwise remain until they pass.
    fn drop_outdated_ends(&mut self, table: &impl Table) {
        if self.ends.len() > 2 * table.len() + 1024 {
            self.ends
                .retain(|Reverse((end, id))| table.expiry_of(&id.text()) == Some(*end));
        }
    }

    fn expiry(&self, time: SystemTime) -> Expiry {
        let since = time.duration_since(self.start).unwrap_or_default();
        let ticks = since
            .as_nanos()
            .div_ceil(u128::from(1_000_000_000 / TICKS_A_SECOND));
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        Expiry(NonZeroU32::MIN.saturating_add(ticks))
    }

    fn time(&self, end: Expiry) -> SystemTime {
        let ticks = u64::from(end.0.get() - 1);
        self.start + Duration::from_millis(ticks * u64::from(1000 / TICKS_A_SECOND))
    }
}

#[cfg(test)]
mod tests;

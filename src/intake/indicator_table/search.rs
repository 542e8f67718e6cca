//! What is read from the table: which indicators an event matches, and which values there are.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::plain::Properties;
use super::{Entry, IndicatorTable, NONE, TICKS_A_SECOND};
use crate::indicator::{Indicator, Protocol, Selection};
use crate::intake::ShortId;
use crate::matching::condition::LazyEvent;
use crate::matching::{Clarity, EventMatcher, EventScratch, ScanError, Slot};
use crate::observable::Observable;

/// What one thread needs to match events. Reused for all events.
#[derive(Debug, Default)]
pub struct TableScratch {
    /// What the matcher needs.
    pub events: EventScratch,
    /// The values that an event holds.
    pub slots: Vec<Slot>,
}

/// An indicator that an event matches, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct TableMatch<'a> {
    table: &'a IndicatorTable,
    entry: u32,
}

impl TableMatch<'_> {
    /// The indicator.
    pub fn indicator(&self) -> Arc<Indicator> {
        if let Some(whole) = self.table.whole(self.entry()) {
            return whole.indicator.clone();
        }
        let value = self.table.matcher.index().observable(self.entry().slot);
        let properties = self.table.properties_of(self.entry);
        Arc::new(Indicator {
            ioc: vec![value.to_string()],
            properties: properties.and_then(Properties::object),
            ..Indicator::new(self.id(), self.entry().protocol, vec![value])
        })
    }

    /// Its id.
    pub fn id(&self) -> Arc<str> {
        self.table.id(self.entry())
    }

    /// The protocol that it came in.
    pub fn protocol(&self) -> Protocol {
        self.entry().protocol
    }

    /// What identifies the indicator until it is removed or replaced.
    pub fn key(&self) -> ShortId {
        self.entry().id
    }

    /// The number of the part, if the indicator means several events.
    pub fn part(&self) -> Option<u16> {
        let whole = self.table.whole(self.entry())?;
        let sequence = whole.indicator.sequence.as_ref();
        sequence.map(|_| self.entry().part)
    }

    /// Since when the value is searched for the indicator.
    pub fn since(&self) -> SystemTime {
        let ticks = u64::from(self.entry().added);
        self.table.start + Duration::from_millis(ticks * u64::from(1000 / TICKS_A_SECOND))
    }

    fn entry(&self) -> &Entry {
        &self.table.entries[self.entry as usize]
    }
}

impl IndicatorTable {
    /// Reports every indicator, or part of one, that the event in `line`, of this schema, matches,
    /// each once.
    ///
    /// # Errors
    /// The line is not one JSON object.
    pub fn matches<'a>(
        &'a self,
        schema: &str,
        line: &str,
        scratch: &mut TableScratch,
        report: impl FnMut(TableMatch<'a>),
    ) -> Result<Clarity, ScanError> {
        let TableScratch { events, slots } = scratch;
        let clarity = self.matcher.matches(schema, line, events, slots)?;
        self.report(line, slots, report);
        Ok(clarity)
    }

    /// Reports those that an event matches, which holds these values.
    pub fn report<'a>(
        &'a self,
        line: &str,
        slots: &[Slot],
        mut report: impl FnMut(TableMatch<'a>),
    ) {
        let event = LazyEvent::new(line, self.fields, self.answers);
        let report_if_met = |entry: u32| {
            let meant = self.part(&self.entries[entry as usize]);
            if meant.is_none_or(|meant| meant.condition_holds(&event)) {
                report(TableMatch { table: self, entry });
            }
        };
        let unlisted = self.chain(self.unlisted.0);
        match slots {
            [] => unlisted.for_each(report_if_met),
            [slot] => unlisted
                .chain(self.chain(self.head(*slot)))
                .for_each(report_if_met),
            _ => {
                let found = slots.iter().flat_map(|slot| self.chain(self.head(*slot)));
                let mut found: Vec<u32> = found.collect();
                let name = |entry: &u32| {
                    let entry = &self.entries[*entry as usize];
                    (entry.id, entry.part)
                };
                // Of several values of one indicator, the first counts.
                found.sort_by_key(name);
                found.dedup_by_key(|entry| name(entry));
                unlisted.chain(found).for_each(report_if_met);
            }
        }
    }

    /// What finds the values that an event holds.
    pub fn matcher(&self) -> &EventMatcher {
        &self.matcher
    }

    /// Whether there are indicators that are checked in every event.
    pub fn has_unlisted(&self) -> bool {
        self.unlisted.1 > 0
    }

    /// The indicators that have one of these values, each once.
    pub fn holders(&self, values: &[Observable]) -> Vec<Arc<Indicator>> {
        let slots = values
            .iter()
            .filter_map(|value| self.matcher.index().slot(value));
        let entries = slots.flat_map(|slot| self.chain(self.head(slot)));
        let holders = entries.map(|entry| TableMatch { table: self, entry }.indicator());
        let mut holders: Vec<Arc<Indicator>> = holders.collect();
        holders.sort_by(|one, other| one.id.cmp(&other.id));
        holders.dedup_by(|one, other| one.id == other.id);
        holders
    }

    /// The protocol of any indicator, if there is one.
    pub fn any_protocol(&self) -> Option<Protocol> {
        let entry = self.by_id.iter().next()?;
        Some(self.entries[*entry as usize].protocol)
    }

    /// The selections of what has no value, each with the id of its indicator.
    pub fn selections(&self) -> Vec<(Arc<Selection>, Arc<str>)> {
        let entries = self.chain(self.unlisted.0);
        let selections = entries.filter_map(|entry| {
            let part = self.part(&self.entries[entry as usize])?;
            Some((part.selection.clone()?, part.id.clone()))
        });
        selections.collect()
    }

    /// Distinct values from this slot on whose queries cost no more than `most`, each with the id
    /// of one indicator that has it, and the slot to continue from; `None` after the last.
    pub fn values(&self, from: usize, most: usize) -> (Vec<(Observable, Arc<str>)>, Option<usize>) {
        let (mut values, mut weight) = (Vec::new(), 0);
        for (slot, &head) in self.heads.iter().enumerate().skip(from) {
            if head == NONE {
                continue;
            }
            if weight >= most {
                return (values, Some(slot));
            }
            let entry = &self.entries[head as usize];
            let value = self.matcher.index().observable(entry.slot);
            weight += value.weight();
            values.push((value, self.id(entry)));
        }
        (values, None)
    }

    /// The indicator with this id.
    pub fn with_id(&self, id: &str) -> Option<TableMatch<'_>> {
        self.first_of(id, ShortId::of(id))
            .map(|entry| TableMatch { table: self, entry })
    }
}

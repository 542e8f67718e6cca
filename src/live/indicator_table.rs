//! All live indicators, in little memory: only id, protocol and values are stored, not
//! whole messages.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::indicator::{Indicator, Protocol, Selection};
use crate::intake::{Expiry, NoRoom, PutOutcome, ShortId};
use crate::matching::condition::{Condition, LazyEvent};
use crate::matching::{
    Clarity, EventMatcher, EventScratch, FieldScope, Fields, Meaning, ScanError, Slot,
};
use crate::observable::Observable;

mod sequences;
mod unlisted;

pub use sequences::LivePart;
use sequences::LiveSequences;
use unlisted::Unlisted;

/// The approximate memory limit for live indicators, in bytes.
const MOST_BYTES: usize = 1 << 30;

/// The size of an indicator without the text of its values: an entry, and its places in
/// four tables (measured by `cargo bench --bench live`).
const BYTES_EACH: usize = 90;

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// Times are stored in tenths of a second since the table was made: 13 years.
const TICKS_A_SECOND: u32 = 10;

/// One value of one indicator.
#[derive(Clone, Copy, Debug)]
struct TableEntry {
    id: ShortId,
    protocol: Protocol,
    slot: Slot,
    /// The next entry with the same value.
    next: u32,
    /// When it was added.
    added: u32,
    /// When its indicator ends.
    end: Option<Expiry>,
}

/// A change in the set of values to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The first indicator with this value was added; this is its id.
    Add(Observable, Arc<str>),
    /// The last indicator with it was removed.
    Remove(Observable),
}

/// An indicator that an event matches, for a sighting.
#[derive(Debug)]
pub struct Matched {
    /// The indicator, without its original message.
    pub indicator: Indicator,
    /// Since when it is matched.
    pub since: SystemTime,
    /// The indicator that it is a part of, if a single event is not a match.
    pub part: Option<LivePart>,
}

/// All live indicators.
#[derive(Debug)]
pub struct IndicatorTable {
    matcher: EventMatcher,
    scratch: EventScratch,
    /// Whether DNS answers count in conditions.
    answers: bool,
    /// By slot: the first entry with its value.
    heads: Vec<u32>,
    entries: Vec<TableEntry>,
    free: Vec<u32>,
    /// Entries by the hash of their id.
    by_id: HashTable<u32>,
    hasher: RandomState,
    long_ids: Vec<Arc<str>>,
    free_long_ids: Vec<u32>,
    /// By entry: values as the bus wrote them, if this program writes them differently.
    written: HashMap<u32, Box<[String]>>,
    /// The additional conditions, by entry.
    conditions: HashMap<u32, Arc<Condition>>,
    unlisted: Unlisted,
    sequences: LiveSequences,
    start: SystemTime,
    bytes: usize,
    most_bytes: usize,
    slots: Vec<Slot>,
    found: Vec<u32>,
}

impl IndicatorTable {
    /// An empty table.
    pub fn new(meaning: Meaning, scope: Box<dyn FieldScope>, now: SystemTime) -> Self {
        IndicatorTable {
            matcher: EventMatcher::with_scope(meaning, scope),
            scratch: EventScratch::default(),
            answers: meaning.answers,
            heads: Vec::new(),
            entries: Vec::new(),
            free: Vec::new(),
            by_id: HashTable::new(),
            hasher: RandomState::default(),
            long_ids: Vec::new(),
            free_long_ids: Vec::new(),
            written: HashMap::new(),
            conditions: HashMap::new(),
            unlisted: Unlisted::default(),
            sequences: LiveSequences::default(),
            start: now,
            bytes: 0,
            most_bytes: MOST_BYTES,
            slots: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The number of matched values, counted for each indicator that has them, plus the
    /// indicators without a value.
    pub fn len(&self) -> usize {
        self.by_id.len() + self.unlisted.len()
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an indicator until its end, replacing the one with the same id. `changes`
    /// gets the values that are new, and those that no indicator has any more.
    pub fn put(
        &mut self,
        indicator: &Indicator,
        end: Option<Expiry>,
        now: SystemTime,
        changes: &mut Vec<Change>,
    ) -> PutOutcome {
        if indicator.sequence.is_some() {
            return self.put_sequence(indicator, end, now, changes);
        }
        self.remove_sequence(&indicator.id, changes);
        let known = self.entries_of(&indicator.id);
        if let Some(selection) = &indicator.selection {
            let put = self.unlisted.put(indicator, selection, end, now);
            self.remove_entries(known, changes);
            return put;
        }
        self.unlisted.remove(&indicator.id);
        if self.is_repeated(&known, indicator) {
            for entry in known {
                self.entries[entry as usize].end = end;
            }
            return PutOutcome::Repeated;
        }
        let text: usize = indicator.ioc.iter().map(String::len).sum();
        let bytes = indicator.observables.len() * BYTES_EACH + indicator.id.len() + 2 * text;
        if self.bytes + bytes > self.most_bytes {
            return PutOutcome::Full(NoRoom::Memory);
        }
        let added = self.ticks(now);
        let mut dropped = known;
        for observable in &indicator.observables {
            let entry = self.put_value(indicator, observable, added, end, changes);
            dropped.retain(|other| *other != entry);
        }
        self.remove_entries(dropped, changes);
        PutOutcome::Added
    }

    /// Adds the parts of an indicator of several events; none of them, if one cannot be
    /// added.
    fn put_sequence(
        &mut self,
        indicator: &Indicator,
        end: Option<Expiry>,
        now: SystemTime,
        changes: &mut Vec<Change>,
    ) -> PutOutcome {
        if self.sequences.repeat(indicator, end) {
            return PutOutcome::Repeated;
        }
        self.remove(&indicator.id, changes);
        for part in self.sequences.put(indicator, end) {
            let put = self.put(&part, None, now, changes);
            if matches!(put, PutOutcome::Full(_) | PutOutcome::Refused) {
                self.remove(&indicator.id, changes);
                return put;
            }
        }
        PutOutcome::Added
    }

    fn remove_sequence(&mut self, id: &str, changes: &mut Vec<Change>) -> usize {
        let parts = self.sequences.remove(id);
        parts.iter().map(|part| self.remove(part, changes)).sum()
    }

    fn remove_entries(&mut self, entries: Vec<u32>, changes: &mut Vec<Change>) {
        for entry in entries {
            self.remove_entry(entry, changes);
        }
    }

    /// When the indicator with this id ends, if it is present and has an end.
    pub fn expiry_of(&self, id: &str) -> Option<Expiry> {
        match self.entries_of(id).first() {
            Some(&entry) => self.entries[entry as usize].end,
            None => self
                .unlisted
                .expiry_of(id)
                .or_else(|| self.sequences.expiry_of(id)),
        }
    }

    /// Whether these entries are this indicator, value for value.
    fn is_repeated(&self, known: &[u32], indicator: &Indicator) -> bool {
        let mut slots: Vec<Option<Slot>> = Vec::with_capacity(indicator.observables.len());
        for observable in &indicator.observables {
            slots.push(self.matcher.index().slot(observable));
        }
        slots.sort_unstable();
        slots.dedup();
        let holds = |slot: &Option<Slot>| {
            known.iter().any(|&entry| {
                let entry = self.entries[entry as usize];
                Some(entry.slot) == *slot && entry.protocol == indicator.protocol
            })
        };
        let has_condition =
            |entry: &u32| self.conditions.get(entry) == indicator.condition.as_ref();
        known.len() == slots.len() && known.iter().all(has_condition) && slots.iter().all(holds)
    }

    /// Returns the entry of the value: the existing one, if there is one.
    fn put_value(
        &mut self,
        indicator: &Indicator,
        observable: &Observable,
        added: u32,
        end: Option<Expiry>,
        changes: &mut Vec<Change>,
    ) -> u32 {
        let slot = self.matcher.insert(observable);
        if slot.index() >= self.heads.len() {
            self.heads.resize(slot.index() + 1, NONE);
        }
        let next = self.heads[slot.index()];
        if next == NONE {
            changes.push(Change::Add(observable.clone(), indicator.id.clone()));
        }
        let is_same = |&entry: &u32| {
            self.entries[entry as usize].protocol == indicator.protocol
                && self.has_id(entry, &indicator.id)
        };
        let same = self.chain(next).find(is_same);
        if let Some(same) = same {
            // The last end counts.
            self.entries[same as usize].end = end;
            self.set_condition(same, indicator);
            self.set_written(same, indicator, observable);
            return same;
        }
        let id = ShortId::of(&indicator.id).unwrap_or_else(|| self.keep_long(&indicator.id));
        let entry = TableEntry {
            id,
            protocol: indicator.protocol,
            slot,
            next,
            added,
            end,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("memory has no room for more")
            }
        };
        self.heads[slot.index()] = number;
        self.bytes += self.size(number);
        self.set_condition(number, indicator);
        self.set_written(number, indicator, observable);
        let IndicatorTable {
            by_id,
            hasher,
            entries,
            long_ids,
            ..
        } = self;
        let hash = |&entry: &u32| hash(hasher, &entries[entry as usize].id, long_ids);
        by_id.insert_unique(hash(&number), number, hash);
        number
    }

    fn set_written(&mut self, entry: u32, indicator: &Indicator, observable: &Observable) {
        if *indicator.ioc == [observable.to_string()] {
            self.written.remove(&entry);
        } else {
            self.written.insert(entry, indicator.ioc.clone().into());
        }
    }

    fn set_condition(&mut self, entry: u32, indicator: &Indicator) {
        match &indicator.condition {
            Some(condition) => self.conditions.insert(entry, condition.clone()),
            None => self.conditions.remove(&entry),
        };
    }

    /// Removes the indicator with this id; returns how many values it had, and adds those
    /// that no other has to `changes`.
    pub fn remove(&mut self, id: &str, changes: &mut Vec<Change>) -> usize {
        let entries = self.entries_of(id);
        let count = entries.len();
        self.remove_entries(entries, changes);
        count + self.unlisted.remove(id) + self.remove_sequence(id, changes)
    }

    /// Finds every indicator that the event in `line`, of this schema, matches, each
    /// once.
    ///
    /// # Errors
    /// The line is not one JSON object.
    pub fn matches(
        &mut self,
        schema: &str,
        line: &str,
        out: &mut Vec<Matched>,
    ) -> Result<Clarity, ScanError> {
        out.clear();
        let mut slots = std::mem::take(&mut self.slots);
        let scanned = self
            .matcher
            .matches(schema, line, &mut self.scratch, &mut slots);
        let event = LazyEvent::new(line, Fields::OfAnyName, self.answers);
        if !slots.is_empty() {
            let mut found = std::mem::take(&mut self.found);
            found.clear();
            for slot in &slots {
                found.extend(self.chain(self.heads[slot.index()]));
            }
            let holds = |entry: &u32| {
                let condition = self.conditions.get(entry);
                condition.is_none_or(|condition| event.fulfils(condition))
            };
            found.retain(holds);
            let name = |entry: &u32| {
                let entry = self.entries[*entry as usize];
                (entry.id, entry.protocol == Protocol::Legacy)
            };
            // Of several values of one indicator, the first counts.
            found.sort_by_key(name);
            found.dedup_by_key(|entry| name(entry));
            out.extend(found.iter().map(|&entry| self.matched(entry)));
            self.found = found;
        }
        self.slots = slots;
        if scanned.is_ok() {
            self.unlisted.matches(&event, out);
        }
        for one in out.iter_mut() {
            one.part = self.sequences.part(&one.indicator.id).cloned();
        }
        scanned
    }

    /// The indicators that have one of these values, each once.
    pub fn holders(&self, values: &[Observable]) -> Vec<Matched> {
        let index = self.matcher.index();
        let slots = values.iter().filter_map(|value| index.slot(value));
        let entries = slots.flat_map(|slot| self.chain(self.heads[slot.index()]));
        let mut matched: Vec<Matched> = entries.map(|entry| self.matched(entry)).collect();
        matched.sort_by(|one, other| one.indicator.id.cmp(&other.indicator.id));
        matched.dedup_by(|one, other| one.indicator.id == other.indicator.id);
        matched
    }

    /// The indicator with this id, by one of its values.
    pub fn with_id(&self, id: &str) -> Option<Matched> {
        match self.entries_of(id).first() {
            Some(&entry) => Some(self.matched(entry)),
            None => self.unlisted.with_id(id),
        }
    }

    /// The protocol of any indicator, if there is one.
    pub fn any_protocol(&self) -> Option<Protocol> {
        match self.by_id.iter().next() {
            Some(&entry) => Some(self.entries[entry as usize].protocol),
            None => self.unlisted.any_protocol(),
        }
    }

    /// The selections of indicators without a value, each with its id.
    pub fn selections(&self) -> Vec<(Arc<Selection>, Arc<str>)> {
        let selections = self.unlisted.selections().into_iter();
        selections
            .map(|(selection, id)| (selection, self.sequences.id(id)))
            .collect()
    }

    /// Distinct values from this slot on whose queries cost no more than `most`, each
    /// with the id of one indicator that has it, and the slot to continue from; `None`
    /// after the last.
    pub fn values(&self, from: usize, most: usize) -> (Vec<(Observable, Arc<str>)>, Option<usize>) {
        let (mut values, mut weight) = (Vec::new(), 0);
        for (slot, &head) in self.heads.iter().enumerate().skip(from) {
            if head == NONE {
                continue;
            }
            if weight >= most {
                return (values, Some(slot));
            }
            let value = self.value(head);
            weight += value.weight();
            values.push((value, self.id(head)));
        }
        (values, None)
    }

    /// The approximate heap memory in bytes, for statistics.
    pub fn heap_size(&self) -> usize {
        self.matcher.index().heap_size()
            + self.heads.capacity() * size_of::<u32>()
            + self.entries.capacity() * size_of::<TableEntry>()
            + self.free.capacity() * size_of::<u32>()
            + self.by_id.allocation_size()
    }

    fn matched(&self, entry: u32) -> Matched {
        let value = self.value(entry);
        let written = self.written.get(&entry);
        let TableEntry {
            protocol, added, ..
        } = self.entries[entry as usize];
        Matched {
            indicator: Indicator {
                ioc: written.map_or_else(|| vec![value.to_string()], |all| all.to_vec()),
                condition: self.conditions.get(&entry).cloned(),
                ..Indicator::new(self.id(entry), protocol, vec![value])
            },
            since: self.time(added),
            part: None,
        }
    }

    fn value(&self, entry: u32) -> Observable {
        let slot = self.entries[entry as usize].slot;
        self.matcher.index().observable(slot)
    }

    fn id(&self, entry: u32) -> Arc<str> {
        text_of(&self.entries[entry as usize].id, &self.long_ids)
    }

    fn has_id(&self, entry: u32, id: &str) -> bool {
        let own = &self.entries[entry as usize].id;
        match own.number() {
            Some(number) => &*self.long_ids[number as usize] == id,
            None => ShortId::of(id).is_some_and(|short| short == *own),
        }
    }

    fn entries_of(&self, id: &str) -> Vec<u32> {
        let hash = match ShortId::of(id) {
            Some(short) => self.hasher.hash_one(short),
            None => self.hasher.hash_one(id),
        };
        let same_hash = self.by_id.iter_hash(hash).copied();
        same_hash.filter(|&entry| self.has_id(entry, id)).collect()
    }

    /// The entries with the same value, from this one on.
    fn chain(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |entry: u32| (entry != NONE).then_some(entry);
        std::iter::successors(some(first), move |&entry| {
            some(self.entries[entry as usize].next)
        })
    }

    fn remove_entry(&mut self, number: u32, changes: &mut Vec<Change>) {
        let entry = self.entries[number as usize];
        let slot = entry.slot.index();
        let hash = hash(&self.hasher, &entry.id, &self.long_ids);
        self.bytes -= self.size(number);
        let before = self.chain(self.heads[slot]).find(|&other| {
            let other: TableEntry = self.entries[other as usize];
            other.next == number
        });
        match before {
            Some(before) => self.entries[before as usize].next = entry.next,
            None => self.heads[slot] = entry.next,
        }
        if self.heads[slot] == NONE {
            let value = self.value(number);
            self.matcher.remove(&value);
            changes.push(Change::Remove(value));
        }
        if let Ok(found) = self.by_id.find_entry(hash, |&other| other == number) {
            found.remove();
        }
        if let Some(long) = entry.id.number() {
            self.long_ids[long as usize] = "".into();
            self.free_long_ids.push(long);
        }
        self.written.remove(&number);
        self.conditions.remove(&number);
        self.free.push(number);
    }

    /// The approximate size of an entry in bytes. It does not change.
    fn size(&self, number: u32) -> usize {
        let entry = &self.entries[number as usize];
        let index = self.matcher.index();
        let long = entry.id.number();
        let id = long.map_or(0, |long| self.long_ids[long as usize].len());
        BYTES_EACH + id + index.length(entry.slot)
    }

    fn keep_long(&mut self, id: &Arc<str>) -> ShortId {
        let number = match self.free_long_ids.pop() {
            Some(number) => {
                self.long_ids[number as usize] = id.clone();
                number
            }
            None => {
                self.long_ids.push(id.clone());
                u32::try_from(self.long_ids.len() - 1).expect("memory has no room for more")
            }
        };
        ShortId::numbered(number)
    }

    fn ticks(&self, time: SystemTime) -> u32 {
        let since = time.duration_since(self.start).unwrap_or_default();
        let ticks = since.as_millis() / u128::from(1000 / TICKS_A_SECOND);
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    fn time(&self, ticks: u32) -> SystemTime {
        self.start + Duration::from_millis(u64::from(ticks) * u64::from(1000 / TICKS_A_SECOND))
    }
}

fn hash(hasher: &RandomState, id: &ShortId, long_ids: &[Arc<str>]) -> u64 {
    match id.number() {
        Some(number) => hasher.hash_one(&*long_ids[number as usize]),
        None => hasher.hash_one(id),
    }
}

fn text_of(id: &ShortId, long_ids: &[Arc<str>]) -> Arc<str> {
    match id.number() {
        Some(number) => long_ids[number as usize].clone(),
        None => id.text().expect("an id without a number is a text"),
    }
}

#[cfg(test)]
mod tests;

//! The indicators that are searched in events as they come and in log files, and which of them an
//! event matches.
//!
//! An indicator that is only an id and one value, and perhaps properties of its feed, is *plain*.
//! There may be a million of those, so little is kept of them: the indicator is made again when an
//! event matches it. All others are kept whole, with an entry for each value of each part.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::SystemTime;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{Expiry, NoRoom, PutOutcome, ShortId};
use crate::indicator::{Indicator, Protocol};
use crate::matching::condition::MOST_UNLISTED;
use crate::matching::{EventMatcher, FieldScope, Fields, Meaning, Slot};
use crate::observable::Observable;

mod plain;
mod search;

use plain::{Names, Plain, Properties};
pub use search::{TableMatch, TableScratch};

/// The approximate memory limit for indicators, in bytes, unless all are in files that the user
/// names.
const MOST_BYTES: usize = 1 << 30;

/// The size of an entry without the text of its value: its places in four tables (measured by
/// `cargo bench --bench live`).
const BYTES_EACH: usize = 90;

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// Times are stored in tenths of a second since the table was made: 13 years.
const TICKS_A_SECOND: u32 = 10;

/// One value of one indicator, or a part of it without a value to look up.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The id of a plain indicator, or the number of one that is kept whole.
    id: ShortId,
    protocol: Protocol,
    /// The number of the part, if the indicator means several events.
    part: u16,
    /// [`Slot::NONE`] if it is checked in every event.
    slot: Slot,
    /// The next entry with the same value.
    next: u32,
    /// Since when the value is searched for this indicator.
    added: u32,
    /// When its indicator ends.
    end: Option<Expiry>,
}

/// An indicator that is kept whole.
#[derive(Debug)]
struct Whole {
    indicator: Arc<Indicator>,
    entries: Vec<u32>,
}

/// A change in the set of values to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The first indicator with this value was added; this is its id.
    Add(Observable, Arc<str>),
    /// The last indicator with it was removed.
    Remove(Observable),
}

/// All indicators that are searched in one way.
#[derive(Debug)]
pub struct IndicatorTable {
    matcher: EventMatcher,
    /// The fields that can hold addresses in conditions.
    fields: Fields,
    /// Whether DNS answers count in conditions.
    answers: bool,
    /// By slot: the first entry with its value.
    heads: Vec<u32>,
    /// The first entry without a value, and their number.
    unlisted: (u32, usize),
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// The first entry of each indicator, by the hash of its id.
    by_id: HashTable<u32>,
    hasher: RandomState,
    wholes: Vec<Option<Whole>>,
    free_wholes: Vec<u32>,
    /// The properties of plain indicators, by entry, up to the last entry that has some.
    properties: Vec<Option<Properties>>,
    /// The names of these properties.
    names: Names,
    /// What has changed, if the caller takes it: live matching does.
    changes: Option<Vec<Change>>,
    start: SystemTime,
    bytes: usize,
    most_bytes: usize,
}

impl IndicatorTable {
    /// An empty table for log files. It is `bounded` unless all indicators are in files that the
    /// user names.
    pub fn for_logs(bounded: bool, meaning: Meaning, now: SystemTime) -> Self {
        let most_bytes = if bounded { MOST_BYTES } else { usize::MAX };
        let matcher = EventMatcher::new(meaning);
        IndicatorTable {
            most_bytes,
            ..IndicatorTable::new(matcher, Fields::Named, meaning.answers, now)
        }
    }

    /// An empty table for the events of an engine.
    pub fn for_engine(meaning: Meaning, scope: Box<dyn FieldScope>, now: SystemTime) -> Self {
        let matcher = EventMatcher::with_scope(meaning, scope);
        IndicatorTable::new(matcher, Fields::OfAnyName, meaning.answers, now)
    }

    fn new(matcher: EventMatcher, fields: Fields, answers: bool, now: SystemTime) -> Self {
        IndicatorTable {
            matcher,
            fields,
            answers,
            heads: Vec::new(),
            unlisted: (NONE, 0),
            entries: Vec::new(),
            free: Vec::new(),
            by_id: HashTable::new(),
            hasher: RandomState::default(),
            wholes: Vec::new(),
            free_wholes: Vec::new(),
            properties: Vec::new(),
            names: Names::default(),
            changes: None,
            start: now,
            bytes: 0,
            most_bytes: MOST_BYTES,
        }
    }

    /// From now on, changes in the set of values are kept until they are taken.
    pub fn keep_changes(&mut self) {
        self.changes = Some(Vec::new());
    }

    /// The changes since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.changes
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The number of indicators.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of matched values, counted for each indicator that has them, plus the parts
    /// without a value.
    pub fn value_count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Adds an indicator until its end, replacing the one with the same id. Where there is no room
    /// for it, nothing changes.
    pub fn put(
        &mut self,
        indicator: Arc<Indicator>,
        end: Option<Expiry>,
        now: SystemTime,
    ) -> PutOutcome {
        let short = ShortId::of(&indicator.id);
        let known = self.entries_of(&indicator.id, short);
        let plain = short.and_then(|id| Plain::of(&indicator, id, &mut self.names));
        if self.is_repeated(&known, &indicator, plain.as_ref()) {
            for entry in known {
                self.entries[entry as usize].end = end;
            }
            return PutOutcome::Repeated;
        }
        if let Some(limit) = self.reached_limit(&known, &indicator, plain.as_ref()) {
            return PutOutcome::Full(limit);
        }
        let first = self.add(&indicator, plain, end, self.ticks(now), &known);
        self.forget(&known);
        if let Some(first) = first {
            let IndicatorTable {
                by_id,
                hasher,
                entries,
                wholes,
                ..
            } = self;
            let hash = |&entry: &u32| hash(hasher, &entries[entry as usize], wholes);
            by_id.insert_unique(hash(&first), first, hash);
        }
        PutOutcome::Added
    }

    /// Whether these entries are this indicator.
    fn is_repeated(&self, known: &[u32], indicator: &Indicator, plain: Option<&Plain>) -> bool {
        let Some(&first) = known.first() else {
            return false;
        };
        let entry = &self.entries[first as usize];
        if entry.protocol != indicator.protocol {
            return false;
        }
        match self.whole(entry) {
            Some(known) => {
                known.indicator.searches_the_same(indicator)
                    && known.indicator.is_described_the_same(indicator)
            }
            None => plain.is_some_and(|plain| {
                let value = &indicator.observables[0];
                self.matcher.index().slot(value) == Some(entry.slot)
                    && self.properties_of(first) == plain.properties.as_ref()
            }),
        }
    }

    /// The limit that an indicator would exceed in place of these entries.
    fn reached_limit(
        &self,
        known: &[u32],
        indicator: &Indicator,
        plain: Option<&Plain>,
    ) -> Option<NoRoom> {
        let old = self.size(known);
        let new = match plain {
            Some(plain) => BYTES_EACH + indicator.ioc[0].len() + plain.properties_size(),
            None => indicator.size() + BYTES_EACH * indicator.observables.len(),
        };
        if (self.bytes - old).saturating_add(new) > self.most_bytes {
            return Some(NoRoom::Memory);
        }
        let is_unlisted = |&&entry: &&u32| self.entries[entry as usize].slot == Slot::NONE;
        let old = known.iter().filter(is_unlisted).count();
        let new = parts(indicator).iter();
        let new = new.filter(|part| part.selection.is_some()).count();
        (new > 0 && self.unlisted.1 - old + new > MOST_UNLISTED).then_some(NoRoom::Checks)
    }

    /// Adds the entries of an indicator, beside the old ones; returns the first.
    fn add(
        &mut self,
        indicator: &Arc<Indicator>,
        plain: Option<Plain>,
        end: Option<Expiry>,
        now: u32,
        old: &[u32],
    ) -> Option<u32> {
        let old = old.first().map(|&first| self.entries[first as usize].id);
        let new = |id: ShortId, part: u16, slot: Slot| Entry {
            id,
            protocol: indicator.protocol,
            part,
            slot,
            next: NONE,
            added: now,
            end,
        };
        if let Some(Plain { id, properties }) = plain {
            let value = &indicator.observables[0];
            let slot = self.matcher.insert(value);
            // Else it would not be the same when it is made again.
            if self.matcher.index().observable(slot) == *value {
                let value = Some((value, &indicator.id));
                return Some(self.link(new(id, 0, slot), value, old, properties));
            }
        }
        let number = store(&mut self.wholes, &mut self.free_wholes, None);
        let id = ShortId::numbered(number);
        let mut entries = Vec::new();
        for (part, meant) in (0..).zip(parts(indicator)) {
            for value in &meant.observables {
                let slot = self.matcher.insert(value);
                let last = self.entries.get(self.head(slot) as usize);
                // It may have the value twice.
                if last.is_none_or(|last| (last.id, last.part) != (id, part)) {
                    let value = Some((value, &indicator.id));
                    entries.push(self.link(new(id, part, slot), value, old, None));
                }
            }
            if meant.selection.is_some() {
                entries.push(self.link(new(id, part, Slot::NONE), None, old, None));
            }
        }
        let first = entries.first().copied();
        self.bytes += indicator.size();
        self.wholes[number as usize] = Some(Whole {
            indicator: indicator.clone(),
            entries,
        });
        if first.is_none() {
            self.drop_whole(number);
        }
        first
    }

    fn drop_whole(&mut self, number: u32) {
        if let Some(whole) = self.wholes[number as usize].take() {
            self.bytes -= whole.indicator.size();
            self.free_wholes.push(number);
        }
    }

    /// Adds an entry for a value, which comes with the id of its indicator. If the old version of
    /// the indicator has the value, it has been searched since then.
    fn link(
        &mut self,
        mut entry: Entry,
        value: Option<(&Observable, &Arc<str>)>,
        old: Option<ShortId>,
        properties: Option<Properties>,
    ) -> u32 {
        entry.next = self.head(entry.slot);
        if let Some((value, id)) = value {
            if let (NONE, Some(changes)) = (entry.next, &mut self.changes) {
                changes.push(Change::Add(value.clone(), id.clone()));
            }
            if let Some(old) = old {
                let mut others = self.chain(entry.next);
                let same = others.find(|&other| self.entries[other as usize].id == old);
                entry.added = same.map_or(entry.added, |same| self.entries[same as usize].added);
            }
        }
        let number = store(&mut self.entries, &mut self.free, entry);
        if properties.is_some() {
            if number as usize >= self.properties.len() {
                self.properties.resize_with(number as usize + 1, || None);
            }
            self.properties[number as usize] = properties;
        }
        *self.head_mut(entry.slot) = number;
        self.unlisted.1 += usize::from(entry.slot == Slot::NONE);
        self.bytes += self.entry_size(number);
        number
    }

    fn unlink(&mut self, number: u32) {
        let entry = self.entries[number as usize];
        self.bytes -= self.entry_size(number);
        let before = self
            .chain(self.head(entry.slot))
            .find(|&other| self.entries[other as usize].next == number);
        match before {
            Some(before) => self.entries[before as usize].next = entry.next,
            None => *self.head_mut(entry.slot) = entry.next,
        }
        if entry.slot == Slot::NONE {
            self.unlisted.1 -= 1;
        } else if self.head(entry.slot) == NONE {
            let value = self.matcher.index().observable(entry.slot);
            self.matcher.remove(&value);
            if let Some(changes) = &mut self.changes {
                changes.push(Change::Remove(value));
            }
        }
        if let Some(properties) = self.properties.get_mut(number as usize) {
            *properties = None;
        }
        self.free.push(number);
    }

    /// Removes an indicator, which has these entries.
    fn forget(&mut self, entries: &[u32]) {
        let Some(&first) = entries.first() else {
            return;
        };
        let hash = hash(&self.hasher, &self.entries[first as usize], &self.wholes);
        if let Ok(found) = self.by_id.find_entry(hash, |&other| other == first) {
            found.remove();
        }
        for &entry in entries {
            self.unlink(entry);
        }
        if let Some(number) = self.entries[first as usize].id.number() {
            self.drop_whole(number);
        }
    }

    /// Removes the indicator with this id; returns whether it was present.
    pub fn remove(&mut self, id: &str) -> bool {
        let known = self.entries_of(id, ShortId::of(id));
        self.forget(&known);
        !known.is_empty()
    }

    /// When the indicator with this id ends, if it is present and has an end.
    pub fn expiry_of(&self, id: &str) -> Option<Expiry> {
        self.entries[self.first_of(id, ShortId::of(id))? as usize].end
    }

    /// The first entry of the indicator with this id, which has this short form.
    fn first_of(&self, id: &str, short: Option<ShortId>) -> Option<u32> {
        let is_it = |&entry: &u32| {
            let entry = &self.entries[entry as usize];
            match self.whole(entry) {
                Some(whole) => *whole.indicator.id == *id,
                None => short == Some(entry.id),
            }
        };
        let found = self.by_id.find(hash_of(&self.hasher, id, short), is_it);
        found.copied()
    }

    fn entries_of(&self, id: &str, short: Option<ShortId>) -> Vec<u32> {
        let Some(first) = self.first_of(id, short) else {
            return Vec::new();
        };
        match self.whole(&self.entries[first as usize]) {
            Some(whole) => whole.entries.clone(),
            None => vec![first],
        }
    }

    fn id(&self, entry: &Entry) -> Arc<str> {
        match self.whole(entry) {
            Some(whole) => whole.indicator.id.clone(),
            None => entry.id.text().expect("an id without a number is a text"),
        }
    }

    /// The indicator of an entry; `None` if it is plain.
    fn whole(&self, entry: &Entry) -> Option<&Whole> {
        self.wholes[entry.id.number()? as usize].as_ref()
    }

    /// What an entry stands for: its indicator, or a part of it; `None` if it is plain.
    fn part(&self, entry: &Entry) -> Option<&Indicator> {
        parts(&self.whole(entry)?.indicator).get(usize::from(entry.part))
    }

    fn properties_of(&self, entry: u32) -> Option<&Properties> {
        self.properties.get(entry as usize)?.as_ref()
    }

    /// The first entry with this value.
    fn head(&self, slot: Slot) -> u32 {
        match slot {
            Slot::NONE => self.unlisted.0,
            slot => self.heads.get(slot.index()).copied().unwrap_or(NONE),
        }
    }

    fn head_mut(&mut self, slot: Slot) -> &mut u32 {
        if slot == Slot::NONE {
            return &mut self.unlisted.0;
        }
        if slot.index() >= self.heads.len() {
            self.heads.resize(slot.index() + 1, NONE);
        }
        &mut self.heads[slot.index()]
    }

    /// The entries with the same value, from this one on.
    fn chain(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |entry: u32| (entry != NONE).then_some(entry);
        std::iter::successors(some(first), move |&entry| {
            some(self.entries[entry as usize].next)
        })
    }

    /// The approximate size in bytes of an entry, which does not change.
    fn entry_size(&self, number: u32) -> usize {
        let slot = self.entries[number as usize].slot;
        let value = match slot {
            Slot::NONE => 0,
            slot => self.matcher.index().length(slot),
        };
        BYTES_EACH + value + self.properties_of(number).map_or(0, Properties::size)
    }

    /// The approximate size in bytes of an indicator, which has these entries.
    fn size(&self, entries: &[u32]) -> usize {
        let first = entries.first().map(|&first| &self.entries[first as usize]);
        let whole = first.and_then(|first| self.whole(first));
        let entries = entries.iter().map(|&entry| self.entry_size(entry));
        whole.map_or(0, |whole| whole.indicator.size()) + entries.sum::<usize>()
    }

    fn ticks(&self, time: SystemTime) -> u32 {
        let since = time.duration_since(self.start).unwrap_or_default();
        let ticks = since.as_millis() / u128::from(1000 / TICKS_A_SECOND);
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }
}

/// An indicator as the parts that an event matches or not: itself, unless it means several events.
fn parts(indicator: &Indicator) -> &[Indicator] {
    let sequence = indicator.sequence.as_ref();
    sequence.map_or(std::slice::from_ref(indicator), |sequence| &sequence.parts)
}

/// Puts a thing where there is a free place, or at the end; returns the number of the place.
fn store<T>(all: &mut Vec<T>, free: &mut Vec<u32>, one: T) -> u32 {
    if let Some(number) = free.pop() {
        all[number as usize] = one;
        return number;
    }
    all.push(one);
    u32::try_from(all.len() - 1).expect("memory has no room for more")
}

fn hash(hasher: &RandomState, entry: &Entry, wholes: &[Option<Whole>]) -> u64 {
    let whole = entry
        .id
        .number()
        .and_then(|number| wholes[number as usize].as_ref());
    let id = whole.map(|whole| &*whole.indicator.id);
    id.map_or_else(
        || hasher.hash_one(entry.id),
        |id| hash_of(hasher, id, ShortId::of(id)),
    )
}

/// The hash of an id with this short form.
fn hash_of(hasher: &RandomState, id: &str, short: Option<ShortId>) -> u64 {
    short.map_or_else(|| hasher.hash_one(id), |short| hasher.hash_one(short))
}

#[cfg(test)]
mod tests;

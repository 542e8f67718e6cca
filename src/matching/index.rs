//! A compact hash table of observables, fast enough to look up every string of every
//! event.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::json::{self, Path, ScanError};
use super::places::Kinds;
use super::prefilter::{Shapes, looks_like_address};
use crate::observable::{Kind, Observable, Property, Spelled, file_name, url};

mod find;
mod octets;

use octets::{Octets, address, network};

/// The field with the type of a Suricata event.
const EVENT_TYPE: &str = "event_type";

/// The text of removed values is kept until it reaches this size and exceeds that of the
/// remaining values.
const MIN_COMPACTION: usize = 64 * 1024;

/// The place of one distinct observable in an [`Index`]: a small number, suitable as an
/// index into a `Vec`. It is reused after a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u32);

impl Slot {
    /// No place, for what is kept beside values and has none.
    pub const NONE: Slot = Slot(u32::MAX);

    /// The slot as an index, less than the largest [`Index::len`] so far.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which text identifies an observable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The original spelling, byte for byte.
    #[default]
    Spelling,
    /// The canonical form; URLs are found by host and target.
    Meaning,
}

/// The number of observables that need an additional lookup.
#[derive(Clone, Copy, Debug, Default)]
struct LookupCounts {
    addresses: usize,
    endpoints: usize,
    /// Domains, for the names below them.
    above: usize,
    answers: usize,
    urls: usize,
    /// Targets of URLs without a host.
    targets: usize,
    /// Path ends with more than one component.
    paths: usize,
}

impl LookupCounts {
    /// The count that an observable belongs to, if any.
    fn of(&mut self, observable: &Observable) -> Option<&mut usize> {
        match observable {
            Observable::Address(_) => Some(&mut self.addresses),
            Observable::Endpoint(..) => Some(&mut self.endpoints),
            Observable::Subdomain(_) => Some(&mut self.above),
            Observable::Answer(_) => Some(&mut self.answers),
            Observable::Url(url) if url::parts(url).host.is_none() => Some(&mut self.targets),
            Observable::Url(_) => Some(&mut self.urls),
            Observable::Text(Property::FileName, name) if file_name::components(name) > 1 => {
                Some(&mut self.paths)
            }
            Observable::Network(_)
            | Observable::Domain(_)
            | Observable::Hash(_)
            | Observable::Text(..) => None,
        }
    }
}

/// A set of observables with a lookup whose cost does not depend on their number.
///
/// It takes about 50 bytes per value for names of 20 bytes. Each index seeds its hash at
/// random, since the values come from the bus and may be hostile.
#[derive(Debug)]
pub struct Index {
    by: By,
    /// Slots by the hash of their value.
    table: HashTable<u32>,
    /// By slot. The entry of a free slot is meaningless.
    places: Vec<ValuePosition>,
    free: Vec<u32>,
    /// The values, concatenated: text as UTF-8, addresses and networks as octets.
    bytes: Vec<u8>,
    /// The number of these bytes that no slot uses.
    dead: usize,
    counts: LookupCounts,
    /// The number of values of each kind.
    of_kind: [u32; Kind::COUNT],
    /// The kinds of which there are any.
    kinds: Kinds,
    /// The lengths of networks, each with how many networks have it.
    lengths: Vec<(u8, usize)>,
    shapes: Shapes,
    hasher: RandomState,
}

/// The position of a value in the bytes of the index.
#[derive(Clone, Copy, Debug)]
struct ValuePosition {
    at: usize,
    /// The length, with the kind in the lowest bits, which keeps a place at 16 bytes.
    length_and_kind: usize,
}

/// The number of bits for the kind.
const KIND_BITS: u32 = 6;

const _: () = assert!(Kind::COUNT <= 1 << KIND_BITS);

impl ValuePosition {
    fn new(at: usize, length: usize, kind: Kind) -> Self {
        let length_and_kind = length << KIND_BITS | kind.number();
        ValuePosition {
            at,
            length_and_kind,
        }
    }

    fn kind(self) -> Kind {
        let number = self.length_and_kind & ((1 << KIND_BITS) - 1);
        Kind::from_number(number).expect("a place is made of a kind")
    }

    fn length(self) -> usize {
        self.length_and_kind >> KIND_BITS
    }

    fn range(self) -> Range<usize> {
        self.at..self.at + self.length()
    }
}

impl Default for Index {
    fn default() -> Self {
        Index::by(By::Spelling)
    }
}

impl Index {
    /// Makes an index of these observables. Equal observables share a slot. Slots are
    /// numbered from 0 in order of first appearance.
    pub fn new<'a>(observables: impl IntoIterator<Item = &'a Observable>) -> Self {
        let mut index = Index::default();
        for observable in observables {
            index.insert(observable);
        }
        index
    }

    /// Makes an empty index.
    pub fn by(by: By) -> Self {
        Index {
            by,
            table: HashTable::new(),
            places: Vec::new(),
            free: Vec::new(),
            bytes: Vec::new(),
            dead: 0,
            counts: LookupCounts::default(),
            of_kind: [0; Kind::COUNT],
            kinds: Kinds::NONE,
            lengths: Vec::new(),
            shapes: Shapes::default(),
            hasher: RandomState::default(),
        }
    }

    /// The kinds of the values in the index.
    pub(super) fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// The number of distinct observables.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the index is empty.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The slot of an observable, if the index contains it.
    pub fn slot(&self, observable: &Observable) -> Option<Slot> {
        let (kind, octets) = (Kind::of(observable), Octets::of(observable));
        let value = octets.bytes(observable, self.by);
        self.find(self.key(kind, value), kind, value)
    }

    /// Adds an observable unless the index contains it, and returns its slot.
    ///
    /// # Panics
    ///
    /// At the 4,294,967,296th observable.
    pub fn insert(&mut self, observable: &Observable) -> Slot {
        let (kind, octets) = (Kind::of(observable), Octets::of(observable));
        let value = octets.bytes(observable, self.by);
        let hash = self.key(kind, value);
        if let Some(slot) = self.find(hash, kind, value) {
            return slot;
        }
        let place = ValuePosition::new(self.bytes.len(), value.len(), kind);
        self.bytes.extend_from_slice(value);
        if let Observable::Network(network) = observable {
            self.add_length(network.length());
        }
        if let Some(count) = self.counts.of(observable) {
            *count += 1;
        }
        self.of_kind[kind.number()] += 1;
        self.kinds = self.kinds.and(Kinds::of(kind));
        self.add_shape(kind, value);
        let slot = self.take_slot(place);
        let Index {
            by,
            table,
            places,
            bytes,
            hasher,
            ..
        } = self;
        table.insert_unique(hash, slot, |&slot| {
            let place = places[slot as usize];
            key(*by, hasher, place.kind(), &bytes[place.range()])
        });
        Slot(slot)
    }

    fn add_shape(&mut self, kind: Kind, value: &[u8]) {
        match kind {
            kind if kind.is_of_addresses() => {}
            Kind::Url if self.by == By::Meaning => self.shapes.add(target_of(value)),
            _ => self.shapes.add(value),
        }
    }

    fn add_length(&mut self, length: u8) {
        match self.lengths.iter_mut().find(|(known, _)| *known == length) {
            Some((_, count)) => *count += 1,
            None => self.lengths.push((length, 1)),
        }
    }

    fn remove_length(&mut self, length: u8) {
        self.lengths.retain_mut(|(known, count)| {
            *count -= usize::from(*known == length);
            *count > 0
        });
    }

    fn take_slot(&mut self, place: ValuePosition) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.places[slot as usize] = place;
            return slot;
        }
        let slot = u32::try_from(self.places.len());
        let slot = slot.ok().filter(|slot| *slot != Slot::NONE.0);
        let slot = slot.expect("an index has fewer than 2^32 slots");
        self.places.push(place);
        slot
    }

    /// Removes an observable and returns the slot it had, if the index contained it. The
    /// other slots do not change.
    pub fn remove(&mut self, observable: &Observable) -> Option<Slot> {
        let slot = self.slot(observable)?;
        let place = self.places[slot.index()];
        let hash = self.key(place.kind(), &self.bytes[place.range()]);
        let entry = self.table.find_entry(hash, |&other| other == slot.0).ok()?;
        entry.remove();
        self.free.push(slot.0);
        self.dead += place.length();
        if let Observable::Network(network) = observable {
            self.remove_length(network.length());
        }
        if let Some(count) = self.counts.of(observable) {
            *count -= 1;
        }
        let kind = place.kind();
        self.of_kind[kind.number()] -= 1;
        if self.of_kind[kind.number()] == 0 {
            self.kinds = self.kinds.without(kind);
        }
        if self.dead > MIN_COMPACTION && self.dead > self.bytes.len() / 2 {
            self.compact();
        }
        Some(slot)
    }

    /// Drops the bytes of removed values and rebuilds the shapes.
    fn compact(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.dead);
        self.shapes = Shapes::default();
        for &slot in &self.table {
            let place = &mut self.places[slot as usize];
            let value = &self.bytes[place.range()];
            place.at = bytes.len();
            bytes.extend_from_slice(value);
        }
        self.bytes = bytes;
        self.dead = 0;
        let slots: Vec<u32> = self.table.iter().copied().collect();
        for slot in slots {
            let place = self.places[slot as usize];
            let value = self.bytes[place.range()].to_vec();
            self.add_shape(place.kind(), &value);
        }
    }

    /// Finds every indexed value in this line, which must be one JSON object.
    ///
    /// Text is compared byte for byte after its escapes are decoded; text that is an
    /// address is also compared as an address. Every string value counts, including those
    /// in lists; keys do not. `found` is cleared first.
    ///
    /// # Errors
    ///
    /// The line is not one JSON object; `found` is empty then.
    pub fn scan(&self, line: &str, found: &mut IndexHits) -> Result<(), ScanError> {
        self.scan_and(line, found, |_, _, _| {})
    }

    /// Like [`Index::scan`]; `visit` also receives every string value.
    ///
    /// # Errors
    ///
    /// The same as for [`Index::scan`].
    pub(super) fn scan_and(
        &self,
        line: &str,
        found: &mut IndexHits,
        mut visit: impl FnMut(&str, &Path<'_>, bool),
    ) -> Result<(), ScanError> {
        found.clear();
        let scanned = json::walk(line, |text, path, in_list| {
            self.look_up(text, |slot| found.push(slot, path, in_list));
            visit(text, path, in_list);
            if path.is_top(EVENT_TYPE) && !in_list {
                found.event_type.replace_range(.., text);
                found.has_event_type = true;
            }
        });
        if scanned.is_err() {
            found.clear();
        }
        scanned
    }

    /// Calls `show` with the slots of what a string value holds.
    #[inline]
    fn look_up(&self, text: &str, mut show: impl FnMut(Slot)) {
        let value = text.as_bytes();
        if self.shapes.may_hold(value) {
            // A domain and a URL with the same text are different observables.
            for &slot in self.table.iter_hash(self.hash(value)) {
                let place = self.places[slot as usize];
                let kind = place.kind();
                let is_text = !kind.is_of_addresses() && kind != Kind::Subdomain;
                if is_text && &self.bytes[place.range()] == value {
                    show(Slot(slot));
                }
            }
        }
        self.find_above(text, &mut show);
        let any_address = self.counts.addresses > 0 || !self.lengths.is_empty();
        if any_address && looks_like_address(value) {
            if let Ok(address) = text.parse::<IpAddr>() {
                self.find_address(address, &mut show);
            }
        }
    }

    fn find(&self, hash: u64, kind: Kind, value: &[u8]) -> Option<Slot> {
        let same = |&slot: &u32| {
            let place = self.places[slot as usize];
            place.kind() == kind && &self.bytes[place.range()] == value
        };
        self.table.find(hash, same).copied().map(Slot)
    }

    #[inline]
    fn hash(&self, value: &[u8]) -> u64 {
        self.hasher.hash_one(value)
    }

    fn key(&self, kind: Kind, value: &[u8]) -> u64 {
        key(self.by, &self.hasher, kind, value)
    }

    /// The kind of the observable in an occupied slot.
    pub(super) fn kind(&self, slot: Slot) -> Kind {
        self.places[slot.index()].kind()
    }

    /// The observable in an occupied slot.
    pub fn observable(&self, slot: Slot) -> Observable {
        let place = self.places[slot.index()];
        let value = &self.bytes[place.range()];
        let text = || -> Spelled { String::from_utf8_lossy(value).into_owned().into() };
        match place.kind() {
            Kind::Address => Observable::Address(address(value)),
            Kind::Endpoint => {
                let (octets, port) = value.split_at(value.len() - 2);
                let port = u16::from_be_bytes([port[0], port[1]]);
                Observable::Endpoint(address(octets), port)
            }
            Kind::Network => Observable::Network(network(value)),
            Kind::Domain => match self.by {
                By::Spelling => Observable::domain(&text()),
                By::Meaning => Observable::Domain(text()),
            },
            Kind::Hash => Observable::Hash(text()),
            Kind::Url => Observable::Url(text()),
            Kind::Text(property) => {
                let text = text();
                match self.by {
                    By::Spelling => Observable::text(property, &text)
                        .unwrap_or(Observable::Text(property, text)),
                    By::Meaning => Observable::Text(property, text),
                }
            }
            Kind::Subdomain => Observable::Subdomain(text()),
            Kind::Answer => Observable::Answer(text()),
        }
    }

    /// The text in an occupied slot; empty for an address or a network.
    pub(super) fn text(&self, slot: Slot) -> &str {
        let place = self.places[slot.index()];
        match place.kind() {
            Kind::Address | Kind::Endpoint | Kind::Network => "",
            Kind::Domain
            | Kind::Url
            | Kind::Hash
            | Kind::Text(_)
            | Kind::Subdomain
            | Kind::Answer => std::str::from_utf8(&self.bytes[place.range()]).unwrap_or_default(),
        }
    }

    /// The length in bytes of the value in an occupied slot.
    pub fn length(&self, slot: Slot) -> usize {
        self.places[slot.index()].length()
    }

    /// The heap memory of the index in bytes, for statistics.
    pub fn heap_size(&self) -> usize {
        self.table.allocation_size()
            + self.places.capacity() * size_of::<ValuePosition>()
            + self.free.capacity() * size_of::<u32>()
            + self.bytes.capacity()
            + Shapes::HEAP_SIZE
    }
}

/// The hash under which an observable's slot is found.
fn key(by: By, hasher: &RandomState, kind: Kind, value: &[u8]) -> u64 {
    match (by, kind) {
        (By::Meaning, Kind::Url) => {
            let parts = url::parts(std::str::from_utf8(value).unwrap_or_default());
            hasher.hash_one((parts.host, parts.target))
        }
        _ => hasher.hash_one(value),
    }
}

/// The target of a URL.
fn target_of(value: &[u8]) -> &[u8] {
    let url = std::str::from_utf8(value).unwrap_or_default();
    url::parts(url).target.as_bytes()
}

/// What [`Index::scan`] found in one event. Reused for all events.
#[derive(Debug, Default)]
pub struct IndexHits {
    occurrences: Vec<Occurrence>,
    /// The paths of all hits, concatenated.
    paths: String,
    event_type: String,
    has_event_type: bool,
}

#[derive(Debug)]
struct Occurrence {
    slot: Slot,
    in_list: bool,
    path: Range<usize>,
}

/// One place where an event holds an observable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<'a> {
    /// The observable.
    pub slot: Slot,
    /// The keys of the field, joined by dots, whether the engine printed it flattened or
    /// nested: `id.orig_h`.
    pub path: &'a str,
    /// Whether it is, or is inside, an element of a list.
    pub in_list: bool,
}

impl IndexHits {
    /// Every occurrence, in the order of the event.
    pub fn hits(&self) -> impl Iterator<Item = Hit<'_>> {
        self.occurrences.iter().map(|occurrence| Hit {
            slot: occurrence.slot,
            path: &self.paths[occurrence.path.clone()],
            in_list: occurrence.in_list,
        })
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.occurrences.is_empty()
    }

    /// The value of `event_type`, which Suricata events have.
    pub fn event_type(&self) -> Option<&str> {
        self.has_event_type.then_some(self.event_type.as_str())
    }

    fn clear(&mut self) {
        self.occurrences.clear();
        self.paths.clear();
        self.has_event_type = false;
    }

    #[cold]
    fn push(&mut self, slot: Slot, path: &Path<'_>, in_list: bool) {
        let start = self.paths.len();
        path.push_to(&mut self.paths);
        let path = start..self.paths.len();
        self.occurrences.push(Occurrence {
            slot,
            in_list,
            path,
        });
    }
}

#[cfg(test)]
mod tests;

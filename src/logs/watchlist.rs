//! The indicators that are searched, and which of them an event matches.
//!
//! A *plain* indicator is only an id and one value, and perhaps properties of its feed. It needs
//! little memory, since the whole indicator is made when an event matches it. All others are
//! *full*; a plain one becomes full when another indicator has its value.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::format::zeek_json;
use super::format::zeek_tsv::{Cell, Header, TsvRow, Type, text};
use crate::indicator::Indicator;
use crate::intake::{Expiry, NoRoom, PutOutcome, Table};
use crate::matching::condition::{LazyEvent, MOST_UNLISTED};
use crate::matching::{
    At, EventMatcher, EventScratch, Fields, Meaning, Node, Scan, ScanError, Slot,
};
use crate::observe::metrics::Metrics;
use crate::sighting::instances::{ArrivalOrder, Collected, Room};
use crate::state::journal::Ticket;

mod value_indicators;

use value_indicators::{Names, Plain, PlainIds, Properties, ValueIndicators, plain_size};

/// The most memory for indicators, in bytes, in a run that does not end by itself.
const MOST_BYTES: usize = 1 << 30;

/// An indicator that is searched, or a part of one.
#[derive(Debug)]
pub struct Watched {
    /// The indicator itself.
    pub indicator: Arc<Indicator>,
    reported: AtomicU64,
    /// Set if it is a part of an indicator of several events: then one event is not a match.
    pub part: Option<WatchedPart>,
}

/// One of the events that an indicator of several events consists of.
#[derive(Debug)]
pub struct WatchedPart {
    /// Its number.
    pub number: u16,
    /// The whole indicator.
    pub of: Arc<WatchedSequence>,
}

/// An indicator of several events.
#[derive(Debug)]
pub struct WatchedSequence {
    /// The indicator itself.
    pub whole: Arc<Watched>,
    /// The events of its parts that a pass has found.
    pub collected: Collected,
}

impl Watched {
    fn new(indicator: impl Into<Arc<Indicator>>) -> Self {
        Watched {
            indicator: indicator.into(),
            reported: AtomicU64::new(0),
            part: None,
        }
    }

    /// Counts one more sighting; `false` if it has reached its limit. The first one counts the
    /// indicator as matched.
    pub fn claim(&self, limit: Option<NonZeroU64>, metrics: &Metrics) -> bool {
        let before = self.reported.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            metrics.indicators_matched.add(1);
        }
        limit.is_none_or(|limit| before < limit.get())
    }
}

/// A full indicator in the list, with what only the list needs.
struct WatchlistEntry {
    watched: Arc<Watched>,
    /// The same as an indicator of several events with its parts, if it is one.
    sequence: Option<(Arc<WatchedSequence>, Vec<Arc<Watched>>)>,
    /// Its entry in the journal, if it has one.
    ticket: Option<Ticket>,
    /// When its validity ends.
    end: Option<Expiry>,
}

/// The name of a field that is in no table, and whose ending allows an address.
const ANY_ADDRESS: &str = "of_column_addr";

/// The buffers of a thread, which are reused for each event.
#[derive(Debug, Default)]
pub struct Scratch {
    events: EventScratch,
    slots: Vec<Slot>,
    columns: Columns,
}

impl Scratch {
    /// Has to be called before lines of another log, and after a change of the list.
    pub fn forget_columns(&mut self) {
        self.columns.header = None;
    }
}

/// The columns of a table in which something is searched.
#[derive(Debug, Default)]
struct Columns {
    /// The number of their header.
    header: Option<u64>,
    /// For each column; `None` if nothing is searched in it.
    nodes: Vec<Option<Node>>,
}

impl Columns {
    /// Looks up the columns of a header, if it is new.
    fn look_up(&mut self, header: &Header, scan: &mut Scan<'_>) {
        if self.header == Some(header.number()) {
            return;
        }
        self.header = Some(header.number());
        self.nodes.clear();
        self.nodes.extend(header.columns().iter().map(|column| {
            let node = scan.field(&column.name);
            if scan.wants(node) {
                return Some(node);
            }
            // If the header says that a column has addresses, its name does not matter.
            let node = (column.kind == Type::Address).then(|| scan.field(ANY_ADDRESS));
            node.filter(|node| scan.wants(*node))
        }));
    }

    /// Matches the values of a row.
    fn scan_row(&self, row: &TsvRow<'_>, scan: &mut Scan<'_>) {
        for (node, (column, cell)) in self.nodes.iter().zip(row.cells()) {
            let (Some(node), Cell::Value(value)) = (*node, cell) else {
                continue;
            };
            let at = At {
                node,
                element: 0,
                in_list: column.is_list,
            };
            if column.is_list {
                for element in row.elements(value) {
                    if let Cell::Value(value) = element {
                        scan_value(scan, at, column.kind, value);
                    }
                }
            } else {
                scan_value(scan, at, column.kind, value);
            }
        }
    }
}

/// Matches one value as the type that it would have in JSON.
#[inline]
fn scan_value(scan: &mut Scan<'_>, at: At, kind: Type, value: &[u8]) {
    let text = text(value);
    match kind {
        Type::Integer | Type::Double if text.parse::<f64>().is_ok() => scan.number(at, &text),
        Type::Bool if matches!(&*text, "T" | "F") => {}
        _ => scan.text(at, &text),
    }
}

/// All indicators that are searched.
pub struct Watchlist {
    matcher: EventMatcher,
    answers: bool,
    /// By the slot of their value.
    by_slot: Vec<ValueIndicators>,
    /// The full indicators.
    by_id: HashMap<Arc<str>, WatchlistEntry>,
    /// The plain indicators.
    plain: PlainIds,
    /// The properties of plain indicators, by slot, up to the last slot that has some.
    properties: Vec<Option<Properties>>,
    /// The names of these properties.
    names: Names,
    /// Indicators and parts without a value to look up: they are checked in every event.
    unlisted: Vec<Arc<Watched>>,
    bytes: usize,
    most_bytes: usize,
    /// The memory for events of indicators of several events, of all such indicators together.
    event_memory: Room,
}

impl Watchlist {
    /// A list without indicators. It is `bounded` unless all indicators are in files that the user
    /// names.
    pub fn new(bounded: bool, meaning: Meaning) -> Self {
        Watchlist {
            matcher: EventMatcher::new(meaning),
            answers: meaning.answers,
            by_slot: Vec::new(),
            by_id: HashMap::new(),
            plain: PlainIds::default(),
            properties: Vec::new(),
            names: Names::default(),
            unlisted: Vec::new(),
            bytes: 0,
            most_bytes: if bounded { MOST_BYTES } else { usize::MAX },
            event_memory: Room::default(),
        }
    }
}

impl Table for Watchlist {
    fn put(
        &mut self,
        indicator: Arc<Indicator>,
        ticket: Option<Ticket>,
        end: Option<Expiry>,
    ) -> PutOutcome {
        let known = self.by_id.get_mut(&indicator.id);
        if let Some(known) = known.filter(|known| known.is_same(&indicator)) {
            // The last end counts. The indicator that is there has its own ticket.
            known.end = end;
            return PutOutcome::Repeated;
        }
        let plain = if ticket.is_none() && end.is_none() {
            Plain::of(&indicator, &mut self.names)
        } else {
            None
        };
        if let Some(slot) = self.plain.get(&indicator.id, &self.by_slot) {
            if self.is_same_plain(slot, &indicator, plain.as_ref()) {
                return PutOutcome::Repeated;
            }
            self.remove_plain(slot);
        } else {
            self.remove_entry(&indicator.id);
        }
        let bytes = self.bytes.saturating_add(indicator.size());
        if bytes > self.most_bytes {
            return PutOutcome::Full(NoRoom::Memory);
        }
        let unlisted = unlisted(&indicator);
        if unlisted > 0 && self.unlisted.len() + unlisted > MOST_UNLISTED {
            return PutOutcome::Full(NoRoom::Checks);
        }
        if let Some((plain, properties)) = plain {
            if self.put_plain(&indicator, plain, properties) {
                return PutOutcome::Added;
            }
        }
        self.bytes = bytes;
        let watched = Arc::new(Watched::new(indicator));
        let sequence = self.watch_sequence(&watched);
        match &sequence {
            Some((_, parts)) => parts.iter().for_each(|part| self.link(part)),
            None => self.link(&watched),
        }
        let entry = WatchlistEntry {
            sequence,
            ticket,
            end,
            watched,
        };
        self.store(entry);
        PutOutcome::Added
    }

    fn remove(&mut self, id: &str) -> bool {
        if let Some(slot) = self.plain.get(id, &self.by_slot) {
            self.remove_plain(slot);
            return true;
        }
        self.remove_entry(id)
    }

    fn expiry_of(&self, id: &str) -> Option<Expiry> {
        self.by_id.get(id)?.end
    }

    fn len(&self) -> usize {
        self.by_id.len() + self.plain.len()
    }
}

/// How many parts of an indicator have no value to look up.
fn unlisted(indicator: &Indicator) -> usize {
    let parts = indicator.sequence.as_ref().map(|one| &*one.parts);
    let parts = parts.unwrap_or(std::slice::from_ref(indicator));
    parts.iter().filter(|part| part.selection.is_some()).count()
}

impl WatchlistEntry {
    /// Whether an indicator with the same id searches for the same, in the same protocol.
    fn is_same(&self, other: &Indicator) -> bool {
        let own = &self.watched.indicator;
        own.searches_the_same(other)
            && own.protocol == other.protocol
            && own.is_described_the_same(other)
    }
}

impl Watchlist {
    /// An indicator of several events with its parts; `None` if it is of one.
    fn watch_sequence(
        &self,
        whole: &Arc<Watched>,
    ) -> Option<(Arc<WatchedSequence>, Vec<Arc<Watched>>)> {
        let sequence = whole.indicator.sequence.as_ref()?;
        let watched = Arc::new(WatchedSequence {
            whole: whole.clone(),
            collected: Collected::new(
                sequence.clone(),
                self.event_memory.clone(),
                ArrivalOrder::Time,
            ),
        });
        let parts = (0..).zip(&sequence.parts).map(|(number, part)| {
            Arc::new(Watched {
                part: Some(WatchedPart {
                    number,
                    of: watched.clone(),
                }),
                ..Watched::new(part.clone())
            })
        });
        let parts = parts.collect();
        Some((watched, parts))
    }

    /// All indicators of several events, in the order of their ids.
    pub fn all_sequences(&self) -> Vec<&Arc<WatchedSequence>> {
        let all = self
            .by_id
            .values()
            .filter_map(|entry| entry.sequence.as_ref());
        let mut all: Vec<&Arc<WatchedSequence>> = all.map(|(sequence, _)| sequence).collect();
        all.sort_by(|one, other| one.whole.indicator.id.cmp(&other.whole.indicator.id));
        all
    }

    /// Removes an indicator or a part from the index and from `unlisted`.
    fn unlink(&mut self, watched: &Arc<Watched>) {
        self.unlisted.retain(|other| !Arc::ptr_eq(other, watched));
        for observable in &watched.indicator.observables {
            let Some(slot) = self.matcher.index().slot(observable) else {
                continue;
            };
            let indicators = &mut self.by_slot[slot.index()];
            if let ValueIndicators::Full(all) = indicators {
                all.retain(|other| !Arc::ptr_eq(other, watched));
            }
            if indicators.is_empty() {
                self.matcher.remove(observable);
            }
        }
    }

    /// Adds an indicator or a part to the index or to `unlisted`.
    fn link(&mut self, watched: &Arc<Watched>) {
        for observable in &watched.indicator.observables {
            let slot = self.matcher.insert(observable);
            let indicators = self.indicators_mut(slot);
            if !indicators.iter().any(|other| Arc::ptr_eq(other, watched)) {
                indicators.push(watched.clone());
            }
        }
        if watched.indicator.selection.is_some() {
            self.unlisted.push(watched.clone());
        }
    }

    fn store(&mut self, entry: WatchlistEntry) {
        self.by_id.insert(entry.watched.indicator.id.clone(), entry);
    }

    /// Whether an indicator is the same as the plain one in this slot, which has the same id.
    fn is_same_plain(
        &self,
        slot: Slot,
        indicator: &Indicator,
        plain: Option<&(Plain, Option<Properties>)>,
    ) -> bool {
        let Some((plain, properties)) = plain else {
            return false;
        };
        let known_properties = self.properties.get(slot.index()).and_then(Option::as_ref);
        if known_properties != properties.as_ref() {
            return false;
        }
        let known = self.matcher.index().slot(&indicator.observables[0]);
        let own = &self.by_slot[slot.index()];
        known == Some(slot) && matches!(own, ValueIndicators::Plain(own) if own.is_same(plain))
    }

    /// Adds a plain indicator; `false` if other indicators have its value, or if the index cannot
    /// give the value back.
    fn put_plain(
        &mut self,
        indicator: &Indicator,
        plain: Plain,
        properties: Option<Properties>,
    ) -> bool {
        let observable = &indicator.observables[0];
        let slot = self.matcher.insert(observable);
        self.grow_to(slot);
        let indicators = &mut self.by_slot[slot.index()];
        if !indicators.is_empty() {
            return false;
        }
        if self.matcher.index().observable(slot) != *observable {
            self.matcher.remove(observable);
            return false;
        }
        self.bytes += plain_size(observable) + properties.as_ref().map_or(0, Properties::size);
        if properties.is_some() {
            if slot.index() >= self.properties.len() {
                self.properties.resize_with(slot.index() + 1, || None);
            }
            self.properties[slot.index()] = properties;
        }
        let id = plain.id;
        *indicators = ValueIndicators::Plain(plain);
        self.plain.insert(id, slot, &self.by_slot);
        true
    }

    /// Removes a full indicator; returns whether it was there.
    fn remove_entry(&mut self, id: &str) -> bool {
        let Some(entry) = self.by_id.remove(id) else {
            return false;
        };
        self.bytes -= entry.watched.indicator.size();
        match &entry.sequence {
            Some((_, parts)) => parts.iter().for_each(|part| self.unlink(part)),
            None => self.unlink(&entry.watched),
        }
        true
    }

    fn remove_plain(&mut self, slot: Slot) {
        let indicators = std::mem::take(&mut self.by_slot[slot.index()]);
        if let ValueIndicators::Plain(plain) = indicators {
            let value = self.matcher.index().observable(slot);
            self.plain.remove(plain.id, slot);
            let properties = self.take_properties(slot);
            self.bytes -= plain_size(&value) + properties.as_ref().map_or(0, Properties::size);
            self.matcher.remove(&value);
        }
    }

    fn take_properties(&mut self, slot: Slot) -> Option<Properties> {
        self.properties.get_mut(slot.index()).and_then(Option::take)
    }

    /// Makes `by_slot` long enough for this slot.
    fn grow_to(&mut self, slot: Slot) {
        if slot.index() >= self.by_slot.len() {
            self.by_slot
                .resize_with(slot.index() + 1, ValueIndicators::default);
        }
    }

    /// All indicators with the value of a slot. A plain one becomes a full one.
    fn indicators_mut(&mut self, slot: Slot) -> &mut Vec<Arc<Watched>> {
        self.grow_to(slot);
        let index = slot.index();
        let properties = self.take_properties(slot);
        if let ValueIndicators::Plain(plain) = &self.by_slot[index] {
            let value = || self.matcher.index().observable(slot);
            let watched = plain.watched(value, properties.as_ref()).clone();
            self.plain.remove(plain.id, slot);
            let value = &watched.indicator.observables[0];
            self.bytes -= plain_size(value) + properties.as_ref().map_or(0, Properties::size);
            self.bytes += watched.indicator.size();
            self.by_slot[index] = ValueIndicators::Full(vec![watched.clone()]);
            self.store(WatchlistEntry {
                watched,
                sequence: None,
                ticket: None,
                end: None,
            });
        }
        match &mut self.by_slot[index] {
            ValueIndicators::Full(all) => all,
            ValueIndicators::Plain(_) => unreachable!("it was replaced just now"),
        }
    }

    /// All indicators with the value of a slot.
    fn indicators_of(&self, slot: Slot) -> &[Arc<Watched>] {
        match &self.by_slot[slot.index()] {
            ValueIndicators::Full(all) => all,
            ValueIndicators::Plain(plain) => {
                let properties = self.properties.get(slot.index()).and_then(Option::as_ref);
                let value = || self.matcher.index().observable(slot);
                std::slice::from_ref(plain.watched(value, properties))
            }
        }
    }

    /// The tickets of all indicators.
    pub fn into_tickets(self) -> impl Iterator<Item = Option<Ticket>> {
        let plain = (0..self.plain.len()).map(|_| None);
        self.by_id
            .into_values()
            .map(|entry| entry.ticket)
            .chain(plain)
    }

    /// Reports every indicator that the event in `line` matches, each once.
    ///
    /// # Errors
    /// The line is not one JSON object.
    pub fn matches<'a>(
        &'a self,
        line: &str,
        scratch: &mut Scratch,
        mut report: impl FnMut(&'a Arc<Watched>),
    ) -> Result<(), ScanError> {
        let Scratch {
            events,
            slots,
            columns,
        } = scratch;
        // Matching JSON may drop the nodes of the columns from the matcher's memory of fields.
        columns.header = None;
        let _ = self.matcher.matches("", line, events, slots)?;
        self.report_matches(line, slots, &mut report);
        Ok(())
    }

    /// The same for a row. It is printed as JSON only if one of its values is searched, or if there
    /// are indicators to check in every event.
    ///
    /// # Errors
    /// None is expected: a printed row is one JSON object.
    pub fn matches_row<'a>(
        &'a self,
        row: &TsvRow<'_>,
        scratch: &mut Scratch,
        printed: &mut String,
        mut report: impl FnMut(&'a Arc<Watched>),
    ) -> Result<(), ScanError> {
        printed.clear();
        let Scratch {
            events,
            slots,
            columns,
        } = scratch;
        let Some(mut scan) = self.matcher.scan(events) else {
            zeek_json::print(row, printed);
            return self.matches(printed, scratch, report);
        };
        slots.clear();
        columns.look_up(row.header(), &mut scan);
        scan.begin();
        columns.scan_row(row, &mut scan);
        scan.end(slots);
        if !slots.is_empty() || !self.unlisted.is_empty() {
            zeek_json::print(row, printed);
            self.report_matches(printed, slots, &mut report);
        }
        Ok(())
    }

    /// Reports the indicators that an event matches: among those with these values, and those to
    /// check in every event.
    fn report_matches<'a>(
        &'a self,
        line: &str,
        slots: &[Slot],
        report: &mut impl FnMut(&'a Arc<Watched>),
    ) {
        let event = LazyEvent::new(line, Fields::Named, self.answers);
        let mut report_if_met = |one: &'a Arc<Watched>| {
            if one.indicator.condition_holds(&event) {
                report(one);
            }
        };
        self.unlisted.iter().for_each(&mut report_if_met);
        match slots {
            [] => {}
            [slot] => self
                .indicators_of(*slot)
                .iter()
                .for_each(&mut report_if_met),
            _ => {
                let all = slots.iter().flat_map(|slot| self.indicators_of(*slot));
                let mut all: Vec<&Arc<Watched>> = all.collect();
                all.sort_unstable_by_key(|one| Arc::as_ptr(one));
                all.dedup_by(|one, other| Arc::ptr_eq(one, other));
                all.into_iter().for_each(report_if_met);
            }
        }
    }
}

#[cfg(test)]
mod tests;

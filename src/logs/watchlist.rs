//! The indicators that are searched in log files by several threads at once, which of them an
//! event matches, and how often each is reported.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use super::format::zeek_json;
use super::format::zeek_tsv::{Cell, Header, TsvRow, Type, text};
use crate::indicator::{Indicator, Sequence};
use crate::intake::{Expiry, IndicatorTable, PutOutcome, ShortId, Table, TableMatch, TableScratch};
use crate::matching::{At, Meaning, Node, Scan, ScanError};
use crate::observe::metrics::Metrics;
use crate::sighting::instances::{ArrivalOrder, Collected, Room};
use crate::state::journal::Ticket;

/// An indicator that an event has matched, or a part of which it has.
#[derive(Debug)]
pub struct Watched {
    /// The indicator itself.
    pub indicator: Arc<Indicator>,
    /// The events of its parts that a pass has found, if it is one of several events.
    pub collected: Option<Box<Collected>>,
    reported: AtomicU64,
}

impl Watched {
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

/// What an event matches.
#[derive(Clone, Debug)]
pub struct Found {
    /// The indicator.
    pub watched: Arc<Watched>,
    /// The number of the part, if it means several events: then one event is not a match.
    pub part: Option<u16>,
}

impl Found {
    /// Whether both are the same indicator, or the same part of one.
    pub fn is_same(&self, other: &Found) -> bool {
        Arc::ptr_eq(&self.watched, &other.watched) && self.part == other.part
    }
}

/// The name of a field that is in no table, and whose ending allows an address.
const ANY_ADDRESS: &str = "of_column_addr";

/// The buffers of a thread, which are reused for each event.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) table: TableScratch,
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
    table: IndicatorTable,
    /// Those that an event has matched, as long as they are in the table.
    watched: RwLock<HashMap<ShortId, Arc<Watched>>>,
    /// The open entries of the journal, by id.
    tickets: HashMap<Arc<str>, Ticket>,
    /// The memory for events of indicators of several events, of all such indicators together.
    event_memory: Room,
}

impl Table for Watchlist {
    fn put(
        &mut self,
        indicator: Arc<Indicator>,
        ticket: Option<Ticket>,
        end: Option<Expiry>,
    ) -> PutOutcome {
        let id = indicator.id.clone();
        let known = self.key(&id);
        // Since when it is searched is not queried here.
        let put = self.table.put(indicator, end, SystemTime::UNIX_EPOCH);
        match put {
            // What is there has its own ticket, if it has one.
            PutOutcome::Repeated => {
                if let Some(ticket) = ticket {
                    self.tickets.entry(id).or_insert(ticket);
                }
            }
            PutOutcome::Added => {
                self.forget(&id, known);
                self.tickets.extend(ticket.map(|ticket| (id, ticket)));
            }
            PutOutcome::Full(_) | PutOutcome::Refused => {}
        }
        put
    }

    fn remove(&mut self, id: &str) -> bool {
        let known = self.key(id);
        self.forget(id, known);
        self.table.remove(id)
    }

    fn expiry_of(&self, id: &str) -> Option<Expiry> {
        self.table.expiry_of(id)
    }

    fn len(&self) -> usize {
        self.table.len()
    }
}

impl Watchlist {
    /// A list without indicators. It is `bounded` unless all indicators are in files that the user
    /// names.
    pub fn new(bounded: bool, meaning: Meaning) -> Self {
        Watchlist {
            table: IndicatorTable::for_logs(bounded, meaning, SystemTime::UNIX_EPOCH),
            watched: RwLock::default(),
            tickets: HashMap::new(),
            event_memory: Room::default(),
        }
    }

    /// The key of the indicator with this id, if an event may have matched it.
    fn key(&mut self, id: &str) -> Option<ShortId> {
        let watched = self.watched.get_mut();
        if watched.unwrap_or_else(PoisonError::into_inner).is_empty() {
            return None;
        }
        self.table.with_id(id).map(|known| known.key())
    }

    /// Drops what belongs to an indicator that is removed or replaced.
    fn forget(&mut self, id: &str, key: Option<ShortId>) {
        self.tickets.remove(id);
        let watched = self.watched.get_mut();
        let watched = watched.unwrap_or_else(PoisonError::into_inner);
        key.map(|key| watched.remove(&key));
    }

    /// All indicators of several events of which a part was found, in the order of their ids.
    pub fn begun_sequences(&self) -> Vec<Arc<Watched>> {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let all = watched.values().filter(|one| one.collected.is_some());
        let mut all: Vec<Arc<Watched>> = all.cloned().collect();
        all.sort_by(|one, other| one.indicator.id.cmp(&other.indicator.id));
        all
    }

    /// The tickets of all indicators that have one.
    pub fn into_tickets(self) -> impl Iterator<Item = Ticket> {
        self.tickets.into_values()
    }

    /// Reports every indicator, or part of one, that the event in `line` matches, each once.
    ///
    /// # Errors
    /// The line is not one JSON object.
    pub fn matches(
        &self,
        line: &str,
        scratch: &mut Scratch,
        mut report: impl FnMut(Found),
    ) -> Result<(), ScanError> {
        let Scratch { table, columns } = scratch;
        // Matching JSON may drop the nodes of the columns from the matcher's memory of fields.
        columns.header = None;
        let report = |one: TableMatch<'_>| report(self.found(one));
        self.table.matches("", line, table, report).map(|_| ())
    }

    /// The same for a row. It is printed as JSON only if one of its values is searched, or if there
    /// are indicators to check in every event.
    ///
    /// # Errors
    /// None is expected: a printed row is one JSON object.
    pub fn matches_row(
        &self,
        row: &TsvRow<'_>,
        scratch: &mut Scratch,
        printed: &mut String,
        mut report: impl FnMut(Found),
    ) -> Result<(), ScanError> {
        printed.clear();
        let Scratch { table, columns } = scratch;
        let Some(mut scan) = self.table.matcher().scan(&mut table.events) else {
            zeek_json::print(row, printed);
            return self.matches(printed, scratch, report);
        };
        table.slots.clear();
        columns.look_up(row.header(), &mut scan);
        scan.begin();
        columns.scan_row(row, &mut scan);
        scan.end(&mut table.slots);
        if !table.slots.is_empty() || self.table.has_unlisted() {
            zeek_json::print(row, printed);
            let report = |one: TableMatch<'_>| report(self.found(one));
            self.table.report(printed, &table.slots, report);
        }
        Ok(())
    }

    /// What an event matches, with the count of its sightings.
    fn found(&self, one: TableMatch<'_>) -> Found {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let known = watched.get(&one.key()).cloned();
        drop(watched);
        let watched = known.unwrap_or_else(|| {
            let all = self.watched.write();
            let mut all = all.unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(self.watch(one.indicator()));
            all.entry(one.key()).or_insert_with(new).clone()
        });
        Found {
            watched,
            part: one.part(),
        }
    }

    fn watch(&self, indicator: Arc<Indicator>) -> Watched {
        let collect = |sequence: &Arc<Sequence>| {
            let room = self.event_memory.clone();
            Box::new(Collected::new(sequence.clone(), room, ArrivalOrder::Time))
        };
        Watched {
            collected: indicator.sequence.as_ref().map(collect),
            indicator,
            reported: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests;

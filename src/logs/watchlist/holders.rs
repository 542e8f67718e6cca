//! Who holds a value: most values are held by one indicator of which there is nothing
//! to say but its id. There may be a million of those, and they take little memory.

use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::Watched;
use crate::indicator::{Indicator, Protocol, Validity};
use crate::intake::ShortId;
use crate::matching::Slot;
use crate::observable::Observable;

/// The indicators that hold one value.
#[derive(Debug)]
pub enum Holders {
    /// One that is made of its id and the value when an event matches it.
    Plain(Plain),
    /// Any others; perhaps none.
    Full(Vec<Arc<Watched>>),
}

impl Default for Holders {
    fn default() -> Self {
        Holders::Full(Vec::new())
    }
}

impl Holders {
    /// Whether nobody holds the value.
    pub fn is_empty(&self) -> bool {
        matches!(self, Holders::Full(all) if all.is_empty())
    }
}

/// What a plain indicator takes beside its text, in bytes: its place here, and those in
/// the tables of ids and of values.
const BYTES: usize = 120;

/// What a plain indicator with this value takes, in bytes, about.
pub fn plain_size(value: &Observable) -> usize {
    BYTES + value.to_string().len()
}

/// An indicator that is no more than an id and one value.
#[derive(Debug)]
pub struct Plain {
    /// Its id.
    pub id: ShortId,
    protocol: Protocol,
    watched: OnceLock<Arc<Watched>>,
}

impl Plain {
    /// The indicator as this, if it is no more.
    pub fn of(indicator: &Indicator) -> Option<Self> {
        let [observable] = &indicator.observables[..] else {
            return None;
        };
        let [ioc] = &indicator.ioc[..] else {
            return None;
        };
        let is_spelled_so = |text: &str| text == ioc;
        let spelled = observable.spelled();
        let is_plain = indicator.selection.is_none()
            && indicator.condition.is_none()
            && indicator.original.is_none()
            && indicator.properties.is_none()
            && spelled.is_none_or(|spelled| is_spelled_so(spelled.as_written()))
            && is_spelled_so(&observable.to_string());
        Some(Plain {
            id: ShortId::of(&indicator.id).filter(|_| is_plain)?,
            protocol: indicator.protocol,
            watched: OnceLock::new(),
        })
    }

    /// Whether an indicator with the same id and this value is the same.
    pub fn is_same(&self, other: &Plain) -> bool {
        self.protocol == other.protocol
    }

    /// The indicator, which holds this value.
    pub fn watched(&self, value: impl FnOnce() -> Observable) -> &Arc<Watched> {
        self.watched.get_or_init(|| {
            let value = value();
            Arc::new(Watched::new(Indicator {
                id: self.id.text().expect("only such are plain"),
                protocol: self.protocol,
                ioc: vec![value.to_string()],
                observables: vec![value],
                selection: None,
                condition: None,
                // Those that end are not plain.
                validity: Validity::ALWAYS,
                original: None,
                properties: None,
            }))
        })
    }
}

/// The slots of plain indicators by their ids, which stand with the holders.
#[derive(Debug, Default)]
pub struct PlainIds {
    table: HashTable<Slot>,
    hasher: RandomState,
}

impl PlainIds {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The slot of an id.
    pub fn get(&self, id: &str, holders: &[Holders]) -> Option<Slot> {
        let id = ShortId::of(id)?;
        let is_it = |slot: &Slot| plain_id(holders, *slot) == Some(id);
        self.table.find(self.hasher.hash_one(id), is_it).copied()
    }

    /// Notes the slot of an id that is not there yet, and stands with the holders.
    pub fn insert(&mut self, id: ShortId, slot: Slot, holders: &[Holders]) {
        let PlainIds { table, hasher } = self;
        let hash = |slot: &Slot| {
            let id = plain_id(holders, *slot).expect("an id is forgotten before its holder");
            hasher.hash_one(id)
        };
        table.insert_unique(hasher.hash_one(id), slot, hash);
    }

    /// Forgets the id of a slot.
    pub fn remove(&mut self, id: ShortId, slot: Slot) {
        let hash = self.hasher.hash_one(id);
        if let Ok(found) = self.table.find_entry(hash, |known| *known == slot) {
            found.remove();
        }
    }
}

fn plain_id(holders: &[Holders], slot: Slot) -> Option<ShortId> {
    match &holders[slot.index()] {
        Holders::Plain(plain) => Some(plain.id),
        Holders::Full(_) => None,
    }
}

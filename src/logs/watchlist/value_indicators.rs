//! The indicators that have a value. Most values belong to one indicator, which has nothing else
//! but its id. There may be a million of those, so they need little memory.

use std::collections::VecDeque;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Watched;
use crate::indicator::{Indicator, Protocol};
use crate::intake::ShortId;
use crate::matching::Slot;
use crate::observable::Observable;

/// The indicators that have one value.
#[derive(Debug)]
pub enum ValueIndicators {
    /// A plain one. The whole indicator is made of its id and the value when an event matches it.
    Plain(Plain),
    /// Any others, or none.
    Full(Vec<Arc<Watched>>),
}

impl Default for ValueIndicators {
    fn default() -> Self {
        ValueIndicators::Full(Vec::new())
    }
}

impl ValueIndicators {
    /// Whether no indicator has the value.
    pub fn is_empty(&self) -> bool {
        matches!(self, ValueIndicators::Full(all) if all.is_empty())
    }
}

/// The memory of a plain indicator beside its text, in bytes: its place here, and those in the
/// tables of ids and of values.
const BYTES: usize = 120;

/// An indicator that is only an id and one value. Its [`Properties`] are kept elsewhere, since most
/// have none.
#[derive(Debug)]
pub struct Plain {
    /// Its id.
    pub id: ShortId,
    protocol: Protocol,
    watched: OnceLock<Arc<Watched>>,
}

/// The properties of an indicator in its feed. They are a JSON object whose names and values are
/// kept apart, since the rows of a feed have the same names.
#[derive(Debug, PartialEq, Eq)]
pub struct Properties {
    /// The names as JSON, shared by all rows with the same columns.
    names: Arc<Vec<Box<str>>>,
    /// The values as JSON, each followed by a line feed.
    values: Box<str>,
}

/// The last lists of names: most rows have the same as the one before.
#[derive(Debug, Default)]
pub struct Names {
    known: VecDeque<Arc<Vec<Box<str>>>>,
    buffer: String,
}

/// How many lists of names are remembered. Empty cells are left out, which gives other lists.
const MOST_NAMES: usize = 64;

impl Names {
    /// This list of names, shared if it is remembered.
    fn shared(&mut self, names: &[&str]) -> Arc<Vec<Box<str>>> {
        let is_it = |known: &Arc<Vec<Box<str>>>| {
            known.len() == names.len()
                && known.iter().zip(names).all(|(one, other)| **one == **other)
        };
        if let Some(known) = self.known.iter().find(|known| is_it(known)) {
            return known.clone();
        }
        if self.known.len() == MOST_NAMES {
            self.known.pop_front();
        }
        let new: Vec<Box<str>> = names.iter().map(|&name| name.into()).collect();
        let new = Arc::new(new);
        self.known.push_back(new.clone());
        new
    }
}

impl Properties {
    /// Separates the names and values of an object; `None` if they could not be put together again.
    fn of(object: &RawValue, known: &mut Names) -> Option<Self> {
        let members: Members<'_> = serde_json::from_str(object.get()).ok()?;
        let names: Vec<&str> = members.0.iter().map(|(name, _)| name.get()).collect();
        // Collected in a buffer and copied: a text that is cut to its size would fragment memory.
        let mut values = std::mem::take(&mut known.buffer);
        values.clear();
        for (_, value) in &members.0 {
            // JSON can have line feeds only between tokens.
            if value.get().contains('\n') {
                return None;
            }
            values.push_str(value.get());
            values.push('\n');
        }
        let properties = Properties {
            names: known.shared(&names),
            values: values.as_str().into(),
        };
        known.buffer = values;
        Some(properties)
    }

    /// Their memory in bytes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.values.len()
    }

    /// The object.
    fn object(&self) -> Option<Box<RawValue>> {
        let members = self.names.iter().zip(self.values.lines());
        let members: Vec<String> = members
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        // They were those of an object.
        RawValue::from_string(format!("{{{}}}", members.join(","))).ok()
    }
}

/// The memory of a plain indicator with this value in bytes, roughly.
pub fn plain_size(value: &Observable) -> usize {
    BYTES + value.spelled().map_or(0, |text| text.len())
}

impl Plain {
    /// The indicator as a plain one, if it is no more than that, and its properties. Their names
    /// are shared with others.
    pub fn of(indicator: &Indicator, names: &mut Names) -> Option<(Self, Option<Properties>)> {
        let [observable] = &indicator.observables[..] else {
            return None;
        };
        let [ioc] = &indicator.ioc[..] else {
            return None;
        };
        let is_spelled_so = match observable.spelled() {
            Some(spelled) => spelled.as_written() == ioc && spelled.as_str() == ioc,
            None => observable.to_string() == *ioc,
        };
        let is_plain = indicator.selection.is_none()
            && indicator.condition.is_none()
            && indicator.original.is_none()
            && indicator.sequence.is_none()
            && is_spelled_so;
        let id = ShortId::of(&indicator.id).filter(|_| is_plain)?;
        let properties = match &indicator.properties {
            Some(object) => Some(Properties::of(object, names)?),
            None => None,
        };
        let plain = Plain {
            id,
            protocol: indicator.protocol,
            watched: OnceLock::new(),
        };
        Some((plain, properties))
    }

    /// Whether an indicator with the same id and value is the same.
    pub fn is_same(&self, other: &Plain) -> bool {
        self.protocol == other.protocol
    }

    /// The whole indicator, with this value and these properties.
    pub fn watched(
        &self,
        value: impl FnOnce() -> Observable,
        properties: Option<&Properties>,
    ) -> &Arc<Watched> {
        self.watched.get_or_init(|| {
            let value = value();
            Arc::new(Watched::new(Indicator {
                ioc: vec![value.to_string()],
                properties: properties.and_then(Properties::object),
                // An indicator that expires is not plain.
                ..Indicator::new(
                    self.id.text().expect("only such are plain"),
                    self.protocol,
                    vec![value],
                )
            }))
        })
    }
}

/// The members of a JSON object, names and values, as JSON.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

/// The slots of plain indicators by their ids. The ids themselves are in [`ValueIndicators`].
#[derive(Debug, Default)]
pub struct PlainIds {
    table: HashTable<Slot>,
    hasher: RandomState,
}

impl PlainIds {
    /// The number of plain indicators.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The slot of an id.
    pub fn get(&self, id: &str, indicators: &[ValueIndicators]) -> Option<Slot> {
        let id = ShortId::of(id)?;
        let is_it = |slot: &Slot| plain_id(indicators, *slot) == Some(id);
        self.table.find(self.hasher.hash_one(id), is_it).copied()
    }

    /// Adds the slot of an id that is not there yet. `indicators` have it already.
    pub fn insert(&mut self, id: ShortId, slot: Slot, indicators: &[ValueIndicators]) {
        let PlainIds { table, hasher } = self;
        let hash = |slot: &Slot| {
            let id = plain_id(indicators, *slot).expect("an id is forgotten before its indicator");
            hasher.hash_one(id)
        };
        table.insert_unique(hasher.hash_one(id), slot, hash);
    }

    /// Removes the id of a slot.
    pub fn remove(&mut self, id: ShortId, slot: Slot) {
        let hash = self.hasher.hash_one(id);
        if let Ok(found) = self.table.find_entry(hash, |known| *known == slot) {
            found.remove();
        }
    }
}

fn plain_id(indicators: &[ValueIndicators], slot: Slot) -> Option<ShortId> {
    match &indicators[slot.index()] {
        ValueIndicators::Plain(plain) => Some(plain.id),
        ValueIndicators::Full(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indicator(properties: &str) -> Indicator {
        Indicator {
            ioc: vec!["a.example".to_owned()],
            properties: RawValue::from_string(properties.to_owned()).ok(),
            ..Indicator::new(
                "1".into(),
                Protocol::Legacy,
                vec![Observable::domain("a.example")],
            )
        }
    }

    #[test]
    fn properties_are_put_together_again() {
        let mut names = Names::default();
        for properties in [
            "{}",
            r#"{"tags":"a,b","n":1}"#,
            r#"{"tags":"\n\"","n":{"a":[1,2]}}"#,
            r#"{"\u0000":null,"ü":""}"#,
        ] {
            let plain = Plain::of(&indicator(properties), &mut names);
            let (plain, kept) = plain.expect("it is plain");
            let watched = plain.watched(|| Observable::domain("a.example"), kept.as_ref());
            let again = watched.indicator.properties.as_ref().map(|json| json.get());
            assert_eq!(again, Some(properties));
        }
        // Two of them have the same names.
        assert_eq!(names.known.len(), 3);
        assert!(Plain::of(&indicator("{\"a\":\n1}"), &mut names).is_some());
        assert!(Plain::of(&indicator("{\"a\":[1,\n2]}"), &mut names).is_none());
    }
}

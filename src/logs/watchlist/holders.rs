//! Who holds a value: most values are held by one indicator of which there is nothing
//! to say but its id. There may be a million of those, and they take little memory.

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

/// An indicator that is no more than an id and one value; what its feed says of it
/// ([`FeedFields`]) stands elsewhere, since most say nothing.
#[derive(Debug)]
pub struct Plain {
    /// Its id.
    pub id: ShortId,
    protocol: Protocol,
    watched: OnceLock<Arc<Watched>>,
}

/// What a feed says of an indicator, a JSON object, taken apart: the rows of a feed have
/// the same names.
#[derive(Debug)]
pub struct FeedFields {
    /// Those that all rows with the same columns share, as they stand in JSON.
    names: Arc<Vec<Box<str>>>,
    /// A value for each, as it stands in JSON, with a line feed behind it.
    values: Box<str>,
}

/// The names that were met last: mostly the next row has the same.
#[derive(Debug, Default)]
pub struct Names {
    known: VecDeque<Arc<Vec<Box<str>>>>,
    buffer: String,
}

/// So many lists of names are remembered: cells may be empty, which makes another list.
const MOST_NAMES: usize = 64;

impl Names {
    /// These names, shared where they were met before.
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

impl FeedFields {
    /// Takes an object apart; `None` where it cannot be put together again.
    fn of(object: &RawValue, known: &mut Names) -> Option<Self> {
        let members: Members<'_> = serde_json::from_str(object.get()).ok()?;
        let names: Vec<&str> = members.0.iter().map(|(name, _)| name.get()).collect();
        // Made elsewhere and copied: what is cut to its size leaves a hole behind it.
        let mut values = std::mem::take(&mut known.buffer);
        values.clear();
        for (_, value) in &members.0 {
            // Only between its signs JSON has line feeds.
            if value.get().contains('\n') {
                return None;
            }
            values.push_str(value.get());
            values.push('\n');
        }
        let said = FeedFields {
            names: known.shared(&names),
            values: values.as_str().into(),
        };
        known.buffer = values;
        Some(said)
    }

    /// What it takes in bytes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.values.len()
    }

    /// The object.
    fn object(&self) -> Option<Box<RawValue>> {
        let members = self.names.iter().zip(self.values.lines());
        let members: Vec<String> = members
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        // It was made of an object.
        RawValue::from_string(format!("{{{}}}", members.join(","))).ok()
    }
}

/// What a plain indicator with this value takes in bytes, about.
pub fn plain_size(value: &Observable) -> usize {
    BYTES + value.spelled().map_or(0, |text| text.len())
}

impl Plain {
    /// The indicator as this, if it is no more, and what its feed says of it. Names of
    /// properties are shared with others.
    pub fn of(indicator: &Indicator, names: &mut Names) -> Option<(Self, Option<FeedFields>)> {
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
        let said = match &indicator.properties {
            Some(object) => Some(FeedFields::of(object, names)?),
            None => None,
        };
        let plain = Plain {
            id,
            protocol: indicator.protocol,
            watched: OnceLock::new(),
        };
        Some((plain, said))
    }

    /// Whether an indicator with the same id and this value is the same.
    pub fn is_same(&self, other: &Plain) -> bool {
        self.protocol == other.protocol
    }

    /// The indicator, which holds this value and of which its feed says this.
    pub fn watched(
        &self,
        value: impl FnOnce() -> Observable,
        said: Option<&FeedFields>,
    ) -> &Arc<Watched> {
        self.watched.get_or_init(|| {
            let value = value();
            Arc::new(Watched::new(Indicator {
                ioc: vec![value.to_string()],
                properties: said.and_then(FeedFields::object),
                // Those that end are not plain.
                ..Indicator::new(
                    self.id.text().expect("only such are plain"),
                    self.protocol,
                    vec![value],
                )
            }))
        })
    }
}

/// The members of a JSON object, as they stand in it.
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
    fn what_a_feed_says_is_put_together_again() {
        let mut names = Names::default();
        for properties in [
            "{}",
            r#"{"tags":"a,b","n":1}"#,
            r#"{"tags":"\n\"","n":{"a":[1,2]}}"#,
            r#"{"\u0000":null,"ü":""}"#,
        ] {
            let plain = Plain::of(&indicator(properties), &mut names);
            let (plain, said) = plain.expect("it is plain");
            let watched = plain.watched(|| Observable::domain("a.example"), said.as_ref());
            let again = watched.indicator.properties.as_ref().map(|json| json.get());
            assert_eq!(again, Some(properties));
        }
        // Those of two rows are the same.
        assert_eq!(names.known.len(), 3);
        assert!(Plain::of(&indicator("{\"a\":\n1}"), &mut names).is_some());
        assert!(Plain::of(&indicator("{\"a\":[1,\n2]}"), &mut names).is_none());
    }
}

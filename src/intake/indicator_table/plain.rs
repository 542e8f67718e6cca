//! Indicators that are only an id and one value, and perhaps properties of their feed. There may be
//! a million of those, so they need little memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::indicator::Indicator;
use crate::intake::ShortId;

/// What is kept of an indicator that is only an id and one value.
#[derive(Debug)]
pub(super) struct Plain {
    /// Its id.
    pub(super) id: ShortId,
    /// Its properties, which most have none of.
    pub(super) properties: Option<Properties>,
}

/// The properties of an indicator in its feed. They are a JSON object whose names and values are
/// kept apart, since the rows of a feed have the same names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Properties {
    /// The names as JSON, shared by all rows with the same columns.
    names: Arc<Vec<Box<str>>>,
    /// The values as JSON, each followed by a line feed.
    values: Box<str>,
}

/// The last lists of names: most rows have the same as the one before.
#[derive(Debug, Default)]
pub(super) struct Names {
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
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.values.len()
    }

    /// The object.
    pub(super) fn object(&self) -> Option<Box<RawValue>> {
        let members = self.names.iter().zip(self.values.lines());
        let members: Vec<String> = members
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        // They were those of an object.
        RawValue::from_string(format!("{{{}}}", members.join(","))).ok()
    }
}

impl Plain {
    /// What is kept of an indicator with this id, if it is no more than that. The names of its
    /// properties are shared with others.
    pub(super) fn of(indicator: &Indicator, id: ShortId, names: &mut Names) -> Option<Self> {
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
        if !is_plain {
            return None;
        }
        let properties = match &indicator.properties {
            Some(object) => Some(Properties::of(object, names)?),
            None => None,
        };
        Some(Plain { id, properties })
    }

    /// The memory of its properties in bytes.
    pub(super) fn properties_size(&self) -> usize {
        self.properties.as_ref().map_or(0, Properties::size)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(properties: &str, names: &mut Names) -> Option<Plain> {
        let indicator = Indicator {
            properties: RawValue::from_string(properties.to_owned()).ok(),
            ..Indicator::of_domains("1", &["a.example"])
        };
        Plain::of(&indicator, ShortId::of("1")?, names)
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
            let plain = plain(properties, &mut names);
            let kept = plain.expect("it is plain").properties;
            let again = kept.and_then(|kept| kept.object());
            assert_eq!(again.as_deref().map(RawValue::get), Some(properties));
        }
        // Two of them have the same names.
        assert_eq!(names.known.len(), 3);
        assert!(plain("{\"a\":\n1}", &mut names).is_some());
        assert!(plain("{\"a\":[1,\n2]}", &mut names).is_none());
    }
}

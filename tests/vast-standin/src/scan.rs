//! One pass over a JSON object that hands out every value with its dotted path.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::query::Number;

/// A value of an event that holds no others.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Cow<'a, str>),
    /// A list, by the strings that it holds itself.
    List(Vec<String>),
}

/// Hands every value of a JSON object to `each`, with its path; a nested object
/// and a key with dots give the same path. Returns whether the text is one
/// JSON object.
pub fn scan<F: FnMut(&str, Scalar<'_>)>(text: &str, mut each: F) -> bool {
    let mut path = String::with_capacity(64);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let walk = Walk {
        path: &mut path,
        each: &mut each,
        top: true,
    };
    walk.deserialize(&mut deserializer).is_ok() && deserializer.end().is_ok()
}

struct Walk<'w, F> {
    path: &'w mut String,
    each: &'w mut F,
    top: bool,
}

impl<F: FnMut(&str, Scalar<'_>)> Walk<'_, F> {
    fn give<E: Error>(self, value: Scalar<'_>) -> Result<(), E> {
        if self.top {
            return Err(E::custom("no object"));
        }
        (self.each)(self.path, value);
        Ok(())
    }
}

impl<'de, F: FnMut(&str, Scalar<'_>)> DeserializeSeed<'de> for Walk<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str, Scalar<'_>)> Visitor<'de> for Walk<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.give(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.give(Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.give(Scalar::Number(Number::Whole(value.into())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.give(Scalar::Number(Number::Whole(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.give(Scalar::Number(Number::Real(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.give(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut texts = Vec::new();
        while let Some(element) = seq.next_element()? {
            if let Element::Text(text) = element {
                texts.push(text);
            }
        }
        self.give(Scalar::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let length = self.path.len();
        if !self.top {
            self.path.push('.');
        }
        let start = self.path.len();
        while map.next_key_seed(Key { path: self.path })?.is_some() {
            map.next_value_seed(Walk {
                path: self.path,
                each: self.each,
                top: false,
            })?;
            self.path.truncate(start);
        }
        self.path.truncate(length);
        Ok(())
    }
}

/// An element of a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Element {
    Text(String),
    Other(IgnoredAny),
}

/// Appends a key to the path.
struct Key<'w> {
    path: &'w mut String,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        self.path.push_str(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Option<Vec<(String, String)>> {
        let mut values = Vec::new();
        let well_formed = scan(text, |path, value| {
            values.push((path.to_string(), format!("{value:?}")));
        });
        well_formed.then_some(values)
    }

    #[test]
    fn nested_and_flattened_objects_give_the_same_paths() {
        let flat = all(r#"{"a": 1, "b.c": "x", "b.d.e": null, "f": [1, {"g": 2}, "y"]}"#);
        let nested = all(r#"{"a": 1, "b": {"c": "x", "d": {"e": null}}, "f": ["y", [3]]}"#);
        assert_eq!(flat, nested);
        let paths: Vec<String> = flat
            .expect("an object")
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(paths, ["a", "b.c", "b.d.e", "f"]);
    }

    #[test]
    fn only_a_whole_object_is_an_event() {
        for bad in ["", "1", "[]", "{", "{} {}", "null", "\"x\"", "{\"a\": }"] {
            assert_eq!(all(bad), None, "{bad}");
        }
        assert_eq!(all("{}"), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = all(&text);
        }
    }
}

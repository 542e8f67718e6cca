//! Values from a configuration file.
//!
//! One seed, for a mapping, knows the table of options: the seed of its keys finds
//! the option (or the one that was meant), and the seed of its values what that
//! takes. What is no YAML is the parser's error, with its place. Every other
//! mistake is a value, so that it can name file, line, key, what stands there and
//! what is accepted.
//!
//! The parser has YAML 1.2, the originals' has 1.1. Plain words are typed as the
//! latter does it where files for them need that (`yes`, `off`). Aliases are
//! followed; tags have no use here and are rejected.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, EnumAccess, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Deserializer;

use super::settings::option_with_key;
use super::{Origin, UsageError, nearest};
use crate::config::options::{Assignment, OPTIONS, Opt, RawType, RawValue};

/// Far more than any configuration holds.
const MAX_BYTES: u64 = 1 << 20;

/// Far more `[` and `{` than any configuration holds. Where they stand in each
/// other, the parser's time grows with the square of their number.
const MAX_BRACKETS: usize = 5_000;

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<Assignment>, UsageError> {
    parse(&read_text(path)?, path)
}

/// Reads the text of the file at `path`.
pub(super) fn read_text(path: &Path) -> Result<String, UsageError> {
    let unreadable = |reason: String| UsageError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("it has more than {MAX_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        unreadable(format!("line {line} is not UTF-8"))
    })
}

/// Takes the text of a file apart. The assignments are in the order of the
/// table; `path` is what messages call the file.
///
/// # Errors
///
/// What is no YAML, thousands of brackets, unknown keys, keys that stand there
/// twice, lists and mappings where a single value belongs. Whether a value is a good one is not
/// looked at here.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Assignment>, UsageError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.matches(['[', '{']).count() > MAX_BRACKETS {
        return Err(UsageError::Unreadable {
            path: path.to_owned(),
            reason: format!("it has more than {MAX_BRACKETS} brackets"),
        });
    }
    let source = Source { text, path };
    let mut documents = Deserializer::from_str(text);
    let mut found = Vec::new();
    if let Some(document) = documents.next() {
        let mapping = Mapping {
            source,
            group: None,
        };
        let read = mapping.deserialize(document);
        found = read.map_err(|error| source.syntax(&error))??;
    }
    if let Some(document) = documents.next() {
        let refused = document.deserialize_any(NoMore);
        refused.map_err(|error| source.syntax(&error))?;
    }
    found.sort_by_key(|assignment| position(assignment.option));
    Ok(found)
}

fn position(option: &Opt) -> usize {
    let same = |other: &Opt| std::ptr::eq(other, option);
    OPTIONS.iter().position(same).unwrap_or(OPTIONS.len())
}

/// A file: its text, and what messages call it.
#[derive(Clone, Copy)]
struct Source<'de> {
    text: &'de str,
    path: &'de Path,
}

impl<'de> Source<'de> {
    /// The text before a part that the parser has lent out of it. It lends
    /// scalars on one line and without escapes, and copies all others.
    fn before(&self, part: &'de str) -> &'de str {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        self.text.get(..offset).unwrap_or(self.text)
    }

    /// The line, from 1, on which a part of the text begins.
    fn line(&self, part: &'de str) -> usize {
        1 + self.before(part).matches('\n').count()
    }

    /// A scalar that the text holds as it is meant. The parser does not tell
    /// whether it is quoted, but a quote can stand before nothing else.
    fn given(&self, part: &'de str) -> RawValue {
        if self.before(part).ends_with(['"', '\'']) {
            RawValue::quoted(part)
        } else {
            RawValue::plain(part)
        }
    }

    fn syntax(&self, error: &serde_yaml::Error) -> UsageError {
        let place = error.location();
        let (line, column) = place.map_or((1, 1), |at| (at.line(), at.column()));
        let at = format!(" at line {line} column {column}");
        UsageError::Syntax {
            path: self.path.to_owned(),
            line,
            column,
            reason: error.to_string().replacen(&at, "", 1),
        }
    }
}

/// What a part of the file sets, or the first mistake in it.
type Found = Result<Vec<Assignment>, UsageError>;

/// A mapping: that of the file, or that of a group.
#[derive(Clone, Copy)]
struct Mapping<'de, 'g> {
    source: Source<'de>,
    group: Option<&'g str>,
}

impl<'de> DeserializeSeed<'de> for Mapping<'de, '_> {
    type Value = Found;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Found, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Mapping<'de, '_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lines of the form `key: value`")
    }

    /// An empty file.
    fn visit_none<E>(self) -> Result<Found, E> {
        Ok(Ok(Vec::new()))
    }

    /// A document without keys.
    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Ok(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Ok(Vec::new());
        let mut met: Vec<(&str, usize)> = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed(self))? {
            let first = met.iter().find(|(name, _)| *name == key.name);
            let new = match first.map(|(_, line)| *line) {
                Some(first) => {
                    map.next_value::<IgnoredAny>()?;
                    let place = key.place;
                    Err(UsageError::DuplicateKey { place, first })
                }
                None => {
                    met.push((key.name, self.source.line(key.name)));
                    let source = self.source;
                    map.next_value_seed(ValueSeed { key: &key, source })?
                }
            };
            // The first mistake is told; the parser is to be read to its end.
            found = found.and_then(|mut all: Vec<Assignment>| {
                all.extend(new?);
                Ok(all)
            });
        }
        Ok(found)
    }
}

/// The key of a mapping, as it is met.
struct Key<'de> {
    name: &'de str,
    place: Origin,
    means: Meaning,
}

/// What a key stands for.
enum Meaning {
    Option(&'static Opt),
    Group,
    /// For nothing; which keys there are, and which of them was meant.
    Unknown {
        nearest: Option<String>,
        known: Vec<String>,
    },
}

/// The key of a mapping: finds its option.
struct KeySeed<'de, 'g>(Mapping<'de, 'g>);

impl<'de> DeserializeSeed<'de> for KeySeed<'de, '_> {
    type Value = Key<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Key<'de>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'de, '_> {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a plain word")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Key<'de>, E> {
        let Mapping { source, group } = self.0;
        let means = match option_with_key(group, name) {
            Some(option) => Meaning::Option(option),
            None if group.is_none() && is_group(name) => Meaning::Group,
            None => {
                let known = keys_of(group);
                let nearest = nearest(&name.replace('-', "_"), known.iter().cloned());
                Meaning::Unknown { nearest, known }
            }
        };
        let place = Origin::File {
            path: source.path.to_owned(),
            line: source.line(name),
            key: group.map_or(name.to_owned(), |group| format!("{group}.{name}")),
        };
        Ok(Key { name, place, means })
    }
}

/// The value of a key: knows what that takes.
#[derive(Clone, Copy)]
struct ValueSeed<'de, 'k> {
    key: &'k Key<'de>,
    source: Source<'de>,
}

impl ValueSeed<'_, '_> {
    fn scalar(self, given: RawValue) -> Found {
        match self.key.means {
            Meaning::Option(option) => Ok(vec![Assignment {
                option,
                given,
                place: self.key.place.clone(),
            }]),
            // What remains when every line of the group is a comment.
            Meaning::Group if given.raw_type == RawType::Null => Ok(Vec::new()),
            _ => self.refuse(given.describe()),
        }
    }

    /// What is said of a value, described like this, that cannot stand there.
    fn refuse(self, value: String) -> Found {
        let place = self.key.place.clone();
        Err(match &self.key.means {
            Meaning::Option(option) => UsageError::Value {
                place,
                value,
                problem: option.accepts(),
            },
            Meaning::Group => UsageError::Value {
                place,
                value,
                problem: format!(
                    "accepts the keys {}",
                    keys_of(Some(self.key.name)).join(", ")
                ),
            },
            Meaning::Unknown { nearest, known } => UsageError::UnknownKey {
                place,
                value,
                nearest: nearest.clone(),
                known: known.clone().into(),
            },
        })
    }

    fn number(self, text: String) -> Found {
        let raw_type = RawType::Number;
        self.scalar(RawValue { text, raw_type })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'de, '_> {
    type Value = Found;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Found, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'de, '_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(self.scalar(RawValue::plain("")))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Found, E> {
        Ok(self.scalar(RawValue::plain(value.to_string())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Found, E> {
        Ok(self.number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Found, E> {
        Ok(self.number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Found, E> {
        Ok(self.number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Found, E> {
        Ok(self.number(value.to_string()))
    }

    /// The form with a point tells it from a whole number.
    fn visit_f64<E>(self, value: f64) -> Result<Found, E> {
        Ok(self.number(format!("{value:?}")))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Found, E> {
        Ok(self.scalar(self.source.given(text)))
    }

    /// In quotes with escapes, or on several lines.
    fn visit_str<E>(self, text: &str) -> Result<Found, E> {
        Ok(self.scalar(RawValue::quoted(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let takes_lists = matches!(self.key.means, Meaning::Option(option) if option.is_list());
        let mut found = if takes_lists {
            Ok(Vec::new())
        } else {
            self.refuse("a list".to_owned())
        };
        while let Some(new) = list.next_element_seed(self)? {
            found = found.and_then(|mut all| {
                all.extend(new?);
                Ok(all)
            });
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        if matches!(self.key.means, Meaning::Group) {
            let group = Some(self.key.name);
            let source = self.source;
            return Mapping { source, group }.visit_map(map);
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.refuse("a mapping".to_owned()))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Found, A::Error> {
        Err(serde::de::Error::custom(
            "tags (`!name`) are not taken here",
        ))
    }
}

/// What comes behind the first document: nothing may.
struct NoMore;

impl Visitor<'_> for NoMore {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no second document")
    }
}

fn is_group(key: &str) -> bool {
    let group_of = |option: &Opt| {
        option
            .key()?
            .split_once('.')
            .map(|(group, _)| group.to_owned())
    };
    OPTIONS
        .iter()
        .any(|option| group_of(option).as_deref() == Some(key))
}

/// The keys that can stand in a group, or at the top (the groups among them).
fn keys_of(group: Option<&str>) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for key in OPTIONS.iter().filter_map(Opt::key) {
        let name = match (key.split_once('.'), group) {
            (Some((of, name)), Some(group)) if of == group => name,
            (Some((of, _)), None) => of,
            (None, None) => &key,
            _ => continue,
        };
        if !keys.iter().any(|known| known == name) {
            keys.push(name.to_owned());
        }
    }
    keys
}

#[cfg(test)]
mod tests;

//! Values from a configuration file.
//!
//! One deserialization seed, for a mapping, knows the table of options: the seed of its
//! keys finds the option (or a similar one), and the seed of its values what the option
//! accepts. Invalid YAML is the parser's error, with its position. Every other mistake is
//! a value, so that it can name the file, line, key, value and what is accepted.
//!
//! The parser implements YAML 1.2, that of the originals 1.1. Plain words are typed as in
//! 1.1 where their files need it (`yes`, `off`). Aliases are resolved; tags are rejected.

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

/// Far more than any configuration.
const MAX_BYTES: u64 = 1 << 20;

/// Far more `[` and `{` than in any configuration. If they are nested, the parser's time
/// is quadratic in their number.
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

/// Parses the text of a file. The assignments are in the order of the table; `path` is
/// the name of the file in messages.
///
/// # Errors
///
/// Invalid YAML, thousands of brackets, unknown keys, repeated keys, lists and mappings
/// in place of a single value. Values are not validated here.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Assignment>, UsageError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.matches(['[', '{']).count() > MAX_BRACKETS {
        return Err(UsageError::Unreadable {
            path: path.to_owned(),
            reason: format!("it has more than {MAX_BRACKETS} brackets"),
        });
    }
    let source = ConfigFile { text, path };
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

/// A file: its text, and its name in messages.
#[derive(Clone, Copy)]
struct ConfigFile<'de> {
    text: &'de str,
    path: &'de Path,
}

impl<'de> ConfigFile<'de> {
    /// The text before a part that the parser has borrowed from it. The parser borrows
    /// scalars that are on one line and have no escapes, and copies others.
    fn before(&self, part: &'de str) -> &'de str {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        self.text.get(..offset).unwrap_or(self.text)
    }

    /// The line, from 1, of a part of the text.
    fn line(&self, part: &'de str) -> usize {
        1 + self.before(part).matches('\n').count()
    }

    /// A scalar that was borrowed from the text. The parser does not tell whether it is
    /// quoted, but only then is the character before it a quote.
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

/// What a part of the file sets, or its first mistake.
type Assignments = Result<Vec<Assignment>, UsageError>;

/// The mapping of the file or of a group.
#[derive(Clone, Copy)]
struct Mapping<'de, 'g> {
    source: ConfigFile<'de>,
    group: Option<&'g str>,
}

impl<'de> DeserializeSeed<'de> for Mapping<'de, '_> {
    type Value = Assignments;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Assignments, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Mapping<'de, '_> {
    type Value = Assignments;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lines of the form `key: value`")
    }

    /// An empty file.
    fn visit_none<E>(self) -> Result<Assignments, E> {
        Ok(Ok(Vec::new()))
    }

    /// A document without keys.
    fn visit_unit<E>(self) -> Result<Assignments, E> {
        Ok(Ok(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Assignments, A::Error> {
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
            // The first mistake is reported; the parser still has to reach the end.
            found = found.and_then(|mut all: Vec<Assignment>| {
                all.extend(new?);
                Ok(all)
            });
        }
        Ok(found)
    }
}

/// A key of a mapping.
struct MappingKey<'de> {
    name: &'de str,
    place: Origin,
    means: KeyMeaning,
}

/// The meaning of a key.
enum KeyMeaning {
    Option(&'static Opt),
    Group,
    /// None. Holds the valid keys, and a similar one.
    Unknown {
        nearest: Option<String>,
        known: Vec<String>,
    },
}

/// The key of a mapping: finds its option.
struct KeySeed<'de, 'g>(Mapping<'de, 'g>);

impl<'de> DeserializeSeed<'de> for KeySeed<'de, '_> {
    type Value = MappingKey<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        from: D,
    ) -> Result<MappingKey<'de>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'de, '_> {
    type Value = MappingKey<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a plain word")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<MappingKey<'de>, E> {
        let Mapping { source, group } = self.0;
        let means = match option_with_key(group, name) {
            Some(option) => KeyMeaning::Option(option),
            None if group.is_none() && is_group(name) => KeyMeaning::Group,
            None => {
                let known = keys_of(group);
                let nearest = nearest(&name.replace('-', "_"), known.iter().cloned());
                KeyMeaning::Unknown { nearest, known }
            }
        };
        let place = Origin::File {
            path: source.path.to_owned(),
            line: source.line(name),
            key: group.map_or(name.to_owned(), |group| format!("{group}.{name}")),
        };
        Ok(MappingKey { name, place, means })
    }
}

/// The value of a key, with what it accepts.
#[derive(Clone, Copy)]
struct ValueSeed<'de, 'k> {
    key: &'k MappingKey<'de>,
    source: ConfigFile<'de>,
}

impl ValueSeed<'_, '_> {
    fn scalar(self, given: RawValue) -> Assignments {
        match self.key.means {
            KeyMeaning::Option(option) => Ok(vec![Assignment {
                option,
                given,
                place: self.key.place.clone(),
            }]),
            // A group in which every line is a comment.
            KeyMeaning::Group if given.raw_type == RawType::Null => Ok(Vec::new()),
            _ => self.refuse(given.describe()),
        }
    }

    /// The error for a value, described like this, that is not valid there.
    fn refuse(self, value: String) -> Assignments {
        let place = self.key.place.clone();
        Err(match &self.key.means {
            KeyMeaning::Option(option) => UsageError::Value {
                place,
                value,
                problem: option.accepts(),
            },
            KeyMeaning::Group => UsageError::Value {
                place,
                value,
                problem: format!(
                    "accepts the keys {}",
                    keys_of(Some(self.key.name)).join(", ")
                ),
            },
            KeyMeaning::Unknown { nearest, known } => UsageError::UnknownKey {
                place,
                value,
                nearest: nearest.clone(),
                known: known.clone().into(),
            },
        })
    }

    fn number(self, text: String) -> Assignments {
        let raw_type = RawType::Number;
        self.scalar(RawValue { text, raw_type })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'de, '_> {
    type Value = Assignments;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Assignments, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'de, '_> {
    type Value = Assignments;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Assignments, E> {
        Ok(self.scalar(RawValue::plain("")))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Assignments, E> {
        Ok(self.scalar(RawValue::plain(value.to_string())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Assignments, E> {
        Ok(self.number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Assignments, E> {
        Ok(self.number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Assignments, E> {
        Ok(self.number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Assignments, E> {
        Ok(self.number(value.to_string()))
    }

    /// Its debug form has a decimal point, unlike a whole number.
    fn visit_f64<E>(self, value: f64) -> Result<Assignments, E> {
        Ok(self.number(format!("{value:?}")))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Assignments, E> {
        Ok(self.scalar(self.source.given(text)))
    }

    /// Quoted with escapes, or on several lines.
    fn visit_str<E>(self, text: &str) -> Result<Assignments, E> {
        Ok(self.scalar(RawValue::quoted(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Assignments, A::Error> {
        let takes_lists = matches!(self.key.means, KeyMeaning::Option(option) if option.is_list());
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

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Assignments, A::Error> {
        if matches!(self.key.means, KeyMeaning::Group) {
            let group = Some(self.key.name);
            let source = self.source;
            return Mapping { source, group }.visit_map(map);
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.refuse("a mapping".to_owned()))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Assignments, A::Error> {
        Err(serde::de::Error::custom(
            "tags (`!name`) are not accepted here",
        ))
    }
}

/// What follows the first document: nothing is allowed.
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

/// The valid keys of a group, or of the top level (including groups).
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

//! The payload of a sighting: the matched event (its *context*), when it happened, and
//! how it was found.
//!
//! A context stays text. Numbers keep every digit, properties keep their order, and an
//! event that needs no change is never parsed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::matching::event::{Event, TIME_FIELDS};
use crate::observable::EventTime;

/// How an indicator matched an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchType {
    /// The event was stored before the indicator arrived.
    Retro,
    /// The indicator was known before the event arrived.
    Live,
}

impl MatchType {
    /// The word for STIX-2 sightings and `%matchtype`.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchType::Retro => "RETRO",
            MatchType::Live => "LIVE",
        }
    }
}

/// A matched event as one JSON value.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    json: Cow<'a, str>,
}

/// Why a text is not a context.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct NoContext(String);

/// The top-level members of an object, in order, values unchanged.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(MemberName(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A key, borrowed unless it has an escape.
struct MemberName<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for MemberName<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = MemberName<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(MemberName(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(MemberName(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'a> Context<'a> {
    /// Makes a context of an event as the engine printed it.
    ///
    /// # Errors
    /// The line is not a JSON object.
    pub fn new(line: &'a str) -> Result<Self, NoContext> {
        if !line.starts_with('{') && !line.trim_start().starts_with('{') {
            return Err(NoContext("it is no JSON object".to_owned()));
        }
        serde_json::from_str::<&RawValue>(line)
            .map_err(|error| NoContext(format!("it is no JSON: {error}")))?;
        Ok(Context { json: line.into() })
    }

    /// Makes a context of an event that is known to be a JSON object.
    pub fn already_checked(line: &'a str) -> Self {
        Context { json: line.into() }
    }

    /// Makes a context of the output of a transformation: any one JSON value.
    ///
    /// # Errors
    /// The text is not exactly one JSON value in UTF-8.
    pub fn from_command(output: Vec<u8>) -> Result<Context<'static>, NoContext> {
        let text = String::from_utf8(output)
            .map_err(|_| NoContext("it printed text that is not UTF-8".to_owned()))?;
        serde_json::from_str::<&RawValue>(&text)
            .map_err(|error| NoContext(format!("it did not print one JSON value: {error}")))?;
        Ok(Context {
            json: compact(text.trim()).into(),
        })
    }

    /// The same context with its own copy of the text.
    pub fn into_owned(self) -> Context<'static> {
        Context {
            json: self.json.into_owned().into(),
        }
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.json
    }

    /// Writes the JSON as one line, including the line end. Line breaks between its parts
    /// (the only ones in JSON) are removed.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let bytes = self.json.as_bytes();
        match memchr::memchr2(b'\n', b'\r', bytes) {
            Some(_) => out.extend_from_slice(compact(&self.json).as_bytes()),
            None => out.extend_from_slice(bytes),
        }
        out.push(b'\n');
    }

    /// When the event happened, as patterns with `START … STOP` have it: the first readable one of
    /// [`TIME_FIELDS`], or else that of the event which it wraps.
    pub fn time(&self) -> Option<EventTime> {
        self.own_time()
            .or_else(|| Event::read(&self.json)?.time().copied())
    }

    /// Its own time; cheaper than reading all of the event, and nearly every event has one.
    fn own_time(&self) -> Option<EventTime> {
        let members = self.members().ok()?;
        let named = |name| members.0.iter().filter(move |(key, _)| key == name);
        let times = TIME_FIELDS.iter().flat_map(named);
        times.map(|(_, raw)| raw.get()).find_map(|raw| {
            if let Ok(text) = serde_json::from_str::<Cow<'_, str>>(raw) {
                EventTime::parse(&text)
            } else {
                let seconds: f64 = serde_json::from_str(raw).ok()?;
                EventTime::from_seconds(seconds)
            }
        })
    }

    fn members(&self) -> serde_json::Result<Members<'_>> {
        serde_json::from_str(&self.json)
    }

    /// Adds this JSON as the last member of the object. A context that is not an object
    /// (only a transformation makes one) is unchanged.
    pub(crate) fn with_member(
        &self,
        name: &str,
        value: &str,
    ) -> serde_json::Result<Context<'static>> {
        let Ok(members) = self.members() else {
            return Ok(self.clone().into_owned());
        };
        let mut json = String::with_capacity(self.json.len() + name.len() + value.len() + 4);
        let mut writer = ObjectWriter::new(&mut json);
        for (key, value) in members.0.iter().filter(|(key, _)| key != name) {
            writer.member(key, value.get())?;
        }
        writer.member(name, value)?;
        writer.end();
        Ok(Context { json: json.into() })
    }

    /// Removes this member, and returns the rest and the member's JSON; `None` if the
    /// member does not exist.
    pub(crate) fn split_member(&self, name: &str) -> Option<(Context<'static>, Box<RawValue>)> {
        let members = self.members().ok()?;
        let (_, split) = members.0.iter().find(|(key, _)| key == name)?;
        let mut json = String::with_capacity(self.json.len());
        let mut writer = ObjectWriter::new(&mut json);
        for (key, value) in members.0.iter().filter(|(key, _)| key != name) {
            writer.member(key, value.get()).ok()?;
        }
        writer.end();
        Some((Context { json: json.into() }, (*split).to_owned()))
    }

    /// Replaces the port notation of engines before 2020.12, `"53/udp"`, by a number, in
    /// top-level members.
    pub fn with_plain_ports(self) -> Self {
        // A cheap test first: a digit, a slash, a protocol and the end of the string.
        let bytes = self.json.as_bytes();
        let suspect = memchr::memchr_iter(b'/', bytes).any(|slash| {
            let after_digit = slash > 0 && bytes[slash - 1].is_ascii_digit();
            after_digit && begins_with_port_protocol(&bytes[slash + 1..])
        });
        if !suspect {
            return self;
        }
        let rewritten = self.members().ok().and_then(|members| {
            let mut json = String::with_capacity(self.json.len());
            let mut writer = ObjectWriter::new(&mut json);
            for (key, value) in &members.0 {
                let value = port_number(value.get()).unwrap_or(value.get());
                writer.member(key, value).ok()?;
            }
            writer.end();
            Some(json)
        });
        match rewritten {
            Some(json) => Context { json: json.into() },
            None => self,
        }
    }

    /// Turns keys with dots into nested objects. A key stays dotted if one of its
    /// prefixes is a value (`a` and `a.b`).
    pub fn unflattened(self) -> Self {
        let Ok(members) = self.members() else {
            return self;
        };
        if !members.0.iter().any(|(key, _)| key.contains('.')) {
            return self;
        }
        let keys: HashSet<&str> = members.0.iter().map(|(key, _)| &**key).collect();
        let mut root = Tree::default();
        for (key, value) in &members.0 {
            if nests(key, &keys) {
                root.insert(key, value.get());
            } else {
                root.put(key, PathNode::Value(value.get()));
            }
        }
        let mut json = String::with_capacity(self.json.len());
        match root.write(&mut json) {
            Ok(()) => Context { json: json.into() },
            Err(_) => self,
        }
    }
}

/// The protocols of the engine's port type.
const PORT_PROTOCOLS: [&str; 6] = ["udp", "tcp", "icmp", "icmp6", "sctp", "?"];

fn begins_with_port_protocol(bytes: &[u8]) -> bool {
    PORT_PROTOCOLS.iter().any(|protocol| {
        let rest = bytes.strip_prefix(protocol.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b'"'))
    })
}

/// `"53/udp"` → `53`: digits, a slash, and one of the protocols of the engine's port
/// type.
fn port_number(json: &str) -> Option<&str> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    let (digits, protocol) = inner.split_once('/')?;
    let known = PORT_PROTOCOLS.contains(&protocol);
    // A port number in the one form that JSON allows.
    let plain = digits
        .parse::<u16>()
        .is_ok_and(|number| number.to_string() == digits);
    (known && plain).then_some(digits)
}

/// Writes the members of one object.
struct ObjectWriter<'a> {
    json: &'a mut String,
    first: bool,
}

impl<'a> ObjectWriter<'a> {
    fn new(json: &'a mut String) -> Self {
        json.push('{');
        ObjectWriter { json, first: true }
    }

    fn key(&mut self, key: &str) -> serde_json::Result<()> {
        if !std::mem::take(&mut self.first) {
            self.json.push(',');
        }
        self.json.push_str(&serde_json::to_string(key)?);
        self.json.push(':');
        Ok(())
    }

    fn member(&mut self, key: &str, value: &str) -> serde_json::Result<()> {
        self.key(key)?;
        self.json.push_str(value);
        Ok(())
    }

    fn end(self) {
        self.json.push('}');
    }
}

/// An object that is being nested, in order of first appearance.
#[derive(Default)]
struct Tree<'a> {
    children: Vec<(&'a str, PathNode<'a>)>,
    /// The position of a name in `children`.
    names: HashMap<&'a str, usize>,
}

enum PathNode<'a> {
    Value(&'a str),
    Object(Tree<'a>),
}

/// Whether a key becomes a path. It does not if one of its prefixes is a key.
fn nests(key: &str, keys: &HashSet<&str>) -> bool {
    /// JSON readers stop at a depth of 128.
    const DEEPEST_PATH: usize = 100;
    let dots: Vec<usize> = memchr::memchr_iter(b'.', key.as_bytes()).collect();
    dots.len() < DEEPEST_PATH
        && key.split('.').all(|part| !part.is_empty())
        && dots.iter().all(|&dot| !keys.contains(&key[..dot]))
}

impl<'a> Tree<'a> {
    /// Stores a value under the path `key`; [`nests`] has checked that no value is in the
    /// way.
    fn insert(&mut self, key: &'a str, value: &'a str) {
        let Some((first, rest)) = key.split_once('.') else {
            return self.put(key, PathNode::Value(value));
        };
        let at = self.names.get(first).copied().unwrap_or_else(|| {
            self.put(first, PathNode::Object(Tree::default()));
            self.children.len() - 1
        });
        if let PathNode::Object(tree) = &mut self.children[at].1 {
            tree.insert(rest, value);
        }
    }

    /// A repeated name keeps its last value, as in JSON readers.
    fn put(&mut self, name: &'a str, node: PathNode<'a>) {
        match self.names.get(name).copied() {
            Some(at) => self.children[at].1 = node,
            None => {
                self.names.insert(name, self.children.len());
                self.children.push((name, node));
            }
        }
    }

    fn write(&self, json: &mut String) -> serde_json::Result<()> {
        let mut writer = ObjectWriter::new(json);
        for (name, node) in &self.children {
            match node {
                PathNode::Value(value) => writer.member(name, value)?,
                PathNode::Object(tree) => {
                    writer.key(name)?;
                    tree.write(writer.json)?;
                }
            }
        }
        writer.end();
        Ok(())
    }
}

/// Valid JSON without white space between its parts.
fn compact(json: &str) -> String {
    let mut result = String::with_capacity(json.len());
    let mut in_string = false;
    let mut escaped = false;
    for character in json.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            in_string = character == '"';
        }
        result.push(character);
    }
    result
}

#[cfg(test)]
mod tests;

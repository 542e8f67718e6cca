//! Feeds in JSON: STIX in all its containers, MISP, other shapes, Intel objects and lists
//! of values.
//!
//! Containers may have any size; their elements are read one object at a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::found::Out;
use super::lines::BYTE_ORDER_MARK;
use super::record::Record;
use super::said::Said;
use super::{Error, Options};
use crate::indicator::Rejection;
use crate::protocol::{json_fault, legacy, stix};

mod around;
mod misp;
mod others;
mod scan;

use scan::{Fault, Scanner};

/// The most bytes of indicators that wait for what the end of their event or pulse says.
const MOST_WAITING: usize = 4 << 20;

/// The deepest nesting of containers: a MISP response has four levels.
const DEEPEST_CONTAINER: usize = 16;

/// The elements of a list in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    /// Any object, including containers, or a value.
    Anything,
    /// STIX objects.
    Stix,
    /// MISP attributes.
    Attributes,
    /// MISP objects, which hold attributes.
    Objects,
    /// Indicators of an OTX pulse.
    Pulse,
    /// Objects of abuse.ch.
    Abuse,
}

/// Reads the whole input.
///
/// # Errors
/// The input cannot be read, or is not a feed.
pub fn read(mut reader: impl BufRead, options: &Options, out: &mut Out<'_>) -> Result<(), Error> {
    if reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let mut walk = Walk {
        json: Scanner::new(reader),
        out,
        formats: BTreeSet::new(),
        around: Map::new(),
        waiting: Vec::new(),
        waiting_bytes: 0,
        is_given: options.format.is_some(),
    };
    let result = walk.everything();
    let formats: Vec<&str> = walk.formats.iter().copied().collect();
    if !formats.is_empty() {
        walk.out.set_format(formats.join(", "));
    }
    result
}

/// An object that is read at the end of its container: its line, and what it is in.
type Waiting = (u64, Inside, Box<[u8]>);

struct Walk<'o, 'f, R> {
    json: Scanner<R>,
    out: &'o mut Out<'f>,
    formats: BTreeSet<&'static str>,
    /// What the current event or pulse says about the indicators in it, as properties.
    around: Map<String, Value>,
    /// Those that wait for the end of it, since MISP and OTX write the tags after them.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// Whether the format was given rather than detected.
    is_given: bool,
}

/// The members that identify the kind of an object.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pattern: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    operation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    to_ids: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ioc_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    url_status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    indicator: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event_type: Option<&'a RawValue>,
    #[serde(rename = "_path", borrow, default)]
    path: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uid: Option<&'a RawValue>,
}

/// A text, or a value of another type that is not one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text<'a> {
    Is(#[serde(borrow)] Cow<'a, str>),
    Other(serde::de::IgnoredAny),
}

impl Text<'_> {
    fn get(this: Option<&Self>) -> Option<&str> {
        match this {
            Some(Text::Is(text)) => Some(text),
            Some(Text::Other(_)) | None => None,
        }
    }
}

impl Shape<'_> {
    /// An event of Suricata or Zeek.
    fn is_event(&self) -> bool {
        self.event_type.is_some() || self.path.is_some() || self.ts.is_some() && self.uid.is_some()
    }

    fn is_stix(&self) -> bool {
        let kind = Text::get(self.kind.as_ref());
        let is_id = |id: &str| {
            kind.is_some_and(|kind| {
                id.strip_prefix(kind)
                    .is_some_and(|rest| rest.starts_with("--"))
            })
        };
        kind == Some("indicator")
            || self.pattern.is_some()
            || Text::get(self.id.as_ref()).is_some_and(is_id)
    }
}

impl<R: BufRead> Walk<'_, '_, R> {
    fn everything(&mut self) -> Result<(), Error> {
        let mut is_first = true;
        while let Some(byte) = self.json.peek_outside()? {
            let line = self.json.line();
            let first_line = std::mem::take(&mut is_first);
            if !matches!(byte, b'{' | b'[' | b'"') {
                self.reject(line, "it is no object, list or text of JSON".to_owned());
                self.json.skip_line()?;
                continue;
            }
            let is_by_line = self.json.is_by_line();
            if is_by_line && self.json.is_alone()? {
                self.json.set_by_line(false);
            }
            let result = self.value(byte, Inside::Anything, 0);
            // Those before an error are indicators.
            self.end_container();
            match result {
                // A value on one line is the first of many.
                Ok(()) if first_line && self.json.line() == line => self.json.set_by_line(true),
                Ok(()) => self.json.set_by_line(is_by_line),
                Err(Stop::Feed(error)) => return Err(error),
                Err(Stop::Json(Fault::Io(error))) => return Err(error.into()),
                Err(Stop::Json(Fault::TooLong)) => self.too_long(line),
                Err(Stop::Json(Fault::Syntax(why))) => {
                    if !self.json.is_by_line() {
                        let line = self.json.line();
                        let goes_on = self.json.skip_to_object()?;
                        let extent = if goes_on { "" } else { " from here on" };
                        self.reject(line, format!("no JSON{extent}: {why}"));
                        if why == scan::CUT_OFF {
                            self.out.cut_off();
                        }
                        if !goes_on {
                            return Ok(());
                        }
                        self.json.set_by_line(true);
                        self.out.check(self.is_given)?;
                        continue;
                    }
                    self.reject(line, format!("no JSON: {why}"));
                    self.json.skip_line()?;
                }
            }
            self.out.check(self.is_given)?;
        }
        Ok(())
    }

    fn reject(&mut self, line: u64, reason: String) {
        self.out.rejected(line, Rejection::without_id(reason));
    }

    fn too_long(&mut self, line: u64) {
        self.reject(line, super::TOO_LONG.to_owned());
    }

    /// Reads the value that begins with this byte.
    fn value(&mut self, byte: u8, inside: Inside, depth: usize) -> Result<(), Stop> {
        if depth > DEEPEST_CONTAINER {
            return Err(Fault::Syntax("lists and objects are nested too deep").into());
        }
        match (byte, inside) {
            (b'[', Inside::Anything) => self.list(inside, depth),
            (b'{', Inside::Anything) => self.object(depth),
            _ => {
                let line = self.json.line();
                let mut value = Vec::new();
                match self.json.copy(&mut value) {
                    Ok(()) => self.element(&value, inside, line),
                    Err(Fault::TooLong) => {
                        self.too_long(line);
                        Ok(())
                    }
                    Err(fault) => Err(fault.into()),
                }
            }
        }
    }

    fn list(&mut self, inside: Inside, depth: usize) -> Result<(), Stop> {
        self.json.step();
        if self.json.peek()? == b']' {
            self.json.step();
            return Ok(());
        }
        loop {
            let byte = self.json.peek()?;
            self.value(byte, inside, depth + 1)?;
            self.out.check(self.is_given)?;
            if !self.json.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    /// Reads an object: lists of containers are walked through, and the rest is stored.
    fn object(&mut self, depth: usize) -> Result<(), Stop> {
        let line = self.json.line();
        self.json.step();
        let mut rest = b"{".to_vec();
        let mut wraps = None;
        let mut goes_on = self.json.peek()? != b'}';
        if !goes_on {
            self.json.step();
        }
        while goes_on {
            let before = rest.len();
            if before > 1 {
                rest.push(b',');
            }
            let key_at = rest.len();
            if self.json.peek()? != b'"' {
                return Err(Fault::Syntax("the name of a member is missing").into());
            }
            self.json.copy(&mut rest)?;
            self.json.expect(b':', "`:` is missing")?;
            let first = self.json.peek()?;
            match wrapped(&rest[key_at..], first) {
                Some(inside) if !is_stix_so_far(&rest) => {
                    rest.truncate(before);
                    wraps = Some(inside);
                    self.note_around(inside, &rest);
                    match first {
                        b'[' => self.list(inside, depth)?,
                        _ => self.value(first, inside, depth + 1)?,
                    }
                }
                _ => {
                    rest.push(b':');
                    self.json.copy(&mut rest)?;
                }
            }
            goes_on = self.json.goes_on(b'}')?;
        }
        if let Some(inside) = wraps {
            self.note_around(inside, &rest);
            self.end_container();
            return Ok(());
        }
        rest.push(b'}');
        self.element(&rest, Inside::Anything, line)
    }

    /// Reads what an object says about the indicators in a list of it, as far as it is read.
    fn note_around(&mut self, inside: Inside, object: &[u8]) {
        let known = around::properties(inside, object);
        self.around.extend(known);
    }

    /// Reads a value as a whole, at once or at the end of its container.
    fn element(&mut self, json: &[u8], inside: Inside, line: u64) -> Result<(), Stop> {
        if matches!(inside, Inside::Attributes | Inside::Objects | Inside::Pulse) {
            self.waiting_bytes += json.len() + size_of::<Waiting>();
            if self.waiting_bytes > MOST_WAITING {
                self.read_waiting();
                self.read_inside(json, inside, line);
            } else {
                self.waiting.push((line, inside, json.into()));
            }
            return Ok(());
        }
        let Some(json) = self.text(json, line) else {
            return Ok(());
        };
        let format = match (inside, json.as_bytes().first()) {
            (Inside::Anything, Some(b'"')) => self.string(json, line),
            (Inside::Anything, Some(b'{')) => self.lone(json, line)?,
            (Inside::Abuse, Some(b'{')) => others::abuse(json, line, self.out),
            (_, Some(b'{')) => self.stix(json, line),
            _ => self.no_object(json, line),
        };
        self.formats.extend(format);
        Ok(())
    }

    /// Reads the values that wait for what is said about them.
    fn read_waiting(&mut self) {
        self.waiting_bytes = 0;
        for (line, inside, json) in std::mem::take(&mut self.waiting) {
            self.read_inside(&json, inside, line);
        }
    }

    /// Reads a value in an event or a pulse.
    fn read_inside(&mut self, json: &[u8], inside: Inside, line: u64) {
        let Some(json) = self.text(json, line) else {
            return;
        };
        let format = match inside {
            _ if !json.starts_with('{') => self.no_object(json, line),
            Inside::Objects => misp::object(json, &self.around, line, self.out),
            Inside::Pulse => others::otx(json, &self.around, line, self.out),
            _ => misp::attribute(json, &self.around, line, self.out),
        };
        self.formats.extend(format);
    }

    fn end_container(&mut self) {
        self.read_waiting();
        self.around.clear();
    }

    fn text<'j>(&mut self, json: &'j [u8], line: u64) -> Option<&'j str> {
        let text = std::str::from_utf8(json).ok();
        if text.is_none() {
            self.reject(line, super::NOT_UTF8.to_owned());
        }
        text
    }

    fn no_object(&mut self, json: &str, line: u64) -> Option<&'static str> {
        let shown: String = json.chars().take(40).collect();
        let reason = format!("{shown} is no indicator: it can be an object or a string");
        self.reject(line, reason);
        None
    }

    fn string(&mut self, json: &str, line: u64) -> Option<&'static str> {
        match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(value) => self.out.record(Record::new(line, Said::Nothing, &value)),
            Err(error) => self.reject(line, format!("no JSON: {}", json_fault(&error))),
        }
        Some("JSON list of values")
    }

    /// Reads an object outside a container that would tell its kind.
    fn lone(&mut self, json: &str, line: u64) -> Result<Option<&'static str>, Stop> {
        let shape: Shape<'_> = match serde_json::from_str(json) {
            Ok(shape) => shape,
            Err(error) => {
                self.reject(line, format!("no JSON: {}", json_fault(&error)));
                return Ok(None);
            }
        };
        // An event may have members of any feed beside its own.
        if shape.is_event() && !self.is_given {
            return Err(Error::no_feed(
                "it holds events of Suricata or Zeek, for --events",
                json.as_bytes(),
            )
            .into());
        }
        if Text::get(shape.kind.as_ref()) == Some("bundle") {
            return Ok(Some("STIX"));
        }
        if shape.is_stix() {
            return Ok(self.stix(json, line));
        }
        if shape.data.is_some() && shape.operation.is_some() {
            self.out.message(line, legacy::read(json));
            return Ok(Some("Intel objects"));
        }
        if shape.ioc_type.is_some() || shape.url_status.is_some() {
            return Ok(others::abuse(json, line, self.out));
        }
        if shape.kind.is_some() && shape.indicator.is_some() {
            return Ok(others::otx(json, &self.around, line, self.out));
        }
        if shape.kind.is_some() && shape.to_ids.is_some() {
            return Ok(misp::attribute(json, &self.around, line, self.out));
        }
        if is_manifest(json) {
            let reason = "it is the manifest of a MISP feed: name its folder".to_owned();
            self.reject(line, reason);
            return Ok(None);
        }
        if let Some(format) = empty_answer(json) {
            return Ok(Some(format));
        }
        if let Some(source) = others::export(json, line, self.out) {
            return Ok(Some(source));
        }
        // The last line of Spamhaus's lists.
        if Text::get(shape.kind.as_ref()) == Some("metadata") {
            self.out.left_out("metadata");
            return Ok(None);
        }
        let shown: String = json.chars().take(60).collect();
        self.reject(line, format!("{shown}… is an object of an unknown format"));
        Ok(None)
    }

    /// Reads a STIX object. Objects other than indicators are also valid.
    fn stix(&mut self, json: &str, line: u64) -> Option<&'static str> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(rename = "type", borrow)]
            kind: Option<Cow<'a, str>>,
        }
        match serde_json::from_str::<Kind<'_>>(json) {
            Ok(Kind { kind: Some(kind) }) if kind != "indicator" => self.out.left_out(&kind),
            _ => self.out.message(line, stix::message::read(json)),
        }
        Some("STIX")
    }
}

/// Whether an object is the manifest of a MISP feed, which has the events by their UUIDs.
/// The format of an answer that says that there is nothing: an empty envelope (TAXII 2.1, section
/// 3.7), or that of a query of abuse.ch.
fn empty_answer(json: &str) -> Option<&'static str> {
    let members: BTreeMap<&str, &RawValue> = serde_json::from_str(json).ok()?;
    if members.keys().all(|name| ["more", "next"].contains(name)) {
        return Some("STIX");
    }
    let status = members.get("query_status")?;
    matches!(status.get(), r#""no_result""# | r#""no_results""#).then_some("abuse.ch")
}

fn is_manifest(json: &str) -> bool {
    let key = json.get("{\"".len()..).and_then(|rest| rest.get(..36));
    let rest = json.get(38..).unwrap_or_default();
    key.is_some_and(|key| Uuid::try_parse(key).is_ok()) && rest.starts_with("\":{")
}

/// Why the walk ends.
enum Stop {
    Json(Fault),
    Feed(Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Json(fault)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Json(Fault::Io(error))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Feed(error)
    }
}

/// The content of a container's member with the quoted name `key`, whose value begins
/// with `first`.
fn wrapped(key: &[u8], first: u8) -> Option<Inside> {
    let key = key.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_number = !key.is_empty() && key.iter().all(u8::is_ascii_digit);
    match (key, first) {
        (b"objects", b'[') => Some(Inside::Stix),
        (b"Attribute", b'[' | b'{') => Some(Inside::Attributes),
        (b"Object", b'[' | b'{') => Some(Inside::Objects),
        (b"Event" | b"response", b'[' | b'{') | (b"results" | b"pulses", b'[') => {
            Some(Inside::Anything)
        }
        (b"indicators", b'[') => Some(Inside::Pulse),
        (b"data" | b"urls", b'[') => Some(Inside::Abuse),
        (_, b'[') if is_number => Some(Inside::Abuse),
        _ => None,
    }
}

/// Whether an object of which this much is read is a STIX object other than a bundle,
/// which is read as a whole.
fn is_stix_so_far(rest: &[u8]) -> bool {
    rest.starts_with(br#"{"type":""#)
        && !rest.starts_with(br#"{"type":"bundle""#)
        && memchr::memmem::find(rest, br#","id":""#).is_some()
        && memchr::memmem::find(rest, b"--").is_some()
}

#[cfg(test)]
mod tests;

//! Converts arrays of events to lines: `jq -s`, pretty-printed JSON, and responses of
//! Elasticsearch, Kibana and Splunk. The bytes are rewritten as they are read, so that an
//! array of any length takes the memory of one buffer.
//!
//! An event is the text from a `{` to its `}`, without line breaks and the indentation
//! after them. An element that is not an object (a number in the array) becomes a line too,
//! and is counted later as a line that is not an event. A line break inside a string, which
//! JSON does not allow, ends a broken event, and the next `{` begins another; so does a `{` where
//! an event has no place for one.
//!
//! Any object outside of a response may be another one. Its text is held back until it is known
//! to be an event or has ended, and dropped if it is a response: the events are then those in
//! its array. If the rest of it has the keys of an event, it is one too, with an empty array.

use std::io::{self, Read};
use std::ops::Range;

use memchr::memchr_iter;

use super::json_lines::{OF_EVENTS, begins_like_event};
use crate::logs::lines::{AtEnd, LONGEST_LINE, without_nul};

/// The bytes that are read at once.
const INPUT: usize = 64 << 10;

/// The deepest nesting: JSON readers give up beyond it.
const DEEPEST_JSON: usize = 128;

/// The members with the events in responses of known programs. Elasticsearch has them deeper, in
/// `hits` of [`HITS`].
const LISTS: [&[u8]; 5] = [b"results", b"events", b"value", b"Records", b"logEvents"];

/// The member of a response of Elasticsearch, and the one with the events in it.
const HITS: &[u8] = b"hits";

/// Whether an input begins with the response of a known program: its first object, as far as it
/// is here. The result of `true` holds for every longer beginning too.
pub fn begins_with_response(beginning: &[u8]) -> bool {
    let (mut state, mut text) = (EventSearch::default(), Vec::new());
    for &byte in beginning {
        state.step(byte, &mut text);
        if state.has_response || state.held.is_none() {
            break;
        }
    }
    state.has_response
}

/// The events of a line that is a response or an array, a line each; `None` for any other. For
/// most lines this costs next to nothing.
pub fn events_of_line(line: &str) -> Option<String> {
    if !may_hold_events(line.as_bytes()) {
        return None;
    }
    let (mut state, mut events) = (EventSearch::default(), Vec::new());
    state.convert(line.as_bytes(), &mut events);
    state.finish(&mut events);
    let holds_events = line.starts_with('[') || state.has_response;
    holds_events.then(|| String::from_utf8_lossy(&events).into_owned())
}

fn may_hold_events(line: &[u8]) -> bool {
    let is_object = |text: &[u8]| text.trim_ascii_start().starts_with(b"{");
    match line {
        [b'[', rest @ ..] => is_object(rest),
        [b'{', ..] if !begins_like_event(line) => memchr_iter(b'[', line).any(|at| {
            let (before, list) = line.split_at(at);
            let key = before.trim_ascii_end().strip_suffix(b":");
            let key = key.and_then(|key| key.trim_ascii_end().strip_suffix(b"\""));
            key.is_some_and(|key| {
                LISTS.iter().any(|list| key.ends_with(list)) && is_object(&list[1..])
                    || key.ends_with(HITS)
            })
        }),
        _ => false,
    }
}

/// Converts arrays to lines.
#[derive(Debug)]
pub struct Flatten {
    state: EventSearch,
    input: Vec<u8>,
    /// The lines that are converted and not read yet, and then the object that is held back.
    output: Vec<u8>,
    at: usize,
}

impl Default for Flatten {
    fn default() -> Self {
        Flatten {
            state: EventSearch::default(),
            input: vec![0; INPUT],
            output: Vec::new(),
            at: 0,
        }
    }
}

impl Flatten {
    /// The lines of the input from `reader`.
    pub fn over<'a, R: Read>(
        &'a mut self,
        reader: &'a mut R,
        at_end: AtEnd,
    ) -> impl Read + use<'a, R> {
        Over {
            flatten: self,
            reader,
            at_end,
        }
    }
}

struct Over<'a, R> {
    flatten: &'a mut Flatten,
    reader: &'a mut R,
    at_end: AtEnd,
}

impl<R: Read> Read for Over<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Flatten {
            state,
            input,
            output,
            at,
        } = &mut *self.flatten;
        while *at == state.ready(output) {
            let read = self.reader.read(input)?;
            if read == 0 {
                if self.at_end == AtEnd::Keep || !state.finish(output) {
                    return Ok(0);
                }
                continue;
            }
            state.forget(output, *at);
            *at = 0;
            // What lines were cut of before has none either.
            let read = without_nul(&mut input[..read]);
            state.convert(&input[..read], output);
        }
        let count = buffer.len().min(state.ready(output) - *at);
        buffer[..count].copy_from_slice(&output[*at..*at + count]);
        *at += count;
        Ok(count)
    }
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Between events.
    #[default]
    Between,
    /// An event, or a response outside of its array.
    Object,
    /// A string in one.
    Text,
    /// Something other than an object.
    Other,
}

#[derive(Debug, Default)]
struct EventSearch {
    phase: Phase,
    /// After a backslash in a string.
    is_escaped: bool,
    /// After a line break in an event.
    is_indented: bool,
    /// The number of open brackets in an event.
    inside: usize,
    /// Which of these are lists, a bit each.
    are_lists: u128,
    /// The last byte in an event that is not blank.
    last: u8,
    /// The number of open lists around it, to that of the response.
    lists: usize,
    response: Option<Response>,
    held: Option<Held>,
    /// Whether there was a response.
    has_response: bool,
}

/// The response in whose array the next event is.
#[derive(Debug)]
struct Response {
    /// The number of open brackets around the array.
    inside: usize,
    /// The number of open lists around the response.
    lists: usize,
    /// What is before the array.
    head: Vec<u8>,
}

/// An object that is held back, or the rest of a response, which is dropped.
#[derive(Debug, Default)]
struct Held {
    /// Where it starts in the output.
    start: usize,
    /// The place of the last string in it.
    text: Range<usize>,
    /// Inside of the member `hits`.
    is_in_hits: bool,
    expected: Expected,
    /// What was before, with the end of the array, if it is the rest of a response.
    head: Option<Vec<u8>>,
    /// Whether it has a key of an event behind the array.
    is_event: bool,
}

/// What makes a response of an object, if it comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Nothing,
    /// The member `hits`.
    Hits,
    /// The array of events.
    List,
    /// The first event in it.
    Event,
}

/// What an object turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unknown,
    Event,
    Response,
    /// One without an event.
    EmptyResponse,
}

impl Held {
    fn new(start: usize) -> Self {
        Held {
            start,
            ..Held::default()
        }
    }

    /// Looks at a byte outside of strings, inside of so many brackets.
    fn look(&mut self, byte: u8, inside: usize, output: &[u8]) -> Kind {
        if byte.is_ascii_whitespace() {
            return Kind::Unknown;
        }
        match (std::mem::take(&mut self.expected), byte) {
            (Expected::Event, b'{') => return Kind::Response,
            (Expected::Event, b']') if self.is_in_hits => return Kind::EmptyResponse,
            (Expected::List, b'[') => self.expected = Expected::Event,
            (Expected::Hits, b'{') => self.is_in_hits = true,
            (_, b':') if inside <= 2 => {
                let text = self.start + self.text.start..self.start + self.text.end;
                let key = output.get(text).unwrap_or_default();
                if inside == 1 && OF_EVENTS.contains(&key) {
                    if self.head.is_none() {
                        return Kind::Event;
                    }
                    self.is_event = true;
                }
                self.expected = match inside {
                    1 if LISTS.contains(&key) => Expected::List,
                    1 if key == HITS => Expected::Hits,
                    2 if self.is_in_hits && key == HITS => Expected::List,
                    _ => Expected::Nothing,
                };
            }
            (_, b'}') if inside == 2 => self.is_in_hits = false,
            _ => {}
        }
        Kind::Unknown
    }
}

impl EventSearch {
    /// How much of the output is decided.
    fn ready(&self, output: &[u8]) -> usize {
        self.held.as_ref().map_or(output.len(), |held| held.start)
    }

    /// Drops what was read of the output.
    fn forget(&mut self, output: &mut Vec<u8>, read: usize) {
        output.drain(..read);
        if let Some(held) = &mut self.held {
            held.start -= read;
        }
    }

    /// No longer holds back what is incomplete; `false` if there is nothing.
    fn finish(&mut self, output: &mut Vec<u8>) -> bool {
        let Some(held) = self.held.take() else {
            return false;
        };
        match held.head {
            Some(head) if held.is_event => {
                output.splice(held.start..held.start, head);
            }
            Some(_) => output.truncate(held.start),
            None => {}
        }
        true
    }

    fn convert(&mut self, input: &[u8], output: &mut Vec<u8>) {
        let mut at = 0;
        while at < input.len() {
            if self.phase == Phase::Text && !self.is_escaped {
                // Most of an event is text.
                let rest = &input[at..];
                let end = memchr::memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len());
                output.extend_from_slice(&rest[..end]);
                at += end;
                if at == input.len() {
                    break;
                }
            }
            self.step(input[at], output);
            at += 1;
        }
        match &mut self.held {
            Some(held) if output.len() - held.start > LONGEST_LINE => {
                if held.head.is_some() {
                    output.truncate(held.start);
                    held.is_event = false;
                } else {
                    // The line is too long, which is said later.
                    self.held = None;
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, byte: u8, output: &mut Vec<u8>) {
        match self.phase {
            Phase::Text => self.in_text(byte, output),
            Phase::Object => self.in_object(byte, output),
            Phase::Other => self.in_other(byte, output),
            Phase::Between => self.between(byte, output),
        }
    }

    fn in_text(&mut self, byte: u8, output: &mut Vec<u8>) {
        if byte == b'\n' {
            // This is not JSON: the event is broken.
            return self.break_off(output);
        }
        if self.is_escaped {
            self.is_escaped = false;
        } else if byte == b'\\' {
            self.is_escaped = true;
        } else if byte == b'"' {
            self.phase = Phase::Object;
            if let Some(held) = &mut self.held {
                held.text.end = output.len() - held.start;
            }
        }
        output.push(byte);
    }

    fn in_object(&mut self, byte: u8, output: &mut Vec<u8>) {
        match byte {
            b'\n' | b'\r' => {
                self.is_indented = true;
                return;
            }
            b' ' | b'\t' if self.is_indented => return,
            _ => self.is_indented = false,
        }
        if let Some(held) = &mut self.held {
            match held.look(byte, self.inside, output) {
                Kind::Unknown => {}
                // A page after the last. Alone, it is shown as what it is.
                Kind::EmptyResponse if self.has_response => {
                    held.head.get_or_insert_default();
                }
                Kind::EmptyResponse => {}
                Kind::Event => self.held = None,
                Kind::Response => return self.begin_response(output),
            }
        }
        if byte == b'{' && !self.may_hold_object() {
            // The end of this event is missing, and another begins.
            self.break_off(output);
            return self.between(byte, output);
        }
        output.push(byte);
        if byte != b' ' && byte != b'\t' {
            self.last = byte;
        }
        match byte {
            b'"' => {
                self.phase = Phase::Text;
                self.is_escaped = false;
                if let Some(held) = &mut self.held {
                    held.text.start = output.len() - held.start;
                }
            }
            b'{' | b'[' if self.inside == DEEPEST_JSON => {
                output.pop();
                self.break_off(output);
            }
            b'{' | b'[' => {
                let bit = 1 << self.inside;
                self.are_lists &= !bit;
                if byte == b'[' {
                    self.are_lists |= bit;
                }
                self.inside += 1;
            }
            b'}' | b']' => {
                self.inside -= 1;
                if self.inside == 0 {
                    self.end(output);
                }
            }
            _ => {}
        }
    }

    /// Whether an object can be here in an event.
    fn may_hold_object(&self) -> bool {
        let is_in_list = self.inside > 0 && self.are_lists & 1 << (self.inside - 1) != 0;
        self.last == b':' || is_in_list && matches!(self.last, b'[' | b',')
    }

    /// Ends the line of an object.
    fn end(&mut self, output: &mut Vec<u8>) {
        self.phase = Phase::Between;
        output.push(b'\n');
        self.finish(output);
    }

    /// Ends the line of a broken object. What follows may be another response.
    fn break_off(&mut self, output: &mut Vec<u8>) {
        self.end(output);
        self.response = None;
    }

    /// The object that is held back is a response, and its first event begins.
    fn begin_response(&mut self, output: &mut Vec<u8>) {
        self.has_response = true;
        let mut head = Vec::new();
        if let Some(held) = self.held.take() {
            head = held.head.unwrap_or_default();
            head.extend(output.drain(held.start..));
        }
        self.response = Some(Response {
            inside: self.inside - 1,
            lists: std::mem::take(&mut self.lists),
            head,
        });
        self.between(b'{', output);
    }

    fn between(&mut self, byte: u8, output: &mut Vec<u8>) {
        match byte {
            b'{' => {
                if self.last == b'}' {
                    // Without a comma before it, it is in no list.
                    self.response = None;
                }
                self.phase = Phase::Object;
                self.is_indented = false;
                (self.inside, self.are_lists, self.last) = (1, 0, byte);
                // What is in a response is not another one.
                self.held = self.response.is_none().then(|| Held::new(output.len()));
                output.push(byte);
            }
            b'[' => self.lists += 1,
            b']' if self.lists > 0 => self.lists -= 1,
            b']' => {
                if let Some(response) = self.response.take() {
                    self.phase = Phase::Object;
                    (self.inside, self.are_lists, self.last) = (response.inside, 0, byte);
                    self.lists = response.lists;
                    self.held = Some(Held {
                        is_in_hits: response.inside == 2,
                        head: Some([&response.head[..], b"]"].concat()),
                        ..Held::new(output.len())
                    });
                }
            }
            // Also the byte order mark and NUL bytes.
            b' ' | b'\t' | b'\r' | b'\n' | 0 | 0xef | 0xbb | 0xbf => {}
            b',' => self.last = byte,
            _ => {
                self.phase = Phase::Other;
                output.push(byte);
            }
        }
    }

    fn in_other(&mut self, byte: u8, output: &mut Vec<u8>) {
        let is_in_list = self.lists > 0 || self.response.is_some();
        match byte {
            b',' | b']' if !is_in_list => output.push(byte),
            b',' | b'\n' | b']' => {
                output.push(b'\n');
                self.phase = Phase::Between;
                self.between(byte, output);
            }
            _ => output.push(byte),
        }
    }
}

#[cfg(test)]
mod tests;

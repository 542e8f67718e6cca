//! Converts arrays of events to lines: `jq -s`, pretty-printed JSON, and responses of
//! Elasticsearch, Kibana and Splunk. The bytes are rewritten as they are read, so that an
//! array of any length takes the memory of one buffer.
//!
//! An event is the text from a `{` to its `}`, without line breaks and the indentation
//! after them. An element that is not an object (a number in the array) becomes a line too,
//! and is counted later as a line that is not an event. A line break inside a string, which
//! JSON does not allow, ends a broken event, and the next `{` begins another.

use std::io::{self, Read};

/// The bytes that are read at once.
const INPUT: usize = 64 << 10;

/// The deepest nesting: JSON readers give up beyond it.
const DEEPEST: usize = 128;

/// Where the events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayPlace {
    /// At the top level, or in arrays there.
    Top,
    /// In the array at this path of keys, from the top.
    Within(&'static [&'static str]),
}

/// The paths of the events in responses of known programs.
const ANSWERS: [&[&str]; 5] = [
    &["hits", "hits"],
    &["results"],
    &["events"],
    &["value"],
    &["Records"],
];

/// Keys of an event, as far as a key is kept: an object that has one before an array is an event
/// and not a response.
const OF_EVENTS: [&str; 7] = [
    "ts", "time", "_path", "flow_id", "timestam", "@timesta", "event_ty",
];

/// Whether an input is the response of a known program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// It is, and its events are at this place.
    Place(ArrayPlace),
    /// It is not.
    No,
    /// The first object is not complete.
    More,
}

/// Checks the first object of an input. Unless the result is [`Envelope::More`], it holds
/// for every longer beginning too.
pub fn envelope(beginning: &[u8]) -> Envelope {
    let mut open = ANSWERS.map(|path| Some((path, EventSearch::new(ArrayPlace::Within(path)))));
    for &byte in beginning {
        for search in &mut open {
            let Some((path, state)) = search else {
                continue;
            };
            state.step(byte);
            if byte == b':' && state.is_own_key(&OF_EVENTS) {
                return Envelope::No;
            }
            match state.phase {
                Phase::Object => return Envelope::Place(ArrayPlace::Within(path)),
                Phase::Between if state.depth == 0 && byte == b'}' => *search = None,
                _ => {}
            }
        }
        if open.iter().all(Option::is_none) {
            return Envelope::No;
        }
    }
    Envelope::More
}

/// Converts arrays to lines.
#[derive(Debug)]
pub struct Flatten {
    state: EventSearch,
    input: Vec<u8>,
    /// The lines that are converted and not read yet.
    output: Vec<u8>,
    at: usize,
}

impl Flatten {
    /// Converts an input from its start.
    pub fn new(place: ArrayPlace) -> Self {
        Flatten {
            state: EventSearch::new(place),
            input: vec![0; INPUT],
            output: Vec::new(),
            at: 0,
        }
    }

    /// The lines of the input from `reader`.
    pub fn over<'a, R: Read>(&'a mut self, reader: &'a mut R) -> impl Read + use<'a, R> {
        Over {
            flatten: self,
            reader,
        }
    }
}

struct Over<'a, R> {
    flatten: &'a mut Flatten,
    reader: &'a mut R,
}

impl<R: Read> Read for Over<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Flatten {
            state,
            input,
            output,
            at,
        } = &mut *self.flatten;
        while *at == output.len() {
            let read = self.reader.read(input)?;
            if read == 0 {
                return Ok(0);
            }
            output.clear();
            *at = 0;
            state.lines(&input[..read], output);
        }
        let count = buffer.len().min(output.len() - *at);
        buffer[..count].copy_from_slice(&output[*at..*at + count]);
        *at += count;
        Ok(count)
    }
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Outside of events, or outside of the array of events.
    Between,
    /// A string outside of events.
    Key,
    /// An event.
    Object,
    /// A string in an event.
    Text,
    /// Something other than an event, among the events.
    Other,
}

#[derive(Debug)]
struct EventSearch {
    path: &'static [&'static str],
    phase: Phase,
    /// After a backslash in a string.
    is_escaped: bool,
    /// After a line break in an event.
    is_indented: bool,
    /// The number of open brackets in an event.
    inside: usize,
    /// The number of open brackets outside of events.
    depth: usize,
    /// The number of keys of the path that lead to the current place.
    matched: usize,
    /// The last string outside of events, as far as it can be a key of the path.
    key: String,
    /// This key is before the next value.
    is_expected: bool,
}

/// What to do with a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Drop,
    Keep,
    KeepAndEnd,
    End,
}

impl EventSearch {
    fn new(place: ArrayPlace) -> Self {
        EventSearch {
            path: match place {
                ArrayPlace::Top => &[],
                ArrayPlace::Within(path) => path,
            },
            phase: Phase::Between,
            is_escaped: false,
            is_indented: false,
            inside: 0,
            depth: 0,
            matched: 0,
            key: String::new(),
            is_expected: false,
        }
    }

    /// Whether the last string, a key of the outermost object, is one of these.
    fn is_own_key(&self, keys: &[&str]) -> bool {
        self.phase == Phase::Between && self.depth == 1 && keys.contains(&&*self.key)
    }

    fn lines(&mut self, input: &[u8], output: &mut Vec<u8>) {
        let mut at = 0;
        while at < input.len() {
            if self.phase == Phase::Text && !self.is_escaped {
                // Most of an event is text.
                let rest = &input[at..];
                let end = memchr::memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len());
                output.extend_from_slice(&rest[..end]);
                at += end;
                if at == input.len() {
                    return;
                }
            }
            let byte = input[at];
            match self.step(byte) {
                Act::Drop => {}
                Act::Keep => output.push(byte),
                Act::KeepAndEnd => output.extend_from_slice(&[byte, b'\n']),
                Act::End => output.push(b'\n'),
            }
            at += 1;
        }
    }

    /// Whether the next object is an event.
    fn is_among_events(&self) -> bool {
        self.path.is_empty() || self.matched == self.path.len()
    }

    fn step(&mut self, byte: u8) -> Act {
        match self.phase {
            Phase::Text => self.in_text(byte),
            Phase::Object => self.in_object(byte),
            Phase::Key => self.in_key(byte),
            Phase::Other => self.in_other(byte),
            Phase::Between if self.is_among_events() => self.among_events(byte),
            Phase::Between => {
                self.outside(byte);
                Act::Drop
            }
        }
    }

    fn in_text(&mut self, byte: u8) -> Act {
        if byte == b'\n' {
            // This is not JSON: the event is broken.
            self.phase = Phase::Between;
            return Act::End;
        }
        if self.is_escaped {
            self.is_escaped = false;
        } else if byte == b'\\' {
            self.is_escaped = true;
        } else if byte == b'"' {
            self.phase = Phase::Object;
        }
        Act::Keep
    }

    fn in_object(&mut self, byte: u8) -> Act {
        match byte {
            b'\n' | b'\r' => {
                self.is_indented = true;
                return Act::Drop;
            }
            b' ' | b'\t' if self.is_indented => return Act::Drop,
            b'"' => {
                self.phase = Phase::Text;
                self.is_escaped = false;
            }
            b'{' | b'[' if self.inside == DEEPEST => {
                self.phase = Phase::Between;
                return Act::End;
            }
            b'{' | b'[' => self.inside += 1,
            b'}' | b']' => {
                self.inside -= 1;
                if self.inside == 0 {
                    self.phase = Phase::Between;
                    return Act::KeepAndEnd;
                }
            }
            _ => {}
        }
        self.is_indented = false;
        Act::Keep
    }

    fn among_events(&mut self, byte: u8) -> Act {
        match byte {
            b'{' => {
                self.phase = Phase::Object;
                self.is_indented = false;
                self.inside = 1;
                Act::Keep
            }
            b']' if !self.path.is_empty() => {
                self.matched = 0;
                self.depth = self.depth.saturating_sub(1);
                Act::Drop
            }
            // Also the byte order mark and NUL bytes.
            b'[' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' | 0 | 0xef | 0xbb | 0xbf => Act::Drop,
            _ => {
                self.phase = Phase::Other;
                Act::Keep
            }
        }
    }

    fn in_other(&mut self, byte: u8) -> Act {
        match byte {
            b',' | b'\n' | b']' => {
                self.phase = Phase::Between;
                if byte == b']' {
                    self.among_events(byte);
                }
                Act::End
            }
            _ => Act::Keep,
        }
    }

    fn in_key(&mut self, byte: u8) -> Act {
        if self.is_escaped {
            self.is_escaped = false;
        } else if byte == b'\\' {
            self.is_escaped = true;
        } else if byte == b'"' {
            self.phase = Phase::Between;
            return Act::Drop;
        }
        // One more character than the longest key of a path is enough to tell them apart.
        if self.key.len() < 8 {
            self.key.push(char::from(byte));
        }
        Act::Drop
    }

    /// Searches for the array of events.
    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.phase = Phase::Key;
                self.is_escaped = false;
                self.key.clear();
                self.is_expected = false;
            }
            b':' => {
                let wanted = self.path.get(self.matched);
                let is_here = self.depth == self.matched + 1;
                self.is_expected = is_here && wanted.is_some_and(|key| *key == self.key);
            }
            b'{' | b'[' => {
                self.depth += 1;
                let is_last = self.matched + 1 == self.path.len();
                if std::mem::take(&mut self.is_expected) && is_last == (byte == b'[') {
                    self.matched += 1;
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.matched = self.matched.min(self.depth.saturating_sub(1));
                self.is_expected = false;
            }
            b',' => self.is_expected = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Returns a few bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn lines(place: ArrayPlace, text: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        for step in [1, 7, INPUT] {
            let mut flatten = Flatten::new(place);
            let mut read = String::new();
            flatten
                .over(&mut Slowly(text, step))
                .read_to_string(&mut read)
                .expect("memory does not fail");
            all.push(read);
        }
        assert!(all.iter().all(|read| *read == all[0]), "{all:?}");
        all[0].lines().map(str::to_owned).collect()
    }

    #[test]
    fn arrays_become_lines_however_they_are_printed() {
        for text in [
            r#"[{"a":1,"b":"]}"},{"a":2,"b":"\"{"}]"#,
            "[\n{\"a\":1,\"b\":\"]}\"},\n{\"a\":2,\"b\":\"\\\"{\"}\n]\n",
            "\u{feff}[\r\n  {\r\n    \"a\":1,\r\n    \"b\":\"]}\"\r\n  },\r\n  {\"a\":2,\"b\":\"\\\"{\"}]",
            "{\n  \"a\":1,\n  \"b\":\"]}\"\n}\n{\n  \"a\":2,\n  \"b\":\"\\\"{\"\n}\n",
            r#"[{"a":1,"b":"]}"}][{"a":2,"b":"\"{"}]"#,
        ] {
            assert_eq!(
                lines(ArrayPlace::Top, text.as_bytes()),
                [r#"{"a":1,"b":"]}"}"#, r#"{"a":2,"b":"\"{"}"#],
                "{text}"
            );
        }
    }

    #[test]
    fn responses_give_the_events_in_them() {
        let elastic = json!({
            "took": 3, "hits": {"total": {"value": 2, "hits": [1]}, "max": "hits:[{",
            "hits": [{"_source": {"a": 1}}, {"_source": {"a": 2}}]}, "x": [{"no": 1}],
        });
        let splunk = json!({"fields": [{"name": "a"}], "results": [{"a": 1}, {"a": 2}]});
        let wrapped = [r#"{"_source":{"a":1}}"#, r#"{"_source":{"a":2}}"#];
        let plain = [r#"{"a":1}"#, r#"{"a":2}"#];
        let list = |key: &str| (json!({"count": 2, key: [{"a": 1}, {"a": 2}]}), plain);
        let lists = ["events", "value", "Records"].map(list);
        for (value, expected) in [(elastic, wrapped), (splunk, plain)]
            .into_iter()
            .chain(lists)
        {
            for text in [value.to_string(), format!("{value:#}")] {
                let Envelope::Place(place) = envelope(text.as_bytes()) else {
                    panic!("no answer: {text}");
                };
                let squeezed = lines(place, text.repeat(2).as_bytes())
                    .iter()
                    .map(|line| line.replace(": ", ":"))
                    .collect::<Vec<_>>();
                assert_eq!(squeezed, [expected, expected].concat(), "{text}");
            }
        }
        for text in [
            r#"{"hits":{"hits":3}} {"hits":{"hits":[{}]}}"#,
            r#"{"results":"none"}"#,
            r#"{"a":{"results":[{}]}}"#,
            r#"{"timestamp":"x","events":[{}]}"#,
            r#"{"event_type":"x","value":[{}]}"#,
        ] {
            assert_eq!(envelope(text.as_bytes()), Envelope::No, "{text}");
        }
        for text in [r#"[{"results":[{}]}]"#, r#"{"hits":{"a":["#] {
            assert_eq!(envelope(text.as_bytes()), Envelope::More, "{text}");
        }
    }

    #[test]
    fn what_is_not_an_object_becomes_its_own_line() {
        assert_eq!(
            lines(ArrayPlace::Top, b"[1, \"a\", {\"b\": 1}, null]"),
            ["1", "\"a\"", "{\"b\": 1}", "null"]
        );
    }

    #[test]
    fn a_broken_event_ends_with_its_line() {
        assert_eq!(
            lines(ArrayPlace::Top, b"[\n{\"a\": \"x\n{\"b\": 1},\n{\"c\": 1}"),
            ["{\"a\": \"x", "{\"b\": 1}", "{\"c\": 1}"]
        );
        let deep = [&b"{\"a\":"[..], &b"[".repeat(1000), b"\n{\"b\":1}"].concat();
        assert_eq!(
            lines(ArrayPlace::Top, &deep).last().map(String::as_str),
            Some("{\"b\":1}")
        );
    }

    fn event() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: \n\u{fc}]{0,8}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z\"]{1,3}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        });
        prop::collection::hash_map("[a-z]{1,3}", value, 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn every_event_of_an_array_comes(
            events in prop::collection::vec(event(), 0..5),
            pretty: bool,
        ) {
            let array = Value::from(events.clone());
            let text = if pretty { format!("{array:#}") } else { array.to_string() };
            let read: Vec<Value> = lines(ArrayPlace::Top, text.as_bytes())
                .iter()
                .map(|line| serde_json::from_str(line).expect(line))
                .collect();
            prop_assert_eq!(read, events);
        }

        #[test]
        fn no_bytes_panic(text in "[\\[\\]{}\",:a \n\\\\]{0,60}") {
            for place in [ArrayPlace::Top, ArrayPlace::Within(ANSWERS[0]), ArrayPlace::Within(ANSWERS[1])] {
                let _ = lines(place, text.as_bytes());
            }
        }
    }
}

//! One pass over a JSON object that shows every value with its place and builds nothing.
//!
//! Fields are numbered: a field keeps its number for the lifetime of the [`Keys`](super::keys::Keys), so
//! that its meaning is looked up once and not for every event. The scanner here is fast
//! on the JSON that sensors write. Anything else (numbers with an exponent, deep nesting,
//! an error) makes `serde_json` read the line again from the start, so that `serde_json`
//! decides what is JSON and writes the error messages.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::json::{JsonKey, ScanError};
use super::keys::Node;

/// The place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The field.
    pub node: Node,
    /// The number of the innermost object that is a list element, from 1 in each event; 0
    /// outside lists.
    pub element: u32,
    /// Whether it is inside a list at any level.
    pub in_list: bool,
}

/// Receives what a walk shows.
pub trait Visit {
    /// An event begins; everything shown before is void.
    fn begin(&mut self);
    /// The field with this key in an object.
    fn field(&mut self, parent: Node, key: &str) -> Node;
    /// The field that followed in this object last time, if its key is at the start of
    /// `text` (after the quotation mark), and the length of the key.
    fn expected(&mut self, parent: Node, text: &[u8]) -> Option<(Node, usize)>;
    /// Whether the values of a field matter.
    fn wants(&self, node: Node) -> bool;
    /// A string.
    fn text(&mut self, at: At, text: &str);
    /// A number, as written.
    fn number(&mut self, at: At, number: &str);
    /// A string in this event may be written with escapes.
    fn escaped(&mut self) {}
}

/// Shows every string and number in `line` that the visitor wants.
///
/// # Errors
/// The line is not one JSON object. Some values have been shown by then.
pub fn walk(line: &str, visit: &mut impl Visit) -> Result<(), ScanError> {
    visit.begin();
    let mut scanner = Scanner {
        line,
        bytes: line.as_bytes(),
        at: 0,
        elements: 0,
        visit,
    };
    if scanner.event().is_some() {
        return Ok(());
    }
    visit.begin();
    visit.escaped();
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let mut elements = 0;
    let event = ObjectVisitor {
        at: At {
            node: Node::EVENT,
            element: 0,
            in_list: false,
        },
        elements: &mut elements,
        visit,
    };
    let walked = deserializer.deserialize_map(event);
    walked
        .and_then(|()| deserializer.end())
        .map_err(ScanError::from)
}

/// Deeper nesting is left to `serde_json`, which has its own limit.
const DEEPEST_WALKED: usize = 64;

struct Scanner<'a, V> {
    line: &'a str,
    bytes: &'a [u8],
    at: usize,
    elements: u32,
    visit: &'a mut V,
}

/// `None`: the scanner gives up.
impl<V: Visit> Scanner<'_, V> {
    fn event(&mut self) -> Option<()> {
        self.blanks();
        let at = At {
            node: Node::EVENT,
            element: 0,
            in_list: false,
        };
        self.expect(b'{')?;
        self.object(at, 0)?;
        self.blanks();
        (self.at == self.bytes.len()).then_some(())
    }

    #[inline]
    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        if *self.bytes.get(self.at)? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// Reads an object after its opening brace.
    fn object(&mut self, at: At, depth: usize) -> Option<()> {
        if depth > DEEPEST_WALKED {
            return None;
        }
        self.blanks();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Some(());
        }
        loop {
            self.expect(b'"')?;
            let node = self.key(at.node)?;
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            self.value(At { node, ..at }, depth)?;
            self.blanks();
            match self.bytes.get(self.at)? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
            self.blanks();
        }
    }

    /// The field whose key follows a quotation mark.
    #[inline]
    fn key(&mut self, parent: Node) -> Option<Node> {
        if let Some((node, length)) = self.visit.expected(parent, &self.bytes[self.at..]) {
            self.at += length + 1;
            return Some(node);
        }
        let (start, end, is_plain) = self.string()?;
        if is_plain {
            return Some(self.visit.field(parent, &self.line[start..end]));
        }
        let key = self.decoded(start, end)?;
        Some(self.visit.field(parent, &key))
    }

    #[inline]
    fn value(&mut self, at: At, depth: usize) -> Option<()> {
        match *self.bytes.get(self.at)? {
            b'"' => {
                self.at += 1;
                let (start, end, is_plain) = self.string()?;
                if !is_plain {
                    self.visit.escaped();
                }
                if self.visit.wants(at.node) {
                    if is_plain {
                        self.visit.text(at, &self.line[start..end])
                    } else {
                        let text = self.decoded(start, end)?;
                        self.visit.text(at, &text);
                    }
                } else if !is_plain {
                    self.decoded(start, end)?;
                }
                Some(())
            }
            b'{' => {
                self.at += 1;
                self.object(at, depth + 1)
            }
            b'[' => {
                self.at += 1;
                self.list(at, depth + 1)
            }
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(at),
        }
    }

    fn list(&mut self, at: At, depth: usize) -> Option<()> {
        if depth > DEEPEST_WALKED {
            return None;
        }
        let at = At {
            in_list: true,
            ..at
        };
        self.blanks();
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Some(());
        }
        loop {
            let at = match self.bytes.get(self.at)? {
                b'{' => {
                    self.elements += 1;
                    let element = self.elements;
                    At { element, ..at }
                }
                _ => at,
            };
            self.value(at, depth)?;
            self.blanks();
            match self.bytes.get(self.at)? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
            self.blanks();
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end)? != word {
            return None;
        }
        self.at = end;
        Some(())
    }

    /// Reads a number of up to a hundred digits, optionally with a fraction.
    fn number(&mut self, at: At) -> Option<()> {
        const MOST_DIGITS: usize = 100;
        let start = self.at;
        if self.bytes[start] == b'-' {
            self.at += 1;
        }
        let first = self.at;
        self.digits();
        let whole = self.at - first;
        if whole == 0 || whole > MOST_DIGITS || whole > 1 && self.bytes[first] == b'0' {
            return None;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            let first = self.at;
            self.digits();
            if !(1..=MOST_DIGITS).contains(&(self.at - first)) {
                return None;
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            return None;
        }
        if self.visit.wants(at.node) {
            self.visit.number(at, &self.line[start..self.at]);
        }
        Some(())
    }

    #[inline]
    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// Reads a string after its opening quotation mark: the start and end of its text,
    /// and whether it has no escapes.
    #[inline]
    fn string(&mut self) -> Option<(usize, usize, bool)> {
        let start = self.at;
        let mut is_plain = true;
        loop {
            self.at += plain_length(&self.bytes[self.at..]);
            match *self.bytes.get(self.at)? {
                b'"' => {
                    let end = self.at;
                    self.at += 1;
                    return Some((start, end, is_plain));
                }
                b'\\' => {
                    is_plain = false;
                    self.at += 2;
                    if self.at > self.bytes.len() {
                        return None;
                    }
                }
                // A control character.
                _ => return None,
            }
        }
    }

    fn decoded(&self, start: usize, end: usize) -> Option<String> {
        serde_json::from_str(self.line.get(start - 1..=end)?).ok()
    }
}

/// The number of bytes before the first quotation mark, backslash or control character,
/// tested eight at a time.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let mut length = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        // The usual trick for finding a zero byte. The first hit is exact.
        let has_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            return length + found.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let rest = &bytes[length..];
    length + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// An object for `serde_json`, with its place.
struct ObjectVisitor<'a, V> {
    at: At,
    elements: &'a mut u32,
    visit: &'a mut V,
}

impl<'de, V: Visit> Visitor<'de> for ObjectVisitor<'_, V> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(key) = fields.next_key_seed(JsonKey)? {
            let node = self.visit.field(self.at.node, &key);
            fields.next_value_seed(ValueSeed {
                at: At { node, ..self.at },
                is_element: false,
                elements: &mut *self.elements,
                visit: &mut *self.visit,
            })?;
        }
        Ok(())
    }
}

/// Any value, with its place.
struct ValueSeed<'a, V> {
    at: At,
    is_element: bool,
    elements: &'a mut u32,
    visit: &'a mut V,
}

impl<V: Visit> ValueSeed<'_, V> {
    fn number(self, number: &str) {
        if self.visit.wants(self.at.node) {
            self.visit.number(self.at, number);
        }
    }
}

impl<'de, V: Visit> DeserializeSeed<'de> for ValueSeed<'_, V> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, V: Visit> Visitor<'de> for ValueSeed<'_, V> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.visit.wants(self.at.node) {
            self.visit.text(self.at, text);
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.number(&number.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.number(&number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.number(&number.to_string());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut more = Some(());
        while more.is_some() {
            more = list.next_element_seed(ValueSeed {
                at: At {
                    in_list: true,
                    ..self.at
                },
                is_element: true,
                elements: &mut *self.elements,
                visit: &mut *self.visit,
            })?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error> {
        let mut at = self.at;
        if self.is_element {
            *self.elements += 1;
            at.element = *self.elements;
        }
        let object = ObjectVisitor {
            at,
            elements: self.elements,
            visit: self.visit,
        };
        object.visit_map(fields)
    }
}

#[cfg(test)]
mod tests;

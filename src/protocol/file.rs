//! Indicators from a file: one JSON object a line, a JSON array, a STIX bundle,
//! or plain text with one value a line.
//!
//! The first line that is not blank tells which of them it is. JSON whose first
//! value ends on its first line is read line by line, so that a bad line is one
//! rejection; any other JSON is read as a stream of values.

use std::borrow::Cow;
use std::io::{self, BufRead, Cursor, Read};
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::indicator::{Indicator, Message, Protocol, Rejection, Validity};
use crate::observable::{Network, Observable, Property};
use crate::protocol::{legacy, stix};

/// The longest line that is read, in bytes, as for messages from the bus.
const LONGEST_LINE: u64 = 16 << 20;

/// The mark that some editors put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads all indicators of a file and shows each, or why it is none, in order.
///
/// # Errors
/// The file cannot be read further; what was read until then has been shown.
pub fn read(
    mut reader: impl BufRead,
    mut each: impl FnMut(Result<Message, Rejection>),
) -> io::Result<()> {
    let mut lines = Lines::default();
    let Some(first) = lines.next(&mut reader, &mut each)? else {
        return Ok(());
    };
    if !is_json(&first) {
        show_text(&first, lines.number, &mut each);
        while let Some(line) = lines.next(&mut reader, &mut each)? {
            show_text(&line, lines.number, &mut each);
        }
        return Ok(());
    }
    match serde_json::from_slice::<&RawValue>(&first) {
        Err(error) if error.is_eof() => read_stream(Cursor::new(first).chain(reader), &mut each),
        _ => {
            show_json_line(&first, lines.number, &mut each);
            while let Some(line) = lines.next(&mut reader, &mut each)? {
                show_json_line(&line, lines.number, &mut each);
            }
            Ok(())
        }
    }
}

/// The lines of a file that are not blank, and where they stand.
#[derive(Default)]
struct Lines {
    /// The number of the last line, from 1.
    number: u64,
}

impl Lines {
    /// The next line. One that is too long is skipped and shown as no indicator; the
    /// first of a JSON file is left as it is, since a list of indicators can be one line.
    fn next(
        &mut self,
        reader: &mut impl BufRead,
        each: &mut impl FnMut(Result<Message, Rejection>),
    ) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = reader.by_ref().take(LONGEST_LINE + 1);
            if limited.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.number == 1 && line.starts_with(BYTE_ORDER_MARK) {
                line.drain(..BYTE_ORDER_MARK.len());
            }
            let is_whole = line.ends_with(b"\n") || line.len() as u64 <= LONGEST_LINE;
            let may_be_long = self.number == 1 && is_json(&line);
            if !is_whole && !may_be_long {
                skip_line(reader)?;
                let reason = format!(
                    "line {} is longer than {} MiB, the most that is read",
                    self.number,
                    LONGEST_LINE >> 20
                );
                each(Err(Rejection::without_id(reason)));
                continue;
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

/// Reads to the end of a line, and keeps nothing of it.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let there = reader.fill_buf()?;
        let end = memchr::memchr(b'\n', there);
        let read = end.map_or(there.len(), |at| at + 1);
        reader.consume(read);
        if end.is_some() || read == 0 {
            return Ok(());
        }
    }
}

/// Whether a file that begins with this line is JSON. A `[` begins a pattern too,
/// but a pattern goes on with a name.
fn is_json(first: &[u8]) -> bool {
    match first.trim_ascii() {
        [b'{', ..] | [b'['] => true,
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start(), [b'{' | b'[' | b']' | b'"', ..]),
        _ => false,
    }
}

fn read_stream(
    reader: impl Read,
    each: &mut impl FnMut(Result<Message, Rejection>),
) -> io::Result<()> {
    let values = serde_json::Deserializer::from_reader(reader).into_iter::<Box<RawValue>>();
    for value in values {
        match value {
            Ok(value) => show_value(value.get(), each),
            Err(error) if error.is_io() => return Err(error.into()),
            Err(error) => {
                let reason = format!("the file is no JSON from here on: {error}");
                each(Err(Rejection::without_id(reason)));
                return Ok(());
            }
        }
    }
    Ok(())
}

fn show_json_line(line: &[u8], number: u64, each: &mut impl FnMut(Result<Message, Rejection>)) {
    match serde_json::from_slice::<&RawValue>(line) {
        Ok(value) => show_value(value.get(), each),
        Err(error) => {
            let reason = format!("line {number} is no JSON: {error}");
            each(Err(Rejection::without_id(reason)));
        }
    }
}

/// What tells the formats apart.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    objects: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// One value of the file, with all indicators in it.
fn show_value(json: &str, each: &mut impl FnMut(Result<Message, Rejection>)) {
    match json.as_bytes().first() {
        Some(b'[') => show_list(json, each, show_value),
        Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(value) => each(plain_value(&value)),
            Err(error) => each(Err(Rejection::without_id(error.to_string()))),
        },
        Some(b'{') => show_object(json, each),
        _ => {
            let shown: String = json.chars().take(40).collect();
            let reason = format!("{shown} is no indicator: it can be an object or a string");
            each(Err(Rejection::without_id(reason)));
        }
    }
}

fn show_object(json: &str, each: &mut impl FnMut(Result<Message, Rejection>)) {
    let shape: Shape<'_> = match serde_json::from_str(json) {
        Ok(shape) => shape,
        Err(error) => {
            let reason = format!("no indicator: {error}");
            return each(Err(Rejection::without_id(reason)));
        }
    };
    match shape {
        Shape {
            kind: Some(kind),
            objects,
            ..
        } if kind == "bundle" => {
            // A bundle may be empty, and then has no objects at all.
            if let Some(objects) = objects {
                show_list(objects.get(), each, show_bundled);
            }
        }
        Shape {
            kind: None,
            data: Some(_),
            ..
        } => each(legacy::read(json)),
        _ => each(stix::message::read(json)),
    }
}

/// An object of a bundle: those that are no indicators belong there as well.
fn show_bundled<F: FnMut(Result<Message, Rejection>)>(json: &str, each: &mut F) {
    let is_indicator = match serde_json::from_str::<Shape<'_>>(json) {
        Ok(shape) => shape.kind.is_none_or(|kind| kind == "indicator"),
        Err(_) => true,
    };
    if is_indicator {
        each(stix::message::read(json));
    }
}

fn show_list<F: FnMut(Result<Message, Rejection>)>(
    json: &str,
    each: &mut F,
    show: impl Fn(&str, &mut F),
) {
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(elements) => elements
            .iter()
            .for_each(|element| show(element.get(), each)),
        Err(error) => {
            let reason = format!("no list of indicators: {error}");
            each(Err(Rejection::without_id(reason)));
        }
    }
}

fn show_text(line: &[u8], number: u64, each: &mut impl FnMut(Result<Message, Rejection>)) {
    let Ok(line) = std::str::from_utf8(line) else {
        let reason = format!("line {number} is not UTF-8");
        return each(Err(Rejection::without_id(reason)));
    };
    let value = without_comment(line).trim();
    if !value.is_empty() {
        each(plain_value(value));
    }
}

/// A `#` begins a comment at the start of a line and after white space; anywhere
/// else it belongs to the value (a URL's fragment).
fn without_comment(line: &str) -> &str {
    let begins = |at: &usize| {
        line[..*at]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace)
    };
    let comment = memchr::memchr_iter(b'#', line.as_bytes()).find(begins);
    &line[..comment.unwrap_or(line.len())]
}

/// The indicator that a bare value is. Its id is the value itself, which stays
/// the same wherever in the file it stands.
fn plain_value(value: &str) -> Result<Message, Rejection> {
    let Some(observable) = by_form(value) else {
        let shown: String = value.chars().take(200).collect();
        let reason = format!("{shown:?} is no address, network, domain, URL or hash");
        return Err(Rejection::without_id(reason));
    };
    let observable = observable
        .checked()
        .map_err(|reason| Rejection::new(value.into(), reason))?;
    Ok(Message::Match {
        indicator: Indicator {
            id: value.into(),
            protocol: Protocol::Legacy,
            observables: vec![observable],
            selection: None,
            condition: None,
            validity: Validity::ALWAYS,
            ioc: vec![value.to_owned()],
            original: None,
            properties: None,
        },
        replaces: false,
    })
}

/// What a value is, by its form alone.
fn by_form(value: &str) -> Option<Observable> {
    if let Ok(address) = value.parse::<IpAddr>() {
        Some(Observable::address(address))
    } else if let Some(network) = Network::parse(value) {
        Some(Observable::network(network))
    } else if let Some(hash) = hash(value) {
        Some(hash)
    } else if value.starts_with('/') || value.contains("://") {
        Some(Observable::Url(value.into()))
    } else if is_domain(value) {
        Some(Observable::domain(value))
    } else {
        None
    }
}

/// A hash is told by its length.
fn hash(value: &str) -> Option<Observable> {
    let properties = [Property::Md5, Property::Sha1, Property::Sha256];
    let mut hashes = properties.into_iter();
    hashes.find_map(|property| Observable::text(property, value).ok())
}

/// Labels of letters, digits, `-` and `_` with dots between them (letters of any
/// script); the last label is no number, which tells a mistyped address apart.
fn is_domain(value: &str) -> bool {
    let name = value.strip_suffix('.').unwrap_or(value);
    let label = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "indicator--00000000-0000-4001-8000-000000000001";

    fn indicator(domain: &str) -> String {
        serde_json::json!({
            "type": "indicator", "id": ID, "pattern_type": "stix",
            "pattern": format!("[domain-name:value = '{domain}']"),
        })
        .to_string()
    }

    const INTEL: &str = r#"{"ts": "2020-11-26 12:00:00", "id": "43", "data": {"indicator": ["6.6.0.1"], "intel_type": 2}, "operation": "ADD"}"#;

    /// The values of a file, `!` and the reason for what is rejected.
    fn values(text: impl AsRef<[u8]>) -> Vec<String> {
        let mut values = Vec::new();
        read(text.as_ref(), |message| {
            values.push(match message {
                Ok(Message::Match { indicator, .. }) => indicator.ioc.join("|"),
                Ok(other) => panic!("{other:?}"),
                Err(rejection) => format!("!{}", rejection.reason),
            });
        })
        .expect("memory can be read");
        values
    }

    #[test]
    fn every_shape_of_json_is_read() {
        let (a, b) = (indicator("a.example"), indicator("b.example"));
        let pretty: serde_json::Value = serde_json::from_str(&a).expect("JSON");
        let pretty = serde_json::to_string_pretty(&pretty).expect("JSON");
        let other = r#"{"type": "malware", "id": "malware--1"}"#;
        let both = ["a.example", "b.example"];
        assert_eq!(values(format!("{a}\n\n{b}\n")), both);
        assert_eq!(values(format!("\u{feff}{a}\r\n{b}")), both);
        assert_eq!(values(format!("[{a}, {b}]")), both);
        assert_eq!(values(format!("[\n{a},\n{b}\n]\n")), both);
        assert_eq!(values(format!("{pretty}\n{b}")), both);
        let bundle = format!(r#"{{"type": "bundle", "id": "x", "objects": [{other}, {a}, {b}]}}"#);
        assert_eq!(values(&bundle), both);
        let spread = bundle.replace(", ", ",\n");
        assert_eq!(values(spread), both);
        assert_eq!(values(format!("{INTEL}\n{a}")), ["6.6.0.1", "a.example"]);
        assert_eq!(
            values(r#"["192.0.2.1", "a.example"]"#),
            ["192.0.2.1", "a.example"]
        );
        assert!(values(r#"{"type": "bundle", "id": "x"}"#).is_empty());
        assert!(values("").is_empty() && values(" \n\n").is_empty() && values("[]").is_empty());
    }

    #[test]
    fn plain_text_is_read_by_its_form() {
        let text = "# a list\n192.0.2.1\n2001:DB8::1 # six\n\n evil.example. \r\nhttp://a.example/#x\n/gate.php\nbücher.example\nD41D8CD98F00B204E9800998ECF8427E\n10.0.0.0/8";
        let expected = [
            "192.0.2.1",
            "2001:DB8::1",
            "evil.example.",
            "http://a.example/#x",
            "/gate.php",
            "bücher.example",
            "D41D8CD98F00B204E9800998ECF8427E",
            "10.0.0.0/8",
        ];
        assert_eq!(values(text), expected);
    }

    #[test]
    fn what_is_none_is_named_and_the_rest_is_read() {
        let a = indicator("a.example");
        for (text, words) in [
            (format!("{a}\n{{\"type\": \n{a}"), "line 2 is no JSON"),
            (format!("{a}\n7\n{a}"), "7 is no indicator"),
            (
                format!("{a}\n{{\"type\": \"malware\", \"id\": \"x\"}}\n{a}"),
                "malware",
            ),
            (format!("[{a}, [1], {a}]"), "1 is no indicator"),
        ] {
            let values = values(text);
            assert_eq!(
                (values.len(), &*values[0], &*values[2]),
                (3, "a.example", "a.example")
            );
            assert!(
                values[1].starts_with('!') && values[1].contains(words),
                "{values:?}"
            );
        }
        for text in ["999.1.1.1", "two words", "evil", "a..example", "hxxp:evil"] {
            let values = values(format!("a.example\n{text}"));
            assert!(values[1].contains(&format!("{text:?} is no")), "{values:?}");
        }
        assert!(values(b"a.example\n\xff\n")[1].contains("line 2 is not UTF-8"));
        assert!(values(format!("{{\n\"a\": }}\n{a}"))[0].contains("no JSON from here"));
    }

    #[test]
    fn a_line_without_an_end_is_named_and_the_rest_is_read() {
        let mut text = b"a.example\n".to_vec();
        text.resize(text.len() + 3 * LONGEST_LINE as usize, b'x');
        text.extend_from_slice(b"\nb.example\n");
        let found = values(&text);
        assert_eq!((&*found[0], &*found[2]), ("a.example", "b.example"));
        assert!(
            found[1].contains("line 2 is longer than 16 MiB"),
            "{}",
            found[1]
        );
        // It is the first one.
        let found = values(&text["a.example\n".len()..]);
        assert!(found[0].contains("line 1 is longer"), "{}", found[0]);
        assert_eq!(found[1], "b.example");
        // A list of indicators, which can be one line.
        let one = format!("{}, ", indicator("a.example"));
        let list = one.repeat(LONGEST_LINE as usize / one.len() + 1);
        let list = format!("[{}]", list.trim_end_matches(", "));
        assert!(list.len() as u64 > LONGEST_LINE);
        assert!(values(list).iter().all(|value| value == "a.example"));
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), start in "[\\[{\"#/a1 ]{0,3}") {
            let mut file = start.into_bytes();
            file.extend(bytes);
            prop_assert!(read(&*file, |_| ()).is_ok());
        }
    }
}

//! One JSON object per line: removes a prefix of the line, and the wrapping of exports
//! around an event.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{lines, places_of_lines, zeek_tsv};
use crate::matching::recogniser::{Recognised, Recogniser};

/// Passes on every line of a block that is not blank. Invalid UTF-8 is replaced.
pub fn each(block: &[u8], mut show: impl FnMut(&str)) {
    let mut line = |line: &str| {
        let line = line.trim_ascii();
        if !line.is_empty() && line != "\u{feff}" {
            show(line);
        }
    };
    // The block is checked at once. It is checked line by line only if it is invalid.
    match std::str::from_utf8(block) {
        Ok(text) => places_of_lines(block).for_each(|place| line(&text[place])),
        Err(_) => lines(block).for_each(|bytes| line(&String::from_utf8_lossy(bytes))),
    }
}

/// The object in a line that is not an object as a whole: after a byte order mark, a syslog
/// header or the rest of a truncated line, and before the comma after an element of a list.
pub fn within(line: &str) -> Option<&str> {
    let start = memmem::find_iter(line.as_bytes(), b"{").find(|start| {
        let rest = line[start + 1..].trim_ascii_start();
        rest.starts_with(['"', '}'])
    })?;
    let object = line[start..].trim_ascii_end();
    let object = object.trim_end_matches([',', ']']).trim_ascii_end();
    (object.len() < line.len()).then_some(object)
}

/// The object in a line that is a text in JSON, as `jq .message` prints it.
pub fn quoted(line: &str) -> Option<String> {
    let line = line.trim_start_matches('\u{feff}');
    if !line.starts_with('"') {
        return None;
    }
    let text = serde_json::from_str::<String>(line).ok()?;
    // In JSON, line breaks are only allowed between tokens.
    let object = text.trim_ascii().replace(['\n', '\r'], " ");
    object.starts_with('{').then_some(object)
}

/// Keys of an event: an object that has one before an array is an event and not a response, and one
/// that begins with one is no part of another event.
pub const OF_EVENTS: [&[u8]; 11] = [
    b"ts",
    b"time",
    b"_path",
    b"flow_id",
    b"timestamp",
    b"@timestamp",
    b"event_type",
    b"src_ip",
    b"dest_ip",
    b"id.orig_h",
    b"id.resp_h",
];

/// Whether an object begins with such a key.
pub fn begins_like_event(object: &[u8]) -> bool {
    let text = object.strip_prefix(b"{").unwrap_or_default();
    let text = text.trim_ascii_start().strip_prefix(b"\"");
    let text = text.unwrap_or_default();
    let key = memchr::memchr(b'"', text).map(|end| &text[..end]);
    key.is_some_and(|key| OF_EVENTS.contains(&key))
}

/// How often a line is read from another brace: each time may go to its end.
const MOST_FAILURES: usize = 16;

/// The objects of a line that is no object: several in a row, an object behind the beginning of
/// another (whose writer died), or with something behind it. Also whether there is no broken one
/// beside them.
pub fn several(line: &str) -> (Vec<&str>, bool) {
    let between = |c: char| c.is_ascii_whitespace() || ",[]\u{1e}\u{feff}".contains(c);
    let (mut objects, mut failures, mut rest) = (Vec::new(), 0, line);
    while failures < MOST_FAILURES {
        let mut text = rest.trim_start_matches(between);
        if !text.starts_with('{') {
            // What begins otherwise could be a part of a broken event.
            let mut braces = memchr::memchr_iter(b'{', text.as_bytes());
            match braces.find(|&at| begins_like_event(&text.as_bytes()[at..])) {
                Some(at) => text = &text[at..],
                None => break,
            }
        }
        let read = serde_json::Deserializer::from_str(text);
        match read.into_iter::<&RawValue>().next() {
            Some(Ok(object)) if !goes_on(&text[object.get().len()..]) => {
                objects.push(object.get());
                rest = &text[object.get().len()..];
            }
            _ => {
                failures += 1;
                rest = &text[1..];
            }
        }
    }
    (objects, failures == 0)
}

/// Whether what is behind an object shows that it is in another one.
fn goes_on(behind: &str) -> bool {
    let behind = behind.trim_ascii_start();
    let next = behind.strip_prefix(',').map(str::trim_ascii_start);
    behind.starts_with(['}', ':']) || next.is_some_and(|next| next.starts_with('"'))
}

/// Whether a line among rows of a table is rather JSON: an object, or one behind a header of
/// syslog.
pub fn may_have_object(line: &[u8]) -> bool {
    let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    text.trim_ascii_start().starts_with(b"{")
        || memchr::memchr(b'\t', line).is_none() && memmem::find(line, b"{\"").is_some()
}

/// The actions of Elasticsearch's bulk API, each on a line before its document.
const ACTIONS: [&str; 4] = ["index", "create", "update", "delete"];

/// What an action can say about its document, also with `_` before it.
const OF_ACTIONS: [&str; 15] = [
    "_index",
    "_type",
    "_id",
    "routing",
    "version",
    "version_type",
    "parent",
    "timestamp",
    "ttl",
    "if_seq_no",
    "if_primary_term",
    "retry_on_conflict",
    "pipeline",
    "require_alias",
    "dynamic_templates",
];

/// Whether a line is an action of Elasticsearch's bulk API: it is no event, but an event may
/// follow. Rejecting a line costs next to nothing.
pub fn is_bulk_action(line: &str) -> bool {
    let name = line.strip_prefix('{').map(str::trim_ascii_start);
    let name = name.and_then(|name| name.strip_prefix('"'));
    if !name.is_some_and(|name| ACTIONS.iter().any(|action| name.starts_with(action))) {
        return false;
    }
    let actions = serde_json::from_str::<BTreeMap<&str, BTreeMap<&str, IgnoredAny>>>(line);
    actions.is_ok_and(|actions| {
        actions.len() == 1
            && actions.iter().all(|(action, members)| {
                let is_known = |member: &&str| {
                    let bare = member.strip_prefix('_').unwrap_or(member);
                    OF_ACTIONS.contains(member) || OF_ACTIONS.contains(&bare)
                };
                ACTIONS.contains(action) && members.keys().all(is_known)
            })
    })
}

/// The names of the first members that Elasticsearch and Splunk write before an event.
const FIRST_MEMBERS: [&str; 11] = [
    "_index", "_id", "_type", "_score", "_source", "preview", "result", "offset", "_bkt", "_cd",
    "_raw",
];

/// Whether a line may be an event in the wrapping of an export. Rejecting a line costs next
/// to nothing.
pub fn may_be_wrapped(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("{") else {
        return false;
    };
    let rest = rest.trim_ascii_start();
    let Some(rest) = rest.strip_prefix('"') else {
        return false;
    };
    matches!(rest.as_bytes().first(), Some(b'_' | b'p' | b'r' | b'o'))
        && FIRST_MEMBERS.iter().any(|name| {
            let behind = rest.strip_prefix(name);
            behind.is_some_and(|behind| behind.starts_with('"'))
        })
}

/// The members with the event in exports of Elasticsearch (`_source`) and Splunk (`result`,
/// `_raw`).
#[derive(serde::Deserialize)]
struct Wrapping<'a> {
    #[serde(borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow, rename = "_raw")]
    raw: Option<&'a RawValue>,
}

/// The event in an element of an export; the line itself if it has no wrapping.
pub fn unwrapped(line: &str) -> Cow<'_, str> {
    let Ok(wrapping) = serde_json::from_str::<Wrapping<'_>>(line) else {
        return Cow::Borrowed(line);
    };
    let inner = [wrapping.source, wrapping.result].into_iter().flatten();
    let inner = inner
        .map(RawValue::get)
        .find(|inner| inner.starts_with('{'));
    let raw = match inner {
        // Splunk's fields are derived from the event; `_raw` is the event.
        Some(inner) => match serde_json::from_str::<Wrapping<'_>>(inner) {
            Ok(Wrapping { raw: Some(raw), .. }) => Some(raw),
            _ => return Cow::Borrowed(inner),
        },
        None => wrapping.raw,
    };
    let event = raw.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    match event {
        Some(event) if event.starts_with('{') && !event.contains('\n') => Cow::Owned(event),
        _ => Cow::Borrowed(inner.unwrap_or(line)),
    }
}

/// The members in which log shippers store the original event as text: Filebeat and Logstash,
/// journald, GELF, Docker and Fluent Bit, Loki, Kafka's kcat, Google's logging, Splunk and Cribl,
/// rsyslog, NXLog, Azure Sentinel, OpenTelemetry, and Wazuh.
#[derive(serde::Deserialize)]
struct Shipped<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow, rename = "MESSAGE")]
    journal: Option<&'a RawValue>,
    #[serde(borrow)]
    short_message: Option<&'a RawValue>,
    #[serde(borrow)]
    full_message: Option<&'a RawValue>,
    #[serde(borrow, rename = "_message")]
    gelf: Option<&'a RawValue>,
    #[serde(borrow)]
    log: Option<&'a RawValue>,
    #[serde(borrow)]
    line: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, rename = "textPayload")]
    text_payload: Option<&'a RawValue>,
    #[serde(borrow, rename = "_raw")]
    raw: Option<&'a RawValue>,
    #[serde(borrow)]
    msg: Option<&'a RawValue>,
    #[serde(borrow)]
    raw_event: Option<&'a RawValue>,
    #[serde(borrow, rename = "RawData")]
    raw_data: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    full_log: Option<&'a RawValue>,
    /// An object that has it, or the text.
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow, rename = "event.original")]
    event_original: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct ShippedEvent<'a> {
    #[serde(borrow)]
    original: Option<&'a RawValue>,
}

/// The original event, on one line, if a shipper stored it as text. The shipper may also
/// have parsed it.
pub fn original(object: &str) -> Option<String> {
    // Rejecting an object costs next to nothing: a brace in a text begins it, or an escaped
    // quotation mark or line break follows.
    let bytes = object.as_bytes();
    let begins = memchr::memchr_iter(b'{', bytes).any(|at| {
        at > 0 && bytes[at - 1] == b'"'
            || matches!(bytes[at + 1..], [b'\\', ..] | [b' ', b'\\', ..])
    });
    if !begins && !may_have_bytes(bytes) {
        return None;
    }
    // In JSON, line breaks are only allowed between tokens.
    shipped_texts(object)?.find_map(|text| {
        let text = text.trim_ascii().replace(['\n', '\r'], " ");
        if text.starts_with('{') {
            return Some(text);
        }
        within(&text).map(str::to_owned)
    })
}

/// A line of a Zeek table that a shipper stored as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShippedLine {
    /// A line of its header, or a comment.
    Header,
    /// A row that it has not parsed. What its cells are is only in the header of its file.
    Row(String),
}

/// The line of a Zeek table that a shipper stored as text, if it did.
pub fn shipped_line(object: &str) -> Option<ShippedLine> {
    // Rejecting an object costs next to nothing: a line of a header begins a text with `#`, and behind
    // the time of a row is a tab.
    let bytes = object.as_bytes();
    let may_be_one = |at: usize| {
        let (before, rest) = (bytes[..at].last(), &bytes[at + 1..]);
        match bytes[at] {
            b'#' => before == Some(&b'"'),
            _ => {
                before.is_some_and(u8::is_ascii_digit)
                    && (rest.starts_with(b"t") || rest.starts_with(b"u0009"))
            }
        }
    };
    if !memchr::memchr2_iter(b'#', b'\\', bytes).any(may_be_one) {
        return None;
    }
    shipped_texts(object)?.find_map(|text| {
        if zeek_tsv::begins(text.as_bytes()) == Some(true) {
            return Some(ShippedLine::Header);
        }
        let time = &text[..text.find('\t')?];
        // A header of syslog may precede it.
        let row = &text[time.rfind(' ').map_or(0, |at| at + 1)..];
        let is_row = zeek_tsv::is_like_row(row.as_bytes()) && !has_cells_of(row, bytes);
        is_row.then(|| ShippedLine::Row(row.to_owned()))
    })
}

/// Whether cells of a row are also values of the object that carries the row as text: the shipper has
/// parsed it. Short cells say nothing, and one address may be that of the shipper.
fn has_cells_of(row: &str, object: &[u8]) -> bool {
    const LEAST: usize = "1.1.1.1".len();
    let cells = row.split('\t').skip(1).filter(|cell| cell.len() >= LEAST);
    let cells: BTreeSet<&str> = cells.collect();
    let is_value = |cell: &&&str| memmem::find(object, format!("\"{cell}\"").as_bytes()).is_some();
    let needed = cells.len().clamp(1, 2);
    cells.iter().filter(is_value).take(needed).count() == needed
}

/// The texts in which a shipper may have stored an event.
fn shipped_texts(object: &str) -> Option<impl Iterator<Item = String>> {
    let shipped: Shipped<'_> = serde_json::from_str(object).ok()?;
    let inner = shipped.event.map(RawValue::get);
    let inner = inner.and_then(|event| serde_json::from_str::<ShippedEvent<'_>>(event).ok());
    let texts = [
        shipped.message,
        inner.and_then(|event| event.original),
        shipped.event_original,
        shipped.event,
        shipped.log,
        shipped.line,
        shipped.payload,
        shipped.text_payload,
        shipped.journal,
        shipped.short_message,
        shipped.full_message,
        shipped.gelf,
        shipped.raw,
        shipped.msg,
        shipped.raw_event,
        shipped.raw_data,
        shipped.body,
        shipped.full_log,
    ];
    let texts = texts.into_iter().flatten();
    Some(
        texts.filter_map(|text| match serde_json::from_str::<String>(text.get()) {
            Ok(text) => Some(text),
            // journald writes bytes as numbers if one of them is no text.
            Err(_) if text.get().starts_with('[') => {
                let bytes = serde_json::from_str::<Vec<u8>>(text.get()).ok()?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            Err(_) => None,
        }),
    )
}

/// Whether journald may have written the text of an event as bytes: its members have capital
/// letters, or `_` before them.
pub fn may_have_bytes(object: &[u8]) -> bool {
    if !matches!(object, [b'{', b'"', b'_' | b'A'..=b'Z', ..]) {
        return false;
    }
    let member = memmem::find(object, b"\"MESSAGE\"");
    member.is_some_and(|at| {
        let value = object[at + "\"MESSAGE\"".len()..].trim_ascii_start();
        let value = value.strip_prefix(b":").unwrap_or_default();
        value.trim_ascii_start().starts_with(b"[")
    })
}

/// What the objects in a line, or what is wrapped in them, are; `None` for a line of a Zeek table
/// in an object of a shipper.
///
/// # Errors
/// The line has no object.
pub fn recognise(
    line: &str,
    recogniser: &mut Recogniser,
) -> Result<Option<Recognised>, serde_json::Error> {
    let text = quoted(line);
    let line = text.as_deref().unwrap_or(line);
    let object = if line.starts_with('{') {
        line
    } else {
        within(line).unwrap_or(line)
    };
    let mut recognise = |object: &str| {
        let object = unwrapped(object);
        let inner = original(&object);
        if shipped_line(inner.as_deref().unwrap_or(&object)).is_some() {
            return None;
        }
        let events = inner.iter().map(|inner| &**inner).chain([&*object]);
        events.map(|event| recogniser.recognise(event)).max()
    };
    match serde_json::from_str::<IgnoredAny>(object) {
        Ok(_) => Ok(recognise(object)),
        Err(error) => match several(line).0 {
            objects if objects.is_empty() => Err(error),
            objects => Ok(objects.into_iter().filter_map(recognise).max()),
        },
    }
}

#[cfg(test)]
mod tests;

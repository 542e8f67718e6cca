//! The formats of logs, which are detected by content.
//!
//! A format determines how its bytes become lines (`LogFormat::flatten`) and how lines
//! become events ([`LineParser`]). A new format needs an entry in [`LOG_FORMATS`], its variants
//! and match arms in this file, and a file with its reader. Compression is handled in
//! `decode`. [`Cutter`] reads for both passes over files and for following them.

mod cutter;
pub mod json_array;
pub mod json_lines;
pub mod zeek_json;
pub mod zeek_tsv;

use std::ops::Range;

use json_array::Flatten;
use zeek_tsv::{NoRow, TsvRow};

use crate::config::log_formats::{self, LOG_FORMATS};
use crate::process::unreadable;

pub use cutter::{Cut, Cutter};

/// The most bytes of a log that are examined to detect its format.
pub const BEGINNING: usize = 64 << 10;

/// A supported format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    JsonLines,
    /// Arrays of JSON objects, objects over several lines, and responses of known programs.
    JsonArray,
    /// Zeek's own format.
    Zeek,
}

/// The supported formats in a few words.
pub fn supported() -> String {
    let names: Vec<&str> = LOG_FORMATS.iter().map(|format| format.name).collect();
    format!(
        "logs of Suricata (EVE) and Zeek as {}; plain, or compressed with gzip or Zstandard",
        names.join(", ")
    )
}

impl LogFormat {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        let format = match self {
            LogFormat::JsonLines => log_formats::JSON_LINES,
            LogFormat::JsonArray => log_formats::JSON_ARRAYS,
            LogFormat::Zeek => log_formats::ZEEK_LOGS,
        };
        format.name
    }

    /// How to read events from its lines, before the first line.
    fn parser(self) -> LineParser {
        match self {
            LogFormat::JsonLines | LogFormat::JsonArray => LineParser::Json,
            LogFormat::Zeek => LineParser::Zeek(zeek_tsv::Head::default()),
        }
    }

    /// How to convert its bytes to lines, unless they are lines already.
    fn flatten(self) -> Option<Flatten> {
        match self {
            LogFormat::JsonArray => Some(Flatten::default()),
            LogFormat::JsonLines | LogFormat::Zeek => None,
        }
    }

    /// Whether a line cannot be read without earlier lines of the log.
    pub fn needs_start(self) -> bool {
        match self {
            LogFormat::JsonLines => false,
            LogFormat::JsonArray | LogFormat::Zeek => true,
        }
    }
}

/// What the beginning of a log reveals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detected {
    /// It has this format, or the default format, which needs no certain beginning.
    Format(LogFormat),
    /// It cannot be read, for this reason.
    Unreadable(&'static str),
    /// More bytes are needed.
    More,
}

/// Detects the format of a log from its beginning; `is_all` if nothing follows.
///
/// The result holds for every longer beginning too: how a log is read does not depend on
/// the size of the first read.
pub fn detect(beginning: &[u8], is_all: bool) -> Detected {
    let is_all = is_all || beginning.len() >= BEGINNING;
    if let Some(reason) = unreadable::reason(beginning) {
        return Detected::Unreadable(reason);
    }
    if beginning.len() < unreadable::LEAST_BEGINNING && !is_all {
        return Detected::More;
    }
    let start = beginning.iter().position(|byte| !is_blank(byte));
    let format = match start.map(|start| &beginning[start..]) {
        None => is_all.then_some(LogFormat::JsonLines),
        Some(text) => match text[0] {
            b'#' => match zeek_tsv::begins(text) {
                Some(true) => Some(LogFormat::Zeek),
                Some(false) | None => is_enough(text, is_all).then_some(LogFormat::JsonLines),
            },
            b'[' => array(&text[1..], is_all),
            b'{' => object(text, is_all),
            _ => is_enough(text, is_all).then_some(LogFormat::JsonLines),
        },
    };
    format.map_or(Detected::More, Detected::Format)
}

/// Whether a log may have this byte before its first event: white space, what a truncating rotation
/// leaves, or a part of a byte order mark.
pub fn is_blank(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || b"\0\xef\xbb\xbf".contains(byte)
}

/// Whether this is enough of an unknown beginning to exclude the known unreadable files, so
/// that later lines may hold events.
fn is_enough(text: &[u8], is_all: bool) -> bool {
    is_all || text.len() >= unreadable::ENOUGH || text.contains(&b'\n')
}

/// A beginning with `[`: an array of objects, or a line of something else.
fn array(text: &[u8], is_all: bool) -> Option<LogFormat> {
    let start = text.iter().find(|byte| !b" \t\r\n[".contains(byte));
    match start {
        Some(b'{' | b']') => Some(LogFormat::JsonArray),
        Some(_) => is_enough(text, is_all).then_some(LogFormat::JsonLines),
        None if is_all => Some(LogFormat::JsonArray),
        None => None,
    }
}

/// A beginning with `{`: a line, an object over several lines, or a response with events.
fn object(text: &[u8], is_all: bool) -> Option<LogFormat> {
    let end = memchr::memchr(b'\n', text);
    let (first, rest) = text.split_at(end.unwrap_or(text.len()));
    if json_array::begins_with_response(first) {
        return Some(LogFormat::JsonArray);
    }
    if rest.is_empty() {
        return is_all.then_some(LogFormat::JsonLines);
    }
    if serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok() {
        return Some(LogFormat::JsonLines);
    }
    match rest.get(1) {
        None if !is_all => None,
        Some(next) if b" \t\"}\r\n".contains(next) => Some(LogFormat::JsonArray),
        _ => Some(LogFormat::JsonLines),
    }
}

/// How to read events from the lines of a block.
#[derive(Clone, Debug, Default)]
pub enum LineParser {
    /// Every line is one JSON object.
    #[default]
    Json,
    /// The lines are rows below this header, or below headers among them. A line that is not a
    /// row is read as JSON, if it has an object.
    Zeek(zeek_tsv::Head),
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// One line, which may still turn out not to be JSON.
    Json(&'a str),
    /// A row.
    Row(TsvRow<'a>),
}

/// A line that is not an event, and the reason.
#[derive(Clone, Copy, Debug)]
pub struct NoEvent<'a> {
    /// The line.
    pub line: &'a [u8],
    /// The reason.
    pub reason: NoRow,
}

impl LineParser {
    /// How to read the next block; also processes the headers in this block, for the one
    /// after it. `begins_rows`: one of them is the first after lines of JSON.
    fn next(&mut self, block: &[u8], begins_rows: bool) -> LineParser {
        if begins_rows {
            // The log begins in the middle of rows, or its writer has changed its format.
            *self = LineParser::Zeek(zeek_tsv::Head::default());
        }
        let parser = self.clone();
        match self {
            LineParser::Json => {}
            LineParser::Zeek(head) => head.take_all(block),
        }
        parser
    }

    /// Passes on the result of every line of a part of a block, except blank lines and
    /// headers. Call it for the parts in order.
    pub fn each(&mut self, block: &[u8], mut show: impl FnMut(Result<Event<'_>, NoEvent<'_>>)) {
        match self {
            LineParser::Json => json_lines::each(block, |line| each_event(line, &mut show)),
            LineParser::Zeek(head) => {
                for line in lines(block).filter(|line| !line.trim_ascii().is_empty()) {
                    if line.starts_with(b"#") {
                        head.take(line);
                        continue;
                    }
                    match TsvRow::new(head.header(), line) {
                        Ok(row) => show(Ok(Event::Row(row))),
                        Err(_) if json_lines::may_have_object(line) => {
                            json_lines::each(line, |line| each_event(line, &mut show));
                        }
                        Err(reason) => show(Err(NoEvent { line, reason })),
                    }
                }
            }
        }
    }
}

/// Passes on what may be events in a line of JSON.
fn each_event(line: &str, show: &mut impl FnMut(Result<Event<'_>, NoEvent<'_>>)) {
    if json_lines::is_bulk_action(line) {
        return;
    }
    match json_array::events_of_line(line) {
        Some(events) => {
            let events = events.lines().filter(|event| !event.is_empty());
            events.for_each(|event| show(Ok(Event::Json(event))));
        }
        None => show(Ok(Event::Json(line))),
    }
}

/// The lines of a block, without their ends.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    places_of_lines(block).map(|place| &block[place])
}

/// The positions of the lines of a block, without their ends. `str::split` finds them at a
/// third of the speed.
fn places_of_lines(block: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let ends = memchr::memchr_iter(b'\n', block).chain([block.len()]);
    let mut start = 0;
    ends.map(move |end| {
        let line = start..end;
        start = (end + 1).min(block.len());
        line
    })
}

#[cfg(test)]
pub(super) mod tests;

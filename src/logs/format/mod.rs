//! The forms in which logs come, each told by its content.
//!
//! A form says how its bytes become lines (`LogFormat::flatten`) and what makes events of
//! the lines ([`Reading`]); one that is new has its entry in [`LOG_FORMS`], its variants and
//! arms here and nowhere else, and a file with its reader. How a log is compressed is another matter
//! (`decode`), and both passes over files and the following of them read by [`Cutter`].

mod cutter;
pub mod json_array;
pub mod json_lines;
pub mod unreadable;
pub mod zeek_json;
pub mod zeek_tsv;

use std::ops::Range;

use json_array::{Envelope, Flatten, Place};
use zeek_tsv::{NoRow, Row};

use crate::config::log_forms::LOG_FORMS;

pub use cutter::{Cut, Cutter};

/// How much of a log is looked at, at the most, to tell its form, in bytes.
pub const BEGINNING: usize = 64 << 10;

/// A form that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    JsonLines,
    /// Arrays of JSON objects, and objects over several lines.
    JsonArray(Place),
    /// Zeek's own.
    Zeek,
}

/// What is read, in a few words.
pub fn taken() -> String {
    let names: Vec<&str> = LOG_FORMS.iter().map(|form| form.name).collect();
    format!(
        "logs of Suricata (EVE) and Zeek as {}; plain, or compressed with gzip or Zstandard",
        names.join(", ")
    )
}

impl LogFormat {
    /// Its name, as it stands in the log.
    pub fn name(self) -> &'static str {
        let entry = match self {
            LogFormat::JsonLines => &LOG_FORMS[0],
            LogFormat::JsonArray(_) => &LOG_FORMS[1],
            LogFormat::Zeek => &LOG_FORMS[2],
        };
        entry.name
    }

    /// What makes events of its lines, before the first of them.
    fn reading(self) -> Reading {
        match self {
            LogFormat::JsonLines | LogFormat::JsonArray(_) => Reading::Json,
            LogFormat::Zeek => Reading::Zeek(zeek_tsv::Head::default()),
        }
    }

    /// What makes lines of its bytes, where they are none.
    fn flatten(self) -> Option<Flatten> {
        match self {
            LogFormat::JsonArray(place) => Some(Flatten::new(place)),
            LogFormat::JsonLines | LogFormat::Zeek => None,
        }
    }

    /// Whether a line means nothing without what stands before it in the log.
    pub fn needs_start(self) -> bool {
        match self {
            LogFormat::JsonLines => false,
            LogFormat::JsonArray(_) | LogFormat::Zeek => true,
        }
    }
}

/// What was made of the beginning of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detected {
    /// It is in this form, or in the one that needs no certain beginning.
    Format(LogFormat),
    /// It cannot be read, for this reason.
    Unreadable(&'static str),
    /// There is too little of it.
    More,
}

/// The form of a log that begins so; `is_all` where nothing follows.
///
/// What holds for a beginning holds for every longer one too: how a log is read does not
/// depend on where the first read of it ended.
pub fn detect(beginning: &[u8], is_all: bool) -> Detected {
    let is_all = is_all || beginning.len() >= BEGINNING;
    if let Some(reason) = unreadable::reason(beginning) {
        return Detected::Unreadable(reason);
    }
    if beginning.len() < unreadable::LEAST && !is_all {
        return Detected::More;
    }
    let blank = |byte: &u8| byte.is_ascii_whitespace() || b"\0\xef\xbb\xbf".contains(byte);
    let start = beginning.iter().position(|byte| !blank(byte));
    let form = match start.map(|start| &beginning[start..]) {
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
    form.map_or(Detected::More, Detected::Format)
}

/// Whether there is enough of what begins as no form does to say that it is none of the
/// files that are known, and so may have events in later lines.
fn is_enough(text: &[u8], is_all: bool) -> bool {
    is_all || text.len() >= unreadable::ENOUGH || text.contains(&b'\n')
}

/// What begins with `[`: an array of objects, or a line of something else.
fn array(text: &[u8], is_all: bool) -> Option<LogFormat> {
    match text.trim_ascii_start().first() {
        Some(b'{' | b']') => Some(LogFormat::JsonArray(Place::Top)),
        Some(_) => is_enough(text, is_all).then_some(LogFormat::JsonLines),
        None if is_all => Some(LogFormat::JsonArray(Place::Top)),
        None => None,
    }
}

/// What begins with `{`: a line, an object over several lines, or an answer that
/// holds events.
fn object(text: &[u8], is_all: bool) -> Option<LogFormat> {
    let end = memchr::memchr(b'\n', text);
    let (first, rest) = text.split_at(end.unwrap_or(text.len()));
    if let Envelope::Place(place) = json_array::envelope(first) {
        return Some(LogFormat::JsonArray(place));
    }
    if rest.is_empty() {
        return is_all.then_some(LogFormat::JsonLines);
    }
    if serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok() {
        return Some(LogFormat::JsonLines);
    }
    match rest.get(1) {
        None if !is_all => None,
        Some(next) if b" \t\"}\r\n".contains(next) => match json_array::envelope(text) {
            Envelope::Place(place) => Some(LogFormat::JsonArray(place)),
            // An answer may show its events later.
            Envelope::More if !is_all => None,
            Envelope::More | Envelope::No => Some(LogFormat::JsonArray(Place::Top)),
        },
        _ => Some(LogFormat::JsonLines),
    }
}

/// What makes events of the lines of one block.
#[derive(Clone, Debug, Default)]
pub enum Reading {
    /// Every line is one JSON object.
    #[default]
    Json,
    /// The lines are rows below this header, or below those among them.
    Zeek(zeek_tsv::Head),
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// One line, which may still prove to be no JSON.
    Json(&'a str),
    /// A row.
    Row(Row<'a>),
}

/// A line that is no event, and why.
#[derive(Clone, Copy, Debug)]
pub struct NoEvent<'a> {
    /// The line.
    pub line: &'a [u8],
    /// The reason.
    pub reason: NoRow,
}

impl Reading {
    /// What makes events of this block, which comes next; the one behind it is read with
    /// what this one says.
    fn next(&mut self, block: &[u8]) -> Reading {
        let reading = self.clone();
        match self {
            Reading::Json => {}
            Reading::Zeek(head) => head.take_all(block),
        }
        reading
    }

    /// Shows what every line of a part of a block is that says something. The parts come
    /// in their order.
    pub fn each(&mut self, block: &[u8], mut show: impl FnMut(Result<Event<'_>, NoEvent<'_>>)) {
        match self {
            Reading::Json => json_lines::each(block, |line| show(Ok(Event::Json(line)))),
            Reading::Zeek(head) => {
                for line in lines(block).filter(|line| !line.trim_ascii().is_empty()) {
                    if line.starts_with(b"#") {
                        head.take(line);
                        continue;
                    }
                    let row = Row::new(head.header(), line);
                    show(match row {
                        Ok(row) => Ok(Event::Row(row)),
                        Err(reason) => Err(NoEvent { line, reason }),
                    });
                }
            }
        }
    }
}

/// The lines of a block, without their ends.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    places_of_lines(block).map(|place| &block[place])
}

/// Where the lines of a block stand, without their ends; `str::split` finds them a third as
/// fast.
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
mod tests;

//! What the beginning of a file holds: which log, or what else.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::decode::decoded;
use super::format::{
    BEGINNING, Cut, Cutter, Detected, Event, LogFormat, detect, is_blank, json_lines, zeek_tsv,
};
use super::lines::{AtEnd, Block, Fill};
use super::read::LogError;
use crate::matching::recogniser::{Recognised, Recogniser};

/// What the beginning of a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// What it holds.
    pub kind: Kind,
    /// Whether the beginning is the whole file.
    pub is_whole: bool,
}

/// What a file holds, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Events, or the beginning of one.
    Log(LogFormat),
    /// Events in which nothing can be found.
    Unsearched(LogFormat),
    /// A header or an array without events.
    NoEvents(LogFormat),
    /// Rows of a Zeek table without their header.
    Headless,
    /// Such rows in objects of a log shipper.
    ShippedRows,
    /// This, which is no log.
    Other(&'static str),
    /// Nothing.
    Empty,
}

impl Contents {
    /// Whether it is known that nothing in the file is an event, though it is not empty.
    pub fn is_no_log(self) -> bool {
        let is_other = matches!(
            self.kind,
            Kind::Other(_) | Kind::Headless | Kind::ShippedRows
        );
        self.is_whole && is_other
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Log(format) => f.write_str(format.name()),
            Kind::Unsearched(format) => {
                write!(f, "{} without a field that is searched", format.name())
            }
            Kind::NoEvents(LogFormat::Zeek) => f.write_str("Zeek logs, header only: no rows yet"),
            Kind::NoEvents(format) => write!(f, "{} without events", format.name()),
            Kind::Headless => f.write_str("rows of a Zeek table without its header before them"),
            Kind::ShippedRows => f.write_str(
                "rows of a Zeek table without its header, in objects of a log shipper: the file \
                 that it has read is needed",
            ),
            Kind::Other(what) => write!(f, "nothing at its beginning is an event ({what})"),
            Kind::Empty => f.write_str("it is empty"),
        }
    }
}

/// What a file holds.
///
/// # Errors
/// It cannot be read.
pub fn of_file(path: &Path) -> Result<Contents, LogError> {
    let (_, reader) = decoded(File::open(path)?)?;
    let mut beginning = Vec::new();
    reader.take(BEGINNING as u64).read_to_end(&mut beginning)?;
    contents(&beginning)
}

/// What a file with this beginning, decompressed, holds.
///
/// # Errors
/// It cannot be read as a log.
pub fn contents(beginning: &[u8]) -> Result<Contents, LogError> {
    let is_whole = beginning.len() < BEGINNING;
    let kind = match detect(beginning, true) {
        Detected::Unreadable(reason) => return Err(LogError::Unreadable(reason)),
        Detected::Format(format) => kind(format, beginning, is_whole),
        Detected::More => Kind::Other(what_is(beginning)),
    };
    Ok(Contents { kind, is_whole })
}

fn kind(format: LogFormat, beginning: &[u8], is_whole: bool) -> Kind {
    let survey = Survey::of(beginning);
    match survey.recognised {
        Recognised::Searched => Kind::Log(format),
        Recognised::Event => Kind::Unsearched(format),
        Recognised::Other if survey.is_unfinished => Kind::Log(format),
        Recognised::Other if survey.has_shipped_lines => Kind::ShippedRows,
        Recognised::Other if survey.is_headless => Kind::Headless,
        Recognised::Other if survey.has_indicators => Kind::Other("indicators"),
        Recognised::Other
            if format == LogFormat::Zeek || zeek_tsv::header_in(beginning).is_some() =>
        {
            Kind::NoEvents(LogFormat::Zeek)
        }
        // A longer file is only known when it is read.
        Recognised::Other if survey.has_objects && !is_whole => Kind::Log(format),
        Recognised::Other if survey.has_objects => Kind::Other("JSON without events"),
        Recognised::Other if format == LogFormat::JsonArray => Kind::NoEvents(format),
        Recognised::Other if beginning.iter().all(is_blank) => Kind::Empty,
        Recognised::Other if has_object(beginning) => Kind::Log(format),
        Recognised::Other => Kind::Other(what_is(beginning)),
    }
}

/// What the lines of a beginning are.
#[derive(Default)]
struct Survey {
    recognised: Recognised,
    has_objects: bool,
    has_indicators: bool,
    has_shipped_lines: bool,
    /// Whether there are rows without a header.
    is_headless: bool,
    /// Whether an object is not written to its end.
    is_unfinished: bool,
}

impl Survey {
    fn of(beginning: &[u8]) -> Self {
        let mut survey = Survey::default();
        let (mut cutter, mut block) = (Cutter::default(), Block::default());
        let (mut recogniser, mut reader) = (Recogniser::default(), beginning);
        while let Ok(Cut::Block(mut reading)) =
            cutter.next(&mut reader, &mut block, Fill::Full, AtEnd::Finish)
        {
            reading.each(block.bytes(), |event| {
                if survey.recognised < Recognised::Searched {
                    match event {
                        Ok(Event::Json(line)) => survey.take(line, &mut recogniser),
                        Ok(Event::Row(row)) if row.is_indicator() => survey.has_indicators = true,
                        Ok(Event::Row(row)) => survey.recognise(row.recognised()),
                        Err(no_event) => {
                            survey.is_headless |= zeek_tsv::is_like_row(no_event.line);
                        }
                    }
                }
            });
        }
        survey
    }

    fn recognise(&mut self, recognised: Recognised) {
        self.recognised = self.recognised.max(recognised);
    }

    fn take(&mut self, line: &str, recogniser: &mut Recogniser) {
        match json_lines::recognise(line, recogniser) {
            Ok(Some(recognised)) => {
                self.has_objects = true;
                self.recognise(recognised);
            }
            Ok(None) => self.has_shipped_lines = true,
            Err(error) => {
                self.is_headless |= zeek_tsv::is_like_row(line.as_bytes());
                self.is_unfinished |= error.is_eof() && line.contains('{');
            }
        }
    }
}

/// What a file without events is, as far as its beginning shows.
fn what_is(beginning: &[u8]) -> &'static str {
    let mut lines = beginning.split(|byte| *byte == b'\n');
    let is_content = |line: &&[u8]| !line.trim_ascii().is_empty() && !line.starts_with(b"#");
    let first = lines.find(is_content).unwrap_or_default();
    let holds = |delimiter: u8| memchr::memchr_iter(delimiter, first).count() > 1;
    if memchr::memchr(0, beginning).is_some() {
        "binary"
    } else if beginning.trim_ascii_start().starts_with(b"<") {
        "HTML or XML"
    } else if has_object(beginning) {
        "JSON without events"
    } else if holds(b',') || holds(b';') {
        "CSV"
    } else {
        "text without events"
    }
}

/// Whether one of these lines is a JSON object, or the beginning of a long one.
pub fn has_object(beginning: &[u8]) -> bool {
    let mut has_one = false;
    json_lines::each(beginning, |line| {
        let object = if line.starts_with('{') {
            Some(line)
        } else {
            json_lines::within(line)
        };
        has_one |= object.is_some_and(|object| {
            let checked = serde_json::from_str::<serde::de::IgnoredAny>(object);
            checked.map_or_else(|error| error.is_eof(), |_| true)
        }) || json_lines::quoted(line).is_some()
            || !json_lines::several(line).0.is_empty();
    });
    has_one
}

//! Feeds of indicators in common formats.
//!
//! The format is detected from the content (`detect`), or given by the user. Each
//! reader returns its findings one by one with their line numbers, and holds no more of
//! the feed than one line or object.

use std::fmt;
use std::io::{self, BufRead, Cursor, Read};

use crate::observable::{Observable, of_line};
use crate::process::text::on_one_line;

mod csv;
mod detect;
mod found;
mod json;
mod lines;
mod list;
mod record;
mod said;
mod zeek_intel;

pub use found::{Found, Report};
pub use lines::LONGEST;

/// The reason for skipping a line or an object longer than [`LONGEST`].
const TOO_LONG: &str = "it has more than 16 MiB";

/// The reason for rejecting a value in another encoding.
const NOT_UTF8: &str = "it is not UTF-8";

/// The most columns of a table: each takes many times the memory of its bytes.
const MOST_COLUMNS: usize = 4096;

/// The formats that are read in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// One value per line.
    List,
    /// Names mapped to a blocking address.
    Hosts,
    /// Comma-separated values.
    Csv,
    /// A file for Zeek's Intel framework.
    ZeekIntel,
    /// JSON of any known shape.
    Json,
}

/// Describes a format.
#[derive(Debug)]
pub struct FormatInfo {
    /// The format.
    pub format: FileFormat,
    /// Its name for `--indicators-format`.
    pub name: &'static str,
    /// A description for the documentation.
    pub what: &'static str,
    /// What is read from it, for the documentation.
    pub accepted: &'static str,
}

/// All formats, in the order of the documentation.
pub static FORMATS: [FormatInfo; 10] = [
    FormatInfo {
        format: FileFormat::List,
        name: "list",
        what: "plain text, one value a line",
        accepted: "addresses, networks, ranges, addresses with a port, hashes, mail addresses, \
                JA4, domains, `*.domain`, `.domain` and `||domain^` (with the names under it), \
                URLs; defanged too; comments after `#`, `;` and `//`",
    },
    FormatInfo {
        format: FileFormat::Hosts,
        name: "hosts",
        what: "a hosts file that blocks names",
        accepted: "the names after 0.0.0.0, 127.0.0.1 and their like",
    },
    FormatInfo {
        format: FileFormat::Csv,
        name: "csv",
        what: "comma-separated values, also with tabs or semicolons",
        accepted: "the column that the header names as abuse.ch, MISP and OTX do, with its type \
                column; without one, the only column of values; else --indicators-column",
    },
    FormatInfo {
        format: FileFormat::ZeekIntel,
        name: "zeek-intel",
        what: "a file of Zeek's Intel framework",
        accepted: "all types but `Intel::PUBKEY_HASH`",
    },
    FormatInfo {
        format: FileFormat::Json,
        name: "stix",
        what: "STIX 2.0 and 2.1: bundle, array, lines, single object, TAXII 2 envelope",
        accepted: "indicators with a pattern of STIX",
    },
    FormatInfo {
        format: FileFormat::Json,
        name: "misp",
        what: "MISP: events, answers, attributes, objects, the folder of a feed with its manifest",
        accepted: "attributes with `to_ids` that are not deleted",
    },
    FormatInfo {
        format: FileFormat::Json,
        name: "otx",
        what: "pulses of OTX, or their indicators",
        accepted: "indicators that are active",
    },
    FormatInfo {
        format: FileFormat::Json,
        name: "threatfox",
        what: "answers and exports of ThreatFox in JSON",
        accepted: "`ioc` or `ioc_value`, by `ioc_type`",
    },
    FormatInfo {
        format: FileFormat::Json,
        name: "urlhaus",
        what: "URLhaus, Feodo Tracker, MalwareBazaar, PhishTank and Spamhaus in JSON",
        accepted: "`url`; `ip_address`, hashes, `url`, `cidr`",
    },
    FormatInfo {
        format: FileFormat::Json,
        name: "intel",
        what: "Intel objects of Threat Bus up to 2020.12, a line each or in an array",
        accepted: "all kinds that can be searched",
    },
];

/// A column of a CSV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// From 1.
    Number(usize),
    /// The name in the header, in any case.
    Name(String),
}

impl Column {
    /// Reads a number from 1 on, or a name; `None` for an empty text and for 0.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().parse() {
            Ok(0) => None,
            Ok(number) => Some(Column::Number(number)),
            Err(_) if text.trim().is_empty() => None,
            Err(_) => Some(Column::Name(text.trim().to_owned())),
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Column::Number(number) => number.fmt(f),
            Column::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// What is known about a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Its format; detected if it is not given.
    pub format: Option<FileFormat>,
    /// The column of a CSV file that holds the indicators.
    pub column: Option<Column>,
}

/// Why a feed could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An I/O error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The input is not a feed; human-readable.
    #[error("{0}. {ACCEPTED_FORMATS}")]
    NoFeed(String),
    /// The column with the indicators is ambiguous; human-readable.
    #[error("{0}")]
    Columns(String),
}

impl Error {
    /// The input is not a feed; `beginning` is quoted.
    fn no_feed(why: &str, beginning: &[u8]) -> Self {
        Error::NoFeed(format!("{why}; it begins with {}", shown(beginning)))
    }
}

/// The accepted formats, for messages.
pub const ACCEPTED_FORMATS: &str = "Accepted are lists, hosts files, CSV, Zeek intel files, STIX, \
     MISP, OTX, ThreatFox and URLhaus JSON, and Intel objects; --indicators-format names the format, \
     --indicators-column the column of a CSV";

/// The most bytes of a feed in which its first words are searched.
const READ_AHEAD: usize = 1024;

/// The first bytes of a feed, for a message.
pub fn shown(beginning: &[u8]) -> String {
    const BEGINNING_SHOWN: usize = 60;
    let text = on_one_line(&beginning[..beginning.len().min(READ_AHEAD)]);
    let part = &text[..text.len().min(BEGINNING_SHOWN)];
    let more = if text.len() > BEGINNING_SHOWN {
        "…"
    } else {
        ""
    };
    format!("\"{}\"{more}", part.escape_ascii())
}

/// Reads a feed and passes on its findings in order.
///
/// # Errors
/// It cannot be read to its end, or is not a feed. Earlier findings have been passed on.
pub fn read(
    mut reader: impl BufRead,
    options: &Options,
    each: &mut dyn FnMut(Found),
) -> Result<Report, Error> {
    let mut out = found::Out::new(each);
    let (mut head, detected) = detect::detect(&mut reader, options)?;
    if detected == detect::Detected::Json {
        lengthen(&mut head, &mut reader)?;
    }
    out.set_beginning(&head);
    let reader = Cursor::new(head).chain(reader);
    match detected {
        detect::Detected::Nothing => out.set_format("empty"),
        detect::Detected::List => list::read(reader, options, &mut out)?,
        detect::Detected::Hosts => list::read_hosts(reader, options, &mut out)?,
        detect::Detected::Csv(plan) => csv::read(reader, plan, options, &mut out)?,
        detect::Detected::ZeekIntel => zeek_intel::read(reader, options, &mut out)?,
        detect::Detected::Json => json::read(reader, options, &mut out)?,
    }
    Ok(out.report())
}

/// Reads more lines into the beginning of a feed that begins with a lone bracket, which tells nothing:
/// more has to follow it.
fn lengthen(head: &mut Vec<u8>, reader: &mut impl BufRead) -> io::Result<()> {
    const LEAST: usize = 16;
    let mut is_more = head.trim_ascii().len() == 1;
    while is_more && on_one_line(head).len() < LEAST {
        let mut line = reader.by_ref().take(READ_AHEAD as u64);
        is_more = line.read_until(b'\n', head)? > 0 && head.len() < READ_AHEAD;
    }
    Ok(())
}

/// The values of a text, if its form alone is unambiguous.
fn by_form(text: &str) -> Option<Vec<Observable>> {
    of_line(text).ok()
}

#[cfg(test)]
mod tests;

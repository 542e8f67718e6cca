//! Zeek's own format, usually tab-separated: the header defines how a line is split and what
//! its columns are. It is described in Zeek's documentation of its ASCII writer
//! (`LogAscii`).
//!
//! * `\xHH` is a byte, `\\` a backslash. Invalid UTF-8 and control characters are printed
//!   as `\xHH` in the text, as in Zeek's JSON.
//! * A cell that equals the header's `#unset_field` is unset; one that equals its
//!   `#empty_field` is an empty text or an empty list.
//! * Another header may follow: after a rotation into the same file, or in concatenated
//!   logs.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::{memchr, memmem};
use thiserror::Error;

use crate::matching::recogniser::{Recognised, Recogniser};

/// The most columns of a log. Zeek's widest log has about 60. Without a limit, a hostile
/// header would use a hundred bytes of memory for each of its columns.
const MOST_COLUMNS: usize = 4096;

/// The first words of header lines.
const KEYS: [&str; 9] = [
    "separator ",
    "set_separator",
    "empty_field",
    "unset_field",
    "path",
    "open",
    "close",
    "fields",
    "types",
];

/// Whether a log with this beginning is one of Zeek's; `None` if more of the line is
/// needed.
pub fn begins(beginning: &[u8]) -> Option<bool> {
    let rest = beginning.strip_prefix(b"#")?;
    if KEYS.iter().any(|key| rest.starts_with(key.as_bytes())) {
        Some(true)
    } else if KEYS.iter().any(|key| key.as_bytes().starts_with(rest)) {
        None
    } else {
        Some(false)
    }
}

/// Where the first header in these lines begins: with `#separator` or `#fields`.
pub fn header_in(lines: &[u8]) -> Option<usize> {
    let is_one = |line: &[u8]| {
        line.starts_with(b"#separator ")
            || line.strip_prefix(b"#fields").is_some_and(|rest| {
                rest.first()
                    .is_some_and(|mark| !mark.is_ascii_alphanumeric())
            })
    };
    let mut starts = [0]
        .into_iter()
        .chain(memmem::find_iter(lines, b"\n#").map(|at| at + 1));
    starts.find(|at| is_one(&lines[*at..]))
}

/// Whether a line looks like a row of a log whose header is missing: cells with tabs between
/// them, the first with a time in seconds.
pub fn is_like_row(line: &[u8]) -> bool {
    let Some(end) = memchr(b'\t', line) else {
        return false;
    };
    let is_number = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    let time = &line[..end];
    memchr(b'.', time).is_some_and(|point| {
        (9..=11).contains(&point) && is_number(&time[..point]) && is_number(&time[point + 1..])
    })
}

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `count`, `int`, `port`: an integer.
    Integer,
    /// `time`, `interval`, `double`.
    Double,
    /// `T` or `F`.
    Bool,
    /// `addr`, which has no escapes.
    Address,
    /// `string`, `enum`, `subnet`, and unknown types.
    Text,
}

impl Type {
    fn named(name: &[u8]) -> Self {
        match name {
            b"count" | b"int" | b"port" => Type::Integer,
            b"time" | b"interval" | b"double" => Type::Double,
            b"bool" => Type::Bool,
            b"addr" => Type::Address,
            _ => Type::Text,
        }
    }
}

/// A column of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name: `id.orig_h`.
    pub name: String,
    /// The type of its values, or of the elements of its lists.
    pub kind: Type,
    /// Whether it holds lists (`set[…]`, `vector[…]`).
    pub is_list: bool,
}

/// How to read the lines after a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    number: u64,
    marks: Marks,
    columns: Vec<Column>,
}

/// The texts with a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Marks {
    separator: Vec<u8>,
    in_lists: Vec<u8>,
    empty: Vec<u8>,
    unset: Vec<u8>,
}

impl Default for Marks {
    fn default() -> Self {
        Marks {
            separator: b"\t".to_vec(),
            in_lists: b",".to_vec(),
            empty: b"(empty)".to_vec(),
            unset: b"-".to_vec(),
        }
    }
}

/// Reads header lines as they arrive.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The number of headers.
    count: u64,
    marks: Marks,
    names: Vec<String>,
    header: Option<Arc<Header>>,
}

impl Head {
    /// The header for the line after the last one that was read.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_deref()
    }

    /// Reads the header lines in a block of lines.
    pub fn take_all(&mut self, block: &[u8]) {
        let mut rest = block;
        loop {
            let line = match memchr(b'\n', rest) {
                Some(end) => &rest[..end],
                None => rest,
            };
            if line.starts_with(b"#") {
                self.take(line);
            }
            // Few lines begin with `#`, so both characters are searched at once.
            match memmem::find(rest, b"\n#") {
                Some(at) => rest = &rest[at + 1..],
                None => return,
            }
        }
    }

    /// Reads a line that begins with `#`; comments are ignored.
    pub fn take(&mut self, line: &[u8]) {
        let line = without_return(line.strip_prefix(b"#").unwrap_or(line));
        if let Some(separator) = line.strip_prefix(b"separator ") {
            // A new header begins: the previous one no longer applies.
            *self = Head {
                count: self.count,
                ..Head::default()
            };
            self.marks.separator = unescaped(separator).into_owned();
            if self.marks.separator.is_empty() {
                self.marks = Marks::default();
            }
            return;
        }
        let (key, value) = match memmem::find(line, &self.marks.separator) {
            Some(at) => (&line[..at], &line[at + self.marks.separator.len()..]),
            None => (line, &b""[..]),
        };
        let mark = || unescaped(value).into_owned();
        match key {
            b"set_separator" if !value.is_empty() => self.marks.in_lists = mark(),
            b"empty_field" => self.marks.empty = mark(),
            b"unset_field" => self.marks.unset = mark(),
            b"fields" => self.take_fields(value),
            b"types" => self.take_types(value),
            _ => {}
        }
    }

    fn take_fields(&mut self, names: &[u8]) {
        let names = self.marks.cells(names).take(MOST_COLUMNS + 1);
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        self.names = names.map(text).collect();
        // In a header without types, all columns are texts.
        self.count += 1;
        self.header = self.made(|_| b"string");
    }

    fn take_types(&mut self, types: &[u8]) {
        self.count += 1;
        let types: Vec<&[u8]> = self.marks.cells(types).take(MOST_COLUMNS + 1).collect();
        let are_as_many = types.len() == self.names.len();
        self.header = are_as_many.then(|| self.made(|nth| types[nth])).flatten();
    }

    fn made<'a>(&self, kind: impl Fn(usize) -> &'a [u8]) -> Option<Arc<Header>> {
        let is_usable = (1..=MOST_COLUMNS).contains(&self.names.len());
        is_usable.then(|| {
            let columns = self.names.iter().enumerate();
            let columns = columns.map(|(nth, name)| column(name, kind(nth))).collect();
            Arc::new(Header {
                number: self.count,
                marks: self.marks.clone(),
                columns,
            })
        })
    }
}

fn column(name: &str, kind: &[u8]) -> Column {
    let inner = ["set", "vector", "table", "list"].iter().find_map(|word| {
        let rest = kind.strip_prefix(word.as_bytes())?;
        rest.strip_prefix(b"[")?.strip_suffix(b"]")
    });
    Column {
        name: name.to_owned(),
        kind: Type::named(inner.unwrap_or(kind)),
        is_list: inner.is_some(),
    }
}

impl Marks {
    fn cells<'a>(&'a self, line: &'a [u8]) -> Cells<'a> {
        Cells {
            rest: Some(line),
            separator: &self.separator,
        }
    }
}

/// The parts between separators.
struct Cells<'a> {
    rest: Option<&'a [u8]>,
    separator: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let at = match *self.separator {
            [single] => memchr(single, rest),
            _ => memmem::find(rest, self.separator),
        };
        match at {
            Some(at) => {
                self.rest = Some(&rest[at + self.separator.len()..]);
                Some(&rest[..at])
            }
            None => self.rest.take(),
        }
    }
}

/// Why a line is not an event.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoRow {
    /// No readable `#fields` came before it.
    #[error(
        "no event: it is a row without Zeek's header before it (`#fields` and as many `#types`, at \
         most {MOST_COLUMNS})"
    )]
    NoHeader,
    /// It is the text in an object of a log shipper.
    #[error(
        "no event: it is a row of a Zeek table without its header, in an object of a log shipper; \
         give the file that the shipper has read, or have Zeek write JSON \
         (`LogAscii::use_json=T`)"
    )]
    Shipped,
    /// The number of its cells, and the number of the header's columns, which differ.
    #[error("no event: it has {0} cell(s), and the header {1} column(s)")]
    Cells(usize, usize),
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct TsvRow<'a> {
    header: &'a Header,
    line: &'a [u8],
}

/// The content of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// The field is unset.
    Unset,
    /// An empty text, or an empty list.
    Empty,
    /// A value, with its escapes.
    Value(&'a [u8]),
}

impl<'a> TsvRow<'a> {
    /// Reads a line below this header.
    ///
    /// # Errors
    /// There is no header, or the line does not have one cell for each column.
    pub fn new(header: Option<&'a Header>, line: &'a [u8]) -> Result<Self, NoRow> {
        let header = header.ok_or(NoRow::NoHeader)?;
        let line = without_return(line);
        let cells = match *header.marks.separator {
            [single] => memchr::memchr_iter(single, line).count() + 1,
            _ => header.marks.cells(line).count(),
        };
        if cells == header.columns.len() {
            Ok(TsvRow { header, line })
        } else {
            Err(NoRow::Cells(cells, header.columns.len()))
        }
    }

    /// The columns with their cells.
    pub fn cells(&self) -> impl Iterator<Item = (&'a Column, Cell<'a>)> + use<'a> {
        let header = self.header;
        let cells = header.marks.cells(self.line);
        let interpret = |cell| header.cell(cell);
        header.columns.iter().zip(cells.map(interpret))
    }

    /// The elements of a list that is not empty.
    pub fn elements(&self, list: &'a [u8]) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        let header = self.header;
        let elements = Cells {
            rest: Some(list),
            separator: &header.marks.in_lists,
        };
        elements.map(|element| header.cell(element))
    }

    /// Whether it is one of a file for Zeek's Intel framework, which is no log.
    pub fn is_indicator(&self) -> bool {
        let columns = self.header.columns.iter();
        let names = columns.map(|column| &*column.name);
        names
            .filter(|name| ["indicator", "indicator_type"].contains(name))
            .count()
            == 2
    }

    /// What it is, judging by its columns.
    pub fn recognised(&self) -> Recognised {
        let columns = self.header.columns.iter();
        if columns.clone().any(|column| column.kind == Type::Address) {
            return Recognised::Searched;
        }
        Recogniser::recognise_columns(columns.map(|column| &*column.name))
    }

    /// The header above it.
    pub fn header(&self) -> &'a Header {
        self.header
    }
}

impl Header {
    /// Its number among the headers of one log.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    #[inline]
    fn cell<'a>(&self, cell: &'a [u8]) -> Cell<'a> {
        if cell == self.marks.unset {
            Cell::Unset
        } else if cell == self.marks.empty || cell.is_empty() {
            Cell::Empty
        } else {
            Cell::Value(cell)
        }
    }
}

/// Removes the carriage return of a line that was copied through Windows; Zeek itself
/// writes `\x0d`.
fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A cell as text: escapes are decoded; what a text cannot contain is printed as `\xHH`.
#[inline]
pub fn text(cell: &[u8]) -> Cow<'_, str> {
    if memchr(b'\\', cell).is_none() && !cell.iter().any(|byte| is_control(*byte)) {
        if let Ok(text) = std::str::from_utf8(cell) {
            return Cow::Borrowed(text);
        }
    }
    Cow::Owned(printable(&unescaped(cell)))
}

/// The control characters that are `\xHH` in Zeek's JSON: all but those with a short form
/// in JSON.
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\x08' | b'\x0c' | b'\n' | b'\r' | b'\t')
}

fn printable(bytes: &[u8]) -> String {
    let mut printed = String::with_capacity(bytes.len());
    let escaped = |byte: u8| format!("\\x{byte:02x}");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(character) {
                Ok(byte) if is_control(byte) => printed.push_str(&escaped(byte)),
                _ => printed.push(character),
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|byte| printed.push_str(&escaped(*byte)));
    }
    printed
}

/// The bytes of a cell with its escapes decoded.
fn unescaped(cell: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', cell).is_none() {
        return Cow::Borrowed(cell);
    }
    let mut bytes = Vec::with_capacity(cell.len());
    let mut rest = cell;
    while let Some(at) = memchr(b'\\', rest) {
        bytes.extend_from_slice(&rest[..at]);
        let (byte, length) = match rest[at + 1..] {
            [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (digit(high) << 4 | digit(low), 4)
            }
            [b'\\', ..] => (b'\\', 2),
            _ => (b'\\', 1),
        };
        bytes.push(byte);
        rest = &rest[at + length..];
    }
    bytes.extend_from_slice(rest);
    Cow::Owned(bytes)
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests;

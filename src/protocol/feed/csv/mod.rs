//! Feeds as comma-separated values, with or without a header.

use std::borrow::Cow;
use std::io::BufRead;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::found::Out;
use super::record::Record;
use super::said::Said;
use super::{Column, Error, NOT_UTF8, Options, by_form};
use crate::indicator::Rejection;
use crate::observable::{Observable, domain};

pub mod columns;
mod rows;

use columns::{Layout, is_header};
use rows::Rows;

/// The possible delimiters, the likeliest first.
const DELIMITERS: [u8; 4] = *b",\t;|";

/// The number of cells in ten that have to be values in a column without a name.
const SHARE: usize = 9;

/// The most headers of a file that are reported.
const MOST_FORMATS: usize = 5;

/// The columns of AlienVault's reputation data.
const REPUTATION: [&str; 8] = [
    "ip",
    "reliability",
    "risk",
    "activity",
    "country",
    "city",
    "coordinates",
    "activity_id",
];

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvPlan {
    delimiter: u8,
    layout: Layout,
}

impl CsvPlan {
    /// Makes a plan for a header, which may follow `#`; `None` if the line is not a
    /// header.
    pub fn of_header(line: &str) -> Option<Self> {
        // A leading tab may follow an empty first cell.
        let line = line.trim_start_matches(' ').trim_start_matches('#');
        let headers = DELIMITERS.into_iter().filter_map(|delimiter| {
            let cells = split(line, delimiter);
            let names: Vec<&str> = cells.iter().map(String::as_str).collect();
            (names.len() > 1 && is_header(&names, false)).then_some((delimiter, cells))
        });
        let (delimiter, names) = headers.max_by_key(|(_, cells)| cells.len())?;
        let layout = Layout::of(names)?;
        Some(CsvPlan { delimiter, layout })
    }

    /// Makes a plan for the rows of AlienVault's reputation data, of which this line is one:
    /// `192.0.2.1#4#2#Malicious Host#CN#Beijing#39.9,116.4#3`.
    fn of_reputation(line: &str) -> Option<Self> {
        let cells = split(line, b'#');
        let is_number = |cell: &String| cell.parse::<u32>().is_ok();
        let is_one = cells.len() == REPUTATION.len()
            && Observable::of_addresses(&cells[0]).is_ok()
            && cells[1..3].iter().all(is_number);
        let layout = Layout::of(REPUTATION.map(str::to_owned).to_vec()).filter(|_| is_one)?;
        Some(CsvPlan {
            delimiter: b'#',
            layout,
        })
    }

    /// Makes a plan for the first lines of a file without a known header.
    ///
    /// # Errors
    /// No column holds indicators, or several do, or the requested one does not exist.
    pub fn of_sample(sample: &str, options: &Options) -> Result<Self, Error> {
        let lines = lines_with_cells(sample);
        let of_table = match table(sample) {
            Table::Of(delimiter) | Table::Perhaps(delimiter) => Some(delimiter),
            Table::No => None,
        };
        // Who says that it is a table knows why some lines have one cell.
        let of_some = || {
            let mut delimiters = DELIMITERS.into_iter();
            delimiters.find(|delimiter| lines.iter().any(|line| is_row(line, *delimiter)))
        };
        let of_some = || of_some().filter(|_| options.format.is_some());
        let found = of_table.or_else(|| delimiter(&lines)).or_else(of_some);
        let Some(delimiter) = found else {
            let why = "the lines have no columns: no separator is in all of them";
            return Err(Error::no_feed(why, sample.as_bytes()));
        };
        let rows: Vec<Vec<String>> = lines.iter().map(|line| split(line, delimiter)).collect();
        let names = names(&rows);
        if let Some(column) = &options.column {
            let layout = Layout::at(names.clone(), column.find(&names)?);
            return Ok(CsvPlan { delimiter, layout });
        }
        // Unknown column names are not values.
        let rows = &rows[usize::from(names.first().is_some_and(|name| *name == rows[0][0]))..];
        let width = rows.iter().map(Vec::len).max().unwrap_or_default();
        let may_hold = |at: &usize| names.get(*at).is_none_or(|name| columns::may_hold(name));
        let columns = (0..width).filter(may_hold);
        let found: Vec<usize> = columns.filter(|at| holds_values(rows, *at)).collect();
        match found[..] {
            [column] => Ok(CsvPlan {
                delimiter,
                layout: Layout::at(names, column),
            }),
            [] => {
                let why = "it looks like CSV, but no column holds indicators in nine rows of ten; \
                           --indicators-column names one";
                Err(Error::no_feed(why, sample.as_bytes()))
            }
            _ => {
                let found: Vec<String> = found.iter().map(|at| (at + 1).to_string()).collect();
                Err(Error::Columns(format!(
                    "CSV without a header that is known, and columns {} all hold what could be \
                     indicators; --indicators-column names the one that is meant",
                    found.join(" and ")
                )))
            }
        }
    }
}

/// The column names in the first row, if it is an unknown header: none of its cells is a
/// value, but cells of other rows are.
fn names(rows: &[Vec<String>]) -> Vec<String> {
    let is_value = |cell: &String| by_form(cell).is_some();
    let is_name = |cell: &String| cell.starts_with(char::is_alphabetic) && !is_value(cell);
    let is_header = rows.len() > 1
        && rows[0].iter().all(is_name)
        && rows[1..].iter().any(|row| row.iter().any(is_value));
    if is_header {
        rows[0].clone()
    } else {
        Vec::new()
    }
}

fn holds_values(rows: &[Vec<String>], at: usize) -> bool {
    let cells = rows.iter().filter_map(|row| row.get(at));
    let values = cells.filter(|cell| by_form(cell).is_some()).count();
    values > 0 && values * 10 >= rows.len() * SHARE
}

/// The delimiter of nearly all these lines.
pub fn delimiter(lines: &[&str]) -> Option<u8> {
    DELIMITERS.into_iter().find(|delimiter| {
        let has = |line: &&&str| split(line, *delimiter).len() > 1;
        let count = lines.iter().filter(has).count();
        count > 0 && count * 10 >= lines.len() * SHARE
    })
}

/// Whether lines that are values as a whole are the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// They are not.
    No,
    /// They are, with this delimiter.
    Of(u8),
    /// They may as well be URLs with delimiters in them.
    Perhaps(u8),
}

/// Whether most lines of a sample are rows of which the first cell is a value, and the
/// others are words or values. A URL may contain each of the delimiters, but hardly so in
/// nearly every line.
pub fn table(sample: &str) -> Table {
    let mut lines = lines_with_cells(sample);
    // The names of columns.
    if lines.len() > 1
        && DELIMITERS
            .iter()
            .all(|one| !begins_with_value(lines[0], *one))
    {
        lines.remove(0);
    }
    let rows_with = |delimiter| lines.iter().filter(|line| is_row(line, delimiter)).count();
    let counts = DELIMITERS.map(|delimiter| (rows_with(delimiter), delimiter));
    let Some((rows, delimiter)) = counts.into_iter().find(|(rows, _)| rows * 2 > lines.len())
    else {
        return Table::No;
    };
    // `http://evil.example/page,1.html` is a URL, rather than one beside a file.
    let ends_in_file = |line: &str| {
        let cells = split(line, delimiter);
        let is_url = cells.first().is_some_and(|cell| cell.contains("://"));
        is_url && cells.last().is_some_and(|cell| domain::is_file_name(cell))
    };
    let is_sure = rows * 10 >= lines.len() * SHARE
        && (delimiter != b',' || has_columns(sample))
        && !lines.iter().any(|line| ends_in_file(line));
    if is_sure || !lines.iter().any(|line| line.contains("://")) {
        Table::Of(delimiter)
    } else {
        Table::Perhaps(delimiter)
    }
}

fn begins_with_value(line: &str, delimiter: u8) -> bool {
    let cells = split(line, delimiter);
    cells.first().is_some_and(|cell| by_form(cell).is_some())
}

/// Whether the first cell of a line is a value, and the others are what a table has
/// beside values. A cell with a delimiter is quoted.
fn is_row(line: &str, delimiter: u8) -> bool {
    let cells = split(line, delimiter);
    let is_beside = |cell: &String| is_aside(cell) || cell.contains(char::from(delimiter));
    cells.len() > 1 && by_form(&cells[0]).is_some() && cells[1..].iter().all(is_beside)
}

/// Whether a line of a list, taken as one URL, could as well be a row of a table.
pub fn is_perhaps_row(line: &str) -> bool {
    line.contains("://")
        && memchr::memchr3(b',', b';', b'|', line.as_bytes()).is_some()
        && DELIMITERS.iter().any(|delimiter| is_row(line, *delimiter))
        && by_form(line).is_some()
}

/// Whether a text is a few words, a date or a value, and not the end of a URL.
fn is_aside(cell: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || " _-.:+()[]!*'".contains(letter);
    let is_date = |letter: char| letter.is_ascii_digit() || " -/.:".contains(letter);
    let is_short = cell.len() <= 64;
    is_short && (cell.chars().all(is_word) || cell.chars().all(is_date)) || by_form(cell).is_some()
}

/// The lines that are neither blank nor comments.
fn lines_with_cells(sample: &str) -> Vec<&str> {
    let is_row = |line: &&str| {
        let text = line.trim_start();
        !text.is_empty() && !text.starts_with('#') && !is_separator(text)
    };
    sample.lines().filter(is_row).collect()
}

/// Whether this first line names the delimiter for Excel.
pub fn is_separator(line: &str) -> bool {
    let delimiter = line.trim().strip_prefix("sep=");
    delimiter.is_some_and(|rest| rest.len() <= 1)
}

/// Makes a plan for the header of a sample, which precedes the first row, after comments
/// and the title of a report. Rows of one known feed need none.
pub fn of_first_header(sample: &str) -> Option<CsvPlan> {
    for line in sample.lines() {
        if let Some(plan) = CsvPlan::of_header(line).or_else(|| CsvPlan::of_reputation(line)) {
            return Some(plan);
        }
        let text = line.trim();
        let is_title = || {
            let cells = text.trim_end_matches([',', ';', '|', '\t']);
            let has_one = DELIMITERS.iter().all(|one| split(cells, *one).len() == 1);
            has_one && by_form(cells).is_none() && columns::single(cells).is_none()
        };
        if !text.is_empty() && !text.starts_with('#') && !is_separator(text) && !is_title() {
            return None;
        }
    }
    None
}

/// Whether nearly all lines of a sample have the same number of cells, at least two.
pub fn has_columns(sample: &str) -> bool {
    let lines = lines_with_cells(sample);
    let Some(delimiter) = delimiter(&lines) else {
        return false;
    };
    let mut widths: Vec<usize> = lines
        .iter()
        .map(|line| split(line, delimiter).len())
        .collect();
    widths.sort_unstable();
    let middle = widths[widths.len() / 2];
    let alike = widths.iter().filter(|width| **width == middle).count();
    alike * 10 >= widths.len() * SHARE
}

/// Splits a line into cells like a reader made by [`builder`]. A new reader for each line
/// of a sample would cost far more than the line.
fn split(line: &str, delimiter: u8) -> Vec<String> {
    let mut cells = vec![];
    let (mut cell, mut begins, mut in_quotes) = (Vec::new(), true, false);
    let mut rest = line.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'"' if in_quotes && tail.first() == Some(&b'"') => {
                cell.push(b'"');
                rest = &tail[1..];
            }
            b'"' if in_quotes => in_quotes = false,
            b'"' if begins => (begins, in_quotes) = (false, true),
            b' ' | b'\t' if begins && *byte != delimiter => {}
            byte if *byte == delimiter && !in_quotes => {
                cells.push(trimmed(&cell));
                cell.clear();
                begins = true;
            }
            byte => {
                begins = false;
                cell.push(*byte);
            }
        }
    }
    // The row continues on the next line.
    if in_quotes {
        return vec![];
    }
    cells.push(trimmed(&cell));
    cells
}

/// A cell without a pair of single quotes, which are not CSV's.
fn bare(cell: &str) -> &str {
    let inside = cell
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    inside.unwrap_or(cell)
}

fn trimmed(cell: &[u8]) -> String {
    // Split at ASCII characters, the text stays valid.
    let cell = String::from_utf8_lossy(cell.trim_ascii());
    bare(&cell).to_owned()
}

fn builder(delimiter: u8) -> csv::ReaderBuilder {
    let mut builder = csv::ReaderBuilder::new();
    builder
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All);
    builder
}

/// Reads all rows.
///
/// # Errors
/// The input cannot be read, or is not a feed.
pub fn read(
    reader: impl BufRead,
    plan: CsvPlan,
    options: &Options,
    out: &mut Out<'_>,
) -> Result<(), Error> {
    let CsvPlan { delimiter, layout } = plan;
    let layout = chosen(layout, options)?;
    let mut formats = vec![layout.described()];
    out.set_format(&formats[0]);
    let mut is_first = true;
    let mut reader = builder(delimiter).from_reader(Rows::new(reader, delimiter, layout));
    let mut record = csv::ByteRecord::new();
    loop {
        let is_there = reader.read_byte_record(&mut record).map_err(io_error)?;
        for (line, why) in reader.get_mut().take_rejected() {
            out.rejected(line, Rejection::without_id(why.to_owned()));
        }
        if !is_there {
            return Ok(());
        }
        let rows = reader.get_ref();
        let (line, is_comment) = (rows.line(), rows.is_comment());
        // Only the value has to be UTF-8.
        let cells: Vec<Cow<'_, str>> = record.iter().map(String::from_utf8_lossy).collect();
        let cells: Vec<&str> = cells.iter().map(|cell| bare(cell)).collect();
        match cells {
            cells if line == 1 && cells.first().is_some_and(|cell| is_separator(cell)) => {}
            cells if cells == rows.layout.names => {
                // The plan was made before its rows were seen.
                if std::mem::take(&mut is_first) && next_layout(&cells, reader.get_mut(), options)?
                {
                    formats = vec![reader.get_ref().layout.described()];
                    out.set_format(&formats[0]);
                }
            }
            cells if is_header(&cells, !is_comment) && cells.len() > 1 => {
                if next_layout(&cells, reader.get_mut(), options)? {
                    let format = reader.get_ref().layout.described();
                    if formats.len() < MOST_FORMATS && !formats.contains(&format) {
                        formats.push(format);
                        out.set_format(formats.join(", then "));
                    }
                }
            }
            _ if is_comment => {}
            cells => row(&cells, &rows.layout, line, out),
        }
        out.check(options.format.is_some())?;
    }
}

/// Sets the layout of the rows under a header; `false` if it names no column of indicators.
fn next_layout(
    cells: &[&str],
    rows: &mut Rows<impl BufRead>,
    options: &Options,
) -> Result<bool, Error> {
    let names = cells.iter().map(|cell| (*cell).to_owned()).collect();
    let layout = Layout::of_rows(names, &rows.peek()?);
    let is_known = layout.is_some();
    if let Some(layout) = layout {
        rows.layout = chosen(layout, options)?;
    }
    Ok(is_known)
}

fn io_error(error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::Io(error),
        // Rows of any length are accepted, with any bytes.
        other => Error::Io(std::io::Error::other(format!("{other:?}"))),
    }
}

/// The layout with the requested column.
///
/// # Errors
/// There is no such column, or it must be requested.
fn chosen(layout: Layout, options: &Options) -> Result<Layout, Error> {
    match &options.column {
        Some(column) => {
            let at = column.find(&layout.names)?;
            Ok(Layout::at(layout.names, at))
        }
        None if layout.is_of_connections() => Err(Error::Columns(
            "the columns have both ends of a connection, as in a log, where most addresses are \
             one's own; --indicators-column names the column that holds indicators"
                .to_owned(),
        )),
        None => Ok(layout),
    }
}

impl Column {
    /// Its position, from 0. Without names any number is valid.
    fn find(&self, names: &[String]) -> Result<usize, Error> {
        let found = match self {
            Column::Number(number) if names.is_empty() || *number <= names.len() => {
                return Ok(number - 1);
            }
            Column::Number(_) => None,
            Column::Name(wanted) => {
                let is_it = |name: &String| name.eq_ignore_ascii_case(wanted);
                names.iter().position(is_it)
            }
        };
        found.ok_or_else(|| {
            let there = if names.is_empty() {
                "the columns have no names, and can be chosen by number".to_owned()
            } else {
                format!("there are {}", names.join(", "))
            };
            Error::Columns(format!(
                "no column is {self} (--indicators-column): {there}"
            ))
        })
    }
}

/// Reads the indicators of a row.
fn row(cells: &[&str], layout: &Layout, line: u64, out: &mut Out<'_>) {
    let cell = |at: usize| cells.get(at).copied().filter(|cell| !is_empty(cell));
    let is_no = |word: &str| matches!(word, "0" | "false" | "False");
    if layout.to_ids.and_then(cell).is_some_and(is_no) {
        return out.left_out("row without to_ids");
    }
    let kind = layout.kind.and_then(cell);
    let id = layout
        .id
        .and_then(cell)
        .filter(|id| Uuid::try_parse(id).is_ok());
    let mut is_any = false;
    for &(at, said) in &layout.values {
        let Some(value) = cell(at) else { continue };
        is_any = true;
        if value.contains(char::REPLACEMENT_CHARACTER) {
            out.rejected(line, Rejection::without_id(NOT_UTF8.to_owned()));
            continue;
        }
        let said = match (said, kind) {
            (Said::Nothing, Some(kind)) => match Said::by_name(kind) {
                Some(said) => said,
                None if layout.is_of_misp() => Said::Elsewhere,
                None => Said::Nothing,
            },
            (said, _) => said,
        };
        let range = layout
            .end
            .and_then(cell)
            .map(|end| format!("{value}-{end}"));
        let value = range.as_deref().unwrap_or(value);
        out.record(Record {
            kind,
            id: id.map(|id| format!("indicator--{}", id.to_ascii_lowercase())),
            properties: properties(cells, layout, at),
            ..Record::new(line, said, value)
        });
    }
    if !is_any {
        let reason = format!("the row has no indicator in {}", layout.columns());
        out.rejected(line, Rejection::without_id(reason));
    }
}

/// Whether an export means an unknown value by this cell.
fn is_empty(cell: &str) -> bool {
    matches!(
        cell,
        "" | "-" | "n/a" | "N/A" | "none" | "None" | "null" | "NULL"
    )
}

/// The other columns.
fn properties(cells: &[&str], layout: &Layout, value: usize) -> Map<String, Value> {
    let others = cells.iter().enumerate();
    let others = others.filter(|(at, cell)| *at != value && !is_empty(cell));
    let named = others.map(|(at, cell)| {
        let name = match layout.names.get(at) {
            Some(name) if !name.is_empty() => Cow::Borrowed(&**name),
            _ => Cow::Owned(format!("column_{}", at + 1)),
        };
        (name.into_owned(), Value::from(*cell))
    });
    named.collect()
}

#[cfg(test)]
mod tests;

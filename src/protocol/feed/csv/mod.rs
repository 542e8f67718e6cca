//! Feeds as comma-separated values, with or without a header.

use std::borrow::Cow;
use std::io::BufRead;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::found::Out;
use super::record::Record;
use super::said::Said;
use super::{Column, Error, Options, by_form};
use crate::indicator::Rejection;

pub mod columns;
mod rows;

use columns::{Layout, is_header};
use rows::Rows;

/// The possible delimiters, the likeliest first.
const DELIMITERS: [u8; 4] = *b",\t;|";

/// The number of cells in ten that have to be values in a column without a name.
const SHARE: usize = 9;

/// The most headers of a file that are reported.
const MOST_FORMS: usize = 5;

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    delimiter: u8,
    layout: Layout,
}

impl Plan {
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
        Some(Plan { delimiter, layout })
    }

    /// Makes a plan for the first lines of a file without a known header.
    ///
    /// # Errors
    /// No column holds indicators, or several do, or the requested one does not exist.
    pub fn of_sample(sample: &str, options: &Options) -> Result<Self, Error> {
        let lines = lines_with_cells(sample);
        let Some(delimiter) = delimiter(&lines) else {
            let why = "the lines have no columns: no separator is in all of them";
            return Err(Error::no_feed(why, sample.as_bytes()));
        };
        let rows: Vec<Vec<String>> = lines.iter().map(|line| split(line, delimiter)).collect();
        let names = names(&rows);
        if let Some(column) = &options.column {
            let layout = Layout::at(names.clone(), column.find(&names)?);
            return Ok(Plan { delimiter, layout });
        }
        // Unknown column names are not values.
        let rows = &rows[usize::from(names.first().is_some_and(|name| *name == rows[0][0]))..];
        let width = rows.iter().map(Vec::len).max().unwrap_or_default();
        let found: Vec<usize> = (0..width).filter(|at| holds_values(rows, *at)).collect();
        match found[..] {
            [column] => Ok(Plan {
                delimiter,
                layout: Layout::at(names, column),
            }),
            [] => {
                let why = "no column holds indicators in nine rows of ten; \
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

/// The lines that are neither blank nor comments.
fn lines_with_cells(sample: &str) -> Vec<&str> {
    let is_row = |line: &&str| {
        let text = line.trim_start();
        !text.is_empty() && !text.starts_with('#')
    };
    sample.lines().filter(is_row).collect()
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

fn trimmed(cell: &[u8]) -> String {
    // Split at ASCII characters, the text stays valid.
    String::from_utf8_lossy(cell.trim_ascii()).into_owned()
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
    plan: Plan,
    options: &Options,
    out: &mut Out<'_>,
) -> Result<(), Error> {
    let Plan { delimiter, layout } = plan;
    let mut layout = chosen(layout, options)?;
    let mut forms = vec![layout.described()];
    out.set_form(&forms[0]);
    let mut reader = builder(delimiter).from_reader(Rows::new(reader, delimiter));
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
        let cells: Result<Vec<&str>, _> = record.iter().map(std::str::from_utf8).collect();
        match cells {
            Ok(cells) if cells == layout.names => {}
            Ok(cells) if is_header(&cells, !is_comment) && cells.len() > 1 => {
                let names = cells.iter().map(|cell| (*cell).to_owned()).collect();
                if let Some(next) = Layout::of(names) {
                    layout = chosen(next, options)?;
                    let form = layout.described();
                    if forms.len() < MOST_FORMS && !forms.contains(&form) {
                        forms.push(form);
                        out.set_form(forms.join(", then "));
                    }
                }
            }
            Ok(_) | Err(_) if is_comment => {}
            Ok(cells) => row(&cells, &layout, line, out),
            Err(_) => out.rejected(line, Rejection::without_id("it is not UTF-8".to_owned())),
        }
        out.check(options.form.is_some())?;
    }
}

fn io_error(error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::Io(error),
        // Rows of any length are accepted, with any bytes.
        other => Error::Io(std::io::Error::other(format!("{other:?}"))),
    }
}

/// The layout with the requested column.
fn chosen(layout: Layout, options: &Options) -> Result<Layout, Error> {
    match &options.column {
        Some(column) => {
            let at = column.find(&layout.names)?;
            Ok(Layout::at(layout.names, at))
        }
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
        let said = match said {
            Said::Nothing => kind.and_then(Said::by_name).unwrap_or(Said::Nothing),
            said => said,
        };
        out.record(Record {
            kind,
            id: id.map(|id| format!("indicator--{}", id.to_ascii_lowercase())),
            properties: properties(cells, layout, at),
            ..Record::new(line, said, value)
        });
    }
    if !is_any {
        let reason = "the row has no indicator".to_owned();
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

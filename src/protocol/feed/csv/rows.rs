//! The rows of a CSV file, one at a time, for parsing by the `csv` crate.
//!
//! The crate gets only one row at a time, so that line numbers are those of the row, and
//! an unterminated quote costs one row and not the file.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use super::super::lines::{LONGEST, Line, Lines};
use super::super::said::Said;
use super::super::{MOST_COLUMNS, TOO_LONG};
use super::columns::{Layout, holds, is_header};
use super::split;

/// A row with more lines than this has an unterminated quote.
const MOST_LINES: usize = 64;

/// The number of rows that are read ahead where the first rows under a header decide, and the
/// most bytes of them.
const FIRST_ROWS: usize = 100;
const FIRST_BYTES: usize = 64 << 10;

/// The reason for rejecting a row whose quotes do not fit.
const NOT_CLOSED: &str = "a quotation mark is not closed";

/// Returns one row at a time, without blanks after delimiters and without the `#` before
/// a comment.
pub struct Rows<R> {
    lines: Lines<R>,
    delimiter: u8,
    /// The columns of the rows.
    pub layout: Layout,
    /// The number of cells in the last row on one line; 0 if there was none.
    width: usize,
    /// Lines that were read in search of the end of an unterminated row.
    ahead: VecDeque<(u64, Vec<u8>)>,
    row: Vec<u8>,
    given: usize,
    line: u64,
    is_comment: bool,
    rejected: Vec<(u64, &'static str)>,
}

impl<R: BufRead> Rows<R> {
    /// Reads rows with this delimiter and, to begin with, these columns.
    pub fn new(reader: R, delimiter: u8, layout: Layout) -> Self {
        Rows {
            lines: Lines::new(reader),
            delimiter,
            layout,
            width: 0,
            ahead: VecDeque::new(),
            row: Vec::new(),
            given: 0,
            line: 0,
            is_comment: false,
            rejected: Vec::new(),
        }
    }

    /// The first line of the row, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Whether the row follows a `#`.
    pub fn is_comment(&self) -> bool {
        self.is_comment
    }

    /// The lines rejected since the last call, with reasons.
    pub fn take_rejected(&mut self) -> Vec<(u64, &'static str)> {
        std::mem::take(&mut self.rejected)
    }

    /// The cells of the next rows up to another header, of each those on its first line.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn peek(&mut self) -> io::Result<Vec<Vec<String>>> {
        let mut bytes: usize = self.ahead.iter().map(|(_, line)| line.len()).sum();
        while self.ahead.len() < FIRST_ROWS && bytes < FIRST_BYTES {
            let Some(line) = self.read_line()? else {
                break;
            };
            bytes += line.1.len();
            self.ahead.push_back(line);
        }
        let mut rows = Vec::new();
        // The cells of a longer one would take many times its memory.
        let lines = self.ahead.iter().map(|(_, line)| line);
        for line in lines.filter(|line| line.len() <= FIRST_BYTES) {
            let line = String::from_utf8_lossy(line);
            let text = line.trim_start_matches(' ').trim_start_matches('#');
            let is_comment = text.len() < line.trim_start_matches(' ').len();
            let row = self.cells(text);
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            if is_header(&cells, !is_comment) && cells.len() > 1 {
                break;
            }
            if !is_comment {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    fn next_line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        match self.ahead.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.read_line(),
        }
    }

    fn read_line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let number = self.lines.number() + 1;
            match self.lines.next()? {
                None => return Ok(None),
                Some(Line::Whole(line)) => return Ok(Some((number, line.to_owned()))),
                Some(Line::TooLong) => self.rejected.push((number, TOO_LONG)),
            }
        }
    }

    /// Reads the next row; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        loop {
            let Some((number, line)) = self.next_line()? else {
                return Ok(false);
            };
            // A leading delimiter follows an empty cell.
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() && *byte != self.delimiter;
            let text = &line[line.iter().take_while(|byte| is_blank(byte)).count()..];
            self.is_comment = text.starts_with(b"#");
            let marks = text.iter().take_while(|byte| **byte == b'#').count();
            self.line = number;
            self.given = 0;
            self.row.clear();
            let mut tidy = Tidy::new(self.delimiter);
            tidy.line(&text[marks..], &mut self.row);
            let is_one_line = !tidy.is_open();
            let is_torn = tidy.is_torn && tidy.cells < self.width;
            let is_whole = self.is_comment
                || is_one_line && !is_torn
                || !is_one_line && self.close(&mut tidy)?;
            if !is_whole {
                self.rejected.push((number, NOT_CLOSED));
            } else if tidy.cells > MOST_COLUMNS {
                self.rejected
                    .push((number, "it has more than 4096 columns"));
            } else if !self.row.trim_ascii().is_empty() {
                if self.row.last() != Some(&b'\n') {
                    self.row.push(b'\n');
                }
                if is_one_line && !self.is_comment {
                    self.width = tidy.cells;
                }
                return Ok(true);
            }
        }
    }

    /// Reads the lines on which a row continues. If it does not end, or if they are rows of
    /// their own because its quote is a stray one, they become separate rows.
    fn close(&mut self, tidy: &mut Tidy) -> io::Result<bool> {
        let mut taken = Vec::new();
        while taken.len() < MOST_LINES && self.row.len() < LONGEST {
            let Some((number, line)) = self.next_line()? else {
                break;
            };
            self.row.push(b'\n');
            tidy.is_torn = false;
            tidy.line(&line, &mut self.row);
            let is_stray = tidy.is_torn || self.is_own_row(&line);
            taken.push((number, line));
            if is_stray {
                break;
            }
            if !tidy.is_open() {
                return Ok(true);
            }
        }
        for line in taken.into_iter().rev() {
            self.ahead.push_front(line);
        }
        Ok(false)
    }

    /// The cells of a line, also of one that has a stray quotation mark, or goes on in the next.
    fn cells(&self, line: &str) -> Vec<String> {
        let cells = split(line, self.delimiter);
        if !cells.is_empty() {
            return cells;
        }
        let parts = line.split(char::from(self.delimiter));
        parts.map(|cell| cell.trim().to_owned()).collect()
    }

    /// Whether a line inside of a quoted cell is a row like the others, with an indicator
    /// that would be lost in that cell.
    fn is_own_row(&self, line: &[u8]) -> bool {
        let cells = self.cells(&String::from_utf8_lossy(line));
        let is_as_wide = match self.width {
            0 => cells.len() > 1,
            width => cells.len() == width,
        };
        let is_value =
            |(at, said): &(usize, Said)| cells.get(*at).is_some_and(|cell| holds(cell, *said));
        is_as_wide && self.layout.values.iter().any(is_value)
    }
}

impl<R: BufRead> Read for Rows<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.row.len() && !self.advance()? {
            return Ok(0);
        }
        let rest = &self.row[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

/// Removes blanks before cells, which would hide their quotes. It takes quotes as the
/// `csv` crate does.
struct Tidy {
    delimiter: u8,
    at: At,
    /// Whether text follows the closing quote of a cell.
    is_torn: bool,
    /// The number of cells so far.
    cells: usize,
}

/// A position in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before a cell.
    Begin,
    /// In a cell without quotes.
    Plain,
    /// In a quoted cell.
    Quoted,
    /// After the closing quote of a cell.
    Closed,
}

impl Tidy {
    fn new(delimiter: u8) -> Self {
        Tidy {
            delimiter,
            at: At::Begin,
            is_torn: false,
            cells: 1,
        }
    }

    /// Whether a quoted cell continues.
    fn is_open(&self) -> bool {
        self.at == At::Quoted
    }

    fn line(&mut self, line: &[u8], row: &mut Vec<u8>) {
        for &byte in line {
            let is_blank = matches!(byte, b' ' | b'\t');
            self.at = match (self.at, byte) {
                (At::Quoted, b'"') => At::Closed,
                (At::Quoted, _) => At::Quoted,
                (_, byte) if byte == self.delimiter => {
                    self.cells += 1;
                    At::Begin
                }
                (At::Begin, _) if is_blank => continue,
                (At::Begin | At::Closed, b'"') => At::Quoted,
                (At::Closed, _) if is_blank => At::Closed,
                (At::Closed, _) => {
                    self.is_torn = true;
                    At::Plain
                }
                (At::Begin | At::Plain, _) => At::Plain,
            };
            row.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> (Vec<String>, Vec<u64>) {
        let mut rows = Rows::new(text.as_bytes(), b',', Layout::at(vec![], 0));
        let mut all = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let count = rows.read(&mut buffer).expect("memory can be read");
            if count == 0 {
                break;
            }
            let row = String::from_utf8_lossy(&buffer[..count]).into_owned();
            let mark = if rows.is_comment() { "#" } else { "" };
            all.push(format!("{}{mark}:{row}", rows.line()));
        }
        let rejected = rows.take_rejected().into_iter().map(|(line, _)| line);
        (all, rejected.collect())
    }

    #[test]
    fn rows_come_one_by_one_without_blanks_in_front_of_cells() {
        let text = "## a, \"b\"\n\n 1,  \"x, y\" ,z\r\n\"two\nlines\",2\nlast";
        let expected = [
            "1#:a,\"b\"\n",
            "3:1,\"x, y\" ,z\n",
            "4:\"two\nlines\",2\n",
            "6:last\n",
        ];
        assert_eq!(rows(text).0, expected);
        assert_eq!(rows("a\"b,\"c\"\"d\"\n").0, ["1:a\"b,\"c\"\"d\"\n"]);
    }

    #[test]
    fn a_row_has_no_more_columns_than_a_table_may_have() {
        let wide = ",".repeat(MOST_COLUMNS);
        let quoted = format!("\"{wide}\",a\n");
        let (found, rejected) = rows(&format!("{wide}\n{quoted}{}\n", &wide[1..]));
        assert_eq!((found.len(), rejected), (2, vec![1]));
    }

    #[test]
    fn a_first_cell_can_be_empty() {
        for delimiter in [b',', b'\t'] {
            let text = "  Da\n".replace('D', &char::from(delimiter).to_string());
            let layout = Layout::at(vec![], 0);
            let mut rows = Rows::new(text.as_bytes(), delimiter, layout);
            let mut row = String::new();
            rows.read_to_string(&mut row).expect("memory can be read");
            assert_eq!(row, text.trim_start_matches(' '));
        }
    }

    #[test]
    fn a_quotation_mark_that_is_not_closed_costs_one_row() {
        let (found, rejected) = rows("\"a,b\nc,d\n# e\nf\n");
        assert_eq!(found, ["2:c,d\n", "3#:e\n", "4:f\n"]);
        assert_eq!(rejected, [1]);
        assert_eq!(rows("# it's \"one\na\n").0, ["1#:it's \"one\n", "2:a\n"]);
    }

    #[test]
    fn a_stray_quotation_mark_takes_no_row_into_its_cell() {
        for (stray, another) in [
            ("a.example,\"b,1", "c.example,\"d,1"),
            ("a.example,\"b,1", "c.example,d\",1"),
            ("a.example,\"b,1", "c.example,\"d\",1"),
            ("a.example,b,\"", "c.example,d,\""),
        ] {
            let text = format!("e.example,f,1\n{stray}\nb.example,b,1\n{another}\n");
            let (found, rejected) = rows(&text);
            assert!(found.contains(&"3:b.example,b,1\n".to_owned()), "{text}");
            assert_eq!(found.len() + rejected.len(), 4, "{text}");
        }
        // The quote after the comma closes the cell that begins before the URL.
        let text = "a,b,c\n\"1\",\"http://a.example/x,\"y\"\n";
        assert_eq!(rows(text).1, [2]);
        // MySQL escapes in another way.
        let escaped = rows("a,b\nc.example,\"d \\\"e\\\", f\"\n");
        assert!(escaped.1.is_empty());
    }

    #[test]
    fn a_quoted_cell_may_have_lines_that_are_no_rows() {
        for cell in [
            "two\nlines",
            "a.example\nb.example",
            "\n\nseen at a.example, b.example, and others\n",
            "said \"\"no\"\"\nand \"\"yes\"\"",
            "1,2,3\nx,y,z",
        ] {
            let text = format!("ioc,note,date\na.example,\"{cell}\",1\n");
            let (found, rejected) = rows(&text);
            let expected = format!("2:a.example,\"{cell}\",1\n");
            assert_eq!((&found[1], rejected.len()), (&expected, 0));
        }
    }
}

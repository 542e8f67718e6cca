//! Detects the format of a feed from the beginning of its content.

use std::io::{self, BufRead, Read};

use super::list::{is_hosts, is_hosts_line, is_mapping, unquoted, without_comment};
use super::{Error, FileFormat, Options, by_form, csv, zeek_intel};
use crate::process::unreadable;

/// The bytes of a feed that are examined if its first line is not enough.
const SAMPLE: usize = 256 << 10;

/// A detected format.
#[derive(Debug, PartialEq, Eq)]
pub enum Detected {
    /// Only blank lines and comments.
    Nothing,
    /// One value per line.
    List,
    /// A hosts file.
    Hosts,
    /// Comma-separated values.
    Csv(csv::CsvPlan),
    /// A file for Zeek's Intel framework.
    ZeekIntel,
    /// JSON.
    Json,
}

/// Detects the format, unless it is given. Returns the bytes read for that, which precede
/// the rest.
///
/// # Errors
/// The input cannot be read, or is not a feed.
pub fn detect(reader: &mut impl BufRead, options: &Options) -> Result<(Vec<u8>, Detected), Error> {
    let mut head = Head {
        reader,
        bytes: Vec::new(),
    };
    if options.format.is_some() {
        // The error about a file that is not a feed shows its beginning.
        if let Some(line) = head.line()? {
            head.refuse_binary(line.trim_start())?;
        }
    }
    let detected = match options.format {
        None => head.guess(options)?,
        Some(FileFormat::List) => Detected::List,
        Some(FileFormat::Hosts) => Detected::Hosts,
        Some(FileFormat::ZeekIntel) => Detected::ZeekIntel,
        Some(FileFormat::Json) => Detected::Json,
        Some(FileFormat::Csv) => head.csv(options)?,
    };
    Ok((head.bytes, detected))
}

/// The beginning of a feed.
struct Head<'a, R> {
    reader: &'a mut R,
    bytes: Vec<u8>,
}

impl<R: BufRead> Head<'_, R> {
    /// Reads one more line, or as much as fits, without leading blanks; `None` at the
    /// end.
    fn line(&mut self) -> io::Result<Option<String>> {
        let from = self.bytes.len();
        let room = (SAMPLE - from.min(SAMPLE)) as u64;
        let read = (&mut *self.reader)
            .take(room)
            .read_until(b'\n', &mut self.bytes)?;
        let mut line = &self.bytes[from..];
        if from == 0 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        Ok((read > 0).then(|| String::from_utf8_lossy(line).trim_end().to_owned()))
    }

    /// The whole lines of the sample.
    fn sample(&mut self) -> io::Result<String> {
        while self.line()?.is_some() {}
        // A truncated line could look like anything.
        let end = if self.bytes.len() < SAMPLE {
            self.bytes.len()
        } else {
            memchr::memrchr(b'\n', &self.bytes).unwrap_or(self.bytes.len())
        };
        let sample = String::from_utf8_lossy(&self.bytes[..end]);
        Ok(sample.trim_start_matches('\u{feff}').to_owned())
    }

    fn guess(&mut self, options: &Options) -> Result<Detected, Error> {
        let mut is_zeek = false;
        while let Some(whole) = self.line()? {
            let line = whole.trim_start();
            self.refuse_binary(line)?;
            if line.is_empty() || csv::is_separator(line) {
                continue;
            }
            if is_json(line) {
                return Ok(Detected::Json);
            }
            if zeek_intel::is_header(line) {
                return Ok(Detected::ZeekIntel);
            }
            // An Intel file may have all the headers of a log.
            is_zeek |= line.starts_with("#separator");
            let is_header = line.starts_with('#') && !line.starts_with("#fields");
            if is_zeek && is_header {
                continue;
            }
            if is_zeek {
                let why = "it is a log of Zeek, for --events";
                return Err(Error::no_feed(why, &self.bytes));
            }
            let is_comment = line.starts_with(['#', ';', '!']) || line.starts_with("//");
            // A header may follow `#`, and use `;` between cells.
            if !is_comment || line.starts_with('#') {
                if let Some(plan) = csv::CsvPlan::of_header(&whole) {
                    return Ok(Detected::Csv(plan));
                }
            }
            if !is_comment {
                return self.guess_by_value(line, options);
            }
        }
        if is_zeek {
            let why = "it is a log of Zeek, for --events";
            return Err(Error::no_feed(why, &self.bytes));
        }
        // More comments than anybody would read.
        Ok(if self.bytes.len() < SAMPLE {
            Detected::Nothing
        } else {
            Detected::List
        })
    }

    /// Guesses from the first line that is not blank, a comment or a header.
    fn guess_by_value(&mut self, line: &str, options: &Options) -> Result<Detected, Error> {
        if line.contains('\r') {
            let why = "its lines end in CR alone: pipe it through `tr '\\r' '\\n'`";
            return Err(Error::no_feed(why, &self.bytes));
        }
        if is_hosts_line(line) {
            return Ok(Detected::Hosts);
        }
        if is_mapping(line) && is_hosts(&self.sample()?) {
            return Ok(Detected::Hosts);
        }
        let value = unquoted(without_comment(line).trim());
        let is_value = by_form(value).is_some() || csv::columns::single(value).is_some();
        // The quotes around a whole line can be those of its first and its last cell.
        let cells_of = if is_value { value } else { line };
        let has_cells = csv::delimiter(&[cells_of]).is_some();
        if is_value && !has_cells {
            return Ok(Detected::List);
        }
        if options.column.is_some() {
            return self.csv(options);
        }
        let sample = self.sample()?;
        if let Some(plan) = csv::of_first_header(&sample).filter(|_| !is_value) {
            return Ok(Detected::Csv(plan));
        }
        match csv::table(&sample) {
            csv::Table::Of(_) => return self.csv(options),
            csv::Table::Perhaps(_) => return Err(either()),
            csv::Table::No => {}
        }
        if !has_cells || !csv::has_columns(&sample) {
            return Ok(Detected::List);
        }
        if is_value {
            // A URL may contain commas, other values may not.
            if value.contains(',') {
                return Err(either());
            }
            return Ok(Detected::List);
        }
        self.csv(options)
    }

    fn csv(&mut self, options: &Options) -> Result<Detected, Error> {
        let sample = self.sample()?;
        let plan = match csv::of_first_header(&sample) {
            Some(plan) => plan,
            None => csv::CsvPlan::of_sample(&sample, options)?,
        };
        Ok(Detected::Csv(plan))
    }

    /// Only UTF-8 text is a feed.
    fn refuse_binary(&self, line: &str) -> Result<(), Error> {
        let what = if let Some(what) = unreadable::reason(&self.bytes) {
            what
        } else if self.bytes.starts_with(b"<") && by_form(line).is_none() {
            "it is HTML or XML, as servers answer where something is wrong"
        } else if line.contains('\0') {
            "it is no text"
        } else {
            return Ok(());
        };
        Err(Error::no_feed(what, &self.bytes))
    }
}

/// The error where a wrong guess would make URLs that never match.
fn either() -> Error {
    let why = "the lines can be URLs that hold a delimiter, or the rows of a table: \
               --indicators-format list or csv says which";
    Error::Columns(why.to_owned())
}

/// Whether a feed with this first line is JSON. A `[` also begins a pattern or a defanged
/// value, but then a name follows.
fn is_json(line: &str) -> bool {
    match line.as_bytes() {
        [b'{', ..] | [b'['] => true,
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start(), [b'{' | b'[' | b']' | b'"', ..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(text: &str) -> Result<Detected, Error> {
        detect(&mut text.as_bytes(), &Options::default()).map(|(_, detected)| detected)
    }

    #[test]
    fn forms_are_recognised_by_the_first_line_with_content() {
        for (text, expected) in [
            ("", Detected::Nothing),
            ("# none\n\n; none\n", Detected::Nothing),
            ("# a\n192.0.2.1\n", Detected::List),
            ("\u{feff}a.example", Detected::List),
            ("http://a.example/b,c\nhttp://a.example/d\n", Detected::List),
            ("url\nhttp://a.example/\n", Detected::List),
            ("no such thing\n", Detected::List),
            ("# hosts\n127.0.0.1 localhost\n", Detected::Hosts),
            ("  {\"type\": 1}\n", Detected::Json),
            ("[\n", Detected::Json),
            ("[ {}]", Detected::Json),
            ("[url:value = 'x']\n", Detected::List),
            ("#fields\tindicator\tindicator_type\n", Detected::ZeekIntel),
            (
                "#separator \\x09\n#fields\tindicator_type\tindicator\n",
                Detected::ZeekIntel,
            ),
            ("<a@evil.example>\n", Detected::List),
        ] {
            assert_eq!(detected(text).expect(text), expected, "{text}");
        }
        for text in [
            "# a\n# id,url,reporter\n1,http://a.example/,x\n",
            "\"dst_ip\",\"dst_port\"\n",
            "1,http://a.example/,online\n2,http://b.example/,offline\n",
            "ip;comment\n192.0.2.1;x\n",
        ] {
            assert!(matches!(detected(text), Ok(Detected::Csv(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_feed_is_named() {
        for (text, words) in [
            ("#separator \\x09\n", "log of Zeek"),
            (
                "#separator \\x09\n#path\tdns\n#fields\tts\tuid\n",
                "log of Zeek",
            ),
            ("PK\x03\x04x", "unzip"),
            ("<!DOCTYPE html>\n", "HTML"),
            ("a\0b\n", "no text"),
            ("192.0.2.1\ra.example\r", "CR alone"),
            (
                "192.0.2.1,192.0.2.2\n192.0.2.3,192.0.2.4\n",
                "columns 1 and 2",
            ),
        ] {
            let error = detected(text).expect_err(text).to_string();
            assert!(error.contains(words), "{error}");
        }
        let tar = [
            &b"a.txt\0"[..],
            &[0; 251],
            b"ustar  \0",
            &[0; 247],
            b"a.example\n",
        ]
        .concat();
        for (bytes, words) in [
            (&b"\xff\xfea\0\n\0"[..], "iconv"),
            (&tar, "tar -xOf"),
            (b"7z\xbc\xaf\x27\x1c\0\x04", "7z x -so"),
            (b"\xd4\xc3\xb2\xa1\x02\0", "packets"),
        ] {
            let mut reader = bytes;
            let error = detect(&mut reader, &Options::default()).expect_err(words);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn what_was_looked_at_is_given_back() {
        let text = "# a\n\n1,http://a.example/,x\n2,http://a.example/,x\n";
        let mut reader = text.as_bytes();
        let (mut head, _) = detect(&mut reader, &Options::default()).expect("CSV");
        head.extend_from_slice(reader);
        assert_eq!(head, text.as_bytes());
    }
}

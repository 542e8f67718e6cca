//! Plain text with one value per line, and hosts files.

use std::io::BufRead;
use std::net::IpAddr;

use serde_json::Map;

use super::csv::{self, columns};
use super::found::Out;
use super::lines::{Line, Lines};
use super::record::Record;
use super::said::Said;
use super::{Error, NOT_UTF8, Options, TOO_LONG, by_form};
use crate::indicator::Rejection;
use crate::observable::Observable;

/// Reads a list.
///
/// # Errors
/// The input cannot be read, or is not a feed.
pub fn read(reader: impl BufRead, options: &Options, out: &mut Out<'_>) -> Result<(), Error> {
    out.set_format("list of values, one a line");
    let mut said = None;
    each_line(reader, options, out, |line, number, out| {
        let value = unquoted(without_end(line));
        // The first line may be the name of the only column.
        let header = match said {
            None => columns::single(value),
            Some(_) => None,
        };
        if let Some(of_column) = header {
            said = Some(of_column);
            out.set_format(format!("list of values under `{value}`"));
            return;
        }
        let said = *said.get_or_insert(Said::Nothing);
        if options.format.is_none() && csv::is_perhaps_row(value) {
            out.doubtful(number, value);
        }
        if let Some((hash, file)) = checksum(value) {
            let properties = Map::from_iter([("file".to_owned(), file.into())]);
            return out.record(Record {
                properties,
                ..Record::new(number, Said::Hash, hash)
            });
        }
        out.record(Record::new(number, said, value));
    })
}

/// The hash and the name in a line that `md5sum` and its like write.
fn checksum(line: &str) -> Option<(&str, &str)> {
    let end = memchr::memchr2(b' ', b'\t', line.as_bytes())?;
    let (hash, rest) = line.split_at(end);
    let file = rest.trim_start().trim_start_matches('*');
    let is_hash = |word: &str| Observable::of_hash(word).is_ok();
    let is_one = !file.is_empty() && is_hash(hash) && !file.split_whitespace().any(is_hash);
    is_one.then_some((hash, file))
}

/// Reads a hosts file: the names, not the address that they are mapped to.
///
/// # Errors
/// The input cannot be read, or is not a feed.
pub fn read_hosts(reader: impl BufRead, options: &Options, out: &mut Out<'_>) -> Result<(), Error> {
    out.set_format("hosts file, the names in it");
    each_line(reader, options, out, |line, number, out| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().unwrap_or_default();
        if !is_sink(address) {
            let reason = format!(
                "{address:?} is no address that a hosts file blocks names with, such as 0.0.0.0"
            );
            return out.rejected(number, Rejection::without_id(reason));
        }
        for name in words {
            if !is_local(name) {
                out.record(Record::new(number, Said::Domain, name));
            }
        }
    })
}

/// Whether a line belongs to a hosts file that blocks names.
pub fn is_hosts_line(line: &str) -> bool {
    let mut words = without_comment(line).split_ascii_whitespace();
    words.next().is_some_and(is_sink)
        && words
            .next()
            .is_some_and(|name| name.parse::<f64>().is_err())
}

/// Whether a line maps names to an address, which can be that of a real host.
pub fn is_mapping(line: &str) -> bool {
    let mut words = without_comment(line).split_ascii_whitespace();
    words
        .next()
        .is_some_and(|word| word.parse::<IpAddr>().is_ok())
        && words
            .next()
            .is_some_and(|name| name.parse::<f64>().is_err())
}

/// Whether at least half of the lines belong to a hosts file that blocks names.
pub fn is_hosts(sample: &str) -> bool {
    let lines = sample.lines().map(without_comment);
    let lines = lines.filter(|line| !line.trim().is_empty());
    let (blocking, others): (Vec<&str>, Vec<&str>) = lines.partition(|line| is_hosts_line(line));
    blocking.len() >= others.len()
}

/// Whether an address is used to block names.
fn is_sink(address: &str) -> bool {
    let address = address.split('%').next().unwrap_or_default();
    match address
        .parse::<IpAddr>()
        .map(|address| address.to_canonical())
    {
        Ok(address) if address.is_unspecified() || address.is_loopback() => true,
        Ok(IpAddr::V4(address)) => address.is_broadcast(),
        // Link-local and multicast addresses, in the standard lines of every hosts file.
        Ok(IpAddr::V6(address)) => matches!(address.segments()[0], 0xfe00 | 0xfe80 | 0xff00..),
        Err(_) => false,
    }
}

/// Whether every hosts file has this name.
fn is_local(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_listed = matches!(
        &*name,
        "localhost" | "local" | "localhost.localdomain" | "broadcasthost" | "0.0.0.0"
    );
    is_listed || name.starts_with("ip6-") || name.starts_with("ip4-")
}

/// Shows every line that is neither blank nor a comment, without trailing comments.
fn each_line(
    reader: impl BufRead,
    options: &Options,
    out: &mut Out<'_>,
    mut show: impl FnMut(&str, u64, &mut Out<'_>),
) -> Result<(), Error> {
    let mut lines = Lines::new(reader);
    loop {
        let number = lines.number() + 1;
        match lines.next()? {
            None => return Ok(()),
            Some(Line::TooLong) => {
                out.rejected(number, Rejection::without_id(TOO_LONG.to_owned()));
            }
            Some(Line::Whole(line)) => {
                // A comment may have any encoding.
                let line = String::from_utf8_lossy(line);
                let line = without_comment(&line).trim();
                if line.contains(char::REPLACEMENT_CHARACTER) {
                    out.rejected(number, Rejection::without_id(NOT_UTF8.to_owned()));
                } else if !line.is_empty() {
                    show(line, number, out);
                }
            }
        }
        out.check(options.format.is_some())?;
    }
}

/// Removes the comment of a line: `#`, `;` and `//` begin one at the start of the line or
/// after a blank; elsewhere they belong to the value.
pub fn without_comment(line: &str) -> &str {
    // The comments and the first line of ad filters.
    if line.starts_with('!') || line.starts_with("[Adblock") {
        return "";
    }
    let bytes = line.as_bytes();
    let begins = |at: usize| {
        let is_mark = matches!(bytes[at], b'#' | b';') || bytes[at..].starts_with(b"//");
        is_mark && (at == 0 || matches!(bytes[at - 1], b' ' | b'\t'))
    };
    let mut marks = memchr::memchr3_iter(b'#', b';', b'/', bytes);
    match marks.find(|at| begins(*at)) {
        Some(at) => &line[..at],
        None => line,
    }
}

/// Removes the comma or semicolon after a value that has one as an element of a list has. A
/// URL may end so.
fn without_end(line: &str) -> &str {
    let Some(value) = line.strip_suffix([',', ';']) else {
        return line;
    };
    let is_one = !value.contains("://") && by_form(unquoted(value)).is_some();
    if is_one { value } else { line }
}

/// Removes one pair of quotes.
pub fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(value).trim()
}

#[cfg(test)]
mod tests {
    use super::super::FileFormat;
    use super::super::tests::{read_as, values};
    use super::*;

    #[test]
    fn comments_are_their_own_lines_or_follow_a_blank() {
        for (line, rest) in [
            ("# all", ""),
            ("; all", ""),
            ("// all", ""),
            ("! all", ""),
            ("[Adblock Plus 2.0]", ""),
            ("  # all", "  "),
            ("a.example # b", "a.example "),
            ("192.0.2.0/24 ; SBL1", "192.0.2.0/24 "),
            ("a.example\t// b", "a.example\t"),
            ("http://a.example/#x;y//z", "http://a.example/#x;y//z"),
        ] {
            assert_eq!(without_comment(line), rest, "{line}");
        }
    }

    #[test]
    fn a_list_is_read_by_the_form_of_its_values() {
        let text = "# a list\r\n192.0.2.1\r\n\"a.example\"\n'b.example' # x\n\n198.51.100.0/33\n\
                    D41D8CD98F00B204E9800998ECF8427E\nhttp://c.example/#d\nno indicator\n";
        let expected = [
            "192.0.2.1",
            "a.example",
            "b.example",
            "!6",
            "D41D8CD98F00B204E9800998ECF8427E",
            "http://c.example/#d",
            "!9",
        ];
        assert_eq!(values(text.as_bytes()), expected);
        assert_eq!(values("ip\n192.0.2.1\n"), ["192.0.2.1"]);
        let copied = "192.0.2.1\u{200b}\n\u{feff}a.example\n192.0.2.0/24,\n\"b.example\",\n";
        let expected = ["192.0.2.1", "a.example", "192.0.2.0/24", "b.example"];
        assert_eq!(values(copied), expected);
        let behind = "192.0.2.1#c2\na.example#b\n192.0.2.0/24,c2\na.example/b,c,2024-05-01\n";
        let (found, report) = read_as(FileFormat::List, behind);
        assert_eq!((found.len(), report.rejected), (4, 4));
        assert!(report.rejections[0].1.ends_with("a `#` follows its host"));
        assert!(report.rejections[2].1.ends_with("a row of a table"));
        let sums = "d41d8cd98f00b204e9800998ecf8427f  a b.exe\n\
                    d41d8cd98f00b204e9800998ecf84270 *c.exe\nd41d  d.exe\n\
                    d41d8cd98f00b204e9800998ecf84271 d41d8cd98f00b204e9800998ecf84272\n";
        let expected = [
            "d41d8cd98f00b204e9800998ecf8427f",
            "d41d8cd98f00b204e9800998ecf84270",
            "!3",
            "!4",
        ];
        assert_eq!(values(sums), expected);
        let latin = b"192.0.2.1 # \xfc\n\xfc.example\n";
        assert_eq!(values(latin), ["192.0.2.1", "!2"]);
        assert_eq!(values("# sha256_hash\n192.0.2.1\n"), ["192.0.2.1"]);
    }

    #[test]
    fn a_hosts_file_is_the_names_in_it() {
        let text = "# hosts\n127.0.0.1 localhost\n::1 ip6-localhost ip6-loopback\n\
                    0.0.0.0 0.0.0.0\n0.0.0.0\tbad.example www.bad.example # both\n\
                    192.0.2.7 printer.example\n";
        let expected = ["bad.example", "www.bad.example", "!6"];
        assert_eq!(values(text), expected);
        assert!(is_hosts_line("0.0.0.0 a.example") && is_hosts_line("::\ta.example"));
        for line in [
            "0.0.0.0",
            "192.0.2.1 a.example",
            "127.0.0.1 # a",
            "127.0.0.1 80",
        ] {
            assert!(!is_hosts_line(line), "{line}");
        }
        let real = "192.0.2.5 my.example\n127.0.0.1 localhost\n0.0.0.0 bad.example\n";
        assert_eq!(values(real), ["!1", "bad.example"]);
        assert_eq!(
            read_as(FileFormat::Hosts, "0.0.0.0 a.example\n").1.usable,
            1
        );
    }
}

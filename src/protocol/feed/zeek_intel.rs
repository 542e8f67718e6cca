//! The files for Zeek's Intel framework: tab-separated columns after a `#fields` line
//! (Zeek, `base/frameworks/intel`).

use std::io::BufRead;

use serde_json::{Map, Value};

use super::found::Out;
use super::lines::{Line, Lines};
use super::record::Record;
use super::said::Said;
use super::{Error, MOST_COLUMNS, Options, TOO_LONG};
use crate::indicator::Rejection;
use crate::observable::Property;

/// The meaning of each `Intel::Type`.
const TYPES: [(&str, Said); 12] = [
    ("ADDR", Said::Address),
    ("SUBNET", Said::Address),
    ("URL", Said::Url),
    ("SOFTWARE", Said::Text(Property::UserAgent)),
    ("EMAIL", Said::Mail),
    ("DOMAIN", Said::Domain),
    ("USER_NAME", Said::Text(Property::UserName)),
    ("CERT_HASH", Said::Certificate),
    ("PUBKEY_HASH", Said::Elsewhere),
    ("FILE_HASH", Said::Hash),
    ("FILE_NAME", Said::Text(Property::FileName)),
    // Of the package ja3.
    ("JA3", Said::Text(Property::Ja3)),
];

/// Whether a line is the header of such a file.
pub fn is_header(line: &str) -> bool {
    let mut names = line.split_ascii_whitespace();
    names.next() == Some("#fields")
        && names.any(|name| name == "indicator")
        && line.contains("indicator_type")
}

/// Reads the whole file.
///
/// # Errors
/// The input cannot be read, or is not a feed.
pub fn read(reader: impl BufRead, options: &Options, out: &mut Out<'_>) -> Result<(), Error> {
    out.set_format("Zeek intel file");
    let mut lines = Lines::new(reader);
    let mut names: Vec<String> = Vec::new();
    loop {
        let number = lines.number() + 1;
        let line = match lines.next()? {
            None => return Ok(()),
            Some(Line::TooLong) => Err(TOO_LONG),
            Some(Line::Whole(line)) => std::str::from_utf8(line).map_err(|_| "it is not UTF-8"),
        };
        match line {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) if line.starts_with("#fields") => {
                let found = line
                    .split(['\t', ' '])
                    .skip(1)
                    .filter(|name| !name.is_empty());
                names = found.take(MOST_COLUMNS).map(str::to_owned).collect();
            }
            Ok(line) if line.starts_with('#') => {}
            Ok(line) => row(line, &names, number, out),
            Err(why) => out.rejected(number, Rejection::without_id(why.to_owned())),
        }
        out.check(options.format.is_some())?;
    }
}

fn row(line: &str, names: &[String], number: u64, out: &mut Out<'_>) {
    let cells = line.split('\t').map(unescaped);
    let mut cells: Map<String, Value> = names
        .iter()
        .zip(cells)
        .filter(|(_, cell)| !matches!(&**cell, "-" | "(empty)"))
        .map(|(name, cell)| (name.clone(), cell.into()))
        .collect();
    let mut take = |name: &str| match cells.remove(name) {
        Some(Value::String(cell)) => Some(cell),
        _ => None,
    };
    let (Some(value), Some(kind)) = (take("indicator"), take("indicator_type")) else {
        let reason = if line.contains('\t') {
            "the line has no `indicator` and `indicator_type` as `#fields` names them"
        } else {
            "the line has no tabs, which Zeek's Intel framework wants between cells"
        };
        return out.rejected(number, Rejection::without_id(reason.to_owned()));
    };
    let plain = kind.strip_prefix("Intel::").unwrap_or(&kind);
    let said = TYPES.iter().find(|(name, _)| *name == plain);
    let Some((_, said)) = said else {
        let reason = format!("{kind:?} is no type of Zeek's Intel framework");
        return out.rejected(number, Rejection::without_id(reason));
    };
    let mut properties = cells;
    properties.insert("type".to_owned(), kind.clone().into());
    out.record(Record {
        kind: Some(&kind),
        properties,
        ..Record::new(number, *said, &value)
    });
}

/// Decodes the escapes of Zeek's ASCII format, `\xHH`.
fn unescaped(cell: &str) -> String {
    let mut bytes = Vec::with_capacity(cell.len());
    let mut rest = cell.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match rest {
            [b'\\', b'x', a, b, tail @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                bytes.extend(escape(&[*a, *b]));
                rest = tail;
            }
            [b'\\', b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{messages, values};
    use super::*;

    #[test]
    fn every_type_is_read_and_the_rest_goes_along() {
        let text = "#fields\tindicator\tindicator_type\tmeta.source\tmeta.url\n\
            203.0.113.7\tIntel::ADDR\tx\t-\n\
            198.51.100.0/24\tIntel::SUBNET\tx\t-\n\
            evil.example/a\\x2fb\tIntel::URL\tx\t-\n\
            Wget/1.0\tIntel::SOFTWARE\tx\t-\n\
            a@evil.example\tIntel::EMAIL\tx\t-\n\
            evil.example\tIntel::DOMAIN\tx\thttp://feed.example/\n\
            root\tIntel::USER_NAME\tx\t-\n\
            da39a3ee5e6b4b0d3255bfef95601890afd80709\tIntel::CERT_HASH\tx\t-\n\
            d41d8cd98f00b204e9800998ecf8427e\tIntel::FILE_HASH\tx\t-\n\
            evil.exe\tIntel::FILE_NAME\tx\t-\n\
            # a comment\n\
            x\tIntel::NONE\tx\t-\n\
            only one cell\n";
        let found = messages(text);
        let kinds: Vec<&str> = found.iter().flatten().map(|one| one.kind()).collect();
        let expected = "ipv4 network url useragent email domain user x509_sha1 hash filename";
        assert_eq!(kinds.join(" "), expected);
        let properties = found[5].as_ref().and_then(|one| one.properties.as_ref());
        let properties = properties.map(|json| json.get());
        assert_eq!(
            properties,
            Some(r#"{"meta.source":"x","meta.url":"http://feed.example/","type":"Intel::DOMAIN"}"#)
        );
        assert_eq!(values(text)[10..], ["!13", "!14"]);
    }

    #[test]
    fn columns_may_be_in_any_order() {
        let text =
            "#fields\tmeta.source\tindicator_type\tindicator\nx\tIntel::DOMAIN\tevil.example\n";
        assert_eq!(values(text), ["evil.example"]);
        assert!(is_header("#fields indicator indicator_type meta.source"));
        assert!(!is_header(
            "#fields\tts\tuid\tseen.indicator\tseen.indicator_type"
        ));
    }
}

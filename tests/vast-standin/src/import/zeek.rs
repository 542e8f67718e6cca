//! Zeek's tab-separated logs: the header is the schema.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{Fate, printed};
use crate::query::canonical_address;

/// What the header of a log says.
#[derive(Debug)]
pub(super) struct Log {
    path: String,
    fields: Vec<String>,
    types: Vec<String>,
    set_separator: String,
    empty: String,
    unset: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            path: String::new(),
            fields: Vec::new(),
            types: Vec::new(),
            set_separator: ",".into(),
            empty: "(empty)".into(),
            unset: "-".into(),
        }
    }
}

impl Log {
    /// Reads one line, of a header or with an event.
    pub(super) fn read(&mut self, line: &str) -> Fate {
        if let Some(header) = line.strip_prefix('#') {
            self.note(header);
            return Fate::Noted;
        }
        let cells: Vec<&str> = line.split('\t').collect();
        if self.path.is_empty() || cells.len() != self.fields.len() {
            return Fate::Dropped(format!("zeek-reader ignores a line: {line:.60}"));
        }
        let names = self.fields.iter().zip(&self.types);
        let event: Map<String, Value> = names
            .zip(cells)
            .map(|((name, type_name), cell)| (name.clone(), self.value(type_name, cell)))
            .collect();
        Fate::Stored(format!("zeek.{}", self.path), Value::Object(event))
    }

    fn note(&mut self, header: &str) {
        let (key, rest) = header.split_once('\t').unwrap_or((header, ""));
        let columns = || rest.split('\t').map(str::to_owned).collect();
        match key {
            "path" => self.path = rest.to_owned(),
            "fields" => self.fields = columns(),
            "types" => self.types = columns(),
            "set_separator" => self.set_separator = rest.to_owned(),
            "empty_field" => self.empty = rest.to_owned(),
            "unset_field" => self.unset = rest.to_owned(),
            _ => {}
        }
    }

    fn value(&self, type_name: &str, cell: &str) -> Value {
        if cell == self.unset {
            return Value::Null;
        }
        let element = type_name
            .strip_prefix("set[")
            .or_else(|| type_name.strip_prefix("vector["))
            .and_then(|element| element.strip_suffix(']'));
        match element {
            Some(_) if cell == self.empty => Value::Array(Vec::new()),
            Some(element) => {
                let cells = cell.split(&*self.set_separator);
                Value::Array(cells.map(|cell| self.value(element, cell)).collect())
            }
            None => scalar(type_name, cell),
        }
    }
}

/// A value that is no list; one that is not of its type is null.
fn scalar(type_name: &str, cell: &str) -> Value {
    match type_name {
        "time" => moment(cell).map_or(Value::Null, |time| printed(time).into()),
        "interval" => format!("{cell}s").into(),
        "port" | "count" | "int" => cell.parse::<i64>().map_or(Value::Null, Value::from),
        "double" => cell.parse::<f64>().map_or(Value::Null, Value::from),
        "bool" => Value::Bool(cell == "T"),
        "addr" => canonical_address(cell).map_or(Value::Null, |it| it.to_string().into()),
        _ => unescaped(cell).into(),
    }
}

/// Seconds since 1970 with a fraction.
fn moment(cell: &str) -> Option<OffsetDateTime> {
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, "0"));
    let nanoseconds: i128 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let whole: i128 = whole.parse().ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(whole * 1_000_000_000 + nanoseconds).ok()
}

/// `\xNN` and `\\` are undone, and a backslash before anything else is lost.
fn unescaped(cell: &str) -> String {
    let mut bytes = Vec::with_capacity(cell.len());
    let mut rest = cell.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let digits = behind.strip_prefix(b"x").and_then(|digits| digits.get(..2));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &behind[3..];
        } else if let Some(behind) = behind.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = behind;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_schema() {
        let mut log = Log::default();
        for line in [
            "#separator \\x09",
            "#path\tfiles",
            "#fields\tts\ttx_hosts\tfilename\tseen_bytes\tdone\tduration\tnone\ttags",
            "#types\ttime\tset[addr]\tstring\tcount\tbool\tinterval\tstring\tset[string]",
        ] {
            assert_eq!(log.read(line), Fate::Noted);
        }
        let line =
            "1709633002.078299\t192.0.2.1,::ffff:192.0.2.2\ta\\x09\\\\b\\q\t7\tT\t1.5\t-\t(empty)";
        let expected = r#"{"done":true,"duration":"1.5s","filename":"a\t\\bq","none":null,"seen_bytes":7,"tags":[],"ts":"2024-03-05T10:03:22.078299000","tx_hosts":["192.0.2.1","192.0.2.2"]}"#;
        match log.read(line) {
            Fate::Stored(type_name, event) => {
                assert_eq!(type_name, "zeek.files");
                assert_eq!(event.to_string(), expected);
            }
            fate => panic!("{fate:?}"),
        }
        assert!(matches!(log.read("1\t2"), Fate::Dropped(_)));
    }
}

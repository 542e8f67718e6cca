//! Prints an event of a tab-separated log like Zeek's JSON writer: unset fields are left
//! out, numbers are numbers, and doubles have as many digits as needed to distinguish them
//! from their neighbours.

use std::fmt::Write as _;

use super::zeek_tsv::{Cell, TsvRow, Type, text};

/// Appends the event.
pub fn print(row: &TsvRow<'_>, json: &mut String) {
    json.push('{');
    let start = json.len();
    for (column, cell) in row.cells() {
        if cell == Cell::Unset {
            continue;
        }
        if json.len() > start {
            json.push(',');
        }
        string(json, &column.name);
        json.push(':');
        match cell {
            Cell::Value(list) if column.is_list => {
                json.push('[');
                for (nth, element) in row.elements(list).enumerate() {
                    if nth > 0 {
                        json.push(',');
                    }
                    value(json, element, column.kind);
                }
                json.push(']');
            }
            Cell::Empty if column.is_list => json.push_str("[]"),
            _ => value(json, cell, column.kind),
        }
    }
    json.push('}');
}

/// One value. If it does not have the column's type, it is printed as text, so that nothing
/// is lost.
fn value(json: &mut String, cell: Cell<'_>, kind: Type) {
    let bytes = match cell {
        Cell::Unset => return json.push_str("null"),
        Cell::Empty => return json.push_str("\"\""),
        Cell::Value(bytes) => bytes,
    };
    let text = text(bytes);
    let is_printed = match kind {
        Type::Integer => integer(json, &text),
        Type::Double => match text.parse() {
            Ok(number) => {
                double(json, number);
                true
            }
            Err(_) => false,
        },
        Type::Bool => match &*text {
            "T" => {
                json.push_str("true");
                true
            }
            "F" => {
                json.push_str("false");
                true
            }
            _ => false,
        },
        Type::Address | Type::Text => false,
    };
    if !is_printed {
        string(json, &text);
    }
}

/// An integer; a port may be followed by its protocol (`53/udp`).
fn integer(json: &mut String, text: &str) -> bool {
    let digits = text.split_once('/').map_or(text, |(port, _)| port);
    if let Ok(number) = digits.parse::<u64>() {
        write!(json, "{number}").is_ok()
    } else if let Ok(number) = digits.parse::<i64>() {
        write!(json, "{number}").is_ok()
    } else {
        false
    }
}

/// A double like the writer's library prints it: the shortest digits that identify it, with
/// an exponent only above 21 or below -6. Infinities are null.
fn double(json: &mut String, number: f64) {
    if !number.is_finite() {
        return json.push_str("null");
    }
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("`{:e}` prints an exponent");
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    // The number of digits before the point.
    let before = 1 + exponent
        .parse::<i32>()
        .expect("`{:e}` prints a number there");
    let count = i32::try_from(digits.len()).expect("a double has 17 digits");
    if number.is_sign_negative() {
        json.push('-');
    }
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let (first, rest) = digits.split_at(1);
    match before {
        _ if before >= count && before <= 21 => {
            json.push_str(&digits);
            json.push_str(&zeros(before - count));
            json.push_str(".0");
        }
        1..=21 => {
            let (whole, fraction) = digits.split_at(usize::try_from(before).unwrap_or_default());
            json.push_str(whole);
            json.push('.');
            json.push_str(fraction);
        }
        -5..=0 => {
            json.push_str("0.");
            json.push_str(&zeros(-before));
            json.push_str(&digits);
        }
        _ => {
            json.push_str(first);
            if !rest.is_empty() {
                json.push('.');
                json.push_str(rest);
            }
            json.push('e');
            json.push_str(&(before - 1).to_string());
        }
    }
}

/// A text in quotes.
fn string(json: &mut String, text: &str) {
    json.push('"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\x08' => "\\b",
            b'\x0c' => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => {
                json.push_str(&text[start..at]);
                start = at + 1;
                // Only names of columns: in values these are already replaced.
                json.push_str(&format!("\\u{byte:04X}"));
                continue;
            }
            _ => continue,
        };
        json.push_str(&text[start..at]);
        json.push_str(escape);
        start = at + 1;
    }
    json.push_str(&text[start..]);
    json.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::zeek_tsv::Head;
    use super::*;

    fn printed(header: &str, line: &[u8]) -> String {
        let mut head = Head::default();
        header.lines().for_each(|line| head.take(line.as_bytes()));
        let row = TsvRow::new(head.header(), line);
        let mut json = String::new();
        print(&row.expect("a row"), &mut json);
        json
    }

    #[test]
    fn an_event_is_printed_as_zeek_prints_it() {
        let header = "#fields\tts\tuid\tid.orig_h\tid.orig_p\tservice\tduration\tlocal\tcount\
                      \ttunnel\tTTLs\tports\tnote\n\
                      #types\ttime\tstring\taddr\tport\tstring\tinterval\tbool\tint\
                      \tset[string]\tvector[interval]\tset[port]\tstring";
        assert_eq!(
            printed(
                header,
                b"1714557600.000000\tC1\t2001:db8::1\t53\t-\t0.000012\tF\t-5\t(empty)\t\
                  299.000000,0.5,-\t53,80/tcp\t\\x22a\\\\\\xffb\\x09"
            ),
            r#"{"ts":1714557600.0,"uid":"C1","id.orig_h":"2001:db8::1","id.orig_p":53,"duration":0.000012,"local":false,"count":-5,"tunnel":[],"TTLs":[299.0,0.5,null],"ports":[53,80],"note":"\"a\\\\xffb\t"}"#
        );
    }

    #[test]
    fn a_value_that_does_not_fit_its_column_stays_text() {
        let header = "#fields\ta\tb\tc\td\n#types\tcount\ttime\tbool\tdouble";
        assert_eq!(
            printed(header, b"many\tnow\tyes\tinf"),
            r#"{"a":"many","b":"now","c":"yes","d":null}"#
        );
        assert_eq!(printed(header, b"-\t-\t-\t-"), "{}");
        assert_eq!(
            printed("#fields\ta\"\x01\tb\n#types\tstring\tstring", b"(empty)\tx"),
            "{\"a\\\"\\u0001\":\"\",\"b\":\"x\"}"
        );
    }

    #[test]
    fn doubles_have_the_digits_that_they_need() {
        for (text, expected) in [
            ("0.000000", "0.0"),
            ("-0.5", "-0.5"),
            ("1714557600.123456", "1714557600.123456"),
            ("1714557600.100000", "1714557600.1"),
            ("100.0", "100.0"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("12e-9", "1.2e-8"),
            ("1e21", "1e21"),
            ("1e20", "100000000000000000000.0"),
            ("12e30", "1.2e31"),
        ] {
            let mut json = String::new();
            double(&mut json, text.parse().expect("a number"));
            assert_eq!(json, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_row_is_one_json_object_with_the_same_texts(
            cells in prop::collection::vec(
                prop::collection::vec(any::<u8>().prop_filter("marks", |b| !b"\t\n\r".contains(b)), 0..12),
                6,
            ),
        ) {
            let header = "#fields\ta\tb\tc\td\te\tf\n\
                          #types\tstring\tcount\ttime\tbool\tset[string]\tvector[double]";
            let line = cells.join(&b'\t');
            let json = printed(header, &line);
            let event: serde_json::Value = serde_json::from_str(&json).expect(&json);
            let first = &cells[0][..];
            match first {
                b"-" => prop_assert!(event.get("a").is_none()),
                b"" | b"(empty)" => prop_assert_eq!(&event["a"], ""),
                _ => prop_assert_eq!(event["a"].as_str(), Some(&*text(first))),
            }
        }
    }
}

//! Whole feeds: what is found in them, and that it is the same in every format.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::indicator::{Indicator, Message};

/// The findings in a feed of this format, and the report.
pub fn read_as(format: FileFormat, text: impl AsRef<[u8]>) -> (Vec<Found>, Report) {
    let options = Options {
        format: Some(format),
        column: None,
    };
    read_with(&options, text).expect("a feed")
}

pub fn read_with(options: &Options, text: impl AsRef<[u8]>) -> Result<(Vec<Found>, Report), Error> {
    let mut all = Vec::new();
    let report = read(text.as_ref(), options, &mut |found| all.push(found))?;
    Ok((all, report))
}

/// The indicators of a feed, `None` for rejections.
pub fn messages(text: impl AsRef<[u8]>) -> Vec<Option<Indicator>> {
    let read = read_with(&Options::default(), text.as_ref());
    let (all, _) = read.unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(text.as_ref());
        panic!("{error}: {text}")
    });
    let message = |found| match found {
        Found::Message(Message::Match { indicator, .. }) => Some(indicator),
        Found::Rejected(..) => None,
        Found::Message(other) => panic!("{other:?}"),
    };
    all.into_iter().map(message).collect()
}

/// The values of a feed in order; `!` and the line for a rejection, `?` for an
/// unsupported one.
pub fn values(text: impl AsRef<[u8]>) -> Vec<String> {
    let (all, _) = read_with(&Options::default(), text).expect("a feed");
    let value = |found| match found {
        Found::Message(Message::Match { indicator, .. }) => indicator.ioc.join("|"),
        Found::Message(Message::Unsupported { ioc, .. }) => format!("?{ioc}"),
        Found::Message(Message::Withdraw(id)) => format!("-{id}"),
        Found::Rejected(line, _) => format!("!{line}"),
    };
    all.into_iter().map(value).collect()
}

#[test]
fn an_empty_file_is_no_error_and_one_without_indicators_is_useless() {
    for text in ["", "\n", "# none\n"] {
        let (_, report) = read_with(&Options::default(), text).expect("nothing is wrong");
        assert!(report.is_empty() && !report.is_useless(), "{text}");
    }
    let (_, report) = read_with(&Options::default(), "no such thing\n").expect("a list");
    assert!(report.is_useless());
    assert_eq!(report.counts(), "0 usable, 1 rejected");
    assert_eq!(report.rejections[0].0, 1);
}

#[test]
fn a_file_that_stays_unrecognised_is_given_up() {
    let text = "this is no feed\n".repeat(2000);
    let error = read_with(&Options::default(), &text).expect_err("it is not a feed");
    assert!(matches!(&error, Error::NoFeed(_)), "{error}");
    let (found, _) = read_as(FileFormat::List, &text);
    assert_eq!(found.len(), 2000);
}

#[test]
fn columns_are_named_by_number_and_by_name() {
    assert_eq!(Column::parse(" 2"), Some(Column::Number(2)));
    assert_eq!(Column::parse("Url "), Some(Column::Name("Url".to_owned())));
    assert_eq!((Column::parse("0"), Column::parse(" ")), (None, None));
}

/// Kind, canonical value and id of each, sorted.
fn described(text: &str) -> Vec<String> {
    let form = |one: &Indicator| {
        let values = one
            .observables
            .iter()
            .map(|value| format!("{} {value}", value.kind()));
        format!("{} {}", values.collect::<Vec<_>>().join("|"), one.id)
    };
    let mut all: Vec<String> = messages(text)
        .iter()
        .map(|one| one.as_ref().map_or_else(|| "rejected".to_owned(), form))
        .collect();
    all.sort();
    all
}

/// A value of a feed, with its types in Zeek and MISP.
fn any_value() -> impl Strategy<Value = (String, &'static str, &'static str)> {
    let address = any::<[u8; 4]>().prop_map(|bytes| {
        (
            std::net::Ipv4Addr::from(bytes).to_string(),
            "ADDR",
            "ip-dst",
        )
    });
    let domain = "[a-z]{1,8}(-[a-z0-9]{1,4})?\\.(example|test)";
    let domain = domain.prop_map(|name| (name, "DOMAIN", "domain"));
    let hash = "[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}";
    let hash = hash.prop_map(|hash| {
        let kind = match hash.len() {
            32 => "md5",
            40 => "sha1",
            _ => "sha256",
        };
        (hash, "FILE_HASH", kind)
    });
    let url = "http://[a-z]{1,8}\\.example/[a-z/]{0,8}(\\?[a-z]=[0-9])?";
    let url = url.prop_map(|url| (url, "URL", "url"));
    prop_oneof![address, domain, hash, url]
}

proptest! {
    #[test]
    fn the_same_indicators_in_every_form(all in prop::collection::vec(any_value(), 1..12)) {
        let lines = |line: &dyn Fn(&(String, &str, &str)) -> String| -> String {
            all.iter().map(|one| line(one) + "\n").collect()
        };
        let list = lines(&|one| one.0.clone());
        let expected = described(&list);
        prop_assert_eq!(expected.len(), all.len());
        let attributes: Vec<_> = all
            .iter()
            .map(|(value, _, kind)| json!({"type": kind, "value": value, "to_ids": true}))
            .collect();
        let event = json!({"Event": {"info": "x", "Attribute": attributes}});
        let pulse = all.iter().map(|(value, ..)| json!({"indicator": value, "type": "x"}));
        let pulse = json!({"name": "x", "indicators": pulse.collect::<Vec<_>>()});
        let plain: Vec<&String> = all.iter().map(|one| &one.0).collect();
        for text in [
            lines(&|one| format!("\"{}\" # x", one.0)),
            lines(&|one| one.0.replace("http://", "hxxp://").replace(".example", "[.]example")),
            "date,ioc_value,ioc_type\n".to_owned() + &lines(&|one| format!("\"x\", \"{}\", {}", one.0, one.2)),
            lines(&|one| format!("\u{feff}{}\u{200b}", one.0)),
            lines(&|one| format!("{},x", one.0)),
            lines(&|one| format!("{};online;2024-05-01", one.0)),
            lines(&|one| format!("'{}'|'c2'", one.0)),
            "sep=;\nioc;what\n".to_owned() + &lines(&|one| format!("{};x", one.0)),
            "# \"id\",\"ioc\"\n".to_owned() + &lines(&|one| format!("1,{}", one.0)),
            "#fields\tindicator\tindicator_type\n".to_owned()
                + &lines(&|one| format!("{}\tIntel::{}", one.0, one.1)),
            event.to_string(),
            format!("{event:#}"),
            json!({"response": [event]}).to_string(),
            pulse.to_string(),
            json!(plain).to_string(),
        ] {
            prop_assert_eq!(&described(&text), &expected, "{}", text);
        }
    }

    #[test]
    fn no_bytes_panic(
        start in "(#fields\tindicator\tindicator_type\n|url,x\n|\\[|\\{|0.0.0.0 a\n|\\{\"Event\":\\{|1,2)?",
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in "[\\[\\]{},:\"\\\\a1.\n#|]{0,60}",
    ) {
        for tail in [bytes, text.into_bytes()] {
            let feed = [start.as_bytes(), &tail].concat();
            let _ = read_with(&Options::default(), &feed);
            for facts in &FORMATS {
                let options = Options { format: Some(facts.format), column: Some(Column::Number(2)) };
                let _ = read_with(&options, &feed);
            }
        }
    }
}

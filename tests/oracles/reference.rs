//! A plain engine to compare the rest with: typed events, a table of concepts, and each indicator
//! evaluated alone. Slow, and obviously right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use time::OffsetDateTime;
use time::macros::datetime;

use super::condition::{Field, Operator};
use crate::indicator::Selection;
use crate::observable::{Kind, Network, Observable, Property, is_subdomain};

/// The table of concepts, as the engine prints it. `any.note` is of an event type with a name of
/// one word; `net.name` is included by another concept.
pub(crate) const CONCEPTS: &str = r#"[
    {"concept": {"name": "net.domain", "description": "", "concepts": [],
        "fields": ["zeek.dns.query", "zeek.dns.answers", "suricata.dns.dns.rrname",
                   "suricata.http.http.hostname"]}},
    {"concept": {"name": "net.hostname", "description": "", "concepts": ["net.name", "net.hostname"],
        "fields": ["zeek.http.host", "zeek.software.host"]}},
    {"concept": {"name": "net.name", "description": "", "concepts": [], "fields": ["any.note"]}},
    {"concept": {"name": "net.uri", "description": "", "concepts": [],
        "fields": ["zeek.http.uri", "suricata.http.http.url"]}},
    {"concept": {"name": "file.name", "description": "", "concepts": [],
        "fields": ["suricata.fileinfo.fileinfo.filename"]}},
    {"concept": {"name": "file.hash.md5", "description": "", "concepts": [],
        "fields": ["suricata.fileinfo.fileinfo.md5"]}},
    {"model": {"name": "net.connection"}}]"#;

const DOMAIN_FIELDS: &[&str] = &[
    "zeek.dns.query",
    "zeek.dns.answers",
    "suricata.dns.dns.rrname",
    "suricata.http.http.hostname",
    "zeek.http.host",
    "zeek.software.host",
    "any.note",
];

/// The fields with the lists of answers of DNS.
const ANSWER_FIELDS: &[&str] = &["zeek.dns.answers"];

const URL_FIELDS: &[&str] = &["zeek.http.uri", "suricata.http.http.url"];

const FILE_NAME_FIELDS: &[&str] = &["suricata.fileinfo.fileinfo.filename"];

const MD5_FIELDS: &[&str] = &["suricata.fileinfo.fileinfo.md5"];

/// The field of a property that has no concept.
const USER_AGENT_FIELDS: &[&str] = &["zeek.http.user_agent"];

const TEXT_FIELDS: [&[&str]; 5] = [
    DOMAIN_FIELDS,
    URL_FIELDS,
    FILE_NAME_FIELDS,
    MD5_FIELDS,
    USER_AGENT_FIELDS,
];

/// The fields that are searched for a text.
fn fields_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Address | Kind::Endpoint | Kind::Network | Kind::Hash => &[],
        Kind::Domain | Kind::Subdomain => DOMAIN_FIELDS,
        Kind::Answer => ANSWER_FIELDS,
        Kind::Url => URL_FIELDS,
        Kind::Text(Property::FileName) => FILE_NAME_FIELDS,
        Kind::Text(Property::Md5) => MD5_FIELDS,
        Kind::Text(Property::UserAgent) => USER_AGENT_FIELDS,
        Kind::Text(property) => panic!("{property:?} is not in this schema"),
    }
}

/// The paths of this numeric field, in all types of events.
fn number_fields(field: Field) -> &'static [&'static str] {
    match field {
        Field::DestinationPort => &["id.resp_p", "dest_port"],
        Field::FileSize => &["fileinfo.size"],
        field => panic!("{field:?} is not in this schema"),
    }
}

/// The type of a field in a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Address,
    Text,
    Count,
    Addresses,
    Texts,
    Time,
}

/// Types of events: name, and fields with their types. Some fields have the same path as a field
/// of a concept, and are not part of it. The name `bare` is one word, and `corp.deep.http` three.
const SCHEMA: &[(&str, &[(&str, Type)])] = &[
    (
        "zeek.http",
        &[
            ("id.orig_h", Type::Address),
            ("ts", Type::Time),
            ("id.resp_h", Type::Address),
            ("id.resp_p", Type::Count),
            ("host", Type::Text),
            ("uri", Type::Text),
            ("status", Type::Count),
            ("tags", Type::Texts),
            ("user_agent", Type::Text),
        ],
    ),
    (
        "zeek.dns",
        &[
            ("id.orig_h", Type::Address),
            ("query", Type::Text),
            ("answers", Type::Texts),
            ("resolved", Type::Addresses),
            ("note", Type::Text),
        ],
    ),
    (
        "zeek.software",
        &[("host", Type::Address), ("name", Type::Text)],
    ),
    (
        "suricata.dns",
        &[
            ("src_ip", Type::Address),
            ("event_type", Type::Text),
            ("dns.rrname", Type::Text),
            ("dns.rdata", Type::Text),
        ],
    ),
    (
        "suricata.http",
        &[
            ("src_ip", Type::Address),
            ("timestamp", Type::Time),
            ("dest_port", Type::Count),
            ("event_type", Type::Text),
            ("http.hostname", Type::Text),
            ("http.url", Type::Text),
            ("query", Type::Text),
        ],
    ),
    (
        "suricata.fileinfo",
        &[
            ("event_type", Type::Text),
            ("fileinfo.filename", Type::Text),
            ("fileinfo.md5", Type::Text),
            ("fileinfo.size", Type::Count),
            ("http.hostname", Type::Text),
        ],
    ),
    (
        "corp.proxy",
        &[
            ("peer", Type::Address),
            ("host", Type::Text),
            ("query", Type::Text),
            ("deep.er.note", Type::Text),
        ],
    ),
    (
        "any",
        &[
            ("note", Type::Text),
            ("peers", Type::Addresses),
            ("peer", Type::Address),
        ],
    ),
];

/// A value with its type.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Address(IpAddr),
    Text(String),
    Count(u32),
    Addresses(Vec<IpAddr>),
    Texts(Vec<String>),
    Time(OffsetDateTime),
}

/// An event as the engine stores it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    name: &'static str,
    fields: Vec<(&'static str, Value)>,
}

/// How the engine prints an event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// Fields of records have dotted names, and are not nested objects.
    flat: bool,
    /// Characters beyond ASCII are `\u` escapes, and `/` has a backslash.
    escaped: bool,
}

pub(crate) fn style() -> impl Strategy<Value = Style> {
    any::<(bool, bool)>().prop_map(|(flat, escaped)| Style { flat, escaped })
}

/// Few values, so that events and indicators share them: some beyond ASCII, some to be escaped,
/// some that are addresses, and one in many forms.
const TEXTS: &[&str] = &[
    "evil.example",
    "www.evil.example",
    "www.evil.example.org",
    "Evil.example",
    "bücher.example",
    "a\"b\\c\n",
    "😀.example",
    "/a/b?c=d",
    "192.0.2.1",
    "::ffff:192.0.2.1",
    "2001:db8::1",
    "2001:DB8:0::1",
    "dns",
    "d41d8cd98f00b204e9800998ecf8427e",
    "",
];

const COUNTS: &[u32] = &[0, 79, 80, 81, u32::MAX];

const TIMES: &[OffsetDateTime] = &[
    datetime!(2024-03-05 08:59:59.999999999 UTC),
    datetime!(2024-03-05 09:00:00 UTC),
    datetime!(2024-03-05 09:00:00.25 UTC),
    datetime!(2024-03-05 10:00:00 UTC),
];

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(TEXTS).prop_map(str::to_owned)
}

fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = Ipv4Addr::new(192, 0, 2, 1);
    prop::sample::select(vec![
        IpAddr::V4(v4),
        IpAddr::V6(v4.to_ipv6_mapped()),
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ])
}

fn network() -> impl Strategy<Value = Network> {
    let networks = [
        "192.0.2.0/31",
        "192.0.2.0/24",
        "2001:db8::/32",
        "::/0",
        "0.0.0.0/0",
    ];
    prop::sample::select(networks.to_vec())
        .prop_map(|text| Network::parse(text).expect("a network"))
}

fn property() -> impl Strategy<Value = Property> {
    prop::sample::select(vec![Property::FileName, Property::Md5, Property::UserAgent])
}

pub(crate) fn observable() -> impl Strategy<Value = Observable> {
    prop_oneof![
        address().prop_map(Observable::address),
        text().prop_map(|text| Observable::Domain(text.into())),
        text().prop_map(|text| Observable::Url(text.into())),
        network().prop_map(Observable::network),
        text().prop_map(|text| Observable::Subdomain(text.into())),
        text().prop_map(|text| Observable::Answer(text.into())),
        (property(), text()).prop_map(|(property, text)| Observable::Text(property, text.into())),
    ]
}

fn value(kind: Type) -> BoxedStrategy<Value> {
    let some = match kind {
        Type::Address => address().prop_map(Value::Address).boxed(),
        Type::Text => text().prop_map(Value::Text).boxed(),
        Type::Count => prop::sample::select(COUNTS).prop_map(Value::Count).boxed(),
        Type::Time => prop::sample::select(TIMES).prop_map(Value::Time).boxed(),
        Type::Addresses => prop::collection::vec(address(), 0..3)
            .prop_map(Value::Addresses)
            .boxed(),
        Type::Texts => prop::collection::vec(text(), 0..3)
            .prop_map(Value::Texts)
            .boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 5 => some].boxed()
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    prop::sample::select(SCHEMA).prop_flat_map(|(name, schema)| {
        let values: Vec<_> = schema.iter().map(|&(_, kind)| value(kind)).collect();
        values.prop_map(move |values| {
            let paths = schema.iter().map(|&(path, _)| path);
            let mut fields: Vec<_> = paths.zip(values).collect();
            // Events of Suricata always name their type.
            if let Some(kind) = name.strip_prefix("suricata.") {
                for (path, value) in &mut fields {
                    if *path == "event_type" {
                        *value = Value::Text(kind.to_owned());
                    }
                }
            }
            Event { name, fields }
        })
    })
}

impl Event {
    /// An event of a type of the schema, with some of its fields.
    pub(crate) fn new(name: &'static str, fields: Vec<(&'static str, Value)>) -> Self {
        Event { name, fields }
    }

    /// Whether a query for this one observable returns the event.
    pub(crate) fn matches(&self, observable: &Observable) -> bool {
        self.fields
            .iter()
            .any(|(path, value)| match (observable, value) {
                (Observable::Address(wanted), Value::Address(address)) => {
                    address.to_canonical() == *wanted
                }
                (Observable::Network(network), Value::Address(address)) => {
                    network.contains(*address)
                }
                // The engine compares a part of the text, which finds more than names below the
                // domain.
                (Observable::Subdomain(wanted), Value::Text(text)) => {
                    text.contains(&format!(".{wanted}")) && self.is_in(path, DOMAIN_FIELDS)
                }
                (Observable::Answer(wanted), Value::Texts(texts)) => {
                    texts.iter().any(|text| *text == wanted.as_written())
                        && self.is_in(path, ANSWER_FIELDS)
                }
                (
                    Observable::Domain(wanted)
                    | Observable::Url(wanted)
                    | Observable::Text(_, wanted),
                    Value::Text(text),
                ) => {
                    wanted.as_written() == *text
                        && self.is_in(path, fields_of(Kind::of(observable)))
                }
                _ => false,
            })
    }

    fn is_in(&self, path: &str, fields: &[&str]) -> bool {
        let full = format!("{}.{path}", self.name);
        fields.contains(&full.as_str())
    }

    /// Whether the event is a match of this observable by the documented rules of the live
    /// matcher.
    pub(crate) fn matches_live(&self, observable: &Observable) -> bool {
        self.fields.iter().any(|(path, value)| {
            if let (Observable::Answer(wanted), Value::Texts(texts)) = (observable, value) {
                return texts.iter().any(|text| *text == wanted.as_written())
                    && self.is_live_field(path, ANSWER_FIELDS);
            }
            let seen = match value {
                Value::Address(address) => address.to_string(),
                Value::Text(text) => text.clone(),
                _ => return false,
            };
            let is_live_field = |fields: &[&str]| self.is_live_field(path, fields);
            let is_address = |wanted: &dyn Fn(IpAddr) -> bool| {
                seen.parse().is_ok_and(wanted) && !TEXT_FIELDS.into_iter().any(is_live_field)
            };
            match observable {
                Observable::Domain(wanted)
                | Observable::Url(wanted)
                | Observable::Text(_, wanted) => {
                    seen == wanted.as_written() && is_live_field(fields_of(Kind::of(observable)))
                }
                Observable::Subdomain(domain) => {
                    is_subdomain(&seen, domain) && is_live_field(DOMAIN_FIELDS)
                }
                // Found only in lists.
                Observable::Answer(_) => false,
                Observable::Address(wanted) => {
                    is_address(&|address| address.to_canonical() == *wanted)
                }
                Observable::Network(network) => is_address(&|address| network.contains(address)),
                // Not searched in this way.
                Observable::Endpoint(..) | Observable::Hash(_) => false,
            }
        })
    }

    /// Whether the list has a field with this path: for this event's type if the event names it,
    /// otherwise for any type.
    fn is_live_field(&self, path: &str, fields: &[&str]) -> bool {
        if self.name.starts_with("suricata.") {
            return self.is_in(path, fields);
        }
        fields.iter().any(|field| {
            let words: Vec<&str> = field.split('.').collect();
            let type_words = if words.len() > 2 { 2 } else { 1 };
            words[type_words..].join(".") == path
        })
    }

    /// The texts of this kind, found by the event's type or, as in a printed event, by the path
    /// alone.
    pub(crate) fn texts(&self, kind: Kind, by_path: bool) -> Vec<String> {
        let fields = fields_of(kind);
        let texts = self.fields.iter().filter_map(|(path, value)| {
            let is_one = if by_path {
                self.is_live_field(path, fields)
            } else {
                self.is_in(path, fields)
            };
            match value {
                Value::Text(text) if is_one => Some(text.clone()),
                // It is printed like a text, under a path of texts.
                Value::Address(address) if is_one && by_path => Some(address.to_string()),
                _ => None,
            }
        });
        texts.collect()
    }

    /// The numbers in this field.
    pub(crate) fn numbers(&self, field: Field) -> Vec<u64> {
        let numbers = self.fields.iter().filter_map(|(path, value)| match value {
            Value::Count(number) => number_fields(field)
                .contains(path)
                .then_some(u64::from(*number)),
            _ => None,
        });
        numbers.collect()
    }

    /// When it happened.
    pub(crate) fn time(&self) -> Option<OffsetDateTime> {
        self.fields.iter().find_map(|(_, value)| match value {
            Value::Time(time) => Some(*time),
            _ => None,
        })
    }

    /// Whether the engine returns the event for this selection.
    pub(crate) fn is_selected(&self, selection: &Selection) -> bool {
        match selection {
            Selection::Everything => true,
            Selection::Values(values) => values.iter().any(|one| self.matches(one)),
            Selection::Contains(kind, part) => {
                let texts = self.texts(*kind, false);
                texts.iter().any(|text| text.contains(part.as_str()))
            }
            Selection::Number(field, order, wanted) => {
                let mut numbers = self.numbers(*field).into_iter();
                numbers.any(|number| match order {
                    Operator::Equal => number == *wanted,
                    Operator::Less => number < *wanted,
                    Operator::LessOrEqual => number <= *wanted,
                    Operator::Greater => number > *wanted,
                    Operator::GreaterOrEqual => number >= *wanted,
                })
            }
            Selection::During(start, stop) => self
                .time()
                .is_some_and(|time| *start <= time && time < *stop),
            Selection::All(parts) => parts.iter().all(|one| self.is_selected(one)),
            Selection::Any(parts) => parts.iter().any(|one| self.is_selected(one)),
        }
    }

    /// The event as one line.
    pub(crate) fn print(&self, style: Style) -> String {
        let mut root = serde_json::Map::new();
        for (path, value) in &self.fields {
            let mut record = &mut root;
            let mut key = *path;
            while let Some((parent, rest)) = key.split_once('.').filter(|_| !style.flat) {
                record = record
                    .entry(parent)
                    .or_insert_with(|| serde_json::Map::new().into())
                    .as_object_mut()
                    .expect("no field is the name of a record");
                key = rest;
            }
            record.insert(key.to_owned(), value.print());
        }
        let line = serde_json::Value::from(root).to_string();
        if style.escaped { escape(&line) } else { line }
    }
}

impl Value {
    fn print(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Address(address) => address.to_string().into(),
            Value::Text(text) => text.as_str().into(),
            Value::Count(count) => (*count).into(),
            Value::Addresses(addresses) => {
                let printed = addresses.iter().map(|address| address.to_string().into());
                serde_json::Value::Array(printed.collect())
            }
            Value::Texts(texts) => texts.clone().into(),
            Value::Time(time) => {
                let date = (time.year(), u8::from(time.month()), time.day());
                let (hour, minute, second, nano) = time.to_hms_nano();
                let (year, month, day) = date;
                format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nano:09}")
                    .into()
            }
        }
    }
}

fn escape(line: &str) -> String {
    let mut out = String::new();
    for c in line.chars() {
        match c {
            '/' => out.push_str("\\/"),
            c if c.is_ascii() => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

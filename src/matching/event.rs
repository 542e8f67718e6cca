//! Everything in an event that the table of places knows, for the tests of patterns.
//!
//! [`Event::read`] reads JSON text; a [`Builder`] assembles events in other forms.
//! [`Event::each`] then shows every canonical value of a kind or a field, with its
//! original text, its path, and the object of the event that it belongs to: tests of one
//! pattern on objects of one type only hold together if they all pass on values of the
//! same [`Object`].
//!
//! The cost grows with the size of the event, so it is only used for the few events that
//! hold a value with a condition. A [`super::Matcher`] finds these.

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::Range;

use super::condition::Field;
use super::keys::{Keys, Node};
use super::matcher::Fields;
use super::places::{Buffers, Joined, Place, PlaceId, Places, ReadValue, Reading, Sought};
use super::walk::{self, At, Visit};
use crate::observable::{EventTime, Kind, Thing, address, url};

/// The fields with the time of an event; the first readable one counts.
pub const TIME_FIELDS: &[&str] = &["ts", "timestamp", "@timestamp"];

/// An event, read once for any number of tests.
#[derive(Debug)]
pub struct Event {
    keys: Keys,
    fields: Vec<Printed>,
    /// The texts of the fields, concatenated.
    texts: String,
    time: Option<EventTime>,
    buffers: RefCell<Buffers>,
    others: Fields,
}

/// A field's value as written in the event.
#[derive(Clone, Debug)]
struct Printed {
    at: At,
    text: Range<usize>,
}

/// What a value belongs to. Values with equal objects belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// The source of a connection.
    Source,
    /// Its destination.
    Destination,
    /// The connection itself.
    Connection,
    /// A file: the number of its list element, or 0.
    File(u32),
    /// The certificate of a server.
    Certificate(u32),
    /// The certificate of a client.
    ClientCertificate(u32),
    /// A mail.
    Mail(u32),
    /// A request.
    Request(u32),
    /// A process.
    Process(u32),
    /// The parent of a process.
    ParentProcess(u32),
    /// An unknown object: each value counts as one.
    Value(usize),
}

/// A canonical value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventValue<'a> {
    /// An address.
    Address(IpAddr),
    /// A text.
    Text(&'a str),
    /// The end of a path. A file is shown by its name first, then with one more component
    /// each time.
    Ending(&'a str),
    /// A URL that is whole in the event ([`url::parts`]).
    Url(&'a str),
    /// A request: a URL in parts. Its port is that of the Host header, or else of the
    /// request, or else of the connection.
    Request {
        /// A domain, or an address without brackets.
        host: Option<&'a str>,
        /// `None` if unknown.
        port: Option<u16>,
        /// Path and query.
        target: &'a str,
    },
    /// A number.
    Number(i128),
}

/// A value of an event and its origin.
#[derive(Clone, Copy, Debug)]
pub struct HeldValue<'a> {
    /// The canonical form.
    pub value: EventValue<'a>,
    /// The whole text of the field, as written.
    pub raw: &'a str,
    /// The keys of the field, joined by dots.
    pub path: &'a str,
    /// Whether it is inside a list.
    pub in_list: bool,
    /// What it is a property of.
    pub object: Object,
}

/// Assembles an event field by field.
#[derive(Debug, Default)]
pub struct Builder {
    keys: Keys,
    fields: Vec<Printed>,
    texts: String,
    time: Option<(usize, EventTime)>,
}

impl Builder {
    /// The node of the field with this path; see [`super::Scratch::field`].
    pub fn column(&mut self, path: &str) -> Node {
        self.keys.field(Node::EVENT, path, Places::shared())
    }

    /// Adds a string.
    pub fn text(&mut self, at: At, text: &str) {
        self.see_time(at, || EventTime::parse(text));
        let start = self.texts.len();
        self.texts.push_str(text);
        self.fields.push(Printed {
            at,
            text: start..self.texts.len(),
        });
    }

    /// Adds a number, as written.
    pub fn number(&mut self, at: At, number: &str) {
        let seconds = || number.parse().ok().and_then(EventTime::from_seconds);
        self.see_time(at, seconds);
        self.text(at, number);
    }

    fn see_time(&mut self, at: At, read: impl Fn() -> Option<EventTime>) {
        if at.in_list {
            return;
        }
        let mut path = String::new();
        self.keys.push_path(at.node, &mut path);
        let name = path.rsplit('.').next().unwrap_or_default();
        let Some(rank) = TIME_FIELDS.iter().position(|one| *one == name) else {
            return;
        };
        // The time inside a wrapped event only counts if the event itself has none.
        let rank = rank + TIME_FIELDS.len() * path.matches('.').count();
        if self.time.as_ref().is_none_or(|(known, _)| rank < *known) {
            self.time = read().map(|time| (rank, time)).or(self.time.take());
        }
    }

    /// Finishes the event.
    pub fn build(self) -> Event {
        Event {
            keys: self.keys,
            fields: self.fields,
            texts: self.texts,
            time: self.time.map(|(_, time)| time),
            buffers: RefCell::default(),
            others: Fields::Named,
        }
    }
}

impl Visit for Builder {
    fn begin(&mut self) {
        self.keys.begin();
        self.fields.clear();
        self.texts.clear();
        self.time = None;
    }

    fn field(&mut self, parent: Node, key: &str) -> Node {
        self.keys.field(parent, key, Places::shared())
    }

    fn expected(&mut self, parent: Node, text: &[u8]) -> Option<(Node, usize)> {
        self.keys.expected(parent, text)
    }

    fn wants(&self, _: Node) -> bool {
        true
    }

    fn text(&mut self, at: At, text: &str) {
        Builder::text(self, at, text);
    }

    fn number(&mut self, at: At, number: &str) {
        Builder::number(self, at, number);
    }
}

impl Event {
    /// Reads a line; `None` if it is not a JSON object.
    pub fn read(line: &str) -> Option<Self> {
        let mut builder = Builder::default();
        walk::walk(line, &mut builder).ok()?;
        Some(builder.build())
    }

    /// The same event, with addresses in these fields too.
    pub fn with_addresses_in(self, others: Fields) -> Self {
        Event { others, ..self }
    }

    /// The place of a value's field.
    fn place_of(&self, printed: &Printed) -> &'static Place {
        let id = match (self.keys.place(printed.at.node), self.others) {
            (id, Fields::OfAnyName) if id.is_none() => PlaceId::ADDRESS,
            (id, _) => id,
        };
        Places::shared().get(id)
    }

    /// When the event happened.
    pub fn time(&self) -> Option<&EventTime> {
        self.time.as_ref()
    }

    /// Shows every value in the given place. DNS answers are only shown if they count as
    /// names and addresses (`answers`) or are the kind that is sought.
    pub fn each(&self, sought: Sought, answers: bool, mut show: impl FnMut(&HeldValue<'_>)) {
        match sought {
            Sought::Kind(kind) => {
                self.each_of(kind, answers, &mut show);
                if kind == Kind::Url {
                    self.each_request(&mut show);
                }
            }
            Sought::Field(field) => {
                self.each_in(field, &mut show);
                if field == Field::Protocol {
                    self.each_family(&mut show);
                }
            }
            Sought::Joined(_) => {}
        }
    }

    fn each_of(&self, kind: Kind, answers: bool, show: &mut impl FnMut(&HeldValue<'_>)) {
        for (number, printed) in self.fields.iter().enumerate() {
            let place = self.place_of(printed);
            let uses = place.uses.iter().filter(|one| {
                let counts = !one.is_answer || answers || kind == Kind::Answer;
                counts && one.kinds.has(kind)
            });
            for one in uses {
                if one.reading == Reading::Record && self.has_no_name(printed.at.element) {
                    continue;
                }
                self.show(
                    printed,
                    one.reading,
                    |path| object(kind, path, printed.at, number),
                    |seen| {
                        let is_address = matches!(seen, EventValue::Address(_));
                        let is_url = matches!(seen, EventValue::Url(_));
                        match kind {
                            Kind::Address | Kind::Network => is_address,
                            Kind::Url => is_url,
                            Kind::Answer => true,
                            _ => !is_address && !is_url,
                        }
                    },
                    show,
                );
            }
        }
    }

    fn each_in(&self, field: Field, show: &mut impl FnMut(&HeldValue<'_>)) {
        let places = Places::shared();
        for printed in &self.fields {
            let place = places.get(self.keys.place(printed.at.node));
            if !place.fields.contains(&field) {
                continue;
            }
            let of = |_: &str| match field {
                Field::SourceAddress | Field::SourcePort => Object::Source,
                Field::DestinationAddress | Field::DestinationPort => Object::Destination,
                Field::FileSize => Object::File(printed.at.element),
                _ => Object::Connection,
            };
            let reading = match field {
                Field::SourceAddress | Field::DestinationAddress => Reading::Address,
                Field::SourceHost | Field::DestinationHost | Field::RequestHost => Reading::Host,
                Field::Protocol => Reading::Protocols,
                Field::Referrer => Reading::Url,
                Field::Attachment => Reading::FileName,
                Field::ReplyTo => Reading::Mail,
                Field::Start | Field::End => Reading::Plain,
                Field::SourcePort
                | Field::DestinationPort
                | Field::SourceBytes
                | Field::DestinationBytes
                | Field::SourcePackets
                | Field::DestinationPackets
                | Field::FileSize => Reading::Number,
            };
            self.show(printed, reading, of, |_| true, show);
        }
    }

    /// Shows the address families of both ends as protocols.
    fn each_family(&self, show: &mut impl FnMut(&HeldValue<'_>)) {
        for end in [Field::SourceAddress, Field::DestinationAddress] {
            self.each_in(end, &mut |held| {
                if let EventValue::Address(address) = held.value {
                    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
                    show(&HeldValue {
                        value: EventValue::Text(family),
                        object: Object::Connection,
                        ..*held
                    });
                }
            });
        }
    }

    /// Shows the values of a field for which `counts` is true, in canonical form.
    fn show(
        &self,
        printed: &Printed,
        reading: Reading,
        object: impl Fn(&str) -> Object,
        counts: impl Fn(&EventValue<'_>) -> bool,
        show: &mut impl FnMut(&HeldValue<'_>),
    ) {
        let raw = &self.texts[printed.text.clone()];
        let mut path = String::new();
        self.keys.push_path(printed.at.node, &mut path);
        // Moved out, since `show` may use the event again.
        let mut buffers = self.buffers.take();
        reading.each(raw, &mut buffers, |seen| {
            let value = match seen {
                ReadValue::Text(text) if reading == Reading::Number => match number(text) {
                    Some(number) => EventValue::Number(number),
                    None => return,
                },
                ReadValue::Address(address) => EventValue::Address(address),
                ReadValue::Text(text) => EventValue::Text(text),
                ReadValue::Ending(text) => EventValue::Ending(text),
                ReadValue::Url(text, _) => EventValue::Url(text),
            };
            if counts(&value) {
                show(&HeldValue {
                    value,
                    raw,
                    path: &path,
                    in_list: printed.at.in_list,
                    object: object(&path),
                });
            }
        });
        self.buffers.replace(buffers);
    }

    /// The fields that hold this part.
    fn parts(&self, joined: Joined) -> impl Iterator<Item = (&Printed, &str)> {
        let places = Places::shared();
        let is_part = move |printed: &&Printed| {
            let place = places.get(self.keys.place(printed.at.node));
            place.joined.contains(&joined)
        };
        let parts = self.fields.iter().filter(is_part);
        parts.map(|printed| (printed, &self.texts[printed.text.clone()]))
    }

    /// Whether this object is a DNS answer whose data is not a name.
    fn has_no_name(&self, element: u32) -> bool {
        self.parts(Joined::RecordType).any(|(printed, text)| {
            let is_of_one = printed.at.element > 0 || !printed.at.in_list;
            is_of_one
                && printed.at.element == element
                && !super::matcher::NAMES_AND_ADDRESSES.contains(&text)
        })
    }

    fn each_request(&self, show: &mut impl FnMut(&HeldValue<'_>)) {
        let mut buffer = String::new();
        let query = self
            .parts(Joined::RequestQuery)
            .next()
            .map(|(_, text)| text);
        for (printed, raw) in self.parts(Joined::RequestTarget) {
            if url::is_whole(raw) {
                continue;
            }
            let mut target = url::target(raw, &mut buffer).to_owned();
            if let Some(query) = query.filter(|_| !target.contains('?')) {
                url::write_query(query, &mut target);
            }
            let mut path = String::new();
            self.keys.push_path(printed.at.node, &mut path);
            let mut request = |host: Option<&str>, port: Option<u16>| {
                show(&HeldValue {
                    value: EventValue::Request {
                        host,
                        port,
                        target: &target,
                    },
                    raw,
                    path: &path,
                    in_list: printed.at.in_list,
                    object: Object::Request(printed.at.element),
                });
            };
            let mut has_host = false;
            for (_, text) in self
                .parts(Joined::RequestHost)
                .filter(|(host, _)| host.at.element == printed.at.element)
            {
                has_host = true;
                let (_, port) = address::host_and_port(text);
                let port = port.or_else(|| self.request_port());
                let mut hosts = Vec::new();
                Reading::Host.each(text, &mut Buffers::default(), |seen| match seen {
                    ReadValue::Address(address) => hosts.push(address.to_string()),
                    ReadValue::Text(name) => hosts.push(name.to_owned()),
                    ReadValue::Ending(_) | ReadValue::Url(..) => {}
                });
                hosts.iter().for_each(|host| request(Some(host), port));
            }
            if !has_host {
                request(None, self.request_port());
            }
        }
    }

    /// The port of the request, or else of the connection.
    fn request_port(&self) -> Option<u16> {
        let own = self.parts(Joined::RequestPort);
        let own = own.filter_map(|(_, text)| text.parse().ok()).next();
        let mut known = own;
        if known.is_none() {
            self.each_in(Field::DestinationPort, &mut |held| {
                if let EventValue::Number(number) = held.value {
                    known = known.or(u16::try_from(number).ok());
                }
            });
        }
        known
    }
}

/// Reads a printed number: engines before 2020.12 print ports as `80/tcp`.
fn number(text: &str) -> Option<i128> {
    text.split(['/', '.']).next()?.parse().ok()
}

/// The object that a value belongs to.
fn object(kind: Kind, path: &str, at: At, number: usize) -> Object {
    let Kind::Text(property) = kind else {
        return Object::Value(number);
    };
    match property.facts().of {
        Thing::File => Object::File(at.element),
        Thing::Certificate if path.contains("client") => Object::ClientCertificate(at.element),
        Thing::Certificate => Object::Certificate(at.element),
        Thing::Mail => Object::Mail(at.element),
        Thing::Request => Object::Request(at.element),
        Thing::Process => Object::Process(at.element),
        Thing::ParentProcess => Object::ParentProcess(at.element),
        Thing::Itself => Object::Value(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observable::Property;

    fn shown(line: &str, sought: Sought) -> Vec<String> {
        let event = Event::read(line).expect("an event");
        let mut all = Vec::new();
        event.each(sought, true, |held| {
            all.push(format!("{:?} {} {:?}", held.value, held.path, held.object));
        });
        all
    }

    #[test]
    fn values_are_shown_with_what_they_belong_to() {
        let line = r#"{"src_ip": "::ffff:192.0.2.1", "dest_ip": "2001:db8::1", "dest_port": 80,
            "proto": "TCP", "fileinfo": {"filename": "/a/B", "size": 7},
            "files": [{"filename": "c", "md5": "AB"}, {"md5": "cd"}],
            "http": {"hostname": "Evil.example:8080", "url": "/x"}}"#;
        for (sought, expected) in [
            (
                Sought::Kind(Kind::Address),
                &[
                    "Address(192.0.2.1) src_ip Value(0)",
                    "Address(2001:db8::1) dest_ip Value(1)",
                ][..],
            ),
            (
                Sought::Field(Field::DestinationAddress),
                &["Address(2001:db8::1) dest_ip Destination"],
            ),
            (
                Sought::Field(Field::DestinationPort),
                &["Number(80) dest_port Destination"],
            ),
            (
                Sought::Field(Field::Protocol),
                &[
                    "Text(\"tcp\") proto Connection",
                    "Text(\"ipv4\") src_ip Connection",
                    "Text(\"ipv6\") dest_ip Connection",
                ],
            ),
            (
                Sought::Kind(Kind::Text(Property::FileName)),
                &[
                    "Ending(\"b\") fileinfo.filename File(0)",
                    "Ending(\"a/b\") fileinfo.filename File(0)",
                    "Ending(\"c\") files.filename File(1)",
                ],
            ),
            (
                Sought::Kind(Kind::Text(Property::Md5)),
                &[
                    "Text(\"ab\") files.md5 File(1)",
                    "Text(\"cd\") files.md5 File(2)",
                ],
            ),
            (
                Sought::Field(Field::FileSize),
                &["Number(7) fileinfo.size File(0)"],
            ),
            (
                Sought::Kind(Kind::Domain),
                &["Text(\"evil.example\") http.hostname Value(9)"],
            ),
            (
                Sought::Kind(Kind::Url),
                &[
                    "Request { host: Some(\"evil.example\"), port: Some(8080), target: \"/x\" } http.url Request(0)",
                ],
            ),
        ] {
            assert_eq!(shown(line, sought), expected, "{sought:?}");
        }
    }

    #[test]
    fn answers_are_shown_where_they_are_names() {
        let line = r#"{"dns": {"answers": [{"rdata": "a.example", "rrtype": "CNAME"},
            {"rdata": "b.example", "rrtype": "TXT"}]}}"#;
        let expected = ["Text(\"a.example\") dns.answers.rdata Value(0)"];
        assert_eq!(shown(line, Sought::Kind(Kind::Domain)), expected);
        assert_eq!(shown(line, Sought::Kind(Kind::Answer)), expected);
        let event = Event::read(line).expect("an event");
        event.each(Sought::Kind(Kind::Domain), false, |held| panic!("{held:?}"));
    }

    #[test]
    fn the_time_is_a_text_or_a_number() {
        for (line, expected) in [
            (
                r#"{"ts": 1709632888.5}"#,
                Some("2024-03-05T10:01:28.500000Z"),
            ),
            (
                r#"{"timestamp": "2024-03-05T11:01:28.5+0100"}"#,
                Some("2024-03-05T10:01:28.500000Z"),
            ),
            (
                r#"{"@timestamp": "2024-03-05T10:01:28Z"}"#,
                Some("2024-03-05T10:01:28Z"),
            ),
            (
                r#"{"timestamp": "x", "ts": "2024-03-05T10:01:28Z"}"#,
                Some("2024-03-05T10:01:28Z"),
            ),
            (
                r#"{"conn": {"ts": 1709632888}}"#,
                Some("2024-03-05T10:01:28Z"),
            ),
            (r#"{"start": "2024-03-05T10:01:28Z"}"#, None),
        ] {
            let event = Event::read(line).expect("an event");
            let time = event.time().map(EventTime::as_stix);
            assert_eq!(time.as_deref(), expected, "{line}");
        }
        assert!(Event::read("[]").is_none());
    }
}

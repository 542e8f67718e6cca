//! An event as the tests of conditions see it.

use std::cell::OnceCell;

use time::OffsetDateTime;

use super::{ComparedValue, Condition, Field, SeenValue, TestedPlace, View};
use crate::matching::Fields;
use crate::matching::event::{self, Event, HeldValue, Object};
use crate::matching::places::Sought;
use crate::observable::{Kind, Property, file_name};

/// An event, and whether DNS answers in it count like other names and addresses.
#[derive(Debug)]
pub struct Judged {
    event: Event,
    answers: bool,
}

impl Judged {
    /// Wraps an event that was read before.
    pub fn new(event: Event, answers: bool) -> Self {
        Judged { event, answers }
    }

    /// Reads a line. These fields can hold addresses in addition to those of the table.
    /// `None` if the line is not a JSON object.
    pub fn read(line: &str, fields: Fields, answers: bool) -> Option<Self> {
        let event = Event::read(line)?.with_addresses_in(fields);
        Some(Judged::new(event, answers))
    }
}

impl View for Judged {
    fn each(&self, place: TestedPlace, see: &mut dyn FnMut(&SeenValue<'_>)) {
        match place {
            TestedPlace::Kind(kind) => self.all(Sought::Kind(kind), see),
            TestedPlace::Field(field) => self.all(Sought::Field(field), see),
            TestedPlace::Request => {
                self.event
                    .each(Sought::Kind(Kind::Url), self.answers, |held| {
                        if is_request(held) {
                            show(Kind::Url, held, see);
                        }
                    });
            }
            TestedPlace::Source => self.end(Field::SourceAddress, Field::SourceHost, see),
            TestedPlace::Destination => {
                self.end(Field::DestinationAddress, Field::DestinationHost, see)
            }
        }
    }

    fn time(&self) -> Option<OffsetDateTime> {
        self.event.time().map(|time| time.utc())
    }
}

/// Whether a URL is that of a request rather than one that it mentions.
fn is_request(held: &HeldValue<'_>) -> bool {
    let is_referrer = || {
        let last = held.path.rsplit('.').next().unwrap_or_default();
        ["http_refer", "referrer", "origin"].contains(&last)
    };
    let is_of_mail = held.path.starts_with("email.");
    matches!(held.value, event::EventValue::Request { .. }) || !is_referrer() && !is_of_mail
}

/// The kind as which the values of a field are read.
fn kind_of(field: Field) -> Kind {
    match field {
        Field::SourceAddress | Field::DestinationAddress => Kind::Address,
        Field::SourceHost | Field::DestinationHost | Field::RequestHost => Kind::Domain,
        Field::Referrer => Kind::Url,
        Field::Attachment => Kind::Text(Property::FileName),
        Field::ReplyTo => Kind::Text(Property::Email),
        // Texts and numbers, whose values show what they are.
        Field::SourcePort
        | Field::DestinationPort
        | Field::SourceBytes
        | Field::DestinationBytes
        | Field::SourcePackets
        | Field::DestinationPackets
        | Field::Start
        | Field::End
        | Field::Protocol
        | Field::FileSize => Kind::Hash,
    }
}

impl Judged {
    fn all(&self, sought: Sought, see: &mut dyn FnMut(&SeenValue<'_>)) {
        let kind = match sought {
            Sought::Kind(kind) => kind,
            Sought::Field(field) => kind_of(field),
            Sought::Joined(_) => return,
        };
        self.event
            .each(sought, self.answers, |held| show(kind, held, see));
    }

    /// The end of a connection: its address and its names, each as an object.
    fn end(&self, address: Field, name: Field, see: &mut dyn FnMut(&SeenValue<'_>)) {
        let mut number = 0;
        for field in [address, name] {
            self.all(Sought::Field(field), &mut |seen| {
                number += 1;
                let object = Object::Value(number);
                see(&SeenValue { object, ..*seen });
            });
        }
    }
}

/// Shows a value of a kind in the form of conditions.
fn show(kind: Kind, held: &HeldValue<'_>, see: &mut dyn FnMut(&SeenValue<'_>)) {
    let mut buffer = String::new();
    let value = match held.value {
        event::EventValue::Address(address) => ComparedValue::Address(address),
        event::EventValue::Text(text) => match kind {
            Kind::Domain | Kind::Subdomain | Kind::Answer => ComparedValue::Domain(text),
            _ => ComparedValue::Text(text),
        },
        // The name alone comes first; one value is enough for the whole path.
        event::EventValue::Ending(name) if !name.contains('/') => {
            ComparedValue::Path(file_name::read(held.raw, &mut buffer))
        }
        event::EventValue::Ending(_) => return,
        event::EventValue::Url(text) => ComparedValue::Url(text, None),
        event::EventValue::Request { host, port, target } => {
            if let Some(host) = host {
                let is_ipv6 = host.contains(':');
                let (open, close) = if is_ipv6 { ("[", "]") } else { ("", "") };
                buffer = format!("//{open}{host}{close}");
            }
            buffer.push_str(target);
            ComparedValue::Url(&buffer, port)
        }
        event::EventValue::Number(number) => ComparedValue::Number(number),
    };
    see(&SeenValue {
        value,
        raw: held.raw,
        object: held.object,
    });
}

/// A line that is only parsed when a condition needs it.
pub struct LazyEvent<'a> {
    line: &'a str,
    fields: Fields,
    answers: bool,
    event: OnceCell<Option<Judged>>,
}

impl<'a> LazyEvent<'a> {
    /// Wraps a line that was not parsed yet. `fields` can hold addresses in addition to
    /// those of the table; `answers` says whether DNS answers count like other names and
    /// addresses.
    pub fn new(line: &'a str, fields: Fields, answers: bool) -> Self {
        LazyEvent {
            line,
            fields,
            answers,
            event: OnceCell::new(),
        }
    }

    /// Whether the condition holds. It does not if the line is not an event.
    pub fn fulfils(&self, condition: &Condition) -> bool {
        let event = self
            .event
            .get_or_init(|| Judged::read(self.line, self.fields, self.answers));
        event
            .as_ref()
            .is_some_and(|event| condition.holds_in(event))
    }
}

//! What is checked here in an event, where the engine is asked for more than an
//! indicator means.

mod fields;
mod pcre;
mod text;

use std::cell::OnceCell;
use std::net::IpAddr;

use serde_json::Value;
use time::OffsetDateTime;

pub use fields::Field;
pub use text::{Expression, like};

use super::concepts::{Concepts, Uses};
use crate::observable::EventTime;
use crate::observable::{Kind, Network, Observable, Property, is_subdomain};

/// What an event has to be like. Fields are known by their paths, as in
/// [`super::LiveMatcher`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// All of these hold.
    All(Vec<Condition>),
    /// Any one of these holds.
    Any(Vec<Condition>),
    /// A value of the event passes this test.
    Test(Test),
    /// The event's own time is not before the first and before the second.
    During(OffsetDateTime, OffsetDateTime),
}

/// A test of one property: it holds where any value of the property passes, as
/// STIX has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Test {
    /// Which values.
    pub place: Place,
    /// The values have to fail the check.
    pub negated: bool,
    /// What is asked of a value.
    pub check: Check,
}

/// Which values of an event are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Those that an observable of this kind is looked for in: elements of lists
    /// only where the kind says so.
    Kind(Kind),
    /// Those of a field of connections or files.
    Field(Field),
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// It is there.
    Exists,
    /// It is one of these texts.
    OneOf(Vec<String>),
    /// It is one of these texts, case aside.
    OneOfAnyCase(Vec<String>),
    /// It is a name under this domain.
    Under(String),
    /// It, or what follows the last slash or backslash in it, is this.
    FileNamed(String),
    /// It is an address in one of these networks.
    Networks(Vec<Network>),
    /// It is a number that compares like this with one of these.
    Number(Order, Vec<i128>),
    /// It passes SQL's `LIKE`: `%` is any text, `_` one character.
    Like(String),
    /// The expression is found in it.
    Matches(Expression),
}

/// How numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Condition {
    /// The condition that an event holds this observable.
    pub fn holds_observable(observable: &Observable) -> Self {
        let kind = Kind::of(observable);
        let check = match observable {
            Observable::Address(address) | Observable::Endpoint(address, _) => {
                Check::Networks(vec![Network::new(*address, 128)])
            }
            Observable::Network(network) => Check::Networks(vec![*network]),
            Observable::Domain(text)
            | Observable::Url(text)
            | Observable::Hash(text)
            | Observable::Text(_, text)
            | Observable::Answer(text) => Check::OneOf(vec![text.as_written().to_owned()]),
            Observable::Subdomain(text) => Check::Under(text.as_written().to_owned()),
        };
        Condition::Test(Test {
            place: Place::Kind(kind),
            negated: false,
            check,
        })
    }

    /// Whether any test in it is like this.
    pub fn any_test(&self, is: &impl Fn(&Test) -> bool) -> bool {
        match self {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().any(|one| one.any_test(is))
            }
            Condition::Test(test) => is(test),
            Condition::During(..) => false,
        }
    }

    /// Whether the event of this line is like that; a line that is no JSON object
    /// is not.
    pub fn holds(&self, line: &str, concepts: &Concepts) -> bool {
        Event::read(line, concepts).is_some_and(|event| self.holds_in(&event))
    }

    /// The same for an event that was read before.
    pub fn holds_in(&self, event: &Event) -> bool {
        match self {
            Condition::All(parts) => parts.iter().all(|one| one.holds_in(event)),
            Condition::Any(parts) => parts.iter().any(|one| one.holds_in(event)),
            Condition::Test(test) => event
                .values
                .iter()
                .any(|one| test.place.has(one) && test.check.passes(&one.value) != test.negated),
            Condition::During(start, stop) => {
                let time = event.time();
                time.is_some_and(|time| (*start..*stop).contains(&time.utc()))
            }
        }
    }
}

/// A printed event, read once for any number of conditions.
#[derive(Debug)]
pub struct Event {
    values: Vec<Printed>,
}

impl Event {
    /// Reads a line, in which these concepts tell what a field holds; `None` where it
    /// is no JSON object.
    pub fn read(line: &str, concepts: &Concepts) -> Option<Self> {
        let Ok(Value::Object(object)) = serde_json::from_str(line) else {
            return None;
        };
        let mut values = Vec::new();
        flatten(object, &mut String::new(), false, &mut values);
        let event_type = values.iter().find(|one| one.path == "event_type");
        let event_type = event_type.and_then(|one| one.value.as_str());
        let event_type = event_type.map(str::to_owned);
        for one in &mut values {
            one.uses = concepts.uses(&one.path, event_type.as_deref());
        }
        Some(Event { values })
    }

    /// When it happened.
    fn time(&self) -> Option<EventTime> {
        ["ts", "timestamp"].iter().find_map(|name| {
            let field = self.values.iter().find(|one| one.path == *name)?;
            EventTime::parse(field.value.as_str()?)
        })
    }
}

/// So many conditions, which no value leads to, are checked in every event of a
/// stream or a file at the most.
pub const MOST_UNLISTED: usize = 1000;

/// A line that is read as an event only when a condition asks.
pub struct LazyEvent<'a> {
    line: &'a str,
    concepts: &'a Concepts,
    event: OnceCell<Option<Event>>,
}

impl<'a> LazyEvent<'a> {
    /// A line that was not read yet.
    pub fn new(line: &'a str, concepts: &'a Concepts) -> Self {
        LazyEvent {
            line,
            concepts,
            event: OnceCell::new(),
        }
    }

    /// Whether the condition holds; it does not where the line is no event.
    pub fn fulfils(&self, condition: &Condition) -> bool {
        let event = self
            .event
            .get_or_init(|| Event::read(self.line, self.concepts));
        event
            .as_ref()
            .is_some_and(|event| condition.holds_in(event))
    }
}

/// A value of a printed event that holds no others.
#[derive(Debug)]
struct Printed {
    path: String,
    in_list: bool,
    value: Value,
    uses: Uses,
}

fn flatten(
    object: serde_json::Map<String, Value>,
    path: &mut String,
    in_list: bool,
    values: &mut Vec<Printed>,
) {
    for (key, value) in object {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(&key);
        flatten_value(value, path, in_list, values);
        path.truncate(length);
    }
}

fn flatten_value(value: Value, path: &mut String, in_list: bool, values: &mut Vec<Printed>) {
    match value {
        Value::Object(object) => flatten(object, path, in_list, values),
        Value::Array(elements) => {
            for element in elements {
                flatten_value(element, path, true, values);
            }
        }
        // What is not there.
        Value::Null => {}
        value => values.push(Printed {
            path: path.clone(),
            in_list,
            value,
            uses: Uses::default(),
        }),
    }
}

impl Place {
    fn has(self, printed: &Printed) -> bool {
        let is_in_lists = matches!(self, Place::Kind(kind) if kind.is_in_lists());
        match self {
            _ if printed.in_list != is_in_lists => false,
            Place::Kind(kind) if kind.is_of_addresses() => {
                !printed.uses.is_text() && address(&printed.value).is_some()
            }
            Place::Kind(kind) => printed.uses.holds(kind),
            Place::Field(field) => field.has(&printed.path),
        }
    }
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

/// A number as it is printed: engines before 2020.12 print ports as `80/tcp`.
fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number.as_i128(),
        Value::String(text) => text.split('/').next()?.parse().ok(),
        _ => None,
    }
}

impl Check {
    fn passes(&self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Check::Exists => true,
            Check::OneOf(wanted) => text.is_some_and(|text| wanted.iter().any(|one| one == text)),
            Check::OneOfAnyCase(wanted) => {
                text.is_some_and(|text| wanted.iter().any(|one| one.eq_ignore_ascii_case(text)))
            }
            Check::Under(domain) => text.is_some_and(|text| is_subdomain(text, domain)),
            Check::FileNamed(name) => text.is_some_and(|text| {
                let last = text.rsplit(['/', '\\']).next();
                text == name || last == Some(name)
            }),
            Check::Networks(networks) => address(value)
                .is_some_and(|address| networks.iter().any(|network| network.contains(address))),
            Check::Number(order, wanted) => number(value)
                .is_some_and(|number| wanted.iter().any(|one| order.holds(number.cmp(one)))),
            Check::Like(pattern) => text.is_some_and(|text| like(pattern, text)),
            Check::Matches(expression) => text.is_some_and(|text| expression.is_found_in(text)),
        }
    }
}

impl Order {
    /// What holds of a number exactly where this does not; `None` for "not equal",
    /// which is not one of these.
    pub fn opposite(self) -> Option<Self> {
        match self {
            Order::Equal => None,
            Order::Less => Some(Order::GreaterOrEqual),
            Order::LessOrEqual => Some(Order::Greater),
            Order::Greater => Some(Order::LessOrEqual),
            Order::GreaterOrEqual => Some(Order::Less),
        }
    }

    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Order::Equal => order.is_eq(),
            Order::Less => order.is_lt(),
            Order::LessOrEqual => order.is_le(),
            Order::Greater => order.is_gt(),
            Order::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Test {
    /// A test for a file of this name, with or without a path in front of it.
    pub fn file_named(name: &str) -> Self {
        Test {
            place: Place::Kind(Kind::Text(Property::FileName)),
            negated: false,
            check: Check::FileNamed(name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;

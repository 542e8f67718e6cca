//! What an indicator means in one event beyond a single value: the tests of a pattern,
//! joined with `AND` and `OR`, on the objects of the event.
//!
//! * A test holds for an object if any value of the property passes it.
//! * Tests on one type of object that have to hold together have to hold for **one**
//!   object of the event (`one_object`).
//! * An equal hash identifies a file or a certificate: properties of it that the event
//!   does not contain are unknown then, and not false.

mod event;
mod fields;
mod one_object;
mod pcre;
mod text;
mod view;

use std::net::IpAddr;

use time::OffsetDateTime;

pub use event::{Judged, LazyEvent};
pub use fields::Field;
pub use text::{Like, RegularExpression, like};
pub use view::{ComparedValue, SeenValue, View};

use super::Fields;
use crate::observable::{Kind, Observable, Property};

/// The most conditions without a value to find them by. They are checked against every
/// event of a stream or a file.
pub const MOST_UNLISTED: usize = 1000;

/// The properties whose equality identifies a file or a certificate.
const IDENTIFYING_HASHES: &[Property] = &[
    Property::Md5,
    Property::Sha1,
    Property::Sha256,
    Property::Sha512,
    Property::CertificateMd5,
    Property::CertificateSha1,
    Property::CertificateSha256,
];

/// What an event has to be like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// All of these hold, and for one object of each type.
    All(Vec<Condition>),
    /// Any one of these holds.
    Any(Vec<Condition>),
    /// A value of the event passes this test.
    Test(Test),
    /// No value of the event passes it, or the event has no such value.
    Without(Test),
    /// The event's time is in this span; the second time is excluded.
    During(OffsetDateTime, OffsetDateTime),
}

/// A test of one property of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Test {
    /// The owner of the property.
    pub subject: Subject,
    /// The values that are tested.
    pub place: TestedPlace,
    /// The values have to fail the check.
    pub negated: bool,
    /// What a value has to be like.
    pub check: Check,
}

/// The owner of the tested property. Tests on one subject have to hold for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Subject {
    /// None: the test is independent.
    Nobody,
    /// An IPv4 address. Only equality matches an IPv6 address too.
    Ipv4,
    /// An IPv6 address. Only equality with a mapped address matches an IPv4 address.
    Ipv6,
    /// A domain.
    Domain,
    /// A host name, if the feed distinguishes it from a domain.
    Hostname,
    /// A URL.
    Url,
    /// A file.
    File,
    /// A certificate.
    Certificate,
    /// A mail address.
    MailAddress,
    /// A mail; an event has at most one.
    Mail,
    /// A hardware address.
    Mac,
    /// A connection; an event has at most one.
    Connection,
    /// The source of a connection.
    Source,
    /// The destination of a connection: an address or a named host.
    Destination,
    /// A user agent.
    UserAgent,
    /// A process; an event has at most one.
    Process,
    /// A user.
    User,
}

impl Subject {
    /// Whether an equal hash identifies it.
    pub fn is_identified_by_hash(self) -> bool {
        matches!(self, Subject::File | Subject::Certificate)
    }

    /// Whether all values of a place belong to one object.
    fn is_one_in_an_event(self) -> bool {
        matches!(self, Subject::Mail | Subject::Connection | Subject::Process)
    }
}

/// The values of an event that are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TestedPlace {
    /// The values that are searched for an observable of this kind.
    Kind(Kind),
    /// The values of a field that narrows what an indicator means.
    Field(Field),
    /// The source of a connection: its address, and the name it gives for itself.
    Source,
    /// The destination: its address, and the requested host.
    Destination,
    /// The URLs of the requests themselves, without the URLs that they mention.
    Request,
}

impl TestedPlace {
    /// The human-readable name of the place.
    pub fn name(self) -> &'static str {
        match self {
            TestedPlace::Kind(kind) => kind.what(),
            TestedPlace::Field(field) => field.name(),
            TestedPlace::Source => "source of a connection",
            TestedPlace::Destination => "destination of a connection",
            TestedPlace::Request => "URL of a request",
        }
    }
}

/// What a value has to be like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// It exists.
    Exists,
    /// It is one of these observables, or contains it: a network its addresses, a host
    /// the names below it, a path the name at its end.
    Holds(Vec<Observable>),
    /// It is one of these texts in its canonical form.
    OneOf(Vec<String>),
    /// It is an address of one of these families, or a name.
    Family(Vec<Family>),
    /// It is a number that compares like this with one of these.
    Number(Operator, Vec<i128>),
    /// It is a time that compares like this with one of these.
    Time(Operator, Vec<OffsetDateTime>),
    /// It matches a SQL `LIKE`, in any of its spellings.
    Like(Like),
    /// The expression matches in it, in any of its spellings.
    Matches(RegularExpression),
    /// It is a path in this folder, whose components are canonical.
    InFolder(String),
}

/// What the end of a connection can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A name.
    Name,
}

/// How a number or a time is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
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
        let place = TestedPlace::Kind(Kind::of(observable));
        Condition::Test(Test::new(place, Check::Holds(vec![observable.clone()])))
    }

    /// The condition that a connection has this address and this port at one end; `end` has the
    /// place of the address and the field of the port.
    pub fn address_at_port(address: &Observable, end: (TestedPlace, Field), port: u16) -> Self {
        let (place, field) = end;
        let port = Check::Number(Operator::Equal, vec![port.into()]);
        let tests = [
            Test::new(place, Check::Holds(vec![address.clone()])),
            Test::new(TestedPlace::Field(field), port),
        ];
        Condition::All(tests.map(Condition::Test).into())
    }

    /// The condition that an event has a file with this hash and, if the event names it at all, this
    /// name; `None` if that is not the name of a file.
    pub fn file_with_hash_named(hash: &Observable, name: &str) -> Option<Self> {
        let hash = Test {
            subject: Subject::File,
            ..Test::new(
                TestedPlace::Kind(Kind::of(hash)),
                Check::Holds(vec![hash.clone()]),
            )
        };
        let parts = [hash, Test::file_named(name)?];
        Some(Condition::All(parts.map(Condition::Test).into()))
    }

    /// The condition that an event has this domain, but not as the host of a connection to another
    /// port. An event without a connection to the domain, such as a DNS query, has no port. In a
    /// request the port of the `Host` header counts too, for the logs of proxies.
    pub fn domain_at_port(domain: &Observable, port: u16) -> Self {
        let own = |check| Test::new(TestedPlace::Field(Field::DestinationHost), check);
        let to_port = Check::Number(Operator::Equal, vec![i128::from(port)]);
        let written = Check::Like(Like::new(&format!("{domain}:{port}"), true));
        let any = vec![
            Condition::Test(Test::new(
                TestedPlace::Field(Field::DestinationPort),
                to_port,
            )),
            Condition::Test(Test::new(TestedPlace::Field(Field::RequestHost), written)),
            Condition::Without(own(Check::Holds(vec![domain.clone()]))),
        ];
        Condition::All(vec![
            Condition::holds_observable(domain),
            Condition::Any(any),
        ])
    }

    /// Whether any of its tests is like this.
    pub fn any_test(&self, is: &impl Fn(&Test) -> bool) -> bool {
        match self {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().any(|one| one.any_test(is))
            }
            Condition::Test(test) => is(test),
            Condition::Without(_) | Condition::During(..) => false,
        }
    }

    /// Whether the condition holds for the event in this line. It does not for a line
    /// that is not a JSON object.
    pub fn holds(&self, line: &str) -> bool {
        Judged::read(line, Fields::Named, true).is_some_and(|event| self.holds_in(&event))
    }

    /// The same for an event that was read before.
    pub fn holds_in(&self, event: &impl View) -> bool {
        one_object::holds(self, event)
    }
}

impl Test {
    /// Makes an independent test.
    pub fn new(place: TestedPlace, check: Check) -> Self {
        Test {
            subject: Subject::Nobody,
            place,
            negated: false,
            check,
        }
    }

    /// A test for a file with this name, with or without a path before it; `None` if it
    /// is not a file name.
    pub fn file_named(name: &str) -> Option<Self> {
        let name = Observable::text(Property::FileName, name).ok()?;
        Some(Test {
            subject: Subject::File,
            place: TestedPlace::Kind(Kind::Text(Property::FileName)),
            negated: false,
            check: Check::Holds(vec![name]),
        })
    }

    /// Whether both are equalities on one property, so that a list is equivalent.
    pub fn is_like(&self, other: &Test) -> bool {
        let is_equality = |one: &Test| matches!(one.check, Check::Holds(_)) && !one.negated;
        is_equality(self)
            && is_equality(other)
            && (self.subject, self.place) == (other.subject, other.place)
    }

    /// Whether this is an equality that identifies a file or a certificate.
    pub fn identifies(&self) -> bool {
        let Check::Holds(observables) = &self.check else {
            return false;
        };
        let is_hash = |one: &Observable| match one {
            Observable::Hash(_) => true,
            Observable::Text(property, _) => IDENTIFYING_HASHES.contains(property),
            _ => false,
        };
        self.subject.is_identified_by_hash() && !self.negated && observables.iter().all(is_hash)
    }

    /// Whether it passes if the event lacks the property of an identified object.
    pub fn is_passed_unknown(&self) -> bool {
        self.subject.is_identified_by_hash() && !self.negated
    }

    /// Whether one value of the place passes.
    fn passes(&self, seen: &SeenValue<'_>) -> bool {
        self.sees(seen) && self.check.passes(seen) != self.negated
    }

    /// Whether a value is of the subject's family. Feeds also write IPv6 addresses as
    /// `ipv4-addr`, so equality accepts them.
    fn sees(&self, seen: &SeenValue<'_>) -> bool {
        let is_equality = matches!(self.check, Check::Holds(_)) && !self.negated;
        match (self.subject, seen.address()) {
            (Subject::Ipv4, Some(IpAddr::V6(_))) => is_equality,
            (Subject::Ipv6, Some(IpAddr::V4(_))) => match &self.check {
                Check::Holds(observables) => {
                    is_equality && observables.iter().any(view::is_in_ipv4)
                }
                _ => false,
            },
            // A name without a path says nothing about the folder.
            _ if matches!(self.check, Check::InFolder(_)) => seen.has_folder(),
            _ => true,
        }
    }
}

impl Check {
    fn passes(&self, seen: &SeenValue<'_>) -> bool {
        match self {
            Check::Exists => true,
            Check::Holds(observables) => observables.iter().any(|one| seen.is(one)),
            Check::OneOf(texts) => texts.iter().any(|one| seen.is_text(one)),
            Check::Family(families) => families.contains(&match seen.address() {
                Some(IpAddr::V4(_)) => Family::Ipv4,
                Some(IpAddr::V6(_)) => Family::Ipv6,
                None => Family::Name,
            }),
            Check::Number(order, wanted) => seen
                .number()
                .is_some_and(|number| wanted.iter().any(|one| order.holds(number.cmp(one)))),
            Check::Time(order, wanted) => seen
                .time()
                .is_some_and(|time| wanted.iter().any(|one| order.holds(time.cmp(one)))),
            Check::Like(like) => seen.any_spelling(|text| like.is_passed_by(text)),
            Check::Matches(expression) => seen.any_spelling(|text| expression.is_found_in(text)),
            Check::InFolder(folder) => seen.is_in_folder(folder),
        }
    }
}

impl Operator {
    /// The order that holds exactly if this one does not; `None` for "not equal", which
    /// is not an order.
    pub fn opposite(self) -> Option<Self> {
        match self {
            Operator::Equal => None,
            Operator::Less => Some(Operator::GreaterOrEqual),
            Operator::LessOrEqual => Some(Operator::Greater),
            Operator::Greater => Some(Operator::LessOrEqual),
            Operator::GreaterOrEqual => Some(Operator::Less),
        }
    }

    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Operator::Equal => order.is_eq(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
        }
    }
}

#[cfg(test)]
mod tests;

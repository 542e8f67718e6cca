//! What an indicator means in one event, as far as a value alone does not tell it: the
//! tests of a pattern, joined with `AND` and `OR`, over what the event says of objects.
//!
//! * A test holds of an object where any value of the property passes it.
//! * Tests on one type of object that have to hold together have to hold for **one**
//!   object of the event ([`one_object`]).
//! * An equal hash identifies a file or a certificate: what the event does not say of it
//!   is unknown then, and not false.

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
pub use text::{Expression, Like, like};
pub use view::{Seen, Value, View};

use super::Fields;
use crate::observable::{Kind, Observable, Property};

/// So many conditions, which no value leads to, are checked in every event of a
/// stream or a file at the most.
pub const MOST_UNLISTED: usize = 1000;

/// The properties of which an equal value tells which file or certificate it is.
const HASHES: &[Property] = &[
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
    /// No value of the event passes it, or there is none.
    Without(Test),
    /// The event's own time is not before the first and before the second.
    During(OffsetDateTime, OffsetDateTime),
}

/// A test of one property of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Test {
    /// Whose property it is.
    pub subject: Subject,
    /// Which values.
    pub place: Place,
    /// The values have to fail the check.
    pub negated: bool,
    /// What is asked of a value.
    pub check: Check,
}

/// Whose property is tested: tests on one subject have to hold for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Subject {
    /// Nobody's: the test stands alone.
    Nobody,
    /// An IPv4 address. Only equality sees one of IPv6.
    Ipv4,
    /// An IPv6 address. Only equality with a mapped one sees one of IPv4.
    Ipv6,
    /// A domain.
    Domain,
    /// A host's name, where a feed tells it from a domain.
    Hostname,
    /// A URL.
    Url,
    /// A file.
    File,
    /// A certificate.
    Certificate,
    /// A mail address.
    MailAddress,
    /// A mail; an event is about one at the most.
    Mail,
    /// A hardware address.
    Mac,
    /// A connection; an event is about one at the most.
    Connection,
    /// What is at the end of a connection that it comes from.
    Source,
    /// What is at the end that it goes to: an address, or a host that is named.
    Destination,
    /// A user agent.
    UserAgent,
    /// A process; an event is about one at the most.
    Process,
    /// A user.
    User,
}

impl Subject {
    /// Whether an equal hash tells which one it is.
    pub fn is_identified_by_hash(self) -> bool {
        matches!(self, Subject::File | Subject::Certificate)
    }

    /// Whether all values of a place are of one object.
    fn is_one_in_an_event(self) -> bool {
        matches!(self, Subject::Mail | Subject::Connection | Subject::Process)
    }
}

/// Which values of an event are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Those that an observable of this kind is looked for in.
    Kind(Kind),
    /// Those of a field that narrows what an indicator means.
    Field(Field),
    /// What a connection comes from: its address, and the name that it gives itself.
    Source,
    /// What it goes to: its address, and the host that is asked for.
    Destination,
    /// The URLs of the requests themselves, and not those that they mention.
    Request,
}

impl Place {
    /// What stands there, for a person.
    pub fn name(self) -> &'static str {
        match self {
            Place::Kind(kind) => kind.what(),
            Place::Field(field) => field.name(),
            Place::Source => "source of a connection",
            Place::Destination => "destination of a connection",
            Place::Request => "URL of a request",
        }
    }
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// It is there.
    Exists,
    /// It is one of these observables, or holds it: a network its addresses, a host the
    /// names under it, a path the name at its end.
    Holds(Vec<Observable>),
    /// It is one of these texts in its canonical form.
    OneOf(Vec<String>),
    /// It is an address of one of these families, or a name.
    Family(Vec<Family>),
    /// It is a number that compares like this with one of these.
    Number(Order, Vec<i128>),
    /// It is a time that compares like this with one of these.
    Time(Order, Vec<OffsetDateTime>),
    /// It passes SQL's `LIKE`, in any of its spellings.
    Like(Like),
    /// The expression is found in it, in any of its spellings.
    Matches(Expression),
    /// It is a path in this folder, whose components are canonical.
    InFolder(String),
}

/// What can be at an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A name.
    Name,
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
        let place = Place::Kind(Kind::of(observable));
        Condition::Test(Test::new(place, Check::Holds(vec![observable.clone()])))
    }

    /// The condition that an event holds a file with this hash and, where the event names
    /// it at all, this name; `None` where that is no name of a file.
    pub fn file_with_hash_named(hash: &Observable, name: &str) -> Option<Self> {
        let hash = Test {
            subject: Subject::File,
            ..Test::new(
                Place::Kind(Kind::of(hash)),
                Check::Holds(vec![hash.clone()]),
            )
        };
        let parts = [hash, Test::file_named(name)?];
        Some(Condition::All(parts.map(Condition::Test).into()))
    }

    /// The condition that an event holds this domain, and not as the host of a connection to
    /// another port than this. What is no connection to it, such as a query of DNS, tells no
    /// port of it. In a request the port of the `Host` header counts too, as proxies have it.
    pub fn domain_at_port(domain: &Observable, port: u16) -> Self {
        let own = |check| Test::new(Place::Field(Field::DestinationHost), check);
        let to_port = Check::Number(Order::Equal, vec![i128::from(port)]);
        let written = Check::Like(Like::new(&format!("{domain}:{port}"), true));
        let any = vec![
            Condition::Test(Test::new(Place::Field(Field::DestinationPort), to_port)),
            Condition::Test(Test::new(Place::Field(Field::RequestHost), written)),
            Condition::Without(own(Check::Holds(vec![domain.clone()]))),
        ];
        Condition::All(vec![
            Condition::holds_observable(domain),
            Condition::Any(any),
        ])
    }

    /// Whether any test in it is like this.
    pub fn any_test(&self, is: &impl Fn(&Test) -> bool) -> bool {
        match self {
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().any(|one| one.any_test(is))
            }
            Condition::Test(test) => is(test),
            Condition::Without(_) | Condition::During(..) => false,
        }
    }

    /// Whether the event of this line is like that; a line that is no JSON object
    /// is not.
    pub fn holds(&self, line: &str) -> bool {
        Judged::read(line, Fields::Named, true).is_some_and(|event| self.holds_in(&event))
    }

    /// The same for an event that was read before.
    pub fn holds_in(&self, event: &impl View) -> bool {
        one_object::holds(self, event)
    }
}

impl Test {
    /// A test that stands alone.
    pub fn new(place: Place, check: Check) -> Self {
        Test {
            subject: Subject::Nobody,
            place,
            negated: false,
            check,
        }
    }

    /// A test for a file of this name, with or without a path in front of it; `None` where
    /// it is none.
    pub fn file_named(name: &str) -> Option<Self> {
        let name = Observable::text(Property::FileName, name).ok()?;
        Some(Test {
            subject: Subject::File,
            place: Place::Kind(Kind::Text(Property::FileName)),
            negated: false,
            check: Check::Holds(vec![name]),
        })
    }

    /// Whether both are equalities on one property, so that a list says the same.
    pub fn is_like(&self, other: &Test) -> bool {
        let is_equality = |one: &Test| matches!(one.check, Check::Holds(_)) && !one.negated;
        is_equality(self)
            && is_equality(other)
            && (self.subject, self.place) == (other.subject, other.place)
    }

    /// Whether this is an equality that tells which file or certificate it is.
    pub fn identifies(&self) -> bool {
        let Check::Holds(observables) = &self.check else {
            return false;
        };
        let is_hash = |one: &Observable| match one {
            Observable::Hash(_) => true,
            Observable::Text(property, _) => HASHES.contains(property),
            _ => false,
        };
        self.subject.is_identified_by_hash() && !self.negated && observables.iter().all(is_hash)
    }

    /// Whether it is passed where the event does not say what is asked for, of an object
    /// that is identified.
    pub fn is_passed_unknown(&self) -> bool {
        self.subject.is_identified_by_hash() && !self.negated
    }

    /// Whether one value of the place passes.
    fn passes(&self, seen: &Seen<'_>) -> bool {
        self.sees(seen) && self.check.passes(seen) != self.negated
    }

    /// Whether a value is one of the subject's family. Feeds write IPv6 addresses as
    /// `ipv4-addr` too, and equality takes them so.
    fn sees(&self, seen: &Seen<'_>) -> bool {
        let is_equality = matches!(self.check, Check::Holds(_)) && !self.negated;
        match (self.subject, seen.address()) {
            (Subject::Ipv4, Some(IpAddr::V6(_))) => is_equality,
            (Subject::Ipv6, Some(IpAddr::V4(_))) => match &self.check {
                Check::Holds(observables) => {
                    is_equality && observables.iter().any(view::is_in_ipv4)
                }
                _ => false,
            },
            // A name without a path says nothing of the folder.
            _ if matches!(self.check, Check::InFolder(_)) => seen.has_folder(),
            _ => true,
        }
    }
}

impl Check {
    fn passes(&self, seen: &Seen<'_>) -> bool {
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

#[cfg(test)]
mod tests;

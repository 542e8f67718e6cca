//! What the bus asks for: an indicator of compromise, and the observables that
//! it names.
//!
//! Everything here is already checked: text from the bus becomes one of these
//! types in [`crate::legacy`] or [`crate::stix`], or it becomes a rejection.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::matching::condition::{Condition, LazyEvent};
use crate::state::journal::Ticket;

mod kind;
mod later;
mod network;
mod property;
mod selection;
mod validity;
mod wider;

pub use kind::Kind;
pub use later::{LONGEST_SLEEP, Later};
pub use network::Network;
pub use property::{Facts, PROPERTIES, Property, Writing};
pub use selection::Selection;
pub use validity::{Standing, Validity, timestamp};
pub use wider::{Wider, domains_above, is_subdomain};

/// The generation of bus messages that an indicator came in, and that its
/// sightings are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `Intel` and `Sighting` JSON, Threat Bus up to 2020.12.16.
    Legacy,
    /// STIX 2.1 objects, Threat Bus from 2021.2.24 on.
    Stix2,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Legacy => "legacy",
            Protocol::Stix2 => "stix2",
        })
    }
}

/// The longest text that is asked for, in bytes. A URL of this length fits no
/// log that an engine reads.
pub const LONGEST_VALUE: usize = 1 << 20;

/// A value that can be looked for in events.
///
/// Two observables are equal exactly when the engine's answers to them are
/// equal: addresses compare as addresses (an IPv4-mapped IPv6 address is its
/// IPv4 address, as in the engine), text byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Observable {
    /// An IPv4 or IPv6 address, never an IPv4-mapped one
    /// ([`Observable::address`] unmaps it).
    Address(IpAddr),
    /// A network of more than one address ([`Observable::network`]).
    Network(Network),
    /// A domain or host name, without a trailing dot.
    Domain(String),
    /// A URL or URI, as it came.
    Url(String),
    /// A text in a property, written as the property has it
    /// ([`Observable::text`]).
    Text(Property, String),
    /// Any name under this domain, but not the domain itself.
    Subdomain(String),
    /// A name or an address, as text, among the answers of DNS.
    Answer(String),
}

/// A query can hold thousands of values in a list, but a network, a part of a name
/// and an element of a list are predicates of their own: they count as so many
/// values.
const PREDICATE_WEIGHT: usize = 100;

impl Observable {
    /// An address, with `::ffff:1.2.3.4` taken as `1.2.3.4`, as the engine
    /// stores it.
    pub fn address(address: IpAddr) -> Self {
        Observable::Address(address.to_canonical())
    }

    /// A domain name; one trailing dot (the root) is not part of the name.
    pub fn domain(name: &str) -> Self {
        Observable::Domain(name.strip_suffix('.').unwrap_or(name).to_owned())
    }

    /// A network; one of a single address is that address.
    pub fn network(network: Network) -> Self {
        match network.only_address() {
            Some(address) => Observable::address(address),
            None => Observable::Network(network),
        }
    }

    /// A text in a property, in the one way that the property is written;
    /// `None` where the text is no value of the property.
    pub fn text(property: Property, value: &str) -> Option<Self> {
        let written = property.write(value)?;
        Some(Observable::Text(property, written.into_owned()))
    }

    /// How many values of a list it costs to ask for it.
    pub fn weight(&self) -> usize {
        match self {
            Observable::Network(_) | Observable::Subdomain(_) | Observable::Answer(_) => {
                PREDICATE_WEIGHT
            }
            _ => 1,
        }
    }

    /// The same observable, if the engine's query language can express it.
    ///
    /// # Errors
    /// Empty text, a NUL (the language has no escape for it), or a value of
    /// more than [`LONGEST_VALUE`] bytes.
    pub fn checked(self, id: &Arc<str>) -> Result<Self, Rejection> {
        let reject = |reason: String| Err(Rejection::new(id.clone(), reason));
        match &self {
            Observable::Address(_) | Observable::Network(_) => {}
            Observable::Domain(text)
            | Observable::Url(text)
            | Observable::Text(_, text)
            | Observable::Subdomain(text)
            | Observable::Answer(text) => {
                if text.is_empty() {
                    return reject("its value is empty".to_owned());
                }
                if text.contains('\0') {
                    return reject("its value holds a NUL, which no query can hold".to_owned());
                }
                if text.len() > LONGEST_VALUE {
                    return reject(format!(
                        "its value has {} bytes, and can have {LONGEST_VALUE}",
                        text.len()
                    ));
                }
            }
        }
        Ok(self)
    }

    /// The kind in one word, as logs and statistics name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Observable::Address(IpAddr::V4(_)) => "ipv4",
            Observable::Address(IpAddr::V6(_)) => "ipv6",
            Observable::Domain(_) => "domain",
            Observable::Url(_) => "url",
            Observable::Network(_) => "network",
            Observable::Text(property, _) => property.facts().name,
            Observable::Subdomain(_) => "subdomain",
            Observable::Answer(_) => "answer",
        }
    }
}

impl fmt::Display for Observable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Observable::Address(address) => address.fmt(f),
            Observable::Network(network) => network.fmt(f),
            Observable::Domain(text)
            | Observable::Url(text)
            | Observable::Text(_, text)
            | Observable::Subdomain(text)
            | Observable::Answer(text) => f.write_str(text),
        }
    }
}

/// What the bus wants done with an indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new indicator: match it.
    Add,
    /// A changed indicator (`x_threatbus_update: EDIT`): replaces the one that
    /// waits under the same id.
    Edit,
    /// The indicator is withdrawn (`REMOVE`): stop asking for it.
    Remove,
}

/// One indicator of compromise, as the bridge works with it.
#[derive(Debug)]
pub struct Indicator {
    /// The bus's id: any text on the legacy protocol, `indicator--UUID` on
    /// STIX-2.
    pub id: Arc<str>,
    /// The protocol that it came in and that its sightings go out in.
    pub protocol: Protocol,
    /// What to look for: an event matches when it holds any one of these. Empty
    /// where there is a selection.
    pub observables: Vec<Observable>,
    /// What a query of its own asks for, where there are no such values; there is a
    /// condition then, which alone tells what matches.
    pub selection: Option<Arc<Selection>>,
    /// What else an event has to be like that holds one of them; checked in the
    /// event ([`Indicator::holds`]), whatever gave it.
    pub condition: Option<Arc<Condition>>,
    /// When it counts.
    pub validity: Validity,
    /// The values as the bus wrote them, for sightings and for `%ioc`.
    pub ioc: Vec<String>,
    /// The message's JSON as it came, where sightings carry it (STIX-2).
    pub original: Option<Box<RawValue>>,
    /// Its entry in the journal, where there is one.
    pub ticket: Option<Ticket>,
}

impl Indicator {
    /// The kind of what it looks for in one word, as statistics name it.
    pub fn kind(&self) -> &'static str {
        let mut kinds = self.observables.iter().map(Observable::kind);
        let first = kinds.next().unwrap_or("query");
        match kinds.all(|kind| kind == first) {
            true => first,
            false => "several",
        }
    }

    /// Whether an event that an engine gives for it is a match.
    pub fn holds(&self, event: &LazyEvent<'_>) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|condition| event.fulfils(condition))
    }

    /// Whether it asks for the same as another one.
    pub fn asks_the_same(&self, other: &Indicator) -> bool {
        self.observables == other.observables
            && self.selection == other.selection
            && self.condition == other.condition
    }

    /// How many values of a list it costs to ask for it.
    pub fn weight(&self) -> usize {
        self.observables.iter().map(Observable::weight).sum()
    }

    /// About how much memory it takes, in bytes, for the bound on the queue.
    pub fn size(&self) -> usize {
        let original = self.original.as_ref().map_or(0, |json| json.get().len());
        let values = |text: &str| text.len() + size_of::<String>();
        let ioc: usize = self.ioc.iter().map(|text| values(text)).sum();
        let selection = self.selection.as_ref().map_or(0, |one| one.size());
        size_of::<Self>() + self.id.len() + original + 2 * ioc + selection
    }
}

/// Why a message from the bus cannot be used at all.
#[derive(Debug)]
pub struct Rejection {
    /// The indicator's id, where the message got far enough to have one.
    pub id: Option<Arc<str>>,
    /// The reason, for a person. It may quote text from outside, with control
    /// characters escaped.
    pub reason: String,
    /// It was to take the place of the indicator with the same id, which is
    /// out of date all the same.
    pub replaces: bool,
}

impl Rejection {
    /// A rejected indicator.
    pub fn new(id: Arc<str>, reason: String) -> Self {
        Rejection {
            id: Some(id),
            reason,
            replaces: false,
        }
    }

    /// A message that holds no indicator.
    pub fn without_id(reason: String) -> Self {
        Rejection {
            id: None,
            reason,
            replaces: false,
        }
    }
}

/// The result of reading one indicator message.
#[derive(Debug)]
pub enum Message {
    /// An indicator to match; `replaces` says that it takes the place of the one
    /// with the same id.
    Match {
        /// The indicator.
        indicator: Indicator,
        /// Add or edit: never [`Operation::Remove`].
        replaces: bool,
    },
    /// The indicator with this id is withdrawn.
    Withdraw(Arc<str>),
    /// A well-formed indicator that this program cannot ask VAST about.
    Unsupported {
        /// Its id.
        id: Arc<str>,
        /// Its pattern or its value, as it came.
        asked: String,
        /// Why, for a person.
        reason: String,
        /// As with [`Message::Match`].
        replaces: bool,
    },
}

impl Message {
    /// The same for live matching, which does not keep the message that an
    /// indicator came in, nor its entry in the journal.
    pub fn for_live(&self) -> Self {
        match self {
            Message::Match {
                indicator,
                replaces,
            } => Message::Match {
                indicator: Indicator {
                    id: indicator.id.clone(),
                    protocol: indicator.protocol,
                    observables: indicator.observables.clone(),
                    selection: indicator.selection.clone(),
                    condition: indicator.condition.clone(),
                    validity: indicator.validity,
                    ioc: indicator.ioc.clone(),
                    original: None,
                    ticket: None,
                },
                replaces: *replaces,
            },
            Message::Withdraw(id) => Message::Withdraw(id.clone()),
            Message::Unsupported {
                id,
                asked,
                reason,
                replaces,
            } => Message::Unsupported {
                id: id.clone(),
                asked: asked.clone(),
                reason: reason.clone(),
                replaces: *replaces,
            },
        }
    }

    /// Closes its entry in the journal, where it has one: nothing waits for it.
    pub fn finish(self) {
        if let Message::Match { indicator, .. } = self {
            indicator.ticket.into_iter().for_each(Ticket::finish);
        }
    }
}

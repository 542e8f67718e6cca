//! The values that can be looked for in events: addresses, networks, names, URLs,
//! and texts in properties; and the times of events.

use std::fmt;
use std::net::IpAddr;

mod domain;
mod kind;
mod network;
mod property;
mod time;

pub use domain::{domains_above, is_subdomain};
pub use kind::Kind;
pub use network::Network;
pub use property::{Facts, PROPERTIES, Property, Writing};
pub use time::{EventTime, stix_time, whole_second};

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
    pub fn checked(self) -> Result<Self, String> {
        let reject = |reason: String| Err(reason);
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

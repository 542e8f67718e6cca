//! The values that are searched for in events: addresses, networks, names, URLs, hashes,
//! and the texts of properties. Each has one canonical form, no matter who wrote it.
//! Event times are here too.
//!
//! * A feed's text becomes an [`Observable`] through the constructor of its kind, or
//!   through [`of_line`] if nothing tells the kind. Other text is a [`NotAValue`] with
//!   the reason. Defanged values are refanged (`refang`).
//! * An event's text is read into the same forms by the module of each kind
//!   ([`domain::read`], [`url::target`], …), without a copy if it is already canonical.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub mod address;
pub mod domain;
pub mod file_name;
pub mod hash;
mod kind;
mod line;
pub mod mac;
pub mod mail;
mod network;
mod not_a_value;
mod property;
pub mod protocol;
mod refang;
mod spelled;
pub mod text;
mod time;
pub mod url;

pub use domain::{domains_above, is_subdomain};
pub use kind::Kind;
pub use line::{of_line, trimmed};
pub use network::Network;
pub use not_a_value::NotAValue;
pub use property::{PROPERTIES, Property, PropertyInfo, Thing, ValueForm};
pub use refang::refang;
pub use spelled::Spelled;
pub use time::{EventTime, stix_time, whole_second};

/// The longest text that is queried, in bytes. A longer URL fits no log that an engine
/// reads.
pub const LONGEST_VALUE: usize = 1 << 20;

/// A value that can be searched for in events, canonical by construction.
///
/// Texts keep their original spelling ([`Spelled::as_written`]) for engines and modes
/// that compare texts rather than what they mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Observable {
    /// An IPv4 or IPv6 address, never an IPv4-mapped one
    /// ([`Observable::address`] unmaps it).
    Address(IpAddr),
    /// An address and a port, of the same end of a connection.
    Endpoint(IpAddr, u16),
    /// A network of more than one address ([`Observable::network`]).
    Network(Network),
    /// A domain or host name without a trailing dot.
    Domain(Spelled),
    /// A URL with or without a scheme, or only the target of one ([`url`]).
    Url(Spelled),
    /// A hash, compared with all hashes of its length, of files and certificates.
    Hash(Spelled),
    /// The text of a property, in the form of that property ([`Observable::text`]).
    Text(Property, Spelled),
    /// Any name below this domain, but not the domain itself.
    Subdomain(Spelled),
    /// A name or an address, as text, among DNS answers.
    Answer(Spelled),
}

/// A query can list thousands of values, but a network, a partial text (the end of a name
/// or of a path, a mail address in a header) and an element of a list each need a
/// predicate. Such a value counts as this many list values.
const PREDICATE_WEIGHT: usize = 100;

impl Observable {
    /// An address. `::ffff:1.2.3.4` becomes `1.2.3.4`, as the engine stores it.
    pub fn address(address: IpAddr) -> Self {
        Observable::Address(address.to_canonical())
    }

    /// A domain from a text that is known to be a name.
    pub fn domain(name: &str) -> Self {
        let written = name.strip_suffix('.').unwrap_or(name);
        let mut buffer = String::new();
        let canonical = domain::read(written, &mut buffer).to_owned();
        Observable::Domain(Spelled::new(canonical, written))
    }

    /// A network. A network of one address becomes that address.
    pub fn network(network: Network) -> Self {
        match network.only_address() {
            Some(address) => Observable::address(address),
            None => Observable::Network(network),
        }
    }

    /// Reads an address or a network (`192.0.2.0/24`, `192.0.2.0/255.255.255.0`).
    ///
    /// # Errors
    /// The text is neither.
    pub fn of_address(text: &str) -> Result<Self, NotAValue> {
        let text = &*refang(text);
        if text.contains('/') {
            Network::parse(text)
                .map(Observable::network)
                .ok_or_else(|| NotAValue::plainly(text, "network of addresses"))
        } else {
            address::parse(text).map(Observable::Address)
        }
    }

    /// Like [`Observable::of_address`], but also accepts a range of addresses
    /// (`192.0.2.1-192.0.2.7`), which becomes the networks that make it up.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn of_addresses(text: &str) -> Result<Vec<Self>, NotAValue> {
        let text = &*refang(text);
        match text.split_once('-') {
            Some((first, last)) => {
                let first = address::parse(first.trim_end())?;
                let last = address::parse(last.trim_start())?;
                let networks = Network::of_range(first, last).ok_or_else(|| {
                    let why = "a range goes from a lower address to a higher one of its family";
                    NotAValue::because(text, "range of addresses", why)
                })?;
                Ok(networks.into_iter().map(Observable::network).collect())
            }
            None => Ok(vec![Observable::of_address(text)?]),
        }
    }

    /// Reads an address with a port (`192.0.2.1:80`, `[2001:db8::1]:80`).
    ///
    /// # Errors
    /// The text is not an address with a port.
    pub fn of_endpoint(text: &str) -> Result<Self, NotAValue> {
        let (address, port) = address::parse_with_port(&refang(text))?;
        Ok(Observable::Endpoint(address, port))
    }

    /// Reads a domain name, or the names below it if `*.` precedes it.
    ///
    /// # Errors
    /// The text is not a domain name.
    pub fn of_domain(text: &str) -> Result<Self, NotAValue> {
        let text = &*refang(text);
        let (name, make): (&str, fn(Spelled) -> Self) = match text.strip_prefix("*.") {
            Some(name) => (name, Observable::Subdomain),
            None => (text, Observable::Domain),
        };
        let written = name.strip_suffix('.').unwrap_or(name);
        Ok(make(Spelled::new(domain::parse(name)?, written)))
    }

    /// Reads a URL with or without a scheme, or only its target, which begins with `/`.
    ///
    /// # Errors
    /// The text is not a URL.
    pub fn of_url(text: &str) -> Result<Self, NotAValue> {
        let text = &*refang(text);
        Ok(Observable::Url(Spelled::new(url::parse(text)?, text)))
    }

    /// Like [`Observable::of_url`], for text that is only a URL if its form is
    /// unambiguous.
    fn of_evident_url(text: &str) -> Result<Self, NotAValue> {
        let canonical = url::parse_evident(text)?;
        Ok(Observable::Url(Spelled::new(canonical, text)))
    }

    /// Reads an MD5, SHA-1, SHA-256 or SHA-512 of a file or a certificate.
    ///
    /// # Errors
    /// The text is not such a hash.
    pub fn of_hash(text: &str) -> Result<Self, NotAValue> {
        hash::of_length(text, &hash::HASH_LENGTHS)
            .map(|digits| Observable::Hash(digits.into()))
            .ok_or_else(|| NotAValue::plainly(text, "MD5, SHA-1, SHA-256 or SHA-512"))
    }

    /// Reads the mail address of a sender or a recipient.
    ///
    /// # Errors
    /// The text is not a mail address.
    pub fn of_mail(text: &str) -> Result<Self, NotAValue> {
        Observable::text(Property::Email, text)
    }

    /// Reads the text of a property into the canonical form of that property.
    ///
    /// # Errors
    /// The text is not a value of the property.
    pub fn text(property: Property, text: &str) -> Result<Self, NotAValue> {
        let text = match property.facts().writing {
            ValueForm::MailAddress => refang(text),
            _ => Cow::Borrowed(text),
        };
        let canonical = property.parse(&text)?;
        let spelled = if property.facts().writing.keeps_spelling() {
            Spelled::new(canonical, &text)
        } else {
            canonical.into()
        };
        Ok(Observable::Text(property, spelled))
    }

    /// Reads an address or a name that is searched for among DNS answers.
    ///
    /// # Errors
    /// The text is neither.
    pub fn of_answer(text: &str) -> Result<Self, NotAValue> {
        let text = &*refang(text);
        let canonical = match address::parse(text) {
            Ok(address) => address.to_string(),
            Err(_) => domain::parse(text)?,
        };
        Ok(Observable::Answer(Spelled::new(canonical, text)))
    }

    /// The text that is compared; `None` for addresses and networks.
    pub fn spelled(&self) -> Option<&Spelled> {
        match self {
            Observable::Address(_) | Observable::Endpoint(..) | Observable::Network(_) => None,
            Observable::Domain(text)
            | Observable::Url(text)
            | Observable::Hash(text)
            | Observable::Text(_, text)
            | Observable::Subdomain(text)
            | Observable::Answer(text) => Some(text),
        }
    }

    /// How many list values a query for it costs.
    pub fn weight(&self) -> usize {
        match self {
            Observable::Network(_) | Observable::Subdomain(_) | Observable::Answer(_) => {
                PREDICATE_WEIGHT
            }
            Observable::Text(property, _) if property.facts().writing.is_part_of_texts() => {
                PREDICATE_WEIGHT
            }
            _ => 1,
        }
    }

    /// Returns the observable if the engine's query language can express it.
    ///
    /// # Errors
    /// The text is empty, contains a NUL (the language has no escape for it), or is
    /// longer than [`LONGEST_VALUE`] bytes.
    pub fn checked(self) -> Result<Self, String> {
        let Some(text) = self.spelled() else {
            return Ok(self);
        };
        if text.is_empty() {
            return Err("its value is empty".to_owned());
        }
        if text.contains('\0') {
            return Err("its value holds a NUL, which no query can hold".to_owned());
        }
        if text.len() > LONGEST_VALUE {
            return Err(format!(
                "its value has {} bytes, and can have {LONGEST_VALUE}",
                text.len()
            ));
        }
        Ok(self)
    }

    /// The kind in one word, as logs and statistics name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Observable::Address(IpAddr::V4(_)) => "ipv4",
            Observable::Address(IpAddr::V6(_)) => "ipv6",
            Observable::Endpoint(..) => "endpoint",
            Observable::Domain(_) => "domain",
            Observable::Url(_) => "url",
            Observable::Network(_) => "network",
            Observable::Hash(_) => "hash",
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
            Observable::Endpoint(address, port) => SocketAddr::new(*address, *port).fmt(f),
            Observable::Network(network) => network.fmt(f),
            Observable::Domain(text)
            | Observable::Url(text)
            | Observable::Hash(text)
            | Observable::Text(_, text)
            | Observable::Subdomain(text)
            | Observable::Answer(text) => f.write_str(text),
        }
    }
}

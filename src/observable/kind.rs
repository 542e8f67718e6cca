//! What an observable is looked for as.

use super::{Observable, PROPERTIES, Property};

/// Concepts whose fields a domain is looked for in.
const DOMAIN: &[&str] = &["net.domain", "net.hostname"];
/// Concepts whose fields a URL is looked for in.
const URL: &[&str] = &["net.uri"];
/// Concepts whose fields hold the hashes of files.
const HASHES: &[&str] = &["file.hash.md5", "file.hash.sha1", "file.hash.sha256"];
/// Fields that hold the answers of DNS, in lists.
const ANSWERS: &[&str] = &["zeek.dns.answers"];

/// The number of the first kind of text in a property.
const FIRST_PROPERTY: usize = 8;

/// What an observable is looked for as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One address.
    Address,
    /// An address and a port.
    Endpoint,
    /// All addresses of a network.
    Network,
    /// A domain or host name.
    Domain,
    /// A URL.
    Url,
    /// A hash of whatever it is.
    Hash,
    /// A text in a property.
    Text(Property),
    /// Any name under a domain.
    Subdomain,
    /// An answer of DNS.
    Answer,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = FIRST_PROPERTY + PROPERTIES.len();

    /// The kind of an observable.
    pub fn of(observable: &Observable) -> Self {
        match observable {
            Observable::Address(_) => Kind::Address,
            Observable::Endpoint(..) => Kind::Endpoint,
            Observable::Network(_) => Kind::Network,
            Observable::Domain(_) => Kind::Domain,
            Observable::Url(_) => Kind::Url,
            Observable::Hash(_) => Kind::Hash,
            Observable::Text(property, _) => Kind::Text(*property),
            Observable::Subdomain(_) => Kind::Subdomain,
            Observable::Answer(_) => Kind::Answer,
        }
    }

    /// Its number, below [`Kind::COUNT`].
    pub fn number(self) -> usize {
        match self {
            Kind::Address => 0,
            Kind::Network => 1,
            Kind::Domain => 2,
            Kind::Url => 3,
            Kind::Subdomain => 4,
            Kind::Answer => 5,
            Kind::Endpoint => 6,
            Kind::Hash => 7,
            Kind::Text(property) => FIRST_PROPERTY + property as usize,
        }
    }

    /// The kind with this number.
    pub fn from_number(number: usize) -> Option<Self> {
        match number {
            0 => Some(Kind::Address),
            1 => Some(Kind::Network),
            2 => Some(Kind::Domain),
            3 => Some(Kind::Url),
            4 => Some(Kind::Subdomain),
            5 => Some(Kind::Answer),
            6 => Some(Kind::Endpoint),
            7 => Some(Kind::Hash),
            _ => Property::from_number(number - FIRST_PROPERTY).map(Kind::Text),
        }
    }

    /// What a value of it is, for a person.
    pub fn what(self) -> &'static str {
        match self {
            Kind::Address | Kind::Network | Kind::Endpoint => "address",
            Kind::Domain | Kind::Subdomain => "domain",
            Kind::Url => "URL",
            Kind::Hash => "hash",
            Kind::Answer => "answer of DNS",
            Kind::Text(property) => property.facts().what,
        }
    }

    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Kind::COUNT).filter_map(Kind::from_number)
    }

    /// Whether it is looked for in fields of type address.
    pub fn is_of_addresses(self) -> bool {
        matches!(self, Kind::Address | Kind::Endpoint | Kind::Network)
    }

    /// Whether it is looked for among the elements of lists, and nowhere else.
    pub fn is_in_lists(self) -> bool {
        self == Kind::Answer
    }

    /// The engine's concepts, or whole names of fields, that hold it; none for
    /// what is looked for in every field of type address.
    pub fn extractors(self) -> &'static [&'static str] {
        match self {
            Kind::Address | Kind::Endpoint | Kind::Network => &[],
            Kind::Domain | Kind::Subdomain => DOMAIN,
            Kind::Url => URL,
            Kind::Answer => ANSWERS,
            Kind::Hash => HASHES,
            Kind::Text(property) => property.facts().extractors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_kinds_apart() {
        let kinds: Vec<Kind> = Kind::all().collect();
        assert_eq!(kinds.len(), Kind::COUNT);
        for (number, kind) in kinds.iter().enumerate() {
            assert_eq!(kind.number(), number);
            assert!(kind.extractors().is_empty() || !kind.is_of_addresses());
        }
    }
}

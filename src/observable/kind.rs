//! How an observable is searched for.

use super::{Observable, PROPERTIES, Property};

/// Concepts whose fields are searched for a domain.
const DOMAIN_CONCEPTS: &[&str] = &["net.domain", "net.hostname"];
/// Concepts whose fields are searched for a URL.
const URL_CONCEPTS: &[&str] = &["net.uri"];
/// Concepts whose fields hold file hashes.
const HASH_CONCEPTS: &[&str] = &["file.hash.md5", "file.hash.sha1", "file.hash.sha256"];
/// Fields that hold lists of DNS answers.
const ANSWERS: &[&str] = &["zeek.dns.answers"];

/// The number of the first kind that stands for a property.
const FIRST_PROPERTY: usize = 8;

/// How an observable is searched for.
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
    /// A hash of a file or a certificate.
    Hash,
    /// The text of a property.
    Text(Property),
    /// Any name below a domain.
    Subdomain,
    /// A DNS answer.
    Answer,
}

impl Kind {
    /// The number of kinds.
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

    /// The number of the kind, less than [`Kind::COUNT`].
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

    /// The human-readable name of such a value.
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

    /// Whether all fields of type address are searched.
    pub fn is_of_addresses(self) -> bool {
        matches!(self, Kind::Address | Kind::Endpoint | Kind::Network)
    }

    /// Whether only the elements of lists are searched.
    pub fn is_in_lists(self) -> bool {
        self == Kind::Answer
    }

    /// The engine's concepts, or full field names, that hold such values; empty if every
    /// field of type address is searched.
    pub fn extractors(self) -> &'static [&'static str] {
        match self {
            Kind::Address | Kind::Endpoint | Kind::Network => &[],
            Kind::Domain | Kind::Subdomain => DOMAIN_CONCEPTS,
            Kind::Url => URL_CONCEPTS,
            Kind::Answer => ANSWERS,
            Kind::Hash => HASH_CONCEPTS,
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

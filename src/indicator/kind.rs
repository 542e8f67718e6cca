//! What an observable is looked for as.

use super::{Observable, PROPERTIES, Property};

/// Concepts whose fields a domain is looked for in.
const DOMAIN: &[&str] = &["net.domain", "net.hostname"];
/// Concepts whose fields a URL is looked for in.
const URL: &[&str] = &["net.uri"];

/// What an observable is looked for as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One address.
    Address,
    /// All addresses of a network.
    Network,
    /// A domain or host name.
    Domain,
    /// A URL.
    Url,
    /// A text in a property.
    Text(Property),
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 4 + PROPERTIES.len();

    /// The kind of an observable.
    pub fn of(observable: &Observable) -> Self {
        match observable {
            Observable::Address(_) => Kind::Address,
            Observable::Network(_) => Kind::Network,
            Observable::Domain(_) => Kind::Domain,
            Observable::Url(_) => Kind::Url,
            Observable::Text(property, _) => Kind::Text(*property),
        }
    }

    /// Its number, below [`Kind::COUNT`].
    pub fn number(self) -> usize {
        match self {
            Kind::Address => 0,
            Kind::Network => 1,
            Kind::Domain => 2,
            Kind::Url => 3,
            Kind::Text(property) => 4 + property as usize,
        }
    }

    /// The kind with this number.
    pub fn from_number(number: usize) -> Option<Self> {
        match number {
            0 => Some(Kind::Address),
            1 => Some(Kind::Network),
            2 => Some(Kind::Domain),
            3 => Some(Kind::Url),
            _ => Property::from_number(number - 4).map(Kind::Text),
        }
    }

    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Kind::COUNT).filter_map(Kind::from_number)
    }

    /// Whether it is looked for in fields of type address.
    pub fn is_of_addresses(self) -> bool {
        matches!(self, Kind::Address | Kind::Network)
    }

    /// The engine's concepts, or whole names of fields, that hold it; none for
    /// what is looked for in every field of type address.
    pub fn extractors(self) -> &'static [&'static str] {
        match self {
            Kind::Address | Kind::Network => &[],
            Kind::Domain => DOMAIN,
            Kind::Url => URL,
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
            assert_eq!(kind.extractors().is_empty(), kind.is_of_addresses());
        }
    }
}

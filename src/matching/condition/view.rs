//! The view that a condition has of an event.

use std::net::IpAddr;

use time::OffsetDateTime;

use super::TestedPlace;
use crate::matching::event::Object;
use crate::observable::{EventTime, Network, Observable, Property, domain, is_subdomain, url};

/// An event as conditions see it: all values of a place in their canonical form, each
/// with the object of the event that it belongs to.
pub trait View {
    /// Shows every value of a place, always in the same order.
    fn each(&self, place: TestedPlace, see: &mut dyn FnMut(&SeenValue<'_>));

    /// When the event happened, as in a sighting of it.
    fn time(&self) -> Option<OffsetDateTime>;
}

/// A value in an event.
#[derive(Clone, Copy, Debug)]
pub struct SeenValue<'a> {
    /// The canonical form.
    pub value: ComparedValue<'a>,
    /// The original text, if the value is a text.
    pub raw: &'a str,
    /// The object that it belongs to.
    pub object: Object,
}

/// A value in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparedValue<'a> {
    /// An address.
    Address(IpAddr),
    /// A domain.
    Domain(&'a str),
    /// A URL, whole or only its target, and its port if the event tells one.
    Url(&'a str, Option<u16>),
    /// A path in the form of [`crate::observable::file_name`].
    Path(&'a str),
    /// Another text.
    Text(&'a str),
    /// A number.
    Number(i128),
    /// A time.
    Time(OffsetDateTime),
}

impl SeenValue<'_> {
    /// The address, if it is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.value {
            ComparedValue::Address(address) => Some(address),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<i128> {
        match self.value {
            ComparedValue::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn time(&self) -> Option<OffsetDateTime> {
        match self.value {
            ComparedValue::Time(time) => Some(time),
            ComparedValue::Text(text) => EventTime::parse(text).map(|time| time.utc()),
            _ => None,
        }
    }

    pub(super) fn is_text(&self, text: &str) -> bool {
        matches!(self.value, ComparedValue::Text(own) if own == text)
    }

    /// Whether it is this observable, or contains it.
    pub(super) fn is(&self, observable: &Observable) -> bool {
        match (observable, self.value) {
            (Observable::Address(wanted), ComparedValue::Address(address)) => *wanted == address,
            (Observable::Network(network), ComparedValue::Address(address)) => {
                network.contains(address)
            }
            (Observable::Domain(name), ComparedValue::Domain(own)) => **name == *own,
            (Observable::Subdomain(name), ComparedValue::Domain(own)) => is_subdomain(own, name),
            (Observable::Url(wanted), ComparedValue::Url(own, port)) => is_url(wanted, own, port),
            (Observable::Text(Property::FileName, name), ComparedValue::Path(path)) => {
                ends(path, name)
            }
            (Observable::Text(_, wanted) | Observable::Hash(wanted), ComparedValue::Text(own)) => {
                **wanted == *own
            }
            // DNS answers are addresses and names.
            (Observable::Answer(wanted), ComparedValue::Address(address)) => {
                wanted.parse() == Ok(address)
            }
            (Observable::Answer(wanted), ComparedValue::Domain(own)) => **wanted == *own,
            (Observable::Endpoint(..), _) => false,
            _ => false,
        }
    }

    /// Whether any of its spellings passes: the canonical one, the original one, the
    /// letters of a name's own script, a URL with either scheme, with and without its
    /// port, and its target.
    pub(super) fn any_spelling(&self, passes: impl Fn(&str) -> bool) -> bool {
        if !self.raw.is_empty() && passes(self.raw) {
            return true;
        }
        match self.value {
            ComparedValue::Address(address) => passes(&address.to_string()),
            ComparedValue::Domain(name) => {
                passes(name) || domain::unicode(name).is_some_and(|name| passes(&name))
            }
            ComparedValue::Url(text, port) => passes(text) || any_url(text, port, passes),
            // The file name is the part after the path.
            ComparedValue::Path(path) => {
                let name = |path: &str| passes(path.rsplit(['/', '\\']).next().unwrap_or(path));
                passes(path) || name(path) || name(self.raw)
            }
            ComparedValue::Text(text) => passes(text),
            ComparedValue::Number(_) | ComparedValue::Time(_) => false,
        }
    }

    /// Whether it is a path with a folder.
    pub(super) fn has_folder(&self) -> bool {
        matches!(self.value, ComparedValue::Path(path) if path.contains('/'))
    }

    /// Whether it is a path whose folder ends with these components.
    pub(super) fn is_in_folder(&self, folder: &str) -> bool {
        let ComparedValue::Path(path) = self.value else {
            return false;
        };
        path.rsplit_once('/')
            .is_some_and(|(own, _)| ends(own, folder))
    }
}

/// Whether a path ends with these components.
fn ends(path: &str, end: &str) -> bool {
    path.strip_suffix(end)
        .is_some_and(|front| front.is_empty() || front.ends_with('/'))
}

/// Whether a request is for this URL: the same target at the same host, and the same port
/// if both tell one. The scheme does not matter, since proxies log requests of both.
fn is_url(wanted: &str, own: &str, port: Option<u16>) -> bool {
    if wanted == own {
        return true;
    }
    let (wanted, own) = (url::parts(wanted), url::parts(own));
    if wanted.target != own.target {
        return false;
    }
    let Some(host) = wanted.host else {
        // Only a target, for any host.
        return true;
    };
    let seen = own
        .port
        .or(port)
        .or_else(|| own.scheme.and_then(url::own_port));
    let is_port = |wanted: u16| seen.is_none_or(|seen| seen == wanted);
    own.host == Some(host) && wanted.port.is_none_or(is_port)
}

/// The other spellings of a URL.
fn any_url(text: &str, port: Option<u16>, passes: impl Fn(&str) -> bool) -> bool {
    let parts = url::parts(text);
    if passes(parts.target) {
        return true;
    }
    let Some(host) = parts.host else {
        return false;
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let with_port = parts.port.or(port).map(|port| format!("{host}:{port}"));
    let schemes = ["http", "https"].into_iter().chain(parts.scheme);
    let hosts = [Some(host), with_port];
    schemes
        .flat_map(|scheme| hosts.iter().flatten().map(move |host| (scheme, host)))
        .any(|(scheme, host)| passes(&format!("{scheme}://{host}{}", parts.target)))
}

/// Whether an observable is an IPv4 address or network.
pub(super) fn is_in_ipv4(observable: &Observable) -> bool {
    match observable {
        Observable::Address(address) => address.is_ipv4(),
        Observable::Network(network) => Network::ipv4().contains_network(*network),
        _ => false,
    }
}

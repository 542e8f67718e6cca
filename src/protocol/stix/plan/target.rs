//! Converts the literals of a path into the values that are searched for.

use std::borrow::Cow;

use super::PartFault;
use crate::matching::condition::{Family, TestedPlace};
use crate::observable::{Kind, Network, NotAValue, Observable, Property, ValueForm, mac, refang};
use crate::protocol::stix::paths::{PathRow, PathTarget};

impl PathTarget {
    /// Whether its values are addresses, so that networks are possible.
    pub(super) fn is_address(self) -> bool {
        matches!(self, PathTarget::Ipv4 | PathTarget::Ipv6 | PathTarget::Host)
    }

    /// Whether a value can be compared with `LIKE` and `MATCHES`.
    pub(super) fn is_text(self) -> bool {
        !matches!(
            self,
            PathTarget::Number | PathTarget::Time | PathTarget::HostType | PathTarget::Folder
        )
    }

    /// Whether its values are case-insensitive.
    pub(super) fn has_no_case(self) -> bool {
        match self {
            PathTarget::Ipv4 | PathTarget::Ipv6 | PathTarget::Host | PathTarget::HostType => true,
            PathTarget::Protocol | PathTarget::Folder => true,
            PathTarget::Kind(Kind::Text(property)) => match property.facts().writing {
                ValueForm::AsIs | ValueForm::DistinguishedName => false,
                ValueForm::LowerCase
                | ValueForm::Hexadecimal(_)
                | ValueForm::Serial
                | ValueForm::HardwareAddress
                | ValueForm::MailAddress
                | ValueForm::FileName => true,
            },
            PathTarget::Kind(Kind::Url) | PathTarget::Url => false,
            PathTarget::Kind(_) => true,
            PathTarget::Number | PathTarget::Time => false,
        }
    }

    /// The kind that its texts are searched for as.
    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            PathTarget::Kind(kind) => Some(kind),
            PathTarget::Url => Some(Kind::Url),
            PathTarget::Host => Some(Kind::Domain),
            _ => None,
        }
    }

    /// What is searched for to find this value.
    pub(super) fn observable(self, value: &str) -> Result<Observable, PartFault> {
        let wrong = |error: NotAValue| PartFault::Wrong(error.to_string());
        match self {
            PathTarget::Ipv4 => Observable::of_address(value).map_err(wrong),
            PathTarget::Ipv6 if !value.contains(':') => Err(PartFault::Wrong(format!(
                "{value:?} is no IPv6 address or network"
            ))),
            PathTarget::Ipv6 => Observable::of_address(value).map_err(wrong),
            PathTarget::Kind(Kind::Domain) => Observable::of_domain(value).map_err(wrong),
            PathTarget::Kind(Kind::Url) | PathTarget::Url => {
                Observable::of_url(value).map_err(wrong)
            }
            PathTarget::Kind(Kind::Text(property)) => {
                Observable::text(property, value).map_err(wrong)
            }
            PathTarget::Kind(Kind::Answer) => match host(value)? {
                Observable::Address(address) => Ok(Observable::Answer(address.to_string().into())),
                Observable::Domain(name) => Ok(Observable::Answer(name)),
                other => Ok(other),
            },
            PathTarget::Host => host(value),
            PathTarget::Kind(_)
            | PathTarget::HostType
            | PathTarget::Number
            | PathTarget::Time
            | PathTarget::Protocol
            | PathTarget::Folder => Err(PartFault::Unsupported(format!(
                "{value:?} is no value of it"
            ))),
        }
    }

    /// A value in the spelling of the feed, refanged.
    pub(super) fn spelled(self, value: &str) -> Cow<'_, str> {
        match self {
            PathTarget::Ipv4 | PathTarget::Ipv6 | PathTarget::Host | PathTarget::Url => {
                refang(value)
            }
            PathTarget::Kind(Kind::Domain | Kind::Url | Kind::Answer) => refang(value),
            PathTarget::Kind(Kind::Text(
                Property::Email | Property::EmailSender | Property::EmailRecipient,
            )) => refang(value),
            _ => Cow::Borrowed(value),
        }
    }
}

/// An address, a network or a name. A hardware address is valid there too, but no log has
/// one for an end of a connection.
fn host(value: &str) -> Result<Observable, PartFault> {
    if let Ok(observable) = Observable::of_address(value) {
        return Ok(observable);
    }
    if mac::read(value, &mut String::new()).is_some() {
        let reason = format!("{value:?} is a hardware address, which no end of a connection has");
        return Err(PartFault::Unsupported(reason));
    }
    Observable::of_domain(value).map_err(|error| PartFault::Wrong(error.to_string()))
}

/// The address family for the type of an object that stands for a host.
pub(super) fn family(name: &str) -> Option<Family> {
    Some(match name {
        "ipv4-addr" => Family::Ipv4,
        "ipv6-addr" => Family::Ipv6,
        "domain-name" => Family::Name,
        _ => return None,
    })
}

/// Whether every event with this observable passes an equality with it on this path.
pub(super) fn is_exact(row: &PathRow, observable: &Observable) -> bool {
    let is_mixed = |network: Network| {
        let ipv4 = Network::ipv4();
        network.contains_network(ipv4) && network != ipv4
    };
    match (row.place, observable) {
        // The network contains IPv4 addresses, which are not `ipv6-addr`.
        (TestedPlace::Kind(_), Observable::Network(network)) => {
            row.target != PathTarget::Ipv6 || !is_mixed(*network)
        }
        (TestedPlace::Kind(_), _) => true,
        _ => false,
    }
}

/// Whether logs write texts of this kind in canonical form, so that an engine can search
/// for a part of it.
pub(super) fn is_searchable(kind: Kind) -> bool {
    match kind {
        Kind::Domain | Kind::Url => true,
        Kind::Text(property) => {
            let is_respelled = matches!(
                property.facts().writing,
                ValueForm::HardwareAddress | ValueForm::Serial | ValueForm::DistinguishedName
            );
            let is_fingerprint = matches!(
                property,
                Property::CertificateMd5 | Property::CertificateSha1 | Property::CertificateSha256
            );
            !is_respelled && !is_fingerprint
        }
        _ => false,
    }
}

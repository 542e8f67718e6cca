//! Addresses and networks as the octets that an index keeps of them.

use std::net::IpAddr;

use super::By;
use crate::observable::{Network, Observable};

/// The address with these octets (4 or 16).
pub(super) fn address(octets: &[u8]) -> IpAddr {
    match <[u8; 4]>::try_from(octets) {
        Ok(octets) => octets.into(),
        Err(_) => {
            let octets = <[u8; 16]>::try_from(octets);
            octets.expect("an address has 4 or 16 octets").into()
        }
    }
}

/// The network with these octets, as [`Network::to_bytes`] writes them.
pub(super) fn network(octets: &[u8]) -> Network {
    let (bits, length) = octets.split_at(16);
    let bits = <[u8; 16]>::try_from(bits).expect("16 octets and the length");
    Network::new(bits.into(), length[0])
}

/// A buffer for the octets of an address or a network.
pub(super) struct Octets {
    octets: [u8; 18],
    length: usize,
}

impl From<IpAddr> for Octets {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Octets::from_slice(&address.octets()),
            IpAddr::V6(address) => Octets::from_slice(&address.octets()),
        }
    }
}

impl Octets {
    fn from_slice(bytes: &[u8]) -> Self {
        let mut octets = [0; 18];
        octets[..bytes.len()].copy_from_slice(bytes);
        Octets {
            octets,
            length: bytes.len(),
        }
    }

    pub(super) fn of(observable: &Observable) -> Self {
        match observable {
            Observable::Address(address) => Octets::from(*address),
            Observable::Network(network) => Octets::from_slice(&network.to_bytes()),
            Observable::Endpoint(address, port) => Octets::with_port(*address, *port),
            Observable::Domain(_)
            | Observable::Url(_)
            | Observable::Hash(_)
            | Observable::Text(..)
            | Observable::Subdomain(_)
            | Observable::Answer(_) => Octets::from_slice(&[]),
        }
    }

    pub(super) fn with_port(address: IpAddr, port: u16) -> Self {
        let mut octets = Octets::from(address);
        let end = octets.length + 2;
        octets.octets[octets.length..end].copy_from_slice(&port.to_be_bytes());
        octets.length = end;
        octets
    }

    /// The bytes that the index stores for an observable with these octets.
    pub(super) fn bytes<'a>(&'a self, observable: &'a Observable, by: By) -> &'a [u8] {
        match (observable.spelled(), by) {
            (None, _) => self.as_bytes(),
            (Some(text), By::Spelling) => text.as_written().as_bytes(),
            (Some(text), By::Meaning) => text.as_bytes(),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

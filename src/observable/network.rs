//! Networks of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Of the bits of an IPv4-mapped address, those before the IPv4 address.
const MAPPED: u8 = 96;

/// A network of IPv4 or IPv6 addresses, without host bits. IPv4 addresses are
/// IPv4-mapped ones here, as in the engine: `::/0` holds them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    bits: u128,
    length: u8,
}

impl Network {
    /// Reads `ADDRESS/LENGTH`; host bits are dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let digits = (1..=3).contains(&length.len()) && length.bytes().all(|b| b.is_ascii_digit());
        let length: u8 = digits.then(|| length.parse().ok()).flatten()?;
        let address: IpAddr = address.parse().ok()?;
        match address {
            IpAddr::V4(_) if length <= 32 => Some(Network::new(address, length + MAPPED)),
            IpAddr::V6(_) if length <= 128 => Some(Network::new(address, length)),
            _ => None,
        }
    }

    /// The network of this address with so many of its 128 bits fixed.
    ///
    /// # Panics
    /// With a length of more than 128.
    pub fn new(address: IpAddr, length: u8) -> Self {
        assert!(length <= 128, "an address has 128 bits");
        let mask = u128::MAX
            .checked_shl(128 - u32::from(length))
            .unwrap_or_default();
        Network {
            bits: wide(address) & mask,
            length,
        }
    }

    /// That of all IPv4 addresses.
    pub fn ipv4() -> Self {
        Network::new(Ipv4Addr::UNSPECIFIED.into(), MAPPED)
    }

    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        Network::new(address, self.length) == *self
    }

    /// Whether the other network lies in it.
    pub fn contains_network(&self, other: Network) -> bool {
        other.length >= self.length && self.contains(other.first())
    }

    /// How many of 128 bits are fixed.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The only address in it, where there is one.
    pub fn only_address(&self) -> Option<IpAddr> {
        (self.length == 128).then(|| self.first())
    }

    /// Its first address.
    pub fn first(&self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self.bits)).to_canonical()
    }

    /// Its bits and its length as bytes.
    pub fn to_bytes(self) -> [u8; 17] {
        let mut bytes = [0; 17];
        bytes[..16].copy_from_slice(&self.bits.to_be_bytes());
        bytes[16] = self.length;
        bytes
    }
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first() {
            IpAddr::V4(address) if self.length >= MAPPED => {
                write!(f, "{address}/{}", self.length - MAPPED)
            }
            IpAddr::V4(address) => write!(f, "{}/{}", address.to_ipv6_mapped(), self.length),
            IpAddr::V6(address) => write!(f, "{address}/{}", self.length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (text, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.9", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("192.0.2.7/32", "192.0.2.6", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(network(text).contains(address), expected, "{text}");
        }
        assert!(network("10.0.0.0/8").contains_network(network("10.1.0.0/16")));
        assert!(!network("10.1.0.0/16").contains_network(network("10.0.0.0/8")));
    }

    #[test]
    fn networks_have_one_form() {
        for (text, form) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("2001:DB8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).to_string(), form);
        }
        assert!(network("192.0.2.7/32").only_address().is_some());
        for text in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "::/129",
            "x/8",
            "::/",
            "::/0000",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}

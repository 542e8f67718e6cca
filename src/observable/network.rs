//! Networks of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The number of bits that precede the IPv4 address in an IPv4-mapped address.
const MAPPED: u8 = 96;

/// A network of IPv4 or IPv6 addresses, without host bits. IPv4 addresses are stored
/// IPv4-mapped, as in the engine: `::/0` contains them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    bits: u128,
    length: u8,
}

impl Network {
    /// Reads `ADDRESS/LENGTH`, or for IPv4 `ADDRESS/MASK`. Host bits are dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        if let (IpAddr::V4(_), Ok(mask)) = (address, length.parse::<Ipv4Addr>()) {
            let mask = u32::from(mask);
            let is_mask = mask.leading_ones() + mask.trailing_zeros() == 32;
            let length = u8::try_from(mask.leading_ones()).ok()?;
            return is_mask.then(|| Network::new(address, length + MAPPED));
        }
        let digits = (1..=3).contains(&length.len()) && length.bytes().all(|b| b.is_ascii_digit());
        let length: u8 = digits.then(|| length.parse().ok()).flatten()?;
        match address {
            IpAddr::V4(_) if length <= 32 => Some(Network::new(address, length + MAPPED)),
            IpAddr::V6(_) if length <= 128 => Some(Network::new(address, length)),
            _ => None,
        }
    }

    /// The fewest networks that hold exactly the addresses from `first` to `last`; `None`
    /// if `last` is lower or of the other family.
    pub fn of_range(first: IpAddr, last: IpAddr) -> Option<Vec<Self>> {
        if first.is_ipv4() != last.is_ipv4() {
            return None;
        }
        let (mut from, last) = (wide(first), wide(last));
        let mut networks = Vec::new();
        while from <= last {
            // The largest network that begins at `from` and does not pass `last`.
            let left = (last - from).checked_add(1).map_or(128, u128::ilog2);
            let most = from.trailing_zeros().min(left);
            let length = u8::try_from(128 - most).expect("128 at the most");
            networks.push(Network::new(IpAddr::V6(from.into()), length));
            let next = 1u128
                .checked_shl(most)
                .and_then(|size| from.checked_add(size));
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        (!networks.is_empty()).then_some(networks)
    }

    /// The network of this address with `length` of its 128 bits fixed.
    ///
    /// # Panics
    /// If `length` is more than 128.
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

    /// The network of all IPv4 addresses.
    pub fn ipv4() -> Self {
        Network::new(Ipv4Addr::UNSPECIFIED.into(), MAPPED)
    }

    /// Whether the network contains the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        Network::new(address, self.length) == *self
    }

    /// Whether it contains the whole of the other network.
    pub fn contains_network(&self, other: Network) -> bool {
        other.length >= self.length && self.contains(other.first())
    }

    /// The number of fixed bits, of 128.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The only address in the network, if it has just one.
    pub fn only_address(&self) -> Option<IpAddr> {
        (self.length == 128).then(|| self.first())
    }

    /// The first address.
    pub fn first(&self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self.bits)).to_canonical()
    }

    /// The bits and the length as bytes.
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
    fn a_range_is_as_few_networks_as_hold_it() {
        let of = |first: &str, last: &str| {
            let address = |text: &str| text.parse().expect("an address");
            let networks = Network::of_range(address(first), address(last));
            networks.map(|all| all.iter().map(Network::to_string).collect::<Vec<_>>())
        };
        for (first, last, expected) in [
            ("192.0.2.0", "192.0.2.255", &["192.0.2.0/24"][..]),
            ("192.0.2.1", "192.0.2.1", &["192.0.2.1/32"]),
            (
                "192.0.2.1",
                "192.0.2.4",
                &["192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/32"],
            ),
            ("0.0.0.0", "255.255.255.255", &["0.0.0.0/0"]),
            (
                "255.255.255.254",
                "255.255.255.255",
                &["255.255.255.254/31"],
            ),
            ("2001:db8::", "2001:db8::1:ffff", &["2001:db8::/111"]),
        ] {
            assert_eq!(
                of(first, last).as_deref(),
                Some(
                    &expected
                        .iter()
                        .map(|one| one.to_string())
                        .collect::<Vec<_>>()[..]
                )
            );
        }
        let most = of("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").expect("a range");
        assert_eq!(most.len(), 128);
        assert_eq!(of("192.0.2.2", "192.0.2.1"), None);
        assert_eq!(of("192.0.2.2", "2001:db8::"), None);
    }

    #[test]
    fn networks_have_one_form() {
        for (text, form) in [
            ("10.1.2.3/255.0.0.0", "10.0.0.0/8"),
            ("10.1.2.3/0.0.0.0", "0.0.0.0/0"),
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
            "10.0.0.0/255.0.255.0",
            "::/255.0.0.0",
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

//! The values of the query language that are more than text.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// A point in time, in nanoseconds since 1970 (UTC).
pub type Instant = i128;

/// Up to nine fraction digits, no zone: as the engine prints times.
const WITH_FRACTION: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond]");
const WHOLE_SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");

/// Reads a time without a zone, which means UTC.
pub fn parse_instant(text: &str) -> Option<Instant> {
    let format = if text.contains('.') {
        WITH_FRACTION
    } else {
        WHOLE_SECONDS
    };
    let time = PrimitiveDateTime::parse(text, format).ok()?;
    Some(time.assume_utc().unix_timestamp_nanos())
}

/// An address with IPv4-mapped IPv6 addresses as the IPv4 address they mean.
pub fn canonical_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}

/// A network of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Reads `ADDRESS/LENGTH`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let length: u8 = digits.then(|| length.parse().ok()).flatten()?;
        let limit = if address.is_ipv4() { 32 } else { 128 };
        (length <= limit).then_some(Self { address, length })
    }

    /// Whether the address lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, length) = wide(self.address, self.length);
        let (address, _) = wide(address, 0);
        let shift = 128 - u32::from(length);
        (network ^ address).checked_shr(shift).unwrap_or(0) == 0
    }
}

/// The address as 128 bits and the prefix length that fits to them; IPv4 takes
/// the place of the IPv4-mapped addresses.
fn wide(address: IpAddr, length: u8) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (address.to_ipv6_mapped().into(), length.saturating_add(96)),
        IpAddr::V6(address) => (address.into(), length),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A number of an event or of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Whole(i128),
    /// Any other number.
    Real(f64),
}

impl Number {
    /// Reads a number of the query language.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let plain = digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.ends_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !plain {
            return None;
        }
        match text.parse::<i128>() {
            Ok(whole) => Some(Self::Whole(whole)),
            Err(_) => text.parse::<f64>().ok().map(Self::Real),
        }
    }

    /// The order of two numbers; whole numbers compare exactly.
    pub fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (a, b) => a.real().partial_cmp(&b.real()),
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
        ];
        for (network, address, expected) in cases {
            let parsed = Network::parse(network).expect(network);
            let address = canonical_address(address).expect(address);
            assert_eq!(parsed.contains(address), expected, "{network} {address}");
        }
        for bad in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "x/8"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_mean_utc_and_keep_nine_digits() {
        assert_eq!(
            parse_instant("2009-11-18T17:00:51.841527040"),
            Some(1_258_563_651_841_527_040)
        );
        assert_eq!(
            parse_instant("2009-11-18T17:00:51"),
            Some(1_258_563_651_000_000_000)
        );
        assert_eq!(
            parse_instant("2009-11-18T17:00:51.5"),
            Some(1_258_563_651_500_000_000)
        );
        for bad in ["2009-13-18T17:00:51", "2009-11-18", "now", ""] {
            assert_eq!(parse_instant(bad), None, "{bad}");
        }
    }

    #[test]
    fn whole_numbers_compare_exactly() {
        let big = Number::parse("9007199254740993").expect("a number");
        assert_eq!(
            big.order(Number::Whole(9_007_199_254_740_992)),
            Some(Ordering::Greater)
        );
        assert_eq!(
            Number::parse("1.5").and_then(|n| n.order(Number::Whole(2))),
            Some(Ordering::Less)
        );
        for bad in ["1.2.3", "1e5", "--1", "1.", "inf", "nan"] {
            assert_eq!(Number::parse(bad), None, "{bad}");
        }
    }
}

//! Addresses, alone, with a port, and as fields for hosts hold them.

use std::net::IpAddr;

use super::not_a_value::NotAValue;

/// What an address is called in messages.
const ADDRESS: &str = "IPv4 or IPv6 address";

/// Reads the address in the text of an event. The zone of a link (`%eth0`) is dropped,
/// and an IPv4-mapped address becomes the IPv4 address.
pub fn read(text: &str) -> Option<IpAddr> {
    if !may_be_one(text.as_bytes()) {
        return None;
    }
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => without_zone(text)?.parse::<IpAddr>().ok()?,
    };
    Some(address.to_canonical())
}

/// The longest text of an address without a zone:
/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const LONGEST_ADDRESS: usize = 45;

/// Cheaper than the parser, and true for everything that the parser accepts.
fn may_be_one(text: &[u8]) -> bool {
    let is_separator = |byte: &u8| matches!(byte, b'.' | b':');
    let Some(first) = text.iter().take(5).position(is_separator) else {
        return false;
    };
    let digits = &text[..first];
    let begins = if text[first] == b'.' {
        digits.iter().all(u8::is_ascii_digit)
    } else {
        digits.iter().all(u8::is_ascii_hexdigit)
    };
    begins && (text.len() <= LONGEST_ADDRESS || text.contains(&b'%'))
}

/// Only IPv6 addresses have a zone.
fn without_zone(text: &str) -> Option<&str> {
    let (address, zone) = text.split_once('%')?;
    (address.contains(':') && !zone.is_empty()).then_some(address)
}

/// Reads an address as a feed writes it, with or without brackets.
///
/// # Errors
/// The text is not an address.
pub fn parse(text: &str) -> Result<IpAddr, NotAValue> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .filter(|inner| inner.contains(':'));
    read(inner.unwrap_or(text)).ok_or_else(|| NotAValue::plainly(text, ADDRESS))
}

/// Reads an address and a port: `192.0.2.1:80`, `[2001:db8::1]:80`.
///
/// # Errors
/// The text is not an address with a port.
pub fn parse_with_port(text: &str) -> Result<(IpAddr, u16), NotAValue> {
    const ADDRESS_WITH_PORT: &str = "address with a port";
    let parts = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => text.split_once(':').filter(|(_, port)| !port.contains(':')),
    };
    let Some((address, port)) = parts else {
        return Err(NotAValue::plainly(text, ADDRESS_WITH_PORT));
    };
    let address = read(address).ok_or_else(|| {
        NotAValue::because(
            text,
            ADDRESS_WITH_PORT,
            format_args!("{address:?} is no {ADDRESS}"),
        )
    })?;
    match self::port(port) {
        Some(port) if port > 0 => Ok((address, port)),
        _ => Err(NotAValue::because(
            text,
            ADDRESS_WITH_PORT,
            "the port can be 1 to 65535",
        )),
    }
}

/// Reads a number that consists of digits only.
pub(super) fn port(digits: &str) -> Option<u16> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().ok()).flatten()
}

/// Splits the value of a field for hosts into the host, without brackets, and the port:
/// `evil.example:8080`, `[2001:db8::1]:80`. A value with several colons and no brackets
/// is an IPv6 address.
pub fn host_and_port(text: &str) -> (&str, Option<u16>) {
    if let Some(rest) = text.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, rest)) => (host, rest.strip_prefix(':').and_then(port)),
            None => (text, None),
        };
    }
    let Some(colon) = memchr::memchr(b':', text.as_bytes()) else {
        return (text, None);
    };
    match text[colon + 1..].parse::<u16>() {
        Ok(number) if port(&text[colon + 1..]).is_some() => (&text[..colon], Some(number)),
        _ if colon + 1 == text.len() => (&text[..colon], None),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_many_spellings() {
        for (text, form) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::FFFF:192.0.2.1", "192.0.2.1"),
            ("2001:0DB8:0000::0001", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("::", "::"),
        ] {
            let address = parse(text).expect(text);
            assert_eq!(address.to_string(), form, "{text}");
        }
        for text in [
            "",
            "192.0.2",
            "192.0.2.1%eth0",
            "fe80::1%",
            "[192.0.2.1]",
            "010.0.0.1",
            "192.0.2.1 ",
            "evil.example",
            "999.1.1.1",
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.ends_with("is no IPv4 or IPv6 address"), "{error}");
        }
    }

    #[test]
    fn a_port_is_a_number_behind_an_address() {
        let of =
            |text: &str| parse_with_port(text).map(|(address, port)| (address.to_string(), port));
        assert_eq!(of("192.0.2.1:80"), Ok(("192.0.2.1".to_owned(), 80)));
        assert_eq!(of("[2001:DB8::1]:443"), Ok(("2001:db8::1".to_owned(), 443)));
        for text in [
            "192.0.2.1",
            "192.0.2.1:",
            "192.0.2.1:0",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "2001:db8::1",
            "evil.example:80",
            "[192.0.2.1",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_field_for_hosts_has_a_host_and_perhaps_a_port() {
        for (text, host, port) in [
            ("evil.example", "evil.example", None),
            ("evil.example:8080", "evil.example", Some(8080)),
            ("evil.example:", "evil.example", None),
            ("evil.example:http", "evil.example:http", None),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[2001:db8::1]:80", "2001:db8::1", Some(80)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("2001:db8::1", "2001:db8::1", None),
            ("", "", None),
        ] {
            assert_eq!(host_and_port(text), (host, port), "{text}");
        }
    }
}

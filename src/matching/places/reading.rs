//! How the text of a field is read into canonical values.

use std::net::IpAddr;

use crate::observable::{address, domain, file_name, hash, mac, mail, protocol, text, url};

/// How the text of a field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// An address, optionally with a port.
    Address,
    /// Addresses separated by commas, blanks, arrows or parameters (`for=`, RFC 7239),
    /// optionally in brackets or with a port.
    Addresses,
    /// A name or an address.
    Name,
    /// A host, optionally with a port.
    Host,
    /// The common name in a distinguished name: a host.
    CommonName,
    /// The data of a DNS answer: a name or an address.
    Answer,
    /// The same, next to the type of the answer, which may say that it is neither.
    Record,
    /// A Kerberos principal: `host/dc.example@REALM`.
    Principal,
    /// A whole URL; other text has no value.
    Url,
    /// Path and query of a request, or a whole URL.
    Target,
    /// The digits of a hash.
    Hexadecimal,
    /// The digits of a serial number.
    Serial,
    /// A hardware address.
    Mac,
    /// The name or the path of a file.
    FileName,
    /// Mail addresses as in headers and envelopes.
    Mail,
    /// A distinguished name.
    DistinguishedName,
    /// A text in lower case.
    LowerCase,
    /// A text, unchanged.
    Text,
    /// Protocols separated by commas.
    Protocols,
    /// A number.
    Number,
    /// A word, unchanged.
    Plain,
}

/// A canonical value in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadValue<'a> {
    /// An address.
    Address(IpAddr),
    /// A text.
    Text(&'a str),
    /// The end of a path. Feeds may name fewer components than the path has.
    Ending(&'a str),
    /// A whole URL in its canonical form, and its parts.
    Url(&'a str, url::UrlComponents<'a>),
}

/// Memory for canonical forms, reused for all events.
#[derive(Debug, Default)]
pub struct Buffers {
    first: String,
    second: String,
}

/// The most components of a path that are read.
const MOST_COMPONENTS: usize = 32;

impl Reading {
    /// Shows every canonical value in the text of a field.
    #[inline]
    pub fn each(self, text: &str, buffers: &mut Buffers, mut show: impl FnMut(ReadValue<'_>)) {
        let Buffers { first, second } = buffers;
        let mut all = |text: &str| show(ReadValue::Text(text));
        match self {
            Reading::Address => {
                let with_port = || address::read(address::host_and_port(text).0);
                if let Some(address) = address::read(text).or_else(with_port) {
                    show(ReadValue::Address(address));
                }
            }
            Reading::Addresses => addresses(text, &mut show),
            Reading::Name | Reading::Answer | Reading::Record => host(text, first, &mut show),
            Reading::Host => {
                let (name, _) = address::host_and_port(bracketed(text));
                host(name, first, &mut show);
            }
            Reading::CommonName => {
                if let Some(name) = text::common_name(text) {
                    host(name, first, &mut show);
                }
            }
            Reading::Principal => {
                for part in text.split(['/', '@']) {
                    host(part, first, &mut show);
                }
            }
            Reading::Url => match sip_host(text) {
                Some(name) => host(address::host_and_port(name).0, first, &mut show),
                None => whole_url(text, first, &mut show),
            },
            Reading::Target => {
                if !url::is_whole(text) {
                    show(ReadValue::Text(url::target(text, first)));
                }
            }
            Reading::Hexadecimal => {
                if let Some(digits) = hash::read(text, first) {
                    all(digits);
                }
            }
            Reading::Serial => {
                if let Some(digits) = hash::serial(text, first) {
                    all(digits);
                }
            }
            Reading::Mac => {
                if let Some(form) = mac::read(text, first) {
                    all(form);
                }
            }
            Reading::FileName => {
                file_name::each_end(text, MOST_COMPONENTS, second, |end| {
                    show(ReadValue::Ending(end));
                });
            }
            Reading::Mail => mail::each(text, first, all),
            Reading::DistinguishedName => all(&text::distinguished_name(text)),
            Reading::LowerCase => all(&text.to_lowercase()),
            Reading::Text => all(&text::nfc(text)),
            Reading::Protocols => protocol::elements(text).for_each(|one| all(&one)),
            Reading::Number | Reading::Plain => all(text),
        }
    }
}

/// The address in an address literal of SMTP (RFC 5321, section 4.1.3): `[192.0.2.1]`,
/// `[IPv6:2001:db8::1]`. Other text is unchanged.
fn bracketed(text: &str) -> &str {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let Some(inner) = inner else {
        return text;
    };
    let tagged = inner
        .split_at_checked(5)
        .filter(|(tag, _)| tag.eq_ignore_ascii_case("IPv6:"));
    tagged.map_or(inner, |(_, address)| address)
}

#[inline]
fn host(text: &str, buffer: &mut String, show: &mut impl FnMut(ReadValue<'_>)) {
    let name = bracketed(text);
    match address::read(name) {
        Some(address) => show(ReadValue::Address(address)),
        None => show(ReadValue::Text(domain::read(name, buffer))),
    }
}

fn addresses(text: &str, show: &mut impl FnMut(ReadValue<'_>)) {
    for part in text.split([',', ' ', '>', ';', '=', '"']) {
        let (host, _) = address::host_and_port(bracketed(part));
        if let Some(address) = address::read(host) {
            show(ReadValue::Address(address));
        }
    }
}

/// The host of a SIP URI, with its port; such a URI has no `//` before the host (RFC
/// 3261, section 19.1): `sip:bob@evil.example:5060;transport=tcp`.
#[inline]
fn sip_host(text: &str) -> Option<&str> {
    let begins = |scheme: &str| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let scheme = ["sip:", "sips:"]
        .into_iter()
        .find(|scheme| begins(scheme))?;
    let rest = &text[scheme.len()..];
    let rest = &rest[..rest.find([';', '?']).unwrap_or(rest.len())];
    Some(rest.rsplit_once('@').map_or(rest, |(_, host)| host))
}

/// The URL, and its host.
fn whole_url(text: &str, buffer: &mut String, show: &mut impl FnMut(ReadValue<'_>)) {
    // A target has no scheme; most fields hold targets.
    if text.starts_with('/') || (!url::is_whole(text) && !has_host(text)) {
        return;
    }
    let Ok(whole) = url::whole(text, buffer) else {
        return;
    };
    let parts = url::parts(whole);
    show(ReadValue::Url(whole, parts));
    if let Some(name) = parts.host {
        match address::read(name) {
            Some(address) => show(ReadValue::Address(address)),
            None => show(ReadValue::Text(name)),
        }
    }
}

/// Whether a text without a scheme begins with a host that has a dot, followed by a path
/// or a port: `evil.example/x`, `evil.example:443`.
fn has_host(text: &str) -> bool {
    let end = text.find(['/', ':']).unwrap_or(0);
    text[..end].contains('.') && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(reading: Reading, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        reading.each(text, &mut Buffers::default(), |one| {
            all.push(match one {
                ReadValue::Address(address) => format!("@{address}"),
                ReadValue::Text(text) | ReadValue::Ending(text) => text.to_owned(),
                ReadValue::Url(url, _) => format!("<{url}>"),
            });
        });
        all
    }

    #[test]
    fn each_reading_gives_canonical_values() {
        for (reading, text, expected) in [
            (Reading::Address, "::FFFF:192.0.2.1", &["@192.0.2.1"][..]),
            (Reading::Address, "192.0.2.1:80", &["@192.0.2.1"]),
            (Reading::Address, "[2001:db8::1]:80", &["@2001:db8::1"]),
            (Reading::Address, "evil.example", &[]),
            (
                Reading::Addresses,
                "FORWARDED -> for=192.0.2.1;by=\"[2001:db8::1]:80\"",
                &["@192.0.2.1", "@2001:db8::1"],
            ),
            (
                Reading::Url,
                "sip:bob@Evil.example:5060;transport=tcp",
                &["evil.example"],
            ),
            (Reading::Url, "SIPS:192.0.2.1", &["@192.0.2.1"]),
            (
                Reading::Addresses,
                "192.0.2.1, 192.0.2.2",
                &["@192.0.2.1", "@192.0.2.2"],
            ),
            (
                Reading::Addresses,
                "X-FORWARDED-FOR -> 192.0.2.1",
                &["@192.0.2.1"],
            ),
            (Reading::Addresses, "[192.0.2.1]", &["@192.0.2.1"]),
            (Reading::Name, "Evil.example.", &["evil.example"]),
            (Reading::Name, "[192.0.2.1]", &["@192.0.2.1"]),
            (Reading::Host, "Evil.example:8080", &["evil.example"]),
            (Reading::Host, "[2001:db8::1]:80", &["@2001:db8::1"]),
            (Reading::Host, "[2001:db8::1]", &["@2001:db8::1"]),
            (
                Reading::CommonName,
                "C=X, CN=Evil.example",
                &["evil.example"],
            ),
            (Reading::CommonName, "evil.example", &[]),
            (Reading::Addresses, "[IPv6:2001:DB8::1]", &["@2001:db8::1"]),
            (
                Reading::Principal,
                "host/dc.example@EXAMPLE",
                &["host", "dc.example", "example"],
            ),
            (
                Reading::Url,
                "HTTP://Evil.example/x",
                &["<http://evil.example/x>", "evil.example"],
            ),
            (Reading::Url, "/x?http://y/", &[]),
            (
                Reading::Url,
                "evil.example:443",
                &["<//evil.example:443/>", "evil.example"],
            ),
            (Reading::Url, "RETR x", &[]),
            (Reading::Target, "/%7ex", &["/~x"]),
            (Reading::Target, "http://evil.example/", &[]),
            (Reading::Hexadecimal, "AB:CD", &["abcd"]),
            (Reading::Serial, "00AB", &["ab"]),
            (Reading::Mac, "00-0A-95-9d-68-16", &["00:0a:95:9d:68:16"]),
            (Reading::FileName, "a\\B", &["b", "a/b"]),
            (Reading::Mail, "X <A@b.example>", &["a@b.example"]),
            (Reading::DistinguishedName, "CN=x,C=y", &["C=y,CN=x"]),
            (Reading::Protocols, "ssl,HTTP", &["ssl", "http"]),
        ] {
            assert_eq!(seen(reading, text), expected, "{reading:?} {text}");
        }
    }
}

//! Converts a value of a feed into an indicator.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::said::Said;
use crate::indicator::{Indicator, Message, Protocol, Rejection};
use crate::matching::condition::Condition;
use crate::observable::{NotAValue, Observable, Property, of_line, refang, trimmed};

/// The namespace of the ids that are made here (UUID 5). It must not change, since
/// `--report-once` identifies indicators by their ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x8a1d_0c5e_3b52_4f7e_9d0b_6e1f_4c27_a3d8);

/// One value in a feed.
#[derive(Debug)]
pub struct Record<'a> {
    /// Its line, from 1.
    pub line: u64,
    /// Its kind according to the feed.
    pub said: Said,
    /// The value in the feed's spelling.
    pub value: &'a str,
    /// The feed's name for the kind.
    pub kind: Option<&'a str>,
    /// Its own id, `indicator--UUID`.
    pub id: Option<String>,
    /// The feed's other data about it.
    pub properties: Map<String, Value>,
}

impl<'a> Record<'a> {
    /// A value without other data.
    pub fn new(line: u64, said: Said, value: &'a str) -> Self {
        Record {
            line,
            said,
            value: trimmed(value),
            kind: None,
            id: None,
            properties: Map::new(),
        }
    }

    /// Converts it into an indicator.
    ///
    /// # Errors
    /// The reason why it is not one.
    pub fn into_message(self) -> Result<Message, Rejection> {
        if self.said == Said::Elsewhere {
            let kind = self.kind.unwrap_or("this type");
            return Ok(Message::Unsupported {
                protocol: Protocol::Legacy,
                id: self.id_of(kind, self.value),
                ioc: self.value.to_owned(),
                reason: format!("no event holds values of type {kind:?}"),
                modified: None,
                replaces: false,
            });
        }
        let reject = |reason| Rejection::new(self.value.into(), reason);
        let meant = meant(self.said, self.value).map_err(|error| reject(error.to_string()))?;
        let checked = meant.observables.into_iter().map(Observable::checked);
        let observables: Vec<Observable> = checked.collect::<Result<_, _>>().map_err(reject)?;
        let first = &observables[0];
        let (canonical, condition) = match meant.beside {
            Some(Beside::Port(port)) => (
                Cow::Owned(format!("{first}:{port}")),
                Some(Condition::domain_at_port(first, port)),
            ),
            Some(Beside::FileName(name)) => (
                Cow::Owned(format!("{name}|{first}")),
                Condition::file_with_hash_named(first, name),
            ),
            None => (canonical(&observables), None),
        };
        let id = self.id_of(first.kind(), &canonical);
        Ok(Message::Match {
            indicator: Indicator {
                ioc: vec![spelled(&observables[0], self.value).into_owned()],
                condition: condition.map(Arc::new),
                properties: json(&self.properties),
                ..Indicator::new(id, Protocol::Legacy, observables)
            },
            replaces: false,
            left_out: vec![],
        })
    }

    /// Its own id, or one derived from its value: the same in every feed.
    fn id_of(&self, kind: &str, canonical: &str) -> Arc<str> {
        const PREFIX: &[u8] = b"indicator--";
        const END: usize = PREFIX.len() + Hyphenated::LENGTH;
        match &self.id {
            Some(id) => id.as_str().into(),
            None => {
                let name = [kind, " ", canonical].concat();
                let uuid = Uuid::new_v5(&NAMESPACE, name.as_bytes()).hyphenated();
                let mut id = [0; END];
                id[..PREFIX.len()].copy_from_slice(PREFIX);
                uuid.encode_lower(&mut id[PREFIX.len()..]);
                std::str::from_utf8(&id).expect("it is ASCII").into()
            }
        }
    }
}

fn json(properties: &Map<String, Value>) -> Option<Box<RawValue>> {
    if properties.is_empty() {
        return None;
    }
    // A map of JSON values is JSON.
    serde_json::value::to_raw_value(properties).ok()
}

/// One text for all values of an indicator.
fn canonical(observables: &[Observable]) -> Cow<'_, str> {
    if let [one] = observables {
        if let Some(text) = one.spelled() {
            return Cow::Borrowed(text);
        }
    }
    let texts: Vec<String> = observables.iter().map(Observable::to_string).collect();
    Cow::Owned(texts.join("|"))
}

/// The value in the feed's spelling, refanged if its kind is defanged.
fn spelled<'t>(observable: &Observable, value: &'t str) -> Cow<'t, str> {
    match observable {
        Observable::Text(Property::Email, _) => refang(value),
        Observable::Text(..) | Observable::Hash(_) => Cow::Borrowed(value),
        _ => refang(value),
    }
}

/// The meaning of a value.
struct Meant<'a> {
    /// Never empty.
    observables: Vec<Observable>,
    beside: Option<Beside<'a>>,
}

/// Another property that an event must not contradict.
enum Beside<'a> {
    /// The name of the file.
    FileName(&'a str),
    /// The port of the host.
    Port(u16),
}

fn meant(said: Said, value: &str) -> Result<Meant<'_>, NotAValue> {
    let mut beside = None;
    let observables = match said {
        // `Nothing` and `Elsewhere` have no kind; the latter was handled before.
        Said::Nothing | Said::Elsewhere => of_line(value)?,
        Said::Address => {
            let endpoint = || Observable::of_endpoint(value).map(|one| vec![one]);
            Observable::of_addresses(value).or_else(|error| endpoint().map_err(|_| error))?
        }
        Said::AddressPort => vec![endpoint(value)?],
        Said::Domain => host(value)?,
        Said::DomainAnd => {
            let whole = refang(value);
            let (name, rest) = match whole.split_once('|') {
                Some(parts) => parts,
                None => whole.rsplit_once(':').unwrap_or((&whole, "")),
            };
            // Addresses change, and few events with a domain have its address: an event
            // that needs both would be missed too often.
            match (
                host(name)?.remove(0),
                rest.parse().ok().filter(|port| *port > 0),
            ) {
                (Observable::Address(address), Some(port)) => {
                    vec![Observable::Endpoint(address, port)]
                }
                (name, port) => {
                    beside = port.map(Beside::Port);
                    vec![name]
                }
            }
        }
        Said::Url => vec![Observable::of_url(value)?],
        Said::Hash => vec![Observable::of_hash(value)?],
        Said::Hassh | Said::HasshServer => vec![Observable::of_hash(value)?],
        Said::Certificate => vec![by_length(
            value,
            [
                Property::CertificateSha1,
                Property::CertificateSha256,
                Property::CertificateMd5,
                Property::CertificateSha1,
            ],
        )?],
        Said::Mail => vec![Observable::of_mail(value)?],
        Said::Text(property) => vec![Observable::text(property, value)?],
        Said::NamedFile => {
            let (file, hash) = value.rsplit_once('|').unwrap_or(("", value));
            beside = Some(file)
                .filter(|file| !file.is_empty())
                .map(Beside::FileName);
            let hashes = [
                Property::Md5,
                Property::Sha1,
                Property::Sha256,
                Property::Sha512,
            ];
            vec![by_length(hash, hashes)?]
        }
    };
    Ok(Meant {
        observables,
        beside,
    })
}

/// An address and a port, separated by `:` or (in MISP) by `|`.
fn endpoint(value: &str) -> Result<Observable, NotAValue> {
    match value.split_once('|') {
        Some((address, port)) if address.contains(':') && !address.starts_with('[') => {
            Observable::of_endpoint(&format!("[{address}]:{port}"))
        }
        Some((address, port)) => Observable::of_endpoint(&format!("{address}:{port}")),
        None => Observable::of_endpoint(value),
    }
}

/// A name, or an address in its place, as in columns for hosts.
fn host(value: &str) -> Result<Vec<Observable>, NotAValue> {
    match Observable::of_addresses(value) {
        Ok(addresses) => Ok(addresses),
        // `.evil.example` and `||evil.example^`
        Err(_) if value.starts_with(['.', '|']) => of_line(value),
        Err(_) => Ok(vec![Observable::of_domain(value)?]),
    }
}

/// The text as the first of these properties that accepts it; if none does, the error of
/// the last.
fn by_length(value: &str, properties: [Property; 4]) -> Result<Observable, NotAValue> {
    let [first @ .., last] = properties;
    let found = first
        .into_iter()
        .find_map(|one| Observable::text(one, value).ok());
    found.map_or_else(|| Observable::text(last, value), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indicator(said: Said, value: &str) -> Result<Indicator, String> {
        match Record::new(1, said, value).into_message() {
            Ok(Message::Match { indicator, .. }) => Ok(indicator),
            Ok(other) => panic!("{other:?}"),
            Err(rejection) => Err(rejection.reason),
        }
    }

    fn id(said: Said, value: &str) -> String {
        let indicator = indicator(said, value).unwrap_or_else(|error| panic!("{error}"));
        indicator.id.to_string()
    }

    #[test]
    fn what_a_feed_names_is_what_is_searched() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let named = format!("a.exe|{md5}");
        for (said, value, form) in [
            (Said::Nothing, "192.0.2.1", "ipv4 192.0.2.1"),
            (Said::Address, "192.0.2.1:80", "endpoint 192.0.2.1:80"),
            (Said::Address, "192.0.2[.]0/24", "network 192.0.2.0/24"),
            (Said::AddressPort, "192.0.2.1|80", "endpoint 192.0.2.1:80"),
            (
                Said::AddressPort,
                "2001:db8::1|80",
                "endpoint [2001:db8::1]:80",
            ),
            (Said::Domain, "Evil[.]example", "domain evil.example"),
            (Said::Domain, "192.0.2.1", "ipv4 192.0.2.1"),
            (
                Said::DomainAnd,
                "evil.example|192.0.2.1",
                "domain evil.example",
            ),
            (Said::DomainAnd, "evil.example:443", "domain evil.example"),
            (Said::DomainAnd, "evil[.]example|443", "domain evil.example"),
            (Said::DomainAnd, "192.0.2.1:443", "endpoint 192.0.2.1:443"),
            (Said::Url, "/gate.php", "url /gate.php"),
            (Said::Hash, md5, "hash d41d8cd98f00b204e9800998ecf8427e"),
            (
                Said::NamedFile,
                &named,
                "md5 d41d8cd98f00b204e9800998ecf8427e",
            ),
            (Said::Mail, "A@evil.example", "email a@evil.example"),
            (
                Said::Text(Property::Mac),
                "00-0A-95-9d-68-16",
                "mac 00:0a:95:9d:68:16",
            ),
            (
                Said::Text(Property::UserAgent),
                "Wget/1.0",
                "useragent Wget/1.0",
            ),
            (
                Said::Text(Property::HttpMethod),
                "PROPFIND",
                "http_method PROPFIND",
            ),
            (Said::Text(Property::Cookie), "id=1", "cookie id=1"),
        ] {
            let indicator = indicator(said, value).unwrap_or_else(|error| panic!("{error}"));
            let one = &indicator.observables[0];
            assert_eq!(format!("{} {one}", one.kind()), form, "{value}");
            let is_narrowed =
                said == Said::NamedFile || said == Said::DomainAnd && value.ends_with("443");
            assert_eq!(
                indicator.condition.is_some(),
                is_narrowed && one.kind() != "endpoint",
                "{value}"
            );
        }
        for (said, value) in [
            (Said::Nothing, "two words"),
            (Said::Address, "999.1.1.1"),
            (Said::AddressPort, "192.0.2.1|x"),
            (Said::Hash, "d41d"),
            (Said::NamedFile, "a.exe|d41d"),
        ] {
            let reason = indicator(said, value).expect_err(value);
            assert!(reason.contains("is no"), "{reason}");
        }
    }

    #[test]
    fn a_domain_with_a_port_is_none_at_another_port() {
        let indicator = indicator(Said::DomainAnd, "evil.example:8443").expect("an indicator");
        let condition = indicator.condition.as_ref().expect("the port");
        for (event, holds) in [
            (r#"{"dest_port":8443,"tls":{"sni":"evil.example"}}"#, true),
            (r#"{"dest_port":443,"tls":{"sni":"evil.example"}}"#, false),
            (r#"{"dest_port":8443,"tls":{"sni":"good.example"}}"#, false),
            (r#"{"dest_port":53,"dns":{"rrname":"evil.example"}}"#, true),
            (
                r#"{"dest_port":3128,"http":{"hostname":"Evil.example:8443"}}"#,
                true,
            ),
            (
                r#"{"id.resp_p":8443,"host":"evil.example","uri":"/"}"#,
                true,
            ),
        ] {
            assert_eq!(condition.holds(event), holds, "{event}");
        }
        let other = id(Said::DomainAnd, "evil.example:443");
        assert_ne!(&*indicator.id, other);
        assert_ne!(other, id(Said::Domain, "evil.example"));
    }

    #[test]
    fn a_domain_may_be_meant_with_the_names_under_it() {
        for value in [".evil.example", "||evil.example^"] {
            let found = indicator(Said::Domain, value).expect("a domain");
            assert_eq!(found.observables.len(), 2, "{value}");
        }
        assert!(indicator(Said::Domain, "..").is_err());
    }

    #[test]
    fn an_id_is_of_the_kind_and_the_canonical_value() {
        let first = id(Said::Nothing, "EVIL[.]example.");
        assert_eq!(first, id(Said::Domain, "evil.example"));
        // It must never change, since reported sightings are identified by it.
        assert_eq!(first, "indicator--6c9fd5d1-ae59-5915-9bf2-efde455f4c43");
        assert_ne!(first, id(Said::Nothing, "*.evil.example"));
        let range = id(Said::Address, "192.0.2.0-192.0.2.255");
        assert_eq!(range, id(Said::Nothing, "192.0.2.7/24"));
        let own = Record {
            id: Some("indicator--1".to_owned()),
            ..Record::new(1, Said::Nothing, "192.0.2.1")
        };
        let Ok(Message::Match { indicator, .. }) = own.into_message() else {
            panic!("an indicator");
        };
        assert_eq!(&*indicator.id, "indicator--1");
    }

    #[test]
    fn a_value_is_shown_as_the_feed_spells_it_made_whole() {
        let shown = |said, value| indicator(said, value).map(|one| one.ioc[0].clone());
        assert_eq!(
            shown(Said::Nothing, "Bad[.]Example").as_deref(),
            Ok("Bad.Example")
        );
        assert_eq!(
            shown(Said::Text(Property::UserAgent), "a [.] b").as_deref(),
            Ok("a [.] b")
        );
    }
}

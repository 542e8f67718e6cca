//! Pairs of an indicator and an event with a known verdict: a random thing, spelled at
//! random by the rules of its kind in the indicator and in the event, and put into a
//! random field inside or outside the table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::*;
use crate::matching::places::{Row, Sought, TABLE};
use crate::observable::{Property, domain, of_line};

/// The number of indicators that are searched at once, with as many events.
const INDICATORS: usize = 500;

/// The number of rounds: 100,000 pairs in all.
const ROUNDS: u64 = 200;

/// xorshift64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn letters(&mut self, of: &str, count: usize) -> String {
        let of: Vec<char> = of.chars().collect();
        (0..count).map(|_| of[self.below(of.len())]).collect()
    }

    fn digits(&mut self, count: usize) -> String {
        self.letters("0123456789abcdef", count)
    }

    /// The text with ASCII letters in random case.
    fn cased(&mut self, text: &str) -> String {
        let flip = |c: char| {
            if self.coin() {
                c.to_ascii_uppercase()
            } else {
                c
            }
        };
        text.chars().map(flip).collect()
    }
}

/// What an indicator names.
#[derive(Clone, Debug)]
enum Thing {
    Name(String),
    Address(IpAddr),
    Network(Ipv4Addr),
    Endpoint(Ipv4Addr, u16),
    Url {
        host: String,
        port: Option<u16>,
        target: String,
    },
    Hash(Property, String),
    AnyHash(String),
    File(String),
    Mail(String, String),
    Mac(String),
    Text(Property, String),
}

/// Properties of hashes and their digits.
const HASHES: &[(Property, usize)] = &[
    (Property::Md5, 32),
    (Property::Sha1, 40),
    (Property::Sha256, 64),
    (Property::CertificateSha1, 40),
    (Property::CertificateSha256, 64),
    (Property::Ja3, 32),
    (Property::Ja3s, 32),
    (Property::HasshClient, 32),
    (Property::HasshServer, 32),
];

/// Properties whose texts are compared unchanged.
const TEXTS: &[Property] = &[
    Property::UserAgent,
    Property::EmailSubject,
    Property::HttpMethod,
    Property::CommandLine,
];

impl Thing {
    /// A random thing that is unique for this number.
    fn any(random: &mut Random, number: usize) -> Self {
        let name = |random: &mut Random| {
            let label = random.letters("abcdeüßж", 6);
            format!(
                "{label}{number}.{}.example",
                random.letters("fgh-_", 3).replace("-_", "x")
            )
        };
        let address = |random: &mut Random| {
            let number = u32::try_from(number).expect("a few thousand");
            let third = u32::try_from(random.below(16)).expect("16");
            Ipv4Addr::from(0xc612_0000 | number << 4 | third)
        };
        match random.below(11) {
            0 | 1 => Thing::Name(name(random)),
            2 => Thing::Address(address(random).into()),
            3 => {
                let high = u128::from(0x2001_0db8_u32) << 96;
                Thing::Address(Ipv6Addr::from(high | (number as u128) << 32 | 0xab).into())
            }
            4 => Thing::Network(Ipv4Addr::from(0x0a00_0000 | (number as u32) << 8)),
            5 => Thing::Endpoint(address(random), 1 + random.below(60_000) as u16),
            6 => Thing::Url {
                host: name(random),
                port: random.coin().then(|| 1024 + random.below(60_000) as u16),
                target: format!(
                    "/{}?{number}={}",
                    random.letters("aB~-./", 5),
                    random.letters("x&=:", 3)
                ),
            },
            7 => {
                if random.coin() {
                    let (property, digits) = HASHES[random.below(HASHES.len())];
                    Thing::Hash(property, random.digits(digits))
                } else {
                    let digits = [32, 40, 64][random.below(3)];
                    Thing::AnyHash(random.digits(digits))
                }
            }
            8 => Thing::File(format!("{}{number}.exe", random.letters("ab c", 4))),
            9 => {
                if random.coin() {
                    Thing::Mail(
                        format!("{}{number}", random.letters("ab.+", 4)),
                        name(random),
                    )
                } else {
                    let digits = random.digits(12);
                    let pairs: Vec<&str> = (0..6).map(|at| &digits[2 * at..2 * at + 2]).collect();
                    Thing::Mac(pairs.join(":"))
                }
            }
            _ => {
                let property = TEXTS[random.below(TEXTS.len())];
                Thing::Text(property, format!("{} {number}", random.letters("aBü/", 6)))
            }
        }
    }

    /// The indicator, spelled in one of its ways.
    fn indicator(&self, random: &mut Random) -> Observable {
        let line = |text: String| {
            let mut all = of_line(&text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(all.len(), 1, "{text}");
            all.remove(0)
        };
        let text = |property, text: &str| {
            Observable::text(property, text).unwrap_or_else(|error| panic!("{error}"))
        };
        match self {
            Thing::Name(name) => {
                let name = spelled_name(name, random);
                line(defanged(&name, random))
            }
            Thing::Address(address) => line(defanged(&spelled_address(*address, random), random)),
            Thing::Network(network) => {
                let host = Ipv4Addr::from(u32::from(*network) | random.below(256) as u32);
                line(match random.below(3) {
                    0 => format!("{host}/24"),
                    1 => format!("{host}/255.255.255.0"),
                    _ => format!("{network}-{}", Ipv4Addr::from(u32::from(*network) | 255)),
                })
            }
            Thing::Endpoint(address, port) => line(defanged(&format!("{address}:{port}"), random)),
            Thing::Url { host, port, target } => {
                let scheme = random.pick(&["http://", "HTTP://", "https://", ""]);
                let host = spelled_name(host, random);
                let port = match (port, scheme) {
                    (Some(port), _) => format!(":{port}"),
                    (None, "http://" | "HTTP://") if random.coin() => ":80".to_owned(),
                    (None, "https://") if random.coin() => ":443".to_owned(),
                    (None, _) => String::new(),
                };
                let fragment = random.pick(&["", "#top"]);
                let target = spelled_target(target, random);
                line(format!("{scheme}{host}{port}{target}{fragment}"))
            }
            Thing::Hash(property, digits) => text(*property, &spelled_hash(digits, random)),
            Thing::AnyHash(digits) => line(spelled_hash(digits, random)),
            Thing::File(name) => text(Property::FileName, &random.cased(name)),
            Thing::Mail(local, name) => {
                let mail = format!("{}@{}", random.cased(local), spelled_name(name, random));
                line(if random.coin() {
                    mail
                } else {
                    format!("Some Name <{mail}>")
                })
            }
            Thing::Mac(mac) => text(Property::Mac, &spelled_mac(mac, random)),
            Thing::Text(property, value) => text(*property, value),
        }
    }

    /// Another thing that is close to it.
    fn near_miss(&self, random: &mut Random) -> Self {
        match self.clone() {
            Thing::Name(name) => Thing::Name(match random.below(4) {
                0 => format!("x{name}"),
                1 => format!("www.{name}"),
                2 => format!("{name}.org"),
                _ => name.split_once('.').expect("it has a dot").1.to_owned(),
            }),
            Thing::Address(IpAddr::V4(address)) => {
                Thing::Address(Ipv4Addr::from(u32::from(address) ^ 0x0100_0000).into())
            }
            Thing::Address(IpAddr::V6(address)) => {
                Thing::Address(Ipv6Addr::from(u128::from(address) ^ 1 << 80).into())
            }
            Thing::Network(network) => {
                Thing::Network(Ipv4Addr::from(u32::from(network) ^ 0x0100_0000))
            }
            Thing::Endpoint(address, port) => Thing::Endpoint(address, port ^ 1),
            Thing::Url { host, port, target } => {
                match random.below(if port.is_some() { 5 } else { 4 }) {
                    0 => Thing::Url {
                        host: format!("x{host}"),
                        port,
                        target,
                    },
                    1 => Thing::Url {
                        host,
                        port,
                        target: format!("{target}x"),
                    },
                    2 => Thing::Url {
                        host,
                        port,
                        target: target[..target.len() - 1].to_owned(),
                    },
                    3 => Thing::Url {
                        host,
                        port,
                        target: format!("/x{target}"),
                    },
                    _ => Thing::Url {
                        host,
                        port: port.map(|port| port ^ 1),
                        target,
                    },
                }
            }
            Thing::Hash(property, digits) => Thing::Hash(property, other_digit(&digits)),
            Thing::AnyHash(digits) => Thing::AnyHash(other_digit(&digits)),
            Thing::File(name) => Thing::File(format!("x{name}")),
            Thing::Mail(local, name) => {
                if random.coin() {
                    Thing::Mail(format!("x{local}"), name)
                } else {
                    Thing::Mail(local, format!("{name}.org"))
                }
            }
            Thing::Mac(mac) => Thing::Mac(other_digit(&mac)),
            Thing::Text(property, text) => Thing::Text(property, format!("{text} x")),
        }
    }

    /// Puts it into a field of the table, in a spelling that logs use.
    fn put(&self, event: &mut Map<String, Value>, random: &mut Random) {
        let mut one = |kinds: &[Kind], random: &mut Random| {
            let rows: Vec<&Row> = TABLE
                .iter()
                .filter(|row| matches!(row.sought, Sought::Kind(kind) if kinds.contains(&kind)))
                .collect();
            let row = random.pick(&rows);
            let path = any_path(row, random);
            let text = self.text_for(row.reading, random);
            let layout = random.below(3);
            if row.reading == Reading::Record {
                let name = path.replace("rdata", "rrtype");
                insert(
                    event,
                    &name,
                    json!(random.pick(&["A", "CNAME", "MX"])),
                    layout,
                );
            }
            let value = match random.below(4) {
                0 => json!(["", text]),
                _ => json!(text),
            };
            insert(event, &path, value, layout);
        };
        match self {
            Thing::Name(_) => one(&[Kind::Domain], random),
            Thing::Address(_) | Thing::Network(_) => one(&[Kind::Address], random),
            Thing::Endpoint(address, port) => {
                let ends = [
                    ("src_ip", "src_port"),
                    ("dest_ip", "dest_port"),
                    ("id.orig_h", "id.orig_p"),
                    ("id.resp_h", "id.resp_p"),
                    ("source.ip", "source.port"),
                    ("destination.ip", "destination.port"),
                ];
                let (host, number) = ends[random.below(ends.len())];
                let layout = random.below(3);
                let address = spelled_address((*address).into(), random);
                insert(event, host, json!(address), layout);
                insert(event, number, json!(port), layout);
            }
            Thing::Url { host, port, target } => put_url(event, host, *port, target, random),
            Thing::Hash(property, _) => one(&[Kind::Text(*property)], random),
            Thing::AnyHash(digits) => {
                let kinds: Vec<Kind> = HASHES
                    .iter()
                    .filter(|(_, length)| *length == digits.len())
                    .map(|(property, _)| Kind::Text(*property))
                    .collect();
                one(&kinds, random);
            }
            Thing::File(_) => one(&[Kind::Text(Property::FileName)], random),
            Thing::Mail(..) => {
                let all = [
                    Property::Email,
                    Property::EmailSender,
                    Property::EmailRecipient,
                ];
                one(&all.map(Kind::Text), random);
            }
            Thing::Mac(_) => one(&[Kind::Text(Property::Mac)], random),
            Thing::Text(property, _) => one(&[Kind::Text(*property)], random),
        }
    }

    /// Its text for a field with this reading.
    fn text_for(&self, reading: Reading, random: &mut Random) -> String {
        let host = match self {
            Thing::Name(name) => spelled_name(name, random),
            Thing::Address(address) => spelled_address(*address, random),
            Thing::Network(network) => {
                Ipv4Addr::from(u32::from(*network) | random.below(256) as u32).to_string()
            }
            Thing::Url { .. } | Thing::Endpoint(..) => panic!("{self:?} is in several fields"),
            Thing::Hash(_, digits) | Thing::AnyHash(digits) => spelled_hash(digits, random),
            Thing::File(name) => {
                let folder = random.pick(&["", "/", "/a/b/", "x\\Y\\", "C:\\"]);
                format!("{folder}{}", random.cased(name))
            }
            Thing::Mail(local, name) => {
                let mail = format!("{}@{}", random.cased(local), spelled_name(name, random));
                match random.below(4) {
                    0 => mail,
                    1 => format!("<{mail}>"),
                    2 => format!("\"Roll, Pay\" <{mail}>"),
                    _ => format!("X <x@x.example>, {mail}"),
                }
            }
            Thing::Mac(mac) => spelled_mac(mac, random),
            Thing::Text(_, text) => text.clone(),
        };
        let authority = if host.contains(':') && reading != Reading::Name {
            format!("[{host}]")
        } else {
            host.clone()
        };
        match reading {
            Reading::Host if random.coin() => format!("{authority}:8080"),
            Reading::Host => authority,
            Reading::CommonName => {
                if random.coin() {
                    format!("C=US, O=\"X, Y\", CN={host}")
                } else {
                    format!("CN={host},O=X,C=US")
                }
            }
            Reading::Url => {
                let port = random.pick(&["", ":81"]);
                format!("http://u:p@{authority}{port}/x?y=z")
            }
            Reading::Addresses => {
                if random.coin() {
                    format!("192.0.2.200, {host}")
                } else {
                    format!("X-FORWARDED-FOR -> {host}")
                }
            }
            Reading::Principal => format!("host/{host}@REALM"),
            _ => host,
        }
    }
}

fn put_url(
    event: &mut Map<String, Value>,
    host: &str,
    port: Option<u16>,
    target: &str,
    random: &mut Random,
) {
    let layout = random.below(3);
    let host = spelled_name(host, random);
    let target = spelled_target(target, random);
    if random.below(4) == 0 {
        let rows: Vec<&Row> = TABLE
            .iter()
            .filter(|row| row.sought == Sought::Kind(Kind::Url))
            .collect();
        let path = any_path(random.pick(&rows), random);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        return insert(
            event,
            &path,
            json!(format!("http://{host}{port}{target}")),
            layout,
        );
    }
    let (host_path, target_path, port_path) = match random.below(3) {
        0 => ("http.hostname", "http.url", "dest_port"),
        1 => ("host", "uri", "id.resp_p"),
        _ => ("url.domain", "url.path", "url.port"),
    };
    let in_header = random.coin();
    match port {
        Some(port) if in_header => {
            insert(event, host_path, json!(format!("{host}:{port}")), layout);
            insert(event, port_path, json!(9), layout);
        }
        Some(port) => {
            insert(event, host_path, json!(host), layout);
            insert(event, port_path, json!(port), layout);
        }
        None => insert(event, host_path, json!(host), layout),
    }
    match target.split_once('?') {
        Some((path, query)) if target_path == "url.path" && random.coin() => {
            insert(event, target_path, json!(path), layout);
            insert(event, "url.query", json!(query), layout);
        }
        _ => insert(event, target_path, json!(target), layout),
    }
}

/// A field of the row, under a name that some export of the log uses.
fn any_path(row: &Row, random: &mut Random) -> String {
    let columns = [row.eve, row.zeek, row.ecs, row.others];
    let full: Vec<usize> = (0..4).filter(|at| !columns[*at].is_empty()).collect();
    let column = full[random.below(full.len())];
    let path = random.pick(columns[column]);
    match column {
        0 if random.below(4) == 0 => format!("suricata.eve.{path}"),
        // Zeek's own logs do not carry the name of the log.
        1 => match random.below(3) {
            0 => path.to_owned(),
            1 => format!("zeek.{path}"),
            _ => path
                .split_once('.')
                .expect("a log and a field")
                .1
                .to_owned(),
        },
        2 if random.below(4) == 0 => format!("_source.{path}"),
        _ => path.to_owned(),
    }
}

/// Puts a value into an event, nested, flattened, or with `_` between the keys.
fn insert(event: &mut Map<String, Value>, path: &str, value: Value, layout: usize) {
    match (layout, path.split_once('.')) {
        (0, Some((first, rest))) => {
            let inner = event.entry(first).or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                insert(inner, rest, value, layout);
            }
        }
        // A wrapper is never joined with `_`.
        (1, _)
            if !path.starts_with("suricata.")
                && !path.starts_with("zeek.")
                && !path.starts_with('_') =>
        {
            event.insert(path.replace('.', "_"), value);
        }
        _ => {
            event.insert(path.to_owned(), value);
        }
    }
}

/// Fields outside the table.
const BESIDE: &[&str] = &[
    "alert.signature",
    "alert.category",
    "alert.metadata.tag",
    "message",
    "uid",
    "history",
    "http.http_content_type",
    "tls.version",
    "dns.type",
    "weird.notice",
    "peer_descr",
    "url.query_text",
];

fn defanged(text: &str, random: &mut Random) -> String {
    match random.below(4) {
        0 => text.replace('.', "[.]"),
        1 => text.replacen('.', "(.)", 1),
        2 => text.replacen('.', "[dot]", 1),
        _ => text.to_owned(),
    }
}

fn spelled_name(name: &str, random: &mut Random) -> String {
    let mut buffer = String::new();
    let name = if random.coin() {
        domain::read(name, &mut buffer)
    } else {
        name
    };
    let dot = random.pick(&["", "", "."]);
    format!("{}{dot}", random.cased(name))
}

fn spelled_address(address: IpAddr, random: &mut Random) -> String {
    match address {
        IpAddr::V4(address) if random.below(4) == 0 => {
            address.to_ipv6_mapped().to_string().to_uppercase()
        }
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) if random.coin() => {
            let words = address.segments().map(|word| format!("{word:04X}"));
            words.join(":")
        }
        IpAddr::V6(address) => random.cased(&address.to_string()),
    }
}

fn spelled_hash(digits: &str, random: &mut Random) -> String {
    let digits = random.cased(digits);
    if random.coin() {
        return digits;
    }
    let pairs: Vec<&str> = (0..digits.len() / 2)
        .map(|at| &digits[2 * at..2 * at + 2])
        .collect();
    pairs.join(":")
}

fn spelled_mac(mac: &str, random: &mut Random) -> String {
    let mac = random.cased(mac);
    if random.coin() {
        mac
    } else {
        mac.replace(':', "-")
    }
}

/// The target with some characters escaped needlessly.
fn spelled_target(target: &str, random: &mut Random) -> String {
    let mut spelled = String::new();
    for c in target.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '~' | '-' | '.' if random.below(4) == 0 => {
                let escape = format!("%{:02x}", u32::from(c));
                spelled.push_str(&random.cased(&escape));
            }
            c => spelled.push(c),
        }
    }
    spelled
}

fn other_digit(digits: &str) -> String {
    let last = if digits.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &digits[..digits.len() - 1])
}

#[test]
fn what_is_there_is_found_and_nothing_else() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    for _ in 0..ROUNDS {
        let mut matcher = Matcher::new(Fields::Named, true);
        let things: Vec<Thing> = (0..INDICATORS)
            .map(|number| Thing::any(&mut random, number))
            .collect();
        let mut slots = Vec::new();
        for thing in &things {
            slots.push(matcher.insert(&thing.indicator(&mut random)));
        }
        for (thing, slot) in things.iter().zip(&slots) {
            let mut event = Map::new();
            event.insert("n".to_owned(), json!(random.below(1000)));
            let is_there = random.below(5) < 3;
            match random.below(2) {
                _ if is_there => thing.put(&mut event, &mut random),
                0 => thing.near_miss(&mut random).put(&mut event, &mut random),
                _ => {
                    let text = match thing {
                        Thing::Url { host, target, .. } => format!("http://{host}{target}"),
                        Thing::Endpoint(address, port) => format!("{address}:{port}"),
                        other => other.text_for(Reading::Plain, &mut random),
                    };
                    let path = random.pick(BESIDE);
                    let layout = random.below(2) * 2;
                    insert(&mut event, path, json!(text), layout);
                }
            }
            let line = Value::Object(event).to_string();
            matcher
                .matches(&line, &mut scratch, &mut out)
                .expect("an event");
            let expected = if is_there { &[*slot][..] } else { &[] };
            let found: Vec<Observable> = out
                .iter()
                .map(|slot| matcher.index().observable(*slot))
                .collect();
            assert_eq!(out, expected, "{thing:?} {line} {found:?}");
        }
    }
}

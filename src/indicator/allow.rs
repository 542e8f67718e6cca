//! `--allow`: what is never searched for, and why.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Indicator;
use crate::observable::{Network, Observable, domains_above};

/// A network with fewer fixed bits is too wide to be an indicator. Addresses have 128
/// bits here, and those of IPv4 begin with 96 fixed bits.
const LEAST_IPV4: u8 = 96 + 8;
const LEAST_IPV6: u8 = 16;

/// The hashes of an empty file.
const EMPTY_FILE: [&str; 6] = [
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
    "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
];

/// An allowed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowEntry {
    /// This value; of a network, everything inside it.
    Value(Observable),
    /// This domain and all names below it, in canonical form.
    Domain(String),
}

/// Why something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because<'a> {
    /// A file of `--allow` lists it.
    File(&'a str),
    /// It is built in, for this reason.
    BuiltIn(&'static str),
    /// It is built in, since every hosts file has it.
    Hosts,
}

/// The set of allowed values.
#[derive(Debug, Default)]
pub struct Allow {
    has_defaults: bool,
    files: Vec<String>,
    /// By kind and canonical text.
    values: HashMap<String, usize>,
    has_addresses: bool,
    networks: Vec<(Network, usize)>,
    domains: HashMap<String, usize>,
}

/// The current [`Allow`], shared by all that use it. They see when it is reloaded.
#[derive(Clone, Debug, Default)]
pub struct Allowing(Arc<SharedAllow>);

#[derive(Debug, Default)]
struct SharedAllow {
    now: RwLock<Arc<Allow>>,
    has_changed: AtomicBool,
}

impl Allowing {
    /// Starts with this set.
    pub fn new(allow: Allow) -> Self {
        let allowing = Allowing::default();
        allowing.put(allow);
        allowing
    }

    /// Replaces the set.
    pub fn change(&self, allow: Allow) {
        self.put(allow);
        self.0.has_changed.store(true, Ordering::Release);
    }

    fn put(&self, allow: Allow) {
        let mut now = self.0.now.write().unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(allow);
    }

    /// The current set.
    pub fn now(&self) -> Arc<Allow> {
        let now = self.0.now.read().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// Whether the set has changed since the start, so that an indicator may be allowed
    /// by now.
    pub fn has_changed(&self) -> bool {
        self.0.has_changed.load(Ordering::Acquire)
    }
}

impl Allow {
    /// Makes a set with the built-in values, or an empty one.
    pub fn new(has_defaults: bool) -> Self {
        Allow {
            has_defaults,
            ..Allow::default()
        }
    }

    /// Adds the contents of a file with this name.
    pub fn add(&mut self, file: &str, entries: impl IntoIterator<Item = AllowEntry>) {
        let number = self.files.len();
        self.files.push(file.to_owned());
        for entry in entries {
            match entry {
                AllowEntry::Value(Observable::Network(network)) => {
                    self.networks.push((network, number))
                }
                AllowEntry::Value(value) => {
                    self.has_addresses |= matches!(value, Observable::Address(_));
                    self.values.entry(key(&value)).or_insert(number);
                }
                AllowEntry::Domain(name) => {
                    self.domains.entry(name).or_insert(number);
                }
            }
        }
    }

    /// Why an indicator is not searched for: all its values are allowed. An indicator
    /// that tests more than values is always searched for.
    pub fn of(&self, indicator: &Indicator) -> Option<Because<'_>> {
        if let Some(sequence) = &indicator.sequence {
            // One part that is not allowed is enough to search for the whole.
            let mut reasons = sequence.parts.iter().map(|part| self.of(part));
            let first = reasons.next()??;
            return reasons.all(|reason| reason.is_some()).then_some(first);
        }
        if indicator.condition.is_some() || indicator.selection.is_some() {
            return None;
        }
        // A range is several networks, and matches as much as its widest one.
        let values = &indicator.observables;
        let is_address =
            |one: &Observable| matches!(one, Observable::Address(_) | Observable::Network(_));
        if self.has_defaults && values.iter().all(is_address) && values.iter().any(is_wide) {
            return Some(WIDE);
        }
        let mut reasons = values.iter().map(|one| self.of_value(one));
        let first = reasons.next()??;
        reasons.all(|reason| reason.is_some()).then_some(first)
    }

    /// Whether the set can contain any address.
    pub fn has_addresses(&self) -> bool {
        self.has_defaults || self.has_addresses || !self.networks.is_empty()
    }

    /// Whether an address is allowed.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.of_value(&Observable::address(address)).is_some()
    }

    /// Why a value is not searched for.
    pub fn of_value(&self, value: &Observable) -> Option<Because<'_>> {
        let file = |number: usize| Because::File(&self.files[number]);
        let named = self.named(value);
        let above = match value {
            Observable::Address(address) | Observable::Endpoint(address, _) => {
                let bare = self.named(&Observable::address(*address));
                bare.or_else(|| self.network_around(Network::new(*address, 128)))
            }
            Observable::Network(network) => self.network_around(*network),
            Observable::Domain(name) | Observable::Subdomain(name) => self.domain_around(name),
            // A file elsewhere in an allowed domain is not allowed.
            Observable::Url(_) => None,
            Observable::Hash(_) | Observable::Text(..) | Observable::Answer(_) => None,
        };
        let built_in = || self.has_defaults.then(|| built_in(value)).flatten();
        named.or(above).map(file).or_else(built_in)
    }

    fn named(&self, value: &Observable) -> Option<usize> {
        // Usually the set is empty, and a million values are looked up.
        let is_any = !self.values.is_empty();
        is_any.then(|| self.values.get(&key(value)).copied())?
    }

    fn network_around(&self, network: Network) -> Option<usize> {
        let mut around = self.networks.iter();
        let found = around.find(|(other, _)| other.contains_network(network));
        found.map(|(_, number)| *number)
    }

    fn domain_around(&self, name: &str) -> Option<usize> {
        let own = self.domains.get(name);
        let above = || domains_above(name).find_map(|above| self.domains.get(above));
        own.or_else(above).copied()
    }
}

/// The key of a value, the same for every spelling.
fn key(value: &Observable) -> String {
    format!("{} {value}", value.kind())
}

/// The built-in reason for a value.
fn built_in(value: &Observable) -> Option<Because<'static>> {
    match value {
        Observable::Address(address) | Observable::Endpoint(address, _) => of_address(*address),
        Observable::Network(network) => of_network(*network),
        Observable::Domain(name) if matches!(&**name, "localhost" | "localhost.localdomain") => {
            Some(Because::Hosts)
        }
        Observable::Hash(hash) if EMPTY_FILE.contains(&&**hash) => {
            Some(Because::BuiltIn("it is the hash of the empty file"))
        }
        Observable::Text(_, hash) if EMPTY_FILE.contains(&&**hash) => {
            Some(Because::BuiltIn("it is the hash of the empty file"))
        }
        _ => None,
    }
}

fn of_address(address: IpAddr) -> Option<Because<'static>> {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    // 127.0.0.1, ::1, 0.0.0.0, :: and 255.255.255.255 are in hosts files.
    let is_usual = address.is_unspecified()
        || is_broadcast
        || address == Ipv4Addr::LOCALHOST
        || address == Ipv6Addr::LOCALHOST;
    if is_usual {
        Some(Because::Hosts)
    } else if address.is_loopback() {
        Some(Because::BuiltIn("it is a loopback address"))
    } else {
        None
    }
}

const WIDE: Because<'static> = Because::BuiltIn("it is wider than /8, or /16 of IPv6");

fn is_wide(value: &Observable) -> bool {
    let Observable::Network(network) = value else {
        return false;
    };
    let ipv4 = Network::ipv4();
    let is_ipv4 = ipv4.contains_network(*network);
    let least = if is_ipv4 { LEAST_IPV4 } else { LEAST_IPV6 };
    // An IPv6 network may hold all IPv4 addresses, which are mapped into it.
    network.length() < least || network.contains_network(ipv4)
}

fn of_network(network: Network) -> Option<Because<'static>> {
    let is_ipv4 = Network::ipv4().contains_network(network);
    if is_wide(&Observable::Network(network)) {
        Some(WIDE)
    } else if is_ipv4 && network.first().is_loopback() {
        Some(Because::BuiltIn("it is a network of loopback addresses"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::indicator::Protocol;
    use crate::observable::of_line;

    fn value(text: &str) -> Observable {
        of_line(text)
            .or_else(|_| Observable::of_domain(text).map(|one| vec![one]))
            .expect("a value")
            .remove(0)
    }

    fn indicator(values: &[&str]) -> Indicator {
        Indicator::new(
            "1".into(),
            Protocol::Legacy,
            values.iter().map(|text| value(text)).collect(),
        )
    }

    fn files() -> Allow {
        let mut allow = Allow::new(false);
        let values = [
            "192.0.2.1",
            "198.51.100.0/24",
            "one.example",
            "http://u.example/x",
        ];
        allow.add("a", values.map(|text| AllowEntry::Value(value(text))));
        allow.add("b", [AllowEntry::Domain("all.example".to_owned())]);
        allow
    }

    #[test]
    fn a_range_is_as_wide_as_its_widest_network() {
        for (range, is_wide) in [
            ("0.0.0.1-255.255.255.254", true),
            ("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", true),
            // All IPv4 addresses are in it.
            ("::1-::ffff:ffff:ffff:ffff", true),
            ("10.0.0.1-10.255.255.254", false),
            ("2001:db8::1-2001:db8::ffff", false),
        ] {
            let values = of_line(range).expect("a range");
            let indicator = Indicator::new("1".into(), Protocol::Legacy, values);
            let expected = is_wide.then_some(WIDE);
            assert_eq!(Allow::new(true).of(&indicator), expected, "{range}");
            assert_eq!(Allow::new(false).of(&indicator), None, "{range}");
        }
    }

    #[test]
    fn what_a_file_lists_is_allowed_and_what_is_inside_it() {
        let allow = files();
        for (text, file) in [
            ("192.0.2.1", Some("a")),
            ("192.0.2.1:80", Some("a")),
            ("192.0.2.2", None),
            ("198.51.100.7", Some("a")),
            ("198.51.100.128/25", Some("a")),
            ("198.51.100.0/24", Some("a")),
            // It only contains allowed addresses.
            ("198.51.0.0/16", None),
            ("192.0.2.0/24", None),
            ("one.example", Some("a")),
            ("ONE.example.", Some("a")),
            ("www.one.example", None),
            ("all.example", Some("b")),
            ("a.b.all.example", Some("b")),
            ("small.example", None),
            ("http://u.example/x", Some("a")),
            ("http://all.example/x", None),
            ("127.0.0.1", None),
        ] {
            let because = allow.of(&indicator(&[text]));
            assert_eq!(because, file.map(Because::File), "{text}");
        }
        assert_eq!(allow.of(&indicator(&["192.0.2.1", "192.0.2.2"])), None);
        assert!(
            allow
                .of(&indicator(&["192.0.2.1", "all.example"]))
                .is_some()
        );
        assert_eq!(allow.of(&indicator(&[])), None);
    }

    #[test]
    fn harmless_values_are_built_in() {
        let allow = Allow::new(true);
        for (text, expected) in [
            ("127.0.0.1", "hosts"),
            ("0.0.0.0", "hosts"),
            ("::1", "hosts"),
            ("255.255.255.255", "hosts"),
            ("localhost", "hosts"),
            ("127.3.2.1", "loopback address"),
            ("127.0.0.0/8", "loopback addresses"),
            ("0.0.0.0/0", "wider"),
            ("10.0.0.0/7", "wider"),
            ("2000::/3", "wider"),
            (EMPTY_FILE[0], "empty file"),
            (EMPTY_FILE[3], "empty file"),
        ] {
            let because = match allow.of_value(&value(text)) {
                Some(Because::BuiltIn(reason)) => reason,
                Some(Because::Hosts) => "hosts",
                other => panic!("{text}: {other:?}"),
            };
            assert!(because.contains(expected), "{text}: {because}");
        }
        for text in [
            "10.0.0.0/8",
            "10.1.2.3",
            "2001::/16",
            "a.example",
            "192.168.0.0/16",
        ] {
            assert_eq!(allow.of_value(&value(text)), None, "{text}");
        }
        assert_eq!(Allow::new(false).of_value(&value("127.0.0.1")), None);
    }

    /// Whether two addresses have these first bits in common.
    fn share(one: u32, other: u32, bits: u32) -> bool {
        (one ^ other).checked_shr(32 - bits).unwrap_or(0) == 0
    }

    fn ipv4(bits: u32) -> String {
        std::net::Ipv4Addr::from(bits).to_string()
    }

    proptest! {
        /// An address is allowed by a network that contains it, a network by one that is
        /// as wide or wider.
        #[test]
        fn a_network_allows_what_is_inside_it(
            allowed in any::<u32>(),
            length in 8..=31_u32,
            near in any::<bool>(),
            other in any::<u32>(),
            other_length in 8..=31_u32,
        ) {
            let mut allow = Allow::new(false);
            allow.add("a", [AllowEntry::Value(value(&format!("{}/{length}", ipv4(allowed))))]);
            // Otherwise an address inside it would be rare.
            let other = if near { allowed ^ (other >> length) } else { other };
            let is_inside = share(allowed, other, length);
            for (text, expected) in [
                (ipv4(other), is_inside),
                (format!("{}:80", ipv4(other)), is_inside),
                (
                    format!("{}/{other_length}", ipv4(other)),
                    is_inside && other_length >= length,
                ),
            ] {
                let because = allow.of(&indicator(&[&text]));
                prop_assert_eq!(because.is_some(), expected, "{}", text);
            }
            // A network that only contains an allowed address is searched for.
            let mut allow = Allow::new(false);
            allow.add("a", [AllowEntry::Value(value(&ipv4(other)))]);
            let around = format!("{}/{length}", ipv4(other));
            prop_assert!(allow.of(&indicator(&[&around])).is_none());
            prop_assert!(allow.of(&indicator(&[&ipv4(other)])).is_some());
        }

        /// `.domain` allows the domain and the names below it, a bare name only itself.
        #[test]
        fn a_domain_allows_the_names_under_it(
            labels in vec("[ab]{1,2}", 1..4),
            others in vec("[ab]{1,2}", 1..4),
            is_under in any::<bool>(),
            is_wide in any::<bool>(),
        ) {
            let own = labels.join(".") + ".example";
            let mut other = others.join(".") + ".example";
            if is_under {
                other = format!("{}.{own}", others.join("."));
            }
            let mut allow = Allow::new(false);
            let entry = if is_wide {
                AllowEntry::Domain(own.clone())
            } else {
                AllowEntry::Value(value(&own))
            };
            allow.add("a", [entry]);
            let expected = other == own || is_wide && other.ends_with(&format!(".{own}"));
            prop_assert_eq!(allow.of(&indicator(&[&other])).is_some(), expected, "{} {}", own, other);
            let url = format!("http://{other}/");
            prop_assert!(allow.of(&indicator(&[&url])).is_none());
        }

        /// A hash allows itself in any spelling, and an indicator is allowed if all its
        /// values are.
        #[test]
        fn an_indicator_is_allowed_if_all_its_values_are(
            hashes in vec("[0-9a-f]{32}|[0-9a-f]{64}", 1..6),
            are_allowed in vec(any::<bool>(), 6),
        ) {
            let mut allow = Allow::new(false);
            let named = hashes.iter().zip(&are_allowed).filter(|(_, is)| **is);
            allow.add("a", named.map(|(hash, _)| AllowEntry::Value(value(&hash.to_uppercase()))));
            let is_named = |hash: &String| {
                hashes.iter().zip(&are_allowed).any(|(other, is)| *is && other == hash)
            };
            for hash in &hashes {
                prop_assert_eq!(allow.of(&indicator(&[hash])).is_some(), is_named(hash));
            }
            let all: Vec<&str> = hashes.iter().map(String::as_str).collect();
            prop_assert_eq!(allow.of(&indicator(&all)).is_some(), hashes.iter().all(is_named));
        }
    }
}

//! The texts and addresses that the observables of a query stand for, in the spellings of
//! logs.
//!
//! An engine compares texts byte for byte. So it is queried for a value in all spellings
//! that logs are known to use, and every event that comes back is checked for the values
//! themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::observable::{Network, Observable, Property, Spelled, ValueForm, url};

/// Ports that follow the host of a request if it is not the scheme's default, or if the
/// client writes the default too.
const USUAL_PORTS: [u16; 4] = [80, 443, 8080, 8443];

/// The distinct texts and addresses of one query.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Addresses, at either end.
    pub addresses: BTreeSet<IpAddr>,
    /// Addresses with their ports.
    pub endpoints: BTreeSet<(IpAddr, u16)>,
    /// Networks of addresses.
    pub networks: BTreeSet<Network>,
    /// Names, and addresses as text.
    pub names: BTreeSet<String>,
    /// Those of them that most logs use: in lower case, and the original.
    pub usual_names: BTreeSet<String>,
    /// The same followed by a port, as in the host of a request.
    pub hosts: BTreeSet<String>,
    /// The names in the spellings that are queried in lists: each costs as much as many
    /// values of a list.
    pub elements: BTreeSet<String>,
    /// Names in canonical form, for comparisons of that form.
    pub canonical_names: BTreeSet<&'a str>,
    /// Domains whose subdomains are wanted.
    pub domains_above: BTreeSet<&'a str>,
    /// URLs.
    pub urls: Urls<'a>,
    /// Hashes in hexadecimal digits, without colons.
    pub hashes: BTreeSet<&'a str>,
    /// File names and path ends.
    pub files: BTreeSet<String>,
    /// Mail addresses.
    pub mails: BTreeSet<String>,
    /// Other texts that are compared unchanged, by property.
    pub texts: BTreeMap<Property, BTreeSet<String>>,
}

/// The URLs of one query.
#[derive(Debug, Default)]
pub struct Urls<'a> {
    /// The hosts of requests, some followed by a port.
    pub hosts: BTreeSet<String>,
    /// Those of them that most logs use: in lower case, with the port of the URL if it has
    /// one.
    pub usual_hosts: BTreeSet<String>,
    /// The same without a port, in canonical form.
    pub canonical_hosts: BTreeSet<&'a str>,
    /// What follows the host.
    pub targets: BTreeSet<String>,
    /// Targets that are wanted for any host.
    pub targets_alone: BTreeSet<String>,
    /// Whole URLs.
    pub whole: BTreeSet<String>,
    /// The same in the spellings that are queried in lists.
    pub elements: BTreeSet<String>,
}

impl<'a> Wanted<'a> {
    /// Collects the texts and addresses of these observables.
    pub fn of(observables: impl IntoIterator<Item = &'a Observable>) -> Self {
        let mut wanted = Wanted::default();
        for observable in observables {
            wanted.add(observable);
        }
        wanted
    }

    fn add(&mut self, observable: &'a Observable) {
        match observable {
            Observable::Address(address) => {
                self.addresses.insert(*address);
                self.add_address_as_text(*address, &USUAL_PORTS);
            }
            Observable::Endpoint(address, port) => {
                self.endpoints.insert((*address, *port));
                self.add_address_as_text(*address, &[*port]);
            }
            Observable::Network(network) => {
                self.networks.insert(*network);
            }
            Observable::Domain(name) | Observable::Answer(name) => self.add_name(name),
            Observable::Subdomain(name) => {
                self.domains_above.insert(name.as_str());
            }
            Observable::Url(url) => self.urls.add(url),
            Observable::Hash(digits) => {
                self.hashes.insert(digits.as_str());
            }
            Observable::Text(property, text) => self.add_text(*property, text),
        }
    }

    fn add_address_as_text(&mut self, address: IpAddr, ports: &[u16]) {
        let host = host_of(address);
        for port in ports {
            self.hosts.insert(format!("{host}:{port}"));
        }
        self.elements.insert(address.to_string());
        for text in [address.to_string(), host] {
            self.usual_names.insert(text.clone());
            self.names.insert(text);
        }
    }

    fn add_name(&mut self, name: &'a Spelled) {
        self.canonical_names.insert(name.as_str());
        let spellings = [name.as_str(), name.as_written()];
        self.elements.extend(spellings.map(str::to_owned));
        for spelling in usual_spellings(name) {
            for port in USUAL_PORTS {
                self.hosts.insert(format!("{spelling}:{port}"));
            }
            self.names.insert(format!("{spelling}."));
            self.names.insert(spelling.clone());
            self.usual_names.insert(spelling);
        }
        let capitals = name.as_str().to_ascii_uppercase();
        self.names.insert(format!("{capitals}."));
        self.names.insert(capitals);
    }

    fn add_text(&mut self, property: Property, text: &'a Spelled) {
        let spellings = [text.as_str(), text.as_written()].map(str::to_owned);
        match property.facts().writing {
            ValueForm::Hexadecimal(_) => {
                self.hashes.insert(text.as_str());
            }
            ValueForm::FileName => self.files.extend(spellings.map(|one| {
                // The end of a path: what precedes it is unknown.
                one.trim_start_matches(['/', '\\']).to_owned()
            })),
            ValueForm::MailAddress => self.mails.extend(spellings.map(|one| {
                let one = one.trim();
                let inner = one.rsplit_once('<').map_or(one, |(_, inner)| inner);
                inner.trim_end_matches('>').to_owned()
            })),
            _ => self.texts.entry(property).or_default().extend(spellings),
        }
    }
}

impl<'a> Urls<'a> {
    fn add(&mut self, url: &'a Spelled) {
        let parts = url::parts(url.as_str());
        let targets = spellings_of_target(parts.target, target_as_written(url.as_written()));
        let Some(host) = parts.host else {
            self.targets_alone.extend(targets);
            return;
        };
        self.canonical_hosts.insert(host);
        let (usual, others) = match host.parse::<IpAddr>() {
            Ok(address) => (host_of(address), vec![address.to_string()]),
            Err(_) => {
                let others = vec![host.to_ascii_uppercase(), format!("{host}.")];
                (host.to_owned(), others)
            }
        };
        let ports = match parts.port {
            Some(port) => vec![port],
            None => USUAL_PORTS.to_vec(),
        };
        let own_port = parts.port.map(|port| format!("{usual}:{port}"));
        self.usual_hosts.extend(own_port);
        self.usual_hosts.insert(usual.clone());
        for port in ports {
            self.hosts.insert(format!("{usual}:{port}"));
        }
        self.hosts.extend(others);
        self.hosts.insert(usual);
        self.add_whole(&parts, host, url.as_written());
        self.targets.extend(targets);
    }

    fn add_whole(&mut self, parts: &url::UrlComponents<'_>, host: &str, written: &str) {
        let host = host.parse().map_or_else(|_| host.to_owned(), host_of);
        let schemes = match parts.scheme {
            Some("http" | "https") | None => &["http", "https"][..],
            Some(scheme) => &[scheme],
        };
        for scheme in schemes {
            let ports = match parts.port {
                Some(port) => vec![Some(port)],
                None => vec![None, url::own_port(scheme)],
            };
            for port in ports {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                let whole = format!("{scheme}://{host}{port}{}", parts.target);
                self.whole.insert(whole);
            }
        }
        if parts.scheme.is_some() {
            self.elements.insert(written.to_owned());
            self.whole.insert(written.to_owned());
        }
    }
}

/// An address as the host of a URL.
fn host_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Lower case, and the original, which may be in another script.
fn usual_spellings(name: &Spelled) -> BTreeSet<String> {
    BTreeSet::from([
        name.as_str().to_owned(),
        name.as_written().to_owned(),
        name.as_written().to_lowercase(),
    ])
}

/// What follows the host in the original URL, without the fragment.
fn target_as_written(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    let behind_scheme = url.split_once("//").map_or(url, |(_, rest)| rest);
    match behind_scheme.find(['/', '?']) {
        Some(at) => &behind_scheme[at..],
        None => "/",
    }
}

/// A target in the spellings of logs: canonical, original, with lower-case digits in
/// escapes, and with `~` escaped, which programs handle differently.
fn spellings_of_target(canonical: &str, written: &str) -> BTreeSet<String> {
    let mut spellings = BTreeSet::from([canonical.to_owned(), lower_digits(canonical)]);
    if !written.starts_with('/') {
        spellings.insert(format!("/{written}"));
    }
    spellings.insert(written.to_owned());
    if canonical.contains('~') {
        let escaped = canonical.replace('~', "%7E");
        spellings.insert(lower_digits(&escaped));
        spellings.insert(escaped);
    }
    spellings
}

/// Lower-cases the digits of escapes.
fn lower_digits(target: &str) -> String {
    let mut out = String::with_capacity(target.len());
    let mut digits: u8 = 0;
    for character in target.chars() {
        let is_digit = digits > 0;
        digits = match character {
            '%' => 2,
            _ => digits.saturating_sub(1),
        };
        if is_digit {
            out.push(character.to_ascii_lowercase())
        } else {
            out.push(character)
        }
    }
    out
}

/// `ab:cd:…`
pub(super) fn with_colons(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 3 / 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 2 == 0 {
            text.push(':');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_also_split_as_it_was_written() {
        let url = Observable::of_url("http://User@H.Example:80/%7Ea%2Fb?q#f").expect("a URL");
        let wanted = Wanted::of([&url]);
        let targets: Vec<&str> = wanted.urls.targets.iter().map(String::as_str).collect();
        let expected = ["/%7Ea%2Fb?q", "/%7ea%2fb?q", "/~a%2Fb?q", "/~a%2fb?q"];
        assert_eq!(targets, expected);
        assert!(wanted.urls.hosts.contains("h.example:8080"));
        assert!(wanted.urls.whole.contains("https://h.example/~a%2Fb?q"));
        for (written, target) in [
            ("http://h.example", "/"),
            ("http://h.example?q", "?q"),
            ("h.example/a#f", "/a"),
            ("/a", "/a"),
        ] {
            assert_eq!(target_as_written(written), target, "{written}");
        }
    }

    #[test]
    fn an_address_of_six_is_a_host_in_brackets() {
        let address = Observable::of_address("2001:db8::1").expect("an address");
        let wanted = Wanted::of([&address]);
        assert!(wanted.names.contains("2001:db8::1") && wanted.names.contains("[2001:db8::1]"));
        assert!(wanted.hosts.contains("[2001:db8::1]:8080"));
        assert_eq!(with_colons("0a1b"), "0a:1b");
    }

    #[test]
    fn mails_and_files_are_queried_by_what_they_are() {
        let text = |property, text| Observable::text(property, text).expect("a value");
        let values = [
            text(Property::Email, "X <A@b.example>"),
            text(Property::FileName, "\\tmp\\Evil.exe"),
            text(Property::Sha1, &"AB".repeat(20)),
        ];
        let wanted = Wanted::of(&values);
        let shown = |texts: &BTreeSet<String>| texts.iter().cloned().collect::<Vec<_>>();
        assert_eq!(shown(&wanted.mails), ["A@b.example", "a@b.example"]);
        assert_eq!(shown(&wanted.files), ["tmp/evil.exe", "tmp\\Evil.exe"]);
        assert!(wanted.hashes.contains(&*"ab".repeat(20)));
    }
}

//! Queries for every event that may hold one of the observables, in syntax that VAST
//! answers from its index: lists over named fields, elements of lists, and, for the rarer
//! kinds, substrings in named fields. The events that come back are checked here; a query
//! only must not miss any.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::mem::take;
use std::sync::Arc;

use super::fields::{FieldName, VastFields};
use super::literal::{kept_escapes, quote, why_not};
use super::pieces::{OR, QueryPieces};
use super::version::VastVersion;
use crate::engine::Wanted;
use crate::engine::wanted::with_colons;
use crate::observable::{Kind, Observable, Property, ValueForm};

/// The number of substrings that is too small to be worth a separate query, which costs
/// 0.8 s.
const FEW_PARTS: usize = 50;

/// The most substrings per query: 300 take 1.5 s, 1,000 take 5.3 s (measured).
const MOST_PARTS: usize = 300;

/// The number of values in lists that cost no more than one value (measured).
const FREE_VALUES: usize = 1_000;

/// The most list elements per query: 1,000 take 1.5 s, 3,000 take 5 to 10 s (measured).
const MOST_ELEMENTS: usize = 1_000;

/// The cheap queries: their cost grows with the number of values, not with the stored
/// data. What most logs have is found by the first; the rarer spellings have queries of
/// their own if they would make it more expensive.
pub(super) fn standard<'a>(
    observables: impl IntoIterator<Item = &'a Observable>,
    version: &VastVersion,
) -> Vec<QueryPieces> {
    let mut wanted = Wanted::of(observables);
    let [usual, rarer] = Spellings::take(&mut wanted);
    let mut first = Predicates::default();
    first.addresses(&wanted, version);
    first.names(&usual);
    first.urls(&usual, &wanted);
    first.texts(&wanted);
    let mut last = Predicates::default();
    last.names(&rarer);
    last.urls(&rarer, &wanted);
    if last.is_empty() {
        std::mem::swap(&mut first, &mut last);
    }
    last.whole_urls(&wanted);
    last.subdomains(&wanted);
    last.files(&wanted);
    last.mails(&wanted);
    last.elements(&wanted, version);
    let mut queries = first.queries();
    queries.extend(last.queries());
    queries
}

/// The queries for which VAST has to scan named fields: names in certificates, and hosts
/// with any port.
pub(super) fn thorough<'a>(
    observables: impl IntoIterator<Item = &'a Observable>,
) -> Vec<QueryPieces> {
    let wanted = Wanted::of(observables);
    let fields = VastFields::shared();
    let mut query = Predicates::default();
    for name in &wanted.elements {
        query.part(&fields.subjects, &format!("CN={name}"));
        query.part(&fields.hosts, &format!("{name}:"));
    }
    for domain in &wanted.domains_above {
        query.part(&fields.subjects, &format!(".{domain}"));
        query.part(&fields.hosts, &format!(".{domain}:"));
    }
    for host in &wanted.urls.canonical_hosts {
        query.part(&fields.hosts, &format!("{host}:"));
    }
    query.queries()
}

/// Whether substrings of texts of this kind can be queried.
pub(super) fn knows_fields_of(kind: Kind) -> bool {
    !fields_of(kind).is_empty()
}

/// The events that contain this text in the fields of a kind, in the spelling of the
/// pattern and in those that logs are known to use; `None` if no literal can contain it.
pub(super) fn holding(kind: Kind, text: &str) -> Option<String> {
    let mut query = Predicates::default();
    let mut spellings = BTreeSet::from([text.to_owned(), text.to_lowercase()]);
    if !has_case(kind) {
        spellings.insert(text.to_uppercase());
    }
    for spelling in spellings {
        for fields in fields_of(kind) {
            query.part(fields, &spelling);
        }
    }
    (!query.parts.is_empty()).then(|| format!("({})", query.parts.join(OR)))
}

/// Whether texts of a kind differ by their letters' case.
pub(super) fn has_case(kind: Kind) -> bool {
    match kind {
        Kind::Url => true,
        Kind::Text(property) => matches!(
            property.facts().writing,
            ValueForm::AsIs | ValueForm::DistinguishedName
        ),
        _ => false,
    }
}

fn fields_of(kind: Kind) -> Vec<&'static [FieldName]> {
    let fields = VastFields::shared();
    match kind {
        Kind::Domain | Kind::Subdomain => vec![&fields.names],
        Kind::Url => vec![&fields.urls, &fields.targets],
        Kind::Text(Property::FileName) => vec![&fields.files],
        Kind::Text(Property::Email | Property::EmailSender | Property::EmailRecipient) => {
            vec![&fields.mails]
        }
        _ => Vec::new(),
    }
}

/// The spellings of names and of the hosts of URLs that one query is for.
#[derive(Debug, Default)]
struct Spellings {
    /// Names, and addresses as text.
    names: BTreeSet<String>,
    /// The same followed by a port.
    hosts: BTreeSet<String>,
    /// The hosts of URLs.
    url_hosts: BTreeSet<String>,
}

impl Spellings {
    /// Takes the usual ones and the rarer ones. All are usual if they cost nothing.
    fn take(wanted: &mut Wanted<'_>) -> [Self; 2] {
        let urls = &mut wanted.urls;
        let all = Spellings {
            names: take(&mut wanted.names),
            hosts: take(&mut wanted.hosts),
            url_hosts: take(&mut urls.hosts),
        };
        let targets = urls.targets.len() + urls.targets_alone.len() + urls.whole.len();
        let values = all.names.len() + all.hosts.len() + all.url_hosts.len() + targets;
        if values <= FREE_VALUES {
            return [all, Spellings::default()];
        }
        let usual = Spellings {
            names: take(&mut wanted.usual_names),
            hosts: BTreeSet::new(),
            url_hosts: take(&mut urls.usual_hosts),
        };
        let rarer = Spellings {
            names: &all.names - &usual.names,
            hosts: all.hosts,
            url_hosts: &all.url_hosts - &usual.url_hosts,
        };
        [usual, rarer]
    }
}

/// The predicates of one query, joined by "or".
#[derive(Default)]
struct Predicates {
    /// Lists.
    values: Vec<QueryPieces>,
    /// Elements of lists.
    elements: Vec<String>,
    /// Substrings.
    parts: Vec<String>,
}

impl Predicates {
    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.elements.is_empty() && self.parts.is_empty()
    }

    /// The queries, the cheap ones first.
    fn queries(self) -> Vec<QueryPieces> {
        let Predicates {
            values,
            mut elements,
            mut parts,
        } = self;
        let mut first = QueryPieces::default();
        values.into_iter().for_each(|list| first.or(list));
        let of = |predicates: &[String]| QueryPieces::from(predicates.join(OR));
        let free = elements.len().min(MOST_ELEMENTS);
        if free > 0 {
            first.or(of(&elements.drain(..free).collect::<Vec<_>>()));
        }
        if !parts.is_empty() && parts.len() <= FEW_PARTS {
            first.or(of(&take(&mut parts)));
        }
        let mut queries = Vec::from_iter((!first.is_empty()).then_some(first));
        queries.extend(elements.chunks(MOST_ELEMENTS).map(of));
        queries.extend(parts.chunks(MOST_PARTS).map(of));
        queries
    }

    fn value(&mut self, predicate: impl IntoIterator<Item = String>) {
        self.values
            .extend(predicate.into_iter().map(QueryPieces::from));
    }

    fn addresses(&mut self, wanted: &Wanted<'_>, version: &VastVersion) {
        let extractor = version.address_extractor();
        self.value(list(extractor, &wanted.addresses));
        let networks = wanted.networks.iter();
        // The language has no lists of networks: each needs a predicate.
        self.value(networks.map(|network| format!("{extractor} in {network}")));
        let ends: BTreeSet<_> = wanted
            .endpoints
            .iter()
            .map(|(address, _)| address)
            .collect();
        let Some(ends) = list(extractor, &ends) else {
            return;
        };
        if version.has_port_type() {
            self.value([ends]);
            return;
        }
        let ports: BTreeSet<_> = wanted.endpoints.iter().map(|(_, port)| port).collect();
        let fields = VastFields::shared().ports.iter();
        let ports: Vec<String> = fields.filter_map(|(name, _)| list(name, &ports)).collect();
        self.value([format!("({ends} && ({}))", ports.join(OR))]);
    }

    fn names(&mut self, spellings: &Spellings) {
        let fields = VastFields::shared();
        // The same lists for all fields.
        let lists = [false, true].map(|is_json| {
            let names = quoted(&spellings.names, is_json);
            let with_ports = &names | &quoted(&spellings.hosts, is_json);
            [names, with_ports].map(|values| in_brackets(&values).map(Arc::from))
        });
        for (field, is_json) in &fields.names {
            let has_port = fields.hosts.iter().any(|(host, _)| host == field);
            let list: &Option<Arc<str>> = &lists[usize::from(*is_json)][usize::from(has_port)];
            self.values.extend(list.as_ref().map(|list| {
                let mut predicate = QueryPieces::from(format!("{field} in "));
                predicate.push(list);
                predicate
            }));
        }
    }

    fn subdomains(&mut self, wanted: &Wanted<'_>) {
        for domain in &wanted.domains_above {
            self.part(&VastFields::shared().names, &format!(".{domain}"));
        }
    }

    fn urls(&mut self, spellings: &Spellings, wanted: &Wanted<'_>) {
        let urls = &wanted.urls;
        let fields = VastFields::shared();
        for (hosts, targets) in &fields.requests {
            let hosts = lists(hosts, &spellings.url_hosts);
            let targets = lists(targets, &urls.targets);
            if let Some((hosts, targets)) = hosts.zip(targets) {
                self.value([format!("({hosts} && {targets})")]);
            }
        }
    }

    /// Whole URLs, and targets that are wanted for any host.
    fn whole_urls(&mut self, wanted: &Wanted<'_>) {
        let urls = &wanted.urls;
        let fields = VastFields::shared();
        self.value(lists(&fields.targets, &urls.targets_alone));
        self.value(lists(&fields.urls, &urls.whole));
    }

    /// Whole texts: all text fields cost no more than a few.
    fn texts(&mut self, wanted: &Wanted<'_>) {
        let mut values = BTreeSet::new();
        for digits in &wanted.hashes {
            values.append(&mut quoted([digits.to_string()].iter(), false));
            if is_of_certificates(digits) {
                values.append(&mut quoted([with_colons(digits)].iter(), false));
            }
        }
        for (property, texts) in &wanted.texts {
            values.append(&mut quoted(texts, true));
            if *property == Property::CertificateSerial {
                let colons: Vec<String> =
                    texts.iter().map(|text| serial_with_colons(text)).collect();
                values.append(&mut quoted(&colons, false));
                let capitals: Vec<String> = texts.iter().flat_map(|text| capitals(text)).collect();
                values.append(&mut quoted(&capitals, false));
            }
        }
        values.append(&mut quoted(&wanted.files, true));
        for mail in &wanted.mails {
            values.append(&mut quoted(
                [mail.clone(), format!("<{mail}>")].iter(),
                false,
            ));
        }
        self.value(list(":string", &values));
    }

    fn files(&mut self, wanted: &Wanted<'_>) {
        for name in &wanted.files {
            for end in [format!("/{name}"), format!("\\{name}")] {
                self.part(&VastFields::shared().files, &end);
            }
        }
    }

    fn mails(&mut self, wanted: &Wanted<'_>) {
        for mail in &wanted.mails {
            self.part(&VastFields::shared().mails, &format!("<{mail}>"));
        }
    }

    /// Elements of lists, each as a predicate: a list cannot be compared with a list.
    fn elements(&mut self, wanted: &Wanted<'_>, version: &VastVersion) {
        let mut texts = &wanted.elements | &wanted.urls.elements;
        for mail in &wanted.mails {
            texts.extend([mail.clone(), format!("<{mail}>")]);
        }
        for digits in wanted
            .hashes
            .iter()
            .filter(|digits| is_of_certificates(digits))
        {
            texts.extend([digits.to_string(), with_colons(digits)]);
        }
        let texts = quoted(&texts, false);
        self.elements
            .extend(texts.iter().map(|text| format!("{text} in :list<string>")));
        let of_addresses = match version.address_extractor() {
            ":ip" => ":list<ip>",
            _ => ":list<addr>",
        };
        let ends = wanted.endpoints.iter().map(|(address, _)| address);
        let addresses: BTreeSet<_> = wanted.addresses.iter().chain(ends).collect();
        let holds = |address| format!("{address} in {of_addresses}");
        self.elements.extend(addresses.into_iter().map(holds));
    }

    /// A substring of each of these fields.
    fn part(&mut self, fields: &[FieldName], part: &str) {
        for (field, is_json) in fields {
            // Escapes that VAST keeps are longer; most still contain the substring
            // itself.
            let kept = kept_escapes(part).into_iter();
            let kept = kept.filter(|kept| *is_json && !kept.contains(part));
            let texts: Vec<String> = kept.chain([part.to_owned()]).collect();
            let literals = quoted(&texts, false);
            let holds = |literal: &String| format!("{literal} in {field}");
            self.parts.extend(literals.iter().map(holds));
        }
    }
}

/// Whether a hash can be the fingerprint of a certificate: SHA-1 or SHA-256.
fn is_of_certificates(digits: &str) -> bool {
    matches!(digits.len(), 40 | 64)
}

/// A serial number in Suricata's format: whole bytes with upper-case digits.
fn serial_with_colons(serial: &str) -> String {
    with_colons(&whole_bytes(serial).to_ascii_uppercase())
}

/// A serial number in Zeek's format: upper-case digits, with or without a leading zero.
fn capitals(serial: &str) -> [String; 2] {
    [
        serial.to_ascii_uppercase(),
        whole_bytes(serial).to_ascii_uppercase(),
    ]
}

fn whole_bytes(serial: &str) -> String {
    let zero = if serial.len() % 2 == 1 { "0" } else { "" };
    format!("{zero}{serial}")
}

/// The literals of these texts, as far as there are any; with the escapes that VAST keeps
/// if the sensor writes JSON.
fn quoted<'t>(texts: impl IntoIterator<Item = &'t String>, is_json: bool) -> BTreeSet<String> {
    let mut literals = BTreeSet::new();
    let mut add = |text: &str| {
        if why_not(text).is_none() {
            let mut literal = String::with_capacity(text.len() + 2);
            quote(&mut literal, text);
            literals.insert(literal);
        }
    };
    for text in texts {
        add(text);
        if is_json {
            kept_escapes(text).iter().for_each(|kept| add(kept));
        }
    }
    literals
}

/// `(field in [a, b] || other in [a, b])`; `None` if the list is empty.
fn lists(fields: &[FieldName], texts: &BTreeSet<String>) -> Option<String> {
    let lists = fields.iter();
    let lists: Vec<String> = lists
        .filter_map(|(field, is_json)| list(field, &quoted(texts, *is_json)))
        .collect();
    match &*lists {
        [] => None,
        [one] => Some(one.clone()),
        _ => Some(format!("({})", lists.join(OR))),
    }
}

/// `extractor in [a, b]`; `None` if the list is empty.
fn list<T: Display>(extractor: &str, values: &BTreeSet<T>) -> Option<String> {
    in_brackets(values).map(|list| format!("{extractor} in {list}"))
}

/// `[a, b]`; `None` if the list is empty.
fn in_brackets<T: Display>(values: &BTreeSet<T>) -> Option<String> {
    if values.is_empty() {
        return None;
    }
    let mut text = String::from("[");
    for (position, value) in values.iter().enumerate() {
        let comma = if position > 0 { ", " } else { "" };
        write!(text, "{comma}{value}").expect("writing to a string cannot fail");
    }
    text.push(']');
    Some(text)
}

#[cfg(test)]
mod tests;

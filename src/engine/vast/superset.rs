//! Queries for every event that may hold one of the observables, in syntax that VAST
//! answers from its index: lists over named fields, elements of lists, and, for the rarer
//! kinds, substrings in named fields. The events that come back are checked here; a query
//! only must not miss any.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};

use super::fields::{Fields, Named};
use super::literal::{kept_escapes, quote, why_not};
use super::version::Version;
use crate::engine::Wanted;
use crate::engine::wanted::with_colons;
use crate::observable::{Kind, Observable, Property, ValueForm};

/// How the predicates of a query are joined.
const OR: &str = " || ";

/// The number of substrings that is too small to be worth a separate query, which costs
/// 0.8 s.
const FEW_PARTS: usize = 50;

/// The most substrings per query: 300 take 1.5 s, 1,000 take 5.3 s (measured).
const MOST_PARTS: usize = 300;

/// The most list elements per query: 1,000 take 1.5 s, 3,000 take 5 to 10 s (measured).
const MOST_ELEMENTS: usize = 1_000;

/// The cheap queries: their cost grows with the number of values, not with the stored
/// data.
pub(super) fn standard<'a>(
    observables: impl IntoIterator<Item = &'a Observable>,
    version: &Version,
) -> Vec<String> {
    let wanted = Wanted::of(observables);
    let mut query = Predicates::default();
    query.addresses(&wanted, version);
    query.names(&wanted);
    query.urls(&wanted);
    query.texts(&wanted);
    query.files(&wanted);
    query.mails(&wanted);
    query.elements(&wanted, version);
    query.queries()
}

/// The queries for which VAST has to scan named fields: names in certificates, and hosts
/// with any port.
pub(super) fn thorough<'a>(observables: impl IntoIterator<Item = &'a Observable>) -> Vec<String> {
    let wanted = Wanted::of(observables);
    let fields = Fields::shared();
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

fn fields_of(kind: Kind) -> Vec<&'static [Named]> {
    let fields = Fields::shared();
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

/// The predicates of one query, joined by "or".
#[derive(Default)]
struct Predicates {
    /// Lists.
    values: Vec<String>,
    /// Elements of lists.
    elements: Vec<String>,
    /// Substrings.
    parts: Vec<String>,
}

impl Predicates {
    /// The queries, the cheap ones first.
    fn queries(self) -> Vec<String> {
        let Predicates {
            mut values,
            mut elements,
            mut parts,
        } = self;
        let first = elements.len().min(MOST_ELEMENTS);
        values.extend(elements.drain(..first));
        if parts.len() <= FEW_PARTS {
            values.append(&mut parts);
        }
        let of = |predicates: &[String]| predicates.join(OR);
        let mut queries = Vec::new();
        queries.extend((!values.is_empty()).then(|| of(&values)));
        queries.extend(elements.chunks(MOST_ELEMENTS).map(of));
        queries.extend(parts.chunks(MOST_PARTS).map(of));
        queries
    }

    fn addresses(&mut self, wanted: &Wanted<'_>, version: &Version) {
        let extractor = version.address_extractor();
        self.values.extend(list(extractor, &wanted.addresses));
        let networks = wanted.networks.iter();
        // The language has no lists of networks: each needs a predicate.
        self.values
            .extend(networks.map(|network| format!("{extractor} in {network}")));
        let ends: BTreeSet<_> = wanted
            .endpoints
            .iter()
            .map(|(address, _)| address)
            .collect();
        let Some(ends) = list(extractor, &ends) else {
            return;
        };
        if version.has_port_type() {
            self.values.push(ends);
            return;
        }
        let ports: BTreeSet<_> = wanted.endpoints.iter().map(|(_, port)| port).collect();
        let fields = Fields::shared().ports.iter();
        let ports: Vec<String> = fields.filter_map(|(name, _)| list(name, &ports)).collect();
        self.values
            .push(format!("({ends} && ({}))", ports.join(OR)));
    }

    fn names(&mut self, wanted: &Wanted<'_>) {
        let fields = Fields::shared();
        for (field, is_json) in &fields.names {
            let mut values = quoted(&wanted.names, *is_json);
            if fields.hosts.iter().any(|(host, _)| host == field) {
                values.append(&mut quoted(&wanted.hosts, *is_json));
            }
            self.values.extend(list(field, &values));
        }
        for domain in &wanted.domains_above {
            self.part(&fields.names, &format!(".{domain}"));
        }
    }

    fn urls(&mut self, wanted: &Wanted<'_>) {
        let urls = &wanted.urls;
        let fields = Fields::shared();
        for (hosts, targets) in &fields.requests {
            let hosts = lists(hosts, &urls.hosts);
            let targets = lists(targets, &urls.targets);
            if let Some((hosts, targets)) = hosts.zip(targets) {
                self.values.push(format!("({hosts} && {targets})"));
            }
        }
        self.values
            .extend(lists(&fields.targets, &urls.targets_alone));
        self.values.extend(lists(&fields.urls, &urls.whole));
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
        self.values.extend(list(":string", &values));
    }

    fn files(&mut self, wanted: &Wanted<'_>) {
        for name in &wanted.files {
            for end in [format!("/{name}"), format!("\\{name}")] {
                self.part(&Fields::shared().files, &end);
            }
        }
    }

    fn mails(&mut self, wanted: &Wanted<'_>) {
        for mail in &wanted.mails {
            self.part(&Fields::shared().mails, &format!("<{mail}>"));
        }
    }

    /// Elements of lists, each as a predicate: a list cannot be compared with a list.
    fn elements(&mut self, wanted: &Wanted<'_>, version: &Version) {
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
    fn part(&mut self, fields: &[Named], part: &str) {
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
fn lists(fields: &[Named], texts: &BTreeSet<String>) -> Option<String> {
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
    if values.is_empty() {
        return None;
    }
    let mut text = format!("{extractor} in [");
    for (position, value) in values.iter().enumerate() {
        let comma = if position > 0 { ", " } else { "" };
        write!(text, "{comma}{value}").expect("a string takes all");
    }
    text.push(']');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::read(format!("{{\"VAST\": \"{text}\"}}").as_bytes()).expect("a version")
    }

    fn asked(observables: &[Observable]) -> Vec<String> {
        standard(observables, &version("2020.12.16"))
    }

    fn one(observables: &[Observable]) -> String {
        let [query] = &*asked(observables) else {
            panic!("{:?}", asked(observables));
        };
        query.clone()
    }

    fn domain(text: &str) -> Observable {
        Observable::of_domain(text).expect("a name")
    }

    fn url(text: &str) -> Observable {
        Observable::of_url(text).expect("a URL")
    }

    fn assert_holds(query: &str, parts: &[&str]) {
        for part in parts {
            assert!(query.contains(part), "{part} is not in {query}");
        }
    }

    #[test]
    fn a_name_is_asked_for_in_its_spellings() {
        let query = one(&[domain("Evil.example.")]);
        let names = r#"in ["EVIL.EXAMPLE", "EVIL.EXAMPLE.", "Evil.example", "Evil.example.", "evil.example", "evil.example."]"#;
        for field in ["query", "rrname", "sni", "server_name"] {
            assert_holds(&query, &[&format!("{field} {names}")]);
        }
        assert_holds(
            &query,
            &[
                r#""evil.example:8080""#,
                r#""evil.example" in :list<string>"#,
            ],
        );
        assert!(!query.contains("in :string"), "{query}");
    }

    #[test]
    fn a_part_is_asked_for_in_the_letters_of_the_pattern_and_of_logs() {
        let part = |kind, text| holding(kind, text).expect("a query");
        let query = part(Kind::Domain, "Evil.Ex");
        for text in ["Evil.Ex", "evil.ex", "EVIL.EX"] {
            assert_holds(&query, &[&format!("\"{text}\" in rrname")]);
        }
        // Case counts in what follows a host.
        let query = part(Kind::Url, "Gate.php");
        assert_holds(&query, &[r#""Gate.php" in http.url"#, r#""gate.php" in"#]);
        assert!(!query.contains("GATE.PHP"), "{query}");
        let query = part(Kind::Text(Property::EmailSender), "@Evil.example");
        assert_holds(&query, &[r#""@evil.example" in mailfrom"#, "smtp.from"]);
    }

    #[test]
    fn many_elements_of_lists_take_several_queries() {
        let domains: Vec<Observable> = (0..1_500)
            .map(|number| domain(&format!("d{number}.example")))
            .collect();
        let queries = asked(&domains);
        let elements = |query: &String| query.matches(" in :list<string>").count();
        let counts: Vec<usize> = queries.iter().map(elements).collect();
        assert!(counts.len() > 1 && counts.iter().all(|count| *count <= 1_000));
        for number in 0..1_500 {
            let element = format!("\"d{number}.example\" in :list<string>");
            assert!(queries.iter().any(|query| query.contains(&element)));
        }
        let lists = |query: &String| query.contains("rrname in [");
        assert_eq!(queries.iter().position(lists), Some(0));
        assert!(!queries[1..].iter().any(lists));
    }

    #[test]
    fn an_address_is_asked_for_by_type_and_as_text() {
        let address = Observable::of_address("::ffff:192.0.2.1").expect("an address");
        assert_holds(
            &one(std::slice::from_ref(&address)),
            &[
                ":addr in [192.0.2.1]",
                "192.0.2.1 in :list<addr>",
                r#""192.0.2.1" in :list<string>"#,
                r#""192.0.2.1:8080""#,
            ],
        );
        let three = standard([&address], &version("v3.0.0")).concat();
        assert_holds(&three, &[":ip in [192.0.2.1]", "192.0.2.1 in :list<ip>"]);
        let end = Observable::of_endpoint("192.0.2.1:4444").expect("an address with a port");
        let query = one(std::slice::from_ref(&end));
        assert_holds(
            &query,
            &["(:addr in [192.0.2.1] && (", "dest_port in [4444]"],
        );
        let old = standard([&end], &version("2020.11.30")).concat();
        assert!(!old.contains("dest_port"), "{old}");
    }

    #[test]
    fn urls_are_lists_of_hosts_and_of_targets() {
        let urls = [
            url("http://a.example/x"),
            url("https://b.example:8443/y?z#w"),
        ];
        let query = one(&urls);
        assert_holds(
            &query,
            &[
                "(zeek.http.host in [",
                r#"&& zeek.http.uri in ["/x", "/y?z"])"#,
                "(http.hostname in [",
                // As Suricata before 6 writes it, and VAST keeps it.
                r#"&& http.url in ["/x", "/y?z", "\/x", "\/y?z"])"#,
                r#""b.example:8443""#,
                r#""a.example:8080""#,
                r#""http://a.example:80/x""#,
            ],
        );
        assert_eq!(query.matches("&& zeek.http.uri in").count(), 1);
        let target = one(&[url("/x%7e")]);
        assert!(!target.contains("&&"), "{target}");
        assert_holds(&target, &[r#"zeek.http.uri in ["/x%7E", "/x%7e", "/x~"]"#]);
    }

    #[test]
    fn hashes_and_texts_are_asked_for_in_every_field_of_text() {
        let sha1 = "ad4f6ece325fd62deab646808df90af065f36a2c";
        let hash = Observable::of_hash(sha1).expect("a hash");
        let agent = Observable::text(Property::UserAgent, "x\\y").expect("a text");
        let query = one(&[hash, agent]);
        assert_holds(
            &query,
            &[
                ":string in [",
                &format!("\"{sha1}\""),
                r#""ad:4f:6e:ce:32:5f:d6:2d:ea:b6:46:80:8d:f9:0a:f0:65:f3:6a:2c""#,
                r#""x\\y", "x\y""#,
                &format!("\"{sha1}\" in :list<string>"),
            ],
        );
    }

    #[test]
    fn parts_of_texts_are_asked_for_in_named_fields() {
        let file = |number: usize| {
            let name = format!("{number}.exe");
            Observable::text(Property::FileName, &name).expect("a name")
        };
        let query = one(&[file(1)]);
        assert_holds(
            &query,
            &[
                r#""/1.exe" in filename"#,
                r#""\1.exe" in smb_files.name"#,
                r#":string in ["1.exe"]"#,
            ],
        );
        // Many of them become separate queries after the lists.
        let files: Vec<Observable> = (0..100).map(file).collect();
        let queries = asked(&files);
        assert!(queries.len() > 2, "{}", queries.len());
        assert!(!queries[0].contains(" in filename"));
        for query in &queries[1..] {
            assert!(query.split(OR).count() <= MOST_PARTS);
        }
    }

    #[test]
    fn what_has_to_be_scanned_for_is_thorough() {
        let queries = thorough(&[domain("evil.example"), url("http://a.example/")]);
        let query = queries.concat();
        assert_holds(
            &query,
            &[
                r#""CN=evil.example" in subject"#,
                r#""evil.example:" in hostname"#,
                r#""a.example:" in host"#,
            ],
        );
        let hash = Observable::of_hash(&"a".repeat(32)).expect("a hash");
        assert!(thorough(&[hash]).is_empty());
    }

    #[test]
    fn what_no_literal_can_hold_takes_nothing_else_down() {
        let text = |text| Observable::text(Property::UserAgent, text).expect("a text");
        let query = one(&[text("a\tb"), text("a\\"), text("c")]);
        assert_eq!(query, r#":string in ["c"]"#);
        assert!(asked(&[text("a\tb")]).is_empty());
    }

    #[test]
    fn a_part_of_a_text_is_asked_for_where_its_kind_stands() {
        let query = holding(Kind::Domain, ".Evil").expect("fields");
        assert_holds(&query, &[r#"".Evil" in rrname"#, r#"".evil" in sni"#]);
        assert_eq!(holding(Kind::Domain, "a\\"), None);
        assert!(!knows_fields_of(Kind::Address));
    }
}

//! Conditions for every event that may hold one of the observables. The events that come
//! back are checked here; a condition only must not miss any.
//!
//! The standard conditions contain what a node can evaluate by itself (*pushed down*).
//! Anything else, such as case-insensitive comparison, is evaluated by the querying
//! program, which gets all events of a schema for it. Each schema has its own condition,
//! since one such term in a common condition would transfer every event (measured).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};

use super::layout::{Leaf, Leaves, Role};
use super::query::quote;
use crate::engine::Wanted;
use crate::engine::wanted::with_colons;
use crate::observable::{Property, ValueForm};

/// The most single-value terms per condition: several thousand crash the program
/// (measured).
const MOST_TERMS: usize = 1000;

/// A condition of `where`, and the lists that it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    /// `let` for each list.
    pub(super) lists: String,
    /// The condition itself.
    pub(super) text: String,
}

/// The conditions that are pushed down, the cheaper ones first. Elements of lists are
/// left out if they are searched otherwise.
pub(super) fn standard(
    wanted: &Wanted<'_>,
    leaves: &Leaves,
    with_elements: bool,
) -> Vec<Condition> {
    let mut terms = Terms::default();
    for leaf in leaves.all() {
        match (leaf.is_list, leaf.is_address) {
            (false, true) => terms.address(wanted, leaf),
            (false, false) => terms.text(wanted, leaf),
            (true, _) if with_elements && leaf.inner.is_empty() => terms.element(wanted, leaf),
            (true, _) => {}
        }
    }
    terms.requests(wanted, leaves);
    terms.conditions()
}

/// The conditions that are not pushed down, one per schema.
pub(super) fn thorough(wanted: &Wanted<'_>, leaves: &Leaves) -> Vec<Condition> {
    let canonical = Canonical::of(wanted);
    let of_schema = |(schema, leaves): (&str, &BTreeSet<Leaf>)| {
        let mut terms: Vec<String> = Vec::new();
        for leaf in leaves {
            terms.extend(canonical.terms(leaf));
        }
        for (host, target) in requests(leaves) {
            terms.extend(canonical.request(host, target));
        }
        if terms.is_empty() {
            return None;
        }
        let mut name = String::new();
        quote(&mut name, schema);
        Some(Condition {
            lists: canonical.lists.clone(),
            text: format!("@name == {name} and ({})", terms.join(" or ")),
        })
    };
    leaves.schemas().filter_map(of_schema).collect()
}

/// The terms of the conditions that are pushed down.
#[derive(Default)]
struct Terms {
    /// Lists by their names, each with its literals.
    lists: BTreeMap<&'static str, BTreeSet<String>>,
    terms: Vec<String>,
    /// The terms with a single value.
    singles: Vec<String>,
}

impl Terms {
    /// `field in $list`; nothing if the list is empty.
    fn is_in(&mut self, leaf: &Leaf, list: &'static str, values: BTreeSet<String>) {
        self.terms.extend(within(&this(&leaf.path), list, &values));
        self.lists.insert(list, values);
    }

    fn single(&mut self, term: String) {
        self.singles.push(term);
    }

    fn address(&mut self, wanted: &Wanted<'_>, leaf: &Leaf) {
        self.is_in(leaf, "addresses", shown(&wanted.addresses));
        let field = this(&leaf.path);
        // A list of networks cannot be searched for the one with an address.
        for network in &wanted.networks {
            self.single(format!("{field} in {network}"));
        }
        let ends = wanted.endpoints.iter();
        let (ends, ports): (BTreeSet<_>, BTreeSet<_>) = ends.copied().unzip();
        let Some(term) = within(&field, "ends", &shown(&ends)) else {
            return;
        };
        self.lists.insert("ends", shown(&ends));
        let Some(port) = port_beside(&leaf.path) else {
            self.terms.push(term);
            return;
        };
        self.terms
            .push(format!("({term} and {} in $ports)", this(&port)));
        self.lists.insert("ports", shown(&ports));
    }

    fn text(&mut self, wanted: &Wanted<'_>, leaf: &Leaf) {
        let roles = leaf.roles;
        if roles.has(Role::Host) || roles.has(Role::RequestHost) {
            self.is_in(
                leaf,
                "hosts",
                &quoted(&wanted.hosts) | &quoted(&wanted.names),
            );
        } else if roles.has(Role::Name) {
            self.is_in(leaf, "names", quoted(&wanted.names));
        }
        if roles.has(Role::Name) || roles.has(Role::Host) {
            for domain in &wanted.domains_above {
                self.part(leaf, &format!(".{domain}"));
            }
        }
        if roles.has(Role::RequestTarget) {
            self.is_in(leaf, "targets_alone", quoted(&wanted.urls.targets_alone));
        }
        if roles.has(Role::Url) {
            self.is_in(leaf, "urls", quoted(&wanted.urls.whole));
        }
        if roles.has(Role::Text) {
            self.is_in(leaf, "texts", quoted(&texts(wanted)));
        }
        if roles.has(Role::File) {
            self.is_in(leaf, "files", quoted(&wanted.files));
            for name in &wanted.files {
                self.part(leaf, &format!("/{name}"));
                self.part(leaf, &format!("\\{name}"));
            }
        }
        if roles.has(Role::Mail) {
            self.is_in(leaf, "mails", quoted(&mails(wanted)));
            for mail in &wanted.mails {
                self.part(leaf, &format!("<{mail}>"));
            }
        }
    }

    /// A substring of the field.
    fn part(&mut self, leaf: &Leaf, part: &str) {
        let term = format!("{} in {}", literal(part), this(&leaf.path));
        self.single(term);
    }

    /// An element of a list, one term per value: a list cannot be compared with a list.
    fn element(&mut self, wanted: &Wanted<'_>, leaf: &Leaf) {
        let mut values = BTreeSet::new();
        if leaf.is_address {
            let ends = wanted.endpoints.iter().map(|(address, _)| address);
            values.extend(wanted.addresses.iter().chain(ends).map(ToString::to_string));
        } else {
            if leaf.roles.has(Role::Name) || leaf.roles.has(Role::Host) {
                values.append(&mut quoted(&wanted.elements));
            }
            if leaf.roles.has(Role::Url) {
                values.append(&mut quoted(&wanted.urls.elements));
            }
            if leaf.roles.has(Role::Text) {
                values.append(&mut quoted(&texts(wanted)));
            }
            if leaf.roles.has(Role::File) {
                values.append(&mut quoted(&wanted.files));
            }
            if leaf.roles.has(Role::Mail) {
                values.append(&mut quoted(&mails(wanted)));
            }
        }
        let list = this(&leaf.path);
        for value in values {
            self.single(format!("{value} in {list}"));
        }
    }

    fn requests(&mut self, wanted: &Wanted<'_>, leaves: &Leaves) {
        let urls = &wanted.urls;
        if urls.hosts.is_empty() {
            return;
        }
        self.lists.insert("url_hosts", quoted(&urls.hosts));
        self.lists.insert("targets", quoted(&urls.targets));
        let pairs: BTreeSet<_> = leaves
            .schemas()
            .flat_map(|(_, all)| requests(all))
            .collect();
        for (host, target) in pairs {
            let (host, target) = (this(&host.path), this(&target.path));
            self.terms
                .push(format!("({host} in $url_hosts and {target} in $targets)"));
        }
    }

    fn conditions(self) -> Vec<Condition> {
        let mut conditions = Vec::new();
        if !self.terms.is_empty() {
            conditions.push(Condition {
                lists: declared(&self.lists),
                text: self.terms.join(" or "),
            });
        }
        for terms in self.singles.chunks(MOST_TERMS) {
            conditions.push(Condition {
                lists: String::new(),
                text: terms.join(" or "),
            });
        }
        conditions
    }
}

/// The wanted values in the forms into which texts are converted for comparison.
struct Canonical<'w> {
    wanted: &'w Wanted<'w>,
    names: BTreeSet<String>,
    hosts: BTreeSet<String>,
    url_hosts: BTreeSet<String>,
    targets: BTreeSet<String>,
    targets_alone: BTreeSet<String>,
    urls: BTreeSet<String>,
    texts: BTreeSet<String>,
    files: BTreeSet<String>,
    /// The most selective part of each distinguished name.
    parts: BTreeSet<String>,
    lists: String,
}

impl<'w> Canonical<'w> {
    fn of(wanted: &'w Wanted<'w>) -> Self {
        let lower = |texts: &BTreeSet<String>| -> BTreeSet<String> {
            let lower = texts.iter().map(|text| text.to_lowercase());
            lower.collect()
        };
        let names = lower(&wanted.names);
        let names = names
            .iter()
            .map(|name| name.trim_end_matches('.').to_owned());
        let urls = &wanted.urls;
        let hosts = urls.canonical_hosts.iter().map(ToString::to_string);
        let texts = texts(wanted);
        let texts = texts
            .iter()
            .map(|text| text.to_lowercase().replace(':', ""));
        let files = lower(&wanted.files);
        let files = files
            .iter()
            .filter_map(|name| name.rsplit(['/', '\\']).next());
        let dns = wanted
            .texts
            .iter()
            .filter(|(property, _)| is_name_of_parts(**property));
        let mut canonical = Canonical {
            wanted,
            names: quoted(&names.collect()),
            hosts: quoted(&wanted.hosts),
            url_hosts: quoted(&hosts.collect()),
            targets: quoted(&lower(&urls.targets)),
            targets_alone: quoted(&lower(&urls.targets_alone)),
            urls: quoted(&lower(&urls.whole)),
            texts: quoted(&texts.collect()),
            files: quoted(&files.map(str::to_owned).collect()),
            parts: dns
                .flat_map(|(_, names)| names.iter().filter_map(|name| telling_part(name)))
                .collect(),
            lists: String::new(),
        };
        canonical.lists = declared(&BTreeMap::from([
            ("addresses", shown(&canonical.addresses())),
            ("names", canonical.names.clone()),
            ("hosts", canonical.hosts.clone()),
            ("url_hosts", canonical.url_hosts.clone()),
            ("targets", canonical.targets.clone()),
            ("targets_alone", canonical.targets_alone.clone()),
            ("urls", canonical.urls.clone()),
            ("texts", canonical.texts.clone()),
            ("files", canonical.files.clone()),
        ]));
        canonical
    }

    fn addresses(&self) -> BTreeSet<std::net::IpAddr> {
        let ends = self.wanted.endpoints.iter().map(|(address, _)| *address);
        self.wanted.addresses.iter().copied().chain(ends).collect()
    }

    /// The terms for a field of any type; plain addresses are compared by the node.
    fn terms(&self, leaf: &Leaf) -> Vec<String> {
        if leaf.is_address && !leaf.is_list {
            return Vec::new();
        }
        let value = match (leaf.is_list, &*leaf.inner) {
            (false, _) => this(&leaf.path),
            (true, inner) => indexed("x", inner),
        };
        let terms = if leaf.is_address {
            self.address(&value)
        } else {
            self.text(leaf, &value)
        };
        let list = this(&leaf.path);
        let terms = terms.into_iter();
        terms
            .map(|term| {
                if leaf.is_list {
                    format!("{list}.map(x => {term}).any()")
                } else {
                    term
                }
            })
            .collect()
    }

    fn address(&self, value: &str) -> Vec<String> {
        let networks = self.wanted.networks.iter();
        let networks = networks.map(|network| format!("{value} in {network}"));
        let addresses = within(value, "addresses", &shown(&self.addresses()));
        addresses.into_iter().chain(networks).collect()
    }

    fn text(&self, leaf: &Leaf, value: &str) -> Vec<String> {
        let roles = leaf.roles;
        let lower = format!("{value}.to_lower()");
        let mut terms = Vec::new();
        let mut name = None;
        if roles.has(Role::Host) || roles.has(Role::RequestHost) {
            name = Some(host(value));
            terms.extend(within(value, "hosts", &self.hosts));
        } else if roles.has(Role::Name) {
            name = Some(format!("{lower}.trim_end(\".\")"));
        }
        if let Some(name) = name {
            terms.extend(within(&name, "names", &self.names));
            for domain in &self.wanted.domains_above {
                terms.push(format!(
                    "{name}.ends_with({})",
                    literal(&format!(".{domain}"))
                ));
            }
        }
        if roles.has(Role::CommonName) {
            let name = common_name(&lower);
            terms.extend(within(&name, "names", &self.names));
            for domain in &self.wanted.domains_above {
                terms.push(format!(
                    "{name}.ends_with({})",
                    literal(&format!(".{domain}"))
                ));
            }
        }
        if roles.has(Role::Url) {
            terms.extend(within(&lower, "urls", &self.urls));
        }
        if roles.has(Role::RequestTarget) {
            terms.extend(within(&lower, "targets_alone", &self.targets_alone));
        }
        if roles.has(Role::Text) {
            let digits = format!("{lower}.replace(\":\", \"\")");
            terms.extend(within(&digits, "texts", &self.texts));
            if roles.has(Role::Serial) {
                let short = format!("{digits}.replace_regex(\"^0+\", \"\")");
                terms.extend(within(&short, "texts", &self.texts));
            }
        }
        if roles.has(Role::DistinguishedName) {
            let parts = self.parts.iter();
            terms.extend(parts.map(|part| format!("{} in {lower}", literal(part))));
        }
        if roles.has(Role::File) {
            let base = format!("{value}.file_name().to_lower()");
            terms.extend(within(&base, "files", &self.files));
        }
        if roles.has(Role::Mail) {
            let mails = self.wanted.mails.iter();
            let holds = |mail: &String| format!("{} in {lower}", literal(&mail.to_lowercase()));
            terms.extend(mails.map(holds));
        }
        terms
    }

    /// The host and target of a request, case-insensitive.
    fn request(&self, host_field: &Leaf, target: &Leaf) -> Option<String> {
        let host = within(&host(&this(&host_field.path)), "url_hosts", &self.url_hosts)?;
        let target = format!("{}.to_lower()", this(&target.path));
        let target = within(&target, "targets", &self.targets)?;
        Some(format!("({host} and {target})"))
    }
}

/// A host without its port, in lower case.
fn host(value: &str) -> String {
    format!("{value}.to_lower().split(\":\")[0].trim_end(\".\")")
}

/// The common name in a lower-case distinguished name.
fn common_name(lower: &str) -> String {
    format!("{lower}.replace_regex(\"^(.*[,/ ])?cn=\", \"\").replace_regex(\"[,/].*$\", \"\")")
}

/// Adjacent fields with the host of a request and the rest of its URL.
fn requests(leaves: &BTreeSet<Leaf>) -> impl Iterator<Item = (&Leaf, &Leaf)> {
    let plain = |leaf: &&Leaf| !leaf.is_list && !leaf.is_address;
    let hosts = leaves.iter().filter(plain);
    let hosts = hosts.filter(|leaf| leaf.roles.has(Role::RequestHost));
    hosts.flat_map(move |host| {
        let targets = leaves.iter().filter(plain).filter(|leaf| {
            leaf.roles.has(Role::RequestTarget) && above(&leaf.path) == above(&host.path)
        });
        targets.map(move |target| (host, target))
    })
}

fn above(path: &[String]) -> &[String] {
    path.split_last().map_or(&[], |(_, above)| above)
}

/// The field with the port for an address.
fn port_beside(path: &[String]) -> Option<Vec<String>> {
    const PAIRS: [(&str, &str); 5] = [
        ("src_ip", "src_port"),
        ("dest_ip", "dest_port"),
        ("orig_h", "orig_p"),
        ("resp_h", "resp_p"),
        ("ip", "port"),
    ];
    let (name, above) = path.split_last()?;
    let (_, port) = PAIRS.iter().find(|(address, _)| address == name)?;
    let mut path = above.to_vec();
    path.push((*port).to_owned());
    Some(path)
}

fn is_name_of_parts(property: Property) -> bool {
    property.facts().writing == ValueForm::DistinguishedName
}

/// The longest value in a distinguished name, in lower case.
fn telling_part(name: &str) -> Option<String> {
    let values = name
        .split([',', '/'])
        .filter_map(|part| part.split_once('='));
    let values = values.map(|(_, value)| value.trim().to_lowercase());
    values
        .max_by_key(String::len)
        .filter(|value| !value.is_empty())
}

/// Whole texts: hashes, with colons too, and others.
fn texts(wanted: &Wanted<'_>) -> BTreeSet<String> {
    let mut texts: BTreeSet<String> = wanted.texts.values().flatten().cloned().collect();
    for digits in &wanted.hashes {
        texts.insert(digits.to_string());
        texts.insert(with_colons(digits));
    }
    texts
}

fn mails(wanted: &Wanted<'_>) -> BTreeSet<String> {
    let mails = wanted.mails.iter();
    mails
        .flat_map(|mail| [mail.clone(), format!("<{mail}>")])
        .collect()
}

/// `this["id"]["orig_h"]`: a field's name is a string, so that any name works. (With a
/// trailing `?` no part of the condition reaches the node.)
pub(super) fn this(path: &[String]) -> String {
    indexed("this", path)
}

fn indexed(value: &str, path: &[String]) -> String {
    let mut text = value.to_owned();
    for name in path {
        text.push('[');
        quote(&mut text, name);
        text.push(']');
    }
    text
}

/// `value in $list`; `None` if the list is empty.
fn within(value: &str, list: &str, values: &BTreeSet<String>) -> Option<String> {
    (!values.is_empty()).then(|| format!("{value} in ${list}"))
}

fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote(&mut out, text);
    out
}

fn quoted(texts: &BTreeSet<String>) -> BTreeSet<String> {
    texts.iter().map(|text| literal(text)).collect()
}

fn shown<T: Display>(values: &BTreeSet<T>) -> BTreeSet<String> {
    values.iter().map(ToString::to_string).collect()
}

/// The definitions of the lists that are not empty.
fn declared(lists: &BTreeMap<&str, BTreeSet<String>>) -> String {
    let mut text = String::new();
    for (name, values) in lists.iter().filter(|(_, values)| !values.is_empty()) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        writeln!(text, "let ${name} = [{}]", values.join(", ")).expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::{leaves, plain};
    use super::*;
    use crate::observable::Observable;

    fn known() -> Leaves {
        let eve = r#"{"name": "suricata.dns", "kind": "record", "state": {"fields": [
            {"name": "dest_ip", "type": {"name": null, "kind": "ip", "state": null}},
            {"name": "dns", "type": {"name": null, "kind": "record", "state": {"fields": [
                {"name": "rrname", "type": {"name": null, "kind": "string", "state": null}},
                {"name": "answers", "type": {"name": null, "kind": "list", "state": {"type":
                    {"name": null, "kind": "record", "state": {"fields": [
                        {"name": "rdata", "type": {"name": null, "kind": "string", "state": null}}
                    ]}}}}},
                {"name": "grouped", "type": {"name": null, "kind": "record", "state": {"fields": [
                    {"name": "CNAME", "type": {"name": null, "kind": "list", "state": {"type":
                        {"name": null, "kind": "string", "state": null}}}}
                ]}}}
            ]}}}
        ]}}"#;
        let http = plain("zeek.http", &["host", "uri", "user_agent"]);
        let files = plain("zeek.smb_files", &["name"]);
        leaves(&[eve, &http, &files])
    }

    fn asked(observables: &[Observable]) -> Vec<Condition> {
        standard(&Wanted::of(observables), &known(), true)
    }

    fn assert_holds(conditions: &[Condition], parts: &[&str]) {
        let all: String = conditions
            .iter()
            .map(|condition| condition.lists.clone() + &condition.text + "\n")
            .collect();
        for part in parts {
            assert!(all.contains(part), "{part} is not in {all}");
        }
    }

    fn domain(text: &str) -> Observable {
        Observable::of_domain(text).expect("a name")
    }

    #[test]
    fn names_are_pushed_down_in_their_spellings() {
        let conditions = asked(&[domain("evil.example")]);
        assert_holds(
            &conditions,
            &[
                r#"let $names = ["EVIL.EXAMPLE", "EVIL.EXAMPLE.", "evil.example", "evil.example."]"#,
                r#"this["dns"]["rrname"] in $names"#,
                r#"this["host"] in $hosts"#,
                r#""evil.example" in this["dns"]["grouped"]["CNAME"]"#,
            ],
        );
        // Records in lists are not pushed down.
        let all: String = conditions.iter().map(|one| one.text.clone()).collect();
        assert!(!all.contains("rdata") && !all.contains("to_lower"), "{all}");
    }

    #[test]
    fn addresses_are_asked_for_with_their_port_and_as_text() {
        let end = Observable::of_endpoint("192.0.2.1:4444").expect("an address with a port");
        assert_holds(
            &asked(&[end]),
            &[
                r#"(this["dest_ip"] in $ends and this["dest_port"] in $ports)"#,
                "let $ports = [4444]",
                r#"let $hosts = ["192.0.2.1", "192.0.2.1:4444"]"#,
            ],
        );
        let network = Observable::of_address("192.0.2.0/24").expect("a network");
        assert_holds(&asked(&[network]), &[r#"this["dest_ip"] in 192.0.2.0/24"#]);
    }

    #[test]
    fn urls_are_pairs_of_lists() {
        let url = Observable::of_url("http://a.example:81/x").expect("a URL");
        assert_holds(
            &asked(&[url]),
            &[
                r#"(this["host"] in $url_hosts and this["uri"] in $targets)"#,
                r#"let $targets = ["/x"]"#,
                r#""a.example:81""#,
                r#"this["uri"] in $urls"#,
            ],
        );
    }

    #[test]
    fn terms_of_one_value_are_few_in_a_condition() {
        let names: Vec<Observable> = (0..2 * MOST_TERMS)
            .map(|number| domain(&format!("{number}.example")))
            .collect();
        let conditions = asked(&names);
        assert_eq!(conditions.len(), 3);
        assert!(conditions[0].text.contains("$names") && conditions[1].lists.is_empty());
    }

    #[test]
    fn what_is_not_pushed_down_is_asked_for_by_schema() {
        let name = domain("evil.example");
        let file = Observable::text(Property::FileName, "Evil.exe").expect("a name");
        let observables = [name, file];
        let wanted = Wanted::of(&observables);
        let conditions = thorough(&wanted, &known());
        assert_eq!(conditions.len(), 3);
        for condition in &conditions {
            assert!(
                condition.text.starts_with("@name == "),
                "{}",
                condition.text
            );
        }
        assert_holds(
            &conditions,
            &[
                r#"this["dns"]["answers"].map(x => x["rdata"].to_lower().trim_end(".") in $names).any()"#,
                r#"this["dns"]["rrname"].to_lower().trim_end(".") in $names"#,
                r#"this["host"].to_lower().split(":")[0].trim_end(".") in $names"#,
                r#"this["name"].file_name().to_lower() in $files"#,
                r#"let $files = ["evil.exe"]"#,
            ],
        );
        // A schema without a field of the kind is not queried.
        let hash = [Observable::of_hash(&"a".repeat(32)).expect("a hash")];
        let wanted = Wanted::of(&hash);
        assert_eq!(thorough(&wanted, &known()).len(), 1);
    }

    #[test]
    fn a_distinguished_name_is_known_by_its_longest_part() {
        let name = "C=US, O=Let's Encrypt, CN=R3";
        assert_eq!(telling_part(name).as_deref(), Some("let's encrypt"));
        assert_eq!(telling_part("x"), None);
    }
}

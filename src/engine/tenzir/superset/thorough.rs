//! The conditions that are not pushed down, but evaluated by the querying program.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    WhereClause, declared, indexed, literal, quoted, requests, shown, texts, this, within,
};
use crate::engine::Wanted;
use crate::engine::tenzir::layout::{Leaf, Leaves, TextRole};
use crate::engine::tenzir::query::quote;
use crate::observable::{Property, ValueForm};

/// The conditions that are not pushed down, one per schema.
pub(in crate::engine::tenzir) fn thorough(
    wanted: &Wanted<'_>,
    leaves: &Leaves,
) -> Vec<WhereClause> {
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
        Some(WhereClause {
            lists: canonical.lists.clone(),
            text: format!("@name == {name} and ({})", terms.join(" or ")),
        })
    };
    leaves.schemas().filter_map(of_schema).collect()
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
        if roles.has(TextRole::Host) || roles.has(TextRole::RequestHost) {
            name = Some(host(value));
            terms.extend(within(value, "hosts", &self.hosts));
        } else if roles.has(TextRole::Name) {
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
        if roles.has(TextRole::CommonName) {
            let name = common_name(&lower);
            terms.extend(within(&name, "names", &self.names));
            for domain in &self.wanted.domains_above {
                terms.push(format!(
                    "{name}.ends_with({})",
                    literal(&format!(".{domain}"))
                ));
            }
        }
        if roles.has(TextRole::Url) {
            terms.extend(within(&lower, "urls", &self.urls));
        }
        if roles.has(TextRole::RequestTarget) {
            terms.extend(within(&lower, "targets_alone", &self.targets_alone));
        }
        if roles.has(TextRole::Text) {
            let digits = format!("{lower}.replace(\":\", \"\")");
            terms.extend(within(&digits, "texts", &self.texts));
            if roles.has(TextRole::Serial) {
                let short = format!("{digits}.replace_regex(\"^0+\", \"\")");
                terms.extend(within(&short, "texts", &self.texts));
            }
        }
        if roles.has(TextRole::DistinguishedName) {
            let parts = self.parts.iter();
            terms.extend(parts.map(|part| format!("{} in {lower}", literal(part))));
        }
        if roles.has(TextRole::File) {
            let base = format!("{value}.file_name().to_lower()");
            terms.extend(within(&base, "files", &self.files));
        }
        if roles.has(TextRole::Mail) {
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

/// The longest value in a distinguished name, in lower case.
pub(super) fn telling_part(name: &str) -> Option<String> {
    let values = name
        .split([',', '/'])
        .filter_map(|part| part.split_once('='));
    let values = values.map(|(_, value)| value.trim().to_lowercase());
    values
        .max_by_key(String::len)
        .filter(|value| !value.is_empty())
}

fn is_name_of_parts(property: Property) -> bool {
    property.facts().writing == ValueForm::DistinguishedName
}

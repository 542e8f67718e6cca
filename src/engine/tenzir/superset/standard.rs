//! The standard conditions: what a node can evaluate by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{WhereClause, declared, literal, mails, quoted, requests, shown, texts, this, within};
use crate::engine::Wanted;
use crate::engine::tenzir::layout::{Leaf, Leaves, TextRole};

/// The most single-value terms per condition: several thousand crash the program
/// (measured).
pub(super) const MOST_TERMS: usize = 1000;

/// The conditions that are pushed down, the cheaper ones first. Elements of lists are
/// left out if they are searched otherwise.
pub(in crate::engine::tenzir) fn standard(
    wanted: &Wanted<'_>,
    leaves: &Leaves,
    with_elements: bool,
) -> Vec<WhereClause> {
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
        if roles.has(TextRole::Host) || roles.has(TextRole::RequestHost) {
            self.is_in(
                leaf,
                "hosts",
                &quoted(&wanted.hosts) | &quoted(&wanted.names),
            );
        } else if roles.has(TextRole::Name) {
            self.is_in(leaf, "names", quoted(&wanted.names));
        }
        if roles.has(TextRole::Name) || roles.has(TextRole::Host) {
            for domain in &wanted.domains_above {
                self.part(leaf, &format!(".{domain}"));
            }
        }
        if roles.has(TextRole::RequestTarget) {
            self.is_in(leaf, "targets_alone", quoted(&wanted.urls.targets_alone));
        }
        if roles.has(TextRole::Url) {
            self.is_in(leaf, "urls", quoted(&wanted.urls.whole));
        }
        if roles.has(TextRole::Text) {
            self.is_in(leaf, "texts", quoted(&texts(wanted)));
        }
        if roles.has(TextRole::File) {
            self.is_in(leaf, "files", quoted(&wanted.files));
            for name in &wanted.files {
                self.part(leaf, &format!("/{name}"));
                self.part(leaf, &format!("\\{name}"));
            }
        }
        if roles.has(TextRole::Mail) {
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
            if leaf.roles.has(TextRole::Name) || leaf.roles.has(TextRole::Host) {
                values.append(&mut quoted(&wanted.elements));
            }
            if leaf.roles.has(TextRole::Url) {
                values.append(&mut quoted(&wanted.urls.elements));
            }
            if leaf.roles.has(TextRole::Text) {
                values.append(&mut quoted(&texts(wanted)));
            }
            if leaf.roles.has(TextRole::File) {
                values.append(&mut quoted(&wanted.files));
            }
            if leaf.roles.has(TextRole::Mail) {
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

    fn conditions(self) -> Vec<WhereClause> {
        let mut conditions = Vec::new();
        if !self.terms.is_empty() {
            conditions.push(WhereClause {
                lists: declared(&self.lists),
                text: self.terms.join(" or "),
            });
        }
        for terms in self.singles.chunks(MOST_TERMS) {
            conditions.push(WhereClause {
                lists: String::new(),
                text: terms.join(" or "),
            });
        }
        conditions
    }
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

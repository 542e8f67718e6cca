//! The layouts of a node's events, as printed by its operator `schemas`: which of their
//! fields can be searched, including those in lists and in records in lists. (The
//! operator `fields` shows a field of a record in a list like a plain one.)

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::matching::places::{Joined, Place, Places, Reading};

/// The path of a field: the names of the enclosing records, and its own.
pub(super) type FieldPath = Vec<String>;

/// One layout of the events of a schema, or the type of a field.
#[derive(Debug, Deserialize)]
pub(super) struct Layout {
    name: Option<String>,
    kind: String,
    state: Option<TypeState>,
}

/// The definition of a type.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TypeState {
    Record { fields: Vec<NamedLayout> },
    List { r#type: Box<Layout> },
    Other(IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct NamedLayout {
    name: String,
    r#type: Layout,
}

/// A field that holds addresses or text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Leaf {
    /// The path to the field, or to the list that contains it.
    pub(super) path: FieldPath,
    /// The path from the list to the field, if that is in records of a list.
    pub(super) inner: FieldPath,
    /// Whether it is a list, or inside one.
    pub(super) is_list: bool,
    /// Whether its type is `ip` rather than text.
    pub(super) is_address: bool,
    /// What it holds.
    pub(super) roles: Roles,
}

/// How a text is compared with the wanted values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TextRole {
    /// As a name or an address.
    Name,
    /// As a host, optionally with a port.
    Host,
    /// By the name in it (`CN=`).
    CommonName,
    /// As a whole URL.
    Url,
    /// As the host of a request.
    RequestHost,
    /// As what follows the host in a URL.
    RequestTarget,
    /// As a file name or path.
    File,
    /// As one or more mail addresses.
    Mail,
    /// As a serial number, possibly with leading zeros.
    Serial,
    /// As a distinguished name, whose parts may be in any order.
    DistinguishedName,
    /// As a whole text or hash.
    Text,
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Roles(u16);

impl Roles {
    /// The roles of a text field, by the table of kinds and places.
    fn of(place: &Place) -> Self {
        let mut roles = Roles::default();
        for one in &place.uses {
            match one.reading {
                Reading::Name
                | Reading::Answer
                | Reading::Record
                | Reading::Address
                | Reading::Addresses => {
                    roles.add(TextRole::Name);
                }
                Reading::Host => roles.add(TextRole::Host),
                Reading::CommonName => roles.add(TextRole::CommonName),
                Reading::Url | Reading::Target => roles.add(TextRole::Url),
                Reading::FileName => roles.add(TextRole::File),
                Reading::Mail => roles.add(TextRole::Mail),
                Reading::Serial => {
                    roles.add(TextRole::Serial);
                    roles.add(TextRole::Text);
                }
                Reading::DistinguishedName => {
                    roles.add(TextRole::DistinguishedName);
                    roles.add(TextRole::Text);
                }
                Reading::Hexadecimal | Reading::Mac | Reading::LowerCase | Reading::Text => {
                    roles.add(TextRole::Text);
                }
                Reading::Principal => roles.add(TextRole::Name),
                Reading::Protocols | Reading::Number | Reading::Plain => {}
            }
        }
        for joined in &place.joined {
            match joined {
                Joined::RequestHost => roles.add(TextRole::RequestHost),
                Joined::RequestTarget => {
                    roles.add(TextRole::RequestTarget);
                    roles.add(TextRole::Url);
                }
                _ => {}
            }
        }
        roles
    }

    fn add(&mut self, role: TextRole) {
        self.0 |= 1 << role as u16;
    }

    /// Whether it contains this role.
    pub(super) fn has(self, role: TextRole) -> bool {
        self.0 & (1 << role as u16) != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The fields that can be searched, by schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leaves(BTreeMap<String, BTreeSet<Leaf>>);

impl Leaves {
    /// Adds a layout of a schema.
    pub(super) fn add(&mut self, layout: &Layout) {
        let Some(schema) = &layout.name else {
            return;
        };
        if super::fields::is_internal(schema) {
            return;
        }
        let leaves = self.0.entry(schema.clone()).or_default();
        let mut walk = LayoutWalk {
            schema,
            leaves,
            path: Vec::new(),
            list: None,
        };
        walk.take(layout);
    }

    /// Adds a field outside lists.
    pub(super) fn add_field(&mut self, schema: &str, path: FieldPath, is_address: bool) {
        let leaves = self.0.entry(schema.to_owned()).or_default();
        let mut walk = LayoutWalk {
            schema,
            leaves,
            path,
            list: None,
        };
        walk.add(is_address);
    }

    /// By schema.
    pub(super) fn schemas(&self) -> impl Iterator<Item = (&str, &BTreeSet<Leaf>)> {
        self.0.iter().map(|(name, leaves)| (&**name, leaves))
    }

    /// All fields, each once.
    pub(super) fn all(&self) -> BTreeSet<&Leaf> {
        self.0.values().flatten().collect()
    }
}

struct LayoutWalk<'w> {
    schema: &'w str,
    leaves: &'w mut BTreeSet<Leaf>,
    path: FieldPath,
    /// The number of names that lead to the enclosing list.
    list: Option<usize>,
}

impl LayoutWalk<'_> {
    fn take(&mut self, layout: &Layout) {
        match (&*layout.kind, &layout.state) {
            ("ip", _) => self.add(true),
            ("string", _) => self.add(false),
            (_, Some(TypeState::Record { fields })) => {
                for field in fields {
                    self.path.push(field.name.clone());
                    self.take(&field.r#type);
                    self.path.pop();
                }
            }
            // Lists of lists cannot be compared.
            (_, Some(TypeState::List { r#type })) if self.list.is_none() => {
                self.list = Some(self.path.len());
                self.take(r#type);
                self.list = None;
            }
            _ => {}
        }
    }

    fn add(&mut self, is_address: bool) {
        let roles = Roles::of(place(self.schema, &self.path));
        if !is_address && roles.is_empty() {
            return;
        }
        let (path, inner) = self.path.split_at(self.list.unwrap_or(self.path.len()));
        self.leaves.insert(Leaf {
            path: path.to_vec(),
            inner: inner.to_vec(),
            is_list: self.list.is_some(),
            is_address,
            roles,
        });
    }
}

/// The place of a field in the table.
fn place(schema: &str, path: &[String]) -> &'static Place {
    let places = Places::shared();
    let path = path.join(".");
    let path = match schema.strip_prefix("zeek.") {
        Some(log) => format!("{log}.{path}"),
        None => path,
    };
    places.get(places.resolve(&path))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const DNS: &str = r#"{"name": "suricata.dns", "kind": "record", "attributes": [], "state":
        {"fields": [
            {"name": "src_ip", "type": {"name": null, "kind": "ip", "state": null}},
            {"name": "proto", "type": {"name": null, "kind": "string", "state": null}},
            {"name": "dns", "type": {"name": null, "kind": "record", "state": {"fields": [
                {"name": "rrname", "type": {"name": null, "kind": "string", "state": null}},
                {"name": "tx_id", "type": {"name": null, "kind": "uint64", "state": null}},
                {"name": "answers", "type": {"name": null, "kind": "list", "state": {"type":
                    {"name": null, "kind": "record", "state": {"fields": [
                        {"name": "rdata", "type": {"name": null, "kind": "string", "state": null}}
                    ]}}}}},
                {"name": "grouped", "type": {"name": null, "kind": "record", "state": {"fields": [
                    {"name": "A", "type": {"name": null, "kind": "list", "state": {"type":
                        {"name": null, "kind": "ip", "state": null}}}}
                ]}}}
            ]}}}
        ]}}"#;

    /// The fields of these layouts.
    pub(in super::super) fn leaves(layouts: &[&str]) -> Leaves {
        let mut leaves = Leaves::default();
        for layout in layouts {
            leaves.add(&serde_json::from_str(layout).expect("a layout"));
        }
        leaves
    }

    /// A layout with plain fields of text.
    pub(in super::super) fn plain(schema: &str, fields: &[&str]) -> String {
        let text = serde_json::json!({"name": null, "kind": "string", "state": null});
        let fields = fields.iter().map(|path| {
            let mut names = path.rsplit('.');
            let last = names.next().expect("a name");
            let field = serde_json::json!({"name": last, "type": text});
            names.fold(field, |inner, name| {
                let record = serde_json::json!({"kind": "record", "state": {"fields": [inner]}});
                serde_json::json!({"name": name, "type": record})
            })
        });
        let fields: Vec<_> = fields.collect();
        serde_json::json!({"name": schema, "kind": "record", "state": {"fields": fields}})
            .to_string()
    }

    #[test]
    fn fields_are_found_in_lists_and_in_records_of_lists() {
        let leaves = leaves(&[DNS]);
        let shown: Vec<String> = leaves
            .all()
            .into_iter()
            .map(|leaf| {
                let mark = if leaf.is_list { "[]" } else { "" };
                let inner = leaf.inner.join(".");
                format!("{}{mark}{inner} {}", leaf.path.join("."), leaf.is_address)
            })
            .collect();
        let expected = [
            "dns.answers[]rdata false",
            "dns.grouped.A[] true",
            "dns.rrname false",
            "src_ip true",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_table_says_what_a_field_holds() {
        let text = plain("zeek.http", &["host", "uri", "user_agent", "status_msg"]);
        let leaves = leaves(&[&text, &plain("tenzir.metrics.cpu", &["host"])]);
        let roles = |name: &str| {
            let all = leaves.all();
            let leaf = all.iter().find(|leaf| leaf.path == [name]);
            leaf.map(|leaf| leaf.roles)
        };
        let host = roles("host").expect("a host");
        assert!(host.has(TextRole::Host) && host.has(TextRole::RequestHost));
        let target = roles("uri").expect("a target");
        assert!(target.has(TextRole::Url) && target.has(TextRole::RequestTarget));
        assert!(roles("user_agent").is_some_and(|agent| agent.has(TextRole::Text)));
        assert_eq!(roles("status_msg"), None);
        assert_eq!(leaves.schemas().count(), 1);
    }
}

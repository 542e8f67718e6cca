//! The fields that a node knows, with their types, as listed by its operator `fields`.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use super::layout::Leaves;
use crate::matching::places::{Reading, TABLE};

/// A line of the pipelines that list fields.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct FieldLine {
    schema: String,
    path: Vec<String>,
    kind: String,
    lists: u64,
}

/// The possible types of a field's values. Two layouts of one schema may differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types {
    pub(super) address: bool,
    pub(super) text: bool,
    /// Another type that is printed as a string.
    other: bool,
    /// Lists of addresses or text.
    lists: bool,
}

/// The types that are printed as strings and are neither addresses nor text.
const OTHERS: [&str; 6] = [
    "time",
    "duration",
    "subnet",
    "enumeration",
    "blob",
    "secret",
];

/// Adjacent fields with the host of a request and the rest of its URL.
pub(super) const HOST_AND_PATH: [(&str, &str); 2] = [("hostname", "url"), ("host", "uri")];

/// All fields outside lists that hold an address, a text or the like. No comparison
/// reaches the elements of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TenzirFields {
    /// By schema, then by path (joined by dots).
    schemas: HashMap<String, HashMap<String, Types>>,
    addresses: BTreeSet<Vec<String>>,
    texts: BTreeSet<Vec<String>>,
    /// The number of fields with addresses or text, counted for each schema.
    places: usize,
    /// What can be searched in them, if that was requested.
    leaves: Leaves,
}

impl TenzirFields {
    /// Adds a field.
    pub(super) fn add(&mut self, field: FieldLine) {
        // Skips events that the node writes about itself. (Events without a schema get
        // one of Tenzir's, like `tenzir.unknown`.)
        if is_internal(&field.schema) {
            return;
        }
        let path = field.path.join(".");
        let types = self.schemas.entry(field.schema).or_default();
        let types = types.entry(path).or_default();
        if field.lists > 0 {
            if ["ip", "string"].contains(&&*field.kind) {
                self.places += usize::from(!std::mem::replace(&mut types.lists, true));
            }
            return;
        }
        let (known, paths) = match field.kind.as_str() {
            "ip" => (&mut types.address, &mut self.addresses),
            "string" => (&mut types.text, &mut self.texts),
            kind => {
                types.other |= OTHERS.contains(&kind);
                return;
            }
        };
        self.places += usize::from(!std::mem::replace(known, true));
        paths.insert(field.path);
    }

    /// The number of places that queries for addresses or text search. It grows with each
    /// new one.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// The types of a field; `None` if the schema is unknown.
    pub(super) fn types(&self, schema: &str, path: &str) -> Option<Types> {
        let schema = self.schemas.get(schema)?;
        Some(schema.get(path).copied().unwrap_or_default())
    }

    /// The types of a field; `None` if no known type of it is printed as a string.
    pub(super) fn known(&self, schema: &str, path: &str) -> Option<Types> {
        let types = *self.schemas.get(schema)?.get(path)?;
        let nothing = Types {
            lists: types.lists,
            ..Types::default()
        };
        (types != nothing).then_some(types)
    }

    /// The fields of Suricata's and Zeek's events that the table of places knows, as if
    /// none were in a list: for a node that was not queried.
    pub(super) fn of_table() -> Self {
        let (mut fields, mut leaves) = (TenzirFields::default(), Leaves::default());
        for row in TABLE {
            let kind = match row.reading {
                Reading::Address | Reading::Addresses => "ip",
                Reading::Number | Reading::Plain | Reading::Protocols => continue,
                _ => "string",
            };
            let eve = row.eve.iter().map(|path| ("suricata".to_owned(), *path));
            let zeek = row.zeek.iter().filter_map(|name| {
                let (log, path) = name.split_once('.')?;
                Some((format!("zeek.{log}"), path))
            });
            for (schema, path) in eve.chain(zeek) {
                let path: Vec<String> = path.split('.').map(str::to_owned).collect();
                leaves.add_field(&schema, path.clone(), kind == "ip");
                fields.add(FieldLine {
                    schema,
                    path,
                    kind: kind.to_owned(),
                    lists: 0,
                });
            }
        }
        fields.lay_out(leaves);
        fields
    }

    /// Sets the layouts.
    pub(super) fn lay_out(&mut self, leaves: Leaves) {
        self.leaves = leaves;
    }

    /// What can be searched, if the layouts were requested.
    pub(super) fn leaves(&self) -> &Leaves {
        &self.leaves
    }

    /// Every field that holds addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &[String]> {
        self.addresses.iter().map(Vec::as_slice)
    }

    /// Every field that holds text.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[String]> {
        self.texts.iter().map(Vec::as_slice)
    }

    /// The fields with the host of a request and the rest of its URL.
    pub(super) fn hosts_and_paths(&self) -> impl Iterator<Item = (&[String], Vec<String>)> {
        self.texts().filter_map(|host| {
            let path = beside(host)?;
            self.texts.contains(&path).then_some((host, path))
        })
    }
}

/// Whether the node writes events of this schema about itself.
pub(super) fn is_internal(schema: &str) -> bool {
    let is_internal = |prefix| schema.starts_with(prefix);
    ["tenzir.metrics.", "tenzir.diagnostic"]
        .iter()
        .any(is_internal)
}

/// The field with the rest of the URL, next to the one with its host.
fn beside(host: &[String]) -> Option<Vec<String>> {
    let (name, parents) = host.split_last()?;
    let (_, path) = HOST_AND_PATH.iter().find(|(host, _)| host == name)?;
    let mut all = parents.to_vec();
    all.push((*path).to_owned());
    Some(all)
}

/// Like [`beside`], for a path joined by dots.
pub(super) fn path_beside(host: &str) -> Option<String> {
    let names: Vec<String> = host.split('.').map(str::to_owned).collect();
    beside(&names).map(|path| path.join("."))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A field for the tests.
    pub(in super::super) fn field(schema: &str, path: &str, kind: &str) -> FieldLine {
        FieldLine {
            schema: schema.to_owned(),
            path: path.split('.').map(str::to_owned).collect(),
            kind: kind.to_owned(),
            lists: 0,
        }
    }

    #[test]
    fn fields_are_distinguished_by_type_and_new_ones_are_noticed() {
        let mut fields = TenzirFields::default();
        let mut is_news = |field: FieldLine| {
            let before = fields.places();
            fields.add(field);
            fields.places() > before
        };
        assert!(is_news(field("zeek.http", "id.orig_h", "ip")));
        assert!(is_news(field("zeek.http", "host", "string")));
        assert!(!is_news(field("zeek.http", "host", "string")));
        assert!(!is_news(field("zeek.http", "ts", "time")));
        assert!(!is_news(field("zeek.http", "trans_depth", "uint64")));
        assert!(!is_news(field("tenzir.metrics.cpu", "hostname", "string")));
        let list = FieldLine {
            lists: 1,
            ..field("zeek.dns", "answers", "string")
        };
        // It is not a text field, but there are new places to search.
        assert!(is_news(list));
        let types = fields.types("zeek.http", "id.orig_h").expect("known");
        assert!(types.address && !types.text);
        let none = Some((false, false));
        let both = |types: Types| (types.address, types.text);
        assert_eq!(fields.types("zeek.http", "ts").map(both), none);
        assert_eq!(fields.known("zeek.http", "ts").map(both), none);
        // A number, or nothing: a string in such a field is new.
        for path in ["trans_depth", "x"] {
            assert_eq!(fields.types("zeek.http", path).map(both), none);
            assert_eq!(fields.known("zeek.http", path), None);
        }
        assert_eq!(fields.types("zeek.ssl", "query"), None);
        // Another layout, another schema, and events without one.
        fields.add(field("zeek.http", "host", "ip"));
        fields.add(field("zeek.dns", "host", "string"));
        fields.add(field("tenzir.unknown", "host", "string"));
        assert_eq!(fields.places(), 6);
        let types = fields.types("zeek.http", "host").expect("known");
        assert!(types.address && types.text);
        assert_eq!((fields.addresses().count(), fields.texts().count()), (2, 1));
    }

    #[test]
    fn hosts_are_beside_paths() {
        let mut fields = TenzirFields::default();
        for path in [
            "http.hostname",
            "http.url",
            "host",
            "uri",
            "hostname",
            "x.url",
        ] {
            fields.add(field("s", path, "string"));
        }
        let pairs: Vec<String> = fields
            .hosts_and_paths()
            .map(|(host, path)| format!("{} {}", host.join("."), path.join(".")))
            .collect();
        assert_eq!(pairs, ["host uri", "http.hostname http.url"]);
        assert_eq!(path_beside("http.hostname").as_deref(), Some("http.url"));
        assert_eq!(path_beside("http.url"), None);
    }
}

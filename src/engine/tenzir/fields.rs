//! The fields that a node knows, by their type, as its operator `fields` lists
//! them.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

/// A line of the pipeline that [`super::query::FIELDS`] is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Field {
    schema: String,
    path: Vec<String>,
    kind: String,
    lists: u64,
}

/// What the values of a field can be. Two layouts of one schema may differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types {
    pub(super) address: bool,
    pub(super) text: bool,
}

/// Where a request's host and the rest of its URL stand, side by side.
const HOST_AND_PATH: [(&str, &str); 2] = [("hostname", "url"), ("host", "uri")];

/// All fields with an address or a text in them, outside lists: no comparison
/// reaches the elements of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// By schema, then by path, its names joined by dots.
    schemas: HashMap<String, HashMap<String, Types>>,
    addresses: BTreeSet<Vec<String>>,
    texts: BTreeSet<Vec<String>>,
}

impl Fields {
    /// Adds a field; says whether that changes anything.
    pub(super) fn add(&mut self, field: Field) -> bool {
        // What the node writes about itself is no event.
        if field.lists > 0 || field.schema.starts_with("tenzir.") {
            return false;
        }
        let (paths, is_address) = match field.kind.as_str() {
            "ip" => (&mut self.addresses, true),
            "string" => (&mut self.texts, false),
            _ => return false,
        };
        let schema = self.schemas.entry(field.schema).or_default();
        let types = schema.entry(field.path.join(".")).or_default();
        let known = match is_address {
            true => &mut types.address,
            false => &mut types.text,
        };
        paths.insert(field.path);
        !std::mem::replace(known, true)
    }

    /// The types of a field; `None` where the schema is not known.
    pub(super) fn types(&self, schema: &str, path: &str) -> Option<Types> {
        let schema = self.schemas.get(schema)?;
        Some(schema.get(path).copied().unwrap_or_default())
    }

    /// Every field that holds addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &[String]> {
        self.addresses.iter().map(Vec::as_slice)
    }

    /// Every field that holds text.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[String]> {
        self.texts.iter().map(Vec::as_slice)
    }

    /// The fields that hold the host of a request and the rest of its URL.
    pub(super) fn hosts_and_paths(&self) -> impl Iterator<Item = (&[String], Vec<String>)> {
        self.texts().filter_map(|host| {
            let path = beside(host)?;
            self.texts.contains(&path).then_some((host, path))
        })
    }
}

/// The field with the rest of the URL, beside the one with its host.
fn beside(host: &[String]) -> Option<Vec<String>> {
    let (name, parents) = host.split_last()?;
    let (_, path) = HOST_AND_PATH.iter().find(|(host, _)| host == name)?;
    let mut all = parents.to_vec();
    all.push((*path).to_owned());
    Some(all)
}

/// As [`beside`], for a path with its names joined by dots.
pub(super) fn path_beside(host: &str) -> Option<String> {
    let names: Vec<String> = host.split('.').map(str::to_owned).collect();
    beside(&names).map(|path| path.join("."))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A field for the tests.
    pub(in super::super) fn field(schema: &str, path: &str, kind: &str) -> Field {
        Field {
            schema: schema.to_owned(),
            path: path.split('.').map(str::to_owned).collect(),
            kind: kind.to_owned(),
            lists: 0,
        }
    }

    #[test]
    fn fields_are_told_apart_by_type_and_new_ones_are_noticed() {
        let mut fields = Fields::default();
        assert!(fields.add(field("zeek.http", "id.orig_h", "ip")));
        assert!(fields.add(field("zeek.http", "host", "string")));
        assert!(!fields.add(field("zeek.http", "host", "string")));
        assert!(!fields.add(field("zeek.http", "ts", "time")));
        assert!(!fields.add(field("tenzir.metrics.cpu", "hostname", "string")));
        let list = Field {
            lists: 1,
            ..field("zeek.dns", "answers", "string")
        };
        assert!(!fields.add(list));
        let types = fields.types("zeek.http", "id.orig_h").expect("known");
        assert!(types.address && !types.text);
        assert_eq!(fields.types("zeek.http", "ts"), Some(Types::default()));
        assert_eq!(fields.types("zeek.dns", "query"), None);
        // Another layout, and another schema.
        assert!(fields.add(field("zeek.http", "host", "ip")));
        assert!(fields.add(field("zeek.dns", "host", "string")));
        let types = fields.types("zeek.http", "host").expect("known");
        assert!(types.address && types.text);
        assert_eq!((fields.addresses().count(), fields.texts().count()), (2, 1));
    }

    #[test]
    fn hosts_stand_beside_paths() {
        let mut fields = Fields::default();
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

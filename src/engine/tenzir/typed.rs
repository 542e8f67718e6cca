//! Finds the entries of a query that an event matches. The node prints an address like
//! its text; the field's type tells which it is.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use super::fields::{TenzirFields, Types, path_beside};
use super::query::host_and_path;
use crate::engine::{Attribute, EventLine};
use crate::matching::{Path, ScanError, Verdict, walk};
use crate::observable::{Network, Observable};

/// The entries of one query, prepared for its events.
#[derive(Debug)]
pub(super) struct Typed {
    fields: Arc<TenzirFields>,
    entries: usize,
    addresses: HashMap<IpAddr, Vec<usize>>,
    /// A few, since each costs as much as a hundred other values.
    networks: Vec<(Network, usize)>,
    texts: HashMap<String, Vec<usize>>,
    /// By the value of the first field, then by that of the adjacent one.
    hosts: HashMap<String, HashMap<String, Vec<usize>>>,
    /// The possible values of the adjacent field.
    paths: HashSet<String>,
}

impl Typed {
    /// Prepares a query for these entries in these fields.
    pub(super) fn new(entries: &[&[Observable]], fields: Arc<TenzirFields>) -> Self {
        let mut typed = Typed {
            fields,
            entries: entries.len(),
            addresses: HashMap::new(),
            networks: Vec::new(),
            texts: HashMap::new(),
            hosts: HashMap::new(),
            paths: HashSet::new(),
        };
        for (entry, observables) in entries.iter().enumerate() {
            for observable in *observables {
                typed.insert(observable, entry);
            }
        }
        typed
    }

    fn insert(&mut self, observable: &Observable, entry: usize) {
        match observable {
            Observable::Address(address) | Observable::Endpoint(address, _) => {
                own(&mut self.addresses, *address, entry)
            }
            Observable::Network(network) => self.networks.push((*network, entry)),
            Observable::Domain(text) | Observable::Hash(text) | Observable::Text(_, text) => {
                own(&mut self.texts, text.as_written().to_owned(), entry);
            }
            Observable::Subdomain(_) | Observable::Answer(_) => {}
            Observable::Url(url) => {
                own(&mut self.texts, url.as_written().to_owned(), entry);
                if let Some((host, path)) = host_and_path(url.as_written()) {
                    let paths = self.hosts.entry(host.to_owned()).or_default();
                    own(paths, path.to_owned(), entry);
                    self.paths.insert(path.to_owned());
                }
            }
        }
    }

    /// The owners of one value, by the possible types of its field.
    fn owners(&self, text: &str, types: impl Fn() -> Option<Types>, verdict: &mut Verdict) {
        let as_text = self.texts.get(text).map_or(&[][..], Vec::as_slice);
        let as_address = self.look_up_address(text);
        if as_text.is_empty() && as_address.is_empty() {
            return;
        }
        let Some(types) = types() else {
            // The schema is newer than the known fields, which are reloaded.
            verdict.doubtful.extend(as_text);
            verdict.doubtful.extend(as_address);
            return;
        };
        // With two layouts of one schema, the value does not show which it belongs to.
        let ambiguous = types.text && types.address && text.parse::<IpAddr>().is_ok();
        for (owners, counts) in [(as_text, types.text), (&*as_address, types.address)] {
            if !counts {
                continue;
            }
            if ambiguous {
                verdict.doubtful.extend(owners);
            } else {
                verdict.certain.extend(owners);
            }
        }
    }

    fn look_up_address(&self, text: &str) -> Vec<usize> {
        let none = self.addresses.is_empty() && self.networks.is_empty();
        // Most text is not an address, which is visible without parsing.
        if none || !text.contains(['.', ':']) || text.len() > 45 {
            return Vec::new();
        }
        let Ok(address) = text.parse::<IpAddr>() else {
            return Vec::new();
        };
        let address = address.to_canonical();
        let mut owners = self.addresses.get(&address).cloned().unwrap_or_default();
        let networks = self.networks.iter();
        owners.extend(
            networks
                .filter(|(network, _)| network.contains(address))
                .map(|(_, entry)| entry),
        );
        owners
    }

    /// The owners of URLs whose host and path are in adjacent fields.
    fn pairs(&self, parts: &[(String, String)], schema: &str, verdict: &mut Verdict) {
        for (field, host) in parts {
            let (Some(paths), Some(beside)) = (self.hosts.get(host), path_beside(field)) else {
                continue;
            };
            for (_, path) in parts.iter().filter(|(other, _)| *other == beside) {
                let Some(owners) = paths.get(path) else {
                    continue;
                };
                let is_text = |field: &str| {
                    let types = self.fields.types(schema, field);
                    types.map(|types| (types.text, types.address))
                };
                match (is_text(field), is_text(&beside)) {
                    (Some((true, false)), Some((true, false))) => verdict.certain.extend(owners),
                    (Some((false, _)), _) | (_, Some((false, _))) => {}
                    _ => verdict.doubtful.extend(owners),
                }
            }
        }
    }
}

/// Adds an owner to a value's.
fn own<K: Hash + Eq>(owners: &mut HashMap<K, Vec<usize>>, value: K, entry: usize) {
    let owners = owners.entry(value).or_default();
    if owners.last() != Some(&entry) {
        owners.push(entry);
    }
}

impl Attribute for Typed {
    /// An entry matches if one of its values is in a field of its type, outside lists. It
    /// is only ambiguous if two layouts of the event's schema give that field different
    /// types, or if the schema is new; a single entry never is.
    fn attribute(&self, event: &EventLine<'_>, verdict: &mut Verdict) -> Result<(), ScanError> {
        verdict.certain.clear();
        verdict.doubtful.clear();
        verdict.nothing_found = false;
        let mut parts = Vec::new();
        let scanned = walk(event.text, |text, path, in_list| {
            if in_list {
                return;
            }
            let types = || self.fields.types(event.schema, &joined(path));
            self.owners(text, types, verdict);
            if self.hosts.contains_key(text) || self.paths.contains(text) {
                parts.push((joined(path), text.to_owned()));
            }
        });
        if let Err(error) = scanned {
            verdict.certain.clear();
            verdict.doubtful.clear();
            return Err(error);
        }
        self.pairs(&parts, event.schema, verdict);
        if self.entries == 1 {
            // The engine did return this event.
            verdict.certain.append(&mut verdict.doubtful);
        }
        verdict.certain.sort_unstable();
        verdict.certain.dedup();
        let certain = &verdict.certain;
        verdict
            .doubtful
            .retain(|entry| certain.binary_search(entry).is_err());
        verdict.doubtful.sort_unstable();
        verdict.doubtful.dedup();
        Ok(())
    }
}

fn joined(path: &Path<'_>) -> String {
    let mut text = String::new();
    path.push_to(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tenzir::fields::tests::field;

    fn fields() -> Arc<TenzirFields> {
        let mut fields = TenzirFields::default();
        for (schema, path, kind) in [
            ("s", "src_ip", "ip"),
            ("s", "http.hostname", "string"),
            ("s", "http.url", "string"),
            ("s", "note", "string"),
            // Two layouts.
            ("s", "peer", "ip"),
            ("s", "peer", "string"),
            ("other", "src_ip", "string"),
        ] {
            fields.add(field(schema, path, kind));
        }
        Arc::new(fields)
    }

    /// The certain and the ambiguous entries of an event of schema `schema`.
    fn judge(entries: &[Observable], schema: &str, text: &str) -> (Vec<usize>, Vec<usize>) {
        let entries: Vec<&[Observable]> = entries.iter().map(std::slice::from_ref).collect();
        let mut verdict = Verdict::default();
        Typed::new(&entries, fields())
            .attribute(
                &EventLine {
                    text,
                    schema,
                    stored: None,
                    sent: None,
                },
                &mut verdict,
            )
            .expect("an event");
        (verdict.certain, verdict.doubtful)
    }

    fn address(text: &str) -> Observable {
        Observable::address(text.parse().expect("an address"))
    }

    fn url(text: &str) -> Observable {
        Observable::Url(text.into())
    }

    #[test]
    fn a_value_counts_in_fields_of_its_type() {
        let entries = [
            address("192.0.2.1"),
            Observable::domain("192.0.2.1"),
            Observable::domain("evil.example"),
            Observable::network(Network::parse("198.51.100.0/24").expect("a network")),
        ];
        let typed = |schema, text| judge(&entries, schema, text);
        assert_eq!(typed("s", r#"{"src_ip": "192.0.2.1"}"#).0, [0]);
        assert_eq!(typed("s", r#"{"src_ip": "::ffff:192.0.2.1"}"#).0, [0]);
        assert_eq!(typed("s", r#"{"src_ip": "198.51.100.9"}"#).0, [3]);
        assert_eq!(typed("s", r#"{"note": "198.51.100.9"}"#).0, [0; 0]);
        assert_eq!(typed("s", r#"{"note": "192.0.2.1"}"#).0, [1]);
        assert_eq!(typed("other", r#"{"src_ip": "192.0.2.1"}"#).0, [1]);
        assert_eq!(typed("s", r#"{"peer": "192.0.2.1"}"#), (vec![], vec![0, 1]));
        assert_eq!(typed("s", r#"{"peer": "evil.example"}"#).0, [2]);
        assert_eq!(typed("new", r#"{"x": "192.0.2.1"}"#), (vec![], vec![0, 1]));
        let none = (vec![], vec![]);
        for text in [
            r#"{"note": ["evil.example"]}"#,
            r#"{"note": "EVIL.example"}"#,
            r#"{"unknown": "evil.example"}"#,
            r#"{"evil.example": "note"}"#,
        ] {
            assert_eq!(typed("s", text), none, "{text}");
        }
    }

    #[test]
    fn a_url_counts_whole_or_in_two_parts_side_by_side() {
        let entries = [
            url("http://h.example/p"),
            url("http://i.example/q"),
            url("/p"),
        ];
        let pair = |host, path| format!(r#"{{"http": {{"hostname": "{host}", "url": "{path}"}}}}"#);
        assert_eq!(judge(&entries, "s", &pair("h.example", "/p")).0, [0, 2]);
        assert_eq!(judge(&entries, "s", &pair("i.example", "/q")).0, [1]);
        // The host of one and the path of the other.
        assert_eq!(judge(&entries, "s", &pair("i.example", "/p")).0, [2]);
        assert_eq!(judge(&entries, "s", &pair("i.example", "/")).0, [0; 0]);
        let whole = pair("proxy", "http://h.example/p");
        assert_eq!(judge(&entries, "s", &whole).0, [0]);
        let elsewhere = r#"{"note": "h.example", "http": {"url": "/p"}}"#;
        assert_eq!(judge(&entries, "s", elsewhere).0, [2]);
    }

    #[test]
    fn a_line_that_is_no_event_is_an_error() {
        let typed = Typed::new(&[], fields());
        let line = EventLine {
            text: "[]",
            schema: "s",
            stored: None,
            sent: None,
        };
        assert!(typed.attribute(&line, &mut Verdict::default()).is_err());
    }
}

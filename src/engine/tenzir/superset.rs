//! Conditions for every event that may hold one of the observables. The events that come
//! back are checked here; a condition only must not miss any.
//!
//! The standard conditions contain what a node can evaluate by itself (*pushed down*).
//! Anything else, such as case-insensitive comparison, is evaluated by the querying
//! program, which gets all events of a schema for it. Each schema has its own condition,
//! since one such term in a common condition would transfer every event (measured).

mod standard;
mod thorough;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};

use super::layout::{Leaf, TextRole};
use super::query::quote;
use crate::engine::Wanted;
use crate::engine::wanted::with_colons;

pub(super) use standard::standard;
pub(super) use thorough::thorough;

/// A condition of `where`, and the lists that it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WhereClause {
    /// `let` for each list.
    pub(super) lists: String,
    /// The condition itself.
    pub(super) text: String,
}

/// Adjacent fields with the host of a request and the rest of its URL.
fn requests(leaves: &BTreeSet<Leaf>) -> impl Iterator<Item = (&Leaf, &Leaf)> {
    let plain = |leaf: &&Leaf| !leaf.is_list && !leaf.is_address;
    let hosts = leaves.iter().filter(plain);
    let hosts = hosts.filter(|leaf| leaf.roles.has(TextRole::RequestHost));
    hosts.flat_map(move |host| {
        let targets = leaves.iter().filter(plain).filter(|leaf| {
            leaf.roles.has(TextRole::RequestTarget) && above(&leaf.path) == above(&host.path)
        });
        targets.map(move |target| (host, target))
    })
}

fn above(path: &[String]) -> &[String] {
    path.split_last().map_or(&[], |(_, above)| above)
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
        writeln!(text, "let ${name} = [{}]", values.join(", "))
            .expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::{leaves, plain};
    use super::standard::MOST_TERMS;
    use super::thorough::telling_part;
    use super::*;
    use crate::engine::tenzir::layout::Leaves;
    use crate::observable::{Observable, Property};

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

    fn queried(observables: &[Observable]) -> Vec<WhereClause> {
        standard(&Wanted::of(observables), &known(), true)
    }

    fn assert_holds(conditions: &[WhereClause], parts: &[&str]) {
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
        let conditions = queried(&[domain("evil.example")]);
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
    fn addresses_are_queried_with_their_port_and_as_text() {
        let end = Observable::of_endpoint("192.0.2.1:4444").expect("an address with a port");
        assert_holds(
            &queried(&[end]),
            &[
                r#"(this["dest_ip"] in $ends and this["dest_port"] in $ports)"#,
                "let $ports = [4444]",
                r#"let $hosts = ["192.0.2.1", "192.0.2.1:4444"]"#,
            ],
        );
        let network = Observable::of_address("192.0.2.0/24").expect("a network");
        assert_holds(
            &queried(&[network]),
            &[r#"this["dest_ip"] in 192.0.2.0/24"#],
        );
    }

    #[test]
    fn urls_are_pairs_of_lists() {
        let url = Observable::of_url("http://a.example:81/x").expect("a URL");
        assert_holds(
            &queried(&[url]),
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
        let conditions = queried(&names);
        assert_eq!(conditions.len(), 3);
        assert!(conditions[0].text.contains("$names") && conditions[1].lists.is_empty());
    }

    #[test]
    fn what_is_not_pushed_down_is_queried_by_schema() {
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

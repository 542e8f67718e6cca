//! Pipelines of Tenzir's query language.
//!
//! External text only enters a query inside a string literal, or as an address that this
//! program prints.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use time::{OffsetDateTime, UtcOffset};

use super::fields::{HOST_AND_PATH, TenzirFields};
use super::superset::{self, WhereClause, this};
use crate::engine::{QueryBounds, Wanted};
use crate::indicator::Indicator;
use crate::matching::Mode;
use crate::matching::UrlParts;
use crate::observable::{Network, Observable};

/// The most values per pipeline: a thousand take a second, more cost more than two
/// pipelines, and several thousand terms crash the program.
pub(super) const MOST_VALUES: usize = 1000;

/// Lists the fields with addresses and text of all events on the node.
const ASKABLE: &str = "fields | where type.kind == \"ip\" or type.kind == \"string\" \
     | summarize schema, path, kind=type.kind, lists=type.lists | this = {field: this}";

/// The same for all fields.
const FIELDS: &str =
    "fields | summarize schema, path, kind=type.kind, lists=type.lists | this = {field: this}";

/// All fields, and the layouts that they are in.
const LAYOUTS: &str = "merge { schemas | this = {layout: this} }";

/// All events as they arrive, and a heartbeat of the node every few seconds. It comes
/// from the node's own metrics; `now()` would also come without a node.
const NEW_EVENTS: &str = "quiet { export live=true \
     | this = {schema: @name, stored: @import_time, event: this} \
     | merge { metrics \"actor\", live=true | this = {heartbeat: now()} \
     | throttle rate=1, window=2s, drop=true } }";

/// Prints one line per event, without null fields.
const PRINT: &str = "write_ndjson strip_null_fields=true";

/// Queries the node's version.
pub(super) const PING: &str = "api \"/ping\" | write_ndjson";

/// Queries the program's version, without a node.
pub(super) const VERSION: &str = "version | write_ndjson";

/// A pipeline for all events as they arrive.
pub(super) fn new_events() -> String {
    format!("{NEW_EVENTS} | {PRINT}")
}

/// A pipeline for the fields of any kind.
pub(super) fn fields() -> String {
    format!("{FIELDS} | {PRINT}")
}

/// A pipeline for the fields, and for the layouts that contain them.
pub(super) fn layouts() -> String {
    format!("{FIELDS} | {LAYOUTS} | {PRINT}")
}

/// Pipelines for a superset of the events with any of these values, and for the node's
/// current fields, the cheaper ones first. The cost of those of [`Mode::Thorough`] grows
/// with the stored data.
pub(super) fn superset(
    observables: &[&Observable],
    fields: &TenzirFields,
    bounds: &QueryBounds,
    mode: Mode,
) -> Vec<String> {
    let wanted = Wanted::of(observables.iter().copied());
    let is_thorough = mode == Mode::Thorough;
    let mut conditions = superset::standard(&wanted, fields.leaves(), !is_thorough);
    if is_thorough {
        conditions.extend(superset::thorough(&wanted, fields.leaves()));
    }
    if conditions.is_empty() {
        // Nothing of the kind is stored.
        return vec![self::fields()];
    }
    let pipelines = conditions.into_iter();
    pipelines
        .map(|condition| export(&condition, bounds, None))
        .collect()
}

/// The queries for a single indicator on a node with the events of Suricata and Zeek;
/// empty if it has no values. A real node reports its fields.
pub(super) fn queries_of(indicator: &Indicator, mode: Mode) -> Vec<String> {
    if indicator.selection.is_some() {
        return Vec::new();
    }
    let observables: Vec<&Observable> = indicator.observables.iter().collect();
    let (fields, bounds) = (TenzirFields::of_table(), QueryBounds::default());
    match mode {
        Mode::Exact => vec![any_of(&observables, &fields, &bounds)],
        Mode::Standard | Mode::Thorough => superset(&observables, &fields, &bounds, mode),
    }
}

/// A pipeline for the events that satisfy a condition, and for the node's current fields:
/// both are printed as lines, in any order.
fn export(condition: &WhereClause, bounds: &QueryBounds, most: Option<u64>) -> String {
    let WhereClause { lists, text } = condition;
    let mut pipeline = lists.clone();
    // `quiet` encloses everything: without it, each schema that lacks a field causes a
    // warning; around `where` alone it keeps the condition from the node.
    let _ = match bounds.since {
        Some(since) => write!(
            pipeline,
            "quiet {{ export | where @import_time > {} and ({text}) \
             | this = {{schema: @name, stored: @import_time, event: this}}",
            moment(since)
        ),
        None => write!(
            pipeline,
            "quiet {{ export | where {text} | this = {{schema: @name, event: this}}"
        ),
    };
    if let Some(most) = most {
        let _ = write!(pipeline, " | head {most}");
    }
    let _ = write!(pipeline, " | merge {{ {ASKABLE} }} }} | {PRINT}");
    pipeline
}

/// A pipeline for every event with any of these values in the known fields, and for the
/// node's current fields: both are printed as lines, in any order.
///
/// It may return events with the host of one URL and the path of another;
/// [`super::typed::Typed`] rejects these.
pub(super) fn any_of(
    observables: &[&Observable],
    fields: &TenzirFields,
    bounds: &QueryBounds,
) -> String {
    let values = Values::of(observables);
    let mut condition = WhereClause::default();
    condition.text = values.condition(fields, &mut condition.lists);
    if condition.text.is_empty() {
        // Nothing of the kind is stored.
        return self::fields();
    }
    let most = bounds.events.filter(|_| values.urls.len() < 2);
    export(&condition, bounds, most)
}

/// The distinct values of one pipeline, by the way they are compared.
#[derive(Default)]
struct Values<'a> {
    addresses: BTreeSet<IpAddr>,
    networks: BTreeSet<Network>,
    texts: BTreeSet<&'a str>,
    urls: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Values<'a> {
    fn of(observables: &[&'a Observable]) -> Self {
        let mut values = Values::default();
        for observable in observables {
            match observable {
                Observable::Address(address) | Observable::Endpoint(address, _) => {
                    values.addresses.insert(*address);
                }
                Observable::Network(network) => {
                    values.networks.insert(*network);
                }
                Observable::Domain(text) | Observable::Hash(text) | Observable::Text(_, text) => {
                    values.texts.insert(text.as_written());
                }
                // Tenzir is not queried for these.
                Observable::Subdomain(_) | Observable::Answer(_) => {}
                Observable::Url(url) => {
                    values.texts.insert(url.as_written());
                    values.urls.extend(host_and_path(url.as_written()));
                }
            }
        }
        values
    }

    /// The condition of `where`; the lists that it uses are added to `lists`.
    fn condition(&self, fields: &TenzirFields, lists: &mut String) -> String {
        let mut terms = Vec::new();
        if !self.addresses.is_empty() {
            declare(
                lists,
                "addresses",
                self.addresses.iter(),
                |text, address| {
                    let _ = write!(text, "{address}");
                },
            );
            terms.extend(fields.addresses().map(|path| is_in(path, "$addresses")));
        }
        // A list of networks cannot be searched for the one with an address.
        for network in &self.networks {
            let network = network.to_string();
            terms.extend(fields.addresses().map(|path| is_in(path, &network)));
        }
        if !self.texts.is_empty() {
            declare(lists, "texts", self.texts.iter(), |text, value| {
                quote(text, value)
            });
            terms.extend(fields.texts().map(|path| is_in(path, "$texts")));
        }
        if !self.urls.is_empty() {
            let hosts: BTreeSet<&str> = self.urls.iter().map(|(host, _)| *host).collect();
            let paths: BTreeSet<&str> = self.urls.iter().map(|(_, path)| *path).collect();
            declare(lists, "hosts", hosts.iter(), |text, value| {
                quote(text, value)
            });
            declare(lists, "paths", paths.iter(), |text, value| {
                quote(text, value)
            });
            terms.extend(fields.hosts_and_paths().map(|(host, path)| {
                format!("({} and {})", is_in(host, "$hosts"), is_in(&path, "$paths"))
            }));
        }
        terms.join(" or ")
    }
}

/// A time, rounded down to the second.
fn moment(time: OffsetDateTime) -> String {
    let time = time.to_offset(UtcOffset::UTC);
    let (date, (hour, minute, second)) = (time.date(), time.to_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The adjacent fields with the host of a request and the rest of its URL, and how to
/// split a URL for them.
pub(super) const URL_PARTS: UrlParts = UrlParts {
    names: &HOST_AND_PATH,
    split: host_and_path,
};

/// A URL as Suricata and Zeek store it: the host without a port, and what follows it,
/// without a fragment.
pub(super) fn host_and_path(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    if !["http", "https"].contains(&scheme) {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let path = match path {
        "" => "/",
        path => path,
    };
    (!host.is_empty()).then_some((host, path))
}

fn declare<T>(
    lists: &mut String,
    name: &str,
    values: impl Iterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    let _ = write!(lists, "let ${name} = [");
    for (position, value) in values.enumerate() {
        if position > 0 {
            lists.push_str(", ");
        }
        write(lists, value);
    }
    lists.push_str("]\n");
}

/// `this["id"]["orig_h"] in $addresses`
fn is_in(path: &[String], list: &str) -> String {
    format!("{} in {list}", this(path))
}

/// A JSON string literal, except for `\/`, which is an error.
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::tenzir::fields::tests::field;

    fn most(events: u64) -> QueryBounds {
        QueryBounds {
            events: Some(events),
            ..QueryBounds::default()
        }
    }

    #[test]
    fn a_bound_on_time_is_one_on_when_it_was_stored() {
        let bounds = QueryBounds {
            since: Some(time::macros::datetime!(2026-01-02 03:04:05.6 +1)),
            ..QueryBounds::default()
        };
        let host = Observable::domain("evil.example");
        let pipeline = any_of(&[&host], &known(), &bounds);
        let expected = concat!(
            "where @import_time > 2026-01-02T02:04:05Z and (this[\"a\\\"b\"] in $texts or ",
            "this[\"host\"] in $texts or this[\"uri\"] in $texts) ",
            "| this = {schema: @name, stored: @import_time, event: this} | merge",
        );
        assert!(pipeline.contains(expected), "{pipeline}");
    }

    fn known() -> TenzirFields {
        let mut fields = TenzirFields::default();
        for (path, kind) in [
            ("id.orig_h", "ip"),
            ("src_ip", "ip"),
            ("host", "string"),
            ("uri", "string"),
            ("a\"b", "string"),
        ] {
            fields.add(field("s", path, kind));
        }
        fields
    }

    #[test]
    fn each_kind_is_queried_in_the_fields_of_its_type() {
        let observables = [
            Observable::address("::ffff:192.0.2.1".parse().expect("an address")),
            Observable::address("2001:db8::1".parse().expect("an address")),
            Observable::domain("evil.example"),
            Observable::network(Network::parse("198.51.100.7/24").expect("a network")),
        ];
        let all: Vec<&Observable> = observables.iter().collect();
        let expected = concat!(
            "let $addresses = [192.0.2.1, 2001:db8::1]\n",
            "let $texts = [\"evil.example\"]\n",
            "quiet { export | where this[\"id\"][\"orig_h\"] in $addresses or ",
            "this[\"src_ip\"] in $addresses or this[\"id\"][\"orig_h\"] in 198.51.100.0/24 or ",
            "this[\"src_ip\"] in 198.51.100.0/24 or this[\"a\\\"b\"] in $texts or ",
            "this[\"host\"] in $texts or this[\"uri\"] in $texts ",
            "| this = {schema: @name, event: this} | head 7 | merge { ",
        );
        let pipeline = any_of(&all, &known(), &most(7));
        assert!(pipeline.starts_with(expected), "{pipeline}");
        assert!(pipeline.ends_with(&format!("merge {{ {ASKABLE} }} }} | {PRINT}")));
        // No field of the kind.
        assert_eq!(
            any_of(&all, &TenzirFields::default(), &QueryBounds::default()),
            fields()
        );
    }

    #[test]
    fn urls_are_queried_whole_and_in_two_parts() {
        let url = Observable::Url("http://h.example/p?q".into());
        let pipeline = any_of(&[&url], &known(), &most(3));
        for part in [
            "let $texts = [\"http://h.example/p?q\"]\n",
            "let $hosts = [\"h.example\"]\nlet $paths = [\"/p?q\"]\n",
            "or (this[\"host\"] in $hosts and this[\"uri\"] in $paths) |",
            "| head 3 |",
        ] {
            assert!(pipeline.contains(part), "{part} is not in {pipeline}");
        }
        // Several: the pipeline returns more than what matches.
        let other = Observable::Url("https://i.example".into());
        let pipeline = any_of(&[&url, &other], &known(), &most(3));
        assert!(!pipeline.contains("head"), "{pipeline}");
    }

    #[test]
    fn a_url_parts_into_host_and_path() {
        for (url, parts) in [
            ("http://h.example/p?q#f", Some(("h.example", "/p?q"))),
            ("https://h.example:8443/p", Some(("h.example", "/p"))),
            ("http://h.example", Some(("h.example", "/"))),
            ("http://h.example?q", Some(("h.example", "?q"))),
            ("http://u:p@h.example/", Some(("h.example", "/"))),
            ("http://[2001:db8::1]:80/", Some(("[2001:db8::1]", "/"))),
            ("http:///p", None),
            ("ftp://h.example/p", None),
            ("/p", None),
        ] {
            assert_eq!(host_and_path(url), parts, "{url}");
        }
    }

    /// What a literal means by the rules of the language.
    fn unquote(literal: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = literal.strip_prefix('"')?.strip_suffix('"')?.chars();
        while let Some(c) = rest.next() {
            match c {
                '"' => return None,
                c if c.is_control() => return None,
                '\\' => match rest.next()? {
                    c @ ('"' | '\\') => text.push(c),
                    'u' => {
                        let digits: String = rest.by_ref().take(4).collect();
                        text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    _ => return None,
                },
                c => text.push(c),
            }
        }
        Some(text)
    }

    proptest! {
        #[test]
        fn a_literal_holds_any_text(text: String) {
            let mut literal = String::new();
            quote(&mut literal, &text);
            prop_assert_eq!(unquote(&literal), Some(text));
        }
    }
}

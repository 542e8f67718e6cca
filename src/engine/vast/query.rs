//! Expressions of VAST's query language.
//!
//! External text only enters a query inside a string literal (`literal.rs`), or as
//! an address that this program prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::BufRead;
use std::net::IpAddr;

use time::{Duration, OffsetDateTime};

use super::literal::{literal, quote, why_not};
use super::pieces::{OR, QueryPieces};
use super::superset;
use super::version::VastVersion;
use crate::indicator::{Indicator, Selection};
use crate::matching::Mode;
use crate::matching::condition::{Field, Operator};
use crate::observable::whole_second;
use crate::observable::{Kind, Network, Observable};

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(QueryPieces);

impl Query {
    /// The text for the engine.
    pub fn text(&self) -> String {
        self.0.text()
    }

    /// A reader of the same text.
    pub fn reader(&self) -> impl BufRead {
        self.0.reader()
    }

    /// Queries for everything that the observables name, in any spelling, and for more
    /// than that: each event has to be checked. The cheaper queries come first; the cost
    /// of those that [`Mode::Thorough`] adds grows with the stored data. Empty if there
    /// is nothing to query.
    pub fn superset(observables: &[&Observable], version: &VastVersion, mode: Mode) -> Vec<Self> {
        let all = || observables.iter().copied();
        let mut queries = superset::standard(all(), version);
        if mode == Mode::Thorough {
            queries.extend(superset::thorough(all()));
        }
        queries.into_iter().map(Query).collect()
    }

    /// A query for every event with any of the observables. Each value occurs once, no
    /// matter how many indicators have it. `None` if there is nothing to query.
    ///
    /// A single value is queried as in the original bridge, several as a list: both
    /// return the same events, and a list of 1,000 costs as much as one value (measured).
    pub fn any_of<'a>(
        observables: impl IntoIterator<Item = &'a Observable>,
        version: &VastVersion,
    ) -> Option<Self> {
        let mut values = Values::default();
        for observable in observables {
            values.add(observable);
        }
        let text = values.write(version);
        (!text.is_empty()).then(|| Query(text.into()))
    }
}

/// The queries for a single indicator on a VAST of unknown version; empty if nothing
/// narrows the query.
pub fn queries_of(indicator: &Indicator, mode: Mode) -> Vec<String> {
    let version = VastVersion::unknown();
    let queries = match &indicator.selection {
        None if mode == Mode::Exact => {
            Vec::from_iter(Query::any_of(&indicator.observables, &version))
        }
        None => {
            let observables: Vec<&Observable> = indicator.observables.iter().collect();
            Query::superset(&observables, &version, mode)
        }
        Some(selection) => {
            let [times, _] = version.time_extractors();
            Vec::from_iter(Query::selecting(selection, &version, Some(times), mode))
        }
    };
    queries.iter().map(Query::text).collect()
}

impl Query {
    /// A query for the events of a selection. What this engine does not support is left
    /// out, and so are times without an extractor for them. `None` if nothing is left
    /// that narrows the query.
    pub fn selecting(
        selection: &Selection,
        version: &VastVersion,
        times: Option<&str>,
        mode: Mode,
    ) -> Option<Self> {
        if !selection.is_narrow() {
            return None;
        }
        let writer = SelectionWriter {
            version,
            times,
            mode,
        };
        writer.selection(selection).map(|text| Query(text.into()))
    }

    /// The same for events that happened after this time, or in the same second. Times
    /// are written in UTC without a zone, as the engine prints them.
    pub fn since(&self, extractor: &str, time: OffsetDateTime) -> Self {
        let Query(pieces) = self.clone();
        let mut bounded = QueryPieces::from("(".to_owned());
        bounded.append(pieces);
        let bound = format!(") && {extractor} > {}", whole_second(time));
        bounded.append(bound.into());
        Query(bounded)
    }
}

/// Writes selections.
///
/// It only uses syntax that is known to work (measured, or from the published test suite
/// of VAST): lists of values, `"text" in field` for a substring, numbers compared with
/// the suffix of a field's name, `#timestamp`, `&&` and `||`. A pattern, `field ~ /…/`,
/// is not used: it is only known to work for `#type`, and the published index of text
/// fields only supports equality and substrings.
struct SelectionWriter<'a> {
    version: &'a VastVersion,
    times: Option<&'a str>,
    mode: Mode,
}

impl SelectionWriter<'_> {
    /// `None` means every event.
    fn selection(&self, selection: &Selection) -> Option<String> {
        match selection {
            Selection::Everything => None,
            Selection::Values(values) if self.mode == Mode::Exact => {
                let query = Query::any_of(values, self.version)?;
                Some(format!("({})", query.text()))
            }
            Selection::Values(values) => {
                let queries = superset::standard(values, self.version);
                let queries: Vec<String> = queries.iter().map(QueryPieces::text).collect();
                (!queries.is_empty()).then(|| format!("({})", queries.join(OR)))
            }
            Selection::Contains(kind, text)
                if self.mode != Mode::Exact && superset::knows_fields_of(*kind) =>
            {
                superset::holding(*kind, text)
            }
            Selection::Contains(kind, text) => {
                let mut texts = BTreeSet::from([literal(text)?]);
                if !superset::has_case(*kind) {
                    texts.extend(literal(&text.to_lowercase()));
                }
                let holds = |text: &String| {
                    let extractors = kind.extractors().iter();
                    let held = extractors.map(|extractor| format!("{text} in {extractor}"));
                    held.collect::<Vec<_>>()
                };
                joined(texts.iter().flat_map(holds), " || ")
            }
            Selection::Number(field, order, number) => {
                let is_port = matches!(field, Field::SourcePort | Field::DestinationPort);
                if is_port && self.version.has_port_type() {
                    return None;
                }
                let symbol = symbol(*order);
                let compares = |name: &&str| format!("{name} {symbol} {number}");
                joined(field.paths().iter().map(compares), " || ")
            }
            Selection::During(start, stop) => {
                let extractor = self.times?;
                // The last whole second that is certainly before the start, and the first
                // that is certainly after the end.
                let second = Duration::SECOND;
                let after = whole_second(start.saturating_sub(second));
                let before = whole_second(stop.saturating_add(second));
                Some(format!("({extractor} > {after} && {extractor} < {before})"))
            }
            Selection::All(parts) => {
                joined(parts.iter().filter_map(|one| self.selection(one)), " && ")
            }
            Selection::Any(parts) => {
                let parts = parts.iter().map(|one| self.selection(one));
                joined(parts.collect::<Option<Vec<String>>>()?, " || ")
            }
        }
    }
}

/// These in parentheses; `None` if there are none.
fn joined(parts: impl IntoIterator<Item = String>, operator: &str) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().collect();
    match &*parts {
        [] => None,
        [one] => Some(one.clone()),
        _ => Some(format!("({})", parts.join(operator))),
    }
}

fn symbol(order: Operator) -> &'static str {
    match order {
        Operator::Equal => "==",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
    }
}

/// The distinct values of one query, by the way they are queried.
#[derive(Default)]
struct Values<'a> {
    addresses: BTreeSet<IpAddr>,
    networks: BTreeSet<Network>,
    texts: BTreeMap<Kind, BTreeSet<&'a str>>,
}

impl<'a> Values<'a> {
    fn add(&mut self, observable: &'a Observable) {
        match observable {
            Observable::Address(address) | Observable::Endpoint(address, _) => {
                self.addresses.insert(*address);
            }
            Observable::Network(network) => {
                self.networks.insert(*network);
            }
            Observable::Domain(text)
            | Observable::Url(text)
            | Observable::Hash(text)
            | Observable::Text(_, text)
            | Observable::Subdomain(text)
            | Observable::Answer(text) => {
                if why_not(text.as_written()).is_none() {
                    let texts = self.texts.entry(Kind::of(observable)).or_default();
                    texts.insert(text.as_written());
                }
            }
        }
    }

    fn write(&self, version: &VastVersion) -> String {
        let texts = self.texts.values().map(BTreeSet::len).sum::<usize>();
        match self.addresses.len() + self.networks.len() + texts {
            1 => self.single(version),
            _ => self.lists(version),
        }
    }

    /// One value, queried as in the original bridge.
    fn single(&self, version: &VastVersion) -> String {
        if let Some(address) = self.addresses.first() {
            return address.to_string();
        }
        let mut predicates: Vec<String> = self.networks(version).collect();
        for (kind, values) in &self.texts {
            match kind {
                Kind::Subdomain | Kind::Answer => predicates.extend(memberships(*kind, values)),
                _ => predicates.extend(values.iter().flat_map(|value| {
                    let mut text = String::new();
                    quote(&mut text, value);
                    let value = text;
                    let equals = move |extractor: &&str| format!("{value} == {extractor}");
                    kind.extractors().iter().map(equals)
                })),
            }
        }
        predicates.join(" || ")
    }

    fn lists(&self, version: &VastVersion) -> String {
        let mut predicates = Vec::new();
        if !self.addresses.is_empty() {
            let extractor = version.address_extractor();
            predicates.push(list(extractor, &self.addresses, |text, address| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{address}");
            }));
        }
        predicates.extend(self.networks(version));
        for (kind, values) in &self.texts {
            match kind {
                Kind::Subdomain | Kind::Answer => predicates.extend(memberships(*kind, values)),
                _ => predicates.extend(
                    kind.extractors()
                        .iter()
                        .map(|extractor| list(extractor, values, |text, value| quote(text, value))),
                ),
            }
        }
        predicates.join(" || ")
    }

    /// The language has no lists of networks: each needs a predicate.
    fn networks(&self, version: &VastVersion) -> impl Iterator<Item = String> {
        let extractor = version.address_extractor();
        let networks = self.networks.iter();
        networks.map(move |network| format!("{extractor} in {network}"))
    }
}

/// `in` finds a substring of a text, or an element of a list that equals the text. It
/// takes one value, so each needs a predicate.
fn memberships(kind: Kind, values: &BTreeSet<&str>) -> impl Iterator<Item = String> {
    let dot = if kind == Kind::Subdomain { "." } else { "" };
    values.iter().flat_map(move |value| {
        let mut text = String::new();
        quote(&mut text, &format!("{dot}{value}"));
        let value = text;
        let holds = move |extractor: &&str| format!("{value} in {extractor}");
        kind.extractors().iter().map(holds)
    })
}

fn list<T>(extractor: &str, values: &BTreeSet<T>, write: impl Fn(&mut String, &T)) -> String {
    let mut text = format!("{extractor} in [");
    for (position, value) in values.iter().enumerate() {
        if position > 0 {
            text.push_str(", ");
        }
        write(&mut text, value);
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observable::Property;

    fn version(text: &str) -> VastVersion {
        VastVersion::read(format!("{{\"VAST\": \"{text}\"}}").as_bytes()).expect("a version")
    }

    fn query(observables: &[Observable], at: &str) -> String {
        let query = Query::any_of(observables, &version(at)).expect("something to ask");
        query.text()
    }

    fn address(text: &str) -> Observable {
        Observable::address(text.parse().expect("an address"))
    }

    fn domain(text: &str) -> Observable {
        Observable::Domain(text.into())
    }

    #[test]
    fn one_value_is_queried_as_in_the_original() {
        for (observable, expected) in [
            (address("1.2.3.4"), "1.2.3.4"),
            (address("::ffff:1.2.3.4"), "1.2.3.4"),
            (address("2001:DB8:0:0::1"), "2001:db8::1"),
            (
                domain("evil.example"),
                r#""evil.example" == net.domain || "evil.example" == net.hostname"#,
            ),
            (Observable::Url("/a?b".into()), r#""/a?b" == net.uri"#),
        ] {
            assert_eq!(query(&[observable.clone(), observable], "v2.0.0"), expected);
        }
    }

    #[test]
    fn several_values_are_in_lists_each_once() {
        let observables = [
            domain("b"),
            domain("a"),
            domain("b"),
            address("::1"),
            Observable::Url("/".into()),
            address("1.2.3.4"),
        ];
        let expected = r#"in [1.2.3.4, ::1] || net.domain in ["a", "b"] || net.hostname in ["a", "b"] || net.uri in ["/"]"#;
        assert_eq!(
            query(&observables, "2021.01.28"),
            format!(":addr {expected}")
        );
        assert_eq!(query(&observables, "v3.0.0"), format!(":ip {expected}"));
        assert_eq!(Query::any_of([], &version("v2.0.0")), None);
    }

    #[test]
    fn every_kind_is_queried_in_its_fields() {
        let network = |text: &str| Network::parse(text).map(Observable::network).expect("one");
        let text = |property, value: &str| Observable::text(property, value).expect("a value");
        let md5 = text(Property::Md5, "70041821acf87389e40ddcb092004184");
        assert_eq!(
            query(std::slice::from_ref(&md5), "v2.0.0"),
            r#""70041821acf87389e40ddcb092004184" == file.hash.md5"#
        );
        assert_eq!(
            query(&[network("10.0.0.0/8")], "v3.0.0"),
            ":ip in 10.0.0.0/8"
        );
        let several = [
            network("2001:db8::/32"),
            md5,
            text(Property::FileName, "a.exe"),
            network("10.0.0.0/8"),
            text(Property::UserAgent, "x"),
        ];
        assert_eq!(
            query(&several, "2021.01.28"),
            r#":addr in 10.0.0.0/8 || :addr in 2001:db8::/32 || file.hash.md5 in ["70041821acf87389e40ddcb092004184"] || file.name in ["a.exe"] || zeek.http.user_agent in ["x"] || suricata.http.http.http_user_agent in ["x"]"#
        );
    }

    #[test]
    fn parts_of_names_and_answers_are_separate_predicates() {
        let under = Observable::Subdomain("a.example".into());
        let answer = |text: &str| Observable::Answer(text.into());
        let under_text = r#"".a.example" in net.domain || ".a.example" in net.hostname"#;
        assert_eq!(query(std::slice::from_ref(&under), "v2.0.0"), under_text);
        let several = [
            answer("b\""),
            under,
            domain("a.example"),
            answer("192.0.2.1"),
        ];
        assert_eq!(
            query(&several, "v2.0.0"),
            format!(
                r#"net.domain in ["a.example"] || net.hostname in ["a.example"] || {under_text} || "192.0.2.1" in zeek.dns.answers || "b\"" in zeek.dns.answers"#
            )
        );
    }

    #[test]
    fn a_bound_on_the_time_holds_for_every_value() {
        let query = Query::any_of(&[domain("a")], &version("2020.12.16")).expect("a query");
        let time = time::macros::datetime!(2009-11-19 09:00:00.75 +1);
        assert_eq!(
            query.since("#timestamp", time).text(),
            r#"("a" == net.domain || "a" == net.hostname) && #timestamp > 2009-11-19T08:00:00"#
        );
    }

    fn selecting(selection: &Selection, at: &str) -> Option<String> {
        let query = Query::selecting(selection, &version(at), Some("#timestamp"), Mode::Exact);
        query.map(|query| query.text())
    }

    #[test]
    fn a_selection_is_written_in_known_forms() {
        let text = |text: &str| Selection::Contains(Kind::Domain, text.into());
        let port = |order| Selection::Number(Field::DestinationPort, order, 4444);
        let (start, stop) = (
            time::macros::datetime!(2009-11-19 09:00:00.75 +1),
            time::macros::datetime!(2009-11-19 09:00:00 UTC),
        );
        let during = || Selection::During(start, stop);
        for (selection, expected) in [
            (
                text("a\" || \"/\\x"),
                r#"("a\" || \"/\x" in net.domain || "a\" || \"/\x" in net.hostname)"#,
            ),
            (
                port(Operator::GreaterOrEqual),
                "(dest_port >= 4444 || id.resp_p >= 4444 || DestinationPort >= 4444 || dport >= 4444)",
            ),
            (
                Selection::Contains(Kind::Url, "/x".into()),
                r#""/x" in net.uri"#,
            ),
            (
                Selection::All(vec![
                    Selection::Number(Field::FileSize, Operator::Less, 5),
                    during(),
                ]),
                "(fileinfo.size < 5 && (#timestamp > 2009-11-19T07:59:59 && #timestamp < 2009-11-19T09:00:01))",
            ),
            (
                Selection::Any(vec![
                    Selection::Contains(Kind::Url, "x".into()),
                    Selection::Values(vec![address("1.2.3.4")]),
                ]),
                r#"("x" in net.uri || (1.2.3.4))"#,
            ),
        ] {
            assert_eq!(
                selecting(&selection, "2020.12.16").as_deref(),
                Some(expected)
            );
        }
        // No literal can contain this.
        assert_eq!(selecting(&text("a\\"), "2020.12.16"), None);
        // Ports with their own type, and times without an extractor.
        assert_eq!(selecting(&port(Operator::Equal), "2020.11.30"), None);
        let rest = Selection::All(vec![port(Operator::Equal), text("a")]);
        let rest = selecting(&rest, "2020.11.30");
        assert_eq!(
            rest.as_deref(),
            Some(r#"("a" in net.domain || "a" in net.hostname)"#)
        );
        let either = Selection::Any(vec![port(Operator::Equal), text("a")]);
        assert_eq!(selecting(&either, "2020.11.30"), None);
        assert_eq!(
            Query::selecting(&during(), &version("v2.0.0"), None, Mode::Exact),
            None
        );
    }
}

//! What is searched for in addition to the values of an indicator, if requested. The
//! original compares for equality, so everything here is off by default.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Indicator, Selection};
use crate::matching::condition::{Check, Condition, Field, Test, TestedPlace};
use crate::observable::{Kind, Observable};

/// The ends of a connection, and the fields of their ports.
const ENDS: [(TestedPlace, Field); 2] = [
    (TestedPlace::Source, Field::SourcePort),
    (TestedPlace::Destination, Field::DestinationPort),
];

/// How much wider than equality an indicator is searched. Each widens the values that the indicator
/// names, and not those that another one adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MatchExpansion {
    /// Search for domains and addresses in DNS answers too, which are lists.
    pub answers: bool,
    /// Match domains also as the end of a longer name.
    pub subdomains: bool,
    /// Match URLs also by their host alone.
    pub url_hosts: bool,
    /// Search an address with a port by its address, if fields are compared whole. Whether both are
    /// of one end of a connection is checked in the event.
    pub ends: bool,
}

/// The host of a URL with a scheme, in lower case: a domain or an address.
fn host(url: &str) -> Option<Observable> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?,
        None => host.split(':').next()?,
    };
    match host.parse::<IpAddr>() {
        Ok(address) => Some(Observable::address(address)),
        Err(_) => {
            let plain = !host.is_empty() && !host.contains(char::is_control);
            plain.then(|| Observable::domain(&host.to_lowercase()))
        }
    }
}

/// The URL among two values, if the other one is its host.
pub(super) fn url_with_host(values: &[Observable]) -> Option<&Observable> {
    let [one, other] = values else {
        return None;
    };
    [(one, other), (other, one)]
        .into_iter()
        .find(|(value, other)| {
            matches!(value, Observable::Url(url) if host(url).as_ref() == Some(other))
        })
        .map(|(url, _)| url)
}

impl MatchExpansion {
    /// Whether nothing is added.
    pub fn is_nothing(self) -> bool {
        self == MatchExpansion::default()
    }

    /// Expands an indicator. Negated tests (`!=`, `NOT`) and other comparisons (`LIKE`,
    /// one end of a connection) are unchanged.
    pub fn expand(self, indicator: &mut Indicator) {
        if self.is_nothing() {
            return;
        }
        if let Some(sequence) = &mut indicator.sequence {
            let sequence = Arc::make_mut(sequence);
            sequence.parts.iter_mut().for_each(|part| self.expand(part));
            let parts = sequence.parts.iter();
            indicator.observables = parts.flat_map(|part| part.observables.clone()).collect();
            return;
        }
        let condition = indicator.condition.as_deref();
        let names_ends = condition.is_some_and(|one| one.any_test(&is_of_an_end));
        let wider = MatchExpansion {
            answers: self.answers && !names_ends,
            ..self
        };
        wider.widen_values(&mut indicator.observables);
        if let Some(selection) = &mut indicator.selection {
            let mut wide = (**selection).clone();
            wider.widen_selection(&mut wide);
            *selection = wide.into();
        }
        let condition = condition.cloned().map(|one| self.widened(one));
        // An engine may return more than the names below a domain.
        let is_inexact = |one: &Observable| matches!(one, Observable::Subdomain(_));
        let condition = if indicator.observables.iter().any(is_inexact) {
            let holds = indicator
                .observables
                .iter()
                .map(Condition::holds_observable);
            let holds = Condition::Any(holds.collect());
            Some(match condition {
                Some(condition) => Condition::All(vec![holds, condition]),
                None => holds,
            })
        } else {
            condition
        };
        indicator.condition = condition.map(Into::into);
        if self.ends {
            part_ends(indicator);
        }
    }

    fn widen_values(self, values: &mut Vec<Observable>) {
        let added: Vec<Observable> = values.iter().flat_map(|one| self.of(one)).collect();
        values.extend(added);
        values.sort_unstable();
        values.dedup();
    }

    /// The additional values for one value.
    fn of(self, value: &Observable) -> Vec<Observable> {
        let mut added = Vec::new();
        match value {
            Observable::Domain(name) => {
                if self.subdomains {
                    added.push(Observable::Subdomain(name.clone()));
                }
                if self.answers {
                    added.push(Observable::Answer(name.clone()));
                }
            }
            Observable::Address(address) if self.answers => {
                added.push(Observable::Answer(address.to_string().into()));
            }
            Observable::Url(url) if self.url_hosts => added.extend(host(url)),
            _ => {}
        }
        added
    }

    fn widen_selection(self, selection: &mut Selection) {
        match selection {
            Selection::Values(values) => self.widen_values(values),
            Selection::All(parts) | Selection::Any(parts) => {
                parts.iter_mut().for_each(|one| self.widen_selection(one));
            }
            Selection::Everything
            | Selection::Contains(..)
            | Selection::Number(..)
            | Selection::During(..) => {}
        }
    }

    fn widened(self, condition: Condition) -> Condition {
        match condition {
            Condition::All(parts) => Condition::All(self.all_widened(parts)),
            Condition::Any(parts) => Condition::Any(self.all_widened(parts)),
            Condition::Test(test) => {
                let added = values_of(&test).into_iter().flat_map(|one| self.of(&one));
                let mut any: Vec<Condition> =
                    added.map(|one| Condition::holds_observable(&one)).collect();
                if any.is_empty() {
                    Condition::Test(test)
                } else {
                    any.insert(0, Condition::Test(test));
                    Condition::Any(any)
                }
            }
            Condition::Without(_) | Condition::During(..) => condition,
        }
    }

    fn all_widened(self, parts: Vec<Condition>) -> Vec<Condition> {
        parts.into_iter().map(|one| self.widened(one)).collect()
    }
}

/// Has addresses with ports searched as addresses, and the ports checked.
fn part_ends(indicator: &mut Indicator) {
    let mut has_any = false;
    let mut any = Vec::new();
    for value in &mut indicator.observables {
        let Observable::Endpoint(address, port) = *value else {
            any.push(Condition::holds_observable(value));
            continue;
        };
        has_any = true;
        *value = Observable::address(address);
        let ends = ENDS.map(|end| Condition::address_at_port(value, end, port));
        any.extend(ends);
    }
    if has_any {
        indicator.observables.sort_unstable();
        indicator.observables.dedup();
        let held = Condition::Any(any);
        indicator.condition = Some(match indicator.condition.take() {
            Some(condition) => Condition::All(vec![held, (*condition).clone()]).into(),
            None => held.into(),
        });
    }
}

/// The values of which a test requires one.
fn values_of(test: &Test) -> Vec<Observable> {
    match (&test.check, test.place) {
        _ if test.negated => vec![],
        (Check::Holds(values), TestedPlace::Kind(Kind::Domain | Kind::Url | Kind::Address)) => {
            values.clone()
        }
        _ => vec![],
    }
}

/// Whether a test is about an end of a connection, whose address is never in a DNS answer.
fn is_of_an_end(test: &Test) -> bool {
    matches!(test.place, TestedPlace::Source | TestedPlace::Destination)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::Message;
    use crate::indicator::Protocol;
    use crate::matching::Fields;
    use crate::matching::condition::LazyEvent;
    use crate::observable::{Network, of_line};
    use crate::protocol::stix;

    const ALL: MatchExpansion = MatchExpansion {
        answers: true,
        subdomains: true,
        url_hosts: true,
        ends: false,
    };

    fn widened(pattern: &str, wider: MatchExpansion) -> Indicator {
        let json = serde_json::json!({
            "type": "indicator", "pattern": pattern,
            "id": "indicator--00000000-0000-4001-8000-000000000000",
        });
        match stix::message::read(&json.to_string()) {
            Ok(Message::Match { mut indicator, .. }) => {
                wider.expand(&mut indicator);
                indicator
            }
            other => panic!("{pattern}: {other:?}"),
        }
    }

    #[test]
    fn the_kind_is_that_of_what_is_named() {
        for (line, kind) in [
            ("a.example", "domain"),
            (".a.example", "domain"),
            ("*.a.example", "subdomain"),
            ("192.0.2.1", "ipv4"),
            ("192.0.2.1-192.0.2.4", "network"),
            ("http://a.example/x", "url"),
            ("http://192.0.2.1/x", "url"),
        ] {
            let values = of_line(line).expect("a value");
            let mut indicator = Indicator::new("1".into(), Protocol::Legacy, values);
            assert_eq!(indicator.kind(), kind, "{line}");
            ALL.expand(&mut indicator);
            assert_eq!(indicator.kind(), kind, "{line}");
        }
        let both = "[domain-name:value = 'a.example' OR url:value = 'http://b.example/']";
        assert_eq!(widened(both, ALL).kind(), "several");
    }

    fn address(text: &str) -> Observable {
        Observable::address(text.parse().expect("an address"))
    }

    #[test]
    fn each_adds_to_the_values_that_are_named() {
        let domain = || Observable::domain("a.example");
        let url = || Observable::of_url("http://B.example:80/x").expect("a URL");
        for (pattern, wider, expected) in [
            (
                "[domain-name:value = 'a.example']",
                MatchExpansion::default(),
                vec![domain()],
            ),
            (
                "[domain-name:value = 'a.example']",
                ALL,
                vec![
                    domain(),
                    Observable::Subdomain("a.example".into()),
                    Observable::Answer("a.example".into()),
                ],
            ),
            (
                "[ipv6-addr:value = '2001:DB8::1']",
                ALL,
                vec![
                    address("2001:db8::1"),
                    Observable::Answer("2001:db8::1".into()),
                ],
            ),
            (
                "[ipv4-addr:value = '192.0.2.0/24']",
                ALL,
                vec![Observable::network(
                    Network::parse("192.0.2.0/24").expect("a network"),
                )],
            ),
            (
                "[url:value = 'http://B.example:80/x']",
                ALL,
                vec![Observable::domain("b.example"), url()],
            ),
            (
                "[network-traffic:dst_ref.value = '192.0.2.1']",
                ALL,
                vec![address("192.0.2.1")],
            ),
        ] {
            assert_eq!(widened(pattern, wider).observables, expected, "{pattern}");
        }
    }

    #[test]
    fn hosts_of_urls() {
        for (url, expected) in [
            (
                "https://u:p@Evil.example:8080/x?y#z",
                Some(Observable::domain("evil.example")),
            ),
            (
                "http://evil.example?x",
                Some(Observable::domain("evil.example")),
            ),
            ("http://192.0.2.1/x", Some(address("192.0.2.1"))),
            ("ftp://[2001:db8::1]:21", Some(address("2001:db8::1"))),
            ("/x", None),
            ("http:///x", None),
            ("http://", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_checked_is_as_wide_as_what_is_queried() {
        let holds = |pattern: &str, wider: MatchExpansion, line: &str| {
            widened(pattern, wider).condition_holds(&LazyEvent::new(
                line,
                Fields::Named,
                wider.answers,
            ))
        };
        let www = r#"{"host": "www.a.example", "fileinfo.size": 7}"#;
        let answer = r#"{"query": "x", "answers": ["a.example", "192.0.2.1"]}"#;
        let domain = "[domain-name:value = 'a.example']";
        assert!(holds(domain, ALL, www) && holds(domain, ALL, answer));
        let more = r#"{"host": "www.a.example.org"}"#;
        assert!(!holds(domain, ALL, more));
        for (pattern, line, expected) in [
            (
                "[url:value = '/' OR file:size > 5 AND domain-name:value = 'a.example']",
                www,
                true,
            ),
            (
                "[file:size > 5 AND domain-name:value NOT IN ('a.example')]",
                www,
                true,
            ),
            (
                "[file:size > 5 OR domain-name:value = 'b.example']",
                answer,
                false,
            ),
            (
                "[file:size > 5 OR domain-name:value = 'a.example']",
                answer,
                true,
            ),
            (
                "[file:size > 5 OR ipv4-addr:value = '192.0.2.1']",
                answer,
                true,
            ),
        ] {
            assert_eq!(holds(pattern, ALL, line), expected, "{pattern}");
        }
        let plain = "[file:size > 5 OR domain-name:value = 'a.example']";
        assert!(!holds(plain, MatchExpansion::default(), answer));
    }

    #[test]
    fn an_address_with_a_port_is_one_end_of_a_connection() {
        let endpoint = Observable::of_endpoint("192.0.2.1:443").expect("an endpoint");
        let domain = Observable::domain("a.example");
        let mut indicator = Indicator::new(
            "1".into(),
            crate::indicator::Protocol::Legacy,
            vec![domain.clone(), endpoint],
        );
        let ends = MatchExpansion {
            ends: true,
            ..MatchExpansion::default()
        };
        ends.expand(&mut indicator);
        let address = Observable::address([192, 0, 2, 1].into());
        assert_eq!(indicator.observables, [address, domain]);
        let condition = indicator.condition.expect("the port is checked");
        for (event, holds) in [
            (r#"{"dest_ip":"192.0.2.1","dest_port":443}"#, true),
            (
                r#"{"src_ip":"192.0.2.1","src_port":443,"dest_port":1}"#,
                true,
            ),
            (r#"{"dest_ip":"192.0.2.1","dest_port":4430}"#, false),
            (r#"{"dest_ip":"192.0.2.1","src_port":443}"#, false),
            (r#"{"dns":{"rrname":"a.example"}}"#, true),
        ] {
            assert_eq!(condition.holds(event), holds, "{event}");
        }
    }
}

//! What a pattern means for an event, straight from its tree: what plans are held to.

use proptest::prelude::*;

use super::*;
use crate::indicator::{Indicator, Protocol, Validity, Wider};
use crate::matching::Concepts;
use crate::matching::condition::{Expression, Field};
use crate::matching::reference::{self, CONCEPTS, Event};
use crate::observable::{Kind, Network, Property};
use crate::protocol::stix::pattern::{
    self, Comparison, Literal, Relation, Test, Text, TextOperator, Value,
};

/// Tests over values that meet those of the events.
fn leaf() -> impl Strategy<Value = String> {
    let paths = ["domain-name:value", "url:value", "file:name"];
    let texts = [
        "evil.example",
        "Evil.example",
        "/a/b?c=d",
        "dns",
        "http://evil.example/x",
    ];
    let operators = ["=", "!=", "NOT =", "NOT !="];
    let likes = [
        "evil%",
        "%.example",
        "%a%",
        "_vil.example",
        "%",
        "dns",
        "/_/%",
        "%x%",
    ];
    let expressions = [
        "^/a",
        r"evil\\.",
        "^(dns|evil.example)$",
        "[ae]",
        "example$",
        "a|b",
        "vil?.",
        "",
        "(?i)EVIL",
    ];
    let lists = ["()", "('dns')", "('evil.example', '/a/b?c=d')"];
    let more = [
        "EXISTS url:value",
        "EXISTS file:size",
        "ipv4-addr:value = '192.0.2.1'",
        "ipv4-addr:value != '192.0.2.1'",
        "ipv4-addr:value ISSUBSET '192.0.2.0/24'",
        "ipv4-addr:value NOT ISSUBSET '192.0.2.0/24'",
        "ipv6-addr:value ISSUBSET '2001:db8::/32'",
        "ipv4-addr:value IN ('192.0.2.1', '198.51.100.7')",
        "file:hashes.MD5 = 'D41D8CD98F00B204E9800998ECF8427E'",
        "file:hashes.MD5 LIKE 'd4%'",
    ];
    let select = |of: &[&'static str]| prop::sample::select(of.to_vec());
    let not = prop::sample::select(vec!["", "NOT "]);
    let numbers = ["network-traffic:dst_port", "file:size"];
    let relations = ["=", "!=", "<", "<=", ">", ">="];
    prop_oneof![
        4 => (select(&paths), select(&operators), select(&texts))
            .prop_map(|(path, operator, text)| format!("{path} {operator} '{text}'")),
        2 => (select(&paths), not.clone(), select(&likes))
            .prop_map(|(path, not, like)| format!("{path} {not}LIKE '{like}'")),
        2 => (select(&paths), not.clone(), select(&expressions))
            .prop_map(|(path, not, expression)| format!("{path} {not}MATCHES '{expression}'")),
        1 => (select(&paths), not.clone(), select(&lists))
            .prop_map(|(path, not, list)| format!("{path} {not}IN {list}")),
        3 => (select(&numbers), not.clone(), select(&relations), select(&["0", "80", "-1"]))
            .prop_map(|(path, not, relation, number)| format!("{path} {not}{relation} {number}")),
        1 => (select(&numbers), not, select(&["(80)", "(80, -1, 0, 80)"]))
            .prop_map(|(path, not, list)| format!("{path} {not}IN {list}")),
        3 => select(&more).prop_map(str::to_owned),
    ]
}

/// Patterns of any depth, with and without bounds on the time.
pub(crate) fn pattern_text() -> impl Strategy<Value = String> {
    let comparison = leaf().prop_recursive(3, 12, 3, |inner| {
        (prop::collection::vec(inner, 2..4), any::<bool>()).prop_map(|(parts, all)| {
            let operator = if all { ") AND (" } else { ") OR (" };
            format!("({})", parts.join(operator))
        })
    });
    let times = prop::sample::select(vec![
        "",
        "",
        " START t'2024-03-05T09:00:00Z' STOP t'2024-03-05T10:00:00Z'",
        " START t'2024-03-05T09:00:00.1Z' STOP t'2024-03-05T09:00:00.3Z'",
        " WITHIN 5 SECONDS",
    ]);
    prop::collection::vec((comparison, times), 1..3).prop_map(|parts| {
        let observations = parts.iter().map(|(one, times)| format!("[{one}]{times}"));
        observations.collect::<Vec<String>>().join(" OR ")
    })
}

pub(crate) fn wider() -> impl Strategy<Value = Wider> {
    any::<(bool, bool, bool)>().prop_map(|(answers, subdomains, url_hosts)| Wider {
        answers,
        subdomains,
        url_hosts,
    })
}

/// The indicator of a plan.
pub(crate) fn indicator(plan: Plan) -> Indicator {
    Indicator {
        id: "1".into(),
        protocol: Protocol::Stix2,
        observables: plan.observables,
        selection: plan.selection.map(Into::into),
        condition: plan.condition.map(Into::into),
        validity: Validity::ALWAYS,
        ioc: plan.values,
        original: None,
        properties: None,
    }
}

/// Whether the event, as it is printed, is one that the pattern means.
pub(crate) fn evaluate(observation: &Observation, event: &Event, wider: Wider) -> bool {
    match observation {
        Observation::Single(comparison) => evaluate_comparison(comparison, event, wider),
        Observation::Or(parts) => parts.iter().any(|one| evaluate(one, event, wider)),
        Observation::Qualified { inner, qualifiers } => {
            let passes = |one: &Qualifier| match &one.kind {
                QualifierKind::StartStop { start, stop, .. } => event.time().is_some_and(|time| {
                    let at = |text: &Text| timestamp(&text.text).expect("a time");
                    at(start) <= time && time < at(stop)
                }),
                _ => true,
            };
            evaluate(inner, event, wider) && qualifiers.iter().all(passes)
        }
        other => panic!("{other:?} is not generated"),
    }
}

fn evaluate_comparison(comparison: &Comparison, event: &Event, wider: Wider) -> bool {
    match comparison {
        Comparison::Test(test) => evaluate_test(test, event) || is_met(test, event, wider),
        Comparison::And(parts) => parts
            .iter()
            .all(|one| evaluate_comparison(one, event, wider)),
        Comparison::Or(parts) => parts
            .iter()
            .any(|one| evaluate_comparison(one, event, wider)),
    }
}

/// A test holds where any value of the property passes it.
fn evaluate_test(test: &Test, event: &Event) -> bool {
    let kind = match test.path.to_string().as_str() {
        "domain-name:value" => Kind::Domain,
        "url:value" => Kind::Url,
        "file:name" => Kind::Text(Property::FileName),
        "file:hashes.MD5" => Kind::Text(Property::Md5),
        "network-traffic:dst_port" => return numbers(test, event, Field::DestinationPort),
        "file:size" => return numbers(test, event, Field::FileSize),
        _ => return addresses(test, event),
    };
    let equals = |literal: &Literal, value: &str| match &literal.value {
        Value::String(text) if kind == Kind::Text(Property::Md5) => text.to_lowercase() == value,
        Value::String(text) => text == value,
        other => panic!("{other} is not generated"),
    };
    event.texts(kind, true).into_iter().any(|value| {
        let passes = match &test.condition {
            pattern::Condition::Compare(Relation::Equal, literal) => equals(literal, &value),
            pattern::Condition::Compare(_, literal) => !equals(literal, &value),
            pattern::Condition::In(all) => all.iter().any(|one| equals(one, &value)),
            pattern::Condition::Text(TextOperator::Like, text) => like(&text.text, &value),
            pattern::Condition::Text(_, text) => {
                let expression = Expression::new(&text.text).expect("an expression");
                expression.is_found_in(&value)
            }
            pattern::Condition::Exists => true,
        };
        passes != test.negated
    })
}

/// Whether the event holds what is looked for besides the values that are named.
fn is_met(test: &Test, event: &Event, wider: Wider) -> bool {
    let named = named(test);
    let mut named = named.into_iter();
    let in_answers = |value: &str| wider.answers && event.answers().contains(&value);
    match test.path.to_string().as_str() {
        "domain-name:value" => named.any(|name| {
            let under = format!(".{name}");
            let names = event.texts(Kind::Domain, true);
            let is_under = |text: &String| text.ends_with(&under) && text.len() > under.len();
            in_answers(name) || wider.subdomains && names.iter().any(is_under)
        }),
        "url:value" => named.any(|url| {
            let host = url
                .strip_prefix("http://")
                .and_then(|url| url.split('/').next());
            let hosts = event.texts(Kind::Domain, true);
            wider.url_hosts && host.is_some_and(|host| hosts.iter().any(|one| one == host))
        }),
        "ipv4-addr:value" => named.any(in_answers),
        _ => false,
    }
}

/// The values of which a test asks for one.
fn named(test: &Test) -> Vec<&str> {
    let literals = match (&test.condition, test.negated) {
        (pattern::Condition::Compare(Relation::Equal, one), false)
        | (pattern::Condition::Compare(Relation::NotEqual, one), true) => std::slice::from_ref(one),
        (pattern::Condition::In(all), false) => all,
        (pattern::Condition::Text(TextOperator::Like, text), false)
            if !text.text.contains(['%', '_']) =>
        {
            return vec![&text.text];
        }
        _ => &[],
    };
    let texts = literals.iter().filter_map(|one| match &one.value {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn like(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('%') => (0..=text.len())
            .filter(|at| text.is_char_boundary(*at))
            .any(|at| like(rest.as_str(), &text[at..])),
        Some(one) => {
            let mut left = text.chars();
            let first = left.next();
            first.is_some_and(|first| one == '_' || one == first)
                && like(rest.as_str(), left.as_str())
        }
    }
}

fn numbers(test: &Test, event: &Event, field: Field) -> bool {
    let number = |literal: &Literal| match &literal.value {
        Value::Integer(number) => *number,
        other => panic!("{other} is not generated"),
    };
    event
        .numbers(field)
        .into_iter()
        .map(i128::from)
        .any(|value| {
            let passes = match &test.condition {
                pattern::Condition::Compare(relation, literal) => {
                    let wanted = number(literal);
                    match relation {
                        Relation::Equal => value == wanted,
                        Relation::NotEqual => value != wanted,
                        Relation::Less => value < wanted,
                        Relation::LessOrEqual => value <= wanted,
                        Relation::Greater => value > wanted,
                        Relation::GreaterOrEqual => value >= wanted,
                    }
                }
                pattern::Condition::In(all) => all.iter().any(|one| number(one) == value),
                _ => true,
            };
            passes != test.negated
        })
}

fn addresses(test: &Test, event: &Event) -> bool {
    let lies_in = |text: &str, value: std::net::IpAddr| match Network::parse(text) {
        Some(network) => network.contains(value),
        None => text.parse() == Ok(value),
    };
    let equals = |literal: &Literal, value| match &literal.value {
        Value::String(text) => lies_in(text, value),
        other => panic!("{other} is not generated"),
    };
    event.addresses(true).into_iter().any(|value| {
        let passes = match &test.condition {
            pattern::Condition::Compare(Relation::Equal, literal) => equals(literal, value),
            pattern::Condition::Compare(_, literal) => !equals(literal, value),
            pattern::Condition::In(all) => all.iter().any(|one| equals(one, value)),
            pattern::Condition::Text(_, text) => lies_in(&text.text, value),
            pattern::Condition::Exists => true,
        };
        passes != test.negated
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// What is asked for and what is checked give the verdict of the tree.
    #[test]
    fn a_plan_means_what_its_pattern_means(
        text in pattern_text(),
        events in prop::collection::vec((reference::event(), reference::style()), 6),
        wider in wider(),
    ) {
        let pattern = pattern::parse(&text).expect("it is well-formed");
        let Ok(plan) = plan(&pattern) else {
            // Nothing in it narrows a query.
            return Ok(());
        };
        let mut plan = indicator(plan);
        wider.widen(&mut plan);
        let concepts = Concepts::parse(CONCEPTS).expect("a table");
        for (event, style) in &events {
            if !event.is_plain() {
                continue;
            }
            let line = event.print(*style);
            let given = match &plan.selection {
                Some(selection) => event.is_selected(selection),
                None => plan.observables.iter().any(|one| event.matches(one)),
            };
            let checked = plan.condition.as_ref().is_none_or(|one| one.holds(&line, &concepts));
            let direct = evaluate(&pattern.root, event, wider);
            prop_assert_eq!(given && checked, direct, "{} {:?} {}", text, wider, line);
        }
    }
}

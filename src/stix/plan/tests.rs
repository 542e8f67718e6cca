use proptest::prelude::*;

use super::*;
use crate::indicator::{Network, Property};
use crate::matching::reference;
use crate::matching::{Concepts, LiveMatcher};
use crate::stix::pattern::{self, Comparison, Relation, Test, Value};

fn planned(text: &str) -> Result<Plan, Refused> {
    plan(&pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn values(text: &str) -> (Vec<String>, bool) {
    let plan = planned(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
    let observables = plan.observables.iter().map(Observable::to_string);
    (observables.collect(), plan.condition.is_some())
}

fn reason(text: &str) -> String {
    match planned(text) {
        Err(Refused::Wrong(reason) | Refused::Unsupported(reason)) => reason,
        Ok(plan) => panic!("{text}: {plan:?}"),
    }
}

const MD5: &str = "70041821acf87389e40ddcb092004184";

#[test]
fn values_are_exact_wherever_each_makes_a_match() {
    for (text, expected) in [
        ("[domain-name:value = 'a.example.']", &["a.example"][..]),
        ("[domain-name:value IN ('b', 'a', 'a')]", &["a", "b"]),
        (
            "[url:value = '/' OR ipv4-addr:value = '192.0.2.1']",
            &["192.0.2.1", "/"],
        ),
        ("[file:name = 'a'] OR [file:name = 'b']", &["a", "b"]),
        ("[ipv4-addr:value ISSUBSET '10.1.0.0/8']", &["10.0.0.0/8"]),
        ("[ipv6-addr:value = '2001:db8::/32']", &["2001:db8::/32"]),
        ("[ipv4-addr:value = '2001:db8::1']", &["2001:db8::1"]),
        ("[hostname:value = 'a.example']", &["a.example"]),
        (
            "[ipv4-addr:value ISSUPERSET '192.0.2.1/32']",
            &["192.0.2.1"],
        ),
        ("[url:value = 'a'] WITHIN 5 SECONDS", &["a"]),
        ("[url:value NOT != 'a'] REPEATS 1 TIMES", &["a"]),
    ] {
        let (found, is_checked) = values(text);
        assert_eq!(found, expected, "{text}");
        assert!(!is_checked, "{text}");
    }
    let plan = planned(&format!("[file:hashes.md5 = '{}']", MD5.to_uppercase())).expect("a plan");
    assert_eq!(
        plan.observables,
        [Observable::Text(Property::Md5, MD5.into())]
    );
    assert_eq!(plan.values, [MD5.to_uppercase()]);
}

#[test]
fn the_cheapest_part_is_asked_for_and_the_rest_is_checked() {
    let network = "ipv4-addr:value = '10.0.0.0/8'";
    for (text, expected) in [
        (
            format!("[{network} AND domain-name:value = 'a']"),
            &["a"][..],
        ),
        (
            format!("[{network} AND network-traffic:dst_port = 80]"),
            &["10.0.0.0/8"],
        ),
        (
            "[domain-name:value IN ('a', 'b') AND url:value = '/']".into(),
            &["/"],
        ),
        (
            "[url:value = '/' AND (domain-name:value LIKE 'a%' OR file:size > 5)]".into(),
            &["/"],
        ),
        (
            "[network-traffic:src_ref.value = '192.0.2.1']".into(),
            &["192.0.2.1"],
        ),
        (
            "[url:value = '/'] START t'2020-01-01T00:00:00Z' STOP t'2021-01-01T00:00:00Z'".into(),
            &["/"],
        ),
        (
            "[url:value = '/' AND url:value != 'x'] OR [file:name = 'b']".into(),
            &["/", "b"],
        ),
    ] {
        let (found, is_checked) = values(&text);
        assert_eq!(found, expected, "{text}");
        assert!(is_checked, "{text}");
    }
    // What the engine answers for is not checked once more.
    let plan = planned("[url:value = '/' AND file:name != 'b']").expect("a plan");
    let condition = plan.condition.expect("a rest");
    assert!(condition.holds(r#"{"fileinfo.filename": "c"}"#));
    assert!(!condition.holds(r#"{"fileinfo.filename": "b"}"#));
}

#[test]
fn what_cannot_be_asked_for_says_why_and_where() {
    for (text, words) in [
        (
            "[file:ctime = 'x']",
            "line 1, column 2: object path file:ctime",
        ),
        (
            "[url:value = 'a'] AND [url:value = 'b']",
            "AND of several observations",
        ),
        (
            "[url:value = 'a'] FOLLOWEDBY [url:value = 'b']",
            "FOLLOWEDBY",
        ),
        ("[url:value = 'a'] REPEATS 2 TIMES", "column 19: REPEATS 2"),
        ("[domain-name:value LIKE 'a%']", "looked up"),
        ("[domain-name:value != 'a']", "looked up"),
        (
            "[url:value = 'a' OR network-traffic:dst_port = 80]",
            "looked up",
        ),
        ("[domain-name:value IN ()]", "looked up"),
        (
            "[url:value = 'a' AND domain-name:value MATCHES '(?=a)']",
            "MATCHES cannot be checked",
        ),
        (
            "[domain-name:value = 5]",
            "column 22: domain-name:value: 5 is an integer",
        ),
        ("[network-traffic:dst_port = '80/tcp']", "not an integer"),
        ("[network-traffic:dst_ref.type = 'domain-name']", "neither"),
        ("[domain-name:value > 'a']", "compares numbers only"),
        (
            "[domain-name:value ISSUBSET '10.0.0.0/8']",
            "ISSUBSET does not fit",
        ),
        ("[ipv4-addr:value LIKE '10.%']", "LIKE does not fit"),
        ("[ipv4-addr:value ISSUPERSET '10.0.0.0/8']", "no networks"),
        ("[file:hashes.MD5 = 'abc']", "\"abc\" is no MD5"),
        ("[ipv6-addr:value = '192.0.2.1']", "no IPv6 address"),
    ] {
        let reason = reason(text);
        assert!(reason.contains(words), "{text}: {reason}");
    }
}

#[test]
fn the_end_of_a_connection_is_of_the_family_that_its_type_names() {
    let four = r#"{"dest_ip": "192.0.2.1", "dest_port": 80}"#;
    let six = r#"{"dest_ip": "2001:db8::1", "dest_port": 80}"#;
    let end = "network-traffic:dst_ref";
    for (text, expected) in [
        ("type = 'ipv4-addr'", [true, false]),
        ("type != 'ipv4-addr'", [false, true]),
        ("type = 'ipv6-addr'", [false, true]),
        ("type NOT = 'ipv6-addr'", [true, false]),
        ("type IN ('ipv4-addr', 'ipv6-addr')", [true, true]),
        ("type NOT IN ('ipv4-addr', 'ipv6-addr')", [false, false]),
        // MISP exports ports as strings.
        (
            "type = 'ipv4-addr' AND network-traffic:dst_port = '80'",
            [true, false],
        ),
        (
            "type = 'ipv4-addr' AND network-traffic:dst_port = '81'",
            [false, false],
        ),
    ] {
        let text = format!("[{end}.value IN ('192.0.2.1', '2001:db8::1') AND {end}.{text}]");
        let plan = planned(&text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
        let condition = plan.condition.expect("the end is checked here");
        assert_eq!(
            [four, six].map(|event| condition.holds(event)),
            expected,
            "{text}"
        );
    }
}

/// Tests over values that meet those of the events; `dns` and the like stand in
/// many fields.
fn leaf() -> impl Strategy<Value = String> {
    let paths = ["domain-name:value", "url:value", "file:name"];
    let texts = ["evil.example", "Evil.example", "/a/b?c=d", "dns"];
    let text = (
        prop::sample::select(paths.to_vec()),
        prop::sample::select(texts.to_vec()),
    );
    let more = [
        "domain-name:value LIKE 'evil%'",
        "domain-name:value NOT IN ('evil.example', 'dns')",
        "EXISTS url:value",
        "url:value MATCHES '^/a'",
        "ipv4-addr:value = '192.0.2.1'",
        "ipv4-addr:value != '192.0.2.1'",
        "ipv4-addr:value ISSUBSET '192.0.2.0/24'",
        "network-traffic:src_ref.value = '192.0.2.1'",
        "network-traffic:dst_port > 10",
        "file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e'",
    ];
    prop_oneof![
        4 => (text, any::<bool>()).prop_map(|((path, text), equal)| {
            let operator = if equal { "=" } else { "!=" };
            format!("{path} {operator} '{text}'")
        }),
        3 => prop::sample::select(more.to_vec()).prop_map(str::to_owned),
    ]
}

fn pattern_text() -> impl Strategy<Value = String> {
    let comparison = leaf().prop_recursive(3, 12, 3, |inner| {
        (prop::collection::vec(inner, 2..4), any::<bool>()).prop_map(|(parts, all)| {
            let operator = if all { ") AND (" } else { ") OR (" };
            format!("({})", parts.join(operator))
        })
    });
    prop::collection::vec(comparison, 1..3).prop_map(|parts| {
        let observations: Vec<String> = parts.iter().map(|one| format!("[{one}]")).collect();
        observations.join(" OR ")
    })
}

/// Whether an engine gives the event for this observable.
fn engine_gives(observable: &Observable, line: &str) -> bool {
    let mut engine = LiveMatcher::new(Concepts::built_in());
    engine.insert(observable);
    let mut slots = Vec::new();
    engine.matches(line, &mut slots).expect("an event");
    !slots.is_empty()
}

/// The tree, node by node, on the event.
fn evaluate(observation: &Observation, line: &str) -> bool {
    match observation {
        Observation::Single(comparison) => evaluate_comparison(comparison, line),
        Observation::Or(parts) => parts.iter().any(|one| evaluate(one, line)),
        other => panic!("{other:?} is not generated"),
    }
}

fn evaluate_comparison(comparison: &Comparison, line: &str) -> bool {
    match comparison {
        Comparison::Test(test) => evaluate_test(test, line),
        Comparison::And(parts) => parts.iter().all(|one| evaluate_comparison(one, line)),
        Comparison::Or(parts) => parts.iter().any(|one| evaluate_comparison(one, line)),
    }
}

fn evaluate_test(test: &Test, line: &str) -> bool {
    if let pattern::Condition::Compare(Relation::Equal, literal) = &test.condition {
        if let (Value::String(text), false) = (&literal.value, test.negated) {
            let observable = match test.path.to_string().as_str() {
                "domain-name:value" => Some(Observable::domain(text)),
                "url:value" => Some(Observable::Url(text.clone())),
                "file:name" => Observable::text(Property::FileName, text),
                "file:hashes.MD5" => Observable::text(Property::Md5, text),
                "ipv4-addr:value" => Network::parse(&format!("{text}/32")).map(Observable::network),
                _ => None,
            };
            if let Some(observable) = observable {
                return engine_gives(&observable, line);
            }
        }
    }
    let part = comparison::part(&Comparison::Test(test.clone())).expect("it can be checked");
    part.condition.holds(line)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What is asked for and what is checked give the verdict of the tree.
    #[test]
    fn a_plan_means_what_its_pattern_means(
        text in pattern_text(),
        events in prop::collection::vec((reference::event(), reference::style()), 6),
    ) {
        let pattern = pattern::parse(&text).expect("it is well-formed");
        let Ok(plan) = plan(&pattern) else {
            // Nothing in it can be looked up.
            return Ok(());
        };
        for (event, style) in &events {
            let line = event.print(*style);
            let given = plan.observables.iter().any(|one| engine_gives(one, &line));
            let checked = plan.condition.as_ref().is_none_or(|one| one.holds(&line));
            let direct = evaluate(&pattern.root, &line);
            prop_assert_eq!(given && checked, direct, "{} {}", text, line);
        }
    }
}

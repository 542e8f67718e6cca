use super::*;
use crate::engine::vast::query::Query;
use crate::engine::vast::version::Version;
use crate::matching::{Concepts, Mode};
use crate::observable::Property;
use crate::protocol::stix::pattern;

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
            "[domain-name:resolves_to_refs[*].value = '2001:DB8::0:1']",
            &["2001:db8::1"],
        ),
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
            "[domain-name:value = 'a' AND domain-name:resolves_to_refs[*].value = '192.0.2.1']"
                .into(),
            &["a"],
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
    assert!(condition.holds(r#"{"fileinfo.filename": "c"}"#, &Concepts::built_in()));
    assert!(!condition.holds(r#"{"fileinfo.filename": "b"}"#, &Concepts::built_in()));
}

/// The selection of a pattern as VAST would be asked for it.
fn query(text: &str) -> String {
    let plan = planned(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
    assert!(
        plan.observables.is_empty() && plan.condition.is_some(),
        "{text}"
    );
    let selection = plan.selection.unwrap_or_else(|| panic!("{text}"));
    let version = Version::unknown();
    let query = Query::selecting(&selection, &version, Some("#timestamp"), Mode::Exact);
    query.expect("it is narrow").as_str().to_owned()
}

#[test]
fn what_has_no_value_to_look_up_takes_a_query_of_its_own() {
    for (text, expected) in [
        ("[file:name LIKE '%.exe']", r#"".exe" in file.name"#),
        ("[file:name MATCHES '^x.*']", r#""x" in file.name"#),
        (
            "[url:value MATCHES '/(gate|panel)\\\\.php$']",
            r#"("gate" in net.uri || "panel" in net.uri)"#,
        ),
        (
            "[url:value MATCHES 'a/b' OR url:value LIKE '%\\'\"%']",
            r#"("a/b" in net.uri || "'\"" in net.uri)"#,
        ),
        (
            "[file:size > 100 AND url:value != 'x']",
            "fileinfo.size > 100",
        ),
        ("[file:size NOT > 100]", "fileinfo.size <= 100"),
        (
            "[file:size IN (3, 1, 1, -5)]",
            "(fileinfo.size == 1 || fileinfo.size == 3)",
        ),
        (
            "[file:name LIKE 'a%' AND file:size >= 5]",
            r#"("a" in file.name && fileinfo.size >= 5)"#,
        ),
        (
            "[network-traffic:dst_port = 4444]",
            "(dest_port == 4444 || id.resp_p == 4444 || DestinationPort == 4444 || dport == 4444)",
        ),
        (
            "[ipv4-addr:value = '192.0.2.1' OR file:size = 5]",
            "((192.0.2.1) || fileinfo.size == 5)",
        ),
        (
            "[file:size = 5] START t'2020-01-01T00:00:00Z' STOP t'2020-01-02T00:00:00Z'",
            "(fileinfo.size == 5 && (#timestamp > 2019-12-31T23:59:59 && #timestamp < 2020-01-02T00:00:01))",
        ),
    ] {
        assert_eq!(query(text), expected, "{text}");
    }
    let numbers: Vec<String> = (10..40).map(|number| number.to_string()).collect();
    assert_eq!(
        query(&format!("[file:size IN ({})]", numbers.join(", "))),
        "(fileinfo.size >= 10 && fileinfo.size <= 39)"
    );
    let plan = planned("[file:name LIKE '%.exe' AND file:size > 5]").expect("a plan");
    assert_eq!(plan.values, ["%.exe", "5"]);
}

#[test]
fn like_without_a_wildcard_is_an_equality() {
    let (found, is_checked) = values("[file:name LIKE 'a.exe']");
    assert_eq!((found, is_checked), (vec!["a.exe".to_owned()], false));
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
        ("[domain-name:value LIKE '%']", "nothing in it narrows"),
        ("[domain-name:value != 'a']", "nothing in it narrows"),
        ("[domain-name:value NOT LIKE 'a%']", "narrows"),
        ("[domain-name:value MATCHES '(?i)evil']", "narrows"),
        ("[network-traffic:dst_port != 80]", "narrows"),
        ("[network-traffic:dst_port > -1]", "narrows"),
        ("[network-traffic:protocols[*] = 'tcp']", "narrows"),
        (
            "[url:value = 'a' OR url:value LIKE '_' OR network-traffic:dst_port = 80]",
            "narrows",
        ),
        (
            "[url:value != 'a'] START t'2020-01-01T00:00:00Z' STOP t'2021-01-01T00:00:00Z'",
            "narrows",
        ),
        ("[domain-name:value IN ()]", "narrows"),
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
            [four, six].map(|event| condition.holds(event, &Concepts::built_in())),
            expected,
            "{text}"
        );
    }
}

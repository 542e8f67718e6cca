use super::*;
use crate::engine::vast::query::Query;
use crate::engine::vast::version::VastVersion;
use crate::indicator::Selection;
use crate::matching::Mode;
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
            "[url:value = '/' OR ipv4-addr:value = '192[.]0[.]2[.]1']",
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
        ("[url:value = '/a'] WITHIN 5 SECONDS", &["/a"]),
        ("[url:value NOT != '/a'] REPEATS 1 TIMES", &["/a"]),
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
fn the_cheapest_part_is_queried_and_the_rest_is_checked() {
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
    // The whole is checked: both have to hold, for one object where they are of one type.
    let plan = planned("[url:value = '/' AND file:name != 'b']").expect("a plan");
    let condition = plan.condition.expect("all of it");
    for (event, expected) in [
        (
            r#"{"fileinfo": {"filename": "c"}, "http": {"url": "/"}}"#,
            true,
        ),
        (
            r#"{"fileinfo": {"filename": "b"}, "http": {"url": "/"}}"#,
            false,
        ),
        (
            r#"{"fileinfo": {"filename": "c"}, "http": {"url": "/x"}}"#,
            false,
        ),
    ] {
        assert_eq!(condition.holds(event), expected, "{event}");
    }
}

/// The selection of a pattern as VAST would be queried for it.
fn query(text: &str) -> String {
    let plan = planned(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
    assert!(
        plan.observables.is_empty() && plan.condition.is_some(),
        "{text}"
    );
    let selection = plan.selection.unwrap_or_else(|| panic!("{text}"));
    let version = VastVersion::unknown();
    let query = Query::selecting(&selection, &version, Some("#timestamp"), Mode::Exact);
    query.expect("it is narrow").text()
}

#[test]
fn what_has_no_value_to_look_up_needs_its_own_query() {
    for (text, expected) in [
        ("[file:name LIKE '%.exe']", r#"".exe" in file.name"#),
        ("[file:name MATCHES '^x.*']", r#""x" in file.name"#),
        (
            "[url:value MATCHES '/(gate|panel)\\\\.php$']",
            r#"(("gate" in net.domain || "gate" in net.hostname) || "gate" in net.uri || ("panel" in net.domain || "panel" in net.hostname) || "panel" in net.uri)"#,
        ),
        (
            "[url:value LIKE '%/gate%' AND file:size = 5]",
            r#"((("gate" in net.domain || "gate" in net.hostname) || "gate" in net.uri) && fileinfo.size == 5)"#,
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
fn like_without_a_wildcard_is_an_equality_of_the_whole() {
    let (found, is_checked) = values("[file:name LIKE 'a.exe']");
    assert_eq!((found, is_checked), (vec!["a.exe".to_owned()], true));
}

#[test]
fn what_nothing_narrows_is_asked_of_every_event() {
    for text in [
        "[domain-name:value LIKE '%']",
        "[domain-name:value != 'a']",
        "[domain-name:value NOT LIKE 'a%']",
        "[domain-name:value MATCHES '(?i)evil']",
        "[ipv4-addr:value MATCHES '^192']",
        "[network-traffic:dst_port != 80]",
        "[network-traffic:dst_port > -1]",
        "[network-traffic:protocols[*] = 'tcp']",
        "[EXISTS email-addr:value]",
        "[url:value = '/a' OR url:value LIKE '_' OR network-traffic:dst_port = 80]",
        "[url:value != '/a'] START t'2020-01-01T00:00:00Z' STOP t'2021-01-01T00:00:00Z'",
    ] {
        let plan = planned(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
        let is_narrow = plan.selection.as_ref().map(Selection::is_narrow);
        assert_eq!(is_narrow, Some(false), "{text}");
        assert!(
            plan.observables.is_empty() && plan.condition.is_some(),
            "{text}"
        );
    }
}

/// What is left out of a pattern; with each part, whether it is because its value is invalid.
fn left_out(text: &str) -> Vec<(String, bool)> {
    let plan = planned(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
    let all = plan.left_out.into_iter();
    all.map(|one| (one.what, one.is_wrong)).collect()
}

#[test]
fn what_need_not_be_queried_is_left_out_and_named() {
    let md5 = format!("file:hashes.MD5 = '{MD5}'");
    for (text, expected) in [
        (
            format!("[{md5} AND file:hashes.SSDEEP = '3:a:b']"),
            &["file:hashes.SSDEEP = '3:a:b'"][..],
        ),
        (
            format!(
                "[({md5} OR file:name = 'a') AND (file:hashes.TLSH = 'x' OR file:hashes.SSDEEP = 'y')]"
            ),
            &["file:hashes.TLSH = 'x' OR file:hashes.SSDEEP = 'y'"],
        ),
        (
            "[domain-name:value = 'a.example' AND domain-name:x_misp_first_seen = '2020']".into(),
            &["domain-name:x_misp_first_seen = '2020'"],
        ),
        (
            "[network-traffic:dst_ref.value = '192.0.2.1' AND network-traffic:start = \
             '2020-10-25T16:22:00Z']"
                .into(),
            &["network-traffic:start = '2020-10-25T16:22:00Z'"],
        ),
        (format!("[{md5} OR a:b = 'c']"), &["a:b = 'c'"]),
        (format!("[{md5}] OR [a:b = 'c']"), &["[a:b = 'c']"]),
        (
            format!("[{md5} OR domain-name:value MATCHES '(?=a)']"),
            &["domain-name:value MATCHES '(?=a)'"],
        ),
        ("[network-traffic:dst_port IN (80, 'x')]".into(), &["'x'"]),
        (format!("[{md5}]"), &[]),
    ] {
        let found = left_out(&text);
        let names: Vec<&str> = found.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(names, expected, "{text}");
        assert!(found.iter().all(|(_, is_wrong)| !is_wrong), "{text}");
    }
    let nine = (1..10)
        .map(|n| format!("'192.0.2.{n}'"))
        .collect::<Vec<_>>()
        .join(", ");
    let text = format!("[ipv4-addr:value IN ({nine}, '192.0.2.256')]");
    assert_eq!(left_out(&text), [("'192.0.2.256'".to_owned(), true)]);
    assert_eq!(values(&text).0.len(), 9);
    let text = "[ipv4-addr:value = '192.0.2.1' OR ipv4-addr:value = 'x']";
    assert_eq!(left_out(text), [("ipv4-addr:value = 'x'".to_owned(), true)]);
}

#[test]
fn what_may_not_be_left_out_makes_a_pattern_unsupported() {
    for (text, words) in [
        (
            "[file:name = 'a' AND file:hashes.SSDEEP = 'x']",
            "file:hashes.SSDEEP",
        ),
        (
            "[url:value = '/a' AND file:hashes.SSDEEP = 'x']",
            "file:hashes.SSDEEP",
        ),
        ("[url:value = '/a' AND url:x_misp_foo = 'x']", "x_misp_foo"),
        (
            "[url:value != '/a' AND url:x_misp_text = 'x']",
            "x_misp_text",
        ),
        ("[a:b = 'c' OR d:e = 'f']", "object path a:b"),
        ("[a:b = 'c'] OR [d:e = 'f']", "object path a:b"),
        ("[domain-name:value IN ()]", "nothing in its list"),
    ] {
        match planned(text) {
            Err(Refused::Unsupported(reason)) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let text = format!("[file:hashes.MD5 = '{MD5}' AND file:hashes.SSDEEP != 'x']");
    assert!(reason(&text).contains("file:hashes.SSDEEP"));
    for text in [
        "[ipv4-addr:value IN ('x', 'y')]",
        "[url:value = ''] OR [url:value = '']",
    ] {
        assert!(matches!(planned(text), Err(Refused::Wrong(_))), "{text}");
    }
}

#[test]
fn an_event_that_says_which_file_it_is_holds_a_hash() {
    let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    for text in [
        format!("[file:name = 'a' AND file:hashes.MD5 = '{MD5}' AND file:hashes.SHA1 = '{sha1}']"),
        format!("[(file:hashes.MD5 = '{MD5}' OR file:hashes.SHA1 = '{sha1}') AND file:size = 5]"),
    ] {
        let (found, is_checked) = values(&text);
        assert_eq!(found, [MD5, sha1], "{text}");
        assert!(is_checked);
    }
    // A domain has to be there in any case.
    let (found, _) = values(&format!(
        "[file:hashes.MD5 = '{MD5}' AND domain-name:value = 'a']"
    ));
    assert_eq!(found, ["a"]);
}

#[test]
fn what_cannot_be_queried_says_why_and_where() {
    for (text, words) in [
        (
            "[file:ctime = 'x']",
            "line 1, column 2: object path file:ctime",
        ),
        (
            "[url:value = 'a'] REPEATS 10001 TIMES",
            "more events than are kept: 10000",
        ),
        (
            "([url:value = 'a'] FOLLOWEDBY [url:value = 'b']) REPEATS 1000 TIMES",
            "more events than are kept",
        ),
        (
            "[url:value = 'a'] AND [file:ctime = 'x']",
            "column 24: object path file:ctime",
        ),
        (
            "[url:value = '/a' AND domain-name:value MATCHES '(?=a)']",
            "MATCHES cannot be checked: look-ahead at its character 1",
        ),
        (
            "[domain-name:value = 5]",
            "column 22: domain-name:value: 5 is an integer",
        ),
        ("[network-traffic:dst_port = '80/tcp']", "not an integer"),
        (
            "[network-traffic:dst_ref.type = 'mac-addr']",
            "is a \"mac-addr\"",
        ),
        (
            "[network-traffic:src_ref.value = '00-53-00-aa-bb-cc']",
            "is a hardware address",
        ),
        ("[domain-name:value > 'a']", "compares numbers only"),
        (
            "[domain-name:value ISSUBSET '10.0.0.0/8']",
            "ISSUBSET does not fit",
        ),
        (
            "[ipv4-addr:value ISSUBSET '2001:db8::/32']",
            "no ipv4-addr is in an IPv6 network",
        ),
        ("[network-traffic:dst_port LIKE '1%']", "LIKE does not fit"),
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

#[test]
fn an_end_of_a_connection_has_an_address_and_a_name() {
    let event = r#"{"src_ip": "192.0.2.10", "dest_ip": "203.0.113.7", "dest_port": 8080,
        "http": {"hostname": "bad.example", "url": "/"}}"#;
    let (address, name) = (
        "dst_ref.value = '203.0.113.7'",
        "dst_ref.value = 'Bad.example.'",
    );
    let (is_v4, is_name) = ("dst_ref.type = 'ipv4-addr'", "dst_ref.type = 'domain-name'");
    for (parts, expected) in [
        (vec![is_name, name, "dst_port = 8080"], true),
        (vec![is_name, name, "dst_port = 80"], false),
        (vec![is_v4, address], true),
        (vec![is_name, address], false),
        (vec![is_v4, name], false),
        // MISP names both of one end.
        (vec![is_v4, address, is_name, name], true),
        (vec![address, name], false),
        (vec![name, "dst_ref.value != 'bad.example'"], false),
        (vec![name, "protocols = 'ipv4'"], true),
        (vec!["src_ref.type = 'domain-name'", name], false),
    ] {
        let parts = parts.iter().map(|part| format!("network-traffic:{part}"));
        let text = format!("[{}]", parts.collect::<Vec<_>>().join(" AND "));
        let plan = planned(&text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
        let condition = plan.condition.expect("the end is checked here");
        assert_eq!(condition.holds(event), expected, "{text}");
    }
}

#[test]
fn several_events_are_an_expression_over_plans() {
    for (text, expression, parts) in [
        (
            "[domain-name:value = 'a'] AND [ipv4-addr:value = '192.0.2.1']",
            "1 AND 2",
            &[&["a"][..], &["192.0.2.1"]][..],
        ),
        (
            "([url:value = '/a'] OR [url:value = '/b']) FOLLOWEDBY [url:value = '/a'] WITHIN 5 SECONDS",
            "1 FOLLOWEDBY 2",
            &[&["/a", "/b"], &["/a"]],
        ),
        (
            "([url:value = '/a'] FOLLOWEDBY [url:value = '/b']) WITHIN 2.5 SECONDS REPEATS 3 TIMES",
            "(1 FOLLOWEDBY 2) WITHIN 2.5 SECONDS REPEATS 3 TIMES",
            &[&["/a"], &["/b"]],
        ),
        (
            "[url:value = '/a'] AND [url:value = '/a'] REPEATS 2 TIMES",
            "1 REPEATS 3 TIMES",
            &[&["/a"]],
        ),
        (
            "([url:value = '/a'] AND [url:value = '/b']) OR [url:value = '/c'] OR [file:ctime = 'x']",
            "1 OR (2 AND 3)",
            &[&["/c"], &["/a"], &["/b"]],
        ),
    ] {
        let plan = planned(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
        let several = plan.several.expect("several events");
        let found = several.parts.iter().map(|part| {
            let observables = part.observables.iter();
            observables.map(Observable::to_string).collect::<Vec<_>>()
        });
        assert_eq!(several.expression.to_string(), expression, "{text}");
        assert_eq!(found.collect::<Vec<_>>(), parts, "{text}");
        assert!(plan.observables.is_empty() && plan.condition.is_none());
    }
    let text = "([url:value = '/a'] AND [url:value = '/b']) \
                START t'2020-01-01T00:00:00Z' STOP t'2021-01-01T00:00:00Z'";
    let several = planned(text).expect("a plan").several.expect("two events");
    let is_dated = |part: &Plan| {
        let condition = part.condition.as_ref();
        condition.is_some_and(|one| format!("{one:?}").contains("During"))
    };
    assert!(several.parts.iter().all(is_dated), "{several:?}");
}

//! Every kind of indicator is found in its property and nowhere else, in stored events and in
//! files; an indicator that is not valid now is not queried.

use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::messages::stix_indicator;
use crate::support::standin::Standin;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

const MD5: &str = "70041821acf87389e40ddcb092004184";
const SHA1: &str = "10928e1ca8d2ae0db6b01c8ba6d0e1cb33ac7c12";
const SHA256: &str = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c";

/// Events that together have every property, by the name of their type.
fn events() -> Vec<(&'static str, Vec<Value>)> {
    let time = "2024-03-05T09:00:00.250000000";
    vec![
        (
            "suricata.fileinfo",
            vec![json!({
                "timestamp": time, "event_type": "fileinfo", "n": 1, "src_ip": "198.51.100.7",
                "dest_port": 4444,
                "fileinfo": {"filename": "/a/b.exe", "md5": MD5, "sha1": SHA1, "sha256": SHA256, "size": 1024},
            })],
        ),
        (
            "suricata.dhcp",
            vec![json!({
                "timestamp": time, "event_type": "dhcp", "n": 2, "src_ip": "2001:db8::7",
                "dhcp": {"client_mac": "00:0a:95:9d:68:16"},
            })],
        ),
        (
            "zeek.http",
            vec![
                json!({"ts": time, "n": 3, "user_agent": "evil/1.0", "id": {"orig_h": "192.0.2.9"}}),
            ],
        ),
        (
            "zeek.smtp",
            vec![json!({"ts": time, "n": 4, "mailfrom": "evil@example.org", "subject": MD5})],
        ),
        (
            "sysmon.ProcessCreation",
            vec![json!({
                "ts": time, "n": 5, "Image": "C:\\evil.exe", "ParentImage": "C:\\bad.exe",
                "CommandLine": "evil.exe -x", "User": "EVIL\\eve",
            })],
        ),
    ]
}

/// Values with the numbers of the events that hold them.
fn values() -> Vec<(String, Vec<u64>)> {
    [
        (format!("[file:hashes.MD5 = '{}']", MD5.to_uppercase()), vec![1]),
        (format!("[file:hashes.'SHA-1' = '{SHA1}']"), vec![1]),
        (format!("[file:hashes.sha256 = '{SHA256}']"), vec![1]),
        ("[file:name = '/a/b.exe']".into(), vec![1]),
        ("[file:name = 'b.exe']".into(), vec![]),
        ("[mac-addr:value = '00-0A-95-9D-68-16']".into(), vec![2]),
        ("[ipv4-addr:value = '198.51.100.0/24']".into(), vec![1]),
        ("[ipv6-addr:value = '2001:db8::/32']".into(), vec![2]),
        ("[ipv4-addr:value = '192.0.0.0/16']".into(), vec![3]),
        ("[email-addr:value = 'evil@example.org']".into(), vec![4]),
        (
            "[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = 'evil/1.0']".into(),
            vec![3],
        ),
        (r"[process:name = 'C:\\evil.exe']".into(), vec![5]),
        (r"[process:parent_ref.name = 'C:\\bad.exe']".into(), vec![5]),
        ("[process:command_line = 'evil.exe -x']".into(), vec![5]),
        (r"[user-account:user_id = 'EVIL\\eve']".into(), vec![5]),
        // Patterns of several values, or with parts that are checked here, in the event.
        (
            format!("[file:hashes.MD5 = '{MD5}' OR email-addr:value IN ('a', 'evil@example.org')]"),
            vec![1, 4],
        ),
        ("[ipv4-addr:value ISSUBSET '192.0.0.0/16'] OR [url:value = 'x']".into(), vec![3]),
        (
            format!("[file:hashes.MD5 = '{MD5}' AND file:name LIKE '%.exe' AND file:size > 1000]"),
            vec![1],
        ),
        (format!("[file:hashes.MD5 = '{MD5}' AND file:name != '/a/b.exe']"), vec![]),
        ("[network-traffic:src_ref.value = '198.51.100.7']".into(), vec![1]),
        ("[network-traffic:dst_ref.value = '198.51.100.7']".into(), vec![]),
        (
            "[email-addr:value = 'evil@example.org'] START t'2024-03-05T00:00:00Z' STOP t'2024-03-06T00:00:00Z'".into(),
            vec![4],
        ),
        (
            "[email-addr:value = 'evil@example.org'] START t'2024-03-06T00:00:00Z' STOP t'2024-03-07T00:00:00Z'".into(),
            vec![],
        ),
        // It has nothing to look up, so it is a query of its own.
        ("[file:name LIKE '%.exe']".into(), vec![1]),
        // Also the name alone, without its path, may match.
        ("[file:name LIKE 'b%.exe']".into(), vec![1]),
        ("[file:name MATCHES '^/a/[a-z]+\\\\.exe$']".into(), vec![1]),
        ("[file:size > 1000 AND file:name NOT LIKE '%.dll']".into(), vec![1]),
        ("[file:size > 1000 AND file:name != '/a/b.exe']".into(), vec![]),
        ("[file:size IN (5, 1024)]".into(), vec![1]),
        ("[network-traffic:dst_port = 4444]".into(), vec![1]),
        ("[network-traffic:src_port = 4444]".into(), vec![]),
        ("[network-traffic:dst_port >= 4445]".into(), vec![]),
        (
            "[network-traffic:dst_port = 4444 OR email-addr:value = 'evil@example.org']".into(),
            vec![1, 4],
        ),
        ("[process:command_line LIKE '%-x' OR user-account:user_id MATCHES 'eve']".into(), vec![5]),
        (
            "[file:size = 1024] START t'2024-03-05T09:00:00.2Z' STOP t'2024-03-05T09:00:00.3Z'".into(),
            vec![1],
        ),
        (
            "[file:size = 1024] START t'2024-03-05T09:00:00.3Z' STOP t'2024-03-05T09:00:01Z'".into(),
            vec![],
        ),
    ]
    .into()
}

/// The numbers of the events that a run reports.
fn numbers(bridge: Bridge, indicators: &[Value]) -> Vec<u64> {
    let indicators: String = indicators.iter().map(|one| format!("{one}\n")).collect();
    let mut run = bridge
        .file("indicators", indicators)
        .args(["--indicators", "indicators"])
        .run();
    assert!(run.wait(LIMIT).success(), "{}", run.log());
    let events = run.rest(LIMIT);
    let number = |line: &String| serde_json::from_str::<Value>(line).ok()?["n"].as_u64();
    let mut numbers: Vec<u64> = events.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn engine() -> Standin {
    let events = events();
    let types: Vec<_> = events.iter().map(|(name, all)| (*name, &**all)).collect();
    Standin::holding(&types)
}

/// A bridge that searches files with the same events, for equal values, as the queries here do.
fn files() -> Bridge {
    let lines = events().into_iter().flat_map(|(_, events)| events);
    let lines: String = lines.map(|event| format!("{event}\n")).collect();
    Bridge::bare()
        .file("events.json", lines)
        .args(["--events", "events.json", "--match", "exact"])
}

#[test]
fn every_kind_is_found_in_its_property() {
    let engine = engine();
    let mut all = Vec::new();
    let mut expected = Vec::new();
    for (pattern, numbers) in values() {
        let indicator = stix_indicator(all.len() as u64, &pattern, None);
        let stored = self::numbers(
            Bridge::between("127.0.0.1:9", &engine),
            std::slice::from_ref(&indicator),
        );
        assert_eq!(stored, numbers, "{pattern}");
        assert_eq!(
            self::numbers(files(), std::slice::from_ref(&indicator)),
            numbers,
            "{pattern}"
        );
        all.push(indicator);
        expected.extend(numbers);
    }
    expected.sort_unstable();
    // All of them in one batch give the same.
    let stored = numbers(Bridge::between("127.0.0.1:9", &engine), &all);
    assert_eq!(stored, expected);
    assert_eq!(numbers(files(), &all), expected);
}

#[test]
fn options_let_values_match_in_more_places() {
    let time = "2024-03-05T09:00:00.250000000";
    let event = |n: u64, more: Value| {
        let mut event = json!({"ts": time, "n": n});
        let object = event.as_object_mut().expect("an object");
        object.extend(more.as_object().expect("an object").clone());
        event
    };
    let dns = [
        event(
            1,
            json!({"query": "evil.example", "answers": ["192.0.2.1"]}),
        ),
        event(
            2,
            json!({"query": "www.evil.example", "answers": ["cdn.example", "203.0.113.9"]}),
        ),
        event(
            3,
            json!({"query": "x.example", "answers": ["evil.example", "2001:db8::9"]}),
        ),
        event(
            4,
            json!({"query": "www.evil.example.org", "answers": ["notevil.example"]}),
        ),
    ];
    let engine = Standin::holding(&[("zeek.dns", &dns)]);
    let lines: String = dns.iter().map(|one| format!("{one}\n")).collect();
    let files = || {
        Bridge::bare().file("events.json", lines.clone()).args([
            "--events",
            "events.json",
            "--match",
            "exact",
        ])
    };
    let stored = || Bridge::between("127.0.0.1:9", &engine);
    let patterns = [
        "[domain-name:value = 'evil.example']",
        "[ipv4-addr:value = '203.0.113.9' OR ipv6-addr:value = '2001:DB8::9']",
        "[url:value = 'http://Evil.example/x']",
        "[url:value = '/' OR domain-name:value LIKE '%.org']",
    ];
    let all: Vec<Value> = (0..)
        .zip(patterns)
        .map(|(n, one)| stix_indicator(n, one, None))
        .collect();
    let (answers, names, hosts) = (
        "--match-answers",
        "--domains-match-subdomains",
        "--urls-match-host",
    );
    for (options, expected) in [
        (&[][..], &[1, 4][..]),
        (&[answers], &[1, 2, 3, 3, 4]),
        (&[names], &[1, 2, 4]),
        (&[hosts], &[1, 1, 4]),
        (&[answers, names, hosts], &[1, 1, 2, 2, 3, 3, 4]),
    ] {
        for bridge in [stored().args(options), files().args(options)] {
            assert_eq!(numbers(bridge, &all), expected, "{options:?}");
        }
        // One by one, so that only the check tells whose event it is.
        let mut each: Vec<u64> = all
            .chunks(1)
            .flat_map(|one| numbers(stored().args(options), one))
            .collect();
        each.sort_unstable();
        assert_eq!(each, expected, "{options:?}");
    }
}

#[test]
fn what_is_not_valid_now_is_not_queried() {
    let engine = engine();
    let pattern = format!("[file:hashes.MD5 = '{MD5}']");
    let mut all = Vec::new();
    for (key, value) in [
        ("valid_until", json!("2021-01-01T00:00:00Z")),
        ("valid_from", json!("9999-01-01T00:00:00Z")),
        ("revoked", json!(true)),
        ("valid_until", json!("soon")),
    ] {
        let mut indicator = stix_indicator(all.len() as u64, &pattern, None);
        // Valid since long ago, unless the row says otherwise.
        indicator["valid_from"] = json!("2020-01-01T00:00:00Z");
        indicator[key] = value;
        all.push(indicator);
    }
    let lines: String = all.iter().map(|one| format!("{one}\n")).collect();
    for bridge in [Bridge::between("127.0.0.1:9", &engine), files()] {
        let mut run = bridge
            .file("indicators", &lines)
            .args(["--indicators", "indicators"])
            .run();
        assert!(run.wait(LIMIT).success(), "{}", run.log());
        assert!(run.rest(LIMIT).is_empty(), "{}", run.log());
        for words in [
            "is expired",
            "is not yet valid",
            "is revoked",
            "valid_until \"soon\" is no timestamp",
            "indicators_inactive=3",
            "inactive 3",
        ] {
            assert!(run.log().contains(words), "{words}\n{}", run.log());
        }
    }
    assert!(engine.exports().is_empty());
}

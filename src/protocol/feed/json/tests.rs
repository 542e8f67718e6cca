use super::super::tests::{messages, read_with, values};
use super::super::{Error, Options};

const ID: &str = "indicator--00000000-0000-4001-8000-000000000001";

fn indicator(domain: &str) -> String {
    serde_json::json!({
        "type": "indicator", "id": ID, "pattern_type": "stix",
        "pattern": format!("[domain-name:value = '{domain}']"),
    })
    .to_string()
}

const INTEL: &str = r#"{"ts": "2020-11-26 12:00:00", "id": "43", "data": {"indicator": ["6.6.0.1"], "intel_type": 2}, "operation": "ADD"}"#;

#[test]
fn every_wrapping_of_stix_is_read() {
    let (a, b) = (indicator("a.example"), indicator("b.example"));
    let pretty: serde_json::Value = serde_json::from_str(&a).expect("JSON");
    let pretty = serde_json::to_string_pretty(&pretty).expect("JSON");
    let other = r#"{"type": "ipv4-addr", "id": "ipv4-addr--1", "value": "192.0.2.1"}"#;
    let both = ["a.example", "b.example"];
    let bundle = format!(r#"{{"type": "bundle", "id": "x", "objects": [{other}, {a}, {b}]}}"#);
    let swapped = format!(r#"{{"objects": [{a}, {other}, {b}], "type": "bundle", "id": "x"}}"#);
    let envelope = format!(r#"{{"more": false, "objects": [{a}, {b}]}}"#);
    for text in [
        format!("{a}\n\n{b}\n"),
        format!("\u{feff}{a}\r\n{b}"),
        format!("[{a}, {b}]"),
        format!("[\n{a},\n{b}\n]\n"),
        format!("{pretty}\n{b}"),
        bundle.clone(),
        bundle.replace(", ", ",\n"),
        swapped,
        envelope,
        format!("[{bundle}]"),
    ] {
        assert_eq!(values(&text), both, "{text}");
    }
    assert_eq!(values(format!("{INTEL}\n{a}")), ["6.6.0.1", "a.example"]);
    assert_eq!(
        values(r#"["192.0.2.1", "a.example"]"#),
        ["192.0.2.1", "a.example"]
    );
    let (_, report) = read_with(&Options::default(), &bundle).expect("a bundle");
    assert_eq!((&*report.format, report.left_out["ipv4-addr"]), ("STIX", 1));
    for empty in [
        r#"{"type": "bundle", "id": "x"}"#,
        "[]",
        r#"{"objects": []}"#,
        "{}",
        r#"{"more": false}"#,
        r#"{"query_status": "no_result", "data": "Your search did not yield any results"}"#,
    ] {
        let (_, report) = read_with(&Options::default(), empty).expect(empty);
        assert!(report.is_empty(), "{empty}");
    }
}

#[test]
fn stix_2_0_is_read() {
    let text = r#"{"type": "bundle", "id": "bundle--1", "spec_version": "2.0", "objects": [
        {"type": "indicator", "id": "indicator--00000000-0000-4001-8000-000000000001",
         "created": "2016-04-29T14:09:00.000Z", "modified": "2016-04-29T14:09:00.000Z",
         "labels": ["malicious-activity"], "pattern": "[domain-name:value = 'a.example']",
         "valid_from": "2016-01-01T00:00:00Z"},
        {"type": "observed-data", "id": "observed-data--1", "objects": {"0": {"type": "file"}}}]}"#;
    assert_eq!(values(text), ["a.example"]);
}

#[test]
fn what_a_sighting_carries_is_the_whole_object() {
    let text = r#"{"type": "indicator", "id": "indicator--00000000-0000-4001-8000-000000000001",
        "pattern": "[domain-name:value = 'a.example']", "indicators": [1], "x": "a  b"}"#;
    let original = messages(text)[0]
        .as_ref()
        .and_then(|one| one.original.clone());
    let original: serde_json::Value =
        serde_json::from_str(original.expect("STIX keeps it").get()).expect("JSON");
    assert_eq!(
        (&original["indicators"][0], &original["x"]),
        (&1.into(), &"a  b".into())
    );
}

#[test]
fn misp_is_read_in_all_its_shapes() {
    let attribute = |kind: &str, value: &str, more: &str| {
        format!(
            r#"{{"type": "{kind}", "category": "x", "to_ids": true, "value": "{value}"{more}}}"#
        )
    };
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let attributes = [
        attribute(
            "ip-dst|port",
            "203.0.113.7|443",
            r#", "uuid": "00000000-0000-4000-8000-00000000000A""#,
        ),
        attribute("domain|ip", "a.example|203.0.113.7", ""),
        attribute("text", "free words", ""),
        attribute("domain", "gone.example", r#", "deleted": true"#),
        attribute("domain", "no.example", "").replace("true", "false"),
        attribute(
            "domain",
            "tagged.example",
            r#", "Tag": [{"name": "tlp:white", "id": 1}]"#,
        ),
    ];
    let object = format!(
        r#"{{"name": "file", "Attribute": [{}, {}]}}"#,
        attribute(
            "filename|md5",
            &format!("a.exe|{md5}"),
            r#", "object_relation": "x""#
        ),
        attribute("size-in-bytes", "7", "").replace("true", "\"0\""),
    );
    let event = format!(
        r#"{{"uuid": "e1", "info": "An event", "Attribute": [{}], "Object": [{object}]}}"#,
        attributes.join(", ")
    );
    let file = format!("a.exe|{md5}");
    let expected = [
        "203.0.113.7:443",
        "a.example",
        "?free words",
        "tagged.example",
        &file,
    ]
    .map(|value| {
        if value == "203.0.113.7:443" {
            "203.0.113.7|443"
        } else {
            value
        }
    })
    .map(|value| {
        if value == "a.example" {
            "a.example|203.0.113.7"
        } else {
            value
        }
    });
    let wrapped = format!(r#"{{"Event": {event}}}"#);
    for text in [
        event.clone(),
        wrapped.clone(),
        format!("[{wrapped}]"),
        format!(r#"{{"response": [{wrapped}]}}"#),
        wrapped.replace(", ", ",\n "),
    ] {
        assert_eq!(values(&text), expected, "{text}");
    }
    let only = format!(
        r#"{{"response": {{"Attribute": [{}]}}}}"#,
        attributes.join(",")
    );
    assert_eq!(values(&only), expected[..4]);
    assert_eq!(values(&attributes[5]), ["tagged.example"]);
    let (_, report) = read_with(&Options::default(), &wrapped).expect("an event");
    assert_eq!(&*report.format, "MISP");
    assert_eq!(report.left_out["MISP attribute without to_ids"], 2);
    assert_eq!(report.left_out["deleted MISP attribute"], 1);
    let found = read_with(&Options::default(), &attributes[0])
        .expect("an attribute")
        .0;
    assert!(format!("{found:?}").contains("indicator--00000000-0000-4000-8000-00000000000a"));
    let found = read_with(&Options::default(), &wrapped)
        .expect("an event")
        .0;
    let text = format!("{found:?}");
    // What follows them in the event is of all of them too, also in one that is broken off.
    let last = event.replace(r#""uuid": "e1", "info": "An event", "#, "");
    let last = last.strip_suffix('}').expect("an object");
    let last = format!(r#"{{"Event": {last}, "info": "Last", "Tag": [{{"name": "tlp:red"}}]}}}}"#);
    let whole = read_with(&Options::default(), &last).expect("an event").0;
    let whole = format!("{whole:?}").replace('\\', "");
    assert_eq!(
        whole.matches(r#""event_info":"Last""#).count(),
        4,
        "{whole}"
    );
    assert_eq!(
        whole.matches(r#""event_tags":["tlp:red"]"#).count(),
        4,
        "{whole}"
    );
    assert_eq!(
        values(last.split(r#", "info""#).next().expect("a part")).len(),
        6
    );
    for words in [
        r#"\"event_info\":\"An event\""#,
        r#"\"object_name\":\"file\""#,
        r#"\"tags\":[\"tlp:white\"]"#,
    ] {
        assert!(
            text.contains(words) || text.contains(&words.replace('\\', "")),
            "{words}: {text}"
        );
    }
}

#[test]
fn the_shapes_of_others_are_read() {
    let pulse = r#"{"id": "5", "name": "A pulse", "indicators": [
        {"id": 1, "indicator": "203.0.113.7", "type": "IPv4", "is_active": 1},
        {"id": 2, "indicator": "old.example", "type": "domain", "is_active": 0},
        {"id": 3, "indicator": "CVE-2024-1", "type": "CVE"},
        {"id": 4, "indicator": "d41d8cd98f00b204e9800998ecf8427e", "type": "FileHash-MD5"}]}"#;
    let expected = [
        "203.0.113.7",
        "?CVE-2024-1",
        "d41d8cd98f00b204e9800998ecf8427e",
    ];
    assert_eq!(values(pulse), expected);
    let said = pulse.replace(
        r#""name": "A pulse""#,
        r#""name": "A pulse", "author_name": "me""#,
    );
    let said = said.replace("}]}", r#"}], "tags": ["x", "y"]}"#);
    let found = read_with(&Options::default(), format!("{said}\n{pulse}")).expect("pulses");
    let found = format!("{:?}", found.0).replace('\\', "");
    for (words, count) in [
        (r#""pulse_id":"5""#, 4),
        (r#""pulse_name":"A pulse""#, 4),
        (r#""pulse_author":"me""#, 2),
        (r#""pulse_tags":["x","y"]"#, 2),
    ] {
        assert_eq!(found.matches(words).count(), count, "{words}: {found}");
    }
    assert_eq!(
        values(format!(r#"{{"count": 1, "results": [{pulse}]}}"#)),
        expected
    );
    let threatfox = r#"{"id": "1", "ioc": "203.0.113.7:443", "ioc_type": "ip:port", "reference": "http://x.example/"}"#;
    let exported = threatfox.replace("\"ioc\"", "\"ioc_value\"");
    let urlhaus = r#"{"url": "http://bad.example/x", "url_status": "online", "urlhaus_link": "http://x.example/"}"#;
    for (text, value) in [
        (
            format!(r#"{{"query_status": "ok", "data": [{threatfox}]}}"#),
            "203.0.113.7:443",
        ),
        (
            format!(r#"{{"1": [{exported}], "2": []}}"#),
            "203.0.113.7:443",
        ),
        (format!(r#"{{"1": [{urlhaus}]}}"#), "http://bad.example/x"),
        (
            format!(r#"{{"query_status": "ok", "urls": [{urlhaus}]}}"#),
            "http://bad.example/x",
        ),
    ] {
        assert_eq!(values(&text), [value], "{text}");
    }
}

#[test]
fn tables_that_are_exported_as_json_are_read_as_their_rows() {
    let (md5, sha256) = ("2".repeat(32), "1".repeat(64));
    let feodo = r#"[{"ip_address": "203.0.113.7", "port": 443, "status": "offline",
        "hostname": null, "as_number": 1, "country": "US", "malware": "X"}]"#;
    let bazaar = format!(
        r#"{{"query_status": "ok", "data": [{{"sha256_hash": "{sha256}", "sha1_hash": null,
        "md5_hash": "{md5}", "file_name": "a.exe", "reporter": "x", "tags": ["y"]}}]}}"#
    );
    let phishtank = r#"[{"phish_id": 1, "url": "https://bad.example/a",
        "phish_detail_url": "http://x.example/", "details": [{"ip_address": "203.0.113.8"}]}]"#;
    let drop = "{\"cidr\":\"203.0.113.0/24\",\"sblid\":\"SBL1\",\"rir\":\"x\"}\n\
        {\"type\":\"metadata\",\"records\":1,\"terms\":\"https://x.example/\"}\n";
    for (text, expected, format) in [
        (feodo, &["203.0.113.7"][..], "Feodo Tracker"),
        (&*bazaar, &[&*sha256, &*md5], "MalwareBazaar"),
        (phishtank, &["https://bad.example/a"], "PhishTank"),
        (drop, &["203.0.113.0/24"], "Spamhaus"),
    ] {
        assert_eq!(values(text), expected, "{text}");
        let (_, report) = read_with(&Options::default(), text).expect("an export");
        assert_eq!((&*report.format, report.rejected), (format, 0), "{text}");
        let properties = messages(text)[0]
            .as_ref()
            .and_then(|one| one.properties.clone());
        let properties = properties.expect("the other members");
        assert!(!properties.get().contains(expected[0]) && properties.get().len() > 20);
    }
    // Those of others are not taken for them.
    for text in [
        r#"{"ip_address": "203.0.113.7", "host": "a", "user": "b"}"#,
        r#"{"url": "http://a.example/", "status": 200}"#,
        r#"{"sha256_hash": "1", "path": "a"}"#,
    ] {
        let (_, report) = read_with(&Options::default(), text).expect("JSON");
        assert_eq!((report.usable, report.rejected), (0, 1), "{text}");
    }
}

#[test]
fn a_log_is_no_feed() {
    for line in [
        r#"{"timestamp":"2024-05-01T10:00:00.000001+0000","event_type":"flow","src_ip":"192.0.2.10"}"#,
        r#"{"ts":1.5,"uid":"U1","id.orig_h":"192.0.2.10"}"#,
        r#"{"_path":"dns","ts":1.5}"#,
    ] {
        let error = read_with(&Options::default(), line).expect_err(line);
        let words = error.to_string();
        assert!(
            matches!(error, Error::NoFeed(_)) && words.contains("--events"),
            "{words}"
        );
    }
    let (_, report) = read_with(&Options::default(), r#"{"a": 1}"#).expect("nobody's");
    assert!(report.is_useless());
}

#[test]
fn what_is_not_an_indicator_is_named_and_the_rest_is_read() {
    let a = indicator("a.example");
    for text in [
        format!("{a}\n{{\"type\": \n{a}"),
        format!("{a}\n7\n{a}"),
        format!("{a}\n{{\"pattern\": \"[x\", \"id\": \"{ID}\", \"type\": \"indicator\"}}\n{a}"),
        format!("{a}\nnot json\n{a}"),
        format!("{a}\n{{\"a\": 1 2}}\n{a}"),
    ] {
        assert_eq!(values(&text), ["a.example", "!2", "a.example"], "{text}");
    }
    assert_eq!(
        values(format!("[{a},\n[1],\n{a}]")),
        ["a.example", "!2", "a.example"]
    );
    assert_eq!(values(format!("{{\n\"a\": }}\n{a}")), ["!1", "a.example"]);
    let deep = "[".repeat(100_000);
    assert_eq!(values(&deep), ["!1"]);
    let cut = format!("[{a},\n{a}");
    assert_eq!(values(&cut), ["a.example", "a.example", "!2"]);
}

#[test]
fn what_is_wrong_with_an_object_is_said_without_a_place_in_it() {
    for object in [
        INTEL.replace("\"43\"", "4.5"),
        INTEL.replace(r#"["6.6.0.1"]"#, "7"),
        INTEL.replace(r#""id": "43", "#, ""),
        indicator("a.example").replace(r#""pattern":"#, r#""pattern": 7, "p":"#),
        indicator("a.example").replace('}', ","),
        r#"{"type": "x", "type": "y"}"#.to_owned(),
    ] {
        let (_, report) =
            read_with(&Options::default(), object.replace(", ", ",\n")).expect("JSON");
        let (_, reason) = &report.rejections[0];
        let names = ["line 1", "column", "enum", "struct", "Id"];
        let named = names.iter().find(|word| reason.contains(**word));
        assert_eq!(named, None, "{reason}");
    }
}

#[test]
fn a_broken_first_line_costs_one_line() {
    let one = r#"{"indicator":"203.0.113.7","type":"IPv4"}"#;
    for first in ["{bad", r#"{"indicator":"203."#] {
        let text = format!("{first}\n{one}\n{one}\n");
        let found = values(&text);
        assert_eq!(
            found.last().map(String::as_str),
            Some("203.0.113.7"),
            "{text}"
        );
    }
    assert_eq!(values(format!("{{bad\n{one}\n")), ["!1", "203.0.113.7"]);
}

#[test]
fn a_compact_value_may_precede_a_pretty_one() {
    let one = |n: u8| serde_json::json!([{"type": "IPv4", "indicator": format!("203.0.113.{n}")}]);
    let text = format!("{}\n{:#}\n{}\n", one(1), one(2), one(3));
    assert_eq!(values(text), ["203.0.113.1", "203.0.113.2", "203.0.113.3"]);
}

#[test]
fn a_manifest_alone_is_named() {
    let text = r#"{"00000000-0000-4000-8000-000000000001": {"info": "x"}}"#;
    let (_, report) = read_with(&Options::default(), text).expect("JSON");
    assert!(report.rejections[0].1.contains("name its folder"));
}

#[test]
fn an_event_with_the_members_of_a_feed_is_still_an_event() {
    for members in [
        r#""event_type":"alert""#,
        r#""_path":"intel""#,
        r#""ts":1.0,"uid":"C1""#,
    ] {
        for of_feed in [
            r#""type":"IPv4","indicator":"203.0.113.7""#,
            r#""ioc_type":"ip","ioc":"203.0.113.7""#,
            r#""url_status":"online","url":"http://a.example/""#,
            r#""type":"indicator","pattern":"[ipv4-addr:value = '203.0.113.7']""#,
            r#""type":"ip-dst","to_ids":true,"value":"203.0.113.7""#,
        ] {
            let text = format!("{{{of_feed},{members}}}");
            let error = read_with(&Options::default(), &text).map(|(_, report)| report.format);
            let error = error.expect_err(&text).to_string();
            assert!(error.contains("for --events"), "{error}");
        }
    }
}

//! Retro matching from end to end, with a bus, the stand-in engine and the built program:
//! indicators, queries, and sightings.

use std::time::Duration;

use crate::support::bed::{Bed, LIMIT, expected_context, indicator_of};
use crate::support::bridge::Bridge;
use crate::support::broker::BrokerKind;
use crate::support::fakebus::FakeBus;
use crate::support::judge::judge_stix;
use crate::support::messages::{self, Ioc, indicator_id, legacy_intel, stix_id, stix_indicator};
use crate::support::observed::Observed;
use crate::support::standin::Standin;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// One indicator of each kind that is queried, and the query for the events in which it has to be
/// sighted.
const EACH_KIND: [(Ioc, &str); 7] = [
    (Ioc::Ip("203.0.113.66"), "203.0.113.66"),
    (Ioc::Ip("2001:db8:bad::1"), "2001:db8:bad::1"),
    (Ioc::Ip("2001:DB8:BAD:0:0::1"), "2001:db8:bad::1"),
    (Ioc::Ip("::ffff:203.0.113.5"), "203.0.113.5"),
    (
        Ioc::Domain("evil.example.net"),
        r#""evil.example.net" == net.domain || "evil.example.net" == net.hostname"#,
    ),
    (
        Ioc::Domain("www.example.com."),
        r#""www.example.com" == net.domain || "www.example.com" == net.hostname"#,
    ),
    (Ioc::Url("/größe?ж=☃"), r#""/größe?ж=☃" == net.uri"#),
];

#[test]
fn matches_of_each_kind_reach_other_subscribers_on_every_broker() {
    for kind in BrokerKind::ALL {
        let mut bed = Bed::start(kind, Standin::with_samples(), &[]);
        let mut expected = Vec::new();
        for (n, (ioc, query)) in (1..).zip(EACH_KIND) {
            let id = bed.publisher.publish_indicator(n, ioc);
            let events = bed.engine.answer(query);
            assert!(!events.is_empty(), "{query} has no event");
            let sightings = events.iter().map(|event| expected_context(kind, event));
            expected.extend(sightings.map(|context| (id.clone(), context)));
        }
        let sightings = bed.expect_sightings(expected);
        for sighting in &sightings {
            check_fields(kind, sighting);
        }
        if kind != BrokerKind::Legacy {
            let texts: Vec<String> = sightings.iter().map(Value::to_string).collect();
            judge_stix("sighting", &texts).expect("the stix2 library reads it");
        }
    }
}

/// Checks what a sighting has beside its context, as far as the broker passes it on.
fn check_fields(kind: BrokerKind, sighting: &Value) {
    let number = (1..)
        .zip(EACH_KIND)
        .find(|(n, _)| indicator_id(kind, *n) == indicator_of(kind, sighting));
    let (n, (ioc, _)) = number.expect("an indicator that was published");
    if kind == BrokerKind::Legacy {
        assert_eq!(sighting["ioc"], json!([ioc.value()]));
        assert_eq!(sighting["context"]["source"], "VAST");
    } else {
        assert_eq!(sighting["type"], "sighting");
        assert_eq!(sighting["spec_version"], "2.1");
        assert_eq!(sighting["x_threatbus_match_type"], "RETRO");
        let carried = &sighting["x_threatbus_indicator"];
        assert_eq!(carried["id"], stix_id(n));
        assert_eq!(carried["pattern"], ioc.pattern());
    }
}

/// A bridge between a bus that shows every byte and an engine that answers with these bytes.
fn raw(bus: &FakeBus, answer: &[u8], arguments: &[&str]) -> Observed {
    let engine = Standin::printing(answer);
    // The engine's folder has to outlive the bridge.
    let engine = Box::leak(Box::new(engine));
    Bridge::between(bus.endpoint(), engine)
        .args(arguments)
        .run()
}

/// An event with everything that a careless reader of JSON would change.
const EXACT: &str = concat!(
    r#"{"ts": "2009-11-18T17:00:51.841527040", "b": 1.50, "a": 123456789012345678901234567890, "#,
    r#""e": 1E400, "m": -0.0, "id.orig_p": "53/udp", "x.y": [ "☃", 0.10000000000000000001 ]}"#,
);

#[test]
fn a_legacy_sighting_is_written_as_documented() {
    let mut bus = FakeBus::start(&["threatbus/"]);
    let _bridge = raw(&bus, format!("{EXACT}\n").as_bytes(), &[]);
    let intel = legacy_intel("86", 12, &["foobar.com.", "10.0.0.1"], "ADD");
    bus.send(2, format!("intel {intel}").as_bytes());
    let (topic, json) = bus.receive_text();
    assert_eq!(topic, "threatbus/sighting");
    let expected = concat!(
        r#"{"ts":"2009-11-18 17:00:51.841527","intel":"86","reference":"threatbus__86","#,
        r#""ioc":["foobar.com.","10.0.0.1"],"context":{"ts":"2009-11-18T17:00:51.841527040","#,
        r#""b":1.50,"a":123456789012345678901234567890,"e":1E400,"m":-0.0,"id.orig_p":53,"#,
        r#""x.y":[ "☃", 0.10000000000000000001 ],"source":"VAST"}}"#,
    );
    assert_eq!(json, expected);
}

#[test]
fn a_stix_sighting_carries_indicator_and_event_digit_by_digit() {
    let mut bus = FakeBus::stix();
    let _bridge = raw(&bus, format!("{EXACT}\n").as_bytes(), &[]);
    let mut indicator = stix_indicator(7, "[domain-name:value = 'foobar.com']", None);
    indicator["x_org"] = json!({"tlp": ["amber", null, "é"]});
    // A number that serde_json would change.
    let indicator = indicator.to_string().replace("null", "1.10");
    bus.send(2, format!("indicator {indicator}").as_bytes());
    let (topic, json) = bus.receive_text();
    assert_eq!(topic, "stix2/sighting");
    assert!(
        json.contains(&format!(r#""x_threatbus_indicator":{indicator},"#)),
        "{json}"
    );
    assert!(
        json.contains(&format!(r#""x_threatbus_sighting_context":{EXACT}"#)),
        "{json}"
    );
    // 1E400 is infinity in Python, which the library refuses to write.
    let judged = judge_stix("sighting", &[json.replace("1E400", "1")]);
    let judged = judged.expect("the stix2 library reads it").remove(0);
    assert_eq!(judged["last_seen"], "2009-11-18T17:00:51.841527Z");
    assert_eq!(judged["sighting_of_ref"], stix_id(7));
    assert_eq!(judged["x_threatbus_match_type"], "RETRO");
    assert_eq!(judged["x_threatbus_indicator"]["x_org"]["tlp"][2], "é");
}

#[test]
fn timestamp_is_the_time_where_there_is_no_ts() {
    let answer = concat!(
        r#"{"timestamp": "2024-03-05T10:24:10.013074", "n": 1}"#,
        "\n",
        r#"{"timestamp": "2020-01-01T00:00:00", "ts": "2024-03-05T10:24:11"}"#,
        "\n",
    );
    let mut bus = FakeBus::stix();
    let _bridge = raw(&bus, answer.as_bytes(), &[]);
    send_stix(&mut bus, 1, Ioc::Domain("a.example"));
    for expected in ["2024-03-05T10:24:10.013074Z", "2024-03-05T10:24:11Z"] {
        let sighting: Value = serde_json::from_str(&bus.receive_text().1).expect("JSON");
        assert_eq!(sighting["last_seen"], expected);
    }
}

fn send_stix(bus: &mut FakeBus, n: u64, ioc: Ioc) {
    let indicator = stix_indicator(n, &ioc.pattern(), None);
    bus.send(2, format!("indicator {indicator}").as_bytes());
}

#[test]
fn an_event_without_a_time_is_reported_with_the_present_one_and_a_warning() {
    for prefix in ["threatbus/", "stix2/"] {
        let mut bus = FakeBus::start(&[prefix]);
        let bridge = raw(&bus, b"{\"ts\": null, \"uid\": \"C1\"}\n", &[]);
        let before = OffsetDateTime::now_utc() - std::time::Duration::from_secs(2);
        let (message, field) = if prefix == "stix2/" {
            let indicator = stix_indicator(1, "[domain-name:value = 'a.example']", None);
            (format!("indicator {indicator}"), "last_seen")
        } else {
            let intel = legacy_intel("1", 11, &["a.example"], "ADD");
            (format!("intel {intel}"), "ts")
        };
        bus.send(2, message.as_bytes());
        let sighting: Value = serde_json::from_str(&bus.receive_text().1).expect("JSON");
        let time = sighting[field].as_str().expect("a time").replace(' ', "T");
        let time = OffsetDateTime::parse(&time, &Rfc3339).expect("a time with its zone");
        let after = OffsetDateTime::now_utc() + std::time::Duration::from_secs(2);
        assert!(before < time && time < after, "{sighting}");
        let warning = bridge.wait_for_log("has no time", LIMIT);
        assert!(warning.contains("WARN"), "{warning}");
        assert!(warning.contains(&indicator_of_raw(&sighting)), "{warning}");
    }
}

fn indicator_of_raw(sighting: &Value) -> String {
    let kind = if sighting["intel"].is_string() {
        BrokerKind::Legacy
    } else {
        BrokerKind::Ports
    };
    indicator_of(kind, sighting)
}

#[test]
fn bytes_that_are_not_utf8_and_lines_that_are_not_events_cost_nothing_else() {
    let answer = b"{\"ts\": \"2024-03-05T10:24:10\", \"n\": 1, \"t\": \"a\xff\xfez\"}\n\
        oops \x1b[31m\n\
        [1, 2]\n\
        {\"ts\": \"2024-03-05T10:24:11\", \"n\": 2}\n";
    let mut bus = FakeBus::stix();
    let bridge = raw(&bus, answer, &[]);
    send_stix(&mut bus, 1, Ioc::Domain("a.example"));
    let context = |text: String| -> Value {
        let sighting: Value = serde_json::from_str(&text).expect("JSON");
        sighting["x_threatbus_sighting_context"].clone()
    };
    assert_eq!(context(bus.receive_text().1)["t"], "a\u{fffd}\u{fffd}z");
    assert_eq!(context(bus.receive_text().1)["n"], 2);
    let warnings = bridge.wait_for_logs("is not an event", 2, LIMIT);
    assert!(warnings[0].contains("oops"), "{warnings:?}");
    assert!(!warnings[0].contains('\x1b'), "{warnings:?}");
    assert!(warnings[1].contains("[1, 2]"), "{warnings:?}");
}

#[test]
fn unflatten_nests_dotted_keys_and_keeps_clashing_ones() {
    let answer = br#"{"ts": "2024-03-05T10:24:10", "id.orig_h": "10.0.0.1", "id.orig_p": 1.50, "a": 1, "a.b": 2}"#;
    let mut bus = FakeBus::stix();
    let _bridge = raw(&bus, &[answer, &b"\n"[..]].concat(), &["--unflatten"]);
    send_stix(&mut bus, 1, Ioc::Domain("a.example"));
    let (_, json) = bus.receive_text();
    let expected = concat!(
        r#""x_threatbus_sighting_context":{"ts":"2024-03-05T10:24:10","#,
        r#""id":{"orig_h":"10.0.0.1","orig_p":1.50},"a":1,"a.b":2}"#,
    );
    assert!(json.contains(expected), "{json}");
}

#[test]
fn ports_with_a_protocol_become_numbers_on_the_legacy_bus_only() {
    let answer = br#"{"ts": "2024-03-05T10:24:10", "p": "53/udp", "q": "443/?", "r": "70000/udp", "s": ["1/tcp"], "t": "1/x"}"#;
    let answer = [answer, &b"\n"[..]].concat();
    let mut bus = FakeBus::start(&["threatbus/"]);
    let _bridge = raw(&bus, &answer, &[]);
    let intel = legacy_intel("1", 11, &["a.example"], "ADD");
    bus.send(2, format!("intel {intel}").as_bytes());
    let (_, json) = bus.receive_text();
    let expected = r#""p":53,"q":443,"r":"70000/udp","s":["1/tcp"],"t":"1/x","source":"VAST"}"#;
    assert!(json.contains(expected), "{json}");

    let mut bus = FakeBus::stix();
    let _bridge = raw(&bus, &answer, &[]);
    send_stix(&mut bus, 1, Ioc::Domain("a.example"));
    let (_, json) = bus.receive_text();
    assert!(json.contains(r#""p": "53/udp", "q": "443/?""#), "{json}");
}

#[test]
fn a_message_of_the_other_generation_is_answered_in_its_own() {
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let mut bus = FakeBus::start(&[""]);
        let protocol = match kind {
            // It uses one generation and receives a message of the other.
            BrokerKind::Legacy => "stix2",
            _ => "legacy",
        };
        let bridge = raw(
            &bus,
            b"{\"ts\": \"2024-03-05T10:24:10\"}\n",
            &["--protocol", protocol],
        );
        let message = messages::indicator(kind, 5, Ioc::Domain("a.example"));
        let suffix = kind.indicator_suffix();
        bus.send(2, format!("{suffix} {message}").as_bytes());
        let (topic, json) = bus.receive_text();
        assert_eq!(topic, kind.sighting_topic(), "{}", bridge.log());
        let sighting: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(indicator_of(kind, &sighting), indicator_id(kind, 5));
    }
}

#[test]
fn a_sighting_that_the_broker_does_not_listen_to_delays_no_other() {
    let mut bus = FakeBus::stix();
    let bridge = raw(&bus, b"{\"ts\": \"2024-03-05T10:24:10\"}\n", &[]);
    let intel = legacy_intel("1", 11, &["a.example"], "ADD");
    bus.send(2, format!("intel {intel}").as_bytes());
    let error = bridge.wait_for_log("the broker does not listen to its topic", LIMIT);
    assert!(error.contains("[ERROR]"), "{error}");
    assert!(error.contains("threatbus/sighting"), "{error}");
    send_stix(&mut bus, 2, Ioc::Domain("b.example"));
    assert_eq!(bus.receive_text().0, "stix2/sighting");
}

#[test]
fn other_types_of_message_are_ignored_at_debug() {
    let mut bus = FakeBus::stix();
    let bridge = raw(&bus, b"{\"ts\": \"2024-03-05T10:24:10\"}\n", &[]);
    bus.send(2, b"snapshotrequest {\"snapshot_id\": \"x\"}");
    bus.send(2, b"sighting {}");
    let lines = bridge.wait_for_logs("ignoring a message of type", 2, LIMIT);
    for (line, name) in lines.iter().zip(["snapshotrequest", "sighting"]) {
        assert!(line.contains("DEBUG") && line.contains(name), "{line}");
    }
}

/// A bed with one query at a time. The first one, for `slow.example`, takes 3 s, and what comes
/// meanwhile waits.
fn waiting(kind: BrokerKind) -> Bed {
    let engine = Standin::with_samples().with(
        "faults",
        json!({"only_values": ["slow.example"], "delay_seconds": 3.0}),
    );
    let arguments = ["--max-background-tasks", "1", "--batch-size", "1"];
    let mut bed = Bed::start(kind, engine, &arguments);
    bed.publisher
        .publish_indicator(900, Ioc::Domain("slow.example"));
    bed.engine.wait_for_exports(1, LIMIT);
    bed
}

/// Waits until this many queries were answered, and returns the queries.
fn queries(bed: &Bed, count: usize) -> Vec<String> {
    let answered = || {
        let exports = bed.engine.exports();
        exports.iter().filter(|call| call.end.is_some()).count() >= count
    };
    assert!(
        crate::support::eventually(LIMIT, answered),
        "{}",
        bed.bridge.log()
    );
    let exports = bed.engine.exports();
    exports
        .iter()
        .map(|call| call.query().expect("a query").to_owned())
        .collect()
}

#[test]
fn a_withdrawn_indicator_that_waits_is_not_queried() {
    for kind in BrokerKind::ALL {
        let mut bed = waiting(kind);
        let gone = Ioc::Domain("evil.example.net");
        bed.publisher.publish_indicator(1, gone);
        bed.publisher
            .publish_indicator(2, Ioc::Domain("www.example.org"));
        bed.publisher
            .send_indicator(&messages::removal(kind, 1, gone));
        let queries = queries(&bed, 2);
        assert_eq!(queries.len(), 2, "{kind:?}: {queries:?}");
        assert!(queries[1].contains("www.example.org"), "{queries:?}");
        assert!(!queries.concat().contains("evil"), "{queries:?}");
        let first = bed.subscriber.collect_sightings(1, LIMIT);
        assert_eq!(indicator_of(kind, &first[0]), indicator_id(kind, 2));
    }
}

#[test]
fn an_edited_indicator_replaces_the_one_that_waits() {
    for kind in [BrokerKind::Endpoints, BrokerKind::Ports] {
        let mut bed = waiting(kind);
        bed.publisher
            .publish_indicator(1, Ioc::Domain("evil.example.net"));
        let edit = stix_indicator(1, "[domain-name:value = 'www.example.org']", Some("EDIT"));
        bed.publisher.send_indicator(&edit);
        let queries = queries(&bed, 2);
        assert!(queries[1].contains("www.example.org"), "{queries:?}");
        let sighting = bed.subscriber.collect_sightings(1, LIMIT).remove(0);
        let carried = &sighting["x_threatbus_indicator"];
        assert_eq!(carried["x_threatbus_update"], "EDIT");
        assert_eq!(bed.engine.exports().len(), 2);
    }
}

#[test]
fn an_edit_that_cannot_be_queried_withdraws_the_one_that_waits() {
    for pattern in ["[process:pid = 5]", "[ipv4-addr:value = '999.1.1.1']"] {
        let mut bed = waiting(BrokerKind::Ports);
        bed.publisher
            .publish_indicator(1, Ioc::Domain("evil.example.net"));
        let edit = stix_indicator(1, pattern, Some("EDIT"));
        bed.publisher.send_indicator(&edit);
        bed.publisher
            .publish_indicator(2, Ioc::Domain("www.example.org"));
        let queries = queries(&bed, 2);
        assert!(queries[1].contains("www.example.org"), "{queries:?}");
        assert!(!queries.concat().contains("evil"), "{queries:?}");
    }
}

/// 1,000 indicators at once, every tenth of which is in one, two or three events.
fn a_thousand_at_once(kind: BrokerKind) {
    let mut expected = Vec::new();
    let mut events = Vec::new();
    for n in (0..1_000_u64).step_by(10) {
        for copy in 0..=n / 10 % 3 {
            let event = json!({
                "ts": format!("2024-03-05T09:{:02}:{:02}.{copy:06}", n / 60, n % 60),
                "uid": format!("C{n}"),
                "query": thousandth(n).value(),
                "answers": [],
            });
            expected.push((indicator_id(kind, n), expected_context(kind, &event)));
            events.push(event);
        }
    }
    let engine = Standin::holding(&[("zeek.dns", &events)]);
    let mut bed = Bed::start(kind, engine, &[]);
    for n in 0..1_000 {
        bed.publisher.publish_indicator(n, thousandth(n));
    }
    bed.expect_sightings(expected);
    bed.bridge.signal(rustix::process::Signal::TERM);
    assert!(bed.bridge.wait(LIMIT).success());
    let counted = bed.bridge.wait_for_log("ended after", LIMIT);
    assert!(counted.contains("indicators_received=1000 "), "{counted}");
    assert!(counted.contains("indicators_queried=1000 "), "{counted}");
}

fn thousandth(n: u64) -> Ioc<'static> {
    Ioc::Domain(Box::leak(format!("n{n}.example").into_boxed_str()))
}

#[test]
fn a_thousand_at_once_on_the_legacy_broker() {
    a_thousand_at_once(BrokerKind::Legacy);
}

#[test]
fn a_thousand_at_once_on_the_stix_broker_with_endpoints() {
    a_thousand_at_once(BrokerKind::Endpoints);
}

#[test]
fn a_thousand_at_once_on_the_stix_broker_with_ports() {
    a_thousand_at_once(BrokerKind::Ports);
}

#[test]
fn what_becomes_valid_later_is_queried_then() {
    let engine = Standin::with_samples();
    let mut bed = Bed::start(BrokerKind::Ports, engine, &[]);
    let pattern = "[domain-name:value = 'evil.example.net']";
    let from = OffsetDateTime::now_utc() + Duration::from_secs(8);
    let from = from.replace_nanosecond(0).expect("a whole second");
    let mut indicator = stix_indicator(1, pattern, None);
    indicator["valid_from"] = json!(from.format(&Rfc3339).expect("a time"));
    bed.publisher.send_indicator(&indicator);
    // This one is withdrawn before its time.
    let mut withdrawn = stix_indicator(2, pattern, None);
    withdrawn["valid_from"] = indicator["valid_from"].clone();
    bed.publisher.send_indicator(&withdrawn);
    let words = "is not yet valid: it is searched once it is";
    bed.bridge.wait_for_logs(words, 2, LIMIT);
    bed.publisher
        .send_indicator(&stix_indicator(2, pattern, Some("REMOVE")));
    let query = r#""evil.example.net" == net.domain || "evil.example.net" == net.hostname"#;
    let events = bed.engine.answer(query);
    assert!(OffsetDateTime::now_utc() < from, "the machine is too slow");
    assert!(bed.engine.exports().is_empty());
    let expected = events
        .iter()
        .map(|event| (stix_id(1), expected_context(BrokerKind::Ports, event)));
    bed.expect_sightings(expected.collect());
    assert!(OffsetDateTime::now_utc() >= from);
}

//! Messages that the bus should not send: each costs one warning, and the next message is read as
//! usual.

use crate::support::bed::{Bed, LIMIT, QUIET, expected_context};
use crate::support::bridge::Bridge;
use crate::support::broker::BrokerKind;
use crate::support::fakebus::FakeBus;
use crate::support::messages::{Ioc, indicator_id, legacy_intel, stix_indicator};
use crate::support::observed::Observed;
use crate::support::standin::Standin;
use serde_json::{Value, json};

/// The type of an Intel object that names a user agent.
const USER_AGENT: u32 = 15;

/// A domain in the sample events.
const SEEN: Ioc = Ioc::Domain("updates.example.com");

/// Sends these frames on a bus that passes on anything, then a good indicator. Expects one warning
/// for each frame, with its words and at most the first 200 bytes of the frame.
fn warned_of(frames: &[(&[u8], &str)]) -> Observed {
    let engine = Standin::with_samples();
    let mut bus = FakeBus::start(&[""]);
    let mut bridge = Bridge::between(bus.endpoint(), &engine).run();
    for (frame, _) in frames {
        bus.send(2, frame);
    }
    let good = stix_indicator(1, &SEEN.pattern(), None);
    bus.send(2, format!("indicator {good}").as_bytes());
    assert_eq!(bus.receive_text().0, "stix2/sighting");

    let warnings = bridge.wait_for_logs("rejected a message", frames.len(), LIMIT);
    for (warning, (frame, words)) in warnings.iter().zip(frames) {
        assert!(warning.contains("[WARN]"), "{warning}");
        assert!(warning.contains(words), "{words}: {warning}");
        assert!(!warning.contains(['\x1b', '\0']), "{warning:?}");
        // It has the reason, and 200 bytes of the message,
        assert!(warning.len() < 1_000, "{} bytes", warning.len());
        // which are its first ones, the topic included.
        let start = String::from_utf8_lossy(&frame[..frame.len().min(5)]).into_owned();
        assert!(
            warning.contains(&format!("owntopic0002x{start}")),
            "{warning}"
        );
    }
    assert_eq!(
        bridge.count_logs("[WARN]"),
        frames.len(),
        "{}",
        bridge.log()
    );
    assert_eq!(bridge.count_logs("[ERROR]"), 0, "{}", bridge.log());
    bridge.signal(rustix::process::Signal::TERM);
    assert!(bridge.wait(LIMIT).success());
    let counted = bridge.wait_for_log("ended after", LIMIT);
    let count = format!("indicators_rejected={} ", frames.len());
    assert!(counted.contains(&count), "{counted}");
    bridge
}

#[test]
fn frames_that_are_not_messages_cost_a_warning_each() {
    warned_of(&[
        (b"", "no space"),
        (b"indicator", "no space"),
        (b"intel{\"id\":\"1\"}", "no space"),
        (b"indicator \xff\xfe{}", "not UTF-8"),
        (b"intel \xc3\x28", "not UTF-8"),
    ]);
}

#[test]
fn messages_that_are_not_json_cost_a_warning_each() {
    warned_of(&[
        (b"indicator ", "no STIX-2 indicator"),
        (b"indicator {", "no STIX-2 indicator"),
        (b"indicator \x1b[31mred\x00", "no STIX-2 indicator"),
        (b"indicator {} {}", "no STIX-2 indicator"),
        (b"intel {'id': 1}", "no legacy indicator"),
    ]);
}

#[test]
fn messages_of_another_shape_cost_a_warning_each() {
    warned_of(&[
        (b"indicator []", "no STIX-2 indicator"),
        (b"indicator 7", "no STIX-2 indicator"),
        (b"indicator {\"type\": \"malware\", \"id\": \"malware--1\"}", "malware"),
        (b"indicator {\"type\": \"indicator\", \"id\": 5}", "no STIX-2 indicator"),
        (b"indicator {\"type\": \"indicator\", \"id\": \"indicator--5\"}", "indicator--5"),
        (b"intel null", "no legacy indicator"),
        (b"intel {\"id\": \"1\"}", "no legacy indicator"),
        (
            b"intel {\"id\": \"1\", \"data\": {\"indicator\": \"a\", \"intel_type\": 11}, \"operation\": \"ADD\"}",
            "no legacy indicator",
        ),
        (
            b"intel {\"id\": \"1\", \"data\": {\"indicator\": [], \"intel_type\": 11}, \"operation\": \"ADD\"}",
            "no value",
        ),
        (
            b"intel {\"id\": \"1\", \"data\": {\"indicator\": [\"a\"], \"intel_type\": 99}, \"operation\": \"ADD\"}",
            "1 to 47",
        ),
        (
            b"intel {\"id\": \"1\", \"data\": {\"indicator\": [\"a\"], \"intel_type\": 11}, \"operation\": \"DROP\"}",
            "DROP",
        ),
    ]);
}

#[test]
fn endless_nesting_costs_a_warning() {
    let nested = format!("indicator {}", "[".repeat(200_000));
    let inside = format!(
        "indicator {{\"type\": \"indicator\", \"id\": {}",
        "{\"a\":".repeat(200_000)
    );
    warned_of(&[
        (nested.as_bytes(), "no STIX-2 indicator"),
        (inside.as_bytes(), "no STIX-2 indicator"),
    ]);
}

#[test]
fn messages_of_ten_megabytes_cost_a_warning_each() {
    let noise = vec![b'\xff'; 10_000_000];
    let text = [&b"indicator "[..], &vec![b'x'; 10_000_000]].concat();
    let value = "x".repeat(10_000_000);
    let intel = legacy_intel("5", 11, &[&value], "ADD").to_string();
    let pattern = stix_indicator(5, &format!("[url:value = '{value}']"), None).to_string();
    let mut large = stix_indicator(5, &SEEN.pattern(), None);
    large["description"] = json!("x".repeat(17_000_000));
    let large = large.to_string();
    warned_of(&[
        (&noise, "not UTF-8"),
        (&text, "no STIX-2 indicator"),
        (format!("intel {intel}").as_bytes(), "is no domain name"),
        (
            format!("indicator {pattern}").as_bytes(),
            "longer than 65536 bytes",
        ),
        (format!("indicator {large}").as_bytes(), "can have 16777216"),
    ]);
}

#[test]
fn real_brokers_may_be_sent_anything() {
    for kind in BrokerKind::ALL {
        let mut bed = Bed::start(kind, Standin::with_samples(), &[]);
        let topic = kind.indicator_topic();
        let frames: [&[u8]; 6] = [
            b"",
            b" {}",
            b" {",
            b" []",
            b" \xff",
            b" {\"type\": \"indicator\"}",
        ];
        for rest in frames {
            bed.publisher.send_raw(&[topic.as_bytes(), rest].concat());
        }
        bed.publisher.publish_indicator(1, SEEN);
        let sightings = bed.subscriber.collect_sightings(1, LIMIT);
        assert_eq!(sightings.len(), 1, "{kind:?}: {}", bed.bridge.log());
        assert!(bed.bridge.is_running());
    }
}

/// An indicator with this text as a value of this kind, whatever the text is.
fn any_indicator(kind: BrokerKind, n: u64, path: &str, intel_type: u32, value: &str) -> Value {
    match kind {
        BrokerKind::Legacy => legacy_intel(&n.to_string(), intel_type, &[value], "ADD"),
        BrokerKind::Endpoints | BrokerKind::Ports => {
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            stix_indicator(n, &format!("[{path} = '{value}']"), None)
        }
    }
}

#[test]
fn what_is_not_an_address_is_rejected_and_never_queried() {
    let values = [
        "999.1.1.1",
        "--write=x.json",
        "1.2.3.4 || true",
        "1.2.3",
        "01.2.3.4",
        "1.2.3.4\n",
        "::g",
        "",
        "*",
    ];
    for kind in BrokerKind::ALL {
        let mut bed = Bed::start(kind, Standin::with_samples(), &[]);
        for (n, value) in (100..).zip(values) {
            let indicator = any_indicator(kind, n, "ipv4-addr:value", 1, value);
            bed.publisher.send_indicator(&indicator);
        }
        bed.publisher.publish_indicator(1, SEEN);
        let sightings = bed.subscriber.collect_sightings(1, LIMIT);
        assert_eq!(sightings.len(), 1, "{kind:?}: {}", bed.bridge.log());
        let rejected = bed.bridge.count_logs("rejected a message");
        assert_eq!(rejected, values.len(), "{kind:?}: {}", bed.bridge.log());
        let exports = bed.engine.exports();
        // Process ids and times are left out, since their digits may be anything.
        let queries: Vec<_> = exports
            .iter()
            .map(|call| (&call.arguments, &call.stdin))
            .collect();
        let queries = format!("{queries:?}");
        assert_eq!(exports.len(), 1, "{queries}");
        for value in ["write", "true", "999.", "1.2.3"] {
            assert!(!queries.contains(value), "{queries}");
        }
    }
}

/// Texts that mean something to a shell, a query language, a terminal or an argument parser. A
/// literal of VAST's language cannot have control characters, or a backslash at its end (measured):
/// values with these are not here, but in the test of rejections below.
fn hostile_values(kind: BrokerKind) -> Vec<String> {
    let mut values: Vec<String> = [
        "\"",
        "a\" || true || \"b",
        "a\\\" || :addr in [0.0.0.0/0] || \"",
        "it's",
        "-",
        "--write=x.json",
        "--read=/etc/passwd",
        "$(touch x)`touch y`;|&",
        "%ioc %matchtype %s",
        "/größe?ж=☃",
        "a.b.",
        " leading and trailing ",
        "] || #type == \"zeek.http\" || x in [",
    ]
    .map(str::to_owned)
    .into();
    // A STIX pattern can have 64 KiB.
    let longest = match kind {
        BrokerKind::Legacy => 100_000,
        BrokerKind::Endpoints | BrokerKind::Ports => 65_000,
    };
    values.push("x".repeat(longest));
    values
}

/// Each hostile value is in one event, as the name of a program. Exactly that event has to be
/// found, which a broken query would not do.
fn hostile_values_are_queried(kind: BrokerKind, arguments: &[&str]) {
    let values = hostile_values(kind);
    let mut events = Vec::new();
    let mut indicators = Vec::new();
    let mut expected = Vec::new();
    for (n, value) in (0..).zip(&values) {
        let event =
            json!({"ts": "2024-03-05T09:37:19", "uid": format!("P{n}"), "user_agent": value});
        indicators.push(any_indicator(
            kind,
            n,
            "user-agent:value",
            USER_AGENT,
            value,
        ));
        expected.push((indicator_id(kind, n), expected_context(kind, &event)));
        events.push(event);
    }
    let engine = Standin::holding(&[("zeek.http", &events)]);
    let mut bed = Bed::start(kind, engine, arguments);
    for indicator in &indicators {
        bed.publisher.send_indicator(indicator);
    }
    bed.expect_sightings(expected);
    assert_eq!(bed.bridge.count_logs("[WARN]"), 0, "{}", bed.bridge.log());
    assert_eq!(bed.bridge.count_logs("[ERROR]"), 0, "{}", bed.bridge.log());
    for call in bed.engine.exports() {
        assert_eq!(call.end.map(|(exit, _)| exit), Some(0), "{call:?}");
        let expected = ["-e", bed.engine.endpoint(), "export"];
        assert_eq!(call.arguments[..3], expected);
        for argument in &call.arguments[3..] {
            let known = ["--caf.scheduler.max-threads=1", "--read=-", "json"];
            assert!(known.contains(&argument.as_str()), "{call:?}");
        }
    }
}

#[test]
fn hostile_values_are_queried_one_by_one() {
    for kind in BrokerKind::ALL {
        hostile_values_are_queried(kind, &["--batch-size", "1"]);
    }
}

#[test]
fn hostile_values_are_queried_together() {
    for kind in BrokerKind::ALL {
        hostile_values_are_queried(kind, &[]);
    }
}

#[test]
fn what_no_query_can_hold_is_rejected_with_the_reason() {
    for (kind, too_long) in [
        (BrokerKind::Legacy, "1100000 bytes"),
        (BrokerKind::Ports, "longer than 65536 bytes"),
    ] {
        let mut bed = Bed::start(kind, Standin::with_samples(), &[]);
        let long = "x".repeat(1_100_000);
        for (n, value) in (100..).zip(["nul\0inside", "", &long]) {
            let indicator = any_indicator(kind, n, "user-agent:value", USER_AGENT, value);
            bed.publisher.send_indicator(&indicator);
        }
        bed.publisher.publish_indicator(1, SEEN);
        assert_eq!(bed.subscriber.collect_sightings(1, LIMIT).len(), 1);
        for words in ["NUL", "empty", too_long] {
            let warning = bed.bridge.wait_for_log(words, LIMIT);
            assert!(warning.contains("[WARN]"), "{warning}");
        }
        assert_eq!(bed.engine.exports().len(), 1);
    }
}

#[test]
fn ids_are_text_and_nothing_else() {
    let ids = ["\"; drop", "-1", "a\nb\x1b[31m", "ünïcode ☃", "%s%ioc"];
    let mut bed = Bed::start(BrokerKind::Legacy, Standin::with_samples(), &[]);
    for id in ids {
        let intel = legacy_intel(id, 11, &[&SEEN.value()], "ADD");
        bed.publisher.send_indicator(&intel);
    }
    let events = bed
        .engine
        .answer("\"updates.example.com\" == net.domain || \"updates.example.com\" == net.hostname");
    let expected = ids.iter().flat_map(|id| {
        let contexts = events
            .iter()
            .map(|e| expected_context(BrokerKind::Legacy, e));
        contexts.map(|context| ((*id).to_owned(), context))
    });
    bed.expect_sightings(expected.collect());
    assert!(!bed.bridge.log().contains('\x1b'));
    assert!(bed.subscriber.drain(QUIET).is_empty());
}

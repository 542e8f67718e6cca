//! The subscription from its start to its end: which generation of the protocol, which requests,
//! what happens when the bus goes away, and what is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::bed::{Bed, LIMIT, indicator_of};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind, Ports, free_ports};
use crate::support::eventually;
use crate::support::fakebus::{FakeBus, own_topic, with_endpoints};
use crate::support::manager::{FakeManager, Reply};
use crate::support::messages::{Ioc, indicator, indicator_id, stix_indicator};
use crate::support::peer::{Publisher, SnapshotServer, Subscriber};
use crate::support::standin::{Down, Standin};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A domain in the sample events.
const SEEN: Ioc = Ioc::Domain("updates.example.com");
const SEEN_TOO: Ioc = Ioc::Domain("www.example.org");

/// How many sightings an indicator with this value has.
fn sightings_of(engine: &Standin, ioc: Ioc) -> usize {
    let value = ioc.value();
    let query = format!("\"{value}\" == net.domain || \"{value}\" == net.hostname");
    engine.answer(&query).len()
}

#[test]
fn the_broker_or_the_option_names_the_generation() {
    for kind in BrokerKind::ALL {
        let right = match kind {
            BrokerKind::Legacy => "legacy",
            BrokerKind::Endpoints | BrokerKind::Ports => "stix2",
        };
        for arguments in [&[][..], &["--protocol", "auto"], &["--protocol", right]] {
            let mut bed = Bed::start(kind, Standin::with_samples(), arguments);
            let line = bed.bridge.wait_for_log("subscribed to", LIMIT);
            assert!(line.contains(kind.indicator_topic()), "{line}");
            let id = bed.publisher.publish_indicator(1, SEEN);
            let sighting = bed.subscriber.collect_sightings(1, LIMIT);
            assert_eq!(indicator_of(kind, &sighting[0]), id);
        }
    }
}

#[test]
fn the_option_overrides_what_the_broker_says() {
    let engine = Standin::with_samples();
    let bus = FakeBus::stix();
    let bridge = Bridge::between(bus.endpoint(), &engine)
        .args(["--protocol", "legacy"])
        .run();
    let line = bridge.wait_for_log("subscribed to", LIMIT);
    assert!(line.contains("threatbus/intel"), "{line}");
    let topics: Vec<Value> = bus.requests_to("subscribe");
    assert_eq!(topics[1]["topic"], "threatbus/intel");
}

#[test]
fn a_broker_that_says_nothing_is_assumed_to_be_stix2_after_a_second() {
    let engine = Standin::with_samples();
    let [publish, subscribe] = free_ports();
    let manager = FakeManager::start(move |request| match request["action"].as_str() {
        Some("subscribe") => Reply::subscribed("abc", publish, subscribe),
        _ => Reply::success(),
    });
    let bridge = Bridge::between(manager.endpoint(), &engine).run();
    bridge.wait_for_log("VAST 2021.01.28", LIMIT);
    let since = Instant::now();
    let warning = bridge.wait_for_log("does not say which generation", LIMIT);
    assert!(since.elapsed() > Duration::from_millis(900), "{warning}");
    assert!(
        warning.contains("WARN") && warning.contains("STIX-2"),
        "{warning}"
    );
    let line = bridge.wait_for_log("subscribed to", LIMIT);
    assert!(line.contains("stix2/indicator"), "{line}");
}

#[test]
fn the_requests_come_in_the_order_that_loses_nothing() {
    let engine = Standin::with_samples();
    let mut bus = FakeBus::stix();
    let mut bridge = Bridge::between(bus.endpoint(), &engine)
        .args(["--snapshot", "30"])
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    let requests: Vec<(Value, Value)> = bus
        .requests()
        .iter()
        .filter(|request| request["action"] != "heartbeat")
        .map(|request| (request["action"].clone(), request["snapshot"].clone()))
        .collect();
    let expected = [
        (json!("subscribe"), json!(0)),
        (json!("subscribe"), json!(30)),
        (json!("unsubscribe"), Value::Null),
    ];
    assert_eq!(requests, expected);
    assert_eq!(bus.requests_to("subscribe")[1]["topic"], "stix2/indicator");
    assert_eq!(bus.requests_to("unsubscribe")[0]["topic"], own_topic(1));
    // The connection still exists, so what is sent now arrives.
    let seen = stix_indicator(1, &SEEN.pattern(), None);
    bus.send(2, format!("indicator {seen}").as_bytes());
    assert_eq!(bus.receive_text().0, "stix2/sighting");
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success());
    assert_eq!(bus.leaked(), [""; 0]);
}

#[test]
fn heartbeats_come_every_five_seconds() {
    let engine = Standin::with_samples();
    let times = Arc::new(Mutex::new(Vec::new()));
    let bus = FakeBus::replying(&["stix2/"], {
        let times = Arc::clone(&times);
        move |request, usual| {
            if request["action"] == "heartbeat" && request["topic"] == own_topic(2) {
                times.lock().expect("no panic").push(Instant::now());
            }
            usual
        }
    });
    let _bridge = Bridge::between(bus.endpoint(), &engine).run();
    assert!(eventually(LIMIT, || times.lock().expect("no panic").len() >= 3));
    let times = times.lock().expect("no panic");
    for pair in times.windows(2) {
        let pause = (pair[1] - pair[0]).as_secs_f64();
        assert!((4.5..8.0).contains(&pause), "{pause}");
    }
}

#[test]
fn endpoints_with_a_host_for_binding_lead_to_the_configured_host() {
    for host in ["0.0.0.0", "*", "127.0.0.1", "tcp://0.0.0.0"] {
        let engine = Standin::with_samples();
        let mut bus = FakeBus::replying(&["stix2/"], move |_, usual| with_endpoints(usual, host));
        let bridge = Bridge::between(bus.endpoint(), &engine).run();
        bridge.wait_for_log("subscribed to", LIMIT);
        let seen = stix_indicator(1, &SEEN.pattern(), None);
        bus.send(2, format!("indicator {seen}").as_bytes());
        assert_eq!(bus.receive_text().0, "stix2/sighting", "{host}");
    }
}

#[test]
fn a_useless_reply_is_no_answer_and_the_request_is_resent() {
    let reply = |publish: Value, subscribe: Value| {
        Reply::Json(json!({
            "topic": "abc", "pub_port": publish, "sub_port": subscribe, "status": "success",
        }))
    };
    let useless = [
        (Reply::Raw(b"oops \xff\x1b".to_vec()), "no management reply"),
        (Reply::Raw(Vec::new()), "no management reply"),
        (Reply::Json(json!([1])), "no management reply"),
        (Reply::Json(json!({"status": "success"})), "no topic"),
        (
            Reply::Json(json!({"status": "unknown request"})),
            "unknown request",
        ),
        (reply(json!(70_000), json!(1)), "pub_port"),
        (reply(json!(1), json!(0)), "sub_port"),
        (reply(json!(1), json!(-5)), "sub_port"),
        (reply(json!("x"), json!(1)), "pub_port"),
        (reply(Value::Null, json!(1)), "pub_port"),
    ];
    let engine = Standin::with_samples();
    let runs = useless.map(|(reply, words)| {
        let mut first = Some(reply);
        let bus = FakeBus::replying(&["stix2/"], move |request, usual| {
            if request["action"] == "subscribe" {
                first.take().unwrap_or(usual)
            } else {
                usual
            }
        });
        let bridge = Bridge::between(bus.endpoint(), &engine).run();
        (bus, bridge, words)
    });
    for (bus, bridge, words) in runs {
        bridge.wait_for_log("subscribed to", LIMIT);
        let warning = bridge.wait_for_log("is not ready", LIMIT);
        assert!(
            warning.contains("WARN") && warning.contains(words),
            "{words}: {warning}"
        );
        assert!(!warning.contains('\x1b'), "{warning}");
        assert_eq!(bus.requests_to("subscribe").len(), 3, "{words}");
    }
}

#[test]
fn a_heartbeat_with_a_useless_answer_loses_the_subscription() {
    for useless in [
        Reply::Json(json!({"status": "error"})),
        Reply::Raw(b"{".to_vec()),
        Reply::Silence,
    ] {
        let engine = Standin::with_samples();
        let mut first = Some(useless);
        let mut bus = FakeBus::replying(&["stix2/"], move |request, usual| {
            if request["action"] == "heartbeat" && request["topic"] == own_topic(2) {
                first.take().unwrap_or(usual)
            } else {
                usual
            }
        });
        let mut bridge = Bridge::between(bus.endpoint(), &engine).run();
        bridge.wait_for_log("is lost", LIMIT);
        let gap = bridge.wait_for_log("subscribed again", LIMIT);
        assert!(gap.contains("WARN") && gap.contains("lost"), "{gap}");
        let seen = stix_indicator(1, &SEEN.pattern(), None);
        bus.send(4, format!("indicator {seen}").as_bytes());
        assert_eq!(bus.receive_text().0, "stix2/sighting");
        bridge.signal(Signal::TERM);
        assert!(bridge.wait(LIMIT).success());
        assert_eq!(bus.requests_to("subscribe").len(), 4);
        assert_eq!(bus.leaked(), [""; 0]);
    }
}

#[test]
fn what_is_subscribed_is_given_up_even_after_failed_starts() {
    let engine = Standin::with_samples();
    let mut failures = 2;
    let bus = FakeBus::replying(&["stix2/"], move |request, usual| {
        // This is the second subscription of a start.
        if request["topic"] == "stix2/indicator" && failures > 0 {
            failures -= 1;
            return Reply::Json(json!({"status": "error"}));
        }
        usual
    });
    let mut bridge = Bridge::between(bus.endpoint(), &engine).run();
    bridge.wait_for_log("subscribed to", LIMIT);
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success());
    let given: BTreeSet<String> = [1, 3, 5, 6].map(own_topic).into();
    let given_up = bus.requests_to("unsubscribe");
    let given_up: BTreeSet<String> = given_up
        .iter()
        .map(|request| request["topic"].as_str().expect("a topic").to_owned())
        .collect();
    assert_eq!(given_up, given, "{}", bridge.log());
}

#[test]
fn a_start_that_fails_gives_its_topics_up() {
    let engine = Standin::with_samples();
    let bus = FakeBus::replying(&["stix2/"], |request, usual| {
        if request["topic"] == "stix2/indicator" {
            Reply::Json(json!({"status": "error"}))
        } else {
            usual
        }
    });
    let mut bridge = Bridge::between(bus.endpoint(), &engine)
        .args(["--connect-timeout", "3"])
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(69), "{}", bridge.log());
    let given_up = bus.requests_to("unsubscribe").len();
    // A start makes two subscriptions, and the second is refused.
    let starts = bus.requests_to("subscribe").len() / 2;
    assert!(starts > 0 && given_up == starts, "{:#?}", bus.requests());
}

#[test]
fn a_snapshot_of_a_second_app_is_matched_whole() {
    for kind in BrokerKind::ALL {
        let broker = Broker::start(kind);
        let mut indicators: Vec<Value> = (2..200)
            .map(|n| indicator(kind, n, Ioc::Domain(&format!("n{n}.example"))))
            .collect();
        indicators.insert(0, indicator(kind, 1, SEEN));
        indicators.push(indicator(kind, 200, SEEN_TOO));
        let server = SnapshotServer::start(&broker, indicators);
        let engine = Standin::with_samples();
        let subscriber = Subscriber::sightings(&broker);
        let mut bridge = Bridge::start(&broker, &engine, &["--snapshot", "30"]);
        let count = sightings_of(&engine, SEEN) + sightings_of(&engine, SEEN_TOO);
        let sightings = subscriber.collect_sightings(count, LIMIT);
        assert_eq!(sightings.len(), count, "{kind:?}: {}", bridge.log());
        bridge.signal(Signal::TERM);
        assert!(bridge.wait(LIMIT).success());
        let counted = bridge.wait_for_log("ended after", LIMIT);
        assert!(counted.contains("indicators_queried=200 "), "{counted}");
        let requests = server.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        let days = requests[0]["snapshot"].as_u64();
        let days = days.or_else(|| requests[0]["snapshot"].as_f64().map(|s| s as u64 / 86_400));
        assert!(matches!(days, Some(30 | 2_592_000)), "{requests:?}");
    }
}

#[test]
fn without_the_option_no_snapshot_is_requested() {
    let broker = Broker::start(BrokerKind::Ports);
    let server = SnapshotServer::start(&broker, vec![indicator(broker.kind(), 1, SEEN)]);
    let engine = Standin::with_samples();
    let bridge = Bridge::start(&broker, &engine, &[]);
    bridge.wait_for_log("subscribed to", LIMIT);
    let mut publisher = Publisher::connect(&broker);
    publisher.publish_indicator(2, SEEN_TOO);
    engine.wait_for_exports(1, LIMIT);
    assert!(server.requests().is_empty());
}

#[test]
fn a_restarted_broker_is_subscribed_anew() {
    for kind in BrokerKind::ALL {
        let mut bed = Bed::start(kind, Standin::with_samples(), &[]);
        bed.broker.restart();
        bed.bridge.wait_for_log("is lost", LIMIT);
        let gap = bed.bridge.wait_for_log("subscribed again after", LIMIT);
        assert!(gap.contains("WARN") && gap.contains("--snapshot"), "{gap}");
        assert!(bed.subscriber.renew());
        bed.publisher.wait_until_heard();
        let id = bed.publisher.publish_indicator(1, SEEN);
        let sighting = bed.subscriber.collect_sightings(1, LIMIT);
        assert_eq!(indicator_of(kind, &sighting[0]), id);
        bed.bridge.signal(Signal::TERM);
        assert!(bed.bridge.wait(LIMIT).success());
        assert_eq!(bed.bridge.count_logs("[INFO] unsubscribed"), 1);
        assert_eq!(bed.bridge.count_logs("could not be given up"), 0);
    }
}

#[test]
fn a_snapshot_covers_the_outage_and_repeats_nothing() {
    for kind in BrokerKind::ALL {
        let engine = Standin::with_samples();
        let mut broker = Broker::start(kind);
        let indicators = vec![indicator(kind, 1, SEEN), indicator(kind, 2, SEEN_TOO)];
        let subscriber = Subscriber::sightings(&broker);
        let mut publisher = Publisher::connect(&broker);
        let mut bridge = Bridge::start(&broker, &engine, &["--snapshot", "30"]);
        bridge.wait_for_log("subscribed to", LIMIT);
        publisher.publish_indicator(1, SEEN);
        let count = sightings_of(&engine, SEEN);
        assert_eq!(subscriber.collect_sightings(count, LIMIT).len(), count);

        // For as long the connection of the last sighting is checked anyway.
        std::thread::sleep(Duration::from_secs(11));
        // The server has to subscribe before the bridge, which requests a snapshot only once.
        let (server, before) = loop {
            let before = bridge.count_logs("subscribed again");
            broker.restart();
            let server = SnapshotServer::start(&broker, indicators.clone());
            if bridge.count_logs("subscribed again") == before {
                break (server, before);
            }
        };
        let subscriber = Subscriber::sightings(&broker);
        bridge.wait_for_logs("subscribed again after", before + 1, LIMIT);
        let line = bridge.wait_for_log("subscribed again after", LIMIT);
        assert!(line.contains("a snapshot of 1 day"), "{line}");
        // They wait for the broker's other apps, after the last ones that were sent before, which
        // are resent.
        bridge.wait_for_log("the broker listens again", LIMIT);
        let new = sightings_of(&engine, SEEN_TOO);
        let mut sightings = subscriber.collect_sightings(count + new, LIMIT);
        let more = subscriber.drain(crate::support::bed::QUIET).into_iter();
        sightings.extend(more.map(|(_, sighting)| sighting));
        let ids: Vec<String> = sightings.iter().map(|s| indicator_of(kind, s)).collect();
        let resent = vec![indicator_id(kind, 1); count];
        let expected = [resent, vec![indicator_id(kind, 2); new]].concat();
        assert_eq!(ids, expected, "{}", bridge.log());
        assert_eq!(server.requests().len(), 1);
        bridge.signal(Signal::TERM);
        assert!(bridge.wait(LIMIT).success());
        let counted = bridge.wait_for_log("ended after", LIMIT);
        assert!(counted.contains("indicators_repeated=1 "), "{counted}");
    }
}

#[test]
fn what_is_published_while_the_broker_is_frozen_is_matched_once() {
    for kind in BrokerKind::ALL {
        let mut bed = Bed::start(kind, Standin::with_samples(), &[]);
        bed.broker.stop();
        bed.bridge.wait_for_log("is lost", LIMIT);
        let id = bed.publisher.publish_indicator(1, SEEN);
        bed.broker.cont();
        bed.bridge.wait_for_log("subscribed again after", LIMIT);
        let count = sightings_of(&bed.engine, SEEN);
        let sightings = bed.subscriber.collect_sightings(count, LIMIT);
        assert_eq!(sightings.len(), count, "{kind:?}: {}", bed.bridge.log());
        let second = bed.publisher.publish_indicator(2, SEEN_TOO);
        let count = sightings_of(&bed.engine, SEEN_TOO);
        let more = bed.subscriber.collect_sightings(count, LIMIT);
        assert!(sightings.iter().all(|s| indicator_of(kind, s) == id));
        assert!(
            more.iter().all(|s| indicator_of(kind, s) == second),
            "{more:?}"
        );
        assert!(bed.subscriber.drain(crate::support::bed::QUIET).is_empty());
    }
}

#[test]
fn queued_indicators_outlive_the_subscription() {
    let engine = Standin::with_samples().with(
        "faults",
        json!({"only_values": ["slow.example"], "delay_seconds": 12.0}),
    );
    let arguments = ["--max-background-tasks", "1", "--batch-size", "1"];
    let mut bed = Bed::start(BrokerKind::Ports, engine, &arguments);
    bed.publisher
        .publish_indicator(1, Ioc::Domain("slow.example"));
    bed.engine.wait_for_exports(1, LIMIT);
    let id = bed.publisher.publish_indicator(2, SEEN);
    // This one comes after it, and the log shows when it has come.
    bed.publisher
        .send_indicator(&stix_indicator(3, "[process:pid = 5]", None));
    bed.bridge.wait_for_log("is unsupported", LIMIT);
    bed.broker.restart();
    assert!(bed.subscriber.renew());
    bed.bridge.wait_for_log("subscribed again", LIMIT);
    let sightings = bed.subscriber.collect_sightings(1, LIMIT);
    assert_eq!(indicator_of(BrokerKind::Ports, &sightings[0]), id);
}

#[test]
fn a_start_without_the_bus_ends_with_69_and_says_what_was_attempted() {
    let engine = Standin::with_samples();
    let [port] = free_ports();
    let endpoint = format!("127.0.0.1:{port}");
    let mut bridge = Bridge::between(&endpoint, &engine)
        .args(["--connect-timeout", "2"])
        .run();
    let started = Instant::now();
    assert_eq!(bridge.wait(LIMIT).code(), Some(69));
    assert!(started.elapsed() > Duration::from_millis(1_500));
    let error = bridge.wait_for_log("cannot reach Threat Bus", LIMIT);
    for word in [
        "ERROR",
        &endpoint,
        "tried for 2 s",
        "no answer",
        "--threatbus",
    ] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(bridge.leaves_nothing(LIMIT));
}

#[test]
fn a_start_without_vast_ends_with_69_and_says_what_was_attempted() {
    let engine = Standin::with_samples();
    engine.down(Down::Killed);
    let bus = FakeBus::stix();
    let mut bridge = Bridge::between(bus.endpoint(), &engine)
        .args(["--connect-timeout", "2"])
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(69));
    let error = bridge.wait_for_log("cannot reach VAST", LIMIT);
    let path = engine.path().to_str().expect("a path in UTF-8");
    for word in ["ERROR", engine.endpoint(), path, "status", "--vast"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(bridge.count_logs("is not ready") >= 1, "{}", bridge.log());
    assert!(bridge.leaves_nothing(LIMIT));
}

#[test]
fn bus_and_vast_may_come_up_after_the_bridge() {
    for timeout in ["25", "0"] {
        let engine = Standin::with_samples();
        engine.down(Down::Killed);
        let ports = Ports::free();
        let bridge = Bridge::between(&ports.endpoint(), &engine)
            .args(["--connect-timeout", timeout])
            .run();
        let warning = bridge.wait_for_log("VAST at", LIMIT);
        assert!(warning.contains("is not ready"), "{warning}");
        engine.up();
        let warning = bridge.wait_for_log("Threat Bus at", LIMIT);
        assert!(warning.contains("is not ready"), "{warning}");
        let broker = Broker::start_on(BrokerKind::Ports, ports);
        let subscriber = Subscriber::sightings(&broker);
        let mut publisher = Publisher::connect(&broker);
        bridge.wait_for_log("subscribed to", LIMIT);
        publisher.publish_indicator(1, SEEN);
        assert_eq!(subscriber.collect_sightings(1, LIMIT).len(), 1);
    }
}

#[test]
fn a_signal_before_the_connection_ends_it_quietly() {
    let engine = Standin::with_samples();
    let [port] = free_ports();
    let mut bridge = Bridge::between(&format!("127.0.0.1:{port}"), &engine)
        .args(["--connect-timeout", "0"])
        .run();
    bridge.wait_for_log("is not ready", LIMIT);
    bridge.signal(Signal::INT);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert_eq!(bridge.count_logs("ERROR"), 0, "{}", bridge.log());
}

#[test]
fn each_signal_unsubscribes_and_ends_with_0() {
    for kind in BrokerKind::ALL {
        for signal in [Signal::TERM, Signal::INT] {
            let mut bed = Bed::start(kind, Standin::with_samples(), &[]);
            bed.bridge.signal(signal);
            let status = bed.bridge.wait(LIMIT);
            assert_eq!(status.code(), Some(0), "{signal:?}: {}", bed.bridge.log());
            assert_eq!(bed.bridge.count_logs("unsubscribed"), 1);
            assert_eq!(bed.bridge.count_logs("could not be given up"), 0);
            assert!(bed.bridge.leaves_nothing(LIMIT));
        }
    }
}

#[test]
fn many_old_topics_do_not_hold_up_the_end() {
    let engine = Standin::with_samples();
    let bus = FakeBus::replying(&["stix2/"], |request, usual| {
        if request["action"] == "unsubscribe" {
            thread::sleep(Duration::from_millis(300));
        }
        usual
    });
    let bridge = Bridge::between(bus.endpoint(), &engine).args(["--state-dir", "state"]);
    let state = bridge.directory().join("state");
    let topics: String = (0..60).map(|n| format!("old-{n}\n")).collect();
    fs::create_dir(&state).expect("a directory");
    fs::write(state.join("topics"), topics).expect("a file");
    let mut bridge = bridge.run();
    assert!(eventually(LIMIT, || !bus
        .requests_to("unsubscribe")
        .is_empty()));
    let since = Instant::now();
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    // 8 s: the grace period, and what everything after it may take.
    let took = since.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}: {}", bridge.log());
    // The next run gives up the others.
    let left = fs::read_to_string(state.join("topics")).expect("a file");
    let requests = bus.requests_to("unsubscribe").len();
    assert!(left.contains("old-"), "{left}");
    assert!(left.lines().count() + requests >= 60, "{requests}: {left}");
    assert_eq!(bridge.count_logs("old topic(s) are not given up"), 1);
}

#[test]
fn sightings_of_a_running_query_are_sent_before_the_topic_is_given_up() {
    let engine = Standin::with_samples().with("faults", json!({"delay_seconds": 1.5}));
    let stopping = Arc::new(AtomicBool::new(false));
    let received = Arc::new(AtomicBool::new(false));
    let in_order = Arc::new(Mutex::new(None));
    let mut bus = FakeBus::replying(&["stix2/"], {
        let (stopping, received) = (Arc::clone(&stopping), Arc::clone(&received));
        let in_order = Arc::clone(&in_order);
        move |request, usual| {
            if request["action"] == "unsubscribe" && stopping.load(Ordering::Relaxed) {
                let seen = eventually(Duration::from_millis(1_500), || {
                    received.load(Ordering::Relaxed)
                });
                *in_order.lock().expect("no panic") = Some(seen);
            }
            usual
        }
    });
    let mut bridge = Bridge::between(bus.endpoint(), &engine).run();
    let seen = stix_indicator(1, &SEEN.pattern(), None);
    bus.send(2, format!("indicator {seen}").as_bytes());
    engine.wait_for_exports(1, LIMIT);
    stopping.store(true, Ordering::Relaxed);
    bridge.signal(Signal::TERM);
    for _ in 0..sightings_of(&engine, SEEN) {
        assert_eq!(bus.receive_text().0, "stix2/sighting");
    }
    received.store(true, Ordering::Relaxed);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert_eq!(*in_order.lock().expect("no panic"), Some(true));
    assert_eq!(bus.leaked(), [""; 0]);
}

#[test]
fn an_idle_bridge_takes_little_memory() {
    let bed = Bed::start(BrokerKind::Ports, Standin::with_samples(), &[]);
    let mebibytes = bed.bridge.resident() as f64 / f64::from(1 << 20);
    println!("idle: {mebibytes:.1} MiB");
    // 10 MB is the aim of the release build; a debug build has larger code.
    assert!(mebibytes < 20.0, "{mebibytes:.1} MiB");
}

#[test]
fn a_subscription_that_is_refused_leaves_no_topic_behind() {
    let mut refusals = 2;
    let bus = FakeBus::replying(&["stix2/"], move |request, usual| {
        let is_second = request["action"] == "subscribe" && request["topic"] == "stix2/indicator";
        if is_second && refusals > 0 {
            refusals -= 1;
            return Reply::Json(json!({"status": "error"}));
        }
        usual
    });
    let engine = Standin::with_samples();
    let mut bridge = Bridge::between(bus.endpoint(), &engine).run();
    bridge.wait_for_log("subscribed to", LIMIT);
    // Each try has requested the ports.
    assert_eq!(bus.requests_to("unsubscribe").len(), 3, "{}", bridge.log());
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    assert_eq!(bus.requests_to("unsubscribe").len(), 4, "{}", bridge.log());
}

/// Together they take long, but the service manager must not conclude that the bridge hangs: each
/// answer shows that it makes progress.
#[test]
fn many_old_topics_that_are_given_up_slowly_do_not_outlast_the_watchdog() {
    // Together they take more than 90 s, after which a silent bridge sends no more signs of life.
    const OLD: usize = 27;
    const SLOW: Duration = Duration::from_millis(3500);
    let engine = Standin::with_samples();
    let bus = FakeBus::replying(
        &["stix2/", "threatbus/snapshotenvelope"],
        |request, usual| {
            let is_old = |topic: &Value| topic.as_str().is_some_and(|name| name.starts_with("old"));
            if request["action"] == "unsubscribe" && is_old(&request["topic"]) {
                thread::sleep(SLOW);
            }
            usual
        },
    );
    let bridge = Bridge::between(bus.endpoint(), &engine);
    let state = bridge.directory().join("state");
    fs::create_dir(&state).expect("a folder");
    let old: String = (0..OLD).map(|number| format!("old{number}\n")).collect();
    fs::write(state.join("topics"), old).expect("written");
    let path = bridge.directory().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    let next_notice = || {
        let mut bytes = [0; 1000];
        let length = socket
            .recv(&mut bytes)
            .expect("the manager is notified in time");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let started = Instant::now();
    let mut bridge = bridge
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "10000000")
        .args(["--state-dir", state.to_str().expect("UTF-8")])
        .run();
    // It is ready while they are given up.
    while !next_notice().starts_with("READY=1") {}
    while bus.requests_to("unsubscribe").len() < OLD {
        assert_eq!(next_notice(), "WATCHDOG=1\n");
    }
    assert!(started.elapsed() > Duration::from_secs(90));
    assert_eq!(next_notice(), "WATCHDOG=1\n");
    assert_eq!(
        bridge.count_logs("makes no progress any more"),
        0,
        "{}",
        bridge.log()
    );
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert_eq!(
        fs::read_to_string(state.join("topics")).expect("remembered"),
        ""
    );
}

//! Delivery: nothing is lost when a broker goes away, or when a bridge is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::{Ioc, indicator_id};
use crate::support::observed::Observed;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::Standin;
use crate::support::{Scratch, eventually};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// An engine with `count` requests to the same host.
fn engine_with(count: u64) -> Standin {
    let events: Vec<Value> = (0..count)
        .map(|n| {
            json!({"ts": "2024-03-05T10:00:00.000001", "uid": format!("U{n}"), "host": "many.example"})
        })
        .collect();
    Standin::holding(&[("zeek.http", &events)])
}

fn ordered_stop(bridge: &mut Observed) {
    bridge.signal(rustix::process::Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
}

/// The uid of the event that a sighting carries.
fn uid(kind: BrokerKind, sighting: &Value) -> String {
    let context = match kind {
        BrokerKind::Legacy => &sighting["context"],
        BrokerKind::Endpoints | BrokerKind::Ports => &sighting["x_threatbus_sighting_context"],
    };
    context["uid"].as_str().expect("the event's uid").to_owned()
}

/// How often each event was sighted.
fn counts(kind: BrokerKind, sightings: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for sighting in sightings {
        *counts.entry(uid(kind, sighting)).or_default() += 1;
    }
    counts
}

#[test]
fn confirmed_sightings_arrive_once_and_the_window_empties() {
    for kind in BrokerKind::ALL {
        let broker = Broker::start(kind);
        let engine = engine_with(300);
        let subscriber = Subscriber::sightings(&broker);
        let mut publisher = Publisher::connect(&broker);
        let mut bridge = Bridge::start(&broker, &engine, &["--confirm-delivery"]);
        bridge.wait_for_log("subscribed to", LIMIT);
        publisher.publish_indicator(1, Ioc::Domain("many.example"));
        let sightings = subscriber.collect_sightings(300, LIMIT);
        assert_eq!(sightings.len(), 300, "{kind:?}: {}", bridge.log());
        assert_eq!(counts(kind, &sightings).len(), 300);
        // It waits for the echoes, and ends well before the grace period does.
        ordered_stop(&mut bridge);
        assert_eq!(
            bridge.count_logs("could not be delivered"),
            0,
            "{}",
            bridge.log()
        );
        assert_eq!(bridge.count_logs("never confirmed"), 0, "{}", bridge.log());
    }
}

#[test]
fn sightings_wait_in_the_spool_while_the_broker_is_away_and_over_a_restart() {
    let kind = BrokerKind::Ports;
    let mut broker = Broker::start(kind);
    // More than ZeroMQ's own queue holds.
    let engine = engine_with(3000).with("faults", json!({"delay_seconds": 2}));
    let state = Scratch::new();
    let directory = state.path().join("state");
    let arguments = ["--state-dir", directory.to_str().expect("UTF-8")];
    let mut publisher = Publisher::connect(&broker);
    let mut bridge = Bridge::start(&broker, &engine, &arguments);
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain("many.example"));
    engine.wait_for_exports(1, LIMIT);
    broker.kill();
    bridge.wait_for_log("is lost", LIMIT);
    bridge.wait_for_log("3000 sighting(s)", LIMIT);
    ordered_stop(&mut bridge);
    assert!(
        bridge.log().contains("stay in the spool"),
        "{}",
        bridge.log()
    );
    broker.restart();
    let subscriber = Subscriber::sightings(&broker);
    let mut bridge = Bridge::start(&broker, &engine, &arguments);
    bridge.wait_for_log("wait in the spool", LIMIT);
    let sightings = subscriber.collect_sightings(1900, LIMIT);
    assert!(
        sightings.len() >= 1900,
        "{}: {}",
        sightings.len(),
        bridge.log()
    );
    let counts = counts(kind, &sightings);
    assert!(counts.values().all(|count| *count == 1));
    ordered_stop(&mut bridge);
}

#[test]
fn with_confirmation_a_killed_broker_loses_nothing() {
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let mut broker = Broker::start(kind);
        let engine = engine_with(3000);
        let mut publisher = Publisher::connect(&broker);
        let mut bridge = Bridge::start(&broker, &engine, &["--confirm-delivery"]);
        bridge.wait_for_log("subscribed to", LIMIT);
        let mut subscriber = Subscriber::sightings(&broker);
        publisher.publish_indicator(1, Ioc::Domain("many.example"));
        let mut sightings = subscriber.collect_sightings(200, LIMIT);
        broker.kill();
        // What has reached the subscriber counts, whether it was read or not.
        let arrived = subscriber.drain(Duration::from_millis(500));
        sightings.extend(arrived.into_iter().map(|(_, sighting)| sighting));
        broker.restart();
        assert!(subscriber.renew());
        let complete = eventually(LIMIT * 2, || {
            sightings.extend(subscriber.collect_sightings(500, Duration::from_millis(500)));
            counts(kind, &sightings).len() == 3000
        });
        assert!(
            complete,
            "{kind:?}: {} of 3000, {} in all",
            counts(kind, &sightings).len(),
            sightings.len()
        );
        ordered_stop(&mut bridge);
    }
}

#[test]
fn a_killed_bridge_queries_again_and_gives_up_its_old_topics() {
    let kind = BrokerKind::Ports;
    let broker = Broker::start(kind);
    let engine = engine_with(3).with("faults", json!({"delay_seconds": 60}));
    let state = Scratch::new();
    let directory = state.path().join("state");
    let arguments = ["--state-dir", directory.to_str().expect("UTF-8")];
    let mut publisher = Publisher::connect(&broker);
    let subscriber = Subscriber::sightings(&broker);
    let mut bridge = Bridge::start(&broker, &engine, &arguments);
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(7, Ioc::Domain("many.example"));
    engine.wait_for_exports(1, LIMIT);
    bridge.signal(rustix::process::Signal::KILL);
    bridge.wait(LIMIT);
    let topics = std::fs::read_to_string(directory.join("topics")).expect("remembered");
    // One is for indicators, the other for echoes.
    assert_eq!(topics.lines().count(), 2);
    let known = || -> Vec<Value> {
        let heartbeats = topics
            .lines()
            .map(|topic| json!({"action": "heartbeat", "topic": topic}));
        heartbeats
            .map(|heartbeat| broker.manage(&heartbeat, LIMIT).expect("an answer"))
            .map(|answer| answer["status"].clone())
            .collect()
    };
    assert_eq!(known(), ["success"; 2]);
    let engine = engine_with(3);
    let mut bridge = Bridge::start(&broker, &engine, &arguments);
    bridge.wait_for_log("of an earlier run were not finished", LIMIT);
    let sightings = subscriber.collect_sightings(3, LIMIT);
    assert_eq!(sightings.len(), 3, "{}", bridge.log());
    assert_eq!(sightings[0]["sighting_of_ref"], indicator_id(kind, 7));
    assert_eq!(known(), ["error"; 2]);
    ordered_stop(&mut bridge);
    let topics = std::fs::read_to_string(directory.join("topics")).expect("remembered");
    assert_eq!(topics, "");
    // A finished indicator is not queried a third time.
    let mut bridge = Bridge::start(&broker, &engine, &arguments);
    bridge.wait_for_log("subscribed to", LIMIT);
    assert_eq!(bridge.count_logs("of an earlier run"), 0);
    ordered_stop(&mut bridge);
}

#[test]
fn a_state_directory_serves_one_process() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = Standin::with_samples();
    let state = Scratch::new();
    let arguments = ["--state-dir", state.path().to_str().expect("UTF-8")];
    let mut first = Bridge::start(&broker, &engine, &arguments);
    first.wait_for_log("subscribed to", LIMIT);
    let mut second = Bridge::start(&broker, &engine, &arguments);
    assert_eq!(second.wait(LIMIT).code(), Some(75), "{}", second.log());
    assert!(
        second.log().contains("in use by another"),
        "{}",
        second.log()
    );
    ordered_stop(&mut first);
}

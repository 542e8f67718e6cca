//! A sequence of events gives the same instances of patterns of several events everywhere: in log
//! files in any order, in a real node of Tenzir and in VAST's stand-in at once, and live, event by
//! event.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::{stix_id, stix_indicator};
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::Standin;
use crate::support::tenzir::Node;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

/// All operators and qualifiers. Each pattern but the last has an instance below.
const PATTERNS: [&str; 8] = [
    "[domain-name:value = 'evil.example'] AND [ipv4-addr:value = '192.0.2.1']",
    "[domain-name:value = 'evil.example'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.1']",
    "([ipv4-addr:value = '192.0.2.1'] FOLLOWEDBY [domain-name:value = 'evil.example']) WITHIN 10 \
     SECONDS",
    "[ipv4-addr:value = '192.0.2.9'] REPEATS 3 TIMES WITHIN 20 SECONDS",
    "([domain-name:value = 'evil.example'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.9']) REPEATS 2 \
     TIMES",
    "[ipv4-addr:value = '192.0.2.9'] AND ([domain-name:value = 'evil.example'] OR \
     [ipv4-addr:value = '192.0.2.1']) WITHIN 3 SECONDS",
    "([ipv4-addr:value = '192.0.2.1'] AND [ipv4-addr:value = '192.0.2.9']) START \
     t'2024-03-05T09:00:20Z' STOP t'2024-03-05T09:01:00Z'",
    "[domain-name:value = 'evil.example'] REPEATS 5 TIMES",
];

/// The schema of an event, and the event.
type Stored = (&'static str, Value);

fn flow(number: usize, second: u32, address: &str) -> Stored {
    let event = json!({
        "timestamp": format!("2024-03-05T09:{:02}:{:02}.000000Z", second / 60, second % 60),
        "flow_id": number, "event_type": "flow", "src_ip": "10.0.0.1", "dest_ip": address,
    });
    ("suricata.flow", event)
}

fn question(number: usize, second: u32, name: &str) -> Stored {
    let event = json!({
        "timestamp": format!("2024-03-05T09:{:02}:{:02}.000000Z", second / 60, second % 60),
        "flow_id": number, "event_type": "dns", "src_ip": "10.0.0.1",
        "dns": {"type": "query", "rrname": name},
    });
    ("suricata.dns", event)
}

/// The sequence, in order of time; no two events happen at once.
fn sequence() -> Vec<Stored> {
    vec![
        flow(1, 1, "192.0.2.1"),
        flow(2, 2, "192.0.2.9"),
        question(3, 5, "evil.example"),
        flow(4, 6, "192.0.2.9"),
        question(5, 7, "good.example"),
        flow(6, 9, "192.0.2.9"),
        question(7, 14, "evil.example"),
        flow(8, 25, "192.0.2.1"),
        flow(9, 27, "192.0.2.9"),
        question(10, 40, "evil.example"),
        flow(11, 70, "192.0.2.9"),
        flow(12, 71, "192.0.2.1"),
    ]
}

/// An instance: its pattern's number, and its events by their numbers, in order of time.
type Instance = (usize, Vec<u64>);

fn instance(id: &Value, others: &Value, last: &Value) -> Instance {
    let is_it = |number: &usize| json!(stix_id(*number as u64)) == *id;
    let number = (0..PATTERNS.len()).find(is_it).expect("an id of these");
    let mut events: Vec<Value> = others.as_array().cloned().unwrap_or_default();
    events.push(last.clone());
    let numbers = events.iter().map(|event| event["flow_id"].as_u64());
    let numbers = numbers.collect::<Option<_>>();
    (number, numbers.expect("each has a number"))
}

/// The lines of `--output sighting`: the sensor, if a line names one, and the instance.
fn reported(bridge: Bridge) -> Vec<(String, Instance)> {
    let mut bridge = bridge.run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    let lines = bridge.rest(LIMIT);
    let mut reported: Vec<(String, Instance)> = lines
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let name = line["x_threatbus_source"].as_str().unwrap_or_default();
            let id = &line["indicator"]["id"];
            let instance = instance(id, &line["observations"], &line["context"]);
            (name.to_owned(), instance)
        })
        .collect();
    reported.sort();
    reported
}

/// The indicators of all patterns.
fn indicators() -> Vec<Value> {
    let numbered = (0..).zip(PATTERNS);
    numbered
        .map(|(number, pattern)| stix_indicator(number, pattern, None))
        .collect()
}

fn with_indicators() -> Bridge {
    let lines: String = indicators().iter().map(|one| format!("{one}\n")).collect();
    Bridge::bare().file("indicators", lines).args([
        "--indicators",
        "indicators",
        "--output",
        "sighting",
    ])
}

/// The instances in log files, each of which has the events with these numbers in this order.
fn in_files(files: &[&[usize]], more: &[&str]) -> Vec<Instance> {
    let events = sequence();
    let mut bridge = with_indicators().args(more);
    for (number, file) in files.iter().enumerate() {
        let lines: String = file
            .iter()
            .map(|at| format!("{}\n", events[*at].1))
            .collect();
        let name = format!("{number}.json");
        bridge = bridge.file(&name, lines).args(["--events", &name]);
    }
    let found = reported(bridge);
    found.into_iter().map(|(_, instance)| instance).collect()
}

fn of_schema(schema: &str) -> Vec<Value> {
    let events = sequence().into_iter();
    let of_it = events.filter(|(name, _)| *name == schema);
    of_it.map(|(_, event)| event).collect()
}

const SCHEMAS: [&str; 2] = ["suricata.dns", "suricata.flow"];

/// The bridge's arguments for both engines.
fn engines(bridge: Bridge, north: &Node, old: &Standin) -> Bridge {
    bridge
        .args(["-v", &format!("north=tenzir://{}", north.endpoint())])
        .args(["-v", &format!("old=vast://{}", old.endpoint())])
        .arg("--vast-binary")
        .arg(old.path())
        .arg("--tenzir-binary")
        .arg(Node::program())
}

/// Each of these instances, seen by each engine.
fn by_both(instances: &[Instance]) -> Vec<(String, Instance)> {
    let of = |name: &'static str| {
        let instances = instances.iter();
        instances.map(move |instance| (name.to_owned(), instance.clone()))
    };
    of("north").chain(of("old")).collect()
}

#[test]
fn files_in_any_order_and_two_engines_at_once_give_the_same_instances() {
    let expected = in_files(&[&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]], &[]);
    let patterns: BTreeSet<usize> = expected.iter().map(|(number, _)| *number).collect();
    assert_eq!(patterns, (0..PATTERNS.len() - 1).collect(), "{expected:?}");
    // Two of them, worked out by hand.
    let of = |number| expected.iter().filter(move |(of, _)| *of == number);
    assert_eq!(of(2).collect::<Vec<_>>(), [&(2, vec![1, 3])]);
    assert_eq!(of(3).collect::<Vec<_>>(), [&(3, vec![2, 4, 6])]);
    for files in [
        &[&[11, 3, 7, 0][..], &[9, 1, 10], &[2, 8, 6, 4, 5]],
        &[&[5, 4, 3, 2, 1, 0][..], &[11, 10, 9], &[8, 7, 6]],
    ] {
        assert_eq!(in_files(files, &[]), expected, "{files:?}");
    }
    let holding: Vec<_> = SCHEMAS.map(|schema| (schema, of_schema(schema))).into();
    let holding: Vec<(&str, &[Value])> = holding
        .iter()
        .map(|(schema, events)| (*schema, &**events))
        .collect();
    let old = Standin::holding(&holding);
    let mut north = Node::start();
    for schema in SCHEMAS {
        // In the wrong order of time.
        let mut events = of_schema(schema);
        events.reverse();
        north.import(schema, events);
    }
    let bridge = with_indicators().arg("--retro-match");
    assert_eq!(reported(engines(bridge, &north, &old)), by_both(&expected));
}

#[test]
fn events_that_come_one_by_one_give_the_same_instances() {
    let expected = in_files(&[&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]], &[]);
    let mut north = Node::start();
    let old = Standin::holding(&SCHEMAS.map(|schema| (schema, &[][..])));
    let broker = Broker::start(BrokerKind::Ports);
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let bridge = Bridge::bare()
        .args(["--live-match", "--live-engine", "continuous", "-l", "debug"])
        .args(["-t", &broker.endpoint()]);
    let bridge = engines(bridge, &north, &old).run();
    bridge.wait_for_log("subscribed to", LIMIT);
    bridge.wait_for_logs("matching new events", 2, LIMIT);
    for indicator in indicators() {
        publisher.send_indicator(&indicator);
    }
    bridge.wait_for_logs("is matched live", 2 * PATTERNS.len(), LIMIT);
    for (schema, event) in sequence() {
        let path = old.file("events").join(format!("{schema}.json"));
        let file = OpenOptions::new().append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(format!("{event}\n").as_bytes()));
        written.expect("a file of the test can be written");
        north.import(schema, vec![event]);
    }
    let expected = by_both(&expected);
    let sightings = subscriber.collect_sightings(expected.len(), LIMIT);
    let mut found: Vec<(String, Instance)> = sightings
        .iter()
        .map(|one| {
            let name = one["x_threatbus_source"].as_str().expect("a name");
            let (others, last) = (
                &one["x_threatbus_observations"],
                &one["x_threatbus_sighting_context"],
            );
            let instance = instance(&one["sighting_of_ref"], others, last);
            (name.to_owned(), instance)
        })
        .collect();
    found.sort();
    assert_eq!(found, expected, "{}", bridge.log());
    assert!(subscriber.drain(Duration::from_secs(3)).is_empty());
}

//! Live matching with a real Tenzir node: the bridge as it is built, real brokers, and a node that
//! is killed or frozen.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::bed::{context, indicator_of};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::eventually;
use crate::support::messages::{Ioc, removal};
use crate::support::observed::Observed;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::process::{Process, listeners};
use crate::support::tenzir::{Node, SAMPLES, key, samples};
use rustix::process::Signal;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

/// After this long without a sighting no more are expected: the node holds events
/// back for a second.
const QUIET: Duration = Duration::from_secs(3);

/// A broker with its apps, and a bridge that is up and matches live.
struct Bed {
    bridge: Observed,
    publisher: Publisher,
    subscriber: Subscriber,
    kind: BrokerKind,
    _broker: Broker,
}

impl Bed {
    fn start(kind: BrokerKind, node: &Node, arguments: &[&str]) -> Self {
        let broker = Broker::start(kind);
        let subscriber = Subscriber::sightings(&broker);
        let publisher = Publisher::connect(&broker);
        let bridge = Bridge::bare()
            .args(["--live-match", "-t", &broker.endpoint(), "-l", "debug"])
            .args(node.arguments())
            .args(arguments)
            .run();
        bridge.wait_for_log("subscribed to", LIMIT);
        bridge.wait_for_log("matching new events", LIMIT);
        Bed {
            bridge,
            publisher,
            subscriber,
            kind,
            _broker: broker,
        }
    }

    /// Publishes an indicator and waits until it is matched.
    fn publish(&mut self, n: u64, ioc: Ioc<'_>) -> String {
        let before = self.bridge.count_logs("is matched live");
        let id = self.publisher.publish_indicator(n, ioc);
        self.bridge
            .wait_for_logs("is matched live", before + 1, LIMIT);
        id
    }

    /// The next sightings, as indicator and number of the event, in order; fewer if no more come.
    fn sightings(&self, count: usize) -> Vec<(String, u64)> {
        let mut found: Vec<(String, u64)> = self
            .subscriber
            .collect_sightings(count, LIMIT)
            .iter()
            .map(|sighting| {
                let context = context(self.kind, sighting);
                let number = context["n"].as_u64();
                let number = number.unwrap_or_else(|| panic!("no event of the test: {context}"));
                (indicator_of(self.kind, sighting), number)
            })
            .collect();
        found.sort();
        found
    }

    fn expect(&self, expected: &[(&str, u64)]) {
        let mut expected: Vec<(String, u64)> = expected
            .iter()
            .map(|(id, number)| ((*id).to_owned(), *number))
            .collect();
        expected.sort();
        let found = self.sightings(expected.len());
        assert_eq!(found, expected, "{}", self.bridge.log());
    }

    fn expect_no_more(&self) {
        let more = self.subscriber.drain(QUIET);
        assert!(more.is_empty(), "{more:?}\n{}", self.bridge.log());
    }
}

/// Stores a request to this host.
fn import(node: &mut Node, n: u64, host: &str) {
    let event = json!({"n": n, "uid": format!("C{n}"), "query": host, "rejected": false});
    node.import("zeek.dns", vec![event]);
}

#[test]
fn an_indicator_is_matched_from_its_coming_to_its_going_on_both_generations_of_the_bus() {
    let mut node = Node::with_samples();
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let mut bed = Bed::start(kind, &node, &["--no-retro-match"]);
        let one = bed.publish(1, Ioc::Domain("a.example"));
        let other = bed.publish(2, Ioc::Domain("b.example"));
        import(&mut node, 1, "a.example");
        bed.expect(&[(&one, 1)]);
        let gone = removal(kind, 1, Ioc::Domain("a.example"));
        bed.publisher.send_indicator(&gone);
        bed.bridge
            .wait_for_log("is withdrawn and no longer matched", LIMIT);
        import(&mut node, 2, "a.example");
        import(&mut node, 3, "b.example");
        bed.expect(&[(&other, 3)]);
        bed.expect_no_more();
        bed.publish(1, Ioc::Domain("a.example"));
        import(&mut node, 4, "a.example");
        let sighting = bed.subscriber.collect_sightings(1, LIMIT).remove(0);
        assert_eq!(indicator_of(kind, &sighting), one);
        assert_eq!(context(kind, &sighting)["query"], "a.example");
        if kind == BrokerKind::Ports {
            assert_eq!(sighting["x_threatbus_match_type"], "LIVE");
        }
        // There was one child all the time.
        let started = bed.bridge.count_logs("matching new events");
        assert_eq!((started, bed.bridge.children().len()), (1, 1));
        bed.bridge.signal(Signal::TERM);
        assert!(bed.bridge.wait(LIMIT).success(), "{}", bed.bridge.log());
        assert!(bed.bridge.leaves_nothing(LIMIT));
        let log = bed.bridge.log();
        assert!(log.contains("sightings_live=3"), "{log}");
    }
}

#[test]
fn matches_are_those_of_each_indicator_alone_though_every_schema_is_new() {
    let mut node = Node::start();
    let kind = BrokerKind::Ports;
    let mut bed = Bed::start(
        kind,
        &node,
        &[
            "--no-retro-match",
            "--match",
            "exact",
            "--no-allow-defaults",
        ],
    );
    let mut published = Vec::new();
    for (n, ioc) in (1..).zip(SAMPLES) {
        published.push((bed.publish(n, ioc), ioc));
    }
    for (schema, events) in samples() {
        node.import(&schema, events);
    }
    let all = published
        .into_iter()
        .map(|(id, ioc)| (id, node.expected(ioc)));
    let expected: BTreeMap<_, _> = all.filter(|(_, events)| !events.is_empty()).collect();
    let count = expected.values().flat_map(BTreeMap::values).sum();
    let mut found: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for sighting in bed.subscriber.collect_sightings(count, LIMIT) {
        let events = found.entry(indicator_of(kind, &sighting)).or_default();
        *events.entry(key(&context(kind, &sighting))).or_default() += 1;
    }
    assert_eq!(found, expected, "{}", bed.bridge.log());
    bed.expect_no_more();
}

#[test]
fn a_field_counts_by_its_type_also_where_it_is_new() {
    let mut node = Node::start();
    let mut bed = Bed::start(
        BrokerKind::Ports,
        &node,
        &[
            "--no-retro-match",
            "--match",
            "exact",
            "--no-allow-defaults",
        ],
    );
    let address = bed.publish(1, Ioc::Ip("203.0.113.5"));
    let name = bed.publish(2, Ioc::Domain("evil.example"));
    let event = |n: u64, fields: Value| {
        let mut event = json!({"n": n});
        for (name, value) in fields.as_object().expect("fields") {
            event[name] = value.clone();
        }
        vec![event]
    };
    // An address, which Tenzir's reader makes of the text.
    node.import("corp.log", event(1, json!({"peer": "203.0.113.5"})));
    bed.expect(&[(&address, 1)]);
    // Another layout of the schema, with a field that is not known yet.
    node.import(
        "corp.log",
        event(2, json!({"proxy": {"name": "evil.example"}})),
    );
    bed.expect(&[(&name, 2)]);
    // A layout in which the field of addresses holds text.
    node.import("corp.log", event(3, json!({"peer": "evil.example"})));
    bed.expect(&[(&name, 3)]);
    // An event without a schema, and one with a text that looks like an address.
    node.run("from {n: 4, host: \"evil.example\"} | import");
    bed.expect(&[(&name, 4)]);
    node.run("from {n: 5, note: \"203.0.113.5\"} | import");
    // Lists are not searched, whatever their type.
    node.import(
        "suricata.dns",
        event(
            6,
            json!({"dns": {"grouped": {"A": ["203.0.113.5"], "CNAME": ["evil.example"]}}}),
        ),
    );
    node.run("from {n: 7, host: \"evil.example\"} | import");
    bed.expect(&[(&name, 7)]);
    bed.expect_no_more();
}

#[test]
fn what_is_stored_while_the_node_is_away_is_found_once_when_it_is_back() {
    let mut node = Node::with_samples();
    let mut bed = Bed::start(BrokerKind::Ports, &node, &["--no-retro-match"]);
    import(&mut node, 1, "a.example");
    let id = bed.publish(1, Ioc::Domain("a.example"));
    import(&mut node, 2, "a.example");
    bed.expect(&[(&id, 2)]);
    let child = bed.bridge.children();
    node.kill();
    let line = bed.bridge.wait_for_log("starting it again", LIMIT);
    assert!(line.contains("[WARN]"), "{line}");
    assert!(line.contains("the node went away"), "{line}");
    for child in child {
        assert!(eventually(LIMIT, || Process::read(child).is_none()));
    }
    // The bridge must not see the node back before the events are there.
    bed.bridge.signal(Signal::STOP);
    node.restart();
    // No event has a time of its own, so the time when it was stored counts.
    import(&mut node, 3, "a.example");
    import(&mut node, 4, "b.example");
    import(&mut node, 5, "a.example");
    bed.bridge.signal(Signal::CONT);
    let line = bed.bridge.wait_for_log("is back after", LIMIT);
    assert!(line.contains("[INFO]"), "{line}");
    bed.bridge.wait_for_log("searched the events", LIMIT);
    bed.expect(&[(&id, 3), (&id, 5)]);
    import(&mut node, 6, "a.example");
    bed.expect(&[(&id, 6)]);
    bed.expect_no_more();
    assert_eq!(bed.bridge.count_logs("starting it again"), 1);
}

#[test]
fn a_frozen_node_is_noticed_by_its_silence() {
    let mut node = Node::with_samples();
    let mut bed = Bed::start(BrokerKind::Ports, &node, &["--no-retro-match"]);
    let id = bed.publish(1, Ioc::Domain("a.example"));
    import(&mut node, 1, "a.example");
    bed.expect(&[(&id, 1)]);
    let child = bed.bridge.children();
    node.freeze();
    let line = bed.bridge.wait_for_log("starting it again", LIMIT);
    assert!(line.contains("no sign of life"), "{line}");
    for child in child {
        assert!(eventually(LIMIT, || Process::read(child).is_none()));
    }
    bed.bridge.signal(Signal::STOP);
    node.thaw();
    import(&mut node, 2, "a.example");
    bed.bridge.signal(Signal::CONT);
    bed.bridge.wait_for_log("is back after", LIMIT);
    bed.expect(&[(&id, 2)]);
    import(&mut node, 3, "a.example");
    bed.expect(&[(&id, 3)]);
    bed.expect_no_more();
}

#[test]
fn retro_and_live_matching_go_together() {
    let mut node = Node::with_samples();
    let mut bed = Bed::start(BrokerKind::Ports, &node, &["--retro-match"]);
    import(&mut node, 1, "a.example");
    let id = bed.publish(1, Ioc::Domain("a.example"));
    let kinds = |bed: &Bed| {
        let sighting = bed.subscriber.collect_sightings(1, LIMIT).remove(0);
        assert_eq!(indicator_of(bed.kind, &sighting), id);
        let number = context(bed.kind, &sighting)["n"].clone();
        (number, sighting["x_threatbus_match_type"].clone())
    };
    assert_eq!(kinds(&bed), (json!(1), json!("RETRO")));
    import(&mut node, 2, "a.example");
    assert_eq!(kinds(&bed), (json!(2), json!("LIVE")));
    bed.expect_no_more();
}

#[test]
fn the_child_listens_on_no_port() {
    let mut node = Node::start();
    let mut bed = Bed::start(BrokerKind::Ports, &node, &["--no-retro-match"]);
    let id = bed.publish(1, Ioc::Domain("a.example"));
    let children = bed.bridge.children();
    assert!(!children.is_empty());
    for n in 0..3 {
        assert_eq!(listeners(&children), 0);
        import(&mut node, n, "a.example");
        bed.expect(&[(&id, n)]);
    }
}

#[test]
fn a_way_that_tenzir_does_not_have_is_an_error() {
    let node = Node::start();
    let mut bridge = Bridge::bare()
        .args(["--live-match", "--live-engine", "start"])
        .args(node.arguments())
        .run();
    let line = bridge.wait_for_log("--live-engine continuous", LIMIT);
    assert!(line.contains("[ERROR]"), "{line}");
    assert_eq!(bridge.wait(LIMIT).code(), Some(2), "{}", bridge.log());
}

#[test]
fn a_check_looks_at_program_node_fields_and_live_matching() {
    let mut node = Node::start();
    let broker = Broker::start(BrokerKind::Ports);
    let check = |node: &Node, arguments: &[&str]| {
        let mut bridge = Bridge::bare()
            .args(["--live-match", "-t", &broker.endpoint(), "--check"])
            .args(node.arguments())
            .args(arguments)
            .run();
        let status = bridge.wait(LIMIT).code();
        (status, bridge.rest(LIMIT))
    };
    let line = |table: &[String], subject: &str| {
        let line = table.iter().find(|line| line.starts_with(subject));
        line.unwrap_or_else(|| panic!("no {subject}: {table:#?}"))
            .clone()
    };
    let (status, table) = check(&node, &[]);
    assert_eq!(status, Some(1), "{table:#?}");
    assert!(line(&table, "Tenzir fields").contains("warning"));
    import(&mut node, 1, "a.example");
    let (status, table) = check(&node, &[]);
    assert_eq!(status, Some(0), "{table:#?}");
    assert!(line(&table, "Tenzir program").contains("version 6.20.0"));
    assert!(line(&table, "Tenzir node").contains("of the same version"));
    assert!(line(&table, "Tenzir fields").contains("text in "));
    assert!(line(&table, "Tenzir live").contains("matched here"));
    let (status, table) = check(&node, &["--live-engine", "attach", "--matcher-name", "m"]);
    assert_eq!(status, Some(69), "{table:#?}");
    assert!(line(&table, "Tenzir live").contains("FAILED"));
    node.kill();
    let (status, table) = check(&node, &[]);
    assert_eq!(status, Some(69), "{table:#?}");
    assert!(line(&table, "Tenzir node").contains(node.endpoint()));
}

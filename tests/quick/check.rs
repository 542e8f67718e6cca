//! `--check`: a table of findings, and a status that tells the worst of them.

use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::scene::engine;
use crate::support::standin::Standin;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs it; returns the status and the lines of the table.
fn check(bridge: Bridge) -> (Option<i32>, Vec<String>) {
    let mut bridge = bridge.arg("--check").run();
    let status = bridge.wait(LIMIT).code();
    (status, bridge.rest(LIMIT))
}

fn line<'a>(table: &'a [String], subject: &str) -> &'a str {
    let found = table.iter().find(|line| line.starts_with(subject));
    found.unwrap_or_else(|| panic!("no {subject} in {table:#?}"))
}

#[test]
fn all_is_there_on_every_broker() {
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let broker = Broker::start(kind);
        let engine = Standin::with_samples();
        let (status, table) = check(Bridge::between(&broker.endpoint(), &engine));
        assert_eq!(status, Some(0), "{table:#?}");
        assert!(table.iter().all(|line| line.contains(" ok ")), "{table:#?}");
        let protocol = line(&table, "bus protocol");
        assert!(
            protocol.contains(&kind.protocol().to_string()),
            "{protocol}"
        );
        assert!(line(&table, "bus subscription").contains("subscribed and unsubscribed"));
        assert!(
            line(&table, "VAST program").contains("version 20"),
            "{table:#?}"
        );
        line(&table, "VAST node");
        line(&table, "VAST concepts");
        line(&table, "VAST matcher");
        line(&table, "configuration");
    }
}

#[test]
fn an_absent_bus_and_an_absent_engine_are_named_together() {
    let mut bridge = Bridge::bare()
        .args(["--retro-match", "-t", "127.0.0.1:1", "-v", "127.0.0.1:1"])
        .args(["-b", "false", "--check"])
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(69), "{}", bridge.log());
    let table = bridge.rest(LIMIT);
    assert!(line(&table, "VAST program").contains("FAILED"));
    assert!(line(&table, "bus ").contains("cannot reach Threat Bus at 127.0.0.1:1"));
}

#[test]
fn programs_and_files_that_are_missing_have_their_place_in_the_table() {
    let bridge = Bridge::bare().args([
        "--retro-match",
        "-t",
        "127.0.0.1:1",
        "-b",
        "no-such-vast",
        "--sink",
        "no-such-sink %ioc",
        "--transform-context",
        "cat",
        "--allow",
        "no-such-list",
    ]);
    let (status, table) = check(bridge);
    assert_eq!(status, Some(69), "{table:#?}");
    let program = line(&table, "VAST program");
    assert!(
        program.contains("FAILED") && program.contains("no-such-vast"),
        "{program}"
    );
    let sink = line(&table, "sink ");
    assert!(
        sink.contains("FAILED") && sink.contains("no-such-sink"),
        "{sink}"
    );
    assert!(
        line(&table, "transformation").contains(" ok "),
        "{table:#?}"
    );
    let allow = line(&table, "allow");
    assert!(
        allow.contains("FAILED") && allow.contains("no-such-list"),
        "{allow}"
    );
    let bridge = Bridge::bare().args(["--indicators", "no-list", "--events", "no-log"]);
    let (status, table) = check(bridge);
    assert_eq!(status, Some(69), "{table:#?}");
    for (subject, name) in [("indicators", "no-list"), ("events", "no-log")] {
        let found = line(&table, subject);
        assert!(found.contains("FAILED") && found.contains(name), "{found}");
    }
}

#[test]
fn a_protocol_that_the_broker_does_not_speak_is_a_failure() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    let bridge = Bridge::between(&broker.endpoint(), &engine).args(["--protocol", "legacy"]);
    let (status, table) = check(bridge);
    assert_eq!(status, Some(69), "{table:#?}");
    assert!(line(&table, "bus protocol").contains("the broker speaks stix2"));
}

#[test]
fn odd_settings_are_warnings_and_status_1() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    let bridge = Bridge::between(&broker.endpoint(), &engine).env("VAST_THREATBUS_SNAPSHOTS", "1");
    let (status, table) = check(bridge);
    assert_eq!(status, Some(1), "{table:#?}");
    assert!(
        table.iter().any(|line| line.contains("warning")),
        "{table:#?}"
    );
}

#[test]
fn files_are_checked_where_they_replace_servers() {
    let bridge = Bridge::bare()
        .file("iocs.txt", "a.example\n")
        .file("eve.json", "{\"ts\":1,\"id.orig_h\":\"192.0.2.1\"}\n")
        .args(["--indicators", "iocs.txt", "--events", "eve.json"]);
    let (status, table) = check(bridge);
    assert_eq!(status, Some(0), "{table:#?}");
    assert!(line(&table, "events").contains("eve.json: 33 bytes"));
    assert!(line(&table, "indicators").contains("iocs.txt: list of values, one a line: 1 usable"));
}

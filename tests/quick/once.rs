//! Runs that end by themselves: when everything is matched, or at the deadline.

use std::time::{Duration, Instant};

use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::{self, Ioc};
use crate::support::peer::{SnapshotServer, Subscriber};
use crate::support::standin::Standin;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

fn snapshot(kind: BrokerKind, values: &[Ioc<'_>]) -> Vec<serde_json::Value> {
    let numbered = values.iter().zip(1..);
    numbered
        .map(|(ioc, n)| messages::indicator(kind, n, *ioc))
        .collect()
}

#[test]
fn a_snapshot_is_matched_and_the_run_ends() {
    for kind in [BrokerKind::Legacy, BrokerKind::Ports] {
        let broker = Broker::start(kind);
        let engine = Standin::with_samples();
        let indicators = [Ioc::Domain("www.example.com"), Ioc::Ip("203.0.113.200")];
        let _app = SnapshotServer::start(&broker, snapshot(kind, &indicators));
        let sightings = Subscriber::sightings(&broker);
        let mut bridge = Bridge::between(&broker.endpoint(), &engine)
            .args(["--once", "--idle", "3", "--snapshot", "30", "--exit-code"])
            .run();
        assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
        assert!(!sightings.collect_sightings(1, LIMIT).is_empty());
        let log = bridge.log();
        assert_eq!(bridge.count_logs("summary: "), 1, "{log}");
        let summary = bridge.wait_for_log("summary: ", LIMIT);
        assert!(
            summary.contains("2 indicator(s) by kind: domain 1, ipv4 1"),
            "{summary}"
        );
        assert!(
            summary.contains("by state: matched against events 2;"),
            "{summary}"
        );
        assert!(summary.contains("0 failure(s)"), "{summary}");
        assert!(log.contains("unsubscribed"), "{log}");
    }
}

#[test]
fn the_end_waits_for_queries_that_run() {
    let broker = Broker::start(BrokerKind::Ports);
    // Twice as long as the time without indicators that ends the run.
    let engine = Standin::with_samples().with("faults", json!({"delay_seconds": 4.0}));
    let indicators = [Ioc::Domain("www.example.com")];
    let _app = SnapshotServer::start(&broker, snapshot(BrokerKind::Ports, &indicators));
    let mut bridge = Bridge::between(&broker.endpoint(), &engine)
        .args(["--once", "--idle", "2", "-s", "1", "--sink", "STDOUT"])
        .run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(!bridge.rest(LIMIT).is_empty(), "{}", bridge.log());
}

#[test]
fn no_match_is_status_3_with_the_option() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = Standin::with_samples();
    let indicators = [Ioc::Ip("203.0.113.200")];
    let _app = SnapshotServer::start(&broker, snapshot(BrokerKind::Ports, &indicators));
    for (arguments, status) in [(&["--exit-code"][..], 3), (&[], 0)] {
        let mut bridge = Bridge::between(&broker.endpoint(), &engine)
            .args(["--once", "--idle", "2", "-s", "1"])
            .args(arguments)
            .run();
        assert_eq!(bridge.wait(LIMIT).code(), Some(status), "{}", bridge.log());
        let summary = bridge.wait_for_log("summary: ", LIMIT);
        assert!(summary.contains("matched against events 1;"), "{summary}");
    }
}

#[test]
fn the_deadline_ends_what_takes_too_long() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = Standin::with_samples().with("faults", json!({"delay_seconds": 600.0}));
    let indicators = [Ioc::Ip("203.0.113.80"), Ioc::Domain("www.example.com")];
    let _app = SnapshotServer::start(&broker, snapshot(BrokerKind::Ports, &indicators));
    let started = Instant::now();
    let mut bridge = Bridge::between(&broker.endpoint(), &engine)
        .args(["--once", "--idle", "1", "-s", "1", "--deadline", "5"])
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
    assert!(started.elapsed() >= Duration::from_secs(5));
    let summary = bridge.wait_for_log("summary: ", LIMIT);
    assert!(
        summary.contains("unfinished 2;"),
        "{summary}\n{}",
        bridge.log()
    );
    assert!(bridge.children().is_empty());
}

#[test]
fn the_deadline_holds_before_the_bus_answers() {
    let engine = Standin::with_samples();
    let [port] = crate::support::broker::free_ports();
    let mut bridge = Bridge::between(&format!("127.0.0.1:{port}"), &engine)
        .args(["--once", "--connect-timeout", "0", "--deadline", "2"])
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
}

#[test]
fn files_are_searched_once_when_the_bus_is_quiet() {
    let kind = BrokerKind::Ports;
    let broker = Broker::start(kind);
    let indicators = [Ioc::Domain("a.example"), Ioc::Domain("b.example")];
    let _app = SnapshotServer::start(&broker, snapshot(kind, &indicators));
    let mut bridge = Bridge::bare()
        .file(
            "eve.json",
            "{\"host\": \"a.example\"}\n{\"host\": \"b.example\"}\n",
        )
        .args(["-t", &broker.endpoint(), "-s", "1", "--once", "--idle", "2"])
        .args(["--events", "eve.json", "--sink", "STDOUT"])
        .run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert_eq!(bridge.rest(LIMIT).len(), 2, "{}", bridge.log());
    assert_eq!(
        bridge.count_logs("searching 1 file(s) for 2 indicator(s)"),
        1
    );
    assert!(bridge.log().contains("unsubscribed"), "{}", bridge.log());
}

//! What a service manager and an operator get: notifications, a status on a
//! signal, logs for programs, metrics.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::fakebus::FakeBus;
use crate::support::scene::engine;
use rustix::process::Signal;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_unit_lets_the_bridge_end_its_children_and_reload() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/packaging/vast-threatbus.service"
    );
    let unit = fs::read_to_string(path).expect("the unit");
    for line in ["KillMode=mixed", "ExecReload=/bin/kill -HUP $MAINPID"] {
        assert_eq!(
            unit.lines().filter(|other| *other == line).count(),
            1,
            "{line}"
        );
    }
}

/// The next message that is not about the watchdog.
fn message(socket: &UnixDatagram) -> String {
    loop {
        let message = datagram(socket);
        if message != "WATCHDOG=1\n" {
            return message;
        }
    }
}

fn datagram(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 1000];
    let length = socket.recv(&mut bytes).expect("a datagram in time");
    String::from_utf8(bytes[..length].to_vec()).expect("UTF-8")
}

#[test]
fn a_service_manager_is_told_when_the_subscription_stands_and_at_the_end() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    let name = format!("vast-threatbus-service-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut bridge = Bridge::between(&broker.endpoint(), &engine)
        .env("NOTIFY_SOCKET", format!("@{name}"))
        .env("WATCHDOG_USEC", "200000")
        .run();
    let ready = message(&socket);
    assert_eq!(
        ready,
        format!("READY=1\nSTATUS=subscribed at {}\n", broker.endpoint())
    );
    assert!(broker.log().contains("stix2/indicator") || bridge.log().contains("subscribed to"));
    while datagram(&socket) != "WATCHDOG=1\n" {}
    bridge.signal(Signal::TERM);
    assert_eq!(message(&socket), "STOPPING=1\nSTATUS=stopping\n");
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
}

#[test]
fn nobody_is_told_ready_where_the_bus_is_away() {
    let engine = engine(&[]);
    let bridge = Bridge::between("127.0.0.1:1", &engine);
    let path = bridge.directory().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut bridge = bridge
        .env("NOTIFY_SOCKET", &path)
        .args(["--connect-timeout", "1"])
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(69), "{}", bridge.log());
    assert_eq!(message(&socket), "STOPPING=1\nSTATUS=stopping\n");
}

#[test]
fn sigusr1_shows_a_status_at_any_log_level_and_ends_nothing() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    let bridge = Bridge::between(&broker.endpoint(), &engine);
    let metrics = bridge.directory().join("x.prom");
    let mut bridge = bridge
        .arg("--metrics-prometheus")
        .arg(&metrics)
        .args(["-l", "info"])
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    for count in 1..=2 {
        bridge.signal(Signal::USR1);
        let lines = bridge.wait_for_logs("status: all counters", count, LIMIT);
        assert!(lines.len() >= count);
    }
    let line = bridge.wait_for_log("status: running for", LIMIT);
    assert!(line.contains("engine up; bus up"), "{line}");
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let text = fs::read_to_string(metrics).expect("it is written at the end");
    assert!(text.contains("\nvast_threatbus_engine_up 1\n"), "{text}");
    assert!(text.contains("\nvast_threatbus_bus_up 0\n"), "{text}");
}

#[test]
fn sigusr1_is_answered_where_only_errors_are_logged() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    let bridge = Bridge::between(&broker.endpoint(), &engine);
    let path = bridge.directory().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut bridge = bridge
        .env("NOTIFY_SOCKET", &path)
        .args(["-l", "error", "--log-format", "json"])
        .run();
    assert!(message(&socket).starts_with("READY=1\n"));
    bridge.signal(Signal::USR1);
    let line = bridge.wait_for_log("status: running for", LIMIT);
    let record: Value = serde_json::from_str(&line).expect("one JSON object a line");
    assert_eq!(record["level"], "INFO");
    assert_eq!(record["thread"], "signals");
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success());
}

#[test]
fn repeated_warnings_are_folded_and_counted_and_every_line_is_json() {
    // Five messages that are wrong in the same way: three are written, two counted.
    let mut bus = FakeBus::stix();
    let engine = engine(&[]);
    let mut bridge = Bridge::between(bus.endpoint(), &engine)
        .args(["--log-format", "json"])
        .run();
    for _ in 0..5 {
        bus.send(2, b"indicator {");
    }
    bus.send(2, b"intel null");
    bridge.wait_for_log("no legacy indicator", LIMIT);
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let mut messages = Vec::new();
    for line in bridge.log().lines() {
        let record: Value = serde_json::from_str(line).expect(line);
        messages.push(record["message"].as_str().expect("text").to_owned());
    }
    let about = |text: &str| messages.iter().filter(|m| m.contains(text)).count();
    let written = about("rejected a message from the bus: no STIX-2 indicator");
    assert_eq!(written, 4, "{messages:?}");
    let counted = about("2 more time(s): rejected a message from the bus");
    assert_eq!(counted, 1, "{messages:?}");
    assert_eq!(about("no legacy indicator"), 1, "{messages:?}");
}

//! For service managers and operators: notifications, a status on a signal, machine-readable logs.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use crate::support::Scratch;
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::fakebus::FakeBus;
use crate::support::paths::{self, repository};
use crate::support::scene::engine;
use rustix::process::Signal;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

const UNITS: [&str; 2] = ["vast-threatbus.service", "vast-threatbus@.service"];

fn packaged(name: &str) -> String {
    let path = repository().join("packaging").join(name);
    fs::read_to_string(path).expect(name)
}

#[test]
fn the_units_let_the_bridge_end_its_children_reload_and_write() {
    for (name, instance) in UNITS.into_iter().zip(["", "-%i"]) {
        let unit = packaged(name);
        for line in [
            "KillMode=mixed".to_owned(),
            "ExecReload=/bin/kill -HUP $MAINPID".to_owned(),
            format!("StateDirectory=vast-threatbus{instance}"),
            format!("LogsDirectory=vast-threatbus{instance}"),
            format!("RuntimeDirectory=vast-threatbus{instance}"),
            // The metrics are read by another user.
            "RuntimeDirectoryMode=0755".to_owned(),
        ] {
            let count = unit.lines().filter(|other| **other == line).count();
            assert_eq!(count, 1, "{name}: {line}");
        }
    }
}

#[test]
fn the_documents_name_the_directories_of_the_unit_and_cron_finds_the_program() {
    let path = repository().join("docs/operations.md");
    let text = fs::read_to_string(path).expect("the document");
    for place in ["/var/lib", "/var/log", "/run"] {
        assert!(
            text.contains(&format!("| `{place}/vast-threatbus` |")),
            "{place}"
        );
    }
    let (before, _) = text
        .split_once("\n0 3 * * * vast-threatbus ")
        .expect("the recipe");
    let line = before.lines().last().expect("a line before it");
    assert_eq!(line, "PATH=/usr/local/bin:/usr/bin:/bin");
}

#[test]
fn the_unit_for_several_bridges_differs_in_names_alone() {
    let [one, several] = UNITS.map(packaged);
    let made = one
        .replace("VAST\n", "VAST (%i)\n")
        .replace(
            "/etc/vast-threatbus/config.yaml",
            "/etc/vast-threatbus/%i.yaml",
        )
        .replace(
            "Directory=vast-threatbus\n",
            "Directory=vast-threatbus-%i\n",
        )
        .replace("%S/vast-threatbus\n", "%S/vast-threatbus-%i\n");
    let lines = |unit: &str| {
        let lines = unit.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&several), lines(&made));
}

#[test]
fn systemd_accepts_the_units_and_rates_them_as_well_confined() {
    if paths::installed("systemd-analyze").is_none() {
        return;
    }
    let scratch = Scratch::new();
    for (name, instance) in UNITS.into_iter().zip(["", "north"]) {
        let unit = packaged(name).replace("/usr/bin/vast-threatbus", "/bin/true");
        let unit: Vec<&str> = unit
            .lines()
            .filter(|line| !line.starts_with("Documentation="))
            .collect();
        let path = scratch.write(&name.replace('@', &format!("@{instance}")), unit.join("\n"));
        for arguments in [
            &["verify"][..],
            &["security", "--offline=yes", "--threshold=19"],
        ] {
            let output = Command::new("systemd-analyze")
                .args(arguments)
                .arg(&path)
                .output()
                .expect("it is installed");
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}, {arguments:?}: {text}");
        }
    }
}

#[test]
fn make_install_installs_both_units_for_its_own_program() {
    let scratch = Scratch::new();
    let release = scratch.path().join("target/release");
    fs::create_dir_all(&release).expect("a directory");
    fs::write(release.join("vast-threatbus"), "").expect("a file");
    let root = scratch.path().join("root");
    let output = Command::new("make")
        .arg("install")
        .arg(format!("DESTDIR={}", root.display()))
        .env("CARGO_TARGET_DIR", scratch.path().join("target"))
        .current_dir(repository())
        .output()
        .expect("make");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    for name in UNITS {
        let unit = root.join("usr/local/lib/systemd/system").join(name);
        let unit = fs::read_to_string(unit).expect(name);
        assert!(unit.contains("\nExecStart=/usr/local/bin/vast-threatbus --config /etc/"));
    }
    assert!(root.join("usr/local/bin/vast-threatbus").exists());
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
fn a_service_manager_is_notified_of_the_subscription_and_of_the_end() {
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
fn no_service_is_ready_while_the_bus_is_away() {
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
    let mut bridge = bridge.args(["-l", "info"]).run();
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

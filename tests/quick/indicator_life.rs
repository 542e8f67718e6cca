//! The life of an indicator under obstacles: an engine that is away, a slow command, a bus
//! that accepts nothing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::Scratch;
use crate::support::bridge::Bridge;
use crate::support::broker::BrokerKind;
use crate::support::fakebus::FakeBus;
use crate::support::messages;
use crate::support::observed::Reader;
use crate::support::process;
use crate::support::scene::{LIMIT, Scene, engine, request_now, uids};
use crate::support::standin::{Down, Standin};
use rustix::process::Signal;
use serde_json::json;

/// An engine with a matcher that live matching attaches to, or one whose new events it reads.
fn live_engine(attached: bool) -> Standin {
    let standin = Standin::holding(&[("zeek.http", &[])]);
    if !attached {
        return standin;
    }
    let state = standin.file("state");
    standin
        .with("version", json!("2021.08.26"))
        .with("matcher", json!("attach"))
        .with("matchers", json!(["threatbus"]))
        .with("state", json!(state))
}

const LIVE: [&str; 4] = [
    "--no-retro-match",
    "--live-match",
    "--matcher-name",
    "threatbus",
];

#[test]
fn an_end_does_not_wait_for_a_matcher_that_is_away() {
    let engine = live_engine(true);
    let mut bus = FakeBus::stix();
    let mut bridge = Bridge::between(bus.endpoint(), &engine)
        .args(LIVE)
        .args(["-l", "info"])
        .run();
    bridge.wait_for_log("matching new events", LIMIT);
    bridge.wait_for_log("subscribed to", LIMIT);
    engine.down(Down::Killed);
    bridge.wait_for_log("starting it again", LIMIT);
    // More than the threads that update the matcher can hold.
    const COUNT: u64 = 70_000;
    for n in 0..COUNT {
        let pattern = format!("[domain-name:value = '{n}.example']");
        let text = messages::stix_indicator(n, &pattern, None).to_string();
        bus.send(2, format!("indicator {text}").as_bytes());
    }
    bridge.wait_for_log("the matcher cannot be updated", LIMIT);
    bridge.wait_for_counter("messages_received", COUNT, LIMIT);
    bridge.signal(Signal::TERM);
    let status = bridge.wait(Duration::from_secs(10));
    let log = bridge.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("the matcher was not sent"), "{log}");
}

/// Adds one request to this host to the stand-in's events, as a sensor would, at the present time.
fn import(scene: &Scene, host: &str, n: usize) {
    let event = request_now(host, n);
    let path = scene.engine.file("events").join("zeek.http.json");
    append(&path, &format!("{event}\n"));
}

fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.expect("a file of the test can be written");
}

#[test]
fn the_events_of_a_gap_are_queried_until_there_is_an_answer() {
    let engine = live_engine(false);
    let away = engine.file("away");
    // One query finds the node away, while the continuous query stays up.
    let script = format!(
        "#!/bin/sh\n\
         case \" $* \" in\n\
         *\" --continuous \"*) ;;\n\
         *\" export \"*) if rm {away} 2>/dev/null; then\n\
         echo '!! cannot_connect_to_node: \"ip_connect failed\"' >&2; exit 1\n\
         fi;;\n\
         esac\n\
         exec {vast} \"$@\"\n",
        away = away.display(),
        vast = engine.path().display(),
    );
    let program = engine.file("sometimes");
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
    let program = program.to_str().expect("UTF-8").to_owned();
    let arguments = [&LIVE[..], &["-b", &program]].concat();
    let mut scene = Scene::with(BrokerKind::Ports, engine, &arguments, Reader::Patient);
    scene.bridge.wait_for_log("matching new events", LIMIT);
    scene.publish(1, "a.example");
    scene.bridge.wait_for_log("is matched live", LIMIT);
    fs::write(&away, "").expect("written");
    let calls = scene.engine.calls();
    let child = calls.iter().find(|call| call.is("--continuous"));
    process::kill(u32::try_from(child.expect("it runs").pid).expect("a process id"));
    scene.bridge.wait_for_log("starting it again", LIMIT);
    import(&scene, "a.example", 1);
    let line = scene.bridge.wait_for_log("cannot be queried now", LIMIT);
    assert!(line.contains("[WARN]"), "{line}");
    assert_eq!(uids(&scene.contexts(1)), ["C1"], "{}", scene.bridge.log());
    scene.end();
}

#[test]
fn one_slow_transformation_does_not_stop_the_other_files() {
    let bridge = Bridge::bare().file("slow.json", "").file("quick.json", "");
    let folder = bridge.directory().to_owned();
    let mut bus = FakeBus::stix();
    let transform = "sh -c 'read -r e; case \"$e\" in *slow*) sleep 8;; esac; echo \"$e\"'";
    let mut bridge = bridge
        .args(["-t", bus.endpoint(), "--follow", "--sink", "STDOUT"])
        .args(["--events", "slow.json", "quick.json", "-T", transform])
        .args(["-l", "debug"])
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    bridge.wait_for_logs("following", 2, LIMIT);
    let mut send = |n: u64, host: &str| {
        let pattern = format!("[domain-name:value = '{host}']");
        let text = messages::stix_indicator(n, &pattern, None).to_string();
        bus.send(2, format!("indicator {text}").as_bytes());
    };
    send(1, "a.example");
    std::thread::sleep(Duration::from_millis(500));
    append(
        &folder.join("slow.json"),
        "{\"host\": \"a.example\", \"x\": \"slow\"}\n",
    );
    std::thread::sleep(Duration::from_millis(700));
    let started = Instant::now();
    // The list grows while the command runs.
    send(2, "b.example");
    std::thread::sleep(Duration::from_millis(300));
    append(&folder.join("quick.json"), "{\"host\": \"b.example\"}\n");
    let line = bridge
        .line(LIMIT)
        .unwrap_or_else(|| panic!("{}", bridge.log()));
    assert!(line.contains("b.example"), "{line}");
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success());
}

#[test]
fn a_run_that_ends_leaves_what_the_bus_does_not_accept_on_disk() {
    let scratch = Scratch::new();
    let state = scratch.path().join("state");
    let state = state.to_str().expect("UTF-8");
    let engine = engine(&[("a.example", 3)]);
    // It does not listen to the topic of sightings.
    let mut bus = FakeBus::start(&["threatbus/snapshotenvelope"]);
    let arguments = [
        "--once",
        "--idle",
        "2",
        "--state-dir",
        state,
        "--protocol",
        "stix2",
        // This bus sends no echoes.
        "--no-confirm-delivery",
    ];
    let mut bridge = Bridge::between(bus.endpoint(), &engine)
        .args(arguments)
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    let text = messages::stix_indicator(1, "[domain-name:value = 'a.example']", None).to_string();
    bus.send(2, format!("indicator {text}").as_bytes());
    // The sightings are safe, but another run has to deliver them.
    assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
    let log = bridge.log();
    assert!(log.contains("stay in the spool for the next run"), "{log}");
    // The next run sends them.
    let bus = FakeBus::stix();
    let mut bridge = Bridge::between(bus.endpoint(), &engine)
        .args(arguments)
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    for _ in 0..3 {
        let frame = bus
            .receive(LIMIT)
            .unwrap_or_else(|| panic!("{}", bridge.log()));
        assert!(frame.starts_with(b"stix2/sighting"));
    }
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
}

//! How the program ends, and what it leaves behind: nothing.

use std::time::{Duration, Instant};

use crate::support::Scratch;
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::eventually;
use crate::support::messages::Ioc;
use crate::support::observed::Reader;
use crate::support::peer::Publisher;
use crate::support::scene::{LIMIT, Scene, engine, uids};
use crate::support::standin::Down;
use rustix::process::Signal;
use serde_json::json;

/// A signal that comes this long after the first one is a second one.
const NOT_THE_SAME: Duration = Duration::from_millis(1100);

#[test]
fn each_signal_lets_running_queries_finish() {
    for signal in [Signal::TERM, Signal::INT] {
        let engine =
            engine(&[("a.example", 4)]).with("faults", json!({"delay_per_line_seconds": 0.3}));
        let mut scene = Scene::start(engine, &[]);
        scene.publish(1, "a.example");
        let mut contexts = scene.contexts(1);
        scene.bridge.signal(signal);
        let status = scene.bridge.wait(LIMIT);
        let log = scene.bridge.log();
        assert_eq!(status.code(), Some(0), "{log}");
        contexts.extend(scene.contexts(3));
        assert_eq!(uids(&contexts), ["C0", "C1", "C2", "C3"], "{log}");
        assert!(log.contains("[INFO] unsubscribed"), "{log}");
        assert!(log.contains("sightings_sent=4"), "{log}");
        assert!(scene.bridge.leaves_nothing(LIMIT));
    }
}

#[test]
fn a_query_that_does_not_finish_is_ended_and_what_it_found_is_reported() {
    let engine = engine(&[("a.example", 2)]).with(
        "faults",
        json!({"hang_on": ["a.example"], "ignore_sigterm": true}),
    );
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    scene.engine.wait_for_exports(1, LIMIT);
    scene.bridge.signal(Signal::TERM);
    assert_eq!(scene.bridge.wait(LIMIT).code(), Some(0));
    assert_eq!(scene.contexts(2).len(), 2);
    let line = scene.bridge.wait_for_log("were not finished", LIMIT);
    assert!(
        line.contains("[WARN]") && line.contains("1 indicator(s)"),
        "{line}"
    );
    assert!(scene.bridge.leaves_nothing(LIMIT));
}

#[test]
fn a_second_signal_ends_at_once() {
    let engine = engine(&[("a.example", 2)]).with("faults", json!({"hang_on": ["a.example"]}));
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    assert_eq!(scene.contexts(2).len(), 2);
    let started = Instant::now();
    scene.bridge.signal(Signal::TERM);
    scene.bridge.wait_for_log("stopping", LIMIT);
    assert!(scene.bridge.is_running());
    std::thread::sleep(NOT_THE_SAME);
    scene.bridge.signal(Signal::INT);
    assert_eq!(scene.bridge.wait(LIMIT).code(), Some(0));
    // After the first one alone it would have had 5 s.
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(scene.bridge.log().contains("[INFO] unsubscribed"));
    assert!(scene.bridge.leaves_nothing(LIMIT));
}

#[test]
fn a_second_signal_does_not_wait_for_a_stuck_reader() {
    let engine = engine(&[("a.example", 100)]).with("faults", json!({"flood": "lines"}));
    let arguments = ["--sink=STDOUT", "-l", "info"];
    let mut scene = Scene::with(BrokerKind::Ports, engine, &arguments, Reader::Stuck);
    scene.publish(1, "a.example");
    scene.engine.wait_for_exports(1, LIMIT);
    let started = Instant::now();
    scene.bridge.signal(Signal::TERM);
    scene.bridge.wait_for_log("stopping", LIMIT);
    std::thread::sleep(NOT_THE_SAME);
    scene.bridge.signal(Signal::TERM);
    assert_eq!(scene.bridge.wait(LIMIT).code(), Some(0));
    // After the first one alone it would have had 5 s, and the writer even more.
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(scene.bridge.leaves_nothing(LIMIT));
}

#[test]
fn a_killed_bridge_takes_its_queries_with_it() {
    let engine = engine(&[("a.example", 2)]).with(
        "faults",
        json!({"hang_on": ["a.example"], "ignore_sigterm": true}),
    );
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    assert_eq!(scene.contexts(2).len(), 2);
    // The child is there before, so that its absence proves something.
    assert_eq!(scene.bridge.offspring().len(), 1);
    scene.bridge.signal(Signal::KILL);
    scene.bridge.wait(LIMIT);
    assert!(
        scene.bridge.leaves_nothing(LIMIT),
        "{:?}",
        scene.bridge.offspring()
    );
}

#[test]
fn a_killed_bridge_takes_transformations_and_sink_commands_with_it() {
    for option in ["--transform-context", "--sink"] {
        let mut scene = Scene::start(engine(&[("a.example", 1)]), &[option, "sleep 600"]);
        scene.publish(1, "a.example");
        let bridge = &mut scene.bridge;
        assert!(eventually(LIMIT, || bridge.offspring().iter().any(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line == b"sleep\x00600\x00")
        })));
        bridge.signal(Signal::KILL);
        bridge.wait(LIMIT);
        assert!(bridge.leaves_nothing(LIMIT), "{option}");
    }
}

#[test]
fn commands_that_hang_do_not_outlive_the_grace_period() {
    for option in ["--transform-context", "--sink"] {
        let mut scene = Scene::start(engine(&[("a.example", 3)]), &[option, "sleep 600"]);
        scene.publish(1, "a.example");
        let bridge = &mut scene.bridge;
        assert!(eventually(LIMIT, || !bridge.offspring().is_empty()));
        bridge.signal(Signal::TERM);
        assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
        assert!(bridge.leaves_nothing(LIMIT), "{option}");
        if option == "--transform-context" {
            // The query had ended, so its sightings are sent unchanged.
            assert_eq!(scene.contexts(3).len(), 3);
        }
    }
}

#[test]
fn a_signal_while_the_engine_is_waited_for_ends_with_0() {
    let broker = Broker::start(BrokerKind::Ports);
    for down in [Down::Killed, Down::Frozen] {
        let engine = engine(&[]);
        engine.down(down);
        let mut bridge = Bridge::start(&broker, &engine, &["--connect-timeout=0"]);
        assert!(eventually(LIMIT, || engine
            .calls()
            .iter()
            .any(|call| call.is("status"))));
        bridge.signal(Signal::TERM);
        assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
        assert!(bridge.leaves_nothing(LIMIT));
    }
}

#[test]
fn a_signal_while_the_engine_is_away_ends_with_0_and_says_what_was_not_queried() {
    let mut scene = Scene::start(engine(&[("a.example", 1)]), &[]);
    scene.engine.down(Down::Killed);
    scene.publish(1, "a.example");
    scene.bridge.wait_for_log("is away", LIMIT);
    let counters = scene.end();
    assert!(counters.contains("indicators_dropped=1"), "{counters}");
    assert!(scene.bridge.log().contains("1 indicator(s)"));
}

#[test]
fn no_zombie_stays_while_the_bridge_runs() {
    let mut scene = Scene::start(engine(&[("a.example", 3)]), &["--transform-context", "cat"]);
    scene.publish(1, "a.example");
    assert_eq!(scene.contexts(3).len(), 3);
    scene.wait_for_answers(1);
    assert_eq!(scene.bridge.zombies(), [0; 0]);
    assert_eq!(scene.bridge.children(), [0; 0]);
}

#[test]
fn a_child_that_leaves_a_process_behind_delays_nothing() {
    let scratch = Scratch::new();
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[("a.example", 1)]);
    let mut publisher = Publisher::connect(&broker);
    let file = scratch.path().join("out");
    let sink = format!("sh -c 'cat > {}; sleep 600 &'", file.display());
    let mut bridge = Bridge::start(&broker, &engine, &["--sink", &sink]);
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain("a.example"));
    assert!(eventually(LIMIT, || file.exists()));
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(0));
    assert!(
        bridge.log().contains("sightings_sent=1"),
        "{}",
        bridge.log()
    );
}

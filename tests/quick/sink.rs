//! Sinks: standard output and commands instead of the bus.

use std::path::Path;
use std::time::Duration;

use crate::support::Scratch;
use crate::support::bridge::program;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::eventually;
use crate::support::messages::Ioc;
use crate::support::observed::{Observed, Reader};
use crate::support::paths;
use crate::support::peer::Publisher;
use crate::support::scene::{LIMIT, Scene, engine, request, uids};
use crate::support::standin::Standin;
use rustix::process::Signal;
use serde_json::{Value, json};

fn parsed(lines: &[String]) -> Vec<Value> {
    lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("a line is one JSON value"))
        .collect()
}

/// Whether nothing has reached the bus: the first thing that a subscriber sees is what another app
/// publishes here.
fn bus_is_silent(scene: &mut Scene) -> bool {
    let sighting =
        crate::support::messages::sighting(scene.broker.kind(), 99, &json!({"own": true}));
    let topic = scene.broker.kind().sighting_topic();
    scene.publisher.send(topic, &sighting);
    scene.contexts(1) == [json!({"own": true})]
}

#[test]
fn standard_output_gets_one_compact_context_a_line_and_the_bus_nothing() {
    for name in ["STDOUT", "stdout", "StdOut"] {
        let mut scene = Scene::start(engine(&[("a.example", 3)]), &["--sink", name]);
        scene.publish(1, "a.example");
        // They are visible while the bridge still runs.
        let contexts = parsed(&scene.bridge.lines(3, LIMIT));
        let expected: Vec<Value> = (0..3).map(|n| request("a.example", n)).collect();
        assert_eq!(contexts, expected);
        assert!(bus_is_silent(&mut scene));
        assert!(scene.end().contains("sightings_sent=3"));
        assert_eq!(scene.bridge.rest(LIMIT), [""; 0]);
    }
}

#[test]
fn a_legacy_context_on_standard_output_is_the_event_too() {
    let mut scene = Scene::with(
        BrokerKind::Legacy,
        engine(&[("a.example", 1)]),
        &["--sink=STDOUT"],
        Reader::Patient,
    );
    scene.publish(1, "a.example");
    let contexts = parsed(&scene.bridge.lines(1, LIMIT));
    assert_eq!(contexts, [request("a.example", 0)]);
}

#[test]
fn a_first_line_does_not_wait_for_the_second() {
    let engine = engine(&[("a.example", 2)]).with("faults", json!({"delay_per_line_seconds": 1.5}));
    let mut scene = Scene::start(engine, &["--sink=STDOUT"]);
    scene.publish(1, "a.example");
    assert_eq!(scene.bridge.lines(1, LIMIT).len(), 1);
    assert_eq!(scene.engine.exports()[0].end, None, "the query is over");
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine =
        engine(&[("a.example", 500)]).with("faults", json!({"delay_per_line_seconds": 0.01}));
    let mut publisher = Publisher::connect(&broker);
    let mut bridge = crate::support::bridge::Bridge::between(&broker.endpoint(), &engine)
        .args(["--sink=STDOUT", "-l", "info"])
        .reader(Reader::GoneAfter(1))
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain("a.example"));
    assert_eq!(bridge.lines(1, LIMIT).len(), 1);
    let status = bridge.wait(LIMIT);
    let log = bridge.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("[ERROR]") && !log.contains("[WARN]"), "{log}");
    assert!(log.contains("[INFO] unsubscribed"), "{log}");
    assert!(bridge.leaves_nothing(LIMIT));
}

#[test]
fn a_full_disk_is_an_error() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[("a.example", 1)]);
    let mut publisher = Publisher::connect(&broker);
    let scratch = Scratch::new();
    let mut shell = paths::clean_command("sh", scratch.path());
    shell.args(["-c", "exec \"$@\" > /dev/full", "sh"]);
    shell.arg(program());
    shell.args([
        "--retro-match",
        "--sink=STDOUT",
        "-v",
        engine.endpoint(),
        "-b",
    ]);
    shell.arg(engine.path()).args(["-t", &broker.endpoint()]);
    let mut bridge = Observed::start(shell, scratch, Reader::Patient);
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain("a.example"));
    let status = bridge.wait(LIMIT);
    let log = bridge.log();
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(log.contains("standard output cannot be written"), "{log}");
    assert!(
        log.contains("1 sighting(s) could not be delivered"),
        "{log}"
    );
}

#[test]
fn a_pipe_that_nobody_reads_delays_the_engine_and_not_the_end() {
    let engine = engine(&[("a.example", 100)]).with("faults", json!({"flood": "lines"}));
    let mut scene = Scene::with(
        BrokerKind::Ports,
        engine,
        &["--sink=STDOUT", "-l", "info"],
        Reader::Stuck,
    );
    scene.publish(1, "a.example");
    scene.engine.wait_for_exports(1, LIMIT);
    // Everything is full when the engine makes no more progress.
    let cpu = || {
        let child = scene.bridge.children().first().copied();
        child.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok())
    };
    let mut last = cpu();
    assert!(eventually(LIMIT, || {
        std::thread::sleep(Duration::from_millis(300));
        let now = cpu();
        let same = now == last && now.is_some();
        last = now;
        same
    }));
    let peak = scene.bridge.peak_resident();
    assert!(peak < 64 << 20, "{peak}");
    scene.bridge.signal(Signal::TERM);
    let status = scene.bridge.wait(LIMIT);
    assert_eq!(status.code(), Some(0), "{}", scene.bridge.log());
    assert!(scene.bridge.log().contains("could not be delivered"));
    assert!(scene.bridge.log().contains("[INFO] unsubscribed"));
    assert!(scene.bridge.leaves_nothing(LIMIT));
}

/// The files that a sink command has made in this directory.
fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("a directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[test]
fn a_command_gets_each_context_on_its_input_and_the_bus_nothing() {
    let out = Scratch::new();
    // Each run writes a file named by the shell's process id, and moves it here when it is whole.
    let command = format!(
        "sh -c 'cd {}; cat > .$$; mv .$$ \"$1-$2-$$\"' sh %matchtype x%ioc",
        out.path().display()
    );
    let mut scene = Scene::start(engine(&[("a.example", 3)]), &["--sink", &command]);
    scene.publish(1, "a.example");
    assert!(eventually(LIMIT, || files(out.path()).len() == 3));
    let names = files(out.path());
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("RETRO-xa.example-"))
    );
    let contexts: Vec<Value> = names
        .iter()
        .map(|name| {
            let text = std::fs::read_to_string(out.path().join(name)).expect("a file");
            serde_json::from_str(&text).expect("JSON")
        })
        .collect();
    assert_eq!(uids(&contexts), ["C0", "C1", "C2"]);
    assert!(bus_is_silent(&mut scene));
    assert!(scene.end().contains("sightings_sent=3"));
    assert_eq!(scene.bridge.rest(LIMIT), [""; 0]);
}

#[test]
fn a_command_gets_what_the_transformation_made() {
    let out = Scratch::new();
    let file = out.path().join("got");
    let sink = format!("sh -c 'cat >> {}'", file.display());
    let transform = r#"echo '{"new": 1}'"#;
    let arguments = ["--sink", &sink, "--transform-context", transform];
    let mut scene = Scene::start(engine(&[("a.example", 1)]), &arguments);
    scene.publish(1, "a.example");
    assert!(eventually(LIMIT, || std::fs::read_to_string(&file)
        .is_ok_and(|text| text == "{\"new\":1}\n")));
    assert!(scene.end().contains("sightings_sent=1"));
}

#[test]
fn unflatten_makes_objects_of_keys_with_dots() {
    let event = json!({"ts": "2024-03-05T09:00:00", "id.resp_h": "203.0.113.5", "a": 1, "a.b": 2});
    let engine = Standin::holding(&[("zeek.conn", &[event])]);
    let mut scene = Scene::start(engine, &["-S", "STDOUT", "--unflatten"]);
    scene.publisher.publish_indicator(1, Ioc::Ip("203.0.113.5"));
    let expected = json!({
        "ts": "2024-03-05T09:00:00", "id": {"resp_h": "203.0.113.5"}, "a": 1, "a.b": 2,
    });
    assert_eq!(parsed(&scene.bridge.lines(1, LIMIT)), [expected]);
}

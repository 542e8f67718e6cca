//! Several engines in one run: which are queried, which are waited for, and what is logged about
//! each.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::{Ioc, stix_indicator};
use crate::support::observed::Observed;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::scene::{engine, request};
use crate::support::standin::{Down, Standin, program_for};
use crate::support::{Scratch, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// Two engines, called `one` and `two`, with one request to `a.example` each.
struct Two {
    one: Standin,
    two: Standin,
    program: PathBuf,
    _scratch: Scratch,
}

impl Two {
    fn new() -> Self {
        let (one, two) = (engine(&[("a.example", 1)]), engine(&[("a.example", 1)]));
        let scratch = Scratch::new();
        let program = program_for(scratch.path(), &[&one, &two]);
        Two {
            one,
            two,
            program,
            _scratch: scratch,
        }
    }

    /// The bridge over both.
    fn bridge(&self, arguments: &[&str]) -> Bridge {
        Bridge::bare()
            .args(["-v", &format!("one=vast://{}", self.one.endpoint())])
            .args(["-v", &format!("two={}", self.two.endpoint())])
            .arg("-b")
            .arg(&self.program)
            .args(["--retro-match", "-l", "debug"])
            .args(arguments)
    }

    /// The bridge over both, for one indicator in a file.
    fn once(&self, arguments: &[&str]) -> Bridge {
        let pattern = Ioc::Domain("a.example").pattern();
        self.bridge(&["--output", "sighting", "--indicators", "iocs"])
            .file("iocs", stix_indicator(1, &pattern, None).to_string() + "\n")
            .args(arguments)
    }
}

/// The sensors that the lines of standard output name.
fn seen_by(lines: &[String]) -> Vec<String> {
    let sightings = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let names = sightings.map(|one| {
        assert_eq!(one["context"], request("a.example", 0));
        one["x_threatbus_source"]
            .as_str()
            .expect("a name")
            .to_owned()
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn ended(mut bridge: Observed) -> (Option<i32>, Vec<String>, String) {
    let status = bridge.wait(LIMIT).code();
    (status, bridge.rest(LIMIT), bridge.log())
}

#[test]
fn a_run_that_ends_searches_all_of_them_and_log_files_and_says_what_each_found() {
    let two = Two::new();
    let event = request("a.example", 0);
    let bridge = two
        .once(&["--events", "http.log", "--summary-file", "summary.json"])
        .file("http.log", format!("{event}\n"));
    let summary = bridge.directory().join("summary.json");
    let mut bridge = bridge.run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    let summary = std::fs::read(summary).expect("a summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(
        summary["indicators"][0]["engines"],
        json!({"files": 1, "one": 1, "two": 1})
    );
    let (_, lines, log) = ended(bridge);
    assert_eq!(seen_by(&lines), ["files", "one", "two"]);
    for name in ["one", "two", "files"] {
        let line =
            format!("{name}: 1 indicator(s) queried, 1 sighting(s) found, 0 indicator(s) left");
        assert!(log.contains(&line), "{log}");
    }
}

#[test]
fn a_run_that_ends_gives_up_an_engine_that_does_not_answer_and_is_not_complete() {
    let two = Two::new();
    two.two.down(Down::Killed);
    let (status, lines, log) = ended(two.once(&["--connect-timeout", "1"]).run());
    assert_eq!(status, Some(75), "{log}");
    assert_eq!(seen_by(&lines), ["one"]);
    let left = "two: 0 indicator(s) queried, 0 sighting(s) found, 1 indicator(s) left; it was \
                not queried";
    assert!(log.contains(left), "{log}");
    // The indicator that is left for one engine is not counted for the other.
    let done = "one: 1 indicator(s) queried, 1 sighting(s) found, 0 indicator(s) left";
    assert!(log.contains(done), "{log}");
    assert!(
        log.contains("the run is not complete: two was not queried: cannot reach two"),
        "{log}"
    );
}

#[test]
fn if_no_engine_answers_nothing_begins() {
    let two = Two::new();
    two.one.down(Down::Killed);
    two.two.down(Down::Killed);
    let (status, _, log) = ended(two.once(&["--connect-timeout", "1"]).run());
    assert_eq!(status, Some(69), "{log}");
    assert!(log.contains("none of the 2 engines answers"), "{log}");
    // The same holds for a service, which would otherwise try for ever.
    let service = two.bridge(&["--connect-timeout", "1", "-t", "127.0.0.1:1"]);
    let (status, _, log) = ended(service.run());
    assert_eq!(status, Some(69), "{log}");
}

/// A service over both, with a broker.
struct Service {
    bridge: Observed,
    sightings: Subscriber,
    publisher: Publisher,
    _broker: Broker,
}

impl Service {
    fn start(two: &Two, arguments: &[&str]) -> Self {
        let broker = Broker::start(BrokerKind::Ports);
        let sightings = Subscriber::sightings(&broker);
        let publisher = Publisher::connect(&broker);
        let bridge = two.bridge(arguments).args(["-t", &broker.endpoint()]).run();
        bridge.wait_for_log("subscribed to", LIMIT);
        Service {
            bridge,
            sightings,
            publisher,
            _broker: broker,
        }
    }

    /// Publishes an indicator that matches.
    fn publish(&mut self, n: u64) {
        self.publisher
            .publish_indicator(n, Ioc::Domain("a.example"));
    }

    /// The sensors of the next sightings, this many.
    fn seen_by(&self, count: usize) -> Vec<String> {
        let sightings = self.sightings.collect_sightings(count, LIMIT);
        assert_eq!(sightings.len(), count, "{}", self.bridge.log());
        let name = |one: &Value| one["x_threatbus_source"].as_str().map(str::to_owned);
        let mut names: Vec<String> = sightings.iter().filter_map(name).collect();
        names.sort();
        names
    }
}

fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.expect("a file of the test can be written");
}

#[test]
fn an_engine_that_is_away_at_the_start_delays_no_other_and_is_queried_when_it_is_there() {
    let two = Two::new();
    two.one.down(Down::Killed);
    let mut service = Service::start(&two, &["--live-match", "--live-engine", "continuous"]);
    service.publish(1);
    assert_eq!(service.seen_by(1), ["two"]);
    service.bridge.wait_for_log("one", LIMIT);
    assert_eq!(service.bridge.count_logs("trying until it is"), 1);
    two.one.up();
    assert_eq!(service.seen_by(1), ["one"]);
    // Its new events are matched from then on.
    service
        .bridge
        .wait_for_logs("matching new events", 2, LIMIT);
    let events = two.one.file("events").join("zeek.http.json");
    append(&events, &format!("{}\n", request("a.example", 7)));
    let sightings = service.sightings.collect_sightings(1, LIMIT);
    assert_eq!(sightings[0]["x_threatbus_match_type"], "LIVE");
    assert_eq!(sightings[0]["x_threatbus_source"], "one");
}

#[test]
fn a_node_that_hangs_blocks_only_its_own_worker() {
    let two = Two::new();
    let mut service = Service::start(&two, &["--max-background-tasks", "1"]);
    two.one.down(Down::Frozen);
    for n in 1..=3 {
        service.publish(n);
        assert_eq!(service.seen_by(1), ["two"]);
    }
    two.one.up();
    assert_eq!(service.seen_by(3), ["one"; 3]);
}

#[test]
fn after_a_crash_only_engines_that_had_not_answered_are_queried() {
    let two = Two::new();
    let state = Scratch::new();
    let arguments = ["--state-dir", state.path().to_str().expect("UTF-8")];
    let mut service = Service::start(&two, &arguments);
    two.two.down(Down::Frozen);
    service.publish(1);
    assert_eq!(service.seen_by(1), ["one"]);
    two.two.wait_for_exports(1, LIMIT);
    let journal = state.path().join("journal");
    let is_noted = || {
        let bytes = std::fs::read(&journal).unwrap_or_default();
        memchr::memmem::find(&bytes, b"one").is_some()
    };
    assert!(eventually(LIMIT, is_noted), "{}", service.bridge.log());
    service.bridge.signal(Signal::KILL);
    service.bridge.wait(LIMIT);
    two.two.up();
    let queries = two.one.exports().len();
    let service = Service::start(&two, &arguments);
    // What the broker did not confirm before the crash may come again.
    while service.seen_by(1) != ["two"] {}
    assert_eq!(two.one.exports().len(), queries, "it had answered");
}

#[test]
fn sightings_name_the_sensor_if_the_bridge_has_a_name() {
    let broker = Broker::start(BrokerKind::Legacy);
    let sightings = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let engine = engine(&[("a.example", 1)]);
    for (name, source) in [(None, "VAST"), (Some("sensor-7"), "sensor-7")] {
        let mut arguments = vec!["--retro-match"];
        name.iter()
            .for_each(|name| arguments.extend(["--sensor-name", name]));
        let bridge = Bridge::start(&broker, &engine, &arguments);
        bridge.wait_for_log("subscribed to", LIMIT);
        publisher.publish_indicator(1, Ioc::Domain("a.example"));
        let sighting = sightings
            .collect_sightings(1, LIMIT)
            .pop()
            .expect("it matches");
        assert_eq!(sighting["context"]["source"], json!(source));
        assert!(sighting.get("x_threatbus_source").is_none());
    }
}

#[test]
fn a_check_names_each_engine() {
    let two = Two::new();
    two.two.down(Down::Killed);
    let mut bridge = two.once(&["--check"]).run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(69), "{}", bridge.log());
    let table = bridge.rest(LIMIT);
    let node = |name: &str, verdict: &str| {
        let is_it = |line: &String| {
            line.starts_with("VAST node") && line.contains(verdict) && line.contains(name)
        };
        assert!(table.iter().any(is_it), "{table:#?}");
    };
    node("one: ", " ok ");
    node("two: ", "FAILED");
}

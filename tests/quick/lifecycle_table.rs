//! Everything that can happen to an indicator, in every way of matching: each test is a row of a
//! table, and each way a column.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::Scratch;
use crate::support::bridge::Bridge;
use crate::support::fakebus::FakeBus;
use crate::support::messages::{stix_id, stix_indicator};
use crate::support::observed::{Observed, Reader};
use crate::support::scene::{LIMIT, request, request_now};
use crate::support::standin::{Down, Standin};
use crate::support::tenzir::Node;
use rustix::process::Signal;
use serde_json::{Value, json};
use vast_threatbus::process::stop::Stop;
use vast_threatbus::state::journal::Journal;

/// The time limit of an end, whatever delays it.
const END: Duration = Duration::from_secs(10);

/// The ways of matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Retro,
    Attach,
    Start,
    Continuous,
    Tenzir,
    Files,
    Follow,
}

const ALL: [Way; 7] = [
    Way::Retro,
    Way::Attach,
    Way::Start,
    Way::Continuous,
    Way::Tenzir,
    Way::Files,
    Way::Follow,
];

impl Way {
    /// Whether it matches events as they come, and not those that are there.
    fn is_live(self) -> bool {
        !matches!(self, Way::Retro | Way::Files)
    }

    /// Whether it matches an engine's events, and not those of log files.
    fn has_engine(self) -> bool {
        !matches!(self, Way::Files | Way::Follow)
    }

    fn standin(self) -> Standin {
        let standin = Standin::holding(&[("zeek.http", &[])]);
        let state = standin.file("state");
        match self {
            Way::Attach => standin
                .with("version", json!("2021.08.26"))
                .with("matcher", json!("attach"))
                .with("matchers", json!(["threatbus"]))
                .with("state", json!(state)),
            Way::Start => standin
                .with("version", json!("2020.12.16"))
                .with("matcher", json!("start"))
                .with("state", json!(state)),
            _ => standin,
        }
    }

    /// What the log says of an indicator that is searched from now on.
    fn sign(self, n: u64, host: &str) -> String {
        match self {
            Way::Attach | Way::Start => format!("the matcher knows the value {host}"),
            Way::Continuous | Way::Tenzir => {
                format!("indicator {} is matched live", stix_id(n))
            }
            _ => format!("indicator {} is searched", stix_id(n)),
        }
    }
}

/// What holds the events.
enum Store {
    File(PathBuf),
    Vast(Standin),
    Tenzir(RefCell<Node>),
}

impl Store {
    fn add(&self, events: &[Value]) {
        let lines = || events.iter().map(|event| format!("{event}\n"));
        match self {
            Store::File(file) => append(file, &lines().collect::<String>()),
            Store::Vast(standin) => {
                let file = standin.file("events").join("zeek.http.json");
                append(&file, &lines().collect::<String>());
            }
            Store::Tenzir(node) => node.borrow_mut().import("zeek.http", events.to_vec()),
        }
    }

    /// Kills the engine.
    fn down(&self) {
        match self {
            Store::File(_) => panic!("a file has no engine"),
            Store::Vast(standin) => standin.down(Down::Killed),
            Store::Tenzir(node) => node.borrow_mut().kill(),
        }
    }

    /// Starts the engine again.
    fn up(&self) {
        match self {
            Store::File(_) => panic!("a file has no engine"),
            Store::Vast(standin) => standin.up(),
            Store::Tenzir(node) => node.borrow_mut().restart(),
        }
    }
}

/// The bridge, a bus that the test controls, and the events that are matched.
struct Rig {
    bridge: Observed,
    bus: FakeBus,
    way: Way,
    store: Store,
    state: Scratch,
    controls: u64,
}

impl Rig {
    fn start(way: Way) -> Self {
        Self::with(way, &[], Reader::Patient)
    }

    fn with(way: Way, arguments: &[&str], reader: Reader) -> Self {
        let (bus, state) = (FakeBus::stix(), Scratch::new());
        let mut bridge = Bridge::bare().args(["-t", bus.endpoint(), "-l", "debug"]);
        if way == Way::Retro {
            bridge = bridge.arg("--retro-match");
        } else if way.has_engine() {
            bridge = bridge.args(["--no-retro-match", "--live-match"]);
        }
        if matches!(way, Way::Attach | Way::Start) {
            bridge = bridge.args(["--matcher-name", "threatbus"]);
        }
        let store = match way {
            Way::Files | Way::Follow => {
                bridge = bridge.file("eve.json", "").args(["--events", "eve.json"]);
                bridge = bridge.args((way == Way::Follow).then_some("--follow"));
                Store::File(bridge.directory().join("eve.json"))
            }
            Way::Tenzir => {
                let node = Node::start();
                bridge = bridge.args(node.arguments());
                Store::Tenzir(RefCell::new(node))
            }
            Way::Retro | Way::Attach | Way::Start | Way::Continuous => {
                let standin = way.standin();
                bridge = bridge.args(["-v", standin.endpoint()]);
                bridge = bridge.arg("-b").arg(standin.path());
                Store::Vast(standin)
            }
        };
        bridge = bridge.arg("--state-dir").arg(state.path().join("state"));
        let bridge = bridge.args(arguments).reader(reader).run();
        bridge.wait_for_log("subscribed to", LIMIT);
        match way {
            Way::Attach | Way::Start | Way::Continuous | Way::Tenzir => {
                bridge.wait_for_log("matching new events", LIMIT);
            }
            Way::Follow => {
                bridge.wait_for_log("following", LIMIT);
            }
            Way::Retro | Way::Files => {}
        }
        Rig {
            bridge,
            bus,
            way,
            store,
            state,
            controls: 900,
        }
    }

    fn send(&mut self, indicator: &Value) {
        self.bus
            .send(2, format!("indicator {indicator}").as_bytes());
    }

    /// Publishes an indicator for a host. In a live way, waits until it is searched.
    fn publish(&mut self, n: u64, host: &str) {
        self.send(&for_host(n, host));
        self.wait_until_sought(n, host);
    }

    fn wait_until_sought(&self, n: u64, host: &str) {
        if self.way.is_live() {
            self.bridge.wait_for_log(&self.way.sign(n, host), LIMIT);
        }
    }

    /// Waits until the engine's own matcher has removed a value, if the engine has one.
    fn wait_until_removed(&self) {
        if matches!(self.way, Way::Attach | Way::Start) {
            let words = "the matcher knows the removal";
            self.bridge.wait_for_log(words, LIMIT);
        }
    }

    /// Adds a request to this host, at the present time, to the events.
    fn happens(&self, host: &str) {
        self.store.add(&[request_now(host, 1)]);
    }

    /// The next sighting's indicator and value.
    fn sighting(&self) -> (u64, String) {
        let frame = self.bus.receive(LIMIT);
        let frame = frame.unwrap_or_else(|| panic!("no sighting:\n{}", self.bridge.log()));
        let text = String::from_utf8(frame).expect("the bridge sends UTF-8");
        let (_, json) = text.split_once(' ').expect("a topic, a space, a text");
        let sighting: Value = serde_json::from_str(json).expect("JSON");
        let id = sighting["sighting_of_ref"].as_str().expect("an id");
        // A matcher of 2020 gives no event, and only live sightings have the value.
        let in_context = &sighting["x_threatbus_sighting_context"]["host"];
        let in_sighting = &sighting["x_threatbus_indicator_value"];
        let value = in_context.as_str().or(in_sighting.as_str());
        let n = (0..1000).find(|n| stix_id(*n) == id).expect("one of ours");
        (n, value.unwrap_or_default().to_owned())
    }

    /// All sightings before that of a new indicator, which is published here.
    fn sightings(&mut self) -> Vec<(u64, String)> {
        self.controls += 1;
        let (n, host) = (self.controls, format!("{}.control", self.controls));
        if !self.way.is_live() {
            self.happens(&host);
        }
        self.publish(n, &host);
        if self.way.is_live() {
            self.happens(&host);
        }
        let next = || Some(self.sighting()).filter(|(id, _)| *id != n);
        std::iter::from_fn(next).collect()
    }

    /// Ends it, and checks that the journal has this many unfinished entries.
    fn end(mut self, unfinished: usize) {
        // An entry is closed only after the last sighting.
        std::thread::sleep(Duration::from_millis(500));
        let started = Instant::now();
        self.bridge.signal(Signal::TERM);
        let status = self.bridge.wait(END);
        let log = self.bridge.log();
        assert_eq!(status.code(), Some(0), "{:?}: {log}", self.way);
        assert!(started.elapsed() < END, "{:?}", self.way);
        assert!(self.bridge.leaves_nothing(LIMIT), "{:?}", self.way);
        let stop = Stop::new().expect("two socket pairs");
        let path = self.state.path().join("state/journal");
        let (_, left_over, _) = Journal::open(&path, &stop).expect("opened");
        assert_eq!(left_over.len(), unfinished, "{:?}: {log}", self.way);
    }
}

fn for_host(n: u64, host: &str) -> Value {
    stix_indicator(n, &format!("[domain-name:value = '{host}']"), None)
}

fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.expect("a file of the test can be written");
}

/// The time in this many seconds, in whole seconds.
fn in_seconds(seconds: i64) -> (time::OffsetDateTime, Value) {
    let time = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let time = time
        .replace_nanosecond(0)
        .expect("a second has a beginning");
    let text = time.format(&time::format_description::well_known::Rfc3339);
    (time, json!(text.expect("a time")))
}

fn wait_until(time: time::OffsetDateTime) {
    while time::OffsetDateTime::now_utc() < time {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Does the same in each of these ways at the same time, since most of the time is waiting.
fn in_each(ways: &[Way], check: impl Fn(Way) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for way in ways {
            scope.spawn(move || check(*way));
        }
    });
}

fn one(n: u64, value: &str) -> Vec<(u64, String)> {
    vec![(n, value.to_owned())]
}

#[test]
fn sigterm_ends_it_and_what_is_answered_is_not_searched_again() {
    in_each(&ALL, |way| {
        let mut rig = Rig::start(way);
        for _ in 0..2 {
            assert!(rig.sightings().is_empty(), "{way:?}");
        }
        rig.end(0);
    });
}

#[test]
fn what_expires_is_no_longer_searched() {
    in_each(&ALL, |way| {
        let mut rig = Rig::start(way);
        let mut indicator = for_host(1, "a.example");
        if !way.is_live() {
            rig.happens("a.example");
            indicator["valid_until"] = in_seconds(-5).1;
            rig.send(&indicator);
            let words = "is expired: it is not searched";
            rig.bridge.wait_for_log(words, LIMIT);
        } else {
            indicator["valid_until"] = in_seconds(5).1;
            rig.send(&indicator);
            rig.wait_until_sought(1, "a.example");
            rig.bridge.wait_for_log("has expired and is", LIMIT);
            rig.wait_until_removed();
            rig.happens("a.example");
        }
        assert!(rig.sightings().is_empty(), "{way:?}");
        rig.end(0);
    });
}

#[test]
fn a_longer_validity_counts_and_so_does_a_shorter_one() {
    let live = ALL.into_iter().filter(|way| way.is_live());
    in_each(&live.collect::<Vec<_>>(), |way| {
        let mut rig = Rig::start(way);
        let version = |n: u64, host: &str, seconds: i64| {
            let (time, text) = in_seconds(seconds);
            let mut indicator = for_host(n, host);
            indicator["valid_until"] = text;
            (time, indicator)
        };
        let (end, long) = version(1, "a.example", 4);
        rig.send(&long);
        rig.send(&version(1, "a.example", 600).1);
        rig.send(&version(2, "b.example", 600).1);
        rig.send(&version(2, "b.example", 4).1);
        rig.wait_until_sought(2, "b.example");
        rig.bridge.wait_for_log("has expired and is", LIMIT);
        wait_until(end);
        rig.wait_until_removed();
        rig.happens("b.example");
        rig.happens("a.example");
        assert_eq!(rig.sightings(), one(1, "a.example"), "{way:?}");
        rig.end(0);
    });
}

#[test]
fn what_is_not_yet_valid_is_searched_when_it_is() {
    in_each(&ALL, |way| {
        let mut rig = Rig::start(way);
        if !way.is_live() {
            rig.happens("a.example");
        }
        let (from, text) = in_seconds(6);
        let mut indicator = for_host(1, "a.example");
        indicator["valid_from"] = text;
        rig.send(&indicator);
        assert!(rig.sightings().is_empty(), "{way:?}");
        rig.wait_until_sought(1, "a.example");
        if way.is_live() {
            rig.happens("a.example");
        }
        assert_eq!(rig.sighting(), (1, "a.example".to_owned()), "{way:?}");
        assert!(time::OffsetDateTime::now_utc() >= from, "{way:?}");
        rig.end(0);
    });
}

#[test]
fn what_is_withdrawn_is_no_longer_searched() {
    in_each(&ALL, |way| {
        let mut rig = Rig::start(way);
        if !way.is_live() {
            rig.happens("a.example");
        }
        // Retro matching keeps nothing, so the indicator is made to wait.
        if way == Way::Retro {
            rig.store.down();
            rig.publish(2, "other.example");
            rig.bridge.wait_for_log("is away", LIMIT);
        }
        rig.publish(1, "a.example");
        let pattern = "[domain-name:value = 'a.example']";
        rig.send(&stix_indicator(1, pattern, Some("REMOVE")));
        rig.bridge.wait_for_log("is withdrawn", LIMIT);
        rig.wait_until_removed();
        if way == Way::Retro {
            rig.store.up();
        }
        assert!(rig.sightings().is_empty(), "{way:?}");
        if way.is_live() {
            rig.happens("a.example");
            assert!(rig.sightings().is_empty(), "{way:?}");
        }
        rig.end(0);
    });
}

#[test]
fn what_comes_again_with_another_pattern_replaces_what_it_was() {
    in_each(&ALL, |way| {
        let mut rig = Rig::start(way);
        if !way.is_live() {
            rig.happens("a.example");
            rig.happens("b.example");
        }
        if way == Way::Retro {
            rig.store.down();
            rig.publish(2, "other.example");
            rig.bridge.wait_for_log("is away", LIMIT);
        }
        rig.send(&for_host(1, "a.example"));
        rig.send(&for_host(1, "b.example"));
        match way {
            Way::Continuous | Way::Tenzir | Way::Follow => {
                rig.bridge
                    .wait_for_logs(&rig.way.sign(1, "b.example"), 2, LIMIT);
            }
            _ => rig.wait_until_sought(1, "b.example"),
        }
        if way == Way::Retro {
            rig.store.up();
        }
        rig.wait_until_removed();
        if way.is_live() {
            rig.happens("a.example");
            rig.happens("b.example");
        }
        assert_eq!(rig.sightings(), one(1, "b.example"), "{way:?}");
        rig.end(0);
    });
}

#[test]
fn what_comes_while_the_engine_is_away_is_searched_when_it_is_back() {
    let engines = ALL.into_iter().filter(|way| way.has_engine());
    in_each(&engines.collect::<Vec<_>>(), |way| {
        let mut rig = Rig::start(way);
        rig.store.down();
        if way.is_live() {
            rig.bridge.wait_for_log("starting it again", LIMIT);
        } else {
            rig.happens("a.example");
        }
        rig.send(&for_host(1, "a.example"));
        if way == Way::Retro {
            rig.bridge.wait_for_log("is away", LIMIT);
        }
        rig.store.up();
        rig.wait_until_sought(1, "a.example");
        if way.is_live() {
            rig.bridge.wait_for_log("is back after", LIMIT);
            rig.happens("a.example");
        }
        assert_eq!(rig.sighting(), (1, "a.example".to_owned()), "{way:?}");
        rig.end(0);
    });
}

#[test]
fn sigterm_while_the_engine_is_away_ends_it_and_the_journal_keeps_what_waits() {
    let engines = ALL.into_iter().filter(|way| way.has_engine());
    in_each(&engines.collect::<Vec<_>>(), |way| {
        let mut rig = Rig::start(way);
        rig.store.down();
        for n in 1..=3 {
            rig.send(&for_host(n, "a.example"));
            // The repetition is joined with the one that waits.
            rig.send(&for_host(n, "a.example"));
        }
        rig.bridge.wait_for_counter("messages_received", 6, LIMIT);
        rig.end(if way == Way::Retro { 3 } else { 0 });
    });
}

#[test]
fn a_sink_that_is_stuck_does_not_delay_the_end() {
    in_each(&ALL, |way| {
        let mut rig = Rig::with(way, &["--sink", "STDOUT"], Reader::Stuck);
        let many = |rig: &Rig| rig.store.add(&vec![request_now("a.example", 1); 5_000]);
        if !way.is_live() {
            many(&rig);
        }
        rig.publish(1, "a.example");
        if way.is_live() {
            many(&rig);
        }
        rig.bridge.wait_for_counter("sightings_found", 5_000, LIMIT);
        rig.end(usize::from(!way.is_live()));
    });
}

/// A run for the indicators of a file, in this way, and its events.
fn hunt(way: Way, engine: &Standin, indicators: &[Value], events: &str) -> Bridge {
    let lines = indicators.iter().map(|line| format!("{line}\n"));
    let bridge = Bridge::bare()
        .file("iocs", lines.collect::<String>())
        .file("eve.json", events)
        .args(["--indicators", "iocs", "-l", "debug"]);
    if way != Way::Retro {
        let follow = (way == Way::Follow).then_some("--follow");
        return bridge.args(["--events", "eve.json"]).args(follow);
    }
    append(&engine.file("events").join("zeek.http.json"), events);
    let bridge = bridge.args(["--retro-match", "-v", engine.endpoint()]);
    bridge.arg("-b").arg(engine.path())
}

/// The ways in which indicators of a file are searched: live matching in an engine has no
/// end, and needs the bus.
const OF_FILES: [Way; 3] = [Way::Retro, Way::Files, Way::Follow];

/// What came last in a file counts, as with the bus.
#[test]
fn a_file_of_indicators_is_taken_in_the_same_way() {
    in_each(&OF_FILES, |way| {
        let engine = way.standin();
        let with = |n: u64, host: &str, key: &str, seconds: i64| {
            let mut indicator = for_host(n, host);
            indicator[key] = in_seconds(seconds).1;
            indicator
        };
        let withdrawn = "[domain-name:value = 'withdrawn.example']";
        let lines = [
            for_host(1, "old.example"),
            for_host(1, "new.example"),
            with(2, "expired.example", "valid_until", -5),
            with(3, "later.example", "valid_from", 6),
            for_host(4, "withdrawn.example"),
            stix_indicator(4, withdrawn, Some("REMOVE")),
        ];
        let hosts = ["old", "new", "expired", "later", "withdrawn"];
        let events = hosts.map(|host| format!("{}\n", request(&format!("{host}.example"), 1)));
        let bridge = hunt(way, &engine, &lines, &events.concat());
        let log = bridge.directory().join("eve.json");
        let mut bridge = bridge.run();
        let next = || {
            let line = bridge.line(LIMIT);
            let line = line.unwrap_or_else(|| panic!("{way:?}: {}", bridge.log()));
            let event: Value = serde_json::from_str(&line).expect("JSON");
            event["host"].as_str().expect("a host").to_owned()
        };
        assert_eq!(next(), "new.example", "{way:?}");
        if way == Way::Follow {
            let sign = format!("indicator {} is searched", stix_id(3));
            bridge.wait_for_log(&sign, LIMIT);
            append(&log, &events.concat());
            let mut found = [next(), next()];
            found.sort();
            assert_eq!(found, ["later.example", "new.example"]);
            bridge.signal(Signal::TERM);
        }
        assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
        assert!(bridge.rest(LIMIT).is_empty(), "{way:?}");
    });
}

#[test]
fn a_sink_that_stands_still_does_not_hold_up_the_end_of_a_run_for_a_file() {
    in_each(&OF_FILES, |way| {
        let engine = way.standin();
        let events = format!("{}\n", request("a.example", 1)).repeat(5_000);
        let bridge = hunt(way, &engine, &[for_host(1, "a.example")], &events);
        let mut bridge = bridge.reader(Reader::Stuck).run();
        // Before, the signal for the status would end it.
        bridge.wait_for_log("read 1 indicator(s)", LIMIT);
        bridge.wait_for_counter("sightings_found", 5_000, LIMIT);
        bridge.signal(Signal::TERM);
        // A run that ends by itself is not complete.
        let expected = if way == Way::Follow { 0 } else { 75 };
        let status = bridge.wait(END);
        assert_eq!(status.code(), Some(expected), "{way:?}: {}", bridge.log());
        assert!(bridge.leaves_nothing(LIMIT), "{way:?}");
    });
}

#[test]
fn a_file_waits_for_an_engine_that_is_away_until_it_is_back_or_sigterm() {
    for comes_back in [true, false] {
        let engine = Way::Retro.standin();
        engine.down(Down::Killed);
        let events = format!("{}\n", request("a.example", 1));
        let bridge = hunt(Way::Retro, &engine, &[for_host(1, "a.example")], &events);
        let mut bridge = bridge.args(["--connect-timeout", "0"]).run();
        bridge.wait_for_log("is not ready", LIMIT);
        if comes_back {
            engine.up();
            assert!(bridge.line(LIMIT).is_some(), "{}", bridge.log());
        } else {
            bridge.signal(Signal::TERM);
        }
        let expected = if comes_back { 0 } else { 75 };
        assert_eq!(bridge.wait(END).code(), Some(expected), "{}", bridge.log());
    }
}

//! Matching in log files, from end to end, compared with the stand-in engine's answers over the
//! same events.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use crate::support::bridge::{Bridge, program};
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::observed::Reader;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::process;
use crate::support::standin::Standin;
use crate::support::{Scratch, paths};
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::Signal;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);

/// Values that the samples hold, and one that they do not.
const VALUES: &str = "# from a feed\n203.0.113.80\n2001:db8:bad::1\nirc.example.org\n\
                      www.example.com\n203.0.113.200\n";

fn samples() -> Vec<PathBuf> {
    let folder = paths::repository().join("tests/samples/events");
    let files = fs::read_dir(folder).expect("the samples are there");
    let mut files: Vec<PathBuf> = files
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    files
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

/// Runs the program to its end with this standard input.
fn run(home: &Scratch, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = paths::clean_command(program(), home.path());
    command.args(arguments);
    process::fed(command, input)
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).expect("JSON is UTF-8");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("a path of the test is UTF-8")
}

#[test]
fn files_give_the_sightings_that_the_engine_gives() {
    let home = Scratch::new();
    let values = home.write("iocs.txt", VALUES);
    let engine = Standin::with_samples();
    let asked = run(
        &home,
        &[
            "--retro-match",
            "--indicators",
            shown(&values),
            "-v",
            engine.endpoint(),
            "-b",
            shown(engine.path()),
        ],
        b"",
    );
    assert_eq!(asked.status.code(), Some(0), "{}", log(&asked));
    let expected = lines(&asked);
    assert!(expected.len() > 8, "{expected:?}");

    let mut plain = vec!["--indicators", shown(&values), "--events"];
    let samples = samples();
    plain.extend(samples.iter().map(|path| shown(path)));
    let output = run(&home, &plain, b"");
    assert_eq!(output.status.code(), Some(0), "{}", log(&output));
    assert_eq!(lines(&output), expected);

    let all: Vec<u8> = samples
        .iter()
        .flat_map(|path| fs::read(path).expect("a sample"))
        .collect();
    // The content shows the format: the names do not.
    let gz = home.write("one", gzip(&all));
    let zst = home.write("two", compress_to_vec(&all[..], CompressionLevel::Fastest));
    for (file, input) in [
        (shown(&gz), &b""[..]),
        (shown(&zst), b""),
        ("-", &all),
        ("-", &gzip(&all)),
    ] {
        let arguments = ["--indicators", shown(&values), "--events", file];
        let output = run(&home, &arguments, input);
        assert_eq!(output.status.code(), Some(0), "{}", log(&output));
        assert_eq!(lines(&output), expected, "{file}");
    }
}

#[test]
fn lines_that_are_not_events_are_counted_and_the_rest_is_read() {
    let home = Scratch::new();
    let events = home.write(
        "events",
        b"no json\r\n\n[1]\n{\"host\": \"a.example\", \"x\": \"\xff\"}\r\n{\"host\": \"a.example\"\n\
          {\"host\": \"b.example\"}\n{\"host\": \"a.example\", \"last\": true}",
    );
    let arguments = ["--indicators", "-", "--events", shown(&events)];
    let output = run(&home, &arguments, b"a.example\n");
    assert_eq!(output.status.code(), Some(0), "{}", log(&output));
    assert_eq!(
        lines(&output),
        [
            "{\"host\": \"a.example\", \"last\": true}",
            "{\"host\": \"a.example\", \"x\": \"\u{fffd}\"}",
        ]
    );
    let log = log(&output);
    assert!(log.contains("3 line(s) are not events"), "{log}");
    assert!(log.contains("lines_rejected=3"), "{log}");
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_is_reported_and_the_others_are_read() {
    let home = Scratch::new();
    let text = b"{\"host\": \"a.example\"}\n".repeat(100_000);
    let whole = gzip(&text);
    let cut = home.write("cut.gz", &whole[..whole.len() / 2]);
    let other = home.write("eve.json.xz", b"\xfd7zXZ\x00");
    let good = home.write("good", "{\"host\": \"a.example\", \"good\": 1}\n");
    let output = run(
        &home,
        &[
            "--indicators",
            "-",
            "--events",
            shown(&cut),
            shown(&other),
            shown(&good),
        ],
        b"a.example\n",
    );
    assert_eq!(output.status.code(), Some(75), "{}", log(&output));
    let found = lines(&output);
    assert!(found.iter().any(|line| line.contains("good")));
    // Those before the damage are found.
    assert!((2..100_000).contains(&found.len()), "{}", found.len());
    let log = log(&output);
    assert!(log.contains("cut.gz could not be read to its end"), "{log}");
    assert!(log.contains("xz -dc"), "{log}");
    assert!(log.contains("files_failed=2"), "{log}");
}

#[test]
fn the_limit_of_sightings_holds_for_files_too() {
    let home = Scratch::new();
    let events = home.write("events", "{\"host\": \"a.example\"}\n".repeat(1000));
    let output = run(
        &home,
        &[
            "--indicators",
            "-",
            "--events",
            shown(&events),
            "--retro-match-max-events",
            "7",
        ],
        b"a.example\n",
    );
    assert_eq!(lines(&output).len(), 7, "{}", log(&output));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let home = Scratch::new();
    let events = home.write("events", "{}\n");
    let events = shown(&events);
    for (arguments, words) in [
        (&["--indicators", "-"][..], "--retro-match"),
        (&["--indicators", "-", "--events", "-"], "standard input"),
        (&["--indicators", "none", "--events", events], "none"),
        (&["--indicators", "-", "--events", "none"], "none"),
        (&["--events", "-"], "--once or --follow"),
        (&["--events", events, "--follow", "--once"], "does not end"),
        (&["--events", events, "--live-match"], "--follow"),
        (&["--retro-match", "--follow"], "--events"),
        (&["--events", events, "--exit-code"], "--once"),
        (&["--events"], "needs a value"),
        (&["--once", "--live-match"], "live matching does not end"),
    ] {
        let output = run(&home, arguments, b"");
        let log = log(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {log}");
        assert!(log.contains(words), "{arguments:?}: {log}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let bridge = Bridge::bare()
        .file("iocs", "a.example\n")
        .file("events", "{\"host\": \"a.example\"}\n".repeat(200_000));
    let mut bridge = bridge
        .args(["--indicators", "iocs", "--events", "events"])
        .reader(Reader::GoneAfter(1))
        .run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(!bridge.log().contains("[ERROR]"), "{}", bridge.log());
}

/// Appends to a file, as a logger does in one write.
fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path);
    let file = file.as_mut().expect("a file of the test");
    file.write_all(text.as_bytes()).expect("there is room");
}

#[test]
fn a_file_is_followed_through_growth_rotation_and_truncation() {
    let bridge = Bridge::bare().file("iocs", "a.example\n").file(
        "eve.json",
        "{\"host\": \"a.example\", \"n\": 1}\n{\"host\": \"b\"}\n",
    );
    let log = bridge.directory().join("eve.json");
    let rotated = bridge.directory().join("eve.json.1");
    let mut bridge = bridge
        .args(["--indicators", "iocs", "--events", "eve.json", "--follow"])
        .run();
    let next = |n: u32| {
        let line = bridge
            .line(LIMIT)
            .unwrap_or_else(|| panic!("{}", bridge.log()));
        assert_eq!(line, format!("{{\"host\": \"a.example\", \"n\": {n}}}"));
    };
    let event = |n: u32| format!("{{\"host\": \"a.example\", \"n\": {n}}}\n");
    next(1);
    append(&log, &event(2));
    next(2);
    // Half a line is not a line yet.
    let (first, second) = (&event(3)[..10].to_owned(), &event(3)[10..].to_owned());
    append(&log, first);
    append(&log, second);
    next(3);
    // It is renamed, and its writer does not know yet.
    fs::rename(&log, &rotated).expect("the same folder");
    append(&rotated, &event(4));
    next(4);
    append(&log, &event(5));
    next(5);
    append(&rotated, &event(6));
    next(6);
    // It is copied away and truncated.
    fs::write(&log, "").expect("a file of the test");
    bridge.wait_for_log("was truncated", LIMIT);
    append(&log, &event(7));
    next(7);
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(bridge.rest(LIMIT).is_empty());
}

/// The match type of a sighting of a broker of 2022.
fn match_type(sighting: &Value) -> &str {
    sighting["x_threatbus_match_type"]
        .as_str()
        .unwrap_or("none")
}

#[test]
fn files_are_searched_for_indicators_of_the_bus() {
    let broker = Broker::start(BrokerKind::Ports);
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let bridge = Bridge::bare().file("eve.json", "{\"host\": \"a.example\", \"n\": 1}\n");
    let log = bridge.directory().join("eve.json");
    let mut stored = bridge
        .args(["-t", &broker.endpoint(), "--events", "eve.json"])
        .run();
    stored.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain("a.example"));
    publisher.publish_indicator(2, Ioc::Domain("b.example"));
    let sightings = subscriber.collect_sightings(1, LIMIT);
    assert_eq!(sightings.len(), 1, "{}", stored.log());
    assert_eq!(match_type(&sightings[0]), "RETRO");
    assert_eq!(sightings[0]["x_threatbus_sighting_context"]["n"], 1);

    // A later batch is searched in the content of the file at that time.
    append(&log, "{\"host\": \"c.example\", \"n\": 2}\n");
    publisher.publish_indicator(3, Ioc::Domain("c.example"));
    let sightings = subscriber.collect_sightings(1, LIMIT);
    assert_eq!(sightings.len(), 1, "{}", stored.log());
    assert_eq!(sightings[0]["x_threatbus_sighting_context"]["n"], 2);
    stored.signal(Signal::TERM);
    assert!(stored.wait(LIMIT).success(), "{}", stored.log());
    assert!(stored.log().contains("unsubscribed"), "{}", stored.log());
}

#[test]
fn followed_files_are_live_matching_for_the_bus() {
    let broker = Broker::start(BrokerKind::Ports);
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let bridge = Bridge::bare().file("eve.json", "{\"host\": \"a.example\", \"n\": 1}\n");
    let log = bridge.directory().join("eve.json");
    let mut bridge = bridge
        .args(["-t", &broker.endpoint(), "--events", "eve.json", "--follow"])
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    bridge.wait_for_log("following", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain("a.example"));
    // Nothing shows when the indicator has arrived, so events are written until one is matched.
    let mut n = 1;
    let sighting = loop {
        n += 1;
        assert!(n < 300, "{}", bridge.log());
        append(&log, &format!("{{\"host\": \"a.example\", \"n\": {n}}}\n"));
        if let Some(sighting) = subscriber
            .collect_sightings(1, Duration::from_millis(100))
            .pop()
        {
            break sighting;
        }
    };
    assert_eq!(match_type(&sighting), "LIVE");
    // The event that was there before is not matched.
    assert!(sighting["x_threatbus_sighting_context"]["n"].as_u64() > Some(1));
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
}

#[test]
fn a_line_that_is_no_event_is_reported_by_its_number() {
    // The first and the last one are in different blocks.
    let event = "{\"timestamp\":\"2024-05-01T10:00:00.000001+0000\",\"event_type\":\"dns\"}\n";
    let log = format!("{event}no event\n{}neither\n", event.repeat(30_000));
    let mut bridge = Bridge::bare()
        .file("list", "evil.example\n")
        .file("eve.json", log)
        .args(["--indicators", "list", "--events", "eve.json"])
        .run();
    bridge.wait(LIMIT);
    let log = bridge.log();
    assert!(log.contains("eve.json: line 2 is "), "{log}");
    assert!(log.contains("eve.json: line 30003 is "), "{log}");
}

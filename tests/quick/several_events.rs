//! Patterns of several events, from end to end: in log files, and as files grow.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::bridge::program;
use crate::support::process;
use crate::support::standin::Standin;
use crate::support::{Scratch, paths};

/// Indicators for these patterns, one on each line, with consecutive ids.
pub fn indicators(patterns: &[&str]) -> String {
    let lines = patterns.iter().enumerate().map(|(number, pattern)| {
        let object = json!({
            "type": "indicator", "spec_version": "2.1", "id": id(number),
            "created": "2024-01-01T00:00:00Z", "modified": "2024-01-01T00:00:00Z",
            "valid_from": "2024-01-01T00:00:00Z", "pattern": pattern, "pattern_type": "stix",
        });
        format!("{object}\n")
    });
    lines.collect()
}

fn id(number: usize) -> String {
    format!("indicator--00000000-0000-4000-8000-{number:012}")
}

/// A connection to an address, this many seconds after nine.
fn flow(second: f64, address: &str) -> String {
    let (whole, rest) = (second as u32, second.fract());
    let fraction = format!("{rest:.3}")[1..].to_owned();
    json!({
        "timestamp": format!("2024-03-05T09:{:02}:{:02}{fraction}Z", whole / 60, whole % 60),
        "event_type": "flow", "src_ip": "10.0.0.1", "dest_ip": address,
    })
    .to_string()
}

/// A DNS request for a name.
fn question(second: u32, name: &str) -> String {
    json!({
        "timestamp": format!("2024-03-05T09:{:02}:{:02}Z", second / 60, second % 60),
        "event_type": "dns", "src_ip": "10.0.0.1", "dns": {"type": "query", "rrname": name},
    })
    .to_string()
}

/// Runs the program to its end with this standard input.
pub fn run(home: &Scratch, arguments: &[&str], input: &str) -> Output {
    let mut command = paths::clean_command(program(), home.path());
    command.args(arguments);
    process::fed(command, input.as_bytes())
}

/// The sightings, each as the number of its indicator and its events in order.
pub fn sightings(output: &Output) -> Vec<(usize, Vec<Value>)> {
    let text = String::from_utf8(output.stdout.clone()).expect("JSON is UTF-8");
    let mut all: Vec<(usize, Vec<Value>)> = text
        .lines()
        .map(|line| {
            let sighting: Value = serde_json::from_str(line).expect("JSON");
            let id = sighting["indicator"]["id"].as_str().expect("an id");
            let number = id[id.len() - 12..].parse().expect("a number");
            let others = sighting["observations"].as_array().cloned();
            let mut events = others.unwrap_or_default();
            events.push(sighting["context"].clone());
            (number, events)
        })
        .collect();
    all.sort_by_key(|(number, events)| (*number, Value::from(events.clone()).to_string()));
    all
}

pub fn shown(path: &Path) -> &str {
    path.to_str().expect("a path of the test is UTF-8")
}

pub const SIGHTINGS: [&str; 4] = ["--sink", "STDOUT", "--output", "sighting"];

/// A run of these patterns over these files.
fn in_files(patterns: &[&str], files: &[String], more: &[&str]) -> Output {
    let home = Scratch::new();
    let list = home.write("indicators.jsonl", indicators(patterns));
    let files: Vec<_> = (0..)
        .zip(files)
        .map(|(number, text)| home.write(&format!("{number}.json"), text))
        .collect();
    let mut arguments = vec!["--indicators", shown(&list), "--events"];
    arguments.extend(files.iter().map(|path| shown(path)));
    arguments.extend(SIGHTINGS);
    arguments.extend(more);
    run(&home, &arguments, "")
}

fn events(lines: &[&String]) -> Vec<Value> {
    let values = lines.iter().map(|line| serde_json::from_str(line));
    values.map(|value| value.expect("JSON")).collect()
}

const MISP: &str = "[domain-name:value = 'evil.example'] AND [ipv4-addr:value = '192.0.2.1']";
const BURST: &str = "[ipv4-addr:value = '192.0.2.9'] REPEATS 3 TIMES WITHIN 10 SECONDS";
const ORDER: &str =
    "[domain-name:value = 'evil.example'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.1']";

#[test]
fn events_are_joined_whatever_files_they_are_in() {
    let name = question(0, "www.evil.example");
    let exact = question(20, "evil.example");
    let first = flow(10.0, "192.0.2.1");
    let second = flow(30.0, "192.0.2.1");
    let burst: Vec<String> = [1.0, 2.0, 3.0, 12.5].map(|at| flow(at, "192.0.2.9")).into();
    let all = [vec![&name, &exact, &first, &second], burst.iter().collect()].concat();
    let text = |lines: &[&String]| {
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let expected = vec![
        (0, events(&[&exact, &second])),
        (0, events(&[&first, &exact])),
        (1, events(&[&burst[0], &burst[1], &burst[2]])),
        (2, events(&[&exact, &second])),
    ];
    let mut expected = expected;
    expected.sort_by_key(|(number, events)| (*number, Value::from(events.clone()).to_string()));
    let reversed: Vec<&String> = all.iter().rev().copied().collect();
    for files in [
        vec![text(&all)],
        vec![text(&reversed)],
        all.iter().map(|line| text(&[line])).collect(),
    ] {
        let output = in_files(&[MISP, BURST, ORDER], &files, &[]);
        assert_eq!(
            sightings(&output),
            expected,
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let output = in_files(&[MISP], &[text(&all)], &["--retro-match-max-events", "1"]);
    assert_eq!(sightings(&output), expected[..1]);
}

#[test]
fn events_are_joined_as_they_come() {
    let home = Scratch::new();
    let list = home.write("indicators.jsonl", indicators(&[MISP, BURST]));
    let lines = [
        flow(1.0, "192.0.2.9"),
        flow(2.0, "192.0.2.9"),
        question(3, "evil.example"),
        flow(4.0, "192.0.2.9"),
        flow(5.0, "192.0.2.1"),
        flow(30.0, "192.0.2.9"),
    ];
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let arguments = ["--indicators", shown(&list), "--follow", "--events", "-"];
    let output = run(&home, &[&arguments[..], &SIGHTINGS].concat(), &input);
    let expected = [
        (0, events(&[&lines[2], &lines[4]])),
        (1, events(&[&lines[0], &lines[1], &lines[3]])),
    ];
    assert_eq!(
        sightings(&output),
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_was_reported_of_several_events_is_not_reported_again() {
    let home = Scratch::new();
    let list = home.write("indicators.jsonl", indicators(&[MISP]));
    let (name, address) = (question(3, "evil.example"), flow(5.0, "192.0.2.1"));
    let state = home.path().join("state");
    let arguments = [
        "--indicators",
        shown(&list),
        "--report-once",
        "--state-dir",
        shown(&state),
    ];
    let arguments = [&arguments[..], &SIGHTINGS, &["--events", "-"]].concat();
    let output = run(&home, &arguments, &format!("{name}\n{address}\n"));
    assert_eq!(sightings(&output), [(0, events(&[&name, &address]))]);
    let later = flow(6.0, "192.0.2.1");
    let output = run(&home, &arguments, &format!("{address}\n{later}\n{name}\n"));
    assert_eq!(sightings(&output), [(0, events(&[&name, &later]))]);
}

#[test]
fn a_context_has_the_others_in_it() {
    let home = Scratch::new();
    let list = home.write("indicators.jsonl", indicators(&[MISP]));
    let (name, address) = (question(3, "evil.example"), flow(5.0, "192.0.2.1"));
    let input = format!("{name}\n{address}\n");
    let arguments = [
        "--indicators",
        shown(&list),
        "--events",
        "-",
        "--sink",
        "STDOUT",
    ];
    let line = |more: &[&str]| -> Value {
        let output = run(&home, &[&arguments[..], more].concat(), &input);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let mut expected: Value = serde_json::from_str(&address).expect("JSON");
    expected["observations"] = events(&[&name]).into();
    assert_eq!(line(&[]), expected);
    // A transformation gets them too, and determines what is sent.
    let transform = "--transform-context=jq -c {seen:(.observations|length)}";
    assert_eq!(line(&[transform]), json!({"seen": 1}));
}

#[test]
fn an_engine_and_files_give_the_same_instances() {
    let home = Scratch::new();
    let patterns = [
        "[ipv4-addr:value = '203.0.113.80'] AND [domain-name:value = 'www.example.com']",
        "[ipv4-addr:value = '203.0.113.80'] REPEATS 2 TIMES",
        "([ipv4-addr:value = '203.0.113.80'] OR [ipv6-addr:value = '2001:db8:bad::1']) FOLLOWEDBY \
         [network-traffic:dst_port > 20 AND domain-name:value = 'irc.example.org']",
        "([ipv4-addr:value = '203.0.113.80'] AND [network-traffic:dst_port = 80]) WITHIN 60 SECONDS",
        "[domain-name:value = 'www.example.com'] AND [domain-name:value = 'nobody.example']",
        "[domain-name:value = 'www.example.com']",
    ];
    let list = home.write("indicators.jsonl", indicators(&patterns));
    let engine = Standin::with_samples();
    let at_engine = [
        "--retro-match",
        "-v",
        engine.endpoint(),
        "-b",
        shown(engine.path()),
    ];
    let folder = paths::repository().join("tests/samples/events");
    let samples = std::fs::read_dir(folder).expect("the samples are there");
    let samples: Vec<_> = samples.map(|entry| entry.expect("a file").path()).collect();
    let is_json = |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "json");
    let mut in_files = vec!["--events"];
    in_files.extend(samples.iter().filter(is_json).map(|path| shown(path)));
    for limit in ["0", "1"] {
        let more = [
            "--indicators",
            shown(&list),
            "--retro-match-max-events",
            limit,
        ];
        let run = |how: &[&str]| {
            let output = run(&home, &[how, &more, &SIGHTINGS].concat(), "");
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            sightings(&output)
        };
        let (queried, read) = (run(&at_engine), run(&in_files));
        let of = |number: usize| read.iter().filter(|(of, _)| *of == number).count();
        let counts: Vec<usize> = (0..patterns.len()).map(of).collect();
        let is_found = |number: usize| counts[number] > 0;
        assert!(
            (0..4).all(is_found) && !is_found(4) && is_found(5),
            "{counts:?}"
        );
        assert!(
            limit == "0" || counts.iter().all(|count| *count <= 1),
            "{counts:?}"
        );
        // With the limit, the last pattern may get another event: the engine has no order.
        let joined = |all: &[(usize, Vec<Value>)]| -> Vec<(usize, Vec<Value>)> {
            all.iter().filter(|(of, _)| *of < 5).cloned().collect()
        };
        assert_eq!(joined(&queried), joined(&read));
    }
}

#[test]
fn what_waits_outlives_a_restart() {
    let home = Scratch::new();
    let list = home.write("indicators.jsonl", indicators(&[MISP]));
    let state = home.path().join("state");
    let arguments = ["--indicators", shown(&list), "--state-dir", shown(&state)];
    let arguments = [&arguments[..], &SIGHTINGS, &["--follow", "--events", "-"]].concat();
    let (name, address) = (question(3, "evil.example"), flow(5.0, "192.0.2.1"));
    let output = run(&home, &arguments, &format!("{name}\n"));
    assert!(sightings(&output).is_empty());
    let output = run(&home, &arguments, &format!("{address}\n"));
    let expected = [(0, events(&[&name, &address]))];
    assert_eq!(
        sightings(&output),
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // What was reported is not reported again, but waits for other events.
    let later = flow(6.0, "192.0.2.1");
    let output = run(&home, &arguments, &format!("{later}\n"));
    assert_eq!(sightings(&output), [(0, events(&[&name, &later]))]);
}

//! Patterns of several events in log files, compared with OASIS's own matcher (`stix2-matcher`
//! 3.0.0): the cases of its tests of operators and qualifiers, moved to connections, and random
//! pairs of a pattern and a sequence of events. Both have to name the same events that end an
//! instance.
//!
//! What differs on purpose is not generated. An event here has one time, while the matcher's
//! observations have spans of time; in its tests about spans these become points of time. And the
//! parser refuses `WITHIN 0 SECONDS`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::match_judge::{ask, judge, pairs};
use super::several_events::{SIGHTINGS, indicators, run, shown, sightings};
use crate::random::Random;
use crate::support::Scratch;
use crate::support::paths;

const SCRIPT: &str = "sequence_verdicts.py";

/// A sequence of events: each as a line of a log, and as an object for the matcher. They are in
/// order of time, and so are their numbers, which come first in their texts.
struct Sequence {
    lines: Vec<String>,
    events: Vec<Value>,
}

/// The events that end an instance of each pattern, if the lines are in two files in no order.
fn ends(patterns: &[String], sequence: &Sequence, random: &mut Random) -> Vec<BTreeSet<u64>> {
    let home = Scratch::new();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let list = home.write("indicators.jsonl", indicators(&patterns));
    let mut lines = sequence.lines.clone();
    for at in (1..lines.len()).rev() {
        lines.swap(at, random.below(at + 1));
    }
    let mut files = [String::new(), String::new()];
    for line in lines {
        files[random.below(2)] += &format!("{line}\n");
    }
    let names = ["a.json", "b.json"];
    let files: Vec<_> = (0..)
        .zip(files)
        .map(|(at, text)| home.write(names[at], text))
        .collect();
    let mut arguments = vec!["--indicators", shown(&list), "--events"];
    arguments.extend(files.iter().map(|file| shown(file)));
    arguments.extend(SIGHTINGS);
    let output = run(&home, &arguments, "");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !log.contains("[ERROR]"), "{log}");
    let unsupported = log.lines().find(|line| line.contains("unsupported:"));
    assert!(unsupported.is_none(), "{unsupported:?}");
    let mut ends = vec![BTreeSet::new(); patterns.len()];
    for (number, events) in sightings(&output) {
        let last = events.last().and_then(|event| event["a"].as_u64());
        assert!(
            ends[number].insert(last.expect("a number")),
            "one sighting for each end"
        );
    }
    ends
}

fn connection(number: usize, time: &str, ports: (u64, u64)) -> String {
    json!({
        "a": number, "timestamp": time, "event_type": "flow", "proto": "TCP",
        "src_ip": "10.0.0.1", "dest_ip": "10.0.0.2", "src_port": ports.0, "dest_port": ports.1,
    })
    .to_string()
}

#[test]
fn the_cases_of_the_matchers_tests_mean_the_same() {
    let Some(python) = judge() else {
        return;
    };
    let output = paths::judge_command(&python, SCRIPT)
        .arg("--moved")
        .output();
    let output = output.expect("the matcher's interpreter runs");
    assert!(output.status.success(), "{output:?}");
    let cases = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let mut by_events: BTreeMap<String, Vec<(String, String, bool)>> = BTreeMap::new();
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let text = |key: &str| case[key].as_str().expect("a text").to_owned();
        let matches = case["matches"].as_bool().expect("a verdict");
        let of = by_events.entry(case["events"].to_string()).or_default();
        of.push((text("test"), text("pattern"), matches));
    }
    let mut count = 0;
    for (events, cases) in by_events {
        let events: Vec<Value> = serde_json::from_str(&events).expect("JSON");
        let lines = events.iter().enumerate().map(|(number, event)| {
            let port = |key: &str| event[key].as_u64().expect("a port");
            let time = event["time"].as_str().expect("a time");
            connection(number + 10, time, (port("src_port"), port("dst_port")))
        });
        let sequence = Sequence {
            lines: lines.collect(),
            events: vec![],
        };
        let patterns: Vec<String> = cases
            .iter()
            .map(|(_, pattern, _)| pattern.clone())
            .collect();
        let ends = ends(&patterns, &sequence, &mut Random(7));
        for ((test, pattern, matches), ends) in cases.iter().zip(ends) {
            assert_eq!(
                !ends.is_empty(),
                *matches,
                "{test}: {pattern} in {events:?}"
            );
            count += 1;
        }
    }
    eprintln!("{count} cases");
    assert!(count >= 100, "only {count} cases");
}

const ADDRESSES: &[&str] = &["192.0.2.1", "192.0.2.23", "198.51.100.7"];
const NAMES: &[&str] = &["evil.example", "a.test"];
const PORTS: &[u64] = &[80, 443];

impl Sequence {
    fn random(random: &mut Random) -> Self {
        let count = 3 + random.below(6);
        // Times in half seconds, of which some are equal.
        let mut times: Vec<usize> = (0..count).map(|_| random.below(16)).collect();
        times.sort_unstable();
        let (mut lines, mut events) = (Vec::new(), Vec::new());
        for (number, half) in times.into_iter().enumerate() {
            let time = format!("2024-03-05T09:00:{:02}.{}00Z", half / 2, half % 2 * 5);
            let (to, port) = (random.pick(ADDRESSES), PORTS[random.below(2)]);
            let mut line = json!({
                "a": number, "timestamp": time, "event_type": "flow", "proto": "TCP",
                "src_ip": "10.0.0.1", "dest_ip": to, "src_port": 9, "dest_port": port,
            });
            let mut objects = vec![
                json!({"type": "ipv4-addr", "id": "ipv4-addr--1", "value": "10.0.0.1"}),
                json!({"type": "ipv4-addr", "id": "ipv4-addr--2", "value": to}),
                json!({"type": "network-traffic", "id": "network-traffic--1", "src_port": 9,
                    "dst_port": port}),
            ];
            if random.one_in(2) {
                let name = random.pick(NAMES);
                line["dns"] = json!({"type": "query", "rrname": name});
                line["event_type"] = "dns".into();
                objects.push(json!({"type": "domain-name", "id": "domain-name--1", "value": name}));
            }
            lines.push(line.to_string());
            events.push(json!({"time": time, "objects": objects}));
        }
        Sequence { lines, events }
    }
}

/// A pattern, and the number of events in an instance of it.
fn pattern(random: &mut Random, depth: usize) -> (String, usize) {
    let (text, events) = if depth == 0 || random.one_in(3) {
        (observation(random), 1)
    } else {
        let parts: Vec<_> = (0..2 + random.below(2))
            .map(|_| pattern(random, depth - 1))
            .collect();
        let operator = random.pick(&[" AND ", " FOLLOWEDBY ", " OR "]);
        let events = parts.iter().map(|(_, events)| events).sum();
        let texts: Vec<String> = parts.into_iter().map(|(text, _)| text).collect();
        (format!("({})", texts.join(operator)), events)
    };
    match random.below(8) {
        0 => {
            let seconds = random.pick(&["0.5", "1", "2", "3.5"]);
            (format!("({text}) WITHIN {seconds} SECONDS"), events)
        }
        1 => (format!("({text}) REPEATS 2 TIMES"), 2 * events),
        2 if random.one_in(2) => {
            let (start, stop) = (random.below(5), 3 + random.below(6));
            let time = |second| format!("t'2024-03-05T09:00:0{second}Z'");
            let (start, stop) = (time(start), time(stop));
            (format!("({text}) START {start} STOP {stop}"), events)
        }
        _ => (text, events),
    }
}

fn observation(random: &mut Random) -> String {
    match random.below(6) {
        0 | 1 => format!("[ipv4-addr:value = '{}']", random.pick(ADDRESSES)),
        2 => "[ipv4-addr:value ISSUBSET '192.0.2.0/24']".to_owned(),
        3 => format!("[domain-name:value = '{}']", random.pick(NAMES)),
        4 => {
            let (one, other) = (random.pick(ADDRESSES), random.pick(ADDRESSES));
            format!("[ipv4-addr:value IN ('{one}', '{other}')]")
        }
        _ => {
            let port = PORTS[random.below(2)];
            format!("[network-traffic:dst_port = {port} OR network-traffic:dst_port > 500]")
        }
    }
}

/// How many patterns are searched together, and in how many sequences.
const PATTERNS: usize = 250;
const SEQUENCES: usize = 4;

#[test]
fn random_sequences_end_where_the_matcher_says() {
    let Some(python) = judge() else {
        return;
    };
    let mut random = Random(0x0a51_5203);
    let (mut compared, mut matched) = (0, 0);
    while compared < pairs() {
        let small = std::iter::repeat_with(|| pattern(&mut random, 3));
        let small = small
            .filter(|(_, events)| *events < 6)
            .map(|(text, _)| text);
        let patterns: Vec<String> = small.take(PATTERNS).collect();
        for _ in 0..SEQUENCES {
            let sequence = Sequence::random(&mut random);
            let requests: Vec<Value> = patterns
                .iter()
                .map(|pattern| json!({"pattern": pattern, "events": sequence.events}))
                .collect();
            let answers = ask(&python, SCRIPT, &requests);
            let ours = ends(&patterns, &sequence, &mut random);
            for ((pattern, ours), theirs) in patterns.iter().zip(&ours).zip(&answers) {
                assert_eq!(
                    json!(ours),
                    *theirs,
                    "{pattern} in\n{}",
                    sequence.lines.join("\n")
                );
                matched += usize::from(!ours.is_empty());
            }
            compared += patterns.len();
        }
    }
    eprintln!("{compared} pairs, {matched} of them match");
    assert!(
        matched * 5 > compared,
        "only {matched} of {compared} pairs match"
    );
}

//! How many of the labelled pairs, each an indicator and an event that contains it, are found, by
//! kind, way and mode. `make recall` prints the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::paths;
use crate::support::recall::{
    Case, Run, Tally, cases, eve, event_id, nested, runs, stix, zeek_json, zeek_tsv,
};
use crate::support::standin::Standin;
use crate::support::tenzir::Node;
use rustix::process::Signal;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

/// The pairs that a run of the program finds, by the events that it prints.
fn found(bridge: Bridge, run: &Run<'_>) -> BTreeSet<String> {
    let mut bridge = bridge
        .file("indicators", &run.indicators)
        .args(["--indicators", "indicators", "-l", "info"])
        .args(&run.options)
        .run();
    let status = bridge.wait(LIMIT);
    assert!(status.success(), "{}", bridge.log());
    let lines = bridge.rest(LIMIT).into_iter();
    lines
        .map(|line| event_id(&serde_json::from_str(&line).expect("an event")))
        .collect()
}

/// Runs all cases, and prints the table.
fn measure(
    title: &str,
    cases: &[Case],
    is_stored: impl Fn(&Case) -> bool + Copy,
    bridge: impl Fn() -> Bridge,
) -> Tally {
    let mut tally = Tally::default();
    for run in runs(cases) {
        tally.add(&run, &found(bridge(), &run), is_stored);
    }
    print!("{}", tally.table(title));
    for fault in &tally.faults {
        println!("    {fault:.300}");
    }
    tally
}

/// The README's figures for one place, for each mode that it has.
fn documented(place: &str) -> Vec<usize> {
    let readme = fs::read_to_string(paths::repository().join("README.md")).expect("the README");
    let start = format!("| {place}");
    let row = readme.lines().find(|line| line.starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("README.md has no row that begins with {start}"));
    let cells = row.split('|').map(str::trim);
    cells.filter_map(|cell| cell.parse().ok()).collect()
}

/// Asserts that all pairs are found, and nothing else.
fn assert_whole(tally: &Tally) {
    let (there, found, wrong) = tally.total();
    assert_eq!((found, wrong), (there, 0), "{:#?}", tally.faults);
    assert!(there >= 100, "{there} pairs");
}

#[test]
fn log_files() {
    let Some(cases) = cases() else {
        return;
    };
    for (format, logs) in [
        ("JSON", zeek_json(&cases)),
        ("Zeek's TSV", zeek_tsv(&cases)),
    ] {
        let bridge = || {
            let bridge = Bridge::bare().file("eve.json", eve(&cases));
            logs.iter().fold(
                bridge.args(["--events", "eve.json"]),
                |bridge, (name, text)| bridge.file(name, text).args(["--events", name]),
            )
        };
        let tally = measure(&format!("log files, {format}"), &cases, |_| true, bridge);
        assert_whole(&tally);
        let (_, found, _) = tally.total();
        assert_eq!(documented("log files, JSON"), [found, found]);
    }
}

/// A name in the last event of each log: when it is found, everything before it was searched.
const LAST: &str = "the-last-event.example";

/// Events that come while logs are followed: this is live matching by the program itself.
#[test]
fn live() {
    let Some(cases) = cases() else {
        return;
    };
    let mut tally = Tally::default();
    let suricata = [("eve.json".to_owned(), eve(&cases))];
    let logs: BTreeMap<String, String> = suricata.into_iter().chain(zeek_json(&cases)).collect();
    let last = json!({"uid": LAST, "query": LAST}).to_string();
    for run in runs(&cases) {
        let is_pattern = run.indicators.starts_with('{');
        let ending = if is_pattern {
            stix(999_999, &format!("[domain-name:value = '{LAST}']"))
        } else {
            LAST.to_owned()
        };
        let mut bridge = Bridge::bare()
            .file("indicators", format!("{}{ending}\n", run.indicators))
            .args(["--indicators", "indicators", "--follow"])
            .args(&run.options);
        for name in logs.keys() {
            bridge = bridge.file(name, "").args(["--events", name]);
        }
        let mut bridge = bridge.run();
        bridge.wait_for_logs("following", logs.len(), LIMIT);
        for (name, text) in &logs {
            let path = bridge.directory().join(name);
            let file = OpenOptions::new().append(true).open(path);
            let written = file.and_then(|mut file| writeln!(file, "{text}{last}"));
            written.expect("a file of the test can be written");
        }
        let mut found = BTreeSet::new();
        let mut ended = 0;
        while ended < logs.len() {
            let line = bridge.line(LIMIT).expect("the last event of each log");
            let event = serde_json::from_str(&line).expect("an event");
            let id = event_id(&event);
            if id.contains(LAST) {
                ended += 1;
            } else {
                found.insert(id);
            }
        }
        bridge.signal(Signal::TERM);
        assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
        tally.add(&run, &found, |_| true);
    }
    print!("{}", tally.table("live, logs that are followed"));
    assert_whole(&tally);
    let (_, found, _) = tally.total();
    assert_eq!(documented("live"), [found, found]);
}

/// Whether VAST can store the event at all: its node crashes on the DNS requests of Suricata 7
/// and 8.
fn is_storable(case: &Case) -> bool {
    case.event["dns"]["type"] != "request"
}

/// A stand-in that holds the events as VAST stores them.
fn standin(cases: &[Case]) -> Standin {
    let storable: Vec<Case> = cases
        .iter()
        .filter(|case| is_storable(case))
        .cloned()
        .collect();
    let engine = Standin::holding(&[]).with("version", json!("2020.12.16"));
    engine.import("suricata", &eve(&storable));
    for log in zeek_tsv(&storable).values() {
        engine.import("zeek", log);
    }
    engine
}

/// Whether a query to VAST can find the value. It cannot if the value only occurs in DNS answers of
/// Suricata, which VAST drops, or in mixed case, which is not queried.
fn is_reachable(case: &Case) -> bool {
    let event = case.event.to_string();
    !(case.event["dns"]["answers"].is_array() || event.contains(".eXaMpLe"))
}

#[test]
fn vast() {
    let Some(cases) = cases() else {
        return;
    };
    let engine = standin(&cases);
    let measure = |mode: &str| {
        let bridge = || {
            Bridge::bare()
                .args(["--retro-match", "--match", mode, "-v", engine.endpoint()])
                .arg("-b")
                .arg(engine.path())
        };
        measure(
            &format!("VAST (stand-in), {mode}"),
            &cases,
            is_storable,
            bridge,
        )
        .total()
    };
    let (_, exact, wrong) = measure("exact");
    assert_eq!(wrong, 0);
    let (_, standard, wrong) = measure("standard");
    assert_eq!(wrong, 0);
    let (_, thorough, wrong) = measure("thorough");
    assert_eq!(wrong, 0);
    assert!(exact < standard && standard <= thorough);
    assert_eq!(documented("VAST"), [exact, standard, thorough]);
    let is_reachable = |case: &&Case| case.is_match && is_storable(case) && is_reachable(case);
    let reachable = cases.iter().filter(is_reachable).count();
    assert!(thorough >= reachable, "{thorough} of {reachable} found");
}

#[test]
fn tenzir() {
    let Some(cases) = cases() else {
        return;
    };
    let mut node = Node::start();
    let logs: BTreeSet<&str> = cases.iter().map(|case| &*case.log).collect();
    for log in logs {
        let events = cases.iter().filter(|case| case.log == log);
        let events: Vec<Value> = events.map(|case| nested(&case.event)).collect();
        node.import(log, events);
    }
    let measure = |mode: &str| {
        let bridge = || {
            let bridge = Bridge::bare().args(["--retro-match", "--match", mode]);
            bridge.args(node.arguments())
        };
        measure(&format!("Tenzir, {mode}"), &cases, |_| true, bridge)
    };
    let (_, exact, _) = measure("exact").total();
    let (_, standard, wrong) = measure("standard").total();
    assert_eq!(wrong, 0);
    assert!(exact < standard);
    let tally = measure("thorough");
    assert_whole(&tally);
    let (_, thorough, _) = tally.total();
    assert_eq!(documented("Tenzir"), [exact, standard, thorough]);
}

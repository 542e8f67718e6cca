//! Sink commands that fail: they are run again after growing pauses, and what they do not accept
//! is counted, or kept for the next run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::bridge::Bridge;
use crate::support::observed::Observed;
use crate::support::scene::LIMIT;
use crate::support::{Scratch, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Two runs of five retries, with pauses of 15 s at the most, and some more.
const PATIENCE: Duration = Duration::from_secs(90);

/// A run over this many requests, each of which is a match.
fn hunt(requests: u64, arguments: &[&str]) -> Bridge {
    let event = |n: u64| {
        let event = json!({
            "timestamp": "2024-03-05T09:00:00.000000+0000", "flow_id": n, "event_type": "dns",
            "dns": {"rrname": "evil.example"},
        });
        format!("{event}\n")
    };
    Bridge::bare()
        .file("eve.json", (0..requests).map(event).collect::<String>())
        .file("indicators", "evil.example\n")
        .args(["--events", "eve.json", "--indicators", "indicators"])
        .args(arguments)
}

/// A sink that writes each context into the file `out`, but for one that matches `bad` does
/// `instead`.
fn sink(out: &Path, bad: &str, instead: &str) -> String {
    format!(
        "sh -c 'while read -r x; do case \"$x\" in {bad}) {instead};; esac; \
         printf \"%s\\\\n\" \"$x\" >> {}; done'",
        out.display()
    )
}

const FIRST: &str = "*flow_id\\\":0,*";

/// The numbers of the events in a file of contexts.
fn taken(out: &Path) -> BTreeSet<u64> {
    let text = fs::read_to_string(out).unwrap_or_default();
    let number = |line: &str| serde_json::from_str::<Value>(line).ok()?["flow_id"].as_u64();
    text.lines().filter_map(number).collect()
}

fn all(count: u64) -> BTreeSet<u64> {
    (0..count).collect()
}

fn ended(mut bridge: Observed, status: i32) -> String {
    let code = bridge.wait(PATIENCE).code();
    assert_eq!(code, Some(status), "{}", bridge.log());
    bridge.log()
}

#[test]
fn a_command_that_fails_is_run_again_and_holds_nothing_back() {
    let folder = Scratch::new();
    let (out, tries) = (folder.path().join("out"), folder.path().join("tries"));
    // The first sighting is accepted at the third try.
    let count = format!(
        "echo >> {0}; test $(wc -l < {0}) -ge 3 || exit 4",
        tries.display()
    );
    let sink = sink(&out, FIRST, &count);
    let bridge = hunt(20, &["--sink", &sink]).run();
    let log = ended(bridge, 0);
    assert_eq!(taken(&out), all(20));
    let text = fs::read_to_string(&out).expect("the contexts");
    let last = text.lines().last().expect("twenty");
    assert!(last.contains("\"flow_id\":0,"), "{text}");
    assert_eq!(
        log.matches("the sink command failed, and is run again")
            .count(),
        2
    );
    assert!(log.contains("exit status 4"), "{log}");
    assert!(log.contains("sightings_sent=20"), "{log}");
    assert!(!log.contains("sightings_failed"), "{log}");
}

#[test]
fn a_sighting_that_no_try_delivers_is_counted() {
    let folder = Scratch::new();
    let out = folder.path().join("out");
    let started = Instant::now();
    let sink = sink(&out, FIRST, "echo broken >&2; exit 4");
    let log = ended(hunt(3, &["--sink", &sink]).run(), 75);
    assert!(
        started.elapsed() > Duration::from_secs(10),
        "the pauses grow"
    );
    assert_eq!(taken(&out), BTreeSet::from([1, 2]));
    assert_eq!(log.matches("and is run again").count(), 5, "{log}");
    assert!(
        log.contains("the sink command failed 6 times: exit status 4, broken"),
        "{log}"
    );
    assert!(log.contains("sightings_sent=2 sightings_failed=1"), "{log}");
}

#[test]
fn what_a_sink_did_not_accept_is_tried_by_the_next_run() {
    for mode in ["each", "lines"] {
        let folder = Scratch::new();
        let (out, state) = (folder.path().join("out"), folder.path().join("state"));
        let state = state.to_str().expect("UTF-8");
        let arguments = |sink: &str| {
            ["--sink", sink, "--sink-mode", mode, "--state-dir", state].map(str::to_owned)
        };
        let run = |sink: &str| {
            let arguments = arguments(sink);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            hunt(3, &arguments)
        };
        let log = ended(run("sh -c 'exit 4'").run(), 75);
        assert!(log.contains("sightings_spooled=3"), "{mode}: {log}");
        assert!(!log.contains("sightings_failed"), "{mode}: {log}");
        assert!(log.contains("stay in the spool"), "{mode}: {log}");
        assert!(taken(&out).is_empty());
        // The next run has no sighting of its own.
        let sink = sink(&out, "nothing", "true");
        let next = || ended(run(&sink).file("indicators", "other.example\n").run(), 0);
        let log = next();
        assert_eq!(taken(&out), all(3), "{mode}: {log}");
        assert!(log.contains("sightings_sent=3"), "{mode}: {log}");
        assert!(log.contains("sightings_left_over=3"), "{mode}: {log}");
        fs::remove_file(&out).expect("it is there");
        let log = next();
        assert!(
            !log.contains("sightings_sent") && !out.exists(),
            "{mode}: {log}"
        );
    }
}

/// Where each match is reported once, the next run delivers it, and does not report it again.
#[test]
fn what_a_sink_did_not_accept_is_reported_once() {
    let folder = Scratch::new();
    let (out, state) = (folder.path().join("out"), folder.path().join("state"));
    let state = state.to_str().expect("UTF-8");
    let run = |sink: &str| hunt(2, &["--sink", sink, "--report-once", "--state-dir", state]).run();
    let log = ended(run("false"), 75);
    assert!(log.contains("the sink command failed 6 times"), "{log}");
    assert!(log.contains("stay in the spool"), "{log}");
    let sink = format!("tee -a {}", out.display());
    for _ in 0..2 {
        let log = ended(run(&sink), 0);
        let accepted = fs::read_to_string(&out).expect("something was reported");
        assert_eq!(accepted.lines().count(), 2, "{log}");
    }
}

#[test]
fn what_waits_for_a_sink_at_the_end_is_kept() {
    for mode in ["each", "lines"] {
        let folder = Scratch::new();
        let (out, state) = (folder.path().join("out"), folder.path().join("state"));
        let state = [
            "--state-dir",
            state.to_str().expect("UTF-8"),
            "--sink-mode",
            mode,
        ];
        let mut bridge = hunt(3, &["--follow", "--sink", "sh -c 'exit 4'"])
            .args(state)
            .run();
        bridge.wait_for_log("exit status 4", LIMIT);
        bridge.signal(Signal::TERM);
        let log = ended(bridge, 0);
        assert!(log.contains("sightings_spooled=3"), "{mode}: {log}");
        assert!(!log.contains("sightings_lost"), "{mode}: {log}");
        let sink = sink(&out, "nothing", "true");
        let next = hunt(0, &["--sink", &sink]).args(state);
        ended(next.run(), 0);
        assert_eq!(taken(&out), all(3), "{mode}");
    }
}

#[test]
fn one_line_that_a_sink_dies_of_costs_no_other() {
    let folder = Scratch::new();
    let (out, state) = (folder.path().join("out"), folder.path().join("state"));
    let state = state.to_str().expect("UTF-8");
    let sink_command = sink(&out, "*flow_id\\\":5,*", "exit 4");
    let arguments = [
        "--sink",
        &sink_command,
        "--sink-mode",
        "lines",
        "--state-dir",
        state,
    ];
    let mut bridge = hunt(20, &["--follow"]).args(arguments).run();
    let mut others = all(20);
    others.remove(&5);
    assert!(
        eventually(PATIENCE, || taken(&out) == others),
        "{}",
        bridge.log()
    );
    bridge.signal(Signal::TERM);
    let log = ended(bridge, 0);
    assert!(
        log.contains("1 sighting(s) that 6 processes in a row did not accept are kept"),
        "{log}"
    );
    assert!(
        log.contains("sightings_sent=19") && log.contains("sightings_spooled=1"),
        "{log}"
    );
}

//! `--report-once`: a job that runs again and again reports each match once.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::support::bridge::{Bridge, program};
use crate::support::observed::Reader;
use crate::support::{Scratch, paths};
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(60);

fn event(name: &str, id: u64) -> String {
    format!(
        "{{\"timestamp\":\"2024-03-05T10:26:53.299414+0000\",\"event_type\":\"dns\",\
         \"flow_id\":{id},\"dns\":{{\"rrname\":\"{name}\"}}}}\n"
    )
}

fn scratch(events: &[String]) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("iocs.txt", "a.example\nb.example\n");
    scratch.write("eve.json", events.concat());
    scratch
}

fn hunt(scratch: &Scratch, arguments: &[&str]) -> Output {
    paths::clean_command(program(), scratch.path())
        .args(["--indicators", "iocs.txt", "--events", "eve.json"])
        .args(["--state-dir", "state", "--report-once"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program was built")
}

fn lines(output: &Output) -> usize {
    let text = String::from_utf8(output.stdout.clone()).expect("JSON is UTF-8");
    text.lines().count()
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(path).expect("there");
    file.write_all(text.as_bytes()).expect("written");
}

#[test]
fn the_second_run_reports_only_what_is_new() {
    let scratch = scratch(&[event("a.example", 1), event("a.example", 2)]);
    let first = hunt(&scratch, &["--exit-code"]);
    assert_eq!((lines(&first), first.status.code()), (2, Some(0)));
    let size = fs::metadata(scratch.path().join("state/reported"));
    assert_eq!(size.expect("written").len(), 8 + 16 + 8 + 2 * 16 + 4);
    let second = hunt(&scratch, &["--exit-code"]);
    assert_eq!((lines(&second), second.status.code()), (0, Some(3)));
    let counted = "0 sighting(s) and 2 that were reported before";
    assert!(log(&second).contains(counted), "{}", log(&second));
    append(&scratch.path().join("eve.json"), &event("b.example", 3));
    let third = hunt(&scratch, &["--exit-code"]);
    assert_eq!((lines(&third), third.status.code()), (1, Some(0)));
}

/// A reader of standard output that stops reading does not get what the program could not write.
#[test]
fn what_a_reader_did_not_read_is_reported_by_the_next_run() {
    const EVENTS: u64 = 5_000;
    let events: String = (0..EVENTS).map(|n| event("a.example", n)).collect();
    let mut bridge = Bridge::bare()
        .file("iocs.txt", "a.example\n")
        .file("eve.json", events)
        .args(["--indicators", "iocs.txt", "--events", "eve.json"])
        .args(["--state-dir", "state", "--report-once"])
        .reader(Reader::Stuck)
        .run();
    // Before, the signal for the status would end it.
    bridge.wait_for_log("read 1 indicator(s)", LIMIT);
    bridge.wait_for_counter("sightings_found", EVENTS, LIMIT);
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
    bridge.wait_for_log("the next run reports those of this one again", LIMIT);
    let second = paths::clean_command(program(), bridge.directory())
        .args(["--indicators", "iocs.txt", "--events", "eve.json"])
        .args(["--state-dir", "state", "--report-once"])
        .stdin(Stdio::null())
        .output()
        .expect("the program was built");
    assert_eq!(lines(&second) as u64, EVENTS, "{}", log(&second));
}

#[test]
fn what_a_sink_did_not_accept_is_reported_by_the_next_run() {
    let scratch = scratch(&[event("a.example", 1), event("b.example", 2)]);
    // The deadline ends the retries; tests/waiting/sinks.rs has a run that makes all of them.
    let failed = hunt(&scratch, &["--sink", "false", "--deadline", "3"]);
    assert_eq!(failed.status.code(), Some(75), "{}", log(&failed));
    assert!(
        log(&failed).contains("stay in the spool"),
        "{}",
        log(&failed)
    );
    let accepted = scratch.path().join("accepted");
    let sink = format!("tee -a {}", accepted.display());
    for _ in 0..2 {
        hunt(&scratch, &["--sink", &sink]);
        let accepted = std::fs::read_to_string(&accepted).expect("something was reported");
        assert_eq!(accepted.lines().count(), 2, "{accepted}");
    }
}

#[test]
fn what_could_not_be_transformed_is_reported_by_the_next_run() {
    let scratch = scratch(&[event("a.example", 1), event("b.example", 2)]);
    // It fails for one of the two.
    let transform = "grep a.example";
    assert_eq!(lines(&hunt(&scratch, &["-T", transform])), 1);
    let rest = hunt(&scratch, &[]);
    assert_eq!(lines(&rest), 1);
    assert!(String::from_utf8_lossy(&rest.stdout).contains("b.example"));
}

#[test]
fn two_jobs_at_once_do_not_share_a_state_directory() {
    let scratch = scratch(&[event("a.example", 1)]);
    let mut first = Bridge::bare()
        .arg("--indicators")
        .arg(scratch.path().join("iocs.txt"))
        .arg("--events")
        .arg(scratch.path().join("eve.json"))
        .arg("--follow")
        .arg("--state-dir")
        .arg(scratch.path().join("state"))
        .run();
    assert!(first.line(LIMIT).is_some(), "{}", first.log());
    let second = hunt(&scratch, &[]);
    assert_eq!(second.status.code(), Some(75), "{}", log(&second));
    assert!(
        log(&second).contains("in use by another"),
        "{}",
        log(&second)
    );
    first.signal(Signal::TERM);
    assert!(first.wait(LIMIT).success());
    assert_eq!(lines(&hunt(&scratch, &[])), 1);
}

#[test]
fn a_damaged_memory_is_named_and_nothing_is_overwritten() {
    let scratch = scratch(&[event("a.example", 1)]);
    assert_eq!(lines(&hunt(&scratch, &[])), 1);
    let path = scratch.path().join("state/reported");
    fs::write(&path, "VTBSEEN1 and no more").expect("written");
    let output = hunt(&scratch, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        log(&output).contains("state/reported is damaged"),
        "{}",
        log(&output)
    );
    assert_eq!(fs::read(&path).expect("there"), b"VTBSEEN1 and no more");
}

#[test]
fn it_needs_a_state_directory() {
    let mut bridge = Bridge::bare()
        .args(["--indicators", "-", "--events", "x", "--report-once"])
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(2));
    let log = bridge.log();
    assert!(
        log.contains("--report-once: it needs --state-dir DIR"),
        "{log}"
    );
}

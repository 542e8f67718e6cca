//! How the test bed sets up the stand-in engine.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::Scratch;
use crate::support::observed::{Observed, Reader};
use crate::support::standin::{Down, Standin};
use serde_json::json;

/// Long enough for a call that takes milliseconds.
const LIMIT: Duration = Duration::from_secs(10);

fn call(engine: &Standin, arguments: &[&str]) -> Observed {
    let mut command = Command::new(engine.path());
    command.args(["-e", engine.endpoint()]).args(arguments);
    Observed::start(command, Scratch::new(), Reader::Patient)
}

#[test]
fn the_sample_events_answer_and_calls_are_recorded() {
    let engine = Standin::with_samples();
    assert_eq!(engine.calls().len(), 0);
    let query = "203.0.113.80";
    let expected = engine.answer(query);
    assert!(!expected.is_empty());
    assert_eq!(engine.calls().len(), 0, "the oracle is not recorded");

    let mut process = call(&engine, &["export", "json", query]);
    assert_eq!(process.rest(LIMIT).len(), expected.len());
    assert!(process.wait(LIMIT).success());
    let calls = engine.wait_for_exports(1, LIMIT);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].query(), Some(query));
    assert_eq!(calls[0].pid, u64::from(process.pid()));
    let lines = u64::try_from(expected.len()).expect("a small number");
    assert_eq!(calls[0].end, Some((0, lines)));

    assert!(call(&engine, &["status"]).wait(LIMIT).success());
    assert_eq!((engine.calls().len(), engine.exports().len()), (2, 1));
}

#[test]
fn a_query_on_standard_input_is_recorded() {
    let engine = Standin::with_samples();
    let mut child = Command::new(engine.path())
        .args(["-e", engine.endpoint(), "export", "--read=-", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the stand-in can be run");
    let input = child.stdin.take().expect("its input is a pipe");
    std::io::Write::write_all(&mut &input, b"203.0.113.80").expect("it reads");
    drop(input);
    assert!(child.wait().expect("a child can be waited for").success());
    assert_eq!(engine.exports()[0].query(), Some("203.0.113.80"));
}

#[test]
fn events_can_be_made_for_a_test() {
    let event = json!({"ts": "2024-03-05T10:00:00.0", "id.orig_h": "192.0.2.200"});
    let engine = Standin::holding(&[("zeek.conn", std::slice::from_ref(&event))]);
    assert_eq!(engine.answer("192.0.2.200"), [event]);
    assert_eq!(engine.answer("203.0.113.80").len(), 0);
}

#[test]
fn the_node_goes_away_and_comes_back() {
    let engine = Standin::with_samples();
    for how in [Down::Killed, Down::Stopped] {
        engine.down(how);
        assert_eq!(call(&engine, &["status"]).wait(LIMIT).code(), Some(1));
        assert!(!engine.answer("203.0.113.80").is_empty());
        engine.up();
        assert!(call(&engine, &["status"]).wait(LIMIT).success());
    }
    engine.down(Down::Frozen);
    let mut process = call(&engine, &["status"]);
    process.wait_for_log("connecting", LIMIT);
    assert!(process.is_running());
    engine.up();
    assert!(process.wait(LIMIT).success());
}

#[test]
fn faults_hold_for_the_calls_to_come_and_not_for_the_oracle() {
    let mut engine =
        Standin::with_samples().with("faults", json!({"die_after_lines": 1, "die_exit": 3}));
    let mut process = call(&engine, &["export", "json", "203.0.113.80"]);
    assert_eq!(process.rest(LIMIT).len(), 1);
    assert_eq!(process.wait(LIMIT).code(), Some(3));
    assert!(engine.answer("203.0.113.80").len() > 1);

    engine.set("faults", json!({}));
    let mut process = call(&engine, &["export", "json", "203.0.113.80"]);
    assert!(process.rest(LIMIT).len() > 1);
    assert!(process.wait(LIMIT).success());
}

//! Logs in which nothing can be found: that is always said.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::log_formats::{append, contexts, counter, following, log, run, sample};
use crate::support::Scratch;
use crate::support::bridge::Bridge;
use rustix::process::Signal;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

const EVENT: &str = "{\"ts\":1.0,\"id.resp_h\":\"203.0.113.7\"}\n";

/// Rows of a Zeek table, each in an object as Filebeat writes it.
fn shipped(count: usize) -> String {
    let row = "1709632800.1\tC1\t192.0.2.1\t1\t203.0.113.7\t443\ttcp";
    let object = json!({
        "@timestamp": "2024-03-05T10:00:00.000Z",
        "message": row,
        "host": {"name": "sensor", "ip": ["192.0.2.9"]},
        "agent": {"type": "filebeat"},
        "log": {"file": {"path": "/opt/zeek/logs/current/conn.log"}},
    });
    format!("{object}\n").repeat(count)
}

fn stats(count: usize) -> String {
    "{\"timestamp\":\"2024-03-05T10:00:00.000000+0000\",\"event_type\":\"stats\",\
      \"stats\":{\"uptime\":8,\"tcp\":{\"syn\":1}}}\n"
        .repeat(count)
}

fn run_on(path: &Path) -> (Option<i32>, String, Vec<String>) {
    let output = run(&["--exit-code"], &[path.to_owned()], b"");
    (output.status.code(), log(&output), contexts(&output))
}

#[test]
fn rows_of_a_table_that_a_shipper_put_into_objects_are_no_events() {
    let home = Scratch::new();
    let header = r##"{"@timestamp":"x","message":"#fields\tts\tuid","host":{"ip":"192.0.2.9"}}"##;
    let rows = shipped(3) + header + "\n";
    let (status, log, _) = run_on(&home.write("rows.json", rows));
    assert_eq!(status, Some(75), "{log}");
    let warning = "rows.json: line 1 is no event: it is a row of a Zeek table without its header, \
                   in an object of a log shipper; give the file";
    assert!(log.contains(warning), "{log}");
    assert!(log.contains("nothing in it is an event; it begins with"));
    assert_eq!(counter(&log, "events_read"), 0, "{log}");
    assert_eq!(counter(&log, "lines_rejected"), 3, "{log}");
    // In a folder they are not just left out.
    let folder = home.path().join("logs");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("rows.json"), shipped(3)).expect("there is room");
    fs::write(folder.join("other.json"), EVENT).expect("there is room");
    let (status, log, found) = run_on(&folder);
    assert_eq!((status, found.len()), (Some(75), 1), "{log}");
    // Among events they are counted, and what the shipper adds is still searched.
    let host = shipped(1).replace("192.0.2.9", "203.0.113.7");
    let (status, log, found) = run_on(&home.write("both.json", EVENT.to_owned() + &host));
    assert_eq!((status, found.len()), (Some(0), 2), "{log}");
    assert_eq!(counter(&log, "lines_rejected"), 1, "{log}");
    assert!(log.contains("line 2 is no event"), "{log}");
}

#[test]
fn events_in_which_nothing_can_be_found_are_named() {
    let home = Scratch::new();
    let vector = json!({"timestamp": "2024-03-05T10:00:00Z", "host": "sensor", "file": "/x",
                        "message": "03/05/2024 [**] [1:1:1] A [**] {TCP} 192.0.2.1:1 -> 203.0.113.7:2"});
    let table = "#separator \\x09\n#path\tstats\n#fields\tts\tpeer\tmem\n\
                 #types\ttime\tstring\tcount\n1709632800.1\tzeek\t88\n1709632800.1\tzeek\t88\n";
    for (name, text) in [
        ("stats.json", stats(2)),
        ("text.json", format!("{vector}\n{vector}\n")),
        ("stats.log", table.to_owned()),
    ] {
        let (status, log, _) = run_on(&home.write(name, &text));
        assert_eq!(status, Some(3), "{log}");
        let warning = format!("{name}: nothing can be found in its 2 event(s): none has a field");
        let line = log.lines().find(|line| line.contains(&warning));
        assert!(line.is_some_and(|line| line.contains("[WARN]")), "{log}");
        let (status, log, _) = run_on(&home.write(name, text + EVENT));
        assert!(!log.contains("nothing can be found"), "{log}");
        assert_eq!(status, Some(0), "{log}");
    }
    // Zeek has such logs in every folder.
    let folder = home.path().join("logs");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("stats.log"), table).expect("there is room");
    fs::write(folder.join("other.json"), EVENT).expect("there is room");
    let (status, log, _) = run_on(&folder);
    assert_eq!(status, Some(0), "{log}");
    assert!(!log.contains("[WARN]"), "{log}");
    assert!(
        log.contains("stats.log: nothing can be found in its 2"),
        "{log}"
    );
}

#[test]
fn a_followed_file_without_events_is_named_once_before_the_end() {
    const ERROR: &str = "nothing in it is an event so far; it begins with \"{\"error\":\"none\"";
    let other = "{\"error\":\"none\"}\n";
    for (before, after) in [("", other), (other, ""), ("", &other.repeat(150))] {
        let mut bridge = following(Bridge::bare().file("log", before), "log");
        bridge.wait_for_log("following log", LIMIT);
        let path = bridge.directory().join("log");
        append(&path, after);
        let line = bridge.wait_for_log(ERROR, LIMIT);
        assert!(line.contains("[ERROR]"), "{line}");
        append(&path, other);
        append(&path, EVENT);
        assert_eq!(bridge.line(LIMIT).as_deref(), Some(EVENT.trim_end()));
        std::thread::sleep(Duration::from_secs(3));
        bridge.signal(Signal::TERM);
        assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
        assert_eq!(bridge.count_logs("nothing in it is"), 1, "{}", bridge.log());
    }
}

#[test]
fn what_is_left_out_of_a_followed_folder_is_logged_once() {
    let bridge = Bridge::bare();
    let folder = bridge.directory().join("logs");
    fs::create_dir(&folder).expect("a folder");
    fs::copy(sample("text.log"), folder.join("fast.log")).expect("there is room");
    let other = folder.join("other.json");
    fs::write(&other, "{\"error\":\"none\"}\n").expect("there is room");
    fs::write(folder.join(".hidden"), "").expect("there is room");
    let mut bridge = following(bridge, "logs");
    for number in 0..3 {
        bridge.wait_for_log("other.json is left out", LIMIT);
        // It is found when the folder is searched again.
        append(&folder.join(format!("{number}.json")), EVENT);
        assert!(bridge.line(LIMIT).is_some(), "{}", bridge.log());
    }
    // What was left out may become a log.
    append(&other, EVENT);
    assert!(bridge.line(LIMIT).is_some(), "{}", bridge.log());
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    for name in ["fast.log", "other.json", ".hidden"] {
        let count = bridge.count_logs(&format!("{name} is left out"));
        assert_eq!(count, 1, "{name}: {}", bridge.log());
    }
}

#[test]
fn check_says_of_each_log_what_a_run_would() {
    let home = Scratch::new();
    let row = "1709632800.1\tC1\t192.0.2.1\t1\t203.0.113.7\t443\ttcp\n";
    let header = "#separator \\x09\n#fields\tts\tuid\n";
    for (number, (text, word, status)) in [
        (header.to_owned(), "Zeek logs, header only: no rows yet", 1),
        (row.repeat(2), "rows of a Zeek table without its header", 69),
        (shipped(2), "in objects of a log shipper", 69),
        (stats(2), "JSON lines without a field that is searched", 1),
        (
            stats(2000),
            "JSON lines without a field that is searched",
            1,
        ),
        (stats(2) + EVENT, "JSON lines\n", 0),
        (row.repeat(2000), "rows of a Zeek table without", 1),
        (String::new(), "it is empty", 1),
        ("[]".to_owned(), "JSON arrays without events", 1),
        (
            "{\"error\":\"none\"}\n".to_owned(),
            "(JSON without events)",
            69,
        ),
        ("text\n".to_owned(), "(text without events)", 69),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = home.path().join(number.to_string());
        fs::create_dir(&folder).expect("a folder");
        let path = home.write(&format!("{number}/log"), &text);
        let output = run(&["--check"], std::slice::from_ref(&path), b"");
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(table.contains(word), "{number}: {table}");
        assert_eq!(output.status.code(), Some(status), "{number}: {table}");
        let output = run(&["--check"], &[folder], b"");
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_bad = output.status.code() == Some(69);
        assert_eq!(is_bad, status == 69, "{number}: {table}");
    }
}

#[test]
fn the_beginning_that_is_shown_tells_something() {
    let home = Scratch::new();
    let pretty =
        "{\n    \"name\": {\n        \"first\": \"a\"\n    },\n    \"version\": \"1.0\"\n}\n";
    for (name, text) in [
        ("pretty.json", pretty),
        ("text", "\n\n some\t\ttext  \n\t \n of two lines\n"),
    ] {
        let (status, log, _) = run_on(&home.write(name, text));
        assert_eq!(status, Some(75), "{log}");
        let shown = match name {
            "text" => "it begins with \"some\\t\\ttext of two lines\"",
            _ => "it begins with \"{\"name\": {\"first\": \"a\"},\"version\": \"1.0\"}\"",
        };
        assert!(log.contains(shown), "{log}");
    }
}

//! Logs in every format: what is read from each, and which messages unreadable ones cause.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use crate::support::bridge::{Bridge, program};
use crate::support::observed::Observed;
use crate::support::process;
use crate::support::{Scratch, paths};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::process::Signal;
use serde_json::{Map, Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// The indicators that are searched in all of them.
const VALUES: &str = "203.0.113.7\nwww.example.org\n";

pub fn sample(name: &str) -> PathBuf {
    paths::repository().join("tests/samples/logs").join(name)
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).expect("memory does not fail");
    gzip.finish().expect("memory does not fail")
}

/// Runs the program over these logs, with [`VALUES`], to its end.
pub fn run(arguments: &[&str], logs: &[PathBuf], input: &[u8]) -> Output {
    let home = Scratch::new();
    let values = home.write("values.txt", VALUES);
    let mut command = paths::clean_command(program(), home.path());
    command
        .args(arguments)
        .arg("--indicators")
        .arg(values)
        .arg("--events")
        .args(logs);
    process::fed(command, input)
}

pub fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The contexts of sightings, sorted.
pub fn contexts(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).expect("JSON is UTF-8");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A number of the last line of the log.
pub fn counter(log: &str, name: &str) -> u64 {
    let text = log.split(&format!("{name}=")).nth(1);
    let digits = text.and_then(|text| text.split([' ', '\n']).next());
    digits.map_or(0, |digits| digits.parse().expect(log))
}

#[test]
fn the_forms_of_json_give_the_same_sightings() {
    let expected = contexts(&run(&[], &[sample("eve.json")], b""));
    assert_eq!(expected.len(), 4);
    let events: Vec<Value> = expected
        .iter()
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect();
    for name in [
        "eve.windows.json",
        "eve.truncated.json",
        "eve.syslog",
        "eve.array.json",
        "eve.array-lines.json",
        "eve.pretty.json",
        "eve.objects.json",
        "elasticsearch.json",
        "elasticsearch.pretty.json",
        "elasticdump.json",
        "splunk.json",
        "splunk.results.json",
        "filebeat.json",
    ] {
        let read = fs::read(sample(name)).expect("a sample");
        for (path, input) in [(sample(name), &b""[..]), ("-".into(), &read)] {
            let output = run(&["--exit-code"], &[path], input);
            let log = log(&output);
            assert_eq!(output.status.code(), Some(0), "{name}: {log}");
            let mut found: Vec<Value> = contexts(&output)
                .iter()
                .map(|line| serde_json::from_str(line).expect("an event"))
                .collect();
            let by_id = |event: &Value| event["flow_id"].as_u64();
            found.sort_by_key(by_id);
            let mut events = events.clone();
            events.sort_by_key(by_id);
            assert_eq!(found, events, "{name}");
            assert_eq!(counter(&log, "events_read"), 3, "{name}: {log}");
            assert_eq!(counter(&log, "lines_rejected"), 0, "{name}: {log}");
            assert!(!log.contains("[WARN]"), "{name}: {log}");
        }
    }
}

#[test]
fn a_column_of_addresses_counts_whatever_its_name() {
    let log = "#separator \\x09\n#path\town\n#fields\tts\tpeer\tmet\tnote\n\
               #types\ttime\taddr\tset[addr]\tstring\n\
               1.0\t203.0.113.7\t-\t-\n\
               2.0\t192.0.2.1\t192.0.2.2,203.0.113.7\t-\n\
               3.0\t192.0.2.1\t(empty)\t203.0.113.7\n";
    let found = contexts(&run(&[], &["-".into()], log.as_bytes()));
    let expected = [
        r#"{"ts":1.0,"peer":"203.0.113.7"}"#,
        r#"{"ts":2.0,"peer":"192.0.2.1","met":["192.0.2.2","203.0.113.7"]}"#,
    ];
    assert_eq!(found, expected);
}

/// The sightings of `zeek.conn.log`, and of `zeek.dns.log`.
const CONN: [&str; 2] = [
    r#"{"ts":1709632888.471283,"uid":"C1","id.orig_h":"192.0.2.10","id.orig_p":40000,"id.resp_h":"203.0.113.7","id.resp_p":443,"proto":"tcp","service":"ssl","duration":0.07827,"orig_bytes":1752,"local_orig":true,"history":"ShADadfF","tunnel_parents":[]}"#,
    r#"{"ts":1709632890.1,"uid":"C3","id.orig_h":"192.0.2.11","id.orig_p":40002,"id.resp_h":"::ffff:203.0.113.7","id.resp_p":80,"proto":"tcp","service":"http","duration":1.0,"orig_bytes":0,"history":"-"}"#,
];
const DNS: &str = r#"{"ts":1709632888.471283,"uid":"C1","id.orig_h":"192.0.2.10","id.orig_p":40001,"id.resp_h":"192.0.2.1","id.resp_p":53,"proto":"udp","trans_id":7,"rtt":0.000012,"query":"www.example.org","qclass":1,"qtype_name":"A","AA":false,"answers":["alias, one.example.net","198.51.100.9"],"TTLs":[299.0,60.0],"rejected":false}"#;

#[test]
fn zeeks_own_logs_give_the_events_that_its_json_writer_prints() {
    let both = [CONN[0], DNS, CONN[1]];
    let bars = [
        r#"{"ts":1709632888.471283,"uid":"C1","id.resp_h":"203.0.113.7","id.resp_p":443,"history":"a|b-","tunnel_parents":["C8","C9;"]}"#,
    ];
    let broken = [
        r#"{"ts":1.0,"id.orig_h":"203.0.113.7"}"#,
        r#"{"ts":2.0,"id.orig_h":"203.0.113.7"}"#,
    ];
    for (name, events, rejected, expected) in [
        ("zeek.conn.log", 3, 0, &CONN[..]),
        ("zeek.dns.log", 2, 0, &[DNS]),
        ("zeek.two-headers.log", 5, 0, &both),
        ("zeek.bars.log", 2, 0, &bars),
        ("zeek.broken.log", 2, 3, &broken),
    ] {
        let read = fs::read(sample(name)).expect("a sample");
        let windows = String::from_utf8_lossy(&read).replace('\n', "\r\n");
        for (path, input) in [
            (sample(name), &b""[..]),
            ("-".into(), &read),
            ("-".into(), windows.as_bytes()),
        ] {
            let output = run(&[], &[path], input);
            let log = log(&output);
            assert_eq!(output.status.code(), Some(0), "{name}: {log}");
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(contexts(&output), expected, "{name}: {log}");
            assert_eq!(counter(&log, "events_read"), events, "{name}: {log}");
            assert_eq!(counter(&log, "lines_rejected"), rejected, "{name}: {log}");
        }
    }
}

#[test]
fn what_is_not_read_is_an_error_whatever_the_log_level_is() {
    let home = Scratch::new();
    let xz = home.write("eve.json.xz", b"\xfd7zXZ\x00\x00\x04\xe6\xd6");
    let bzip2 = home.write("eve.json.bz2", b"BZh91AY&SY");
    let utf_16 = home.write("eve.json", b"\xff\xfe{\x00\"\x00");
    let archive = format!("{:\0<257}{:\0<255}{{}}\n", "eve.json", "ustar  ");
    let tar = home.write("eve.tar", &archive);
    let tar_gz = home.write("eve.tar.gz", gzipped(archive.as_bytes()));
    let rows = home.write("conn.log", "1.0\tC1\t203.0.113.7\n");
    let numbers = home.write("numbers.json", "[{}, 1]\n{\"ts\": 1}\n");
    let garbage = home.write("garbage", [7; 5000]);
    for (path, word) in [
        (&xz, "xz -dc"),
        (&bzip2, "bzip2 -dc"),
        (&utf_16, "iconv"),
        (&tar, "tar -xOf"),
        (&tar_gz, "tar -xOf"),
        (&rows, "begins with \"1.0\\tC1\\t203.0.113.7"),
        (&sample("text.log"), "begins with \"03/05/2024-10:01:28"),
        (&garbage, "nothing in it is an event"),
    ] {
        // Another log that can be read changes nothing.
        let logs = [path.clone(), sample("eve.json")];
        let runs = [
            (&logs[..1], "error"),
            (&logs[..1], "critical"),
            (&logs[..], "error"),
            (&logs[..], "notset"),
        ];
        for (logs, level) in runs {
            let output = run(&["--exit-code", "-l", level], logs, b"");
            let log = log(&output);
            assert_eq!(output.status.code(), Some(75), "{path:?}: {log}");
            assert!(log.contains(word), "{path:?}: {log}");
            assert!(log.contains("[ERROR]"), "{path:?}: {log}");
        }
    }
    // One event is enough.
    let output = run(&["--exit-code"], &[numbers], b"");
    assert_eq!(output.status.code(), Some(3), "{}", log(&output));
    assert!(log(&output).contains("1 line(s) that are no events"));
}

#[test]
fn json_that_is_no_log_is_an_error_where_it_was_named_and_left_out_of_a_folder() {
    let home = Scratch::new();
    let folder = home.path().join("logs");
    fs::create_dir(&folder).expect("a folder");
    fs::copy(sample("eve.json"), folder.join("eve.json")).expect("there is room");
    // One is too long for its beginning to tell.
    let many = (0..3000).map(|number| json!({"type": "indicator", "id": number}));
    let bundle = json!({"type": "bundle", "objects": many.collect::<Vec<_>>()});
    for (name, text) in [
        ("answer.json", "{\"error\":\"unauthorized\"}\n".to_owned()),
        (
            "empty.json",
            "{\"took\":1,\"hits\":{\"hits\":[]}}".to_owned(),
        ),
        (
            "package.json",
            format!("{:#}", json!({"name": "a", "version": "1.0.0"})),
        ),
        ("bundle.json", format!("{bundle:#}")),
    ] {
        let path = folder.join(name);
        fs::write(&path, &text).expect("there is room");
        let output = run(&["--exit-code"], std::slice::from_ref(&path), b"");
        let log = log(&output);
        assert_eq!(output.status.code(), Some(75), "{name}: {log}");
        assert!(
            log.contains("nothing in it is an event; it begins with \"{"),
            "{log}"
        );
        assert_eq!(counter(&log, "events_read"), 0, "{name}: {log}");
        assert_eq!(counter(&log, "lines_rejected"), 1, "{name}: {log}");
    }
    let output = run(&["--exit-code"], std::slice::from_ref(&folder), b"");
    let log = log(&output);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert_eq!(log.matches(" is left out: ").count(), 4, "{log}");
    // Without a log beside it, nothing was searched.
    fs::remove_file(folder.join("eve.json")).expect("it is there");
    let output = run(&["--exit-code"], &[folder], b"");
    assert_eq!(output.status.code(), Some(75));
}

#[test]
fn events_are_counted_however_lines_and_responses_follow_each_other() {
    let found = r#"{"ts":1.0,"id.resp_h":"203.0.113.7"}"#;
    let other = r#"{"ts":2.0,"id.resp_h":"192.0.2.1"}"#;
    let response = format!(r#"{{"took":1,"hits":{{"hits":[{{"_source":{found}}}]}}}}"#);
    let records = format!(r#"{{"Records":[{found},{other}]}}"#);
    let index = r#"{"index":{"_index":"203.0.113.7","_id":"1"}}"#;
    for (log_text, sightings, events, rejected) in [
        (
            format!("{response}\n{found}\nno event\n{records}\n"),
            3,
            4,
            1,
        ),
        (
            format!("{found}\n{response}\nno event\n{records}\n"),
            3,
            4,
            1,
        ),
        (format!("{index}\n{found}\n{index}\n{other}\n"), 1, 2, 0),
        (format!("{other}{found}\n{other}\n"), 1, 3, 0),
        (format!("{other}\n{}{found}\n", &other[..20]), 1, 2, 1),
        (format!("{other}\n[{found},{other}]\n"), 1, 3, 0),
    ] {
        let output = run(&["--exit-code"], &["-".into()], log_text.as_bytes());
        let log = log(&output);
        assert_eq!(contexts(&output), vec![found; sightings], "{log_text}{log}");
        assert_eq!(counter(&log, "events_read"), events, "{log_text}{log}");
        assert_eq!(counter(&log, "lines_rejected"), rejected, "{log_text}{log}");
    }
    // A shipper may split an event, and a feed of Zeek is no log.
    let split = json!({"log": &found[..20], "time": "x"}).to_string();
    let output = run(&["--exit-code"], &["-".into()], split.as_bytes());
    assert_eq!(counter(&log(&output), "lines_rejected"), 1);
    let feed = "#fields\tindicator\tindicator_type\n203.0.113.7\tIntel::ADDR\n";
    let output = run(&["--exit-code"], &["-".into()], feed.as_bytes());
    assert_eq!(output.status.code(), Some(75), "{}", log(&output));
    // Actions without documents are like a header.
    let output = run(&["--exit-code"], &["-".into()], index.as_bytes());
    assert_eq!(output.status.code(), Some(3), "{}", log(&output));
}

#[test]
fn what_an_archive_that_is_cut_off_still_holds_is_searched() {
    let home = Scratch::new();
    let event = "{\"timestamp\":\"2024-05-01T10:00:00Z\",\"dest_ip\":\"203.0.113.7\"}\n";
    let gzip = gzipped(event.repeat(10).as_bytes());
    let cut = home.write("cut.gz", &gzip[..gzip.len() - 4]);
    let padded = home.write("padded.gz", [&gzip[..], &[0; 700]].concat());
    for (path, status) in [(cut, 75), (padded, 0)] {
        let output = run(&["--exit-code"], std::slice::from_ref(&path), b"");
        let log = log(&output);
        assert_eq!(output.status.code(), Some(status), "{path:?}: {log}");
        assert_eq!(contexts(&output).len(), 10, "{path:?}: {log}");
        assert_eq!(
            log.contains("the gzip file ends too early"),
            status == 75,
            "{log}"
        );
    }
}

#[test]
fn the_event_in_a_wrapper_is_the_context() {
    let home = Scratch::new();
    let event = r#"{"timestamp":"2024-05-01T10:00:00Z","dest_ip":"203.0.113.7"}"#;
    let parsed: Value = serde_json::from_str(event).expect("JSON");
    for (number, wrapper) in [
        json!({"log": format!("{event}\n"), "stream": "stdout"}),
        json!({"MESSAGE": event, "_PID": "1"}),
        json!({"version": "1.1", "short_message": event}),
        json!({"@timestamp": "x", "message": format!("May  1 h suricata: {event}")}),
        json!({"events": [{"timestamp": 1, "message": event}], "nextForwardToken": "f"}),
        json!({"message": json!({"log": format!("{event}\n"), "time": "x"}).to_string()}),
        json!({"host": "h", "msg": format!(" @cee: {event}")}),
        json!({"_time": 1, "_raw": event}),
        json!({"logEvents": [{"id": "1", "timestamp": 1, "message": event}]}),
        json!(format!("{event}\n")),
        json!({"events": [parsed]}),
        json!({"value": [parsed]}),
        json!({"Records": [parsed]}),
    ]
    .into_iter()
    .enumerate()
    {
        let path = home.write(&format!("{number}.json"), format!("{wrapper}\n"));
        let output = run(&["--exit-code"], &[path], b"");
        let log = log(&output);
        assert_eq!(output.status.code(), Some(0), "{wrapper}: {log}");
        let contexts = contexts(&output);
        let contexts: Vec<Value> = contexts
            .iter()
            .map(|context| serde_json::from_str(context).expect("JSON"))
            .collect();
        assert_eq!(contexts, std::slice::from_ref(&parsed), "{wrapper}: {log}");
    }
}

#[test]
fn a_log_without_events_counts_as_read() {
    let home = Scratch::new();
    let logs = [
        home.write("empty", ""),
        home.write("blank", "\n \r\n\0\0"),
        home.write("array", "[\n]\n"),
        home.write("close", "#close\t2024-03-05-11-00-00\n"),
        sample("zeek.header-only.log"),
    ];
    for path in &logs {
        let output = run(&["--exit-code"], std::slice::from_ref(path), b"");
        let log = log(&output);
        assert_eq!(output.status.code(), Some(3), "{path:?}: {log}");
        assert!(log.contains("[WARN]"), "{path:?}: {log}");
        assert!(log.contains("it has no events"), "{path:?}: {log}");
    }
}

#[test]
fn a_folder_is_searched_and_what_is_no_log_is_left_out() {
    let home = Scratch::new();
    let folder = home.path().join("logs");
    fs::create_dir_all(folder.join("2024-03-05")).expect("a folder");
    let spool = home.path().join("spool");
    fs::create_dir_all(&spool).expect("a folder");
    for (name, path) in [
        ("zeek.conn.log", folder.join("2024-03-05/conn.log")),
        ("zeek.dns.log", spool.join("dns.log")),
        ("text.log", folder.join("fast.log")),
        ("eve.json", folder.join("eve.json")),
    ] {
        fs::copy(sample(name), path).expect("there is room");
    }
    std::os::unix::fs::symlink(&spool, folder.join("current")).expect("a link");
    fs::hard_link(folder.join("eve.json"), folder.join("eve.json.1")).expect("a link");
    let named_twice = [folder.clone(), folder.join("eve.json")];
    let output = run(&["--exit-code"], &named_twice, b"");
    let log = log(&output);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert_eq!(counter(&log, "events_read"), 8, "{log}");
    assert_eq!(contexts(&output).len(), 7, "{log}");
    assert!(
        log.contains("fast.log is left out: it is not a supported log (text without events)"),
        "{log}"
    );
    assert!(log.contains("is named twice, and read once"), "{log}");
    // A folder without a readable log counts as not searched.
    fs::copy(sample("text.log"), spool.join("fast.log")).expect("there is room");
    fs::remove_file(spool.join("dns.log")).expect("it is there");
    let output = run(&["--exit-code", "--loglevel", "error"], &[spool], b"");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{log}");
    let named = "no file in it is a supported log, and 1 file was left out: fast.log (text";
    assert!(log.contains(named), "{log}");
    // Logs in a compression that is not read are not just left out.
    fs::write(folder.join("old.json.xz"), b"\xfd7zXZ\x00\x00").expect("there is room");
    let output = run(&["--exit-code"], &named_twice[..1], b"");
    assert_eq!(output.status.code(), Some(75));
}

#[test]
fn check_says_which_form_a_log_has() {
    let home = Scratch::new();
    let xz = home.write("eve.json.xz", b"\xfd7zXZ\x00\x00\x04\xe6\xd6");
    for (path, word, status) in [
        (sample("eve.json"), "666 bytes, JSON lines", 0),
        (sample("eve.pretty.json"), "JSON arrays", 0),
        (sample("zeek.conn.log"), "Zeek logs", 0),
        (
            paths::repository().join("tests/samples/logs"),
            " log(s): ",
            0,
        ),
        (home.path().to_owned(), "eve.json.xz: ", 69),
        (
            sample("text.log"),
            "nothing at its beginning is an event",
            69,
        ),
        (xz, "xz -dc", 69),
    ] {
        let output = run(&["--check"], std::slice::from_ref(&path), b"");
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(table.contains(word), "{path:?}: {table}");
        assert_eq!(output.status.code(), Some(status), "{path:?}: {table}");
    }
}

#[test]
fn an_input_that_cannot_be_followed_is_an_error_like_one_that_cannot_be_read() {
    let home = Scratch::new();
    let xz = home.write("eve.json.xz", b"\xfd7zXZ\x00\x00\x04\xe6\xd6");
    let output = run(&["--follow"], &[xz], b"");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{log}");
    assert!(
        log.contains("1 file(s) not understood, or not read to the end"),
        "{log}"
    );
    let folder = home.path().join("empty");
    fs::create_dir(&folder).expect("there is room");
    let mut bridge = following(Bridge::bare(), folder.to_str().expect("UTF-8"));
    bridge.wait_for_log("has no log that can be followed yet", LIMIT);
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
}

/// Appends to a file, as a logger does in one write.
pub fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path);
    let file = file.as_mut().expect("a file of the test");
    file.write_all(text.as_bytes()).expect("there is room");
}

/// Follows `path` from its end.
pub fn following(bridge: Bridge, path: &str) -> Observed {
    bridge
        .file("values.txt", VALUES)
        .args(["--indicators", "values.txt", "--events", path, "--follow"])
        .run()
}

fn next(bridge: &Observed, uid: &str) {
    let line = bridge.line(LIMIT);
    let line = line.unwrap_or_else(|| panic!("nothing for {uid}: {}", bridge.log()));
    let event: Value = serde_json::from_str(&line).expect("an event");
    assert_eq!(event["uid"], uid, "{line}");
}

#[test]
fn a_log_of_zeek_is_followed_through_rotation() {
    let conn = fs::read_to_string(sample("zeek.conn.log")).expect("a sample");
    let (conn, close) = conn.split_at(conn.find("#close").expect("the last line"));
    let bridge = Bridge::bare().file("conn.log", conn);
    let log = bridge.directory().join("conn.log");
    let rotated = bridge.directory().join("conn.1.log");
    let mut bridge = following(bridge, "conn.log");
    next(&bridge, "C1");
    next(&bridge, "C3");
    let row = |uid: &str| {
        format!(
            "1.0\t{uid}\t192.0.2.1\t1\t203.0.113.7\t2\ttcp{}\n",
            "\t-".repeat(6)
        )
    };
    append(&log, &row("C4"));
    next(&bridge, "C4");
    fs::rename(&log, &rotated).expect("the same folder");
    append(&rotated, &row("C5"));
    append(&rotated, close);
    next(&bridge, "C5");
    // It has other columns from here on.
    append(
        &log,
        "#separator \\x09\n#fields\tuid\tid.resp_h\n#types\tst",
    );
    append(&log, "ring\taddr\nC6\t203.0.113.7\n");
    next(&bridge, "C6");
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(bridge.rest(LIMIT).is_empty());
}

#[test]
fn the_logs_of_a_folder_are_followed_and_new_ones_too() {
    let bridge = Bridge::bare();
    let folder = bridge.directory().join("logs");
    fs::create_dir(&folder).expect("a folder");
    let conn = fs::read_to_string(sample("zeek.conn.log")).expect("a sample");
    fs::write(folder.join("conn.log"), &conn).expect("there is room");
    let mut bridge = following(bridge, "logs");
    next(&bridge, "C1");
    next(&bridge, "C3");
    let row = |uid: &str| {
        format!(
            "1.0\t{uid}\t192.0.2.1\t1\t203.0.113.7\t2\ttcp{}\n",
            "\t-".repeat(6)
        )
    };
    append(&folder.join("conn.log"), &row("C4"));
    next(&bridge, "C4");
    append(
        &folder.join("eve.json"),
        "{\"uid\": \"C5\", \"src_ip\": \"203.0.113.7\"}\n",
    );
    next(&bridge, "C5");
    // A copy is made as an archive: all of it was read before.
    fs::copy(folder.join("conn.log"), folder.join("conn.10-11.log")).expect("there is room");
    append(
        &folder.join("eve.json"),
        "{\"uid\": \"C6\", \"src_ip\": \"203.0.113.7\"}\n",
    );
    next(&bridge, "C6");
    // If a log that is new now is found, the archive was found before it.
    append(
        &folder.join("late.json"),
        "{\"uid\": \"C7\", \"src_ip\": \"203.0.113.7\"}\n",
    );
    next(&bridge, "C7");
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(bridge.rest(LIMIT).is_empty(), "{}", bridge.log());
}

#[test]
fn hostile_logs_take_no_more_memory_than_others() {
    const MOST: u64 = 300 << 20;
    let last = "{\"uid\": \"last\", \"src_ip\": \"203.0.113.7\"}\n";
    let zeek_last = "#separator \\x09\n#fields\tuid\tid.resp_h\n#types\tstring\taddr\n\
                     last\t203.0.113.7\n";
    let long = "x".repeat(60 << 20);
    let tabs = "\t".repeat(8 << 20);
    let logs = [
        // A line, an element and an answer without an end, each followed by an event.
        format!("{{\"a\": \"{long}\n{last}"),
        format!("[\n{{\"a\": \"{long}\n{last}"),
        format!("{{\"hits\": {{\"hits\": [{{\"a\": \"{long}\n{last}"),
        format!("{}\n{last}", "[".repeat(60 << 20)),
        format!("{}{last}", "\0".repeat(60 << 20)),
        format!("#separator \\x09\n#fields{tabs}\n#types{tabs}\n{tabs}\n{zeek_last}"),
        format!("#separator \\x09\n#fields\ta\n{long}\n{zeek_last}"),
        format!("#separator {long}\n{zeek_last}"),
    ];
    for text in logs {
        let shown = &text[..40];
        let mut bridge = following(Bridge::bare().file("log", &text), "log");
        let line = bridge.line(LIMIT);
        assert!(
            line.is_some_and(|line| line.contains("last")),
            "{shown}: {}",
            bridge.log()
        );
        let peak = bridge.peak_resident();
        assert!(peak < MOST, "{shown}: {} MiB", peak >> 20);
        bridge.signal(Signal::TERM);
        bridge.wait(LIMIT);
    }
}

/// A value of a column, as JSON and as a cell of Zeek's table.
#[derive(Clone, Debug)]
struct Cell(Option<Value>, String);

/// A text as a cell: what would be read as something else is escaped.
fn escaped(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let is_mark = ["-", "(empty)"].contains(&text);
    let mut cell = String::new();
    for (nth, byte) in text.bytes().enumerate() {
        match byte {
            b'\\' => cell.push_str("\\\\"),
            b' '..=b'~' if byte != b',' && !(nth == 0 && (is_mark || byte == b'#')) => {
                cell.push(char::from(byte));
            }
            _ => cell.push_str(&format!("\\x{byte:02x}")),
        }
    }
    cell
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("www.example.org".to_owned()),
        Just("203.0.113.7".to_owned()),
        "[a-z\\\\\",#(){}\t\n\u{fc}-]{0,10}",
    ]
}

fn text_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell(None, "-".to_owned())),
        text().prop_map(|text| Cell(Some(json!(text)), escaped(&text))),
    ]
}

fn address_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just("203.0.113.7".to_owned()),
        any::<std::net::IpAddr>().prop_map(|address| address.to_string()),
    ]
    .prop_map(|text| Cell(Some(json!(text)), text))
}

fn list_cell() -> impl Strategy<Value = Cell> {
    prop::collection::vec(text(), 0..4).prop_map(|list| {
        let cells: Vec<String> = list.iter().map(|text| escaped(text)).collect();
        let cell = if list.is_empty() {
            "(empty)".to_owned()
        } else {
            cells.join(",")
        };
        // A list with one empty text is written like an empty list.
        let list = if cell == "(empty)" { vec![] } else { list };
        Cell(Some(json!(list)), cell)
    })
}

fn number_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell(None, "-".to_owned())),
        any::<u32>().prop_map(|number| Cell(Some(json!(number)), number.to_string())),
    ]
}

fn double_cell() -> impl Strategy<Value = Cell> {
    (0..2_000_000_000u64, 0..1_000_000u64).prop_map(|(whole, fraction)| {
        let text = format!("{whole}.{fraction:06}");
        let number: f64 = text.parse().expect("a number");
        Cell(Some(json!(number)), text)
    })
}

fn bool_cell() -> impl Strategy<Value = Cell> {
    any::<bool>().prop_map(|is| Cell(Some(json!(is)), if is { "T" } else { "F" }.to_owned()))
}

/// The columns of a random log, and how they are typed.
const COLUMNS: [(&str, &str); 8] = [
    ("ts", "time"),
    ("uid", "string"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "count"),
    ("host", "string"),
    ("query", "string"),
    ("answers", "vector[string]"),
    ("AA", "bool"),
];

fn row() -> impl Strategy<Value = [Cell; 8]> {
    let cells = (
        double_cell(),
        text_cell(),
        address_cell(),
        number_cell(),
        text_cell(),
        text_cell(),
        list_cell(),
        bool_cell(),
    );
    cells.prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h])
}

#[test]
fn random_logs_of_zeek_give_the_same_sightings_in_both_forms() {
    let mut runner = TestRunner::new(Config {
        cases: 16,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..Config::default()
    });
    let logs = prop::collection::vec(row(), 1..300);
    let result = runner.run(&logs, |rows| {
        let names = COLUMNS.map(|(name, _)| name).join("\t");
        let types = COLUMNS.map(|(_, kind)| kind).join("\t");
        let mut table = format!("#separator \\x09\n#fields\t{names}\n#types\t{types}\n");
        let mut lines = String::new();
        for row in &rows {
            let mut event = Map::new();
            for ((name, _), Cell(value, _)) in COLUMNS.iter().zip(row) {
                event.extend(value.clone().map(|value| ((*name).to_owned(), value)));
            }
            table += &(row.clone().map(|cell| cell.1).join("\t") + "\n");
            lines += &(Value::from(event).to_string() + "\n");
        }
        let home = Scratch::new();
        let found = |name, text: &str| {
            let output = run(&[], &[home.write(name, text)], b"");
            let log = log(&output);
            assert_eq!(counter(&log, "events_read"), rows.len() as u64, "{log}");
            let values = contexts(&output);
            let mut values: Vec<String> = values
                .iter()
                .map(|line| {
                    let value: Value = serde_json::from_str(line).expect("an event");
                    value.to_string()
                })
                .collect();
            values.sort();
            values
        };
        prop_assert_eq!(found("table", &table), found("lines", &lines));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

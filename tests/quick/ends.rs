//! Honest ends: what a run says at its end about what it did not do, and what signals do to it.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::bridge::{Bridge, program};
use crate::support::broker::{Broker, BrokerKind};
use crate::support::eventually;
use crate::support::messages::stix_indicator;
use crate::support::paths;
use crate::support::scene::{LIMIT, Scene, engine, uids};
use crate::support::standin::Standin;
use rustix::process::Signal;
use serde_json::json;

/// The levels of the log, from the most messages to the fewest.
const LEVELS: [&str; 6] = ["notset", "debug", "info", "warning", "error", "critical"];

/// A hunt in stored events for these indicators; a query for `slow.example` is never answered.
fn hunt(engine: &Standin, indicators: &str) -> Bridge {
    Bridge::between("127.0.0.1:9", engine)
        .file("indicators", indicators)
        .args(["--indicators", "indicators", "--batch-size", "1"])
        .args(["--max-background-tasks", "1", "--exit-code"])
}

fn last_line(log: &str) -> &str {
    log.lines().last().expect("a log")
}

#[test]
fn a_run_that_was_interrupted_is_not_complete_and_says_what_is_left() {
    let engine = engine(&[("a.example", 1)]).with("faults", json!({"hang_on": ["slow.example"]}));
    // The first one matches, which alone would give status 0.
    let mut bridge = hunt(&engine, "a.example\nslow.example\nb.example\nc.example\n").run();
    bridge.line(LIMIT).expect("a match");
    engine.wait_for_exports(2, LIMIT);
    bridge.signal(Signal::INT);
    assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
    let log = bridge.log();
    let last = last_line(&log);
    assert!(last.contains("[ERROR] the run is not complete: "), "{log}");
    assert!(last.contains("it was ended by SIGINT"), "{last}");
    assert!(
        last.contains("3 of 4 indicator(s) were not searched"),
        "{last}"
    );
}

#[test]
fn log_files_that_were_not_searched_are_reported() {
    let bridge = Bridge::bare()
        .file("eve.json", "{\"host\": \"a.example\"}\n".repeat(10))
        .file("indicators", "a.example\n")
        .args(["--indicators", "indicators", "--exit-code"])
        .args(["--events", "eve.json", "pipe"]);
    let pipe = bridge.directory().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let mut bridge = bridge.run();
    // Nobody ever writes to the pipe.
    assert_eq!(bridge.lines(10, LIMIT).len(), 10, "{}", bridge.log());
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
    let log = bridge.log();
    assert!(last_line(&log).contains("1 of 1 indicator(s)"), "{log}");
}

#[test]
fn an_indicator_that_the_end_cuts_off_is_not_rejected() {
    let bridge = Bridge::bare()
        .file("eve.json", "{\"host\": \"a.example\"}\n")
        .args(["--indicators", "pipe", "--events", "eve.json"])
        .args(["--loglevel", "debug"]);
    let pipe = bridge.directory().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let mut bridge = bridge.run();
    let mut feed = File::options().write(true).open(&pipe).expect("a reader");
    let whole = stix_indicator(1, "[domain-name:value = 'a.example']", None).to_string();
    let cut = &whole[..whole.len() / 2];
    // More than is read at once, so that the last one is there by half.
    let text = format!("{}{cut}", format!("{whole}\n").repeat(3));
    feed.write_all(text.as_bytes()).expect("the pipe is read");
    bridge.wait_for_log("is read", LIMIT);
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
    assert_eq!(bridge.count_logs("rejected"), 0, "{}", bridge.log());
}

#[test]
fn a_service_that_is_stopped_has_status_0() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    let mut bridge = Bridge::start(&broker, &engine, &[]);
    bridge.wait_for_log("subscribed to", LIMIT);
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    assert_eq!(bridge.count_logs("not complete"), 0, "{}", bridge.log());
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let engine = engine(&[("a.example", 4)]).with("faults", json!({"delay_per_line_seconds": 0.3}));
    let mut scene = Scene::start(engine, &[]);
    scene.publish(1, "a.example");
    let mut contexts = scene.contexts(1);
    // This is what `timeout` does.
    scene.bridge.signal(Signal::TERM);
    scene.bridge.wait_for_log("SIGTERM: stopping", LIMIT);
    scene.bridge.signal(Signal::TERM);
    assert_eq!(scene.bridge.wait(LIMIT).code(), Some(0));
    contexts.extend(scene.contexts(3));
    let log = scene.bridge.log();
    assert_eq!(uids(&contexts), ["C0", "C1", "C2", "C3"], "{log}");
    assert!(log.contains("sightings_sent=4"), "{log}");
}

#[test]
fn a_run_that_received_no_indicator_says_so() {
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    for (arguments, status) in [(&["--exit-code"][..], 75), (&[], 0)] {
        let mut bridge = Bridge::between(&broker.endpoint(), &engine)
            .args(["--once", "--idle", "1"])
            .args(arguments)
            .run();
        assert_eq!(bridge.wait(LIMIT).code(), Some(status), "{}", bridge.log());
        let line = bridge.wait_for_log("no indicator was received from the bus", LIMIT);
        assert!(line.contains("[WARN]"), "{line}");
    }
}

#[test]
fn the_status_is_the_same_at_every_level_and_no_failure_is_silent() {
    let refusing =
        Standin::with_samples().with("faults", json!({"refuse_values": ["www.example.com"]}));
    let good = Standin::with_samples();
    let sink = ["--sink", "false"];
    for (engine, indicators, arguments, status) in [
        (&refusing, "www.example.com\n", &[][..], 75),
        (&good, "www.example.com\n", &sink, 75),
        (
            &good,
            "www.example.com\n",
            &["--transform-context", "false"],
            75,
        ),
        (&good, "203.0.113.200\n", &[], 3),
        (&good, "www.example.com\n", &[], 0),
        (&good, "no value\n", &[], 75),
    ] {
        // At the same time, since a sink command that fails is tried for 15 s.
        let runs = LEVELS.map(|level| {
            let bridge = hunt(engine, indicators).args(arguments);
            (level, bridge.args(["-l", level]).run())
        });
        for (level, mut bridge) in runs {
            let code = bridge.wait(LIMIT).code();
            let log = bridge.log();
            assert_eq!(code, Some(status), "{level} {arguments:?} {log}");
            let is_silent = !log.contains("[ERROR]");
            let is_good = status != 75 && arguments.is_empty();
            assert_eq!(is_silent, is_good, "{level}: {log}");
        }
    }
}

/// Whether this test itself has a terminal: SIGHUP would then mean that it is gone.
fn at_a_terminal() -> bool {
    let is = File::open("/dev/tty").is_ok();
    if is {
        paths::skipped("there is a terminal");
    }
    is
}

/// Whether SIGHUP was ignored when this test was started (`nohup`), which stays so.
fn hangups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("it runs");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let are = ignored.is_some_and(|mask| mask & 1 != 0);
    if are {
        paths::skipped("SIGHUP is ignored here");
    }
    are
}

#[test]
fn sighup_without_a_terminal_reopens_the_log_and_ends_nothing() {
    if at_a_terminal() || hangups_are_ignored() {
        return;
    }
    let broker = Broker::start(BrokerKind::Ports);
    let engine = engine(&[]);
    let bridge = Bridge::between(&broker.endpoint(), &engine).file(
        "config.yaml",
        "logging: {file: true, filename: bridge.log, file_verbosity: info}\n",
    );
    let log = bridge.directory().join("bridge.log");
    let mut bridge = bridge.run();
    bridge.wait_for_log("subscribed to", LIMIT);
    fs::rename(&log, log.with_extension("1")).expect("rename");
    bridge.signal(Signal::HUP);
    bridge.wait_for_log("SIGHUP: reopening files", LIMIT);
    assert!(eventually(Duration::from_millis(500), || log.exists()));
    bridge.signal(Signal::USR1);
    let has_status =
        || fs::read_to_string(&log).is_ok_and(|text| text.contains("status: running for"));
    assert!(eventually(LIMIT, has_status));
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
}

#[test]
fn sighup_reads_indicators_and_what_is_allowed_again() {
    if at_a_terminal() || hangups_are_ignored() {
        return;
    }
    let bridge = Bridge::bare()
        .file("feed", "one.example\ntwo.example\n")
        .file("allow", "two.example\n")
        .file("eve.json", "")
        .args(["--follow", "--loglevel", "info", "--allow", "allow"])
        .args(["--indicators", "feed", "--events", "eve.json"]);
    let at = |name: &str| bridge.directory().join(name);
    let (feed, allow, log) = (at("feed"), at("allow"), at("eve.json"));
    let mut bridge = bridge.run();
    bridge.wait_for_log("read 2 indicator(s)", LIMIT);
    fs::write(&allow, "one.example\n").expect("a file");
    bridge.signal(Signal::HUP);
    bridge.wait_for_log("reloaded the files of --allow", LIMIT);
    // The feed itself has not changed.
    bridge.wait_for_log("feed is read again: 0 indicator(s) are new", LIMIT);
    let event = |name: &str| {
        let event = json!({
            "timestamp": "2024-05-01T10:00:00.000001+0000", "event_type": "dns",
            "dns": {"rrname": name},
        });
        format!("{event}\n")
    };
    let events: String = ["one.example", "two.example"].map(event).concat();
    let mut end = File::options().append(true).open(&log).expect("a file");
    end.write_all(events.as_bytes()).expect("it is written");
    let found = bridge.line(LIMIT).expect("a sighting");
    assert!(found.contains("two.example"), "{found}");
    // A file that cannot be read changes nothing.
    fs::remove_file(&allow).expect("it is there");
    bridge.signal(Signal::HUP);
    bridge.wait_for_log("keeping the values that were allowed before", LIMIT);
    fs::write(&feed, "").expect("a file");
    bridge.signal(Signal::HUP);
    bridge.wait_for_log("is read again, but its former indicators stay", LIMIT);
    let again = event("two.example");
    end.write_all(again.as_bytes()).expect("it is written");
    assert!(bridge.line(LIMIT).expect("it").contains("two.example"));
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(bridge.rest(LIMIT).is_empty());
}

/// The configuration of a bridge that waits for its bus for ever.
const WAITING: &str = "threatbus: \"127.0.0.1:9\"\nretro_match: true\nconnect_timeout: 0\n\
                       logging: {console: false, file: true, filename: bridge.log}\n";

/// Starts `script`, with the program of this test for `$0`, as a bridge that waits.
fn waiting(wrapper: &[&str], engine: &Standin) -> (std::process::Child, crate::support::Scratch) {
    let scratch = crate::support::Scratch::new();
    let place = format!(
        "vast: \"{}\"\nvast_binary: {}\n",
        engine.endpoint(),
        engine.path().display()
    );
    scratch.write("config.yaml", format!("{WAITING}{place}"));
    let mut command = Command::new(wrapper[0]);
    let child = command
        .args(&wrapper[1..])
        .arg(program())
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    (child.expect("the wrapper starts"), scratch)
}

fn logs(scratch: &crate::support::Scratch, words: &str) -> bool {
    let text = fs::read_to_string(scratch.path().join("bridge.log"));
    text.is_ok_and(|text| text.contains(words))
}

#[test]
fn sighup_is_an_end_where_a_terminal_hangs_up() {
    if hangups_are_ignored() {
        return;
    }
    const SCRIPT: &str = "import os, pty, sys, time\n\
        pid, terminal = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
        while not os.path.exists('hang-up'): time.sleep(0.01)\n\
        os.close(terminal)\n\
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let engine = engine(&[]);
    let (mut child, scratch) = waiting(&["python3", "-c", SCRIPT], &engine);
    assert!(eventually(LIMIT, || logs(&scratch, "is not ready")));
    scratch.write("hang-up", "");
    assert!(child.wait().expect("it ends").success());
    assert!(logs(&scratch, "SIGHUP: stopping"));
}

#[test]
fn sighup_that_was_ignored_at_start_stays_so() {
    let engine = engine(&[]);
    let (mut child, scratch) = waiting(&["nohup"], &engine);
    assert!(eventually(LIMIT, || logs(&scratch, "is not ready")));
    let pid = i32::try_from(child.id()).ok();
    let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, Signal::HUP).expect("it runs");
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        assert!(child.try_wait().expect("its status can be read").is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!logs(&scratch, "SIGHUP"));
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_deadline_says_what_is_left_too() {
    let engine = engine(&[]).with("faults", json!({"hang_on": ["slow.example"]}));
    let mut bridge = hunt(&engine, "slow.example\nb.example\n")
        .args(["--deadline", "1", "-l", "error"])
        .run();
    assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
    let log = bridge.log();
    assert!(
        last_line(&log).contains("the deadline has passed; 2 of 2 indicator(s)"),
        "{log}"
    );
}

//! The bridge with real programs of its host: rsyslog receives what a sink sends, and logrotate
//! moves the log away.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::bridge::Bridge;
use crate::support::paths::{installed, neighbour};
use crate::support::scene::LIMIT;
use crate::support::{Scratch, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A program from the package of one of them.
fn command(place: &Path, program: &str) -> Command {
    let mut command = Command::new(place.join(program));
    command.env("LD_LIBRARY_PATH", place.join(LIBRARIES));
    command
}

/// A daemon that is ended with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bridge that stays, with a log file, at the end of an empty log.
fn following() -> Bridge {
    Bridge::bare()
        .file(
            "config.yaml",
            "logging: {console: true, file: true, filename: bridge.log, file_verbosity: info}\n",
        )
        .file("list", "evil.example\n")
        .file("eve.json", "")
        .args(["--indicators", "list", "--events", "eve.json", "--follow"])
}

#[test]
fn logrotate_moves_the_log_away_and_nothing_of_it_is_lost() {
    let Some(place) = neighbour("usr/sbin/logrotate") else {
        return;
    };
    if File::open("/dev/tty").is_ok() {
        println!("skipped: there is a terminal, whose end SIGHUP would be");
        return;
    }
    let bridge = following();
    let folder = bridge.directory().to_owned();
    let mut bridge = bridge.run();
    bridge.wait_for_log("following eve.json", LIMIT);
    // The usual way: the reload of the unit is this signal.
    let log = folder.join("bridge.log");
    let configuration = folder.join("rotate.conf");
    let text = format!(
        "{} {{\n  rotate 3\n  missingok\n  nocompress\n  postrotate\n    kill -HUP {}\n  \
         endscript\n}}\n",
        log.display(),
        bridge.pid()
    );
    fs::write(&configuration, text).expect("a file");
    for path in [&configuration, &folder] {
        let mode = fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o755;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    for round in 1..=2 {
        let output = command(&place, "usr/sbin/logrotate")
            .arg("--force")
            .arg("--state")
            .arg(folder.join("rotate.state"))
            .arg(&configuration)
            .output()
            .expect("logrotate runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        bridge.wait_for_logs("SIGHUP: reopening files", round, LIMIT);
        assert!(eventually(LIMIT, || log.exists()));
        bridge.signal(Signal::USR1);
        let has_status =
            || fs::read_to_string(&log).is_ok_and(|text| text.contains("status: running"));
        assert!(eventually(LIMIT, has_status));
    }
    assert!(bridge.is_running());
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let files = ["bridge.log.2", "bridge.log.1", "bridge.log"];
    let parts = files.map(|name| fs::read_to_string(folder.join(name)).expect(name));
    let whole = parts.concat();
    // The same lines as on standard error, in the same order. Each of the two reads the clock for
    // itself, so the times may differ in the last digit.
    let lines = |text: &str| {
        text.lines()
            .map(|line| {
                line.split_once(' ')
                    .map_or(line, |(_, rest)| rest)
                    .to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&whole), lines(&bridge.log()));
}

#[test]
fn rsyslog_gets_every_sighting_whole() {
    let (Some(place), Some(_)) = (neighbour("usr/sbin/rsyslogd"), installed("logger")) else {
        return;
    };
    let scratch = Scratch::new();
    let at = |name: &str| scratch.path().join(name);
    let modules = place.join(LIBRARIES).join("rsyslog");
    let configuration = scratch.write(
        "rsyslog.conf",
        format!(
            "global(maxMessageSize=\"64k\" workDirectory=\"{folder}\")\n\
             module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{folder}/socket\" RateLimit.Interval=\"0\")\n\
             template(name=\"plain\" type=\"string\" string=\"%msg%\\n\")\n\
             if $programname == \"bridge\" then {{\n  \
             action(type=\"omfile\" file=\"{folder}/sightings\" template=\"plain\")\n}}\n",
            folder = scratch.path().display()
        ),
    );
    let daemon = command(&place, "usr/sbin/rsyslogd")
        .arg("-n")
        .arg("-f")
        .arg(configuration)
        .arg("-i")
        .arg(at("pid"))
        .arg("-M")
        .arg(modules)
        .stderr(Stdio::null())
        .spawn();
    let _daemon = Daemon(daemon.expect("rsyslogd runs"));
    assert!(eventually(LIMIT, || at("socket").exists()));
    // Each is far longer than the 1,024 bytes of the old protocol.
    let event = |n: u64| {
        let event = json!({
            "timestamp": "2024-03-05T09:00:00.000000+0000", "flow_id": n, "event_type": "dns",
            "dns": {"rrname": "evil.example"}, "long": "x".repeat(8000),
        });
        format!("{event}\n")
    };
    let sink = format!(
        "logger --socket {} --tag bridge --size 64KiB",
        at("socket").display()
    );
    let mut bridge = Bridge::bare()
        .file("list", "evil.example\n")
        .file("eve.json", (0..50).map(event).collect::<String>())
        .args(["--indicators", "list", "--events", "eve.json"])
        .args(["--sink", &sink, "--sink-mode", "lines"])
        .run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let numbers = || {
        let text = fs::read_to_string(at("sightings")).unwrap_or_default();
        let number =
            |line: &str| serde_json::from_str::<Value>(line.trim()).ok()?["flow_id"].as_u64();
        let mut numbers: Vec<u64> = text.lines().filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    };
    let all: Vec<u64> = (0..50).collect();
    assert!(eventually(LIMIT, || numbers() == all), "{:?}", numbers());
}

//! Commands that stay: transformations and sinks of `lines`, with the real `fever`,
//! `jq` and `logger`, and with kills at any moment.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::observed::Observed;
use crate::support::{eventually, paths, process};
use rustix::process::Signal;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// This many requests to each of this many hosts, mixed, as Suricata logs them.
fn events(hosts: usize, each: usize) -> String {
    let event = |n: usize| {
        let host = format!("h{}.example", n % hosts);
        event(&host, n)
    };
    (0..hosts * each).map(event).collect()
}

fn event(host: &str, n: usize) -> String {
    let event = json!({
        "timestamp": "2024-03-05T09:00:15.075954+0000", "flow_id": n, "event_type": "http",
        "src_ip": "192.0.2.10", "dest_ip": "198.51.100.7",
        "http": {"hostname": host, "url": "/ü\u{2028}\n"},
    });
    format!("{event}\n")
}

fn hosts(count: usize) -> String {
    (0..count).map(|n| format!("h{n}.example\n")).collect()
}

/// A run over such events, which ends by itself.
fn hunt(hosts_: usize, each: usize) -> Bridge {
    Bridge::bare()
        .file("eve.json", events(hosts_, each))
        .file("indicators", hosts(hosts_))
        .args(["--events", "eve.json", "--indicators", "indicators"])
}

/// How often each context comes. What depends on the clock is left out.
fn contexts(lines: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let mut context: Value = serde_json::from_str(line).expect("a line of JSON");
        if context["event_type"] == "alert" {
            context["timestamp"] = Value::Null;
        }
        *counts.entry(context.to_string()).or_default() += 1;
    }
    counts
}

fn transformed(
    command: &str,
    mode: &str,
    hosts: usize,
    each: usize,
) -> (BTreeMap<String, usize>, String) {
    let bridge = hunt(hosts, each).args(["-T", command, "--transform-mode", mode]);
    let mut bridge = bridge.run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let lines = bridge.rest(LIMIT);
    assert!(bridge.leaves_nothing(LIMIT));
    (contexts(&lines), bridge.log())
}

#[test]
fn real_commands_give_the_same_contexts_in_both_modes() {
    let mut commands = vec![
        "cat",
        "jq -c .",
        "jq -c --unbuffered '. + {a: 1}'",
        "jq -c '. + {ioc: $i, type: $t}' --arg i %ioc --arg t %matchtype",
    ];
    if paths::fever().is_some() {
        commands.push("fever alertify --alert-prefix 'MY PREFIX' --extra-key my-ioc --ioc %ioc");
    }
    for command in commands {
        if command.starts_with("jq") && paths::installed("jq").is_none() {
            continue;
        }
        let (each, _) = transformed(command, "each", 12, 4);
        let (lines, log) = transformed(command, "lines", 12, 4);
        assert_eq!(each.values().sum::<usize>(), 48, "{command}");
        assert_eq!(each, lines, "{command}");
        assert!(!log.contains("[WARN]"), "{command}: {log}");
    }
}

#[test]
fn a_command_that_misbehaves_is_reported_and_nothing_is_lost() {
    // `jq .` prints several lines for one context; `each` reads them as one value.
    if paths::installed("jq").is_none() {
        return;
    }
    let (each, _) = transformed("jq .", "each", 3, 10);
    let (lines, log) = transformed("jq .", "lines", 3, 10);
    assert_eq!(each, lines);
    assert!(
        log.contains("[WARN]") && log.contains("one by one"),
        "{log}"
    );
    assert!(log.contains("transforms_repeated="), "{log}");
}

#[test]
fn contexts_that_a_command_does_not_answer_are_handed_over_one_by_one() {
    // Each command handles the first context correctly, which is all that `each` needs. Then it
    // dies, or prints nothing more, too much, or no JSON.
    for rest in [
        "exit 3",
        "while read l; do :; done",
        "while read l; do echo \"$l\"; echo \"$l\"; done",
        "while read l; do echo garbage; done",
        "cat >/dev/null; echo {}",
    ] {
        let more = format!("if read m; then echo \"$m\" >/dev/null; {rest}; fi");
        let command = format!("sh -c 'read l; echo \"$l\"; {more}'");
        let (each, _) = transformed(&command, "each", 3, 10);
        let (lines, log) = transformed(&command, "lines", 3, 10);
        assert_eq!(each.values().sum::<usize>(), 30, "{command}");
        assert_eq!(each, lines, "{command}");
        assert!(log.contains("one by one"), "{command}: {log}");
    }
}

#[test]
fn a_transformation_that_fails_leaves_the_run_incomplete() {
    for mode in ["each", "lines"] {
        let bridge = hunt(2, 3).args(["-T", "false", "--transform-mode", mode]);
        let mut bridge = bridge.run();
        assert_eq!(bridge.wait(LIMIT).code(), Some(75), "{}", bridge.log());
        assert!(bridge.rest(LIMIT).is_empty());
        bridge.wait_for_log("6 sighting(s) that the sink did not get", LIMIT);
    }
}

/// A run that follows a file that is still empty.
fn following(arguments: &[&str]) -> Observed {
    let bridge = Bridge::bare()
        .file("eve.json", "")
        .file("indicators", hosts(3))
        .args([
            "--events",
            "eve.json",
            "--indicators",
            "indicators",
            "--follow",
        ])
        .args(arguments)
        .run();
    bridge.wait_for_log("following", LIMIT);
    bridge
}

/// The process of the command, a child of the bridge.
fn command_of(bridge: &Observed) -> Option<u32> {
    bridge.children().first().copied()
}

/// Kills the command that stays, and not one that was started for a single context.
fn kill_what_stays(bridge: &Observed) -> bool {
    let before = command_of(bridge);
    std::thread::sleep(Duration::from_millis(20));
    let stays = before.filter(|pid| command_of(bridge) == Some(*pid));
    stays.map(process::kill).is_some()
}

#[test]
fn kills_of_the_transformation_lose_swap_and_double_nothing() {
    let mut bridge = following(&["-T", "cat", "--transform-mode", "lines"]);
    let path = bridge.directory().join("eve.json");
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .expect("the file");
    let (count, mut kills) = (3000, 0);
    for n in 0..count {
        file.write_all(event(&format!("h{}.example", n % 3), n).as_bytes())
            .expect("written");
        if n % 100 == 99 {
            std::thread::sleep(Duration::from_millis(150));
            kills += usize::from(kill_what_stays(&bridge));
        }
    }
    let lines = bridge.lines(count, LIMIT);
    assert_eq!(lines.len(), count, "{}", bridge.log());
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(bridge.rest(LIMIT).is_empty());
    let counts = contexts(&lines);
    assert_eq!(counts.len(), count);
    assert!(counts.values().all(|number| *number == 1));
    assert!(kills > 2, "{kills}");
}

#[test]
fn a_killed_bridge_leaves_no_command_behind() {
    for (option, mode) in [("-T", "--transform-mode"), ("-S", "--sink-mode")] {
        let mut bridge = following(&[option, "cat", mode, "lines"]);
        let path = bridge.directory().join("eve.json");
        fs::write(path, events(3, 20)).expect("written");
        assert!(eventually(LIMIT, || command_of(&bridge).is_some()));
        bridge.signal(Signal::KILL);
        bridge.wait(LIMIT);
        assert!(bridge.leaves_nothing(LIMIT), "{option}");
    }
}

#[test]
fn a_sink_that_stays_is_one_process_and_gets_a_context_a_line() {
    let bridge = hunt(4, 25);
    let out = bridge.directory().join("out");
    let starts = bridge.directory().join("starts");
    let command = format!(
        "sh -c 'echo >> {}; exec cat > {}'",
        starts.display(),
        out.display()
    );
    let mut bridge = bridge
        .args(["--sink", &command, "--sink-mode", "lines"])
        .run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    let text = fs::read_to_string(&out).expect("the output");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(contexts(&lines).len(), 100);
    assert_eq!(lines.len(), 100);
    assert_eq!(fs::read_to_string(&starts).expect("the starts"), "\n");
    assert!(
        bridge.log().contains("sightings_sent=100"),
        "{}",
        bridge.log()
    );
    assert!(bridge.leaves_nothing(LIMIT));
}

#[test]
fn what_a_killed_sink_may_not_have_read_is_handed_over_again() {
    let folder = crate::support::Scratch::new();
    let out = folder.path().join("out");
    // It is slow, so that there is always something in the pipe when it is killed.
    let script = format!(
        "while read -r x; do printf \"%s\\\\n\" \"$x\" >> {}; sleep 0.002; done",
        out.display()
    );
    let command = format!("sh -c '{script}'");
    let mut bridge = following(&["--sink", &command, "--sink-mode", "lines"]);
    let path = bridge.directory().join("eve.json");
    fs::write(path, events(3, 300)).expect("written");
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(150));
        assert!(eventually(LIMIT, || command_of(&bridge).is_some()));
        command_of(&bridge).into_iter().for_each(process::kill);
    }
    bridge.wait_for_logs("starting it again", 3, LIMIT);
    let read = || whole_lines(&out);
    assert!(
        eventually(LIMIT, || contexts(&read()).len() == 900),
        "{}",
        bridge.log()
    );
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert!(
        bridge.log().contains("sightings_sent=900"),
        "{}",
        bridge.log()
    );
}

/// The lines of a file, without the last one if a kill cut it off.
fn whole_lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_ok());
    lines.map(str::to_owned).collect()
}

#[test]
fn a_sink_that_never_accepts_anything_is_given_up() {
    let mut bridge = hunt(2, 3)
        .args([
            "--sink",
            "sh -c 'echo no disk >&2; exit 7'",
            "--sink-mode",
            "lines",
        ])
        .run();
    let status = bridge.wait(LIMIT);
    assert_eq!(status.code(), Some(75), "{}", bridge.log());
    let log = bridge.log();
    assert!(log.contains("exit status 7, no disk"), "{log}");
    assert!(log.contains("sightings_failed=6"), "{log}");
}

#[test]
fn logger_gets_every_context() {
    if paths::installed("logger").is_none() {
        return;
    }
    let folder = crate::support::Scratch::new();
    let path = folder.path().join("log");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a time limit");
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        let mut numbers: Vec<u64> = (0..200)
            .map(|_| {
                let length = socket.recv(&mut buffer).expect("a message");
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let json = &text[text.find('{').expect("JSON")..];
                let context: Value = serde_json::from_str(json).expect("JSON");
                context["flow_id"].as_u64().expect("a number")
            })
            .collect();
        numbers.sort_unstable();
        numbers
    });
    let command = format!(
        "logger --socket {} --tag bridge --size 8KiB",
        path.display()
    );
    let mut bridge = hunt(4, 50)
        .args(["--sink", &command, "--sink-mode", "lines"])
        .run();
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    assert_eq!(
        reader.join().expect("all come"),
        (0..200).collect::<Vec<u64>>()
    );
}

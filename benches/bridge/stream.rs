//! A million matching events from the engine to standard output, against `cat`
//! and `jq` with the same bytes.
//!
//! The stand-in evaluates each event and is slower than what is measured here,
//! so a script poses as `vast`: its answer to a query is a file, put out by
//! `cat`.

use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::contender::{LIMIT, cpu_seconds};
use crate::results::{Results, round};
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::peer::Publisher;
use crate::support::process::{Group, memory};
use crate::support::{Scratch, eventually, paths};

const EVENTS: usize = 1_000_000;

/// The name that all events hold.
const NAME: &str = "evil.bench.example";

pub fn run(results: &mut Results) {
    let scratch = Scratch::new();
    let file = scratch.path().join("answer");
    let bytes = write_events(&file);
    let cat = pipe(Command::new("cat").arg(&file));
    add(results, "cat", bytes, cat, Value::Null, Value::Null);
    match pipe_jq(&file) {
        Some(taken) => add(results, "jq -c .", bytes, taken, Value::Null, Value::Null),
        None => println!("jq is not installed: left out"),
    }
    for indicators in [1, 1_000] {
        through_the_bridge(results, &scratch, &file, bytes, indicators);
    }
}

fn add(results: &mut Results, what: &str, bytes: u64, taken: Duration, cpu: Value, peak: Value) {
    results.add(
        "stream",
        &[
            ("through", json!(what)),
            ("events", json!(EVENTS)),
            ("MB", round(bytes as f64 / 1e6)),
            ("seconds", round(taken.as_secs_f64())),
            ("MB/s", round(bytes as f64 / 1e6 / taken.as_secs_f64())),
            ("MB/s of one core", cpu),
            ("peak MiB", peak),
        ],
    );
}

/// Flow records of about 500 bytes, each different; gives the size.
fn write_events(file: &Path) -> u64 {
    let file = std::fs::File::create(file).expect("the temporary directory has 500 MB");
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut bytes = 0;
    for number in 0..EVENTS {
        let (minute, second) = (number / 60 % 60, number % 60);
        let (port, size) = (number * 31 % 65_536, number * 7_919 % 1_000_003);
        let line = format!(
            r#"{{"ts": "2021-03-01T12:{minute:02}:{second:02}.{number:09}", "uid": "C{number:016x}", "id.orig_h": "10.1.2.3", "id.orig_p": {port}, "id.resp_h": "10.4.5.6", "id.resp_p": 80, "trans_depth": 1, "method": "GET", "host": "{NAME}", "uri": "/update/{number:x}/index.php?id={size}", "referrer": "http://www.example.org/", "version": "1.1", "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:86.0) Gecko/20100101 Firefox/86.0", "request_body_len": 0, "response_body_len": {size}, "status_code": 200, "status_msg": "OK", "tags": [], "resp_mime_types": ["text/html"]}}"#
        );
        writeln!(out, "{line}").expect("the temporary directory has 500 MB");
        bytes += line.len() as u64 + 1;
    }
    out.flush().expect("the temporary directory has 500 MB");
    bytes
}

/// From the first byte of a command's output to the end of the last line.
fn pipe(command: &mut Command) -> Duration {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    let taken = read_lines(&mut stdout);
    drop(stdout);
    child.wait().expect("a child can be waited for");
    taken
}

fn pipe_jq(file: &Path) -> Option<Duration> {
    let there = Command::new("jq")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    there.ok()?;
    Some(pipe(Command::new("jq").args(["-c", "."]).arg(file)))
}

fn read_lines(pipe: &mut impl Read) -> Duration {
    let mut buffer = vec![0; 256 * 1024];
    let (mut lines, mut started) = (0, None);
    while lines < EVENTS {
        let count = pipe.read(&mut buffer).expect("a pipe can be read");
        assert!(count > 0, "the output ended after {lines} lines");
        started.get_or_insert_with(Instant::now);
        lines += memchr::memchr_iter(b'\n', &buffer[..count]).count();
    }
    assert_eq!(lines, EVENTS);
    started.map_or(Duration::ZERO, |started| started.elapsed())
}

/// The script that poses as `vast`: only a query with [`NAME`] in a list has an answer, as
/// the name is in a field and not in a list of the event.
fn write_engine(scratch: &Scratch, file: &Path) -> PathBuf {
    let script = format!(
        "#!/bin/sh\n\
         case \" $* \" in\n\
         *' version '*) echo '{{\"VAST\": \"v2.0.0\"}}' ;;\n\
         *' status '*) echo '{{}}' ;;\n\
         *' export '*) if grep -q '\"{NAME}\"[],]'; then cat '{}'; n={EVENTS}; else n=0; fi\n\
         echo \"exporter processed $n candidates in 1ms and shipped $n results\" >&2 ;;\n\
         esac\n",
        file.display()
    );
    let path = scratch.write("vast", script);
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, executable).expect("a file of ours");
    path
}

fn through_the_bridge(
    results: &mut Results,
    scratch: &Scratch,
    file: &Path,
    bytes: u64,
    indicators: usize,
) {
    let engine = write_engine(scratch, file);
    let broker = Broker::start(BrokerKind::Legacy);
    let mut publisher = Publisher::connect(&broker);
    let log = scratch.path().join("log");
    let mut command = paths::clean_command(crate::support::bridge::program(), scratch.path());
    command
        .args(["--retro-match", "--sink", "STDOUT", "-l", "info"])
        .args(["-t", &broker.endpoint(), "-b"])
        .arg(engine)
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).expect("a file of ours"));
    let mut bridge = Group::spawn(&mut command).expect("the program runs");
    let subscribed =
        || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("subscribed to"));
    assert!(eventually(LIMIT, subscribed), "not subscribed");
    let before = cpu_seconds(bridge.pid());
    for number in 1..indicators {
        let name = format!("{number}.bench.example");
        publisher.publish_indicator(number as u64, Ioc::Domain(&name));
    }
    publisher.publish_indicator(0, Ioc::Domain(NAME));
    let mut stdout = bridge.leader().stdout.take().expect("a pipe");
    let taken = read_lines(&mut stdout);
    let cpu = cpu_seconds(bridge.pid()).0 - before.0;
    let peak = memory(bridge.pid(), "VmHWM").expect("the bridge runs");
    let what = format!("this program, {indicators} indicator(s)");
    let per_core = round(bytes as f64 / 1e6 / cpu);
    let peak = round(peak as f64 / 1_048_576.0);
    add(results, &what, bytes, taken, per_core, peak);
}

//! The stand-in engine at the engine's own cost, and events for it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Scratch;
use crate::support::standin::Standin;

/// What the engine's client takes for its own shut-down, in seconds: every query
/// lives this long at the least (measured on VAST 2020.12.16 and 2021.01.28).
const SHUTDOWN: f64 = 0.75;

/// What each value beyond 1,000 takes, in seconds: 100,000 names in one list
/// took 22.6 s (measured there).
const PER_IOC: f64 = 0.00022;

/// Every tenth name is in one event.
pub const MATCH_EVERY: usize = 10;

/// Events that match nothing, beside those that do.
pub const OTHERS: usize = 9_000;

/// The name that indicator number `n` asks for.
pub fn name(n: usize) -> String {
    format!("host-{n}.bench.example")
}

/// An engine that holds an event for every tenth of `indicators` names.
pub fn engine(indicators: usize) -> (Standin, Scratch) {
    let scratch = Scratch::new();
    let folder = scratch.path().join("events");
    std::fs::create_dir(&folder).expect("a folder can be made");
    let matching = (0..indicators).step_by(MATCH_EVERY).map(name);
    let others = (0..OTHERS).map(|n| format!("other-{n}.example"));
    let mut lines = String::new();
    for (number, query) in matching.chain(others).enumerate() {
        let (minute, second) = (number / 60 % 60, number % 60);
        writeln!(
            lines,
            r#"{{"ts": "2021-03-01T12:{minute:02}:{second:02}.000000000", "uid": "C{number:016x}", "id.orig_h": "10.0.0.1", "id.orig_p": 53124, "id.resp_h": "10.0.0.2", "id.resp_p": 53, "proto": "udp", "query": "{query}", "qtype_name": "A", "rcode_name": "NOERROR", "answers": [], "rejected": false}}"#
        )
        .expect("a string takes all");
    }
    std::fs::write(folder.join("zeek.dns.json"), lines).expect("events can be written");
    let engine = Standin::new(&folder)
        .with("shutdown_seconds", json!(SHUTDOWN))
        .with("per_ioc_seconds", json!(PER_IOC));
    (engine, scratch)
}

/// How long one query for all of these names takes, with nobody between.
pub fn list_query(engine: &Standin, indicators: usize, scratch: &Path) -> Duration {
    let names: Vec<String> = (0..indicators).map(|n| format!("{:?}", name(n))).collect();
    let names = names.join(", ");
    let query = format!("net.domain in [{names}] || net.hostname in [{names}]");
    let (taken, lines) = time_of(engine, &query, scratch);
    assert_eq!(lines, indicators.div_ceil(MATCH_EVERY), "the list query");
    taken
}

/// How long a query takes with nobody between, and how many events it finds.
pub fn time_of(engine: &Standin, query: &str, scratch: &Path) -> (Duration, usize) {
    let file = scratch.join("query");
    std::fs::write(&file, query).expect("a query can be written");
    let started = Instant::now();
    let output = Command::new(engine.path())
        .args(["-e", engine.endpoint(), "export"])
        .args(["--read=-", "json"])
        .stdin(std::fs::File::open(&file).expect("it was just written"))
        .stderr(Stdio::null())
        .output()
        .expect("the stand-in runs");
    let taken = started.elapsed();
    let lines = output.stdout.iter().filter(|&&byte| byte == b'\n').count();
    (taken, lines)
}

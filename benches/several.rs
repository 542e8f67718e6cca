//! What patterns of several events cost on log files, beside the alternatives of their parts:
//! `cargo bench --bench several [-- MEGABYTES]`.
//!
//! Runs the built program over Suricata EVE made here (the same in every run) with 10,000
//! patterns of two events each, and with 10,000 patterns `A OR B` of the same parts. Once few
//! events hold a part, and once many do. Prints one result a line as JSON.

mod data;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use data::eve::{address, domain, measure, write_events};
use serde_json::json;

const PATTERNS: usize = 10_000;
const RUNS: usize = 3;

fn main() {
    let megabytes = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let megabytes: usize = megabytes.unwrap_or(1000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    let (of_two, of_parts) = (at("two.jsonl"), at("parts.jsonl"));
    write_patterns(&of_two, two_events);
    write_patterns(&of_parts, |parts, _| parts.join(" OR "));
    for hit_every in [10_000, 100] {
        let events = at("eve.json");
        let written = write_events(&events, megabytes * 1_000_000, 2 * PATTERNS, hit_every);
        let run = |patterns: &Path, name| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_vast-threatbus"));
            program.args(["-l", "ERROR", "--indicators"]).arg(patterns);
            program.arg("--events").arg(&events);
            measure(program, name, RUNS).expect("the program can be run")
        };
        let (seconds, instances) = run(&of_two, "patterns of two events");
        let (parts_seconds, sightings) = run(&of_parts, "their parts");
        println!(
            "{}",
            json!({
                "bench": "several", "patterns": PATTERNS, "megabytes": written.bytes / 1_000_000,
                "events": written.events, "one_hit_in": hit_every, "seconds": seconds,
                "instances": instances, "parts_seconds": parts_seconds, "sightings": sightings,
                "ratio": (seconds / parts_seconds * 100.0).round() / 100.0,
            })
        );
    }
}

/// Puts two observations together, in one of the ways that there are.
fn two_events(parts: [String; 2], nth: usize) -> String {
    let operator = ["AND", "FOLLOWEDBY"][nth % 2];
    let within = ["", " WITHIN 86400 SECONDS", " WITHIN 3600 SECONDS"][nth % 3];
    format!("({}){within}", parts.join(&format!(" {operator} ")))
}

/// A file of indicators; `pattern` makes one of its two parts, which no event has both.
fn write_patterns(path: &Path, pattern: impl Fn([String; 2], usize) -> String) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    for nth in 0..PATTERNS {
        let parts = [
            format!("[domain-name:value = '{}']", domain(nth)),
            format!("[ipv4-addr:value = '{}']", address(PATTERNS + nth)),
        ];
        let indicator = json!({
            "type": "indicator", "spec_version": "2.1",
            "id": format!("indicator--00000000-0000-4000-8000-{nth:012}"),
            "created": "2024-01-01T00:00:00Z", "modified": "2024-01-01T00:00:00Z",
            "valid_from": "2024-01-01T00:00:00Z", "pattern_type": "stix",
            "pattern": pattern(parts, nth),
        });
        writeln!(file, "{indicator}").expect("a temporary file takes all");
    }
}

//! This program on a real Tenzir node: from the first indicator published to the last
//! sighting. (The originals cannot ask Tenzir.)

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::contender::{LIMIT, cpu_seconds};
use crate::engine::{MATCH_EVERY, OTHERS, name};
use crate::results::{Results, round};
use crate::side_by_side::Course;
use crate::support::bridge::Bridge;
use crate::support::broker::BrokerKind;
use crate::support::process::memory;
use crate::support::tenzir::Node;

/// The most indicators.
const MOST: usize = 1_000;

pub fn run(results: &mut Results) {
    let mut node = Node::start();
    let matching = (0..MOST).step_by(MATCH_EVERY).map(name);
    let others = (0..OTHERS).map(|n| format!("other-{n}.example"));
    let event = |(number, query): (usize, String)| {
        json!({
            "ts": format!("2021-03-01T12:{:02}:{:02}Z", number / 60 % 60, number % 60),
            "uid": format!("C{number:016x}"), "query": query, "proto": "udp",
            "id": {"orig_h": "10.0.0.1", "orig_p": 53124, "resp_h": "10.0.0.2", "resp_p": 53},
            "qtype_name": "A", "rcode_name": "NOERROR", "rejected": false,
        })
    };
    let events: Vec<Value> = matching.chain(others).enumerate().map(event).collect();
    node.import("zeek.dns", events);
    // As it comes, and with a process for each indicator, as the originals have it.
    for (indicators, batch_size) in [(1, 10_000), (100, 10_000), (100, 1), (MOST, 10_000)] {
        measure(results, &node, indicators, batch_size);
    }
}

fn measure(results: &mut Results, node: &Node, indicators: usize, batch_size: usize) {
    let kind = BrokerKind::Ports;
    let list = list_query(node, indicators);
    let mut course = Course::new(kind);
    let mut bridge = Bridge::bare()
        .args(["--retro-match", "-t", &course.broker.endpoint()])
        .args(["--batch-size", &batch_size.to_string()])
        .args(node.arguments())
        .run();
    course.await_subscription(&bridge);
    let cpu = cpu_seconds(bridge.pid());
    let run = course.run(indicators);
    std::thread::sleep(Duration::from_secs(2));
    let after = cpu_seconds(bridge.pid());
    let peak = memory(bridge.pid(), "VmHWM").expect("the bridge runs");
    bridge.signal(Signal::TERM);
    assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
    results.add(
        "Tenzir 6.20.0",
        &[
            ("indicators", json!(indicators)),
            ("batch size", json!(batch_size)),
            ("seconds", round(run.last.as_secs_f64())),
            ("sightings", json!(run.found)),
            ("expected", json!(indicators.div_ceil(MATCH_EVERY))),
            ("broker delivers in s", round(run.delivery.as_secs_f64())),
            ("one list query s", round(list.as_secs_f64())),
            ("peak MiB", round(peak as f64 / 1_048_576.0)),
            ("CPU s, bridge", round(after.0 - cpu.0)),
            ("CPU s, children", round(after.1 - cpu.1)),
        ],
    );
}

/// How long one query for all of these names takes, with nobody between.
fn list_query(node: &Node, indicators: usize) -> Duration {
    let names: Vec<String> = (0..indicators).map(|n| format!("{:?}", name(n))).collect();
    let pipeline = format!(
        "let $names = [{}]\nquiet {{ export | where query in $names }} | write_ndjson",
        names.join(", ")
    );
    let started = Instant::now();
    let output = node.run(&pipeline);
    let taken = started.elapsed();
    assert_eq!(output.lines().count(), indicators.div_ceil(MATCH_EVERY));
    taken
}

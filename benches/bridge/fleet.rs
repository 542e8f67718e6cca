//! Many engines on one bridge: how long all of them take together, and what an idle one
//! costs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::engine::{MATCH_EVERY, engine, list_query, name};
use crate::results::{Results, round};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::{Ioc, stix_indicator};
use crate::support::observed::Observed;
use crate::support::process::memory;
use crate::support::standin::{Standin, program_for};
use crate::support::{Scratch, eventually};

const ENGINES: usize = 20;

const INDICATORS: usize = 1_000;

/// The most engines that are tried.
const MANY: usize = 100;

const LIMIT: Duration = Duration::from_secs(300);

pub fn run(results: &mut Results) {
    results_of_twenty(results);
    let scratch = Scratch::new();
    let folder = scratch.path().join("events");
    std::fs::create_dir(&folder).expect("a folder can be made");
    for matching in [&["--retro-match"][..], &["--retro-match", "--live-match"]] {
        let one = idle(1, &folder, matching);
        let many = idle(MANY, &folder, matching);
        let each = (many.resident as f64 - one.resident as f64) / (MANY - 1) as f64;
        results.add(
            "idle engines",
            &[
                ("matching", json!(matching.join(" "))),
                ("engines", json!(MANY)),
                ("MiB with one", round(one.resident as f64 / 1_048_576.0)),
                ("MiB with all", round(many.resident as f64 / 1_048_576.0)),
                ("KiB an engine", round(each / 1024.0)),
                ("threads with one", json!(one.threads)),
                ("threads", json!(many.threads)),
                ("descriptors with one", json!(one.descriptors)),
                ("descriptors", json!(many.descriptors)),
            ],
        );
    }
}

/// Nodes that hold the same events, and the program that asks them.
struct Nodes {
    all: Vec<Standin>,
    program: PathBuf,
    _scratch: Scratch,
}

impl Nodes {
    fn new(all: Vec<Standin>) -> Self {
        let scratch = Scratch::new();
        let program = program_for(scratch.path(), &all.iter().collect::<Vec<_>>());
        Nodes {
            all,
            program,
            _scratch: scratch,
        }
    }

    fn bridge(&self) -> Bridge {
        let bridge = Bridge::bare().arg("-b").arg(&self.program);
        let endpoints = self.all.iter();
        endpoints.fold(bridge, |bridge, node| {
            bridge.args(["-v", &format!("vast://{}", node.endpoint())])
        })
    }
}

fn results_of_twenty(results: &mut Results) {
    let (nodes, _scratches): (Vec<Standin>, Vec<Scratch>) =
        (0..ENGINES).map(|_| engine(INDICATORS)).unzip();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(move || {
                let scratch = Scratch::new();
                list_query(node, INDICATORS, scratch.path())
            });
        }
    });
    let lists = started.elapsed();
    let nodes = Nodes::new(nodes);
    let lines = (0..INDICATORS).map(|n| {
        let name = name(n);
        stix_indicator(n as u64, &Ioc::Domain(&name).pattern(), None).to_string() + "\n"
    });
    let bridge = nodes
        .bridge()
        .file("iocs", lines.collect::<String>())
        .args(["--retro-match", "--match", "exact", "--indicators", "iocs"]);
    let started = Instant::now();
    let mut bridge = bridge.run();
    let status = bridge.wait(LIMIT);
    let taken = started.elapsed();
    assert!(status.success(), "{}", bridge.log());
    let sightings = bridge.rest(LIMIT).len();
    assert_eq!(sightings, ENGINES * INDICATORS.div_ceil(MATCH_EVERY));
    let calls = nodes.all.iter().map(|node| node.exports().len() - 1);
    results.add(
        "twenty engines",
        &[
            ("engines", json!(ENGINES)),
            ("indicators", json!(INDICATORS)),
            ("seconds, exec to end", round(taken.as_secs_f64())),
            ("the list queries at once s", round(lists.as_secs_f64())),
            ("ratio", round(taken.as_secs_f64() / lists.as_secs_f64())),
            ("sightings", json!(sightings)),
            ("queries", json!(calls.sum::<usize>())),
        ],
    );
}

/// What a process holds.
struct Held {
    resident: u64,
    threads: usize,
    descriptors: usize,
}

fn idle(count: usize, events: &Path, matching: &[&str]) -> Held {
    let nodes = Nodes::new((0..count).map(|_| Standin::new(events)).collect());
    let broker = Broker::start(BrokerKind::Ports);
    let bridge = nodes
        .bridge()
        .args(matching)
        .args(["--live-engine", "continuous", "-t", &broker.endpoint()])
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    bridge.wait_for_logs(" answers", count, LIMIT);
    if matching.contains(&"--live-match") {
        bridge.wait_for_logs("matching new events", count, LIMIT);
    }
    let mut last = held(&bridge);
    // Settled: as many as a moment ago.
    eventually(LIMIT, || {
        std::thread::sleep(Duration::from_secs(3));
        let now = held(&bridge);
        let is_settled = now.threads == last.threads && now.descriptors == last.descriptors;
        last = now;
        is_settled
    });
    last
}

fn held(bridge: &Observed) -> Held {
    let count = |what: &str| {
        let entries = std::fs::read_dir(format!("/proc/{}/{what}", bridge.pid()));
        entries.expect("it runs").count()
    };
    Held {
        resident: memory(bridge.pid(), "VmRSS").expect("it runs"),
        threads: count("task"),
        descriptors: count("fd"),
    }
}

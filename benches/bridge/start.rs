//! From `exec` to the request for a subscription, and what an idle bridge holds.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::contender::{Contender, KINDS, LIMIT, cpu_seconds};
use crate::results::{Results, round};
use crate::support::broker::{Broker, free_ports};
use crate::support::manager::{FakeManager, Reply};
use crate::support::process::memory;
use crate::support::standin::Standin;

use serde_json::json;

/// The fastest of so many starts is the one that nothing else disturbed.
const STARTS: usize = 10;

/// How long an idle bridge is watched.
const IDLE: Duration = Duration::from_secs(10);

pub fn run(results: &mut Results) {
    for kind in KINDS {
        for contender in [Contender::Ours, Contender::Original] {
            let starts: Vec<Duration> = (0..STARTS)
                .map(|_| {
                    let engine = Standin::with_samples();
                    let (sender, requests) = mpsc::channel();
                    let [publish, subscribe] = free_ports();
                    let manager = FakeManager::start(move |_| {
                        // Nobody listens after the first.
                        let _ = sender.send(Instant::now());
                        Reply::subscribed("0123456789abcdef", publish, subscribe)
                    });
                    let started = Instant::now();
                    let _bridge = contender.start(kind, manager.endpoint(), &engine);
                    let first = requests.recv_timeout(LIMIT).expect("a subscription");
                    first - started
                })
                .collect();
            let engine = Standin::with_samples();
            let broker = Broker::start(kind);
            let bridge = contender.start(kind, &broker.endpoint(), &engine);
            // Subscribed, and settled.
            std::thread::sleep(Duration::from_secs(3));
            let before = cpu_seconds(bridge.pid());
            std::thread::sleep(IDLE);
            let after = cpu_seconds(bridge.pid());
            let spent = after.0 + after.1 - before.0 - before.1;
            let resident = memory(bridge.pid(), "VmRSS").expect("it runs");
            let fastest = starts.iter().min().expect("some starts").as_secs_f64();
            let mut sorted = starts.clone();
            sorted.sort();
            let median = sorted[STARTS / 2].as_secs_f64();
            results.add(
                "start and idle",
                &[
                    ("bus", json!(kind.version())),
                    ("bridge", json!(contender.name(kind))),
                    ("exec to subscribe, fastest ms", round(fastest * 1e3)),
                    ("median ms", round(median * 1e3)),
                    ("idle MiB", round(resident as f64 / 1_048_576.0)),
                    ("idle CPU %", round(spent / IDLE.as_secs_f64() * 100.0)),
                ],
            );
        }
    }
}

//! This program and the originals, on the same broker and the same engine: from
//! the first indicator published to the last sighting.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::contender::{Contender, KINDS, LIMIT, cpu_seconds};
use crate::engine::{MATCH_EVERY, engine, list_query, name};
use crate::results::{Results, round};
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::{self, Ioc};
use crate::support::observed::Observed;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::process::memory;

/// How long a run may take at the most.
const CAP: Duration = Duration::from_secs(1200);

/// Indicators that are only there to see whether the bridge is subscribed.
const PROBES: u64 = 1 << 40;

pub fn run(results: &mut Results) {
    let full = std::env::var_os("BENCH_FULL").is_some_and(|value| value == "1");
    for kind in KINDS {
        for indicators in [200, 1_000, 10_000] {
            measure(results, kind, Contender::Ours, indicators);
            if indicators < 10_000 || full {
                measure(results, kind, Contender::Original, indicators);
            }
        }
    }
}

fn measure(results: &mut Results, kind: BrokerKind, contender: Contender, indicators: usize) {
    let (engine, scratch) = engine(indicators);
    let list = list_query(&engine, indicators, scratch.path());
    let mut course = Course::new(kind);
    let bridge = contender.start(kind, &course.broker.endpoint(), &engine);
    course.await_subscription(&bridge);
    let (calls, cpu) = (engine.exports().len(), cpu_seconds(bridge.pid()));
    let run = course.run(indicators);
    // The last processes are still in their shut-down.
    std::thread::sleep(Duration::from_secs(2));
    let after = cpu_seconds(bridge.pid());
    let peak = memory(bridge.pid(), "VmHWM").expect("the bridge runs");
    results.add(
        "side by side",
        &[
            ("bus", json!(kind.version())),
            ("bridge", json!(contender.name(kind))),
            ("indicators", json!(indicators)),
            ("seconds", round(run.last.as_secs_f64())),
            ("sightings", json!(run.found)),
            ("expected", json!(indicators.div_ceil(MATCH_EVERY))),
            ("broker delivers in s", round(run.delivery.as_secs_f64())),
            ("delivered", json!(run.delivered)),
            ("one list query s", round(list.as_secs_f64())),
            ("processes", json!(engine.exports().len() - calls)),
            ("peak MiB", round(peak as f64 / 1_048_576.0)),
            ("CPU s, bridge", round(after.0 - cpu.0)),
            ("CPU s, children", round(after.1 - cpu.1)),
        ],
    );
}

/// A broker, what publishes on it, and who sees what comes.
pub struct Course {
    kind: BrokerKind,
    pub broker: Broker,
    publisher: Publisher,
    sightings: Subscriber,
    plain: Subscriber,
}

/// From the first indicator published.
pub struct Run {
    /// To the last sighting.
    pub last: Duration,
    /// How many indicators had one.
    pub found: usize,
    /// To the last indicator at a plain subscriber.
    pub delivery: Duration,
    /// How many came there.
    pub delivered: usize,
}

impl Course {
    pub fn new(kind: BrokerKind) -> Self {
        let broker = Broker::start(kind);
        Course {
            kind,
            sightings: Subscriber::sightings(&broker),
            plain: Subscriber::indicators(&broker),
            publisher: Publisher::connect(&broker),
            broker,
        }
    }

    /// Publishes one indicator after the other until one is answered, and waits
    /// for the answers to the others.
    pub fn await_subscription(&mut self, bridge: &Observed) {
        let deadline = Instant::now() + LIMIT;
        for probe in PROBES.. {
            assert!(
                Instant::now() < deadline,
                "not subscribed: {}",
                bridge.log()
            );
            let known = Ioc::Domain(&name(0));
            self.publisher
                .send_indicator(&messages::indicator(self.kind, probe, known));
            let answers = self.sightings.collect_sightings(1, Duration::from_secs(1));
            if !answers.is_empty() {
                break;
            }
        }
        self.sightings.drain(Duration::from_secs(3));
        self.plain.drain(Duration::from_millis(500));
    }

    /// Publishes so many indicators.
    pub fn run(self, indicators: usize) -> Run {
        let Course {
            kind,
            broker: _broker,
            mut publisher,
            sightings,
            plain,
        } = self;
        let messages: Vec<Value> = (0..indicators)
            .map(|n| messages::indicator(kind, n as u64, Ioc::Domain(&name(n))))
            .collect();
        let started = Instant::now();
        let (delivered, seen) = std::thread::scope(|scope| {
            let delivery = scope.spawn(move || {
                let got = (0..indicators).take_while(|_| plain.recv_text(CAP).is_some());
                (got.count(), started.elapsed())
            });
            let reading = scope.spawn(move || last_sighting(kind, &sightings, indicators, started));
            for message in &messages {
                publisher.send_indicator(message);
            }
            (delivery.join(), reading.join())
        });
        let (delivered, delivery) = delivered.expect("the plain subscriber reads");
        let (found, last) = seen.expect("the subscriber of sightings reads");
        Run {
            last,
            found,
            delivery,
            delivered,
        }
    }
}

/// Reads sightings until every indicator that matches has one; gives their
/// number and the time of the last.
fn last_sighting(
    kind: BrokerKind,
    sightings: &Subscriber,
    indicators: usize,
    started: Instant,
) -> (usize, Duration) {
    let wanted: HashSet<String> = (0..indicators)
        .step_by(MATCH_EVERY)
        .map(|n| messages::indicator_id(kind, n as u64))
        .collect();
    let reference = match kind {
        BrokerKind::Legacy => "intel",
        _ => "sighting_of_ref",
    };
    let mut found = HashSet::new();
    let mut last = started;
    while found.len() < wanted.len() && started.elapsed() < CAP {
        let left = CAP.saturating_sub(started.elapsed());
        let Some((_, sighting)) = sightings.recv(left) else {
            break;
        };
        let id = sighting[reference].as_str().unwrap_or_default();
        if wanted.contains(id) && found.insert(id.to_owned()) {
            last = Instant::now();
        }
    }
    (found.len(), last - started)
}

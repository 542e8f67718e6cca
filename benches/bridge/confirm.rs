//! What confirmed delivery costs: sightings a second that reach the apps of a broker, with and
//! without it. The broker serves the program as one subscriber more, so with S apps S/(S+1) of
//! the rate is to be expected.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::contender::KINDS;
use crate::results::{Results, round};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::Standin;

const SIGHTINGS: usize = 10_000;

/// The name in all events.
const NAME: &str = "many.bench.example";

const LIMIT: Duration = Duration::from_secs(120);

pub fn run(results: &mut Results) {
    let events: Vec<_> = (0..SIGHTINGS)
        .map(|n| json!({"ts": "2024-03-05T10:00:00.000001", "uid": format!("U{n}"), "host": NAME}))
        .collect();
    let engine = Standin::holding(&[("zeek.http", &events)]);
    for kind in KINDS {
        for apps in [1, 2, 4] {
            let without = rate(kind, &engine, apps, "--no-confirm-delivery");
            let with = rate(kind, &engine, apps, "--confirm-delivery");
            let expected = apps as f64 / (apps + 1) as f64;
            results.add(
                "confirmed delivery",
                &[
                    ("bus", json!(kind.version())),
                    ("apps", json!(apps)),
                    ("sightings/s without", round(without)),
                    ("sightings/s with", round(with)),
                    ("ratio", round(with / without)),
                    ("S/(S+1)", round(expected)),
                ],
            );
        }
    }
}

/// Sightings a second, from the first to the last at the app that has its last one latest.
fn rate(kind: BrokerKind, engine: &Standin, apps: usize, confirm: &str) -> f64 {
    let broker = Broker::start(kind);
    let apps: Vec<_> = (0..apps).map(|_| Subscriber::sightings(&broker)).collect();
    let mut publisher = Publisher::connect(&broker);
    let bridge = Bridge::start(&broker, engine, &[confirm]);
    bridge.wait_for_log("subscribed to", LIMIT);
    // The broker rereads its list of subscribers once a second.
    std::thread::sleep(Duration::from_secs(2));
    publisher.publish_indicator(1, Ioc::Domain(NAME));
    let taken = std::thread::scope(|scope| {
        let readers: Vec<_> = apps
            .into_iter()
            .map(|app| scope.spawn(move || time_of_all(&app)))
            .collect();
        let all = readers.into_iter().map(|reader| reader.join());
        all.map(|taken| taken.expect("an app gets them all")).max()
    });
    let taken = taken.expect("there is an app");
    (SIGHTINGS - 1) as f64 / taken.as_secs_f64()
}

fn time_of_all(app: &Subscriber) -> Duration {
    let next = || app.recv_text(LIMIT).expect("a sighting");
    next();
    let first = Instant::now();
    for _ in 1..SIGHTINGS {
        next();
    }
    first.elapsed()
}

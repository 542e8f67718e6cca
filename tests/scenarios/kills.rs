//! The bridge is killed at arbitrary moments.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::brokers::end;
use super::tally::{Tally, events};
use super::{LIMIT, Outcome, Random};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::{self, Ioc};
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::Standin;
use crate::support::{Scratch, eventually};

/// The number of events of each indicator.
const EACH: u64 = 5;

/// Kills the bridge `times`. Every third time, an indicator arrives first and is written to
/// the journal; its sightings are sent before the kill or after the restart.
pub fn killed(kind: BrokerKind, times: u64, seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let broker = Broker::start(kind);
    let indicators = times.div_ceil(3);
    let domain = |n: u64| format!("d{n}.example");
    let all: Vec<_> = (0..indicators)
        .flat_map(|n| events(&domain(n), n * EACH..(n + 1) * EACH))
        .collect();
    let engine = Standin::holding(&[("zeek.http", &all)])
        .with("faults", json!({"delay_per_line_seconds": 0.01}));
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let state = Scratch::new();
    let directory = state.path().join("state");
    let arguments = [
        "--confirm-delivery",
        "--state-dir",
        directory.to_str().expect("UTF-8"),
    ];
    let mut tally = Tally::new();
    for n in 0..times {
        let mut bridge = Bridge::start(&broker, &engine, &arguments);
        if n % 3 == 0 {
            bridge.wait_for_log("subscribed to", LIMIT);
            let name = domain(n / 3);
            publisher.publish_indicator(n, Ioc::Domain(&name));
            assert!(
                eventually(LIMIT, || is_written_down(&directory, &name)),
                "{}",
                bridge.log()
            );
            std::thread::sleep(Duration::from_millis(random.below(300)));
        } else {
            std::thread::sleep(Duration::from_millis(random.below(600)));
        }
        bridge.signal(Signal::KILL);
        bridge.wait(LIMIT);
        assert!(bridge.leaves_nothing(LIMIT), "{:?}", bridge.offspring());
        tally.take(
            kind,
            &subscriber,
            tally.distinct() + 1_000,
            Duration::from_millis(1),
        );
    }
    let mut bridge = Bridge::start(&broker, &engine, &arguments);
    bridge.wait_for_log("subscribed to", LIMIT);
    let expected = indicators * EACH;
    tally.take(kind, &subscriber, expected, LIMIT);
    let mut outcome = tally.outcome(times, expected);
    end(&mut bridge);
    outcome = outcome.noted("the broker serves the others");
    serves(kind, &broker, &mut publisher, &subscriber);
    outcome
}

/// Whether the journal contains this text. The journal is not compressed.
fn is_written_down(directory: &Path, name: &str) -> bool {
    let journal = std::fs::read(directory.join("journal")).unwrap_or_default();
    memchr(&journal, name.as_bytes())
}

fn memchr(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Another app's sighting still reaches the other subscribers.
fn serves(kind: BrokerKind, broker: &Broker, publisher: &mut Publisher, old: &Subscriber) {
    let new = Subscriber::sightings(broker);
    let context = json!({"uid": "the last"});
    publisher.send(
        kind.sighting_topic(),
        &messages::sighting(kind, 1, &context),
    );
    for subscriber in [old, &new] {
        let found = eventually(LIMIT, || {
            subscriber
                .recv_text(LIMIT)
                .is_some_and(|(_, text)| text.contains("the last"))
        });
        assert!(found, "the broker serves nobody any more");
    }
}

//! The broker dies, or stalls.

use std::time::Duration;

use serde_json::json;

use super::tally::{DOMAIN, Tally, engine};
use super::{LIMIT, Outcome, Random};
use crate::support::Scratch;
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::observed::Observed;
use crate::support::peer::{Publisher, Subscriber};

/// The time limit for the last sightings: unconfirmed ones are resent after 30 s.
const LAST: Duration = Duration::from_secs(45);

/// Time for a subscriber to read what has reached it when its broker dies.
const ARRIVED: Duration = Duration::from_millis(300);

/// Kills the broker `times` while `sightings` go through it, and starts it again.
pub fn killed(kind: BrokerKind, confirm: bool, times: u64, sightings: u64, seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let mut broker = Broker::start(kind);
    let engine = engine(sightings);
    let mut subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let mut bridge = Bridge::start(&broker, &engine, confirming(confirm));
    bridge.wait_for_log("subscribed to", LIMIT);
    let mut tally = Tally::new();
    publisher.publish_indicator(1, Ioc::Domain(DOMAIN));
    let share = sightings / (times + 1);
    // Without confirmation nothing is resent; settling takes 10 s.
    let last = if confirm { LAST } else { LAST / 2 };
    for _ in 0..times {
        let goal = tally.distinct() + 1 + random.below(share);
        tally.take(kind, &subscriber, goal.min(sightings), last);
        broker.kill();
        tally.rest(kind, &subscriber, ARRIVED);
        broker.restart();
        assert!(subscriber.renew());
    }
    tally.take(kind, &subscriber, sightings, last);
    let outcome = tally.outcome(times, sightings);
    let counters = end(&mut bridge);
    // The broker had received each of them, whatever happened to it there.
    assert!(
        counters.contains(&format!("sightings_sent={sightings}")),
        "{counters}"
    );
    assert!(!counters.contains("sightings_lost"), "{counters}");
    outcome
}

/// Kills the broker `times` while queries run and nothing is inside it: each
/// query's sightings are found while it is away.
pub fn away(kind: BrokerKind, with_spool: bool, times: u64, each: u64) -> Outcome {
    let mut broker = Broker::start(kind);
    let sightings = times * each;
    let domain = |n: u64| format!("d{n}.example");
    let events: Vec<_> = (0..times)
        .flat_map(|n| super::tally::events(&domain(n), n * each..(n + 1) * each))
        .collect();
    let engine = crate::support::standin::Standin::holding(&[("zeek.http", &events)])
        .with("faults", json!({"delay_seconds": 1.0}));
    let mut subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let state = Scratch::new();
    let directory = state.path().join("state");
    let directory = directory.to_str().expect("UTF-8");
    let arguments: &[&str] = if with_spool {
        &["--state-dir", directory]
    } else {
        &[]
    };
    let mut bridge = Bridge::start(&broker, &engine, arguments);
    bridge.wait_for_log("subscribed to", LIMIT);
    let mut tally = Tally::new();
    for n in 0..times {
        publisher.publish_indicator(n, Ioc::Domain(&domain(n)));
        let asked = usize::try_from(n).expect("few") + 1;
        engine.wait_for_exports(asked, LIMIT);
        broker.kill();
        bridge.wait_for_logs(&format!("{each} sighting(s)"), asked, LIMIT);
        broker.restart();
        assert!(subscriber.renew());
        tally.take(kind, &subscriber, (n + 1) * each, LAST);
        // Once at the start. Warnings of a gap, all alike, are folded.
        bridge.wait_for_logs("subscribed to", asked + 1, LIMIT);
    }
    let outcome = tally.outcome(times, sightings);
    let counters = end(&mut bridge);
    // What may have been on its way when the broker died is sent again.
    let sent = counters
        .split(' ')
        .find_map(|word| word.strip_prefix("sightings_sent="));
    let sent: u64 = sent.and_then(|count| count.parse().ok()).expect("a count");
    assert!(sent >= sightings, "{counters}");
    outcome
}

/// Freezes the broker for `time` while `sightings` go through it.
pub fn frozen(kind: BrokerKind, confirm: bool, time: Duration, sightings: u64) -> Outcome {
    let mut broker = Broker::start(kind);
    let engine = engine(sightings);
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let mut bridge = Bridge::start(&broker, &engine, confirming(confirm));
    bridge.wait_for_log("subscribed to", LIMIT);
    let mut tally = Tally::new();
    publisher.publish_indicator(1, Ioc::Domain(DOMAIN));
    tally.take(kind, &subscriber, sightings / 4, LAST);
    broker.stop();
    std::thread::sleep(time);
    broker.cont();
    tally.take(kind, &subscriber, sightings, LAST);
    let outcome = tally.outcome(1, sightings);
    end(&mut bridge);
    outcome
}

/// The state of the broker when the bridge is stopped.
#[derive(Clone, Copy, Debug)]
pub enum BrokerState {
    /// It stalls, and accepts a part of what is sent.
    Frozen,
    /// It stalls, and all queues to it are full.
    Full,
    /// It is gone.
    Gone,
}

/// Stops the bridge while the broker is in this state; returns how long the end takes.
pub fn time_to_end(kind: BrokerKind, arguments: &[&str], state: BrokerState) -> Duration {
    let mut broker = Broker::start(kind);
    let sightings = match state {
        BrokerState::Frozen | BrokerState::Gone => 500,
        BrokerState::Full => 30_000,
    };
    let engine = engine(sightings);
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let mut bridge = Bridge::start(&broker, &engine, arguments);
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain(DOMAIN));
    let mut tally = Tally::new();
    tally.take(kind, &subscriber, 50, LAST);
    match state {
        BrokerState::Frozen | BrokerState::Full => broker.stop(),
        BrokerState::Gone => broker.kill(),
    }
    // Further sightings fill the queues, and the failing heartbeat is on its way.
    std::thread::sleep(Duration::from_secs(2));
    bridge.signal(rustix::process::Signal::TERM);
    let since = std::time::Instant::now();
    bridge.wait(LIMIT);
    let time = since.elapsed();
    assert!(bridge.leaves_nothing(LIMIT), "{}", bridge.log());
    if !matches!(state, BrokerState::Gone) {
        broker.cont();
    }
    time
}

fn confirming(confirm: bool) -> &'static [&'static str] {
    if confirm {
        &["--confirm-delivery"]
    } else {
        &[]
    }
}

/// Stops the bridge and returns its last line.
pub fn end(bridge: &mut Observed) -> String {
    bridge.signal(rustix::process::Signal::TERM);
    let status = bridge.wait(LIMIT);
    assert_eq!(status.code(), Some(0), "{}", bridge.log());
    assert!(bridge.leaves_nothing(LIMIT));
    bridge.wait_for_log("ended after", LIMIT)
}

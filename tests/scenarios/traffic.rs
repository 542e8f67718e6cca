//! The traffic of a day within minutes: memory does not grow.

use std::time::{Duration, Instant};

use super::brokers::end;
use super::tally::{Tally, events};
use super::{LIMIT, Outcome};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::Standin;
use crate::support::{Scratch, process};

/// The number of indicators in a day of a busy feed: one per second.
const A_DAY: u64 = 86_400;

/// One of this many indicators matches.
const MATCHING: u64 = 20;

/// Publishes a share of a day's indicators in `time`, with `time` = 10 minutes for
/// the whole day, and watches resident memory.
pub fn day(kind: BrokerKind, time: Duration) -> Outcome {
    let count = A_DAY * time.as_secs() / 600;
    let expected = count / MATCHING;
    let domain = |n: u64| format!("d{n}.example");
    let all: Vec<_> = (0..expected)
        .flat_map(|n| events(&domain(n * MATCHING), n..n + 1))
        .collect();
    let engine = Standin::holding(&[("zeek.http", &all)]);
    let broker = Broker::start(kind);
    let subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let state = Scratch::new();
    let directory = state.path().join("state");
    let directory = directory.to_str().expect("UTF-8");
    let mut bridge = Bridge::start(
        &broker,
        &engine,
        &["--confirm-delivery", "--state-dir", directory, "-l", "info"],
    );
    bridge.wait_for_log("subscribed to", LIMIT);
    let mut tally = Tally::new();
    let mut sizes = Vec::new();
    let started = Instant::now();
    for n in 0..count {
        let due = time.mul_f64(n as f64 / count as f64);
        while let Some(left) = due.checked_sub(started.elapsed()) {
            tally.take(
                kind,
                &subscriber,
                tally.distinct() + 1,
                left.max(Duration::from_millis(1)),
            );
        }
        publisher.publish_indicator(n, Ioc::Domain(&domain(n)));
        if n % (count / 200).max(1) == 0 {
            sizes.push(process::memory(bridge.pid(), "VmRSS").expect("it runs"));
        }
    }
    tally.take(kind, &subscriber, expected, LIMIT);
    let mut outcome = tally.outcome(1, expected);
    let (early, late) = (median(&sizes, 1), median(&sizes, 3));
    outcome.note = format!(
        "{count} indicators; resident {:.1} MiB, then {:.1} MiB",
        mebibytes(early),
        mebibytes(late)
    );
    // Memory that the allocator keeps after a burst is not growth.
    assert!(late < early + early / 4 + (2 << 20), "{}", outcome.note);
    end(&mut bridge);
    outcome
}

/// The median of this quarter of the samples.
fn median(samples: &[u64], quarter: usize) -> u64 {
    let length = samples.len() / 4;
    let mut part = samples[quarter * length..(quarter + 1) * length].to_vec();
    part.sort_unstable();
    part[part.len() / 2]
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

//! The system clock is set back, and forward again.

use std::path::PathBuf;
use std::process::Command;

use super::brokers::end;
use super::tally::{Tally, events};
use super::{LIMIT, Outcome};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::paths;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::Standin;
use crate::support::{Scratch, eventually};

/// Sets the bridge's clock back by an hour between two indicators, then kills the broker,
/// and sets the clock forward again.
pub fn set_back(kind: BrokerKind, sightings: u64) -> Outcome {
    let scratch = Scratch::new();
    let library = compile(&scratch);
    let back = scratch.path().join("back");
    let mut broker = Broker::start(kind);
    let domain = |n: u64| format!("d{n}.example");
    let each = sightings / 3;
    let all: Vec<_> = (0..3)
        .flat_map(|n| events(&domain(n), n * each..(n + 1) * each))
        .collect();
    let engine = Standin::holding(&[("zeek.http", &all)]);
    let mut subscriber = Subscriber::sightings(&broker);
    let mut publisher = Publisher::connect(&broker);
    let state = scratch.path().join("state");
    let mut bridge = Bridge::between(&broker.endpoint(), &engine)
        .args(["--confirm-delivery", "--snapshot=1", "--state-dir"])
        .arg(state)
        .env("LD_PRELOAD", &library)
        .env("CLOCK_BACK", &back)
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    let mut tally = Tally::new();
    publisher.publish_indicator(0, Ioc::Domain(&domain(0)));
    tally.take(kind, &subscriber, each, LIMIT);

    std::fs::write(&back, "").expect("written");
    publisher.publish_indicator(1, Ioc::Domain(&domain(1)));
    tally.take(kind, &subscriber, 2 * each, LIMIT);
    assert!(
        eventually(LIMIT, || went_back(&bridge.log())),
        "the clock was not set back:\n{}",
        bridge.log()
    );
    broker.kill();
    bridge.wait_for_log("is lost", LIMIT);
    broker.restart();
    assert!(subscriber.renew());
    bridge.wait_for_log("subscribed again", LIMIT);
    std::fs::remove_file(&back).expect("it is there");
    publisher.publish_indicator(2, Ioc::Domain(&domain(2)));
    tally.take(kind, &subscriber, 3 * each, LIMIT);
    let outcome = tally.outcome(2, 3 * each);
    end(&mut bridge);
    outcome
}

/// Whether some line of the log is earlier than the one before it.
fn went_back(log: &str) -> bool {
    let times: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|time| time.ends_with('Z'))
        .collect();
    times.windows(2).any(|pair| pair[1] < pair[0])
}

fn compile(scratch: &Scratch) -> PathBuf {
    let library = scratch.path().join("clock.so");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(&library)
        .arg(paths::repository().join("tests/support/clock.c"))
        .arg("-ldl")
        .output()
        .expect("the C compiler that ZeroMQ is built with");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    library
}

//! Faults in short form, each with the real brokers of both protocols. `make torture` has the long
//! form.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::scenarios::engine::Misdeed;
use crate::scenarios::sinks::Sink;
use crate::scenarios::{brokers, clock, disk, engine, kills, sinks, traffic};
use crate::support::Scratch;
use crate::support::bridge::Bridge;
use crate::support::broker::BrokerKind;
use crate::support::fakebus::FakeBus;
use crate::support::manager::Reply;
use crate::support::messages::stix_indicator;
use crate::support::observed::Reader;
use crate::support::scene::{self, LIMIT};
use crate::support::standin::Down;

/// One kind of broker for each protocol.
const BOTH: [BrokerKind; 2] = [BrokerKind::Legacy, BrokerKind::Ports];

/// The most that an end may take: 8 s, and some time for a busy machine; containers grant
/// 10 s.
const MOST: Duration = Duration::from_millis(9_500);

/// Runs it with both at the same time.
fn with_both(run: impl Fn(BrokerKind) + Sync) {
    std::thread::scope(|scope| {
        let run = &run;
        for kind in BOTH {
            scope.spawn(move || run(kind));
        }
    });
}

#[test]
fn a_broker_that_is_killed_loses_no_confirmed_sighting() {
    with_both(|kind| brokers::killed(kind, true, 2, 600, 1).complete());
}

#[test]
fn a_broker_that_is_killed_loses_what_is_inside_it_and_nothing_else() {
    // The scenario asserts that the broker gets every sighting once.
    with_both(|kind| {
        brokers::killed(kind, false, 1, 600, 2);
    });
}

#[test]
fn sightings_that_are_found_while_the_broker_is_away_arrive() {
    with_both(|kind| {
        brokers::away(kind, false, 1, 200).complete();
        brokers::away(kind, true, 2, 200).complete();
    });
}

#[test]
fn a_frozen_broker_loses_nothing() {
    with_both(|kind| brokers::frozen(kind, false, Duration::from_secs(8), 2_000).complete());
}

#[test]
fn a_signal_ends_it_within_8_seconds_whatever_the_broker_does() {
    use brokers::BrokerState::{Frozen, Full, Gone};
    for state_of_broker in [Frozen, Full, Gone] {
        with_both(|kind| {
            let state = Scratch::new();
            let directory = state.path().join("state");
            let directory = directory.to_str().expect("UTF-8");
            for arguments in [
                &[][..],
                &["--confirm-delivery"],
                &["--state-dir", directory],
            ] {
                let time = brokers::time_to_end(kind, arguments, state_of_broker);
                assert!(
                    time < MOST,
                    "{state_of_broker:?} {kind:?} {arguments:?}: {time:?}"
                );
            }
        });
    }
}

/// A query that does not end and ignores SIGTERM, a reader that reads nothing, and a broker
/// that is slow in giving up many old topics: together they once took 12 s.
#[test]
fn told_to_end_it_does_within_8_seconds_whatever_holds_it_up() {
    let engine = scene::engine(&[("a.example", 2), ("b.example", 5_000)]).with(
        "faults",
        json!({"hang_on": ["a.example"], "ignore_sigterm": true}),
    );
    let is_told = Arc::new(AtomicBool::new(false));
    let mut bus = FakeBus::replying(&["stix2/"], {
        let is_told = Arc::clone(&is_told);
        move |request, usual| match request["action"].as_str() {
            Some("unsubscribe") if is_told.load(Ordering::Relaxed) => {
                std::thread::sleep(Duration::from_millis(1_500));
                usual
            }
            // No answer: they are held until the end.
            Some("unsubscribe") => Reply::Raw(b"?".to_vec()),
            _ => usual,
        }
    });
    let bridge = Bridge::between(bus.endpoint(), &engine)
        .args(["--state-dir", "state", "--sink", "STDOUT"])
        .args(["--batch-size", "1", "--max-background-tasks", "2"]);
    let state = bridge.directory().join("state");
    std::fs::create_dir(&state).expect("a directory");
    let topics: String = (0..60).map(|n| format!("old-{n}\n")).collect();
    std::fs::write(state.join("topics"), topics).expect("a file");
    let mut bridge = bridge.reader(Reader::Stuck).run();
    for (n, host) in [(1, "a.example"), (2, "b.example")] {
        let indicator = stix_indicator(n, &format!("[domain-name:value = '{host}']"), None);
        bus.send(2, format!("indicator {indicator}").as_bytes());
    }
    bridge.wait_for_counter("sightings_found", 5_002, LIMIT);
    engine.wait_for_exports(2, LIMIT);
    is_told.store(true, Ordering::Relaxed);
    let told = Instant::now();
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    let took = told.elapsed();
    assert!(took < MOST, "{took:?}: {}", bridge.log());
    assert!(bridge.leaves_nothing(LIMIT));
}

#[test]
fn an_engine_that_is_away_loses_nothing() {
    for how in [Down::Killed, Down::Stopped] {
        with_both(|kind| engine::down(kind, how, 2, Duration::from_secs(2)).complete());
    }
}

#[test]
fn a_child_that_misbehaves_costs_nothing() {
    for misdeed in Misdeed::ALL {
        with_both(|kind| engine::misbehaves(kind, misdeed, 40).complete());
    }
}

#[test]
fn a_sink_that_misbehaves_costs_nothing() {
    for sink in [Sink::Hangs, Sink::Dies, Sink::IsSlow] {
        with_both(|kind| sinks::command(kind, sink, 5).complete());
    }
}

#[test]
fn a_closed_or_full_standard_output_ends_quietly_or_holds_the_engine_back() {
    with_both(|kind| sinks::reader_gone(kind, 20).complete());
    with_both(|kind| {
        sinks::pipe_full(kind, Duration::from_secs(3));
    });
}

#[test]
fn a_full_disk_holds_the_workers_back_and_loses_nothing() {
    with_both(|kind| {
        if let Some(outcome) = disk::full(kind, 6_000) {
            outcome.complete();
        }
    });
}

#[test]
fn a_bridge_that_is_killed_continues_where_it_was() {
    with_both(|kind| kills::killed(kind, 6, 3).complete());
}

#[test]
fn a_clock_that_is_set_back_changes_nothing() {
    with_both(|kind| clock::set_back(kind, 30).complete());
}

#[test]
fn traffic_does_not_make_it_grow() {
    with_both(|kind| traffic::day(kind, Duration::from_secs(10)).complete());
}

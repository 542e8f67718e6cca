//! The engine goes away or misbehaves in the middle of a query.

use std::time::Duration;

use serde_json::{Value, json};

use super::brokers::end;
use super::tally::{DOMAIN, Tally, events};
use super::{LIMIT, Outcome};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::observed::Observed;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::{Down, Standin};

/// The domain of the indicator without faults.
const OTHER: &str = "other.example";

/// What a child does instead of printing its events and exiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    /// Prints them and hangs.
    Hangs,
    /// Prints them and hangs, ignoring SIGTERM.
    IgnoresTerm,
    /// Prints lines without end.
    FloodsLines,
    /// Prints one line without end.
    FloodsOneLine,
    /// Prints half of its last line and exits with 1.
    HalfLine,
    /// Dies by a signal in the middle.
    Signal,
    /// Closes standard output and keeps running.
    ClosesOutput,
}

impl Misdeed {
    /// All of them.
    pub const ALL: [Misdeed; 7] = [
        Self::Hangs,
        Self::IgnoresTerm,
        Self::FloodsLines,
        Self::FloodsOneLine,
        Self::HalfLine,
        Self::Signal,
        Self::ClosesOutput,
    ];

    /// A description for a table.
    pub fn words(self) -> &'static str {
        match self {
            Self::Hangs => "a VAST child hangs",
            Self::IgnoresTerm => "a VAST child hangs and ignores SIGTERM",
            Self::FloodsLines => "a VAST child prints without end",
            Self::FloodsOneLine => "a VAST child prints one endless line",
            Self::HalfLine => "a VAST child prints half a line and exits",
            Self::Signal => "a VAST child dies by a signal",
            Self::ClosesOutput => "a VAST child closes its output and stays",
        }
    }

    fn fault(self, sightings: u64) -> Value {
        match self {
            Self::Hangs => json!({"hang_on": [DOMAIN]}),
            Self::IgnoresTerm => json!({"hang_on": [DOMAIN], "ignore_sigterm": true}),
            Self::FloodsLines => json!({"flood": "lines"}),
            Self::FloodsOneLine => json!({"flood": "one_line"}),
            Self::HalfLine => json!({"half_line": true}),
            Self::Signal => json!({"die_after_lines": sightings / 2, "die_signal": 9}),
            Self::ClosesOutput => json!({"close_stdout_and_stay": true}),
        }
    }

    /// Whether the events of this query can be read at all.
    fn gives_events(self) -> bool {
        self != Self::FloodsOneLine
    }
}

struct Stage {
    kind: BrokerKind,
    bridge: Observed,
    subscriber: Subscriber,
    publisher: Publisher,
    _broker: Broker,
}

fn stage(kind: BrokerKind, engine: &Standin, arguments: &[&str]) -> Stage {
    let broker = Broker::start(kind);
    let subscriber = Subscriber::sightings(&broker);
    let publisher = Publisher::connect(&broker);
    let bridge = Bridge::start(&broker, engine, arguments);
    bridge.wait_for_log("subscribed to", LIMIT);
    Stage {
        kind,
        bridge,
        subscriber,
        publisher,
        _broker: broker,
    }
}

fn two_domains(sightings: u64) -> Standin {
    let mut all = events(DOMAIN, 0..sightings);
    all.extend(events(OTHER, sightings..sightings + 10));
    Standin::holding(&[("zeek.http", &all)])
}

/// The child for one indicator misbehaves, `times` in a row for as many indicators; another
/// indicator is still answered.
pub fn misbehaves(kind: BrokerKind, misdeed: Misdeed, sightings: u64) -> Outcome {
    let mut engine = two_domains(sightings);
    let mut fault = misdeed.fault(sightings);
    fault["only_values"] = json!([DOMAIN]);
    if matches!(misdeed, Misdeed::HalfLine | Misdeed::Signal) {
        fault["once_file"] = json!(engine.file("happened"));
    }
    engine.set("faults", fault);
    let most = format!("--retro-match-max-events={sightings}");
    // Long enough for a busy machine to print the events first.
    let mut stage = stage(
        kind,
        &engine,
        &[
            "--retro-match-timeout=5",
            "--batch-size=1",
            &most,
            "-l",
            "info",
        ],
    );
    stage.publisher.publish_indicator(1, Ioc::Domain(DOMAIN));
    engine.wait_for_exports(1, LIMIT);
    stage.publisher.publish_indicator(2, Ioc::Domain(OTHER));
    let goal = if misdeed.gives_events() {
        sightings + 10
    } else {
        10
    };
    let mut tally = Tally::new();
    tally.take(stage.kind, &stage.subscriber, goal, LIMIT);
    if misdeed == Misdeed::FloodsOneLine {
        stage.bridge.wait_for_log("too long to read", LIMIT);
        stage.bridge.wait_for_log("took longer than", LIMIT);
    }
    let peak = stage.bridge.peak_resident() >> 20;
    assert!(peak < 96, "{peak} MiB");
    let mut outcome = tally.outcome(1, goal);
    outcome = outcome.noted(&format!("peak {peak} MiB"));
    end(&mut stage.bridge);
    outcome
}

/// The node goes away in the middle of a query, `times`, for this time each.
pub fn down(kind: BrokerKind, how: Down, times: u64, time: Duration) -> Outcome {
    let count = times * 20;
    let engine =
        super::tally::engine(count).with("faults", json!({"delay_per_line_seconds": 0.05}));
    let mut stage = stage(kind, &engine, &[]);
    stage.publisher.publish_indicator(1, Ioc::Domain(DOMAIN));
    let mut tally = Tally::new();
    for n in 0..times {
        tally.take(stage.kind, &stage.subscriber, (n + 1) * 10, LIMIT);
        engine.down(how);
        std::thread::sleep(time);
        engine.up();
    }
    tally.take(stage.kind, &stage.subscriber, count, LIMIT);
    let outcome = tally.outcome(times, count);
    end(&mut stage.bridge);
    outcome
}

//! Sinks that hang, die, are slow, are closed, or are never read.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::brokers::end;
use super::tally::{DOMAIN, Tally, engine};
use super::{LIMIT, Outcome};
use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::observed::{Observed, Reader};
use crate::support::peer::Publisher;
use crate::support::standin::Standin;
use crate::support::{Scratch, eventually};

/// What a sink command does with its first sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Never ends: it is ended after 30 s.
    Hangs,
    /// Kills itself.
    Dies,
    /// Takes a second.
    IsSlow,
}

impl Sink {
    /// A description for a table.
    pub fn words(self) -> &'static str {
        match self {
            Self::Hangs => "a sink command hangs",
            Self::Dies => "a sink command dies",
            Self::IsSlow => "a sink command is slow",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Hangs => "exec sleep 600",
            Self::Dies => "kill -KILL $$",
            Self::IsSlow => "sleep 1",
        }
    }
}

/// A sink command whose first run misbehaves after accepting its sighting.
pub fn command(kind: BrokerKind, sink: Sink, sightings: u64) -> Outcome {
    let broker = Broker::start(kind);
    let engine = engine(sightings);
    let mut publisher = Publisher::connect(&broker);
    let scratch = Scratch::new();
    let script = format!(
        "cat > \"$1/$$.json\"; if mkdir \"$1/first\" 2> /dev/null; then {}; fi",
        sink.script()
    );
    let script = scratch.write("sink.sh", script);
    let out = scratch.path().join("out");
    std::fs::create_dir(&out).expect("a directory");
    let option = format!("sh {} {}", script.display(), out.display());
    let mut bridge = Bridge::start(&broker, &engine, &["--sink", &option]);
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain(DOMAIN));
    let mut tally = Tally::new();
    let mut seen = std::collections::BTreeSet::new();
    eventually(LIMIT, || {
        for entry in std::fs::read_dir(&out).expect("listed").flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            if let (Ok(context), false) = (
                serde_json::from_str::<Value>(&text),
                seen.contains(&entry.path()),
            ) {
                seen.insert(entry.path());
                tally.count(&context);
            }
        }
        tally.distinct() == sightings
    });
    let outcome = tally.outcome(1, sightings);
    if sink != Sink::IsSlow {
        bridge.wait_for_log("the sink", LIMIT);
    }
    end(&mut bridge);
    outcome
}

/// A bridge that prints the endless sightings of a query, with its broker and engine.
fn printing(kind: BrokerKind, reader: Reader, sightings: u64) -> (Observed, Broker, Standin) {
    let broker = Broker::start(kind);
    let engine = engine(sightings).with("faults", json!({"flood": "lines"}));
    let mut publisher = Publisher::connect(&broker);
    let bridge = Bridge::between(&broker.endpoint(), &engine)
        .args(["--sink", "STDOUT", "-l", "info"])
        .reader(reader)
        .run();
    bridge.wait_for_log("subscribed to", LIMIT);
    publisher.publish_indicator(1, Ioc::Domain(DOMAIN));
    engine.wait_for_exports(1, LIMIT);
    (bridge, broker, engine)
}

/// A reader of standard output that exits after `sightings`.
pub fn reader_gone(kind: BrokerKind, sightings: u64) -> Outcome {
    let wanted = usize::try_from(sightings).expect("few");
    let (mut bridge, _broker, _engine) = printing(kind, Reader::GoneAfter(wanted), sightings);
    let mut tally = Tally::new();
    for line in bridge.lines(wanted, LIMIT) {
        tally.count(&serde_json::from_str(&line).expect("JSON"));
    }
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    assert!(bridge.leaves_nothing(LIMIT));
    tally.outcome(1, sightings)
}

/// A pipe that is not read for this time; memory stays bounded, and a signal ends the
/// bridge.
pub fn pipe_full(kind: BrokerKind, time: Duration) -> Outcome {
    let (mut bridge, _broker, _engine) = printing(kind, Reader::Stuck, 1000);
    std::thread::sleep(time);
    let peak = bridge.peak_resident() >> 20;
    assert!(peak < 64, "{peak} MiB");
    let ends = Instant::now();
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait(LIMIT).code(), Some(0), "{}", bridge.log());
    assert!(bridge.leaves_nothing(LIMIT));
    Outcome {
        times: 1,
        note: format!(
            "peak {peak} MiB; ended in {:.1} s",
            ends.elapsed().as_secs_f64()
        ),
        ..Outcome::default()
    }
}

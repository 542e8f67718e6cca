//! Counts the sightings that arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Outcome;
use crate::support::broker::BrokerKind;
use crate::support::peer::Subscriber;
use crate::support::standin::Standin;

/// The domain in all events of [`events`].
pub const DOMAIN: &str = "many.example";

/// Numbered events with this domain.
pub fn events(domain: &str, numbers: std::ops::Range<u64>) -> Vec<Value> {
    numbers
        .map(
            |n| json!({"ts": "2024-03-05T10:00:00.000001", "uid": format!("U{n}"), "host": domain}),
        )
        .collect()
}

/// An engine with `count` events with [`DOMAIN`].
pub fn engine(count: u64) -> Standin {
    Standin::holding(&[("zeek.http", &events(DOMAIN, 0..count))])
}

/// How often each event was sighted, by its `uid`.
pub struct Tally {
    counts: BTreeMap<String, u64>,
    last: Instant,
    silence: Duration,
}

impl Tally {
    /// Starts counting, and measuring time.
    pub fn new() -> Self {
        Self {
            counts: BTreeMap::new(),
            last: Instant::now(),
            silence: Duration::ZERO,
        }
    }

    /// How many different events were sighted.
    pub fn distinct(&self) -> u64 {
        self.counts.len() as u64
    }

    /// The events that were sighted.
    pub fn uids(&self) -> BTreeSet<&str> {
        self.counts.keys().map(String::as_str).collect()
    }

    /// Counts one event.
    pub fn count(&mut self, context: &Value) {
        let uid = context["uid"].as_str().expect("an event has its uid");
        *self.counts.entry(uid.to_owned()).or_default() += 1;
        self.silence = self.silence.max(self.last.elapsed());
        self.last = Instant::now();
    }

    /// Receives sightings until `goal` different events were sighted, or none arrived for
    /// `quiet`.
    pub fn take(&mut self, kind: BrokerKind, subscriber: &Subscriber, goal: u64, quiet: Duration) {
        while self.distinct() < goal {
            match subscriber.recv(quiet) {
                Some((suffix, sighting)) if suffix == "sighting" => {
                    self.count(&context(kind, &sighting));
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    /// Receives the remaining sightings until none arrived for `quiet`.
    pub fn rest(&mut self, kind: BrokerKind, subscriber: &Subscriber, quiet: Duration) {
        self.take(kind, subscriber, u64::MAX, quiet);
    }

    /// The outcome after this number of faults, with this number of expected sightings.
    pub fn outcome(&self, times: u64, expected: u64) -> Outcome {
        Outcome {
            times,
            expected,
            delivered: self.distinct(),
            duplicated: self.counts.values().map(|count| count - 1).sum(),
            silence: self.silence,
            note: if self.distinct() < expected {
                self.missing(expected)
            } else {
                String::new()
            },
        }
    }

    /// The numbers of the first missing events, counted from 0.
    fn missing(&self, expected: u64) -> String {
        let missing = (0..expected).filter(|n| !self.counts.contains_key(&format!("U{n}")));
        let numbers: Vec<String> = missing.take(20).map(|n| n.to_string()).collect();
        format!("missing {}", numbers.join(", "))
    }
}

fn context(kind: BrokerKind, sighting: &Value) -> Value {
    match kind {
        BrokerKind::Legacy => sighting["context"].clone(),
        BrokerKind::Endpoints | BrokerKind::Ports => {
            sighting["x_threatbus_sighting_context"].clone()
        }
    }
}

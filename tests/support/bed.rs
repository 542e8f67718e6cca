//! A broker, the bridge and apps on both sides, with checks of the sightings.

use std::time::Duration;

use serde_json::{Value, json};
use vast_threatbus::indicator::Protocol;

use super::bridge::Bridge;
use super::broker::{Broker, BrokerKind};
use super::observed::Observed;
use super::peer::{Publisher, Subscriber};
use super::standin::Standin;

/// The time limit for anything that happens at once on an idle machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// After this time without a message, no more are expected.
pub const QUIET: Duration = Duration::from_millis(1_500);

/// A real broker, an app that publishes, one that subscribes to sightings, and the
/// subscribed bridge. Dropped in the order of the fields.
pub struct Bed {
    /// The bridge.
    pub bridge: Observed,
    /// An app that publishes indicators.
    pub publisher: Publisher,
    /// An app that is subscribed to sightings.
    pub subscriber: Subscriber,
    /// The broker.
    pub broker: Broker,
    /// The engine.
    pub engine: Standin,
}

impl Bed {
    /// Sets everything up; the bridge gets these arguments too.
    pub fn start(kind: BrokerKind, engine: Standin, arguments: &[&str]) -> Self {
        let broker = Broker::start(kind);
        let subscriber = Subscriber::sightings(&broker);
        let publisher = Publisher::connect(&broker);
        let bridge = Bridge::start(&broker, &engine, arguments);
        bridge.wait_for_log("subscribed to", LIMIT);
        Self {
            bridge,
            publisher,
            subscriber,
            broker,
            engine,
        }
    }

    /// The kind of the broker.
    pub fn kind(&self) -> BrokerKind {
        self.broker.kind()
    }

    /// Receives `expected.len()` sightings, waits for surplus ones, and compares them as a
    /// multiset of indicator and context.
    pub fn expect_sightings(&self, mut expected: Vec<(String, Value)>) -> Vec<Value> {
        let mut sightings = self.subscriber.collect_sightings(expected.len(), LIMIT);
        let more = self.subscriber.drain(QUIET).into_iter();
        sightings.extend(more.filter(|(suffix, _)| suffix == "sighting").map(|s| s.1));
        let mut found: Vec<(String, Value)> = sightings
            .iter()
            .map(|sighting| {
                (
                    indicator_of(self.kind(), sighting),
                    context(self.kind(), sighting),
                )
            })
            .collect();
        found.sort_by_cached_key(|(id, context)| (id.clone(), context.to_string()));
        expected.sort_by_cached_key(|(id, context)| (id.clone(), context.to_string()));
        assert_eq!(found, expected, "{:?}:\n{}", self.kind(), self.bridge.log());
        sightings
    }
}

/// The id of a sighting's indicator.
pub fn indicator_of(kind: BrokerKind, sighting: &Value) -> String {
    let field = match kind.protocol() {
        Protocol::Legacy => "intel",
        Protocol::Stix2 => "sighting_of_ref",
    };
    let id = sighting[field].as_str();
    id.unwrap_or_else(|| panic!("no {field} in {sighting}"))
        .to_owned()
}

/// The context of a sighting.
pub fn context(kind: BrokerKind, sighting: &Value) -> Value {
    let field = match kind.protocol() {
        Protocol::Legacy => "context",
        Protocol::Stix2 => "x_threatbus_sighting_context",
    };
    sighting[field].clone()
}

/// The context that the bridge derives from this event.
pub fn expected_context(kind: BrokerKind, event: &Value) -> Value {
    let mut context = event.clone();
    if kind.protocol() == Protocol::Legacy {
        for value in context.as_object_mut().expect("an event").values_mut() {
            let port = value.as_str().and_then(|text| text.split_once('/'));
            if let Some((port, "udp" | "tcp" | "?")) = port
                && let Ok(port) = port.parse::<u16>()
            {
                *value = json!(port);
            }
        }
        context["source"] = json!("VAST");
    }
    context
}

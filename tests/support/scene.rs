//! The bridge between a broker and an engine, with an app on each side.

use std::time::Duration;

use serde_json::{Value, json};

use super::bridge::Bridge;
use super::broker::{Broker, BrokerKind};
use super::messages::Ioc;
use super::observed::{Observed, Reader};
use super::peer::{Publisher, Subscriber};
use super::standin::Standin;

/// The time limit for anything that takes moments on an idle machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Everything that is started for one test, dropped in this order.
pub struct Scene {
    /// The bridge.
    pub bridge: Observed,
    /// Another app, which receives sightings.
    pub sightings: Subscriber,
    /// Another app, which publishes indicators.
    pub publisher: Publisher,
    /// The engine.
    pub engine: Standin,
    /// The broker.
    pub broker: Broker,
}

impl Scene {
    /// A subscribed bridge at the newest kind of broker.
    pub fn start(engine: Standin, arguments: &[&str]) -> Self {
        Self::with(BrokerKind::Ports, engine, arguments, Reader::Patient)
    }

    /// A subscribed bridge at this kind of broker, with this reader of its standard output.
    pub fn with(kind: BrokerKind, engine: Standin, arguments: &[&str], reader: Reader) -> Self {
        let broker = Broker::start(kind);
        let sightings = Subscriber::sightings(&broker);
        let publisher = Publisher::connect(&broker);
        let bridge = Bridge::between(&broker.endpoint(), &engine)
            .args(arguments)
            .reader(reader)
            .run();
        bridge.wait_for_log("subscribed to", LIMIT);
        Self {
            bridge,
            sightings,
            publisher,
            engine,
            broker,
        }
    }

    /// Publishes indicator number `n` for a domain, and returns its id.
    pub fn publish(&mut self, n: u64, domain: &str) -> String {
        self.publisher.publish_indicator(n, Ioc::Domain(domain))
    }

    /// The contexts of the next `count` sightings; fewer if they do not arrive.
    pub fn contexts(&self, count: usize) -> Vec<Value> {
        let sightings = self.sightings.collect_sightings(count, LIMIT);
        let kind = self.broker.kind();
        sightings.into_iter().map(|s| context(kind, &s)).collect()
    }

    /// Waits until this many indicators are answered, according to the log.
    pub fn wait_for_answers(&self, count: usize) {
        self.bridge.wait_for_logs(" sighting(s)", count, LIMIT);
    }

    /// Publishes a new indicator and waits for its sighting; returns all earlier sightings.
    /// Whatever was reported before has arrived by then.
    pub fn contexts_until(&mut self, n: u64, domain: &str) -> Vec<Value> {
        self.publish(n, domain);
        let mut contexts = Vec::new();
        loop {
            let next = self.contexts(1).pop();
            let next = next.unwrap_or_else(|| panic!("no more sightings:\n{}", self.bridge.log()));
            if next["host"] == domain {
                return contexts;
            }
            contexts.push(next);
        }
    }

    /// Stops the bridge and returns the counters of its last line.
    pub fn end(&mut self) -> String {
        self.bridge.signal(rustix::process::Signal::TERM);
        let status = self.bridge.wait(LIMIT);
        assert_eq!(status.code(), Some(0), "{}", self.bridge.log());
        assert!(self.bridge.leaves_nothing(LIMIT));
        self.bridge.wait_for_log("ended after", LIMIT)
    }
}

/// The context of a sighting, in the format of this kind of broker, without the source that
/// a legacy one names.
pub fn context(kind: BrokerKind, sighting: &Value) -> Value {
    match kind {
        BrokerKind::Legacy => {
            let mut context = sighting["context"].clone();
            let source = context.as_object_mut().and_then(|map| map.remove("source"));
            assert_eq!(source, Some(json!("VAST")));
            context
        }
        BrokerKind::Endpoints | BrokerKind::Ports => {
            sighting["x_threatbus_sighting_context"].clone()
        }
    }
}

/// Number `n` of the requests to this host, now, with a time as Zeek prints it.
pub fn request_now(host: &str, n: usize) -> Value {
    let now = vast_threatbus::observable::stix_time(time::OffsetDateTime::now_utc());
    let mut event = request(host, n);
    event["ts"] = json!(now.trim_end_matches('Z'));
    event
}

/// Number `n` of the requests to this host.
pub fn request(host: &str, n: usize) -> Value {
    json!({
        "ts": format!("2024-03-05T09:{:02}:{:02}.250000000", n / 60, n % 60),
        "uid": format!("C{n}"),
        "host": host,
        "uri": "/",
    })
}

/// An engine with this many requests to each of these hosts.
pub fn engine(hosts: &[(&str, usize)]) -> Standin {
    let events: Vec<Value> = hosts
        .iter()
        .flat_map(|&(host, count)| (0..count).map(move |n| request(host, n)))
        .collect();
    Standin::holding(&[("zeek.http", &events)])
}

/// The `uid` of each context, in order.
pub fn uids(contexts: &[Value]) -> Vec<String> {
    let mut uids: Vec<String> = contexts
        .iter()
        .map(|context| context["uid"].as_str().unwrap_or_default().to_owned())
        .collect();
    uids.sort_by_key(|uid| (uid.len(), uid.clone()));
    uids
}

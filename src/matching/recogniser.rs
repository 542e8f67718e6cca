//! Whether a JSON object is an event of a log, also of one that no table knows.

use std::net::IpAddr;

use super::keys::{Keys, Node};
use super::places::{PlaceId, Places};
use super::walk::{At, Visit, walk};

/// Keys that only events have, at any depth.
const OF_EVENTS: &[&str] = &[
    "ts",
    "@timestamp",
    "event_type",
    "_path",
    "_write_ts",
    "flow_id",
    "TimeCreated",
    "EventData",
];

/// Keys that only indicators have, at any depth: attributes of MISP, and Intel objects. They have
/// times too.
const OF_INDICATORS: &[&str] = &["to_ids", "intel_type", "ioc_type"];

/// Keys of the table that other documents have too, unless an address is in them, or a script of
/// Zeek (`loaded_scripts.log` has no other key).
const GENERIC: &[&str] = &[
    "name", "path", "size", "host", "ip", "email", "user", "User", "client", "method", "from",
    "to", "cc", "subject", "service", "arg", "file", "issuer", "serial", "cookie", "Image",
    "Protocol",
];

/// Tells events from other JSON by their fields: a time, or a place of the table.
#[derive(Debug, Default)]
pub struct Recogniser {
    keys: Keys,
    found: bool,
    is_indicator: bool,
}

impl Recogniser {
    /// Whether an object is an event. An object without any such field matches no indicator.
    pub fn is_event(&mut self, object: &str) -> bool {
        walk(object, self).is_ok() && self.found && !self.is_indicator
    }

    /// The place of a field in the table, unless its name alone says nothing.
    fn place(&self, node: Node) -> Option<PlaceId> {
        let place = self.keys.place(node);
        if place.is_none() || place == PlaceId::ADDRESS {
            return None;
        }
        let mut path = String::new();
        self.keys.push_path(node, &mut path);
        (!GENERIC.contains(&&*path)).then_some(place)
    }
}

impl Visit for Recogniser {
    fn begin(&mut self) {
        self.keys.begin();
        self.found = false;
        self.is_indicator = false;
    }

    fn field(&mut self, parent: Node, key: &str) -> Node {
        self.is_indicator |= OF_INDICATORS.contains(&key);
        self.found |= OF_EVENTS.contains(&key) || parent == Node::EVENT && is_time(key);
        self.keys.field(parent, key, Places::shared())
    }

    fn expected(&mut self, _: Node, _: &[u8]) -> Option<(Node, usize)> {
        // Every key is looked at.
        None
    }

    fn wants(&self, node: Node) -> bool {
        !self.found && !self.keys.place(node).is_none()
    }

    fn text(&mut self, at: At, text: &str) {
        self.found |= self.place(at.node).is_some()
            || text.parse::<IpAddr>().is_ok()
            || [".zeek", ".bro"]
                .iter()
                .any(|ending| text.ends_with(ending));
    }

    fn number(&mut self, at: At, _: &str) {
        self.found |= self.place(at.node).is_some();
    }
}

/// Whether a key of the object itself names its time.
fn is_time(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["time", "timestamp", "_ts"]
        .iter()
        .any(|ending| key.ends_with(ending))
        || matches!(&*key, "date" | "timecreated")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_other_json() {
        let mut recogniser = Recogniser::default();
        for event in [
            r#"{"timestamp":"2024-05-01T10:00:00Z","event_type":"new_in_suricata_9","a":{}}"#,
            r#"{"ts":1.0,"unknown":[{"b":1}]}"#,
            r#"{"new_log":{"ts":1.0,"a":"b"}}"#,
            r#"{"@timestamp":"x"}"#,
            r#"{"UtcTime":"x","Image":"y"}"#,
            r#"{"date":1714557600.1,"log":"x"}"#,
            r#"{"dns":{"rrname":"x"}}"#,
            r#"{"query":"x.example"}"#,
            r#"{"source":{"port":1}}"#,
            r#"{"client":{"their_address":"2001:db8::1"}}"#,
            r#"{"name":"/opt/zeek/share/zeek/base/init-bare.zeek"}"#,
            r#"[{"a":1}] "#,
        ] {
            assert_eq!(
                recogniser.is_event(event),
                event.starts_with('{'),
                "{event}"
            );
        }
        for other in [
            "{}",
            r#"{"error":"unauthorized"}"#,
            r#"{"error":"x","path":"/a","status":404}"#,
            r#"{"took":1,"timed_out":false,"hits":{"hits":[]}}"#,
            r#"{"name":"x","version":"1.0.0","author":{"name":"a","email":"a@b.example"}}"#,
            r#"{"type":"bundle","id":"bundle--1","objects":[{"type":"ipv4-addr","value":"192.0.2.1","created":"2024"}]}"#,
            r#"{"Event":{"timestamp":"1","Attribute":[{"timestamp":"1","value":"192.0.2.1"}],"host":"x"}}"#,
            r#"{"index":{}}"#,
            r#"{"type":"ip-dst","timestamp":"1714","value":"192.0.2.1","to_ids":true}"#,
            r#"{"ts":"2020-11-26 12:00:00","data":{"indicator":["192.0.2.1"],"intel_type":2}}"#,
            r#"{"ioc":"192.0.2.1","ioc_type":"ip:port","timestamp":"x"}"#,
            r#"{"relationship":"x"}"#,
        ] {
            assert!(!recogniser.is_event(other), "{other}");
        }
    }
}

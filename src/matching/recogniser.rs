//! Whether a JSON object is an event of a log, also of one that no table knows.

use std::net::IpAddr;

use super::keys::{Keys, Node};
use super::places::{Joined, PlaceId, Places};
use super::walk::{At, Visit, walk};

/// Keys that only events have, at any depth.
const EVENT_KEYS: &[&str] = &[
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
const GENERIC_KEYS: &[&str] = &[
    "name", "path", "size", "host", "ip", "email", "user", "User", "client", "method", "from",
    "to", "cc", "subject", "service", "arg", "file", "issuer", "serial", "cookie", "Image",
    "Protocol",
];

/// The beginnings of paths under which log shippers describe themselves and where they read.
const OF_SHIPPERS: &[&str] = &[
    "agent.",
    "cloud.",
    "container.",
    "host.",
    "kubernetes.",
    "log.file.",
    "log.source.",
    "observer.",
];

/// Keys of an object itself that name the computer or the file of a log shipper, unless an address
/// is in them.
const NAMES_OF_SHIPPERS: &[&str] = &["host", "path", "file"];

/// What the fields of an object, or the columns of a table, show it to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recognised {
    /// No event.
    #[default]
    Other,
    /// An event in which nothing can be found.
    Event,
    /// An event with a field that is searched, apart from those of a log shipper.
    Searched,
}

/// Tells events from other JSON by their fields: a time, or a place of the table.
#[derive(Debug, Default)]
pub struct Recogniser {
    keys: Keys,
    is_event: bool,
    is_searched: bool,
    is_indicator: bool,
}

impl Recogniser {
    /// What an object is. An object without any field of an event matches no indicator.
    pub fn recognise(&mut self, object: &str) -> Recognised {
        if walk(object, self).is_err() || self.is_indicator {
            return Recognised::Other;
        }
        match (self.is_event, self.is_searched) {
            (true, true) => Recognised::Searched,
            (true, false) => Recognised::Event,
            (false, _) => Recognised::Other,
        }
    }

    /// What the rows of a table with these columns are.
    pub fn recognise_columns<'a>(columns: impl Iterator<Item = &'a str>) -> Recognised {
        let mut places = columns.map(|column| Places::shared().resolve(column));
        if places.any(is_searched) {
            Recognised::Searched
        } else {
            Recognised::Event
        }
    }

    fn path(&self, node: Node) -> String {
        let mut path = String::new();
        self.keys.push_path(node, &mut path);
        path
    }

    /// Whether a field is in the table, and its name alone says something.
    fn is_of_event(&self, node: Node, path: &str) -> bool {
        is_in_table(self.keys.place(node)) && !GENERIC_KEYS.contains(&path)
    }
}

/// Whether a field has a place of its own, and not only the name of an address.
fn is_in_table(place: PlaceId) -> bool {
    !place.is_none() && place != PlaceId::ADDRESS
}

/// Whether a field that a log shipper adds has this path.
fn is_of_shipper(path: &str, is_address: bool) -> bool {
    OF_SHIPPERS.iter().any(|start| path.starts_with(start))
        || !is_address && NAMES_OF_SHIPPERS.contains(&path)
}

/// Whether something is found in a place without other fields.
fn is_searched(place: PlaceId) -> bool {
    let place = Places::shared().get(place);
    let is_part = |joined: &Joined| matches!(joined, Joined::RequestHost | Joined::RequestTarget);
    !place.uses.is_empty() || place.joined.iter().any(is_part)
}

impl Visit for Recogniser {
    fn begin(&mut self) {
        self.keys.begin();
        self.is_event = false;
        self.is_searched = false;
        self.is_indicator = false;
    }

    fn field(&mut self, parent: Node, key: &str) -> Node {
        self.is_indicator |= OF_INDICATORS.contains(&key);
        self.is_event |= EVENT_KEYS.contains(&key) || parent == Node::EVENT && is_time(key);
        self.keys.field(parent, key, Places::shared())
    }

    fn expected(&mut self, _: Node, _: &[u8]) -> Option<(Node, usize)> {
        // Every key is looked at.
        None
    }

    fn wants(&self, node: Node) -> bool {
        !(self.keys.place(node).is_none() || self.is_event && self.is_searched)
    }

    fn text(&mut self, at: At, text: &str) {
        let (place, path) = (self.keys.place(at.node), self.path(at.node));
        let is_address = text.parse::<IpAddr>().is_ok();
        self.is_event |= is_address
            || self.is_of_event(at.node, &path)
            || [".zeek", ".bro"]
                .iter()
                .any(|ending| text.ends_with(ending));
        self.is_searched |= (is_in_table(place) || is_address)
            && is_searched(place)
            && !is_of_shipper(&path, is_address);
    }

    fn number(&mut self, at: At, _: &str) {
        self.is_event |= self.is_of_event(at.node, &self.path(at.node));
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
                recogniser.recognise(event) > Recognised::Other,
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
            assert_eq!(recogniser.recognise(other), Recognised::Other, "{other}");
        }
    }

    #[test]
    fn what_holds_nothing_that_is_searched_is_told_apart() {
        let mut recogniser = Recogniser::default();
        for (event, expected) in [
            (
                r#"{"timestamp":"x","event_type":"stats","stats":{"uptime":8,"tcp":{"syn":1}}}"#,
                Recognised::Event,
            ),
            (
                r#"{"@timestamp":"x","message":"text","host":{"name":"a","ip":["192.0.2.1"],"mac":["00-00-5E-00-53-01"]},"agent":{"name":"a"},"log":{"file":{"path":"/x"}}}"#,
                Recognised::Event,
            ),
            (
                r#"{"timestamp":"x","message":"text","host":"sensor","file":"/x","source_type":"file"}"#,
                Recognised::Event,
            ),
            (r#"{"ts":1,"source":{"port":53}}"#, Recognised::Event),
            (r#"{"ts":1,"peer_host":"zeek"}"#, Recognised::Event),
            (r#"{"ts":1,"host":"192.0.2.1"}"#, Recognised::Searched),
            (r#"{"ts":1,"peer_host":"192.0.2.1"}"#, Recognised::Searched),
            (r#"{"User":"alice","ts":1}"#, Recognised::Searched),
            (r#"{"dns":{"rrname":"x"}}"#, Recognised::Searched),
            (r#"{"ts":1,"log":{"query":"x"}}"#, Recognised::Searched),
            (
                r#"{"@timestamp":"x","host":{"ip":"192.0.2.1"},"source":{"ip":"192.0.2.2"}}"#,
                Recognised::Searched,
            ),
        ] {
            assert_eq!(recogniser.recognise(event), expected, "{event}");
        }
        let columns = |columns: &[&str]| Recogniser::recognise_columns(columns.iter().copied());
        assert_eq!(columns(&["ts", "peer", "mem"]), Recognised::Event);
        assert_eq!(columns(&["ts", "host"]), Recognised::Searched);
    }
}
